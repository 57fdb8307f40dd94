"""Pages of runs whose predictions are no classes: they show what there is and break on nothing."""

import shutil
from pathlib import Path

import pytest

from store import NewRun, get_run, open_store, record_run
from tests.dashboard.conftest import Show

ASSET = Path(__file__).parents[1] / "store" / "assets" / "m005_responses.db"
TABS = ("Curves", "Examples", "Classes", "Checkpoints", "Recipe", "Log")


@pytest.fixture
def sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The id of a run whose predictions are sets of labels, in the store that the dashboard shows."""
    path = Path(shutil.copy(ASSET, tmp_path / "assay.db"))
    monkeypatch.setenv("ASSAY_STORE", str(path))
    store = open_store(path)
    run = get_run(store, "sets")
    record_run(store, NewRun("again", task=run.task, dataset_key=run.dataset_key))
    store.close()
    return run.id


@pytest.mark.parametrize("tab", TABS)
def test_a_run_page(show: Show, sets: str, tab: str) -> None:
    app = show("run", run=sets, tab=tab)
    assert not app.exception


def test_examples_say_sets_of_labels(show: Show, sets: str) -> None:
    (table,) = show("run", run=sets, tab="Examples").dataframe
    assert table.value[["given", "predicted"]].values.tolist() == [["no label", "no label"], ["bad, good", "good 90%"]]


@pytest.mark.parametrize("view", ["runs", "compare", "triage"])
def test_the_other_pages(show: Show, sets: str, view: str) -> None:
    app = show(view, **({"runs": sets} if view == "compare" else {"dataset": "pairs@1"} if view == "triage" else {}))
    assert not app.exception
