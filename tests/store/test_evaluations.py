import numpy as np
import pandas as pd
import pytest

from store import (
    Evaluation,
    NewRun,
    Recorder,
    ScoreRow,
    Store,
    count_predictions,
    get_evaluation,
    list_evaluations,
    list_predictions,
    list_scores,
    read_answers,
    read_predictions,
    record_run,
)
from store.evaluations import match_query
from tests.store.builders import make_dataset, predict

ROWS = [("the bus was late", 0), ("the bus came", 1), ("no bus at all", 0), ("walked home", 1)]


@pytest.fixture
def evaluation(store: Store) -> Evaluation:
    dataset = make_dataset(store, "d", ROWS)
    with Recorder(store, record_run(store, NewRun("x", dataset_key=dataset.key))) as recorder:
        for step, predicted in ((0, [0, 0, 0, 0]), (5, [0, 0, 1, 1])):
            scores = [ScoreRow("accuracy", 0.5, 0.2, 0.8, 4), ScoreRow("unknown", None, None, None, 0)]
            predictions = predict(predicted, [0.1, 3.0, float("nan"), 0.2])
            recorder.evaluation("test", step, epoch=step / 5, n_examples=4, scores=scores, predictions=predictions)
        recorder.best(5)
    found = get_evaluation(store, recorder.run.key, "test")
    assert found is not None
    return found


def test_which_evaluation(store: Store, evaluation: Evaluation) -> None:
    assert (evaluation.step, evaluation.is_best, evaluation.n_examples) == (5, True, 4)
    first = get_evaluation(store, evaluation.run_key, "test", 0)
    assert first is not None
    assert (first.step, first.is_best) == (0, False)
    assert get_evaluation(store, evaluation.run_key, "validation") is None
    assert get_evaluation(store, evaluation.run_key, "test", 3) is None
    assert [e.step for e in list_evaluations(store, evaluation.run_key)] == [0, 5]


def test_scores_keep_the_unknown_unknown(store: Store, evaluation: Evaluation) -> None:
    frame = list_scores(store, [evaluation.run_key], best_only=True)
    assert frame["metric"].tolist() == ["accuracy", "unknown"]
    assert frame.loc[0, ["value", "low", "high", "n"]].tolist() == [0.5, 0.2, 0.8, 4]
    assert frame.loc[1, ["value", "low", "high"]].isna().all()
    assert len(list_scores(store, [evaluation.run_key])) == 4
    assert list_scores(store, []).empty


def test_predictions_round_trip(store: Store, evaluation: Evaluation) -> None:
    read = read_predictions(store, evaluation)
    assert read.predicted.tolist() == [0, 0, 1, 1]
    assert read.predicted.dtype == np.int64
    np.testing.assert_array_equal(read.loss, [0.1, 3.0, np.nan, 0.2])
    np.testing.assert_array_equal(read.margin, predict([0] * 4).margin)


def test_answers_are_two_columns_of_the_predictions(store: Store) -> None:
    dataset = make_dataset(store, "d", ROWS)
    with Recorder(store, record_run(store, NewRun("x", dataset_key=dataset.key))) as recorder:
        predictions = predict([1, -1, 0, 1], [0.1, 3.0, float("nan"), 0.2])
        recorder.evaluation("test", 1, epoch=None, n_examples=4, scores=[], predictions=predictions)
        recorder.evaluation("test", 2, epoch=None, n_examples=4, scores=[], predictions=None)
    first, second = list_evaluations(store, recorder.run.key)
    answers, read = read_answers(store, first), read_predictions(store, first)
    assert answers.predicted.tolist() == read.predicted.tolist() == [1, -1, 0, 1]
    assert answers.predicted.dtype == np.int64
    np.testing.assert_array_equal(answers.loss, read.loss)
    assert [column.shape for column in read_answers(store, second)] == [(0,), (0,)]


