"""A big believable store: a sweep of many runs over one data set, of which some keep all predictions and dynamics."""

import argparse
import time
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.believable import LABELS, Examples, curves, log_softmax, make_examples, model_logits
from evals.classification import prediction_columns, score_classification
from evals.dynamics import encode
from store import (
    Dataset,
    NewRow,
    NewRun,
    Predictions,
    Recorder,
    Run,
    RunCost,
    ScoreRow,
    Status,
    Store,
    SystemSample,
    dataset_fingerprint,
    example_id,
    get_run,
    open_store,
    record_dataset,
    record_run,
)
from store.metrics import StepRow, write_steps

N_EPOCHS = 3
_STEP_SECONDS = 0.41
_BATCH_TOKENS = 768
_METHODS = {"head": (1e-2, 3.0), "lora": (5e-4, 4.2), "full": (5e-5, 4.4), "top-layers": (1e-4, 3.8)}
"""Learning rate and skill of a good run of each method."""


class Size(NamedTuple):
    """How big the store is. `n_examples` are evaluated (one fifth validation, the rest test); a fifth more train."""

    n_runs: int = 200
    n_steps: int = 1000
    n_examples: int = 100_000
    n_predicted_runs: int = 20


SMALL = Size(n_runs=12, n_steps=60, n_examples=500, n_predicted_runs=4)


class Plan(NamedTuple):
    """What one run will be."""

    number: int
    method: str
    learning_rate: float
    skill: float
    seed: int
    status: Status
    share_done: float
    """Of its steps, in (0, 1]; less than 1 where it ended early."""

    @property
    def name(self) -> str:
        return f"tickets-{self.method}-{'abcdefgh'[self.number % 8]}"


def make_store(path: Path, size: Size, *, seed: int = 0) -> Path:
    """Write the store into a new file; its content depends on `size` and `seed` alone (ids and dates aside).

    The newest `n_predicted_runs` finished runs keep predictions of every example at every epoch, and dynamics. A third
    of all runs train on the second version of the data, in which wrong labels were fixed. Raises FileExistsError.
    """
    if path.exists():
        raise FileExistsError(f"{path} is there already; name a new file, or remove it first.")
    store = open_store(path)
    n_validation = size.n_examples // 5
    splits = {
        "train": make_examples(n_validation, seed + 1, "A"),
        "validation": make_examples(n_validation, seed + 2, "B"),
        "test": make_examples(size.n_examples - n_validation, seed + 3, "C"),
    }
    first, second = record_versions(store, splits, seed)
    plans = make_plans(size.n_runs, seed)
    finished = [plan.number for plan in plans if plan.status is Status.FINISHED]
    predicted = set(finished[len(finished) - size.n_predicted_runs :])
    for plan in plans:
        dataset = second if plan.number % 3 == 2 else first
        run = record_run(store, new_run(plan, dataset), status=Status.RUNNING)
        recorder = Recorder(store, run)
        train(recorder, plan, size.n_steps, splits, keeps_predictions=plan.number in predicted)
        _end(store, recorder, plan, n_days_ago=(size.n_runs - plan.number) / 6)
    store.close()
    return path


def record_versions(store: Store, splits: Mapping[str, Examples], seed: int) -> tuple[Dataset, Dataset]:
    """The data as they came, and a child version in which a third of the wrong labels is right."""
    rng = np.random.default_rng(seed)
    targets = {}
    for split, examples in splits.items():
        is_fixed = (examples.given != examples.truth) & (rng.random(len(examples)) < 0.33)
        targets[split] = np.where(is_fixed, examples.truth, examples.given)
    given = {split: examples.given for split, examples in splits.items()}
    ids = {
        split: np.array([list(example_id({"text": text})) for text in examples.texts], dtype=np.uint8)
        for split, examples in splits.items()
    }

    def record(labels: Mapping[str, np.ndarray], parent: Dataset | None) -> Dataset:
        return record_dataset(
            store,
            "tickets",
            _rows(splits, labels),
            label_names=LABELS,
            source={"file": "tickets.csv"} if parent is None else {"fixed": str(parent)},
            fingerprint=dataset_fingerprint(LABELS, {split: (ids[split], labels[split]) for split in splits}),
            parent=parent,
        )

    first = record(given, None)
    return first, record(targets, first)


def _rows(splits: Mapping[str, Examples], labels: Mapping[str, np.ndarray]) -> Iterable[NewRow]:
    for split, examples in splits.items():
        for text, label in zip(examples.texts, labels[split].tolist(), strict=True):
            yield NewRow(split, text, label)


