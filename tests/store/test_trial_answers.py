"""What several runs answered for one split, side by side: only where they answered the same questions."""

import numpy as np

from store import Dataset, NewRun, Recorder, Run, ScoreRow, Store, record_run
from store.trial_answers import read_together
from tests.store.builders import make_dataset, predict

ROWS = [("a fine day", 1), ("rain", 0), ("sun", 1)]


def answered(store: Store, dataset: Dataset | None, predicted: list[int] | None, split: str = "test") -> Run:
    """A run with its best checkpoint at step 2, and another before it; None: it recorded no predictions."""
    run = record_run(store, NewRun("r", dataset_key=None if dataset is None else dataset.key))
    with Recorder(store, run) as recorder:
        for step, said in ((1, [0] * len(ROWS)), (2, predicted)):
            predictions = None if predicted is None or said is None else predict(said)
            scores = [ScoreRow("accuracy", step / 10, None, None, len(ROWS))]
            recorder.evaluation(split, step, epoch=1.0, n_examples=len(ROWS), scores=scores, predictions=predictions)
        recorder.best(2)
    return run


def test_answers_at_the_best_checkpoints_lie_side_by_side(store: Store) -> None:
    dataset = make_dataset(store, "weather", ROWS)
    runs = [answered(store, dataset, [1, 0, 1]), answered(store, dataset, [1, 1, 0])]
    found = read_together(store, [runs[1].key, runs[0].key], "test")
    assert found is not None
    gold, answers = found
    assert gold.tolist() == [1, 0, 1]
    assert [each.predicted.tolist() for each in answers] == [[1, 1, 0], [1, 0, 1]], "in the order of the keys"
    assert np.isfinite(answers[0].loss).all()


def test_versions_with_the_same_examples_and_labels_are_compared(store: Store) -> None:
    one, same = make_dataset(store, "one", ROWS), make_dataset(store, "two", ROWS)
    relabelled = make_dataset(store, "three", [("a fine day", 0), *ROWS[1:]])
    turned = make_dataset(store, "four", ROWS[::-1])
    fewer = make_dataset(store, "five", ROWS[:2])
    first = answered(store, one, [1, 0, 1])
    assert read_together(store, [first.key, answered(store, same, [1, 0, 1]).key], "test") is not None
    for other in (relabelled, turned, fewer):
        assert read_together(store, [first.key, answered(store, other, [1, 0, 1]).key], "test") is None, other.name


def test_what_was_not_recorded_is_not_compared(store: Store) -> None:
    dataset = make_dataset(store, "weather", ROWS)
    known = answered(store, dataset, [1, 0, 1])
    assert read_together(store, [], "test") is None
    assert read_together(store, [known.key], "validation") is None, "another split"
    assert read_together(store, [known.key, answered(store, dataset, None).key], "test") is None, "no predictions"
    assert read_together(store, [known.key, answered(store, None, [1, 0, 1]).key], "test") is None, "no data"
    with store.write() as db:
        db.execute("DELETE FROM predictions WHERE position = 2")
    assert read_together(store, [known.key], "test") is None, "some of them are lost"
