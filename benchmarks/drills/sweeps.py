"""Sweeps whose drivers and workers are killed."""

import contextlib
import random
import time
from pathlib import Path

from benchmarks.drills.workshop import Outcome, Workshop, command, kill_one, look_over
from store import open_store

_SWEEP = """
[sweep]
trials = 6
sampler = "random"
pruner = "asha"
eta = 2
first_rung = 0.25
retries = 100
[sweep.space]
"model.method" = ["head", "lora"]
"training.learning_rate" = { low = 1e-4, high = 1e-2, log = true }
"""


def drill_sweep(workshop: Workshop, n_kills: int, rng: random.Random, outcome: Outcome) -> None:
    """Kill a sweep's driver or one of its workers; give the same command again until every sweep has come through."""
    recipe = workshop.recipe("search", "head", _SWEEP)
    began = time.monotonic()
    undisturbed = workshop.folder / "undisturbed.db"
    command(workshop, "sweep", recipe, undisturbed).wait()
    seconds = time.monotonic() - began
    reference = _trials(undisturbed)
    if not reference:
        raise RuntimeError("the undisturbed sweep has no trials; see the output above")
    n_before, number = outcome.total, 0
    while outcome.total - n_before < n_kills:
        path = workshop.folder / f"sweep-{number}.db"
        number += 1
        while True:
            process = command(workshop, "sweep", recipe, path)
            is_over = kill_one(process, rng.uniform(0.0, seconds), ("driver", "trial worker"), rng, outcome)
            outcome.n_restarts += 1
            if path.exists():
                look_over(path, outcome)
            if is_over:
                break
        if process.returncode:
            outcome.problems.append(f"sweep {number} ended with exit code {process.returncode}")
        trials = _trials(path)
        if trials != reference:
            differing = [key for key in {*trials, *reference} if trials.get(key) != reference.get(key)]
            outcome.problems.append(
                f"sweep {number}: {len(differing)} of {len(reference)} trials are not those of an undisturbed sweep, "
                f"such as {differing[0]}: {trials.get(differing[0])} instead of {reference.get(differing[0])}"
            )


def _trials(path: Path) -> dict[tuple[int, int], tuple[str, str, str]]:
    """(number, seed) → parameters, status and objective values of a sweep's trials."""
    with contextlib.closing(open_store(path, create=False)) as store:
        rows_ = store.db.execute("SELECT number, seed, parameters, status, objective_values FROM trials").fetchall()
    return {(number, seed): (parameters, status, str(values)) for number, seed, parameters, status, values in rows_}
