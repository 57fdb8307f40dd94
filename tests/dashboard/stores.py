"""A small believable store: eight runs of three kinds over two datasets, and every awkward case."""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

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
    open_store,
    record_dataset,
    record_run,
)
from store.leases import take_lease

LABELS = ("negative", "neutral", "positive")
HOSTILE = (
    "<script>alert('x')</script>",
    "**bold** _it_ [link](http://example.org) `code`",
    "costs $x$ and $y$ today :smile: :material/delete:",
    "# heading\n\n- list\n- list",
    "😀 ünïcödé \u202eright to left",
)
_WORDS = {
    0: ["late", "again", "awful", "broken", "refund", "worst", "never", "angry", "slow", "cancelled", "rude", "cold"],
    1: ["meeting", "train", "tuesday", "package", "arrived", "update", "weather", "report", "street", "tomorrow"],
    2: ["love", "great", "thanks", "brilliant", "happy", "sunshine", "perfect", "friends", "won", "finally"],
}
_STARTS = ("so the", "my", "honestly the", "just saw the", "again the", "today the", "omg the", "well the")
N = {"train": 600, "validation": 200, "test": 300}


def make_store(path: Path, *, n: dict[str, int] | None = None) -> Path:
    """Write it. Runs, oldest first: head, lora, lora (second seed, over-fits), full (failed), script (no dataset),
    topics (another label set), live (running, held by this process), and one whose name is hostile."""
    store = open_store(path)
    rng = np.random.default_rng(0)
    tweets = _tweets(store, rng, n or N)
    classify = {"task": "text-classification", "base_model": "builtin:minilm", "dataset_key": tweets.key}
    _train(store, tweets, _recipe("tweet-head", "head", 1e-2, 0), classify, skill=1.1, epochs=5)
    _train(store, tweets, _recipe("tweet-lora-r16", "lora", 2e-4, 0), classify, skill=2.0, epochs=3)
    _train(store, tweets, _recipe("tweet-lora-r16", "lora", 2e-4, 1), classify, skill=1.9, epochs=6, overfits_after=2)
    _fail(store, _recipe("tweet-full-lr1e-2", "full", 1e-2, 0), classify)
    _script(store)
    _topics(store, rng)
    hostile = NewRun(
        name="<b>bold</b> **run** $x$", method="head", note=HOSTILE[2], tags=("seed [0](x)",), **classify,
        select_metric="validation/macro_f1",
    )  # fmt: skip
    _train(store, tweets, hostile, {}, skill=0.6, epochs=2)
    live_run(store, tweets, classify)
    store.close()
    return path


def live_run(store: Store, dataset: Dataset, classify: dict[str, object]) -> Run:
    """A run that is running: its lease is this process's."""
    run = record_run(store, _recipe("tweet-live", "lora", 1e-4, 2, classify))
    recorder = Recorder(store, run)
    for step in range(1, 61):
        recorder.log(
            {"train/loss": 1.1 * 0.99**step, "train/learning_rate": 1e-4}, step, epoch=step / 40, tokens=step * 700
        )
    recorder.flush()
    recorder.finish()  # stops its thread; then the run is taken up again without one
    take_lease(store, run)
    return run


def _tweets(store: Store, rng: np.random.Generator, n: dict[str, int]) -> Dataset:
    rows: list[NewRow] = []
    for split, size in n.items():
        for i in range(size):
            label = int(rng.choice(3, p=[0.3, 0.4, 0.3]))
            words = rng.choice(_WORDS[label] + _WORDS[int(rng.integers(3))], size=4, replace=False)
            text = f"{rng.choice(_STARTS)} {' '.join(words)} #{len(rows)}"
            rows.append(NewRow(split, HOSTILE[i] if split == "test" and i < len(HOSTILE) else text, label))
    return _record(store, "tweets", rows, LABELS)


