"""A run that goes on: one visible value per metric and step, whatever earlier stretches left behind."""

from dataclasses import astuple, replace

import numpy as np
import psutil
import pytest

from store import (
    NewRun,
    Recorder,
    Run,
    RunHeld,
    RunNotResumable,
    ScoreRow,
    Status,
    Store,
    get_evaluation,
    get_lease,
    get_run,
    list_checkpoints,
    list_dynamics,
    list_evaluations,
    list_events,
    list_latest,
    list_metrics,
    list_segments,
    open_segment,
    read_embeddings,
    record_run,
)
from store.holders import HOLDER_COLUMNS, this_process
from tests.store.builders import make_dataset, predict


def record(recorder: Recorder, steps: range, *, shift: float = 0.0) -> None:
    """Loss at each step; at every third an evaluation, an epoch's dynamics and a checkpoint."""
    for step in steps:
        recorder.log({"train/loss": 10 - step + shift}, step, epoch=step / 3)
        if step % 3 == 0:
            scores = [ScoreRow("accuracy", step / 10 + shift, None, None, 2)]
            recorder.evaluation(
                "test", step, epoch=step / 3, n_examples=2, scores=scores, predictions=predict([0, step % 2])
            )
            dynamics(recorder, step // 3, step)
            recorder.checkpoint(step, epoch=step / 3, path=f"c{step}", size_bytes=1, sha256="x", manifest={})
            recorder.best(step)


def dynamics(recorder: Recorder, epoch: int, step: int) -> None:
    recorder.dynamics(epoch, step, n_classes=2, words=np.full((4, 2), recorder.segment, dtype=np.uint16))


@pytest.fixture
def run(store: Store) -> Run:
    """Eight steps; the last two and part of the third epoch came after the last checkpoint."""
    run = record_run(store, NewRun("r", select_metric="test/accuracy"))
    recorder = Recorder(store, run)
    record(recorder, range(1, 9))
    dynamics(recorder, 3, 8)
    recorder.finish(Status.KILLED, "interrupted")
    return run


def losses(store: Store, run: Run) -> dict[int, float]:
    frame = list_metrics(store, [run.key], ["train/loss"])
    assert frame["step"].is_unique
    return dict(zip(frame["step"], frame["value"], strict=True))


def best(store: Store, run: Run) -> set[int]:
    return {e.step for e in list_evaluations(store, run.key) if e.is_best}


def test_the_tail_is_hidden_and_summaries_follow(store: Store, run: Run) -> None:
    assert open_segment(store, run, 6, n_epochs=2, best_step=3) == 2
    assert list(losses(store, run)) == [1, 2, 3, 4, 5, 6]
    (latest,) = list_latest(store, [run.key]).query("metric == 'train/loss'").itertuples()
    assert (latest.n, latest.latest_step, latest.min_value) == (6, 6, 4.0)
    assert list_dynamics(store, run.key) == [(1, 3), (2, 6)]
    assert best(store, run) == {3}
    assert [c.step for c in list_checkpoints(store, run.key) if c.is_best] == [3]
    assert [(s.number, s.start_step, s.visible_until) for s in list_segments(store, run.key)] == [
        (1, 0, 6),
        (2, 6, None),
    ]
    assert get_run(store, run.key).status == "running"
    assert get_lease(store, run.key) is not None
    assert list(list_events(store, run.key)["message"])[-1] == "segment 2: after step 6"


def test_going_on_gives_one_value_per_step(store: Store, run: Run) -> None:
    number = open_segment(store, run, 6, n_epochs=2, best_step=6)
    with Recorder(store, get_run(store, run.key), segment=number) as recorder:
        record(recorder, range(7, 10), shift=0.5)
    assert losses(store, run) == {**{s: 10 - s for s in range(1, 7)}, 7: 3.5, 8: 2.5, 9: 1.5}
    assert list_dynamics(store, run.key) == [(1, 3), (2, 6), (3, 9)]
    assert [e.step for e in list_evaluations(store, run.key)] == [3, 6, 9]
    assert best(store, run) == {9}


def test_an_epoch_in_part_at_the_very_step_of_the_checkpoint_is_not_doubled(store: Store, run: Run) -> None:
    """The training stopped right after a checkpoint in the middle of an epoch, and left that part of it."""
    again = open_segment(store, run, 8, n_epochs=2, best_step=6)
    assert list_dynamics(store, run.key) == [(1, 3), (2, 6)], "the new stretch records epoch 3 whole"
    with Recorder(store, get_run(store, run.key), segment=again) as recorder:
        dynamics(recorder, 3, 9)
    assert list_dynamics(store, run.key) == [(1, 3), (2, 6), (3, 9)]


def test_three_stretches_the_last_from_before_the_second(store: Store, run: Run) -> None:
    second = open_segment(store, run, 6, n_epochs=2, best_step=6)
    recorder = Recorder(store, get_run(store, run.key), segment=second)
    record(recorder, range(7, 10), shift=0.5)
    recorder.finish(Status.FAILED, "out of memory")
    third = open_segment(store, run, 3, n_epochs=1, best_step=3)
    assert list(losses(store, run)) == [1, 2, 3]
    with Recorder(store, get_run(store, run.key), segment=third) as recorder:
        record(recorder, range(4, 10), shift=0.25)
    assert losses(store, run) == {**{s: 10 - s for s in range(1, 4)}, **{s: 10.25 - s for s in range(4, 10)}}
    assert list_dynamics(store, run.key) == [(1, 3), (2, 6), (3, 9)]
    assert best(store, run) == {9}
    evaluation = get_evaluation(store, run.key, "test", 6)
    assert evaluation is not None
    assert evaluation.segment == third


def test_checkpoints_of_the_abandoned_tail_are_gone(store: Store, run: Run) -> None:
    open_segment(store, run, 3, n_epochs=1, best_step=3)
    assert [c.step for c in list_checkpoints(store, run.key, existing=True)] == [3]
    assert [c.step for c in list_checkpoints(store, run.key)] == [3, 6], "known that they were"


def test_from_the_start_hides_everything(store: Store, run: Run) -> None:
    assert open_segment(store, run, None) == 2
    assert losses(store, run) == {}
    assert list_dynamics(store, run.key) == []
    assert list_evaluations(store, run.key) == []
    assert len(list_latest(store, [run.key])) == 0
    assert list_checkpoints(store, run.key, existing=True) == []
    with Recorder(store, get_run(store, run.key), segment=2) as recorder:
        recorder.log({"train/loss": 1.0}, 0)
        record(recorder, range(1, 4))
    assert losses(store, run) == {0: 1.0, 1: 9, 2: 8, 3: 7}
    rows = store.db.execute("SELECT count(*) FROM metrics WHERE run_key = ? AND segment = 1", (run.key,)).fetchone()
    assert rows[0] > 8, "what was abandoned stays in the file"


def test_embeddings_of_the_abandoned_model_go(store: Store) -> None:
    dataset = make_dataset(store, "d", [("a", 0), ("b", 1)])
    run = record_run(store, NewRun("r", dataset_key=dataset.key))
    recorder = Recorder(store, run)
    vectors = {"test": np.zeros((2, 3), dtype=np.float16)}
    recorder.embeddings(vectors, dataset_key=dataset.key, fingerprint="f", pooling="mean")
    recorder.finish(Status.KILLED)
    open_segment(store, run, None)
    assert read_embeddings(store, run.key, "test") is None


@pytest.mark.parametrize("status", ["finished", "running", "queued"])
def test_only_a_run_that_ended_early_goes_on(store: Store, status: str) -> None:
    run = record_run(store, NewRun("r"), status=Status(status))
    with pytest.raises(RunNotResumable, match=f"is {status}"):
        open_segment(store, run, None)
    assert len(list_segments(store, run.key)) == 1


def test_another_process_that_lives_keeps_the_run(store: Store, run: Run) -> None:
    other = replace(this_process(), pid=1, process_started_at=psutil.Process(1).create_time())
    with store.write() as db:
        db.execute(
            f"INSERT INTO leases (run_key, {HOLDER_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)", (run.key, *astuple(other))
        )
    with pytest.raises(RunHeld, match="process 1"):
        open_segment(store, run, 6)
    assert len(list_segments(store, run.key)) == 1
    assert list(losses(store, run)) == list(range(1, 9))


def test_the_best_may_be_of_an_earlier_segment(store: Store, run: Run) -> None:
    number = open_segment(store, run, 6, n_epochs=2, best_step=3)
    with Recorder(store, get_run(store, run.key), segment=number) as recorder:
        record(recorder, range(7, 10))
        recorder.best(3, segment=1)
    assert [(e.segment, e.step) for e in list_evaluations(store, run.key) if e.is_best] == [(1, 3)]
    assert [(c.segment, c.step) for c in list_checkpoints(store, run.key) if c.is_best] == [(1, 3)]
