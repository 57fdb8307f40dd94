"""A disk that fills up while a training saves its checkpoints: it goes on, says so, and recovers."""

import errno
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest

import runner.pauses
import runner.trainer
from runner.control import Report
from runner.progress import make_progress
from runner.recipe import parse_recipe
from runner.resume import resume
from runner.train import train
from runner.trainer import RecordingTrainer
from store import Run, Store, list_checkpoints, list_evaluations, list_events, list_scores
from tests.runner.conftest import Kit
from tests.runner.sameness import differences, everything

HEAD = {"model__method": "head", "training__epochs": 4, "checkpoints__keep": "all"}  # checkpoints at 3, 6, 9, 12
FIRST_IS_BEST = {"training__epochs": 3, "training__head_learning_rate": 0.3, "training__schedule": "constant"}
BY_LOSS = {"evaluation__select": "validation/loss"}


def fill(patch: pytest.MonkeyPatch, steps: Collection[int]) -> None:
    """The disk is full whenever a checkpoint of these steps is written, at the last of its files."""
    original = runner.trainer.write_training_state

    def write(folder: Path, run_id: str, counters: Any, *rest: Any) -> None:
        if counters.step in steps:
            raise OSError(errno.ENOSPC, "No space left on device")
        original(folder, run_id, counters, *rest)

    patch.setattr(runner.trainer, "write_training_state", write)


def train_full(kit: Kit, store: Store, steps: Collection[int], **settings: Any) -> Run:
    with pytest.MonkeyPatch.context() as patch:
        fill(patch, steps)
        return kit.train(store, **{**HEAD, **settings})


def warnings_of(store: Store, run: Run) -> list[str]:
    events = list_events(store, run.key)
    return [str(text) for text in events[events["kind"] == "warning"]["message"]]


def saved(store: Store, run: Run) -> list[int]:
    return [checkpoint.step for checkpoint in list_checkpoints(store, run.key, existing=True)]


def losses(store: Store, run: Run) -> dict[int, float]:
    found = list_scores(store, [run.key]).query("split == 'validation' and metric == 'loss' and step > 0")
    return dict(zip(found["step"], found["value"], strict=True))


def best(store: Store, run: Run) -> set[int]:
    """The best by the evaluations, which is that by the checkpoints."""
    steps = {e.step for e in list_evaluations(store, run.key) if e.is_best}
    assert {c.step for c in list_checkpoints(store, run.key) if c.is_best} == steps
    return steps


def test_training_goes_on_and_says_so_once_an_episode(kit: Kit, store: Store) -> None:
    calm = kit.train(store, **HEAD)
    run = train_full(kit, store, (6, 9))
    assert run.status == "finished", run.cause
    assert saved(store, run) == [3, 12]
    assert losses(store, run) == losses(store, calm), "every evaluation is there, and nothing else has changed"
    assert best(store, run) <= {3, 12}
    first, *lost, second = warnings_of(store, run)
    assert all("are lost" in text for text in lost)
    assert first.startswith("no checkpoint of step 6: disk full: the checkpoint does not fit in ")
    assert first.endswith("Training goes on and tries again at every evaluation; the newest is that of step 3.")
    assert second == "checkpoints are saved again, from step 12 on; since step 6 there are 2 missing."


def test_the_best_is_always_one_that_is_saved(kit: Kit, store: Store) -> None:
    """The weights of step 3 are the best and are lost: the run ends with the best of those that it has."""
    run = train_full(kit, store, (3,), **FIRST_IS_BEST, **BY_LOSS)
    assert run.status == "finished", run.cause
    value = losses(store, run)
    assert min(value, key=value.__getitem__) == 3
    assert best(store, run) == {min(saved(store, run), key=value.__getitem__)}
    assert any(
        text.startswith(f"the weights of step 3, the best with validation/loss {value[3]:.4g}, are lost")
        and text.endswith("the best so far is the next one that is saved.")
        for text in warnings_of(store, run)
    )


def test_the_best_before_stands_in_for_one_that_is_lost(kit: Kit, store: Store) -> None:
    """Each evaluation is better than the one before; the middle two are lost."""
    better = {"model__method": "full", "training__learning_rate": 5e-3, "training__batch_size": 8}
    run = train_full(kit, store, (24, 36), **better, checkpoints__keep="best", **BY_LOSS)
    assert run.status == "finished", run.cause
    value = losses(store, run)
    assert value[12] > value[24] > value[36] > value[48]
    assert best(store, run) == {48} == set(saved(store, run))
    lost = [text for text in warnings_of(store, run) if "are lost" in text]
    assert [f"the best so far is step 12 again ({value[12]:.4g})" in text for text in lost] == [True, True]


