"""A run that was killed and goes on ends as one that never stopped: every number, bit for bit."""

from collections.abc import Callable
from typing import Any

import pytest

import runner.trainer
from runner.progress import make_progress
from runner.resume import resume
from runner.trainer import RecordingTrainer
from store import Run, Store, get_cost, list_checkpoints, list_events, list_segments
from tests.runner.conftest import Kit
from tests.runner.sameness import differences, everything

# Three epochs of three steps: checkpoints in the middle of an epoch, at its end, and the loss logged across them.
STEPS = {
    "training__epochs": 3,
    "evaluation__every": 2,
    "recording__log_every": 4,
    "checkpoints__keep": "all",
    "training__learning_rate": 3e-3,
}


class Killed(BaseException):
    """As sudden as it gets within a process."""


Point = Callable[[pytest.MonkeyPatch], None]


def before(name: str, step: int, *, owner: Any = RecordingTrainer, skip: int = 0) -> Point:
    """Die where a method of the trainer is called at a step, the first time after `skip`."""

    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        original, left = getattr(owner, name), [skip]

        def dying(self: Any, *args: Any, **settings: Any) -> Any:
            if self.state.global_step == step:
                if not left[0]:
                    raise Killed
                left[0] -= 1
            return original(self, *args, **settings)

        monkeypatch.setattr(owner, name, dying)

    return patch


def within_writing(step: int) -> Point:
    """Die with the files of a checkpoint written in part."""

    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        original = runner.trainer.write_training_state

        def dying(folder: Any, run_id: str, counters: Any, *rest: Any) -> None:
            original(folder, run_id, counters, *rest)
            if counters.step == step:
                (folder / "manifest.json").unlink()
                raise Killed

        monkeypatch.setattr(runner.trainer, "write_training_state", dying)

    return patch


POINTS: dict[str, tuple[Point, int | None]] = {  # where, and the checkpoint that the run goes on from
    "in the first evaluation": (before("_evaluate_split", 0, skip=1), None),
    "before the first checkpoint": (before("training_step", 1), None),
    "in the middle of an epoch": (before("training_step", 5), 4),
    "at the first step of an epoch": (before("training_step", 6), 6),
    "right after a checkpoint": (before("_point_to_best", 4), 4),
    "in an evaluation": (before("_evaluate_split", 6, skip=1), 4),
    "within writing a checkpoint": (within_writing(6), 4),
    "right after the checkpoint at an epoch's end": (before("_point_to_best", 6), 6),
    "after the last step": (before("_load_best_model", 9), 9),
}


def go_on(store: Store, run: Run, **settings: Any) -> Run:
    return resume(store, run, make_progress("quiet"), command=["test"], **settings)


def killed(kit: Kit, store: Store, point: Point, **overrides: Any) -> Run:
    with pytest.MonkeyPatch.context() as patch:
        point(patch)
        run = kit.train(store, **overrides)
    assert run.status == "failed"
    assert "Killed" in (run.cause or "")
    return run


@pytest.fixture(scope="module")
def whole(kit: Kit, folder: Any) -> Callable[..., dict[str, Any]]:
    """What an uninterrupted run of these settings records; each trained once."""
    from store import open_store

    store = open_store(folder / "whole.db")
    known: dict[str, dict[str, Any]] = {}

    def get(**overrides: Any) -> dict[str, Any]:
        key = repr(sorted(overrides.items()))
        if key not in known:
            run = kit.train(store, **overrides)
            assert run.status == "finished", run.cause
            known[key] = everything(store, run)
        return known[key]

    return get


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("method", ["head", "lora", "full", "top-layers"])
def test_wherever_it_is_killed_it_ends_the_same(
    kit: Kit, store: Store, whole: Callable[..., dict[str, Any]], method: str, point: str
) -> None:
    settings = {**STEPS, "model__method": method}
    where, checkpoint = POINTS[point]
    run = killed(kit, store, where, **settings)
    ended = go_on(store, run)
    assert (ended.id, ended.status, ended.cause) == (run.id, "finished", None)
    assert [s.start_step for s in list_segments(store, run.key)] == [0, checkpoint or 0]
    assert differences(everything(store, ended), whole(**settings)) == []
    folders = {store.files / c.path for c in list_checkpoints(store, run.key, existing=True)}
    assert set((store.files / "runs" / run.id / "checkpoints").iterdir()) == folders
    assert not list(store.files.rglob("training")), "no training state remains"
