"""Opinions, fold by fold: writing, going on, who is at them."""

import subprocess
import sys

import numpy as np
import psutil
import pytest

from store import (
    NewRow,
    NewRun,
    OpinionHeld,
    OpinionNotFound,
    Status,
    Store,
    begin_opinion,
    delete_opinion,
    delete_run,
    finished_parts,
    get_opinion,
    hold_opinion,
    list_opinions,
    read_opinion,
    reconcile,
    record_dataset,
    record_opinion,
    record_opinion_part,
    record_run,
    release_opinion,
)
from store.opinions import BLOCK_EXAMPLES, Opinion, beat_opinion
from store.records import Dataset
from tests.store.builders import LABELS, make_dataset


@pytest.fixture
def dataset(store: Store) -> Dataset:
    return make_dataset(store, "d", [(f"text {number}", number % 2) for number in range(9)], split="train")


def begin(store: Store, dataset: Dataset, fingerprint: str = "f", n_folds: int | None = 3) -> Opinion:
    return begin_opinion(
        store, dataset, kind="crossval", name="cv", fingerprint=fingerprint, n_classes=2, n_folds=n_folds
    )


def test_folds_come_one_after_the_other(store: Store, dataset: Dataset) -> None:
    opinion = begin(store, dataset)
    assert (opinion.status, opinion.n_parts, opinion.is_complete, opinion.holder) == (Status.QUEUED, 0, False, None)
    hold_opinion(store, opinion.key)
    log_probs = np.log(np.random.default_rng(0).dirichlet([1, 1], size=9))
    for part in range(3):
        assert not get_opinion(store, opinion.key).is_complete
        rows = np.arange(part, 9, 3)
        cost = {"wall_seconds": 1.5 * part, "energy_joules": None, "device_seconds": float("nan")}
        record_opinion_part(store, opinion.key, rows, log_probs[rows], part=part, cost=cost)
        known = ~np.isnan(read_opinion(store, opinion.key)).any(axis=1)
        assert np.flatnonzero(known).tolist() == sorted(row for at in range(part + 1) for row in range(at, 9, 3))
    assert finished_parts(store, opinion.key)[2] == {
        "wall_seconds": 3.0, "energy_joules": None, "device_seconds": None, "n": 3,
    }  # fmt: skip
    release_opinion(store, opinion.key, Status.FINISHED)
    done = get_opinion(store, opinion.key)
    assert (done.status, done.is_complete, done.n_parts, done.holder) == (Status.FINISHED, True, 3, None)
    assert done.version > opinion.version
    np.testing.assert_allclose(read_opinion(store, opinion.key), log_probs, rtol=1e-3)
    assert begin(store, dataset).key == opinion.key
    assert begin(store, dataset, "other").key != opinion.key
    frame = list_opinions(store, dataset)
    assert frame[["name", "n_parts", "n_known", "is_complete"]].values.tolist() == [
        ["cv", 0, 0, False],
        ["cv", 3, 9, True],
    ]


def test_a_fold_done_again_replaces_itself(store: Store, dataset: Dataset) -> None:
    opinion = begin(store, dataset)
    for value in (-1.0, -2.0):
        record_opinion_part(store, opinion.key, [0, 3], np.full((2, 2), value), part=1)
    assert list(finished_parts(store, opinion.key)) == [1]
    assert read_opinion(store, opinion.key)[3].tolist() == [-2.0, -2.0]


def test_a_whole_opinion_over_several_blocks(store: Store) -> None:
    n = BLOCK_EXAMPLES + 5
    rows = (NewRow("train", str(number), 0) for number in range(n))
    dataset = record_dataset(store, "many", rows, label_names=LABELS, source={}, fingerprint="m")
    log_probs = np.log(np.random.default_rng(1).dirichlet([1, 1, 1], size=n)).astype(np.float32)
    log_probs[7] = np.nan
    log_probs[8, 1] = -np.inf
    run = record_run(store, NewRun("fold 1", dataset_key=dataset.key), status=Status.FAILED)
    opinion = record_opinion(
        store,
        dataset,
        kind="head",
        name="h",
        fingerprint="f",
        log_probs=log_probs,
        seed=4,
        recipe_hash="r",
        run_keys=[run.key],
    )
    assert (opinion.status, opinion.is_complete, opinion.n_classes, opinion.seed) == (Status.FINISHED, True, 3, 4)
    found = read_opinion(store, opinion.key)
    np.testing.assert_allclose(found[9:], log_probs[9:], rtol=1e-3)
    assert np.isnan(found[7]).all()
    assert np.isfinite(found[8]).all()
    assert found[8, 1] == np.finfo(np.float16).min
    assert list_opinions(store, dataset)["n_known"].tolist() == [n - 1]
    delete_run(store, run)
    assert get_opinion(store, opinion.key).sources == [{"kind": "run", "id": run.id, "name": "fold 1"}]
    delete_opinion(store, opinion.key)
    assert store.db.execute("SELECT count(*) FROM opinion_blocks").fetchone() == (0,)


def test_runs_are_named_once(store: Store, dataset: Dataset) -> None:
    runs = [record_run(store, NewRun(f"fold {number}"), status=Status.FAILED) for number in range(2)]
    opinion = begin(store, dataset)
    record_opinion_part(store, opinion.key, [0], np.zeros((1, 2)), part=0, run_keys=[runs[0].key])
    record_opinion_part(store, opinion.key, [1], np.zeros((1, 2)), part=1, run_keys=[run.key for run in runs])
    assert [source["name"] for source in get_opinion(store, opinion.key).sources] == ["fold 0", "fold 1"]


def test_arrays_that_do_not_fit(store: Store, dataset: Dataset) -> None:
    opinion = begin(store, dataset)
    with pytest.raises(ValueError, match=r"shape \(1, 3\); needed is \(1, 2\)"):
        record_opinion_part(store, opinion.key, [0], np.zeros((1, 3)))
    with pytest.raises(ValueError, match="positions are 9 to 9; there are 0 to 8"):
        record_opinion_part(store, opinion.key, [9], np.zeros((1, 2)))
    with pytest.raises(ValueError, match="of 2 classes, not 5"):
        begin_opinion(store, dataset, kind="crossval", name="cv", fingerprint="f", n_classes=5)
    with pytest.raises(OpinionNotFound, match="no opinion 77"):
        read_opinion(store, 77)
    with pytest.raises(OpinionNotFound):
        get_opinion(store, 77)
    assert finished_parts(store, opinion.key) == {}


def test_one_process_at_a_time(store: Store, dataset: Dataset) -> None:
    opinion = begin(store, dataset)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        hold_opinion(store, opinion.key)
        with store.write() as db:
            db.execute(
                "UPDATE opinions SET pid = ?, process_started_at = ?",
                (child.pid, psutil.Process(child.pid).create_time()),
            )
        with pytest.raises(OpinionHeld, match=f"process {child.pid}"):
            hold_opinion(store, opinion.key)
        reconcile(store)
        assert get_opinion(store, opinion.key).status == Status.RUNNING
    finally:
        child.kill()
        child.wait()
    reconcile(store)
    killed = get_opinion(store, opinion.key)
    assert (killed.status, killed.holder) == (Status.KILLED, None)
    assert killed.cause is not None
    assert killed.cause.startswith("killed: process")
    hold_opinion(store, opinion.key)
    with store.write() as db:
        db.execute("UPDATE opinions SET heartbeat_at = 0")
    beat_opinion(store, opinion.key)
    holder = get_opinion(store, opinion.key).holder
    assert holder is not None
    assert holder.heartbeat_at > 1e9
