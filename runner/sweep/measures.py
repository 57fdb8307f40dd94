"""What a trial reached: the objectives of a sweep, read from its run."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from runner.recipe.objectives import LATENCY
from store import Objective, Run, Store, TrialReport, get_cost, get_evaluation, list_evaluations, list_scores
from store.evaluations import read_answers


def measure(
    store: Store, run: Run, objectives: Sequence[Objective], latency_ms: float | None = None
) -> tuple[float | None, ...]:
    """The objectives in their order, scores at the checkpoint that the select metric picked; None: not measured."""
    scores = list_scores(store, [run.key], best_only=True)
    scores = scores[scores["split"] == "validation"]
    found = {f"validation/{metric}": value for metric, value in zip(scores["metric"], scores["value"], strict=True)}
    cost = get_cost(store, run.key)
    values: list[float | None] = []
    for objective in objectives:
        kind, _, name = objective.metric.partition("/")
        value = found.get(objective.metric) if kind == "validation" else getattr(cost, name, None)
        value = latency_ms if objective.metric == LATENCY else value
        values.append(None if value is None or np.isnan(value) else float(value))
    return tuple(values)


def last_report(store: Store, run: Run, rung: int, value: float | None) -> TrialReport | None:
    """What a finished run says at its end, as a report; None for a run that was never evaluated."""
    evaluations = [each for each in list_evaluations(store, run.key) if each.split == "validation"]
    if not evaluations:
        return None
    last = max(evaluations, key=lambda each: each.step)
    return TrialReport(rung, last.step, last.epoch, value)


def losses_at(store: Store, run_key: int, step: int) -> NDArray[np.float64] | None:
    """Validation losses (n,) by position at a step; None where no predictions were recorded there."""
    evaluation = get_evaluation(store, run_key, "validation", step)
    if evaluation is None:
        return None
    losses = read_answers(store, evaluation).loss
    return losses if len(losses) == evaluation.n_examples and len(losses) else None