def make_plans(n_runs: int, seed: int) -> list[Plan]:
    """A sweep: methods in turn, learning rates around the good one; some runs fail, are killed, or still run."""
    rng = np.random.default_rng(seed)
    plans = []
    for number in range(n_runs):
        method = list(_METHODS)[number % len(_METHODS)]
        good_rate, good_skill = _METHODS[method]
        off = float(rng.normal(0, 0.8))
        status = rng.choice([Status.FINISHED, Status.FAILED, Status.KILLED, Status.PRUNED], p=[0.84, 0.07, 0.04, 0.05])
        if number == n_runs - 1:
            status = Status.RUNNING
        is_whole = status == Status.FINISHED
        plans.append(
            Plan(
                number,
                method,
                float(f"{good_rate * 10 ** (off / 2):.2g}"),
                good_skill - 0.5 * off**2 + float(rng.normal(0, 0.1)),
                number // len(_METHODS),
                Status(status),
                1.0 if is_whole else float(rng.uniform(0.35, 0.9)),
            )
        )
    return plans


def new_run(plan: Plan, dataset: Dataset) -> NewRun:
    """Recipe and provenance as a real run has them."""
    resolved = {
        "name": plan.name,
        "task": "text-classification",
        "model": {"base": "builtin:minilm", "method": plan.method, "pooling": "auto", "max_length": 64, "dropout": 0.1},
        "data": {"source": "tickets.csv", "columns": {"text": "text", "label": "label"}, "split": {"seed": 0}},
        "training": {
            "epochs": N_EPOCHS,
            "learning_rate": plan.learning_rate,
            "batch_size": 32,
            "seed": plan.seed,
            "schedule": "linear",
            "warmup": 0.06,
        },
        "evaluation": {"select": "validation/macro_f1", "every": "epoch"},
    }
    text = (
        f'name = "{plan.name}"\ntask = "text-classification"\n\n[model]\nbase = "builtin:minilm"\n'
        f'method = "{plan.method}"\nmax_length = 64\n\n[data]\nsource = "tickets.csv"\n\n[training]\n'
        f"epochs = {N_EPOCHS}\nlearning_rate = {plan.learning_rate:g}\nseed = {plan.seed}\n"
    )
    provenance = {
        "schema": 1,
        "git": {"sha": f"{plan.number // 20 + 7:040x}", "dirty": plan.number % 9 == 0, "patch": "", "untracked": []},
        "packages": {"torch": "2.13.0", "transformers": "5.23.0", "numpy": "2.3.1", "peft": "0.21.2"},
        "python": {"version": "3.11.9"},
        "platform": {"system": "Linux", "cores": 16},
        "device": {"type": "cuda", "name": "a GPU"},
        "seeds": {"training": plan.seed, "split": 0},
        "determinism": {"deterministic_algorithms": False, "precision": "bf16"},
        "command": ["runner", "train", f"recipes/{plan.name}.toml"],
        "data": {"dataset": str(dataset), "fingerprint": dataset.fingerprint},
    }
    return NewRun(
        name=plan.name,
        task="text-classification",
        method=plan.method,
        base_model="builtin:minilm",
        recipe_text=text,
        recipe=resolved,
        recipe_hash=blake2b(text.encode(), digest_size=16).hexdigest(),
        dataset_key=dataset.key,
        provenance=provenance,
        tags=("sweep",) if plan.number % 2 else ("sweep", "baseline"),
        select_metric="validation/macro_f1",
    )


def train(
    recorder: Recorder, plan: Plan, n_steps: int, splits: Mapping[str, Examples], *, keeps_predictions: bool
) -> None:
    """Record what a training of this plan would have."""
    n_done = max(2, round(n_steps * plan.share_done))
    values = curves(n_steps, plan.skill, plan.learning_rate, plan.number)
    if plan.status is Status.FAILED:
        values["train/loss"][n_done - 1] = np.nan
    steps = np.arange(1, n_done + 1)
    recorder.log_columns({name: (steps, column[:n_done]) for name, column in values.items()})
    rows = [
        StepRow(step, step * _STEP_SECONDS, step / n_steps * N_EPOCHS, step * _BATCH_TOKENS) for step in steps.tolist()
    ]
    with recorder.store.write(recorder.run.key) as db:  # `log` says where a step stands in time; `log_columns` does not
        write_steps(db, recorder.run.key, recorder.segment, rows)
    best = (-1.0, 0)
    for epoch in range(N_EPOCHS + 1):
        step = round(epoch * n_steps / N_EPOCHS)
        if step > n_done:
            break
        progress = 1 - np.exp(-2.2 * epoch)
        for split in ("validation", "test"):
            scores = _evaluate(recorder, plan, splits[split], split, step, epoch, progress, keeps_predictions)
            if split == "validation" and epoch:
                macro_f1 = next(score.value for score in scores if score.metric == "macro_f1")
                best = max(best, (macro_f1 or 0.0, step))
        if epoch and keeps_predictions:
            examples = splits["train"]
            logits = model_logits(examples, plan.skill, progress, plan.number)
            words = encode(logits, examples.given)
            recorder.dynamics(epoch, step, n_classes=len(LABELS), words=words)
        if epoch:
            _checkpoint(recorder, step, epoch)
        recorder.text(f"epoch {epoch} of {N_EPOCHS}: macro F1 {scores[1].value:.4f}, loss {scores[3].value:.4f}\n")
    if best[1]:
        recorder.best(best[1])
    _machine(recorder, plan, n_done)


