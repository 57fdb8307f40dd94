"""Write a small store with every kind of row, as a file of the schema of the day.

Run once when a schema lands, before the next migration: `python -m tests.store.assets.make_asset m001_foundation`.
The file it makes is committed and never made again: the tests go on working with what old versions wrote.
"""

import sys
from pathlib import Path

import numpy as np

from store import (
    NewRow,
    NewRun,
    Predictions,
    Recorder,
    RunCost,
    ScoreRow,
    SystemSample,
    dataset_fingerprint,
    example_id,
    open_store,
    record_dataset,
    record_run,
)

TEXTS = ["a fine day", "rain again", "sun at last", "grey and cold"]
TARGETS = [1, 0, 1, 0]


def make_asset(path: Path) -> None:
    store = open_store(path)
    ids = np.frombuffer(b"".join(example_id({"text": text}) for text in TEXTS), dtype=np.uint8).reshape(-1, 16)
    splits = {name: (ids, np.array(TARGETS)) for name in ("train", "test")}
    dataset = record_dataset(
        store,
        "weather",
        [NewRow(split, text, target) for split in splits for text, target in zip(TEXTS, TARGETS, strict=True)],
        label_names=["bad", "good"],
        source={"kind": "asset"},
        fingerprint=dataset_fingerprint(["bad", "good"], splits),
    )
    new = NewRun("old", task="text-classification", method="head", dataset_key=dataset.key, tags=("kept",))
    run = record_run(store, new)
    with Recorder(store, run) as recorder:
        for step in range(10):
            recorder.log({"train/loss": 1.0 / (step + 1)}, step, epoch=step / 5, tokens=100 * step)
        recorder.log({"train/loss": float("nan")}, 10)
        predictions = Predictions(
            np.array([1, 0, 0, 0]),
            np.array([0.9, 0.8, 0.4, 0.7]),
            np.array([0.9, 0.8, 0.6, 0.7]),
            np.array([0.8, 0.6, -0.2, 0.4]),
            np.array([0.1, 0.2, 0.9, 0.3]),
        )
        scores = [ScoreRow("accuracy", 0.75, 0.3, 0.95, 4)]
        recorder.evaluation("test", 10, epoch=2.0, n_examples=4, scores=scores, predictions=predictions)
        recorder.dynamics(1, 10, n_classes=2, words=np.arange(8, dtype=np.uint16).reshape(4, 2))
        embeddings = {"test": np.arange(12, dtype=np.float16).reshape(4, 3)}
        recorder.embeddings(embeddings, dataset_key=dataset.key, fingerprint="encoder:weather", pooling="mean")
        recorder.checkpoint(
            10, epoch=2.0, path=f"runs/{run.id}/step-10", size_bytes=7, sha256="00", manifest={"m.safetensors": "00"}
        )
        recorder.best(10)
        recorder.event("note", "made for the tests")
        recorder.text("one line of the log\n")
        recorder.sample(SystemSample(1_000.0, 50.0, 2**30, None, None, None))
        recorder.cost(RunCost(wall_seconds=1.5))
    store.close()


if __name__ == "__main__":
    make_asset(Path(__file__).with_name(f"{sys.argv[1]}.db"))