@pytest.mark.parametrize(
    ("filters", "n"),
    [
        ({}, 4),
        ({"wrong_only": True}, 2),
        ({"given": 0, "predicted": 1}, 1),
        ({"search": "bus"}, 3),
        ({"search": "bus", "wrong_only": True, "given": 1}, 1),
        ({"given": 7}, 0),
        ({"search": '" OR 1=1'}, 0),
    ],
)
def test_count_is_the_number_of_rows_listed(
    store: Store, evaluation: Evaluation, filters: dict[str, object], n: int
) -> None:
    assert count_predictions(store, evaluation, **filters) == n  # type: ignore[arg-type]  # keyword arguments by name
    assert len(list_predictions(store, evaluation, **filters)) == n  # type: ignore[arg-type]  # as above


def positions(frame: pd.DataFrame) -> list[int]:
    return [int(position) for position in frame["position"]]


def test_pages_of_predictions(store: Store, evaluation: Evaluation) -> None:
    assert positions(list_predictions(store, evaluation)) == [1, 3, 0, 2]  # a loss that is unknown comes last
    assert positions(list_predictions(store, evaluation, order="position", limit=2, offset=1)) == [1, 2]
    assert positions(list_predictions(store, evaluation, order="margin")) == [0, 1, 2, 3]
    assert positions(list_predictions(store, evaluation, order="confidence")) == [3, 2, 1, 0]
    assert positions(list_predictions(store, evaluation, wrong_only=True)) == [1, 2]
    assert positions(list_predictions(store, evaluation, given=0, predicted=1)) == [2]
    assert positions(list_predictions(store, evaluation, search="bus la")) == [0]
    (row,) = list_predictions(store, evaluation, given=1, wrong_only=True).itertuples()
    assert (row.text, row.given, row.predicted, row.loss) == ("the bus came", 1, 0, 3.0)
    with pytest.raises(ValueError, match="cannot order by 'x'; choose one of loss"):
        list_predictions(store, evaluation, order="x")


@pytest.mark.parametrize(
    "search", ['"', '""', "bus'; DROP TABLE runs", "bus AND", "NEAR(", "bus*", "-", "^bus", "text:bus", "(", "é", " "]
)
def test_a_search_may_hold_anything(store: Store, evaluation: Evaluation, search: str) -> None:
    frame = list_predictions(store, evaluation, search=search)
    assert list(frame.columns)[:3] == ["position", "example_id", "text"]
    assert len(frame) <= 4


def test_match_query() -> None:
    assert match_query('late "bus" AND') == '"late" "bus" "AND"*'
    assert match_query(' " ') == '""'


def test_views_for_people(store: Store, evaluation: Evaluation) -> None:
    def view(name: str, columns: str, order: str) -> list[tuple[object, ...]]:
        return store.db.execute(f"SELECT {columns} FROM {name} ORDER BY {order}").fetchall()

    assert view("run_metrics", "run, metric, step, value", "step") == [
        ("x", "test/accuracy", 0, 0.5),
        ("x", "test/accuracy", 5, 0.5),
    ]
    assert view("run_scores", "run, split, step, is_best, metric, value", "step, metric")[2:] == [
        ("x", "test", 5, 1, "accuracy", 0.5),
        ("x", "test", 5, 1, "unknown", None),
    ]
    assert view("dataset_examples", "dataset, version, split, position, text, target", "position")[:2] == [
        ("d", 1, "test", 0, "the bus was late", "no"),
        ("d", 1, "test", 1, "the bus came", "yes"),
    ]
    assert view("run_predictions", "step, text, given, predicted, loss", "step, position")[5:7] == [
        (5, "the bus came", "yes", "no", 3.0),
        (5, "no bus at all", "no", "yes", None),
    ]


def test_abandoned_evaluations_are_hidden_everywhere(store: Store, evaluation: Evaluation) -> None:
    with store.write() as db:
        db.execute("UPDATE segments SET visible_until = 4")
    assert [e.step for e in list_evaluations(store, evaluation.run_key)] == [0]
    assert set(list_scores(store, [evaluation.run_key])["step"]) == {0}
    for view in ("run_scores", "run_predictions", "run_metrics"):
        assert store.db.execute(f"SELECT DISTINCT step FROM {view}").fetchall() == [(0,)]