def _evaluate(
    recorder: Recorder,
    plan: Plan,
    examples: Examples,
    split: str,
    step: int,
    epoch: int,
    progress: float,
    keeps_predictions: bool,
) -> Sequence[ScoreRow]:
    """Record an evaluation; where no predictions are kept, its scores come from the first 500 examples."""
    part = examples
    if not keeps_predictions:
        part = Examples(examples.texts[:500], examples.truth[:500], examples.given[:500], examples.difficulty[:500])
    log_probs = log_softmax(model_logits(part, plan.skill, progress, plan.number))
    found = score_classification(part.given, log_probs, n_boot=50)
    scores = [ScoreRow(s.metric, _known(s.value), _known(s.low), _known(s.high), s.n) for s in found]
    recorder.evaluation(
        split,
        step,
        epoch=float(epoch),
        n_examples=len(part),
        scores=scores,
        predictions=Predictions(*prediction_columns(part.given, log_probs)) if keeps_predictions else None,
    )
    return scores


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _checkpoint(recorder: Recorder, step: int, epoch: int) -> None:
    recorder.checkpoint(
        step,
        epoch=float(epoch),
        path=f"runs/{recorder.run.id}/step-{step}",
        size_bytes=90_900_000,
        sha256=f"{step:064x}",
        manifest={"head.safetensors": f"{step:064x}"},
    )


def _machine(recorder: Recorder, plan: Plan, n_done: int) -> None:
    rng = np.random.default_rng(plan.number)
    wall = n_done * _STEP_SECONDS
    began = time.time() - wall
    for i in range(60):
        recorder.sample(
            SystemSample(
                began + i * wall / 60, rng.uniform(40, 95), int(2.1e9 + i * 1e6), rng.uniform(0.6, 0.99), 6 << 30, 210.0
            )
        )
    recorder.cost(
        RunCost(
            wall_seconds=wall,
            train_seconds=0.9 * wall,
            eval_seconds=0.1 * wall,
            device_seconds=wall,
            peak_host_bytes=2_300_000_000,
            peak_device_bytes=6 << 30,
            trainable_parameters=3_080 if plan.method == "head" else 22_713_216,
            total_parameters=22_716_296,
            tokens_seen=n_done * _BATCH_TOKENS,
            examples_seen=n_done * 32,
            tokens_per_second=_BATCH_TOKENS / _STEP_SECONDS,
            examples_per_second=32 / _STEP_SECONDS,
            data_wait_share=0.02,
            device_utilisation=0.83,
            energy_joules=210 * wall,
        )
    )


_CAUSES = {
    Status.FAILED: "loss became NaN; try a lower training.learning_rate",
    Status.KILLED: "interrupted (Ctrl-C)",
    Status.PRUNED: "worse than the median of the sweep at this step",
}


def _end(store: Store, recorder: Recorder, plan: Plan, n_days_ago: float) -> None:
    """Give the run its status and its dates; one that still runs is held by a process on another machine."""
    status = Status.FINISHED if plan.status is Status.RUNNING else plan.status
    recorder.finish(status, _CAUSES.get(plan.status))
    began = time.time() - n_days_ago * 86_400
    with store.write(recorder.run.key) as db:
        db.execute(
            "UPDATE runs SET created_at = ?1, started_at = ?1, ended_at = ?2 WHERE key = ?3",
            (began, began + 1000 * _STEP_SECONDS, recorder.run.key),
        )
        if plan.status is Status.RUNNING:
            db.execute("UPDATE runs SET status = 'running', ended_at = NULL WHERE key = ?", (recorder.run.key,))
            db.execute(
                "INSERT INTO leases (run_key, host, pid, process_started_at, heartbeat_at) VALUES (?, ?, ?, ?, ?)",
                (recorder.run.key, "another-machine", 4711, began, time.time()),
            )


def predicted_runs(store: Store) -> list[Run]:
    """The runs of a store made here that keep predictions, newest first."""
    keys = store.db.execute(
        "SELECT e.run_key FROM evaluations e WHERE EXISTS (SELECT 1 FROM predictions p WHERE p.evaluation_key = e.key)"
        " GROUP BY e.run_key ORDER BY e.run_key DESC"
    )
    return [get_run(store, key) for (key,) in keys.fetchall()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path, help="the new file")
    for name in Size._fields:
        option = "--" + name.removeprefix("n_").replace("_", "-")
        parser.add_argument(option, dest=name, type=int, default=Size._field_defaults[name], help="default %(default)s")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    began = time.perf_counter()
    path = make_store(options.path, Size(*(getattr(options, name) for name in Size._fields)), seed=options.seed)
    print(f"{path}: {path.stat().st_size / 1e6:,.0f} MB in {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
