import numpy as np
import pytest

from runner.triage.rows import read_all
from runner.triage.sources import MOST_RUNS, SourceError, find_sources
from store import (
    Dataset,
    DatasetNotFound,
    NewRow,
    NewRun,
    Run,
    RunNotFound,
    Status,
    Store,
    finish_run,
    record_dataset,
    record_run,
)


def record(store: Store, name: str, n: int = 4) -> Dataset:
    rows = [
        NewRow(split, f"{name} {split} {i}", i % 2, {"i": i} if i else None)
        for split in ("test", "train")
        for i in range(n)
    ]
    return record_dataset(store, name, rows, label_names=["a", "b"], source={}, fingerprint=name)


def run_on(store: Store, dataset: Dataset | None, status: Status = Status.FINISHED, name: str = "run") -> Run:
    run = record_run(store, NewRun(name, dataset_key=dataset.key if dataset else None), status=Status.RUNNING)
    if status != Status.RUNNING:
        finish_run(store, run.key, status)
    return run


def test_named_runs_bring_their_data_set(store: Store) -> None:
    dataset = record(store, "d")
    runs = [run_on(store, dataset) for _ in range(2)]
    found = find_sources(store, [runs[0].id, runs[1].id, runs[0].id])
    assert (found.dataset.key, [run.key for run in found.runs]) == (dataset.key, [runs[1].key, runs[0].key])


def test_a_data_set_brings_the_newest_finished_runs(store: Store) -> None:
    dataset, other = record(store, "d"), record(store, "e")
    runs = [run_on(store, dataset) for _ in range(MOST_RUNS + 2)]
    run_on(store, dataset, Status.FAILED)
    run_on(store, other)
    found = find_sources(store, dataset="d@1")
    assert {run.key for run in found.runs} == {run.key for run in runs[2:]}
    assert find_sources(store, dataset="dataset:d").dataset.key == dataset.key


def test_what_cannot_be_looked_at_together_is_said_at_once(store: Store) -> None:
    one, two = record(store, "d"), record(store, "e")
    runs = [
        run_on(store, one),
        run_on(store, two),
        run_on(store, None, name="bare"),
        run_on(store, one, Status.RUNNING),
    ]
    with pytest.raises(SourceError) as error:
        find_sources(store, [run.id for run in runs])
    said = str(error.value)
    assert "different data sets" in said
    assert "d@1" in said
    assert "e@1" in said
    assert "bare" in said
    assert "is running: wait" in said


def test_nothing_too_much_or_unknown_is_refused(store: Store) -> None:
    record(store, "d")
    with pytest.raises(SourceError, match="name one or more runs"):
        find_sources(store)
    with pytest.raises(SourceError, match="not both"):
        find_sources(store, ["x"], "d")
    with pytest.raises(DatasetNotFound, match="d@1"):
        find_sources(store, dataset="none")
    with pytest.raises(RunNotFound):
        find_sources(store, ["none"])


def test_rows_are_the_training_examples_first(store: Store) -> None:
    rows = read_all(store, record(store, "d", 3))
    assert rows.splits == ("train", "test")
    assert (rows.n_train, len(rows)) == (3, 6)
    assert rows.texts[0] == "d train 0"
    assert rows.split_names.tolist() == ["train"] * 3 + ["test"] * 3
    assert [rows.place(row) for row in (0, 2, 3, 5)] == [("train", 0), ("train", 2), ("test", 0), ("test", 2)]
    members = rows.members(np.array([5, 1, 3]))
    assert {split: positions.tolist() for split, positions in members.items()} == {"train": [1], "test": [2, 0]}
    assert rows.placed({"partner": 4, "n_copies": 4}) == {"partner": ["test", 1], "n_copies": 4}
    assert rows.metadata is not None
    assert rows.metadata["i"].isna().tolist() == [True, False, False, True, False, False]
