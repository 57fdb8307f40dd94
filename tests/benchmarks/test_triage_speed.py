"""Keys of the Triage page are timed in a real browser."""

from pathlib import Path

import pytest

from benchmarks.dashboard_speed import CHROMIUM
from benchmarks.triage_speed import measure
from store import current_decisions, get_dataset, open_store
from tests.store.triages import fill_triage


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.skipif(not Path(CHROMIUM).is_file(), reason=f"needs Chromium at {CHROMIUM}")
def test_every_key_is_timed_and_decides(tmp_path: Path) -> None:
    path = tmp_path / "bank.db"
    store = open_store(path)
    fill_triage(store, 200)
    report = measure(path, 2, n=200, is_small=True)
    keys = ("accept", "keep", "drop", "skip", "undo", "accept, as fast as they come", "accept, under a filter")
    for name in ("all keys", *keys):
        figure = report[f"p95 of {name}"]
        assert figure.value > 0
        assert figure.cpu_value > 0
    found = current_decisions(store, get_dataset(store, "bank"))["action"].value_counts()
    assert found["keep"] + found["relabel"] >= 5
    store.close()
