import warnings

import numpy as np
import pytest

from store import (
    NewRun,
    Recorder,
    RunHeld,
    ScoreRow,
    Status,
    Store,
    get_run,
    iter_dynamics,
    list_evaluations,
    list_latest,
    list_metrics,
    read_log,
    record_run,
)
from tests.store.builders import curve, locked, predict, start


def test_values_axes_and_what_is_not_finite(store: Store) -> None:
    with start(store) as recorder:
        recorder.log({"a": 1, "b": np.float32(0.5)}, 3, epoch=0.5, tokens=64)
        recorder.log({"a": float("inf")}, 4)
        recorder.log({"a": float("-inf")}, 5)
        recorder.log({"a": float("nan")}, 6)
    frame = list_metrics(store, [recorder.run.key], ["a", "b"])
    assert frame[["metric", "step"]].to_numpy().tolist() == [["a", 3], ["a", 4], ["a", 5], ["a", 6], ["b", 3]]
    assert frame["not_finite"].dropna().to_dict() == {1: "inf", 2: "-inf", 3: "nan"}
    assert frame["value"].isna().tolist() == [False, True, True, True, False]
    assert frame.loc[0, ["epoch", "tokens"]].tolist() == [0.5, 64]
    assert frame["seconds"].between(0, 60).all()
    (row,) = list_latest(store, [recorder.run.key]).query("metric == 'a'").itertuples()
    assert (row.n, row.latest_step, row.latest_not_finite, row.min_value, row.max_value) == (4, 6, "nan", 1, 1)


@pytest.mark.parametrize("wrong", ["1.5", None, [1.0, 2.0], "text", 1j, 10**400])
def test_log_refuses_what_is_no_number_and_records_none_of_the_call(store: Store, wrong: object) -> None:
    message = r"'bad'.*is not a number; log text with event\(\)"
    with start(store) as recorder, pytest.raises(TypeError, match=message):
        recorder.log({"good": 1.0, "bad": wrong}, 1)  # type: ignore[dict-item]  # that is the test
    assert curve(store, recorder, "good") == {}


def test_of_one_step_logged_twice_the_later_stays_in_whatever_way(store: Store) -> None:
    with start(store) as recorder:
        recorder.log({"a": 1.0, "b": 1.0, "c": 1.0}, 1)
        recorder.log({"a": 2.0}, 1)
        recorder.flush()
        recorder.log({"b": 2.0}, 1)
        recorder.log_columns({"c": ([1, 1], [5.0, 6.0]), "d": ([1], [1.0])})
        recorder.log({"d": 2.0}, 1)
    values = {name: curve(store, recorder, name) for name in "abcd"}
    assert values == {"a": {1: 2.0}, "b": {1: 2.0}, "c": {1: 6.0}, "d": {1: 2.0}}
    latest = list_latest(store, [recorder.run.key])
    assert latest["n"].tolist() == [1, 1, 1, 1]
    assert latest["min_value"].tolist() == [2, 2, 6, 2]


def test_bad_columns_are_refused_by_name(store: Store) -> None:
    with start(store) as recorder:
        with pytest.raises(ValueError, match=r"'a'.*one length"):
            recorder.log_columns({"a": ([1, 2], [1.0])})
        with pytest.raises(ValueError, match=r"'a'.*whole numbers"):
            recorder.log_columns({"a": ([1.5], [1.0])})
        with pytest.raises(ValueError, match="3 examples expected"):
            recorder.evaluation("test", 1, epoch=None, n_examples=3, scores=[], predictions=predict([1, 0]))
        with pytest.raises(ValueError, match="uint16"):
            recorder.dynamics(1, 1, n_classes=2, words=np.zeros((2, 2), dtype=np.float32))  # type: ignore[arg-type]  # that is the test
        with pytest.raises(ValueError, match="one d for every split"):
            recorder.embeddings({}, dataset_key=1, fingerprint="x", pooling="mean")


def test_buffers_may_be_filled_again_after_the_call(store: Store) -> None:
    with start(store) as recorder, locked(store):
        words, steps, values = np.full((2, 2), 7, np.uint16), np.arange(3), np.ones(3)
        recorder.dynamics(1, 1, n_classes=2, words=words)
        recorder.log_columns({"a": (steps, values)})
        words[:], steps[:], values[:] = 0, 9, 9
    assert [row.words.tolist() for row in iter_dynamics(store, recorder.run.key)] == [[[7, 7], [7, 7]]]
    assert curve(store, recorder, "a") == {0: 1.0, 1: 1.0, 2: 1.0}


@pytest.mark.parametrize(
    ("error", "status", "cause"),
    [
        (None, Status.FINISHED, None),
        (ValueError("no such label"), Status.FAILED, "ValueError: no such label"),
        (KeyboardInterrupt(), Status.KILLED, "interrupted (Ctrl-C)"),
    ],
)
def test_how_a_block_ends_is_how_the_run_ends(
    store: Store, error: BaseException | None, status: Status, cause: str | None
) -> None:
    run = record_run(store, NewRun("x"))
    same = error is None
    try:
        with Recorder(store, run) as recorder:
            assert get_run(store, run.key).status == Status.RUNNING
            recorder.log({"a": 1.0}, 1)
            if error is not None:
                raise error
    except BaseException as raised:
        same = raised is error
    assert same
    ended = get_run(store, run.key)
    assert (ended.status, ended.cause) == (status, cause)
    assert ended.ended_at is not None
    assert curve(store, recorder, "a") == {1: 1.0}


def test_the_error_of_the_block_is_not_hidden_by_rows_lost(store: Store) -> None:
    recorder = start(store)
    with warnings.catch_warnings(action="ignore"), pytest.raises(ZeroDivisionError) as caught, recorder:  # noqa: PT012  # the block is the thing tested
        recorder.log({"a": 1.0}, 2**70)
        raise ZeroDivisionError
    assert "rows of run" in caught.value.__notes__[0]


def test_a_run_is_recorded_by_one_process_at_a_time(store: Store) -> None:
    recorder = start(store)
    with store.write() as db:
        db.execute("UPDATE leases SET host = 'elsewhere'")
    with pytest.raises(RunHeld, match=r"is being recorded by process .* on elsewhere"):
        Recorder(store, recorder.run)
    recorder.finish()
    with Recorder(store, recorder.run) as again:  # it was let go
        assert get_run(store, recorder.run.key).ended_at is None
        again.text("second part\n")
    assert read_log(store, recorder.run.key) == "second part\n"


def test_an_evaluation_of_the_same_step_is_replaced(store: Store) -> None:
    with start(store) as recorder:
        for value in (0.5, 0.75):
            scores = [ScoreRow("accuracy", value, None, None, 2)]
            recorder.evaluation("test", 5, epoch=1.0, n_examples=2, scores=scores, predictions=predict([1, -1]))
        recorder.best(5)
    (evaluation,) = list_evaluations(store, recorder.run.key)
    assert evaluation.is_best
    assert store.db.execute("SELECT value FROM scores").fetchall() == [(0.75,)]
    assert store.db.execute("SELECT predicted FROM predictions").fetchall() == [(1,), (None,)]
    assert curve(store, recorder, "test/accuracy") == {5: 0.75}