def _record(store: Store, name: str, rows: Sequence[NewRow], labels: Sequence[str]) -> Dataset:
    splits = {}
    for split in dict.fromkeys(row.split for row in rows):
        part = [row for row in rows if row.split == split]
        ids = np.array([list(example_id({"text": row.text})) for row in part], dtype=np.uint8)
        splits[split] = (ids, np.array([row.target for row in part]))
    return record_dataset(
        store, name, rows, label_names=labels, source={"file": f"{name}.csv"},
        fingerprint=dataset_fingerprint(list(labels), splits),
    )  # fmt: skip


def _recipe(name: str, method: str, lr: float, seed: int, more: dict[str, object] | None = None) -> NewRun:
    text = (
        f'name = "{name}"\ntask = "text-classification"\n\n[model]\nbase = "builtin:minilm"\nmethod = "{method}"\n\n'
        f'[data]\nsource = "tweets.csv"\n\n[training]\nlearning_rate = {lr}\nseed = {seed}\n'
    )
    recipe = {
        "name": name, "task": "text-classification", "model": {"base": "builtin:minilm", "method": method},
        "data": {"source": "tweets.csv", "columns": {"text": "text", "label": "label"}},
        "training": {"learning_rate": lr, "seed": seed, "batch_size": 32, "schedule": "linear"},
        "evaluation": {"select": "validation/macro_f1"},
    }  # fmt: skip
    provenance = {
        "git": {"sha": "0e936d3c1f", "dirty": method == "lora", "patch": "- old\n+ new\n" if method == "lora" else ""},
        "packages": {"torch": "2.13.0", "transformers": "5.23.0", "numpy": "2.3.0"},
        "python": {"version": "3.11.2"}, "platform": {"system": "Linux", "cpu": "a cpu", "cores": 2},
        "device": {"type": "cpu", "name": "a cpu", "threads": 2},
        "seeds": {"python": seed, "torch": seed}, "determinism": {"deterministic_algorithms": False},
        "command": ["runner", "train", f"recipes/{name}.toml"], "schema": 1,
    }  # fmt: skip
    return NewRun(
        name=name, method=method, recipe_text=text, recipe=recipe, recipe_hash=f"{abs(hash((name, lr, seed))):016x}",
        provenance=provenance, select_metric="validation/macro_f1", **(more or {}),
    )  # fmt: skip


