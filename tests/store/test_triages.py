"""Triages from beginning to end: who is at one, taking it up, superseding, and processes that died."""

import subprocess
import sys

import pandas as pd
import pytest

from store import (
    NewRun,
    Status,
    Store,
    Triage,
    TriageHeld,
    TriageNotFound,
    begin_triage,
    delete_run,
    delete_triage,
    fail_triage,
    find_triage,
    finish_triage,
    finished_steps,
    get_triage,
    latest_triage,
    list_findings,
    list_queue,
    list_triages,
    reconcile,
    record_run,
    record_step,
)
from store.records import Dataset
from store.triages import KEPT_WITH_ROWS, beat_triage
from tests.store.builders import make_dataset
from tests.store.triages import fill_triage

ROWS = [("one", 0), ("two", 1), ("three", None)]


@pytest.fixture
def dataset(store: Store) -> Dataset:
    return make_dataset(store, "numbers", ROWS, split="train")


def begin(store: Store, dataset: Dataset, fingerprint: str = "f", **options: bool) -> Triage:
    return begin_triage(store, dataset, fingerprint=fingerprint, versions={"empty": 1}, sources=[], **options)


def hold_elsewhere(store: Store, triage: Triage, *, alive: bool) -> "subprocess.Popen[bytes]":
    """Another process has the triage in hand; with `alive=False` it has ended since."""
    import psutil

    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    started = psutil.Process(child.pid).create_time()
    with store.write() as db:
        db.execute(
            "UPDATE triages SET pid = ?, process_started_at = ?, status = 'running' WHERE key = ?",
            (child.pid, started, triage.key),
        )
    if not alive:
        child.kill()
        child.wait()
    return child


def test_a_triage_goes_from_running_to_finished(store: Store, dataset: Dataset) -> None:
    triage = begin(store, dataset)
    assert (triage.status, triage.summary, triage.holder is None) == (Status.RUNNING, {}, False)
    assert latest_triage(store, dataset.key) is None
    assert latest_triage(store, dataset.key, finished=False) == triage
    assert find_triage(store, dataset.key, "f") is None
    record_step(store, triage.key, "one", seconds=1.5, summary={"n": 3, "rate": float("nan")})
    record_step(store, triage.key, "two", seconds=None, summary={"labels": {"low": 0.5}})
    assert finished_steps(store, triage.key) == {"one": 1.5, "two": None}
    done = finish_triage(store, triage.key, {"n": 4})
    assert (done.status, done.holder, done.has_rows) == (Status.FINISHED, None, True)
    assert done.summary == {"n": 4, "rate": None, "labels": {"low": 0.5}}
    assert done.version > triage.version
    assert done.ended_at is not None
    assert latest_triage(store, dataset.key) == find_triage(store, dataset.key, "f") == done
    (row,) = list_triages(store).to_dict("records")
    assert (row["dataset"], row["status"], row["n_steps"], row["seconds"]) == ("numbers@1", "finished", 2, 1.5)


def test_one_that_failed_is_taken_up_with_its_steps(store: Store, dataset: Dataset) -> None:
    first = begin(store, dataset)
    record_step(store, first.key, "one", seconds=1.0)
    failed = fail_triage(store, first.key, Status.FAILED, "no memory")
    assert (failed.status, failed.cause, failed.holder) == (Status.FAILED, "no memory", None)
    other = begin(store, dataset, "another fingerprint")
    assert other.key != first.key
    again = begin(store, dataset)
    assert (again.key, again.status, again.cause, again.ended_at) == (first.key, Status.RUNNING, None, None)
    assert finished_steps(store, again.key) == {"one": 1.0}
    assert begin(store, dataset, fresh=True).key not in (first.key, other.key)


def test_a_finished_one_is_not_begun_again(store: Store, dataset: Dataset) -> None:
    finish_triage(store, begin(store, dataset).key, {})
    assert begin(store, dataset).status == Status.RUNNING
    assert len(list_triages(store)) == 2


def test_two_processes_do_not_compute_the_same(store: Store, dataset: Dataset) -> None:
    triage = begin(store, dataset)
    child = hold_elsewhere(store, triage, alive=True)
    try:
        with pytest.raises(TriageHeld, match=f"process {child.pid}"):
            begin(store, dataset)
        reconcile(store)
        assert get_triage(store, triage.key).status == Status.RUNNING
        assert begin(store, dataset, "another fingerprint").key != triage.key
    finally:
        child.kill()
        child.wait()
    assert begin(store, dataset).key == triage.key


