"""Believable sweeps in a store: parameters that matter and some that do not, pruned, failed and running trials."""

import itertools
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from evals.classification import prediction_columns
from store import (
    Dataset,
    NewRun,
    NewSweep,
    NewTrial,
    Objective,
    Predictions,
    Run,
    RunCost,
    ScoreRow,
    Status,
    Store,
    Sweep,
    Trial,
    TrialReport,
    get_sweep,
    read_targets,
    record_run,
    record_sweep,
)
from store.recorder import Recorder
from store.runs import write_cost
from store.sweeps import hold_sweep, release_sweep
from store.trials import end_trial, record_report, record_trial, set_trial_run, start_trial

MACRO_F1 = Objective("validation/macro_f1", "maximize")
SECONDS = Objective("cost/wall_seconds", "minimize")
SPACE: Mapping[str, Any] = {
    "training.learning_rate": {"low": 1e-5, "high": 1e-2, "log": True},
    "model.method": ["full", "lora", "head"],
    "model.lora.r": {"values": [4, 8, 16], "when": {"model.method": "lora"}},
    "training.batch_size": [16, 32, 64],
    "model.dropout": {"low": 0.0, "high": 0.5},
}
_N_STEPS, _RUNGS = 120, (0.0625, 0.25, 1.0)


def recipe(name: str, trials: int | None, objectives: Sequence[Objective], seeds: int = 1) -> dict[str, Any]:
    """A resolved recipe with its sweep."""
    return {
        "name": name, "task": "text-classification",
        "model": {"base": "builtin:minilm", "method": "full", "max_length": 256},
        "data": {"source": "/data/tweets.csv", "columns": {"text": "text", "label": "label"}},
        "training": {"epochs": 3, "batch_size": 32, "learning_rate": 5e-5, "seed": 0},
        "evaluation": {"select": "validation/macro_f1"},
        "sweep": {
            "trials": trials, "seeds": seeds, "sampler": "tpe", "pruner": "asha", "space": dict(SPACE),
            "objectives": [objective.metric for objective in objectives],
        },
    }  # fmt: skip


def parameters(rng: np.random.Generator) -> dict[str, Any]:
    """One point of the space."""
    method = str(rng.choice(["full", "lora", "head"]))
    found: dict[str, Any] = {"training.learning_rate": float(10 ** rng.uniform(-5, -2)), "model.method": method}
    if method == "lora":
        found["model.lora.r"] = int(rng.choice([4, 8, 16]))
    return {**found, "training.batch_size": int(rng.choice([16, 32, 64])), "model.dropout": float(rng.uniform(0, 0.5))}


def quality(values: Mapping[str, Any], rng: np.random.Generator) -> float:
    """Best near a learning rate of 3e-4, better with all weights; batch size and dropout hardly count."""
    gain = {"full": 0.06, "lora": 0.04, "head": 0.0}[values["model.method"]]
    distance = math.log10(values["training.learning_rate"]) + 3.5
    return float(0.64 + gain - 0.03 * distance**2 + rng.normal(0, 0.006))


def make_sweep(
    store: Store, name: str = "tweets-search", *, n: int = 20, wanted: int | None = 20, seed: int = 0,
    objectives: Sequence[Objective] = (MACRO_F1,), dataset: Dataset | None = None, ends: str = "finished",
    n_seeds: int = 1, with_scores: bool = True,
) -> Sweep:  # fmt: skip
    """A sweep with `n` configurations: about a third pruned, one in fifteen failed.

    `ends`: finished, or running (held by this process, with its last trial at work), or killed. With a `dataset` the
    runs have predictions of its validation split.
    """
    rng = np.random.default_rng(seed)
    sweep = record_sweep(
        store,
        NewSweep(
            name=name, recipe_text=f'name = "{name}"\n# a search\n', recipe=recipe(name, wanted, objectives, n_seeds),
            fingerprint=f"{name}-{seed}", objectives=tuple(objectives), n_trials=wanted,
            dataset_key=dataset.key if dataset else None, recipe_path=f"/recipes/{name}.toml",
        ),
    )  # fmt: skip
    hold_sweep(store, sweep.key)
    for number, (configuration, trial_seed) in enumerate(
        itertools.product([parameters(rng) for _ in range(n)], range(n_seeds))
    ):
        _trial(
            store, sweep, number // n_seeds, trial_seed, configuration, rng, dataset,
            is_live=ends == "running" and number == n * n_seeds - 1, with_scores=with_scores,
        )  # fmt: skip
    if ends == "running":
        return get_sweep(store, sweep.key)
    release_sweep(store, sweep.key, Status(ends), None if ends == "finished" else "stopped: asked to")
    return get_sweep(store, sweep.key)