def _train(
    store: Store, dataset: Dataset, new: NewRun, more: dict[str, object], *, skill: float, epochs: int,
    overfits_after: int | None = None,
) -> Run:  # fmt: skip
    run = record_run(store, NewRun(**{**{f: getattr(new, f) for f in new.__dataclass_fields__}, **more}))
    k = len(dataset.label_names or ())
    gold = {split: _targets(store, dataset, split) for split in dataset.n_rows}
    hard = {split: np.random.default_rng(7 + len(split)).normal(0, 1.4, (len(t), k)) for split, t in gold.items()}
    own = np.random.default_rng(run.key)
    noise = {split: own.normal(0, 0.7, (len(t), k)) for split, t in gold.items()}
    per_epoch = 40
    with Recorder(store, run) as recorder:
        recorder.text(f"loading builtin:minilm\ntraining {new.name}: {epochs} epochs of {per_epoch} steps\n")
        best = (-1.0, 0)
        for epoch in range(epochs + 1):
            step = epoch * per_epoch
            gain = skill * (1 - np.exp(-1.2 * min(epoch, overfits_after or epoch)))
            scale = 1.0 + (0.45 * max(0, epoch - overfits_after) if overfits_after else 0.0)
            for split in ("validation", "test"):
                probs = _log_probs(
                    scale
                    * (
                        gain * np.eye(k)[gold[split]] * 1.6
                        + hard[split] * min(1, gain)
                        + noise[split] * (0.3 + 0.2 * scale)
                    )
                )
                scores = score_classification(gold[split], probs, n_boot=100)
                rows = [ScoreRow(s.metric, *(None if np.isnan(v) else float(v) for v in s[1:4]), s.n) for s in scores]
                recorder.evaluation(
                    split, step, epoch=float(epoch), n_examples=len(gold[split]), scores=rows,
                    predictions=Predictions(*prediction_columns(gold[split], probs)),
                )  # fmt: skip
                if split == "validation":
                    value = next(s.value for s in scores if s.metric == "macro_f1")
                    best = max(best, (value, step))
            if epoch:
                logits = gain * np.eye(k)[gold["train"]] * 2 + hard["train"] + noise["train"]
                recorder.dynamics(epoch, step, n_classes=k, words=encode(logits.astype(np.float32), gold["train"]))
                recorder.checkpoint(
                    step, epoch=float(epoch), path=f"runs/{run.id}/step-{step}", size_bytes=90_900_000,
                    sha256=f"{step:064x}", manifest={"model.safetensors": "00"},
                )  # fmt: skip
            for inside in range(per_epoch) if epoch < epochs else ():
                at = step + inside + 1
                loss = 1.1 * np.exp(-at / (70 / skill)) + 0.35 + own.normal(0, 0.04)
                rate = 2e-4 * (1 - at / (epochs * per_epoch))
                recorder.log(
                    {"train/loss": loss, "train/learning_rate": rate, "train/grad_norm": abs(own.normal(1, 0.3))},
                    at, epoch=at / per_epoch, tokens=at * 700,
                )  # fmt: skip
            recorder.text(f"epoch {epoch}: macro F1 {best[0]:.3f}\n")
        recorder.best(best[1])
        for epoch in range(1, epochs + 1):
            if epoch * per_epoch not in (best[1], epochs * per_epoch):
                recorder.checkpoint_deleted(epoch * per_epoch)
        for i in range(30):
            recorder.sample(SystemSample(time.time() + i, 80 + 10 * np.sin(i), int(1.1e9 + 1e7 * i), None, None, None))
        recorder.event("early stop", "no better for 2 epochs") if overfits_after else None
        recorder.cost(
            RunCost(
                wall_seconds=40.0 * epochs, train_seconds=36.0 * epochs, eval_seconds=4.0 * epochs,
                device_seconds=40.0 * epochs,
                peak_host_bytes=1_200_000_000, trainable_parameters=int(3e5), total_parameters=int(2.3e7),
                examples_per_second=312.0 / skill, tokens_per_second=9000.0, data_wait_share=0.04,
            )
        )  # fmt: skip
    return run


def _fail(store: Store, new: NewRun, more: dict[str, object]) -> None:
    run = record_run(store, NewRun(**{**{f: getattr(new, f) for f in new.__dataclass_fields__}, **more}))
    recorder = Recorder(store, run)
    for step in range(1, 85):
        recorder.log({"train/loss": 1.1 + 0.002 * step**1.5 if step < 84 else float("nan")}, step, epoch=step / 40)
    recorder.text("step 84: loss is nan\nTraceback (most recent call last): …\n")
    recorder.event("failed", "loss became NaN at step 84")
    recorder.finish(Status.FAILED, "loss became NaN at step 84; the learning rate 0.01 is high for method full")


def _script(store: Store) -> None:
    run = record_run(store, NewRun(name="my-script"))
    with Recorder(store, run) as recorder:
        for step in range(1, 200):
            recorder.log({"loss": 2.0 * 0.985**step, "accuracy": 1 - 0.985**step}, step)


def _topics(store: Store, rng: np.random.Generator) -> None:
    labels = [f"topic-{i:02d}" for i in range(24)]
    rows = [
        NewRow(split, f"about {labels[i % 24]} text {split} {i} {rng.integers(10**6)}", i % 24)
        for split, size in (("train", 240), ("validation", 120), ("test", 120))
        for i in range(size)
    ]
    dataset = _record(store, "topics", rows, labels)
    new = NewRun(
        name="topics-head",
        task="text-classification",
        method="head",
        dataset_key=dataset.key,
        select_metric="validation/accuracy",
    )
    _train(store, dataset, new, {}, skill=2.2, epochs=2)


def _targets(store: Store, dataset: Dataset, split: str) -> np.ndarray:
    from store import read_targets

    return read_targets(store, dataset, split)


def _log_probs(logits: np.ndarray) -> np.ndarray:
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