def test_a_dead_triage_becomes_killed(store: Store, dataset: Dataset) -> None:
    triage, ours = begin(store, dataset), begin(store, dataset, "ours")
    hold_elsewhere(store, triage, alive=False)
    reconcile(store)
    killed = get_triage(store, triage.key)
    assert (killed.status, killed.holder) == (Status.KILLED, None)
    assert killed.cause is not None
    assert killed.cause.startswith("killed: process")
    assert get_triage(store, ours.key).status == Status.RUNNING
    with store.write() as db:
        db.execute("UPDATE triages SET host = NULL WHERE key = ?", (ours.key,))
    reconcile(store)
    assert get_triage(store, ours.key).cause == "killed: no process is at this triage"


def test_a_sign_of_life(store: Store, dataset: Dataset) -> None:
    triage = begin(store, dataset)
    with store.write() as db:
        db.execute("UPDATE triages SET heartbeat_at = 0")
    beat_triage(store, triage.key)
    holder = get_triage(store, triage.key).holder
    assert holder is not None
    assert holder.heartbeat_at > 1e9


def test_selectors(store: Store, dataset: Dataset) -> None:
    with pytest.raises(TriageNotFound, match="none yet"):
        get_triage(store, "abcd")
    one, two = begin(store, dataset), begin(store, dataset, "g")
    assert get_triage(store, one.id.lower()) == get_triage(store, one.key) == one
    with store.write() as db:
        db.execute("UPDATE triages SET id = ? WHERE key = ?", ("AAAA" + two.id[4:], two.key))
        db.execute("UPDATE triages SET id = ? WHERE key = ?", ("AAAB" + one.id[4:], one.key))
    assert get_triage(store, "aaab").key == one.key
    with pytest.raises(TriageNotFound, match="The newest are"):
        get_triage(store, "aaa")
    with pytest.raises(TriageNotFound, match="no triage 77"):
        get_triage(store, 77)
    with store.write() as db:
        db.execute("UPDATE triages SET id = ? WHERE key = ?", ("AAAB" + two.id[4:], two.key))
    with pytest.raises(TriageNotFound, match="fits 2 triages"):
        get_triage(store, "aaab")


def test_older_triages_keep_their_summary_only(store: Store) -> None:
    filled = fill_triage(store, 30)
    dead = begin(store, filled.dataset, "dead")
    record_step(store, dead.key, "one", seconds=1.0)
    fail_triage(store, dead.key, Status.KILLED, "Ctrl-C")
    for number in range(KEPT_WITH_ROWS):
        finish_triage(store, begin(store, filled.dataset, f"f{number}").key, {})
    old, dead = get_triage(store, filled.triage.key), get_triage(store, dead.key)
    assert (old.has_rows, dead.has_rows) == (False, False)
    assert old.summary == filled.triage.summary
    assert list_queue(store, old, filled.dataset).empty
    assert finished_steps(store, dead.key) == {}
    assert find_triage(store, filled.dataset.key, filled.triage.fingerprint) is None
    assert begin(store, filled.dataset, "dead").key != dead.key
    for table in ("triage_columns", "triage_queue", "findings", "finding_groups"):
        assert store.db.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


def test_a_triage_outlives_the_runs_it_looked_at(store: Store, dataset: Dataset) -> None:
    run = record_run(store, NewRun("r", dataset_key=dataset.key), status=Status.FAILED)
    triage = begin_triage(
        store, dataset, fingerprint="f", versions={}, sources=[{"kind": "run", "id": run.id, "name": run.name}]
    )
    record_step(
        store, triage.key, "one", seconds=1.0, queue=pd.DataFrame({"split": ["train"], "position": [1], "risk": [1]})
    )
    finish_triage(store, triage.key, {"n": 3})
    delete_run(store, run)
    kept = get_triage(store, triage.key)
    assert kept.sources == [{"kind": "run", "id": run.id, "name": "r"}]
    assert list_queue(store, kept, dataset)["text"].tolist() == ["two"]


def test_deleting_a_triage_leaves_nothing_of_it(store: Store) -> None:
    filled = fill_triage(store, 30)
    delete_triage(store, filled.triage.key)
    for table in ("triages", "triage_steps", "triage_columns", "triage_queue", "findings", "finding_groups"):
        assert store.db.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


def test_findings_of_many_examples_at_once(store: Store) -> None:
    triage = fill_triage(store, 60).triage
    every = list_findings(store, triage.key, limit=10_000)
    wanted = {"train": [5, 1, 3], "test": [0], "gone": [1]}
    found = list_findings(store, triage.key, positions=wanted, limit=10_000)
    is_wanted = [at in wanted.get(split, ()) for split, at in zip(every["split"], every["position"], strict=True)]
    columns = ["kind", "place", "split", "position", "risk", "evidence"]
    assert found[columns].to_dict("records") == every[is_wanted][columns].to_dict("records")
    assert set(found["position"]) == {5, 1, 3}
    assert list_findings(store, triage.key, positions={}).empty
