"""Rungs: a run says how good it is, is pruned or goes on, and is none the worse for having been asked."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from runner.control import Report, rung_steps
from runner.progress import make_progress
from runner.recipe import parse_recipe
from runner.resume import resume
from runner.train import train
from runner.trainer import RecordingTrainer
from store import (
    Run,
    Store,
    get_evaluation,
    list_checkpoints,
    list_dynamics,
    list_evaluations,
    list_events,
    list_runs,
    list_scores,
    list_segments,
    open_store,
    read_embeddings,
    read_predictions,
)
from tests.runner.conftest import Kit
from tests.runner.sameness import differences, everything

# Three epochs of three steps.
PLAIN = {"training__epochs": 3, "model__method": "lora", "checkpoints__keep": "best"}


class Steering:
    """Notes what it is told and stops where it was told to."""

    def __init__(self, store: Store, rungs: Sequence[float], stop_at: Sequence[int] = ()) -> None:
        self.rungs = tuple(rungs)
        self.reports: list[Report] = []
        self.n_predictions: list[int] = []
        self._store, self._stop_at = store, stop_at

    def report(self, report: Report) -> bool:
        self.reports.append(report)
        run_key = int(list_runs(self._store)["key"].iloc[0])  # what was said of the examples is in the store by now
        evaluation = get_evaluation(self._store, run_key, "validation", report.step)
        assert evaluation is not None
        self.n_predictions.append(len(read_predictions(self._store, evaluation).predicted))
        return report.rung in self._stop_at


def steer(kit: Kit, store: Store, control: Any, **overrides: Any) -> Run:
    text = kit.text({path.replace("__", "."): value for path, value in {**PLAIN, **overrides}.items()})
    loaded = parse_recipe(text, folder=kit.folder)
    return train(loaded, store, make_progress("quiet"), command=["test"], control=control)


def go_on(store: Store, run: Run, control: Any) -> Run:
    return resume(store, run, make_progress("quiet"), command=["test"], control=control)


def evaluated(store: Store, run: Run) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for evaluation in list_evaluations(store, run.key):
        found.setdefault(evaluation.split, []).append(evaluation.step)
    return found


@pytest.fixture(scope="module")
def unasked(kit: Kit, folder: Any) -> Callable[..., dict[str, Any]]:
    """What a run of these settings records that nobody steers."""
    store = open_store(folder / "unasked.db")
    known: dict[str, dict[str, Any]] = {}

    def get(**overrides: Any) -> dict[str, Any]:
        key = repr(sorted(overrides.items()))
        if key not in known:
            known[key] = everything(store, steer(kit, store, None, **overrides))
        return known[key]

    return get


def comparable(found: dict[str, Any], rungs: Sequence[int]) -> dict[str, Any]:
    """What was recorded, but for the evaluations that only rungs made."""

    def kept(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        lines = value.splitlines()
        return [x for x in lines if not ("validation" in x and any(f",{rung}," in x for rung in rungs))]

    extra = {f"predictions ('validation', {rung})" for rung in rungs} | {"summaries"}
    return {name: kept(value) for name, value in found.items() if name not in extra}


def test_each_rung_is_reported_with_the_validation_scores(kit: Kit, store: Store) -> None:
    control = Steering(store, (0.2, 1 / 3, 0.9))
    run = steer(kit, store, control)
    assert run.status == "finished", run.cause
    assert [(r.rung, r.step, r.epoch) for r in control.reports] == [(0, 2, 2 / 3), (1, 3, 1.0)], "9 of 9 is no rung"
    assert evaluated(store, run) == {"validation": [0, 2, 3, 6, 9], "test": [0, 3, 6, 9]}
    assert control.n_predictions == [30, 30]
    frame = list_scores(store, [run.key])
    for report in control.reports:
        scores = frame[(frame["split"] == "validation") & (frame["step"] == report.step)]
        assert report.values == {f"validation/{r.metric}": r.value for r in scores.itertuples()}


@pytest.mark.parametrize(("every", "extra"), [("epoch", [4, 5]), (2, [3, 5])])
def test_being_asked_changes_nothing(
    kit: Kit, store: Store, unasked: Callable[..., dict[str, Any]], every: Any, extra: list[int]
) -> None:
    """Rungs within an epoch, at its end, and at evaluations."""
    control = Steering(store, (3 / 9, 4 / 9, 5 / 9))
    run = steer(kit, store, control, evaluation__every=every)
    assert [r.step for r in control.reports] == [3, 4, 5]
    assert sorted(evaluated(store, run)["validation"]) == sorted({*extra, *evaluated(store, run)["test"]})
    found, expected = everything(store, run), unasked(evaluation__every=every)
    assert differences(comparable(found, extra), comparable(expected, extra)) == []


@pytest.mark.parametrize("step", [2, 3, 5])
@pytest.mark.parametrize("every", ["epoch", 2])
def test_a_pruned_run_can_be_taken_up_again(
    kit: Kit, store: Store, unasked: Callable[..., dict[str, Any]], every: Any, step: int
) -> None:
    control = Steering(store, (step / 9,), stop_at=(0,))
    run = steer(kit, store, control, evaluation__every=every)
    assert (run.status, run.cause) == ("pruned", f"stopped at rung 1, step {step} of 9")
    assert max(evaluated(store, run)["validation"]) == step
    assert max(c.step for c in list_checkpoints(store, run.key, existing=True)) == step
    assert (2, step) in list_dynamics(store, run.key) or step <= 3, "the epoch as far as it got"
    (best,) = {e.step for e in list_evaluations(store, run.key) if e.is_best}
    assert best <= step
    ended = go_on(store, run, Steering(store, (step / 9, 8 / 9)))
    assert ended.status == "finished", ended.cause
    assert [s.start_step for s in list_segments(store, run.key)] == [0, step]
    found, expected = everything(store, ended), unasked(evaluation__every=every)
    extra = [rung for rung in (step, 8) if rung % (3 if every == "epoch" else 2)]
    assert differences(comparable(found, extra), comparable(expected, extra)) == []


def test_a_pruned_run_is_not_asked_twice_about_its_rung(kit: Kit, store: Store) -> None:
    run = steer(kit, store, Steering(store, (2 / 9, 5 / 9), stop_at=(0,)))
    again = Steering(store, (2 / 9, 5 / 9), stop_at=(1,))
    run = go_on(store, run, again)
    assert [r.rung for r in again.reports] == [1]
    assert run.status == "pruned"
    last = Steering(store, (2 / 9, 5 / 9))
    assert go_on(store, run, last).status == "finished"
    assert last.reports == []


def test_a_run_that_was_killed_before_its_answer_asks_again(kit: Kit, store: Store) -> None:
    class Dying(Steering):
        def report(self, report: Report) -> bool:
            super().report(report)
            raise MemoryError

    control = Dying(store, (5 / 9,))
    run = steer(kit, store, control)
    assert run.status == "failed"
    again = Steering(store, (5 / 9,), stop_at=(0,))
    assert go_on(store, run, again).status == "pruned"
    assert again.reports == control.reports
    assert [s.start_step for s in list_segments(store, run.key)] == [0, 5]


def test_without_checkpoints_a_pruned_run_starts_again(kit: Kit, store: Store) -> None:
    run = steer(kit, store, Steering(store, (5 / 9,), stop_at=(0,)), checkpoints__keep="none")
    assert run.status == "pruned"
    again = Steering(store, (5 / 9,))
    ended = go_on(store, run, again)
    assert ended.status == "finished"
    assert [r.step for r in again.reports] == [5]
    assert evaluated(store, ended)["validation"] == [0, 3, 5, 6, 9]


def test_the_best_of_a_run_pruned_before_any_evaluation_is_its_rung(kit: Kit, store: Store) -> None:
    run = steer(kit, store, Steering(store, (2 / 9,), stop_at=(0,)))
    assert {(e.split, e.step) for e in list_evaluations(store, run.key) if e.is_best} == {("validation", 2)}
    row = list_runs(store).iloc[0]
    assert row["value"] == row["value"], "the table of runs has its score"


def test_early_stopping_at_a_rung_ends_the_run_as_finished(kit: Kit, store: Store) -> None:
    stalled = {"training__learning_rate": 1e-9, "training__head_learning_rate": 1e-9, "training__early_stopping": 1}
    control = Steering(store, (6 / 9,), stop_at=(0,))
    assert steer(kit, store, control, **stalled).status == "finished"
    assert control.reports == []


def test_pruned_runs_leave_no_trace_of_failure(kit: Kit, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[int] = []
    monkeypatch.setattr(RecordingTrainer, "_load_best_model", lambda self: loaded.append(1))
    run = steer(kit, store, Steering(store, (5 / 9,), stop_at=(0,)))
    assert list(list_events(store, run.key)["kind"]) == []
    assert read_embeddings(store, run.key, "train") is None
    assert loaded == []


@pytest.mark.parametrize("rungs", [(0.0,), (1.0,), (0.5, 0.5), (0.6, 0.2), (-1.0,)])
def test_rungs_increase_within_the_run(rungs: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="rungs must be fractions that increase"):
        rung_steps(rungs, 10)


def test_rungs_of_a_short_run() -> None:
    assert rung_steps((0.1, 0.2, 0.9), 2) == {1: 1}, "of two at one step the last; none at the end"
    assert rung_steps((1 / 3, 2 / 3), 9) == {3: 0, 6: 1}
    assert rung_steps((), 9) == {}
