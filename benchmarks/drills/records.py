"""What a run leaves behind, to the last bit: the same whether or not it was killed on the way."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from benchmarks.drills.workshop import Outcome
from store import Run, Status, Store, get_run, iter_dynamics, list_metrics
from store.evaluations import list_evaluations, read_predictions


@dataclass(frozen=True)
class Record:
    """What a run has left behind that must not depend on its having been killed."""

    curves: Mapping[tuple[str, int], str]
    """(metric, step) → the value to the last bit."""
    predictions: Mapping[tuple[str, int], bytes]
    dynamics: Mapping[int, bytes]


def record_of(store: Store, run: Run) -> Record:
    """Raises ValueError where a metric has two visible values for a step."""
    names = [row[0] for row in store.db.execute("SELECT name FROM metric_keys")]
    frame = list_metrics(store, [run.key], names)
    curves = {
        (str(metric), int(step)): float(value).hex()
        for metric, step, value in zip(frame["metric"], frame["step"], frame["value"], strict=True)
    }
    if len(curves) < len(frame):
        raise ValueError(f"{len(frame) - len(curves)} values are there twice")
    evaluations = list_evaluations(store, run.key)
    predictions = {
        (e.split, e.step): b"".join(np.ascontiguousarray(column).tobytes() for column in read_predictions(store, e))
        for e in evaluations
    }
    if len(predictions) < len(evaluations):
        raise ValueError(f"{len(evaluations) - len(predictions)} evaluations are there twice")
    return Record(curves, predictions, {row.epoch: row.words.tobytes() for row in iter_dynamics(store, run.key)})


def compare(name: str, seen: Record, reference: Record, outcome: Outcome) -> None:
    for what in ("curves", "predictions", "dynamics"):
        one, other = getattr(seen, what), getattr(reference, what)
        if missing := sorted(set(other) - set(one)):
            outcome.problems.append(f"{name}: {len(missing)} {what} are missing, such as {missing[0]}")
        if extra := sorted(set(one) - set(other)):
            outcome.problems.append(f"{name}: {len(extra)} {what} are too many, such as {extra[0]}")
        if changed := [key for key in other if key in one and one[key] != other[key]]:
            outcome.problems.append(f"{name}: {len(changed)} {what} differ, such as {changed[0]}")


def finished(store: Store, name: str) -> Run:
    run = get_run(store, name)
    if run.status != Status.FINISHED:
        raise RuntimeError(f"the undisturbed run {name} {run.status}: {run.cause}")
    return run
