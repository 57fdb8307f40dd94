"""A driver outlives a store that cannot be written and a disk that is full for a while, and lets go of its sweep."""

import errno
import sqlite3

import pytest

from runner.sweep.engine import Task
from store import Dataset, Status, Store, StoreUnreadable
from tests.runner.sweep.engines import FormulaEngine
from tests.runner.sweep.test_driver import Swept, sweep_text


def test_an_end_that_cannot_be_written_wholly_is_written_as_far_as_it_can_be(
    store: Store, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked(_: Store) -> None:
        try:
            raise sqlite3.OperationalError("database is locked")
        except sqlite3.Error as error:
            raise StoreUnreadable("the store cannot be used: database is locked.") from error

    monkeypatch.setattr("runner.sweep.driver.reconcile", locked)
    monkeypatch.setattr("runner.sweep.driver._PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr("runner.sweep.driver._LAST_SECONDS", 0.0)
    swept = Swept(store, sweep_text("trials = 1"), dataset)
    assert swept.sweep.status == Status.FINISHED
    assert swept.sweep.holder is None
    assert any(text.startswith("the end of the sweep is not wholly written down") for text in swept.heard.said)


def test_a_worker_that_cannot_be_started_on_a_full_disk_is_started_later(
    store: Store, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, n_calls = FormulaEngine.start, 0

    def full_at_first(self: FormulaEngine, task: Task) -> str:
        nonlocal n_calls
        n_calls += 1
        if n_calls < 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        return start(self, task)

    monkeypatch.setattr(FormulaEngine, "start", full_at_first)
    monkeypatch.setattr("runner.sweep.driver._PATIENCE_SECONDS", 0.0)
    swept = Swept(store, sweep_text("trials = 2"), dataset)
    assert [(trial.status, trial.n_attempts) for trial in swept.trials] == [(Status.FINISHED, 1)] * 2
    assert n_calls == 4