def _trial(
    store: Store, sweep: Sweep, number: int, seed: int, values: Mapping[str, Any], rng: np.random.Generator,
    dataset: Dataset | None, *, is_live: bool, with_scores: bool,
) -> None:  # fmt: skip
    good = quality(values, rng)
    trial = record_trial(store, sweep.key, NewTrial(number, seed, values, f"{number:030x}{seed:02x}"))
    start_trial(store, trial)
    name = f"{sweep.name}-{number}" + (f"-s{seed}" if seed else "")
    run = _run(store, sweep, name, values, rng, dataset, is_live=is_live, good=good, with_scores=with_scores)
    set_trial_run(store, trial, run.key)
    if is_live:
        return
    if number % 15 == 7:
        cause = "out of memory at batch size 64"
        _cost(store, run, trial, 0.3, values)
        end_trial(store, trial, Status.FAILED, cause)
        _finish(store, run, Status.FAILED, cause)
        return
    is_pruned = good < 0.63 and number > 2
    n_rungs = 1 + (good > 0.6) if is_pruned else len(_RUNGS)
    for rung, share in enumerate(_RUNGS[:n_rungs]):
        said = good - 0.12 * (1 - share) ** 2 + rng.normal(0, 0.004)
        record_report(store, trial, TrialReport(rung, round(share * _N_STEPS), share * 3, said))
    share = _RUNGS[n_rungs - 1]
    seconds = _cost(store, run, trial, share, values)
    status = Status.PRUNED if is_pruned else Status.FINISHED
    reached = [{"validation/macro_f1": good, "cost/wall_seconds": seconds}[o.metric] for o in sweep.objectives]
    end_trial(store, trial, status, "pruned by asha" if is_pruned else None, None if is_pruned else reached)
    _finish(store, run, status, "pruned by asha" if is_pruned else None)


def _run(
    store: Store, sweep: Sweep, name: str, values: Mapping[str, Any], rng: np.random.Generator,
    dataset: Dataset | None, *, is_live: bool, good: float, with_scores: bool,
) -> Run:  # fmt: skip
    run = record_run(
        store,
        NewRun(
            name=name, task="text-classification", method=values["model.method"], base_model="builtin:minilm",
            tags=(f"sweep:{sweep.name}",), select_metric="validation/macro_f1",
            dataset_key=dataset.key if dataset else None,
        ),
        status=Status.RUNNING if is_live else Status.FINISHED,
    )  # fmt: skip
    if with_scores:
        recorder = Recorder(store, run)
        row = ScoreRow("macro_f1", good, good - 0.02, good + 0.02, 1200)
        said = _predictions(store, dataset, good, rng) if dataset else None
        n = len(said.predicted) if said else 1200
        recorder.evaluation("validation", _N_STEPS, epoch=3.0, n_examples=n, scores=[row], predictions=said)
        recorder.best(_N_STEPS)
        recorder.finish()
    return run


def _predictions(store: Store, dataset: Dataset, good: float, rng: np.random.Generator) -> Predictions:
    """Right with a probability of `good`, most often on the examples that are easy for all."""
    gold = read_targets(store, dataset, "validation")
    easy = np.random.default_rng(0).uniform(size=len(gold))
    is_right = 0.7 * easy + 0.3 * rng.uniform(size=len(gold)) < np.quantile(0.7 * easy + 0.15, good)
    probs = np.full((len(gold), len(dataset.label_names or ())), 0.1)
    answers = np.where(is_right, gold, (gold + 1) % probs.shape[1])
    probs[np.arange(len(gold)), answers] = 1 - 0.1 * (probs.shape[1] - 1)
    return Predictions(*prediction_columns(gold, np.log(probs)))


def _cost(store: Store, run: Run, trial: Trial, share: float, values: Mapping[str, Any]) -> float:
    seconds = {"full": 240.0, "lora": 180.0, "head": 12.0}[values["model.method"]] * share
    with store.write(run.key) as db:
        write_cost(db, run.key, RunCost(wall_seconds=seconds, device_seconds=seconds, train_seconds=0.9 * seconds))
        db.execute("UPDATE trials SET held_seconds = ? WHERE key = ?", (seconds + 5.0, trial.key))
    return seconds


def _finish(store: Store, run: Run, status: Status, cause: str | None) -> None:
    with store.write(run.key) as db:
        db.execute(
            "UPDATE runs SET status = ?, cause = ?, started_at = ?, ended_at = ? WHERE key = ?",
            (status, cause, time.time() - 100, time.time(), run.key),
        )