def go_on(store: Store, run: Run) -> Run:
    return resume(store, run, make_progress("quiet"), command=["test"])


@pytest.mark.parametrize(
    ("full", "newest"),
    [((6,), 3), ((3,), 6), ((3, 6), None)],  # the best of all is 3; where it is lost, 6 does not name it
)
def test_a_run_that_is_killed_later_goes_on(
    kit: Kit, store: Store, full: tuple[int, ...], newest: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    calm = kit.train(store, **{**HEAD, **FIRST_IS_BEST, **BY_LOSS})
    original = RecordingTrainer.training_step

    def step(self: RecordingTrainer, *args: Any, **rest: Any) -> Any:
        if self.state.global_step == 7:
            raise KeyboardInterrupt
        return original(self, *args, **rest)

    with monkeypatch.context() as patch:
        patch.setattr(RecordingTrainer, "training_step", step)
        run = train_full(kit, store, full, **FIRST_IS_BEST, **BY_LOSS)
    assert run.status == "killed"
    ended = go_on(store, run)
    assert ended.status == "finished", ended.cause
    assert ("resumed", f"segment 2: {'again from the start' if newest is None else f'after step {newest}'}") in [
        (kind, text) for kind, text in list_events(store, run.key)[["kind", "message"]].itertuples(index=False)
    ]
    assert losses(store, ended) == losses(store, calm)
    if 3 not in full or newest is None:
        assert differences(everything(store, ended), everything(store, calm)) == []
    else:
        assert best(store, ended) == {min(saved(store, ended), key=losses(store, ended).__getitem__)}


def test_the_last_checkpoint_has_to_be_there(kit: Kit, store: Store) -> None:
    calm = kit.train(store, **HEAD)
    run = train_full(kit, store, (9, 12))
    assert run.status == "failed"
    assert str(run.cause).startswith("disk full: the checkpoint does not fit in ")
    assert str(run.cause).endswith("Training is done, but this last checkpoint is one of those to keep.")
    ended = go_on(store, run)
    assert differences(everything(store, ended), everything(store, calm)) == []


def test_a_last_checkpoint_that_nobody_wants_may_be_missing(kit: Kit, store: Store) -> None:
    run = train_full(kit, store, (9,), checkpoints__keep="best", **FIRST_IS_BEST, **BY_LOSS)
    assert run.status == "finished", run.cause
    assert saved(store, run) == [3]


def test_without_any_checkpoint_a_run_has_not_finished(kit: Kit, store: Store) -> None:
    run = train_full(kit, store, range(99), checkpoints__keep="best", **FIRST_IS_BEST, **BY_LOSS)
    assert run.status == "failed"
    assert saved(store, run) == []


def test_early_stopping_counts_what_was_measured(kit: Kit, store: Store) -> None:
    still = {"training__learning_rate": 1e-9, "training__head_learning_rate": 1e-9, "training__epochs": 12}
    run = train_full(kit, store, (3, 6), **still, training__early_stopping=2)
    assert run.status == "finished", run.cause
    assert sorted(losses(store, run)) == [3, 6, 9], "the first is the best, two more do not improve"
    assert best(store, run) == {9} == set(saved(store, run))


class Steering:
    rungs = (0.5,)

    def report(self, report: Report) -> bool:
        return False


def test_a_rung_needs_its_checkpoint(kit: Kit, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(monkeypatch, (6,))
    text = kit.text({path.replace("__", "."): value for path, value in HEAD.items()})
    loaded = parse_recipe(text, folder=kit.folder)
    run = train(loaded, store, make_progress("quiet"), command=["test"], control=Steering())
    assert run.status == "failed"
    assert str(run.cause).endswith("Without it the run cannot be stopped at this rung.")


def test_a_pause_needs_its_checkpoint(kit: Kit, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    original = RecordingTrainer._maybe_log_save_evaluate

    def pausing(self: Any, *args: Any, **rest: Any) -> None:
        monkeypatch.setattr(runner.pauses, "is_asked", lambda: self.state.global_step == 5)
        original(self, *args, **rest)

    monkeypatch.setattr(RecordingTrainer, "_maybe_log_save_evaluate", pausing)
    run = train_full(kit, store, (5,))
    assert run.status == "failed"
    assert str(run.cause).endswith("Without it the run cannot be paused.")
