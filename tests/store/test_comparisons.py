from collections.abc import Sequence

import numpy as np
import pytest

from store import (
    Dataset,
    Evaluation,
    NewRun,
    Recorder,
    Store,
    count_flips,
    example_id,
    get_evaluation,
    list_example_history,
    list_flips,
    read_pairs,
    record_run,
)
from tests.store.builders import make_dataset, predict


def evaluate(store: Store, name: str, dataset: Dataset, predicted: Sequence[int], split: str = "test") -> Evaluation:
    with Recorder(store, record_run(store, NewRun(name, dataset_key=dataset.key))) as recorder:
        recorder.evaluation(split, 5, epoch=1.0, n_examples=len(predicted), scores=[], predictions=predict(predicted))
    found = get_evaluation(store, recorder.run.key, split)
    assert found is not None
    return found


def counts(broken: int, fixed: int, both_wrong: int, both_right: int, differ: int, n: int) -> dict[str, int]:
    return {
        "broken": broken,
        "fixed": fixed,
        "both wrong": both_wrong,
        "both right": both_right,
        "differ": differ,
        "all": n,
    }


SIX = [("one", 0), ("two", 0), ("three", 1), ("four", 1), ("five", 0), ("six", None)]


@pytest.fixture
def same(store: Store) -> tuple[Evaluation, Evaluation]:
    dataset = make_dataset(store, "d", SIX)
    a = evaluate(store, "a", dataset, [0, 0, 0, 1, 1, 0])
    b = evaluate(store, "b", dataset, [0, 1, 1, 1, 1, 1])
    return a, b


def test_flips_of_two_runs_on_one_dataset(store: Store, same: tuple[Evaluation, Evaluation]) -> None:
    a, b = same
    assert count_flips(store, a, b) == counts(1, 1, 1, 2, 3, 6)
    assert count_flips(store, b, a) == counts(1, 1, 1, 2, 3, 6)
    assert count_flips(store, a, b, label=1) == counts(0, 1, 0, 1, 1, 2)
    assert count_flips(store, a, b, search="two") == counts(1, 0, 0, 0, 1, 1)
    assert count_flips(store, a, a)["differ"] == 0
    for kind, texts in {
        "broken": ["two"],
        "fixed": ["three"],
        "both wrong": ["five"],
        "both right": ["one", "four"],
        "differ": ["two", "three", "six"],
    }.items():
        frame = list_flips(store, a, b, kind=kind)
        assert frame["text"].tolist() == texts
        assert frame["example_id"].tolist() == [example_id({"text": text}).hex() for text in texts]
    assert list_flips(store, a, b, kind="all", limit=2, offset=1)["text"].tolist() == ["two", "three"]
    with pytest.raises(ValueError, match="unknown kind of flip 'worse'; choose one of broken"):
        list_flips(store, a, b, kind="worse")


def test_pairs_of_two_runs_on_one_dataset(store: Store, same: tuple[Evaluation, Evaluation]) -> None:
    pairs = read_pairs(store, *same)
    assert pairs.positions.tolist() == [0, 1, 2, 3, 4, 5]
    assert pairs.gold.tolist() == [0, 0, 1, 1, 0, -1]
    assert pairs.predicted_a.tolist() == [0, 0, 0, 1, 1, 0]
    assert pairs.predicted_b.tolist() == [0, 1, 1, 1, 1, 1]
    assert pairs.loss_b.tolist() == [0, 1, 2, 3, 4, 5]
    assert {array.dtype for array in pairs[:4]} == {np.dtype(np.int64)}


def test_the_largest_change_in_loss_comes_first(store: Store, same: tuple[Evaluation, Evaluation]) -> None:
    a, b = same
    with store.write() as db:
        db.execute("UPDATE predictions SET loss = 9 WHERE evaluation_key = ? AND position = 4", (b.key,))
        db.execute("UPDATE predictions SET loss = NULL WHERE evaluation_key = ? AND position = 0", (b.key,))
    assert list_flips(store, a, b, kind="all")["text"].tolist() == ["five", "two", "three", "four", "six", "one"]
    assert np.isnan(read_pairs(store, a, b).loss_b[0])


def test_runs_on_two_versions_pair_by_example_and_once(store: Store) -> None:
    first = make_dataset(store, "d", [("x", 0), ("y", 1), ("x", 1), ("gone", 0), ("z", 1)])
    second = make_dataset(store, "d", [("new", 0), ("z", 0), ("y", 1), ("x", 1), ("y", 0)])
    a = evaluate(store, "a", first, [0, 0, 1, 0, 1])
    b = evaluate(store, "b", second, [0, 0, 1, 1, 0])
    pairs = read_pairs(store, a, b)  # x: 0 and 1 · y: 0 and 1 · z: 1 and 0, gold as in the first version
    assert pairs.positions.tolist() == [0, 1, 4]
    assert pairs.gold.tolist() == [0, 1, 1]
    assert pairs.predicted_a.tolist() == [0, 0, 1]
    assert pairs.predicted_b.tolist() == [1, 1, 0]
    assert count_flips(store, a, b) == counts(2, 1, 0, 0, 3, 3)
    assert list_flips(store, a, b, kind="broken", search="z")["text"].tolist() == ["z"]
    back = read_pairs(store, b, a)
    assert back.positions.tolist() == [1, 2, 3]
    assert back.gold.tolist() == [0, 1, 1]
    assert back.predicted_b.tolist() == [1, 0, 0]


def test_splits_of_one_dataset_pair_by_example_too(store: Store) -> None:
    dataset = make_dataset(store, "d", [("x", 0), ("y", 1)])
    other = make_dataset(store, "e", [("y", 1), ("q", 1)], split="validation")
    pairs = read_pairs(
        store, evaluate(store, "a", dataset, [0, 1]), evaluate(store, "b", other, [0, 1], split="validation")
    )
    assert (pairs.positions.tolist(), pairs.predicted_a.tolist(), pairs.predicted_b.tolist()) == ([1], [1], [0])


def test_nothing_in_common(store: Store) -> None:
    a = evaluate(store, "a", make_dataset(store, "d", [("x", 0)]), [0])
    b = evaluate(store, "b", make_dataset(store, "e", [("y", 0)]), [0])
    assert all(len(array) == 0 for array in read_pairs(store, a, b))
    assert count_flips(store, a, b) == counts(0, 0, 0, 0, 0, 0)
    assert "p_b" in list_flips(store, a, b).columns


def test_the_history_of_one_example(store: Store, same: tuple[Evaluation, Evaluation]) -> None:
    make_dataset(store, "elsewhere", [("two", 1)])
    frame = list_example_history(store, example_id({"text": "two"}).hex())
    rows = frame[["run", "dataset", "split", "step", "position", "given", "predicted"]].to_numpy().tolist()
    assert rows == [["b", "d@1", "test", 5, 1, "no", "yes"], ["a", "d@1", "test", 5, 1, "no", "no"]]
    with store.write() as db:
        db.execute("UPDATE segments SET visible_until = 4 WHERE run_key = ?", (same[0].run_key,))
    assert list_example_history(store, example_id({"text": "two"}).hex())["run"].tolist() == ["b"]
    for unknown in ("00" * 16, "no hex", ""):
        assert list_example_history(store, unknown).empty
