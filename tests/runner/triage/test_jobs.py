"""Triages and cross-validations as a page queues them, carried out in this process."""

import signal
from pathlib import Path
from typing import Any

import pytest

from runner.queue.child import carry_out
from store import Job, Store, get_dataset, get_job, list_opinions, list_triages, queue_job
from store.holders import this_process
from store.job_leases import lease_job
from tests.runner.triage.conftest import Triaged
from tests.runner.triage.test_triage_command import copied


@pytest.fixture(autouse=True)
def _own_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Signals, folder and environment are pytest's again afterwards."""
    monkeypatch.setattr(signal, "signal", lambda number, handler: None)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.chdir(tmp_path)


def done(store: Store, kind: str, arguments: dict[str, Any]) -> Job:
    job = queue_job(store, kind, f"a {kind}", arguments)
    us = this_process()
    assert lease_job(store, "cpu") is not None
    carry_out(store, job.key, (us.pid, us.process_started_at))
    return get_job(store, job.key)


def test_a_page_has_a_data_set_looked_at(triaged: Triaged, tmp_path: Path) -> None:
    store = copied(triaged, tmp_path)
    job = done(store, "triage", {"dataset": "faulty@1", "options": {"no-canaries": True}})
    assert (job.status, job.cause) == ("finished", None)
    assert list_triages(store)["status"].tolist() == ["finished"] * 2
    job = done(store, "triage", {"runs": ["nothing"]})
    assert job.status == "failed"
    assert "no run 'nothing'" in str(job.cause)
    store.close()


def test_a_page_has_a_run_cross_validated(triaged: Triaged, tmp_path: Path) -> None:
    store = copied(triaged, tmp_path)
    job = done(store, "crossval", {"run": triaged.run_id, "options": {"folds": 2}})
    assert (job.status, job.cause) == ("finished", None)
    assert list_opinions(store, get_dataset(store, "faulty"))["n_parts"].tolist() == [2]
    store.close()
