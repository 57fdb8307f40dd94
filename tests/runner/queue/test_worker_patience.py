"""A worker outlives a store that cannot be written for a while, and lets go of what it holds as soon as it can."""

import signal
import sqlite3
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from runner.queue import worker as worker_module
from runner.queue.worker import JobWorker
from store import Store, StoreUnreadable, get_job, list_workers, queue_job
from tests.runner.queue.fake_jobs import KINDS


@pytest.fixture(autouse=True)
def _calm(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No naps; the signals are those of the tests again afterwards."""
    monkeypatch.setattr(worker_module, "_LOOK_SECONDS", 0.01)
    numbers = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def locked_at_first(patch: pytest.MonkeyPatch, name: str, n_times: int) -> None:
    """A function of the worker's finds the store locked so many times."""
    original: Callable[..., Any] = getattr(worker_module, name)
    left = [n_times]

    def call(*values: Any) -> Any:
        left[0] -= 1
        if left[0] >= 0:
            locked = sqlite3.OperationalError("database is locked")
            raise StoreUnreadable("the store cannot be used: database is locked.") from locked
        return original(*values)

    patch.setattr(worker_module, name, call)


def test_statuses_that_cannot_be_made_true_now_are_later(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    locked_at_first(monkeypatch, "reconcile", 2)
    monkeypatch.setattr(worker_module, "_RECONCILE_SECONDS", 0.0)
    said: list[str] = []
    assert JobWorker(store, "cpu", say=said.append, kinds=KINDS, idle_exit=0).run() == 0
    again = "the store cannot be used now, trying again: the store cannot be used: database is locked."
    assert said.count(again) == 2
    assert list_workers(store).empty


@pytest.mark.parametrize("command", [[sys.executable, "-c", "raise SystemExit(3)"], ["/nowhere/at/all"]])
def test_a_job_that_could_not_begin_is_given_back_however_long_it_takes(
    store: Store, command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is ours, and we live: nobody else would ever take it."""
    locked_at_first(monkeypatch, "abandon_job", 3)
    job = queue_job(store, "note", "x", {})
    said: list[str] = []
    made = JobWorker(store, "cpu", say=said.append, kinds=KINDS, launch=lambda *_: command, once=True)
    assert made.run() == 1
    now = get_job(store, job.key)
    assert (now.status, now.n_attempts, now.holder) == ("failed", 1, None)
    assert sum("the store cannot be written now, trying again" in text for text in said) == 3


def test_a_worker_that_cannot_sign_off_ends_all_the_same(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    locked_at_first(monkeypatch, "remove_worker", 1)
    said: list[str] = []
    assert JobWorker(store, "cpu", say=said.append, kinds=KINDS, idle_exit=0).run() == 0
    assert said[-1] == "worker ended"
