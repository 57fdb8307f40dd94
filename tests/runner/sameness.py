"""All that two runs of one experiment must have in common, bit for bit."""

from pathlib import Path
from typing import Any

import numpy as np

from runner.files import file_hashes
from store import (
    Run,
    Store,
    iter_dynamics,
    list_checkpoints,
    list_evaluations,
    list_latest,
    list_metrics,
    list_scores,
    read_embeddings,
    read_predictions,
)


def everything(store: Store, run: Run) -> dict[str, Any]:
    """Curves, summaries, scores, predictions, dynamics, embeddings and weights of a run, ready to compare with ==.

    Fails where a metric has two values at a step, or an epoch or an evaluation is there twice.
    """
    latest = list_latest(store, [run.key])
    names = list(latest["metric"])
    curves = list_metrics(store, [run.key], names)
    assert not curves.duplicated(["metric", "step"]).any(), "one value for each metric and step"
    evaluations = list_evaluations(store, run.key)
    places = [(e.split, e.step) for e in evaluations]
    assert len(set(places)) == len(places)
    epochs = list(iter_dynamics(store, run.key))
    assert [row.epoch for row in epochs] == list(range(1, len(epochs) + 1)), "each epoch once"
    scores = list_scores(store, [run.key]).drop(columns="run_key")
    found: dict[str, Any] = {
        "curves": curves[["metric", "step", "value", "epoch", "tokens"]].to_csv(index=False, float_format="%.17g"),
        "summaries": latest.drop(columns="run_key").to_csv(index=False, float_format="%.17g"),
        "scores": scores.to_csv(index=False, float_format="%.17g"),
        "best": [place for place, e in zip(places, evaluations, strict=True) if e.is_best],
        "dynamics": [(row.epoch, row.step, row.words.tobytes()) for row in epochs],
        "weights": {c.step: _weights(store.files / c.path) for c in list_checkpoints(store, run.key, existing=True)},
        "embeddings": {
            split: None if vectors is None else vectors.tobytes()
            for split in ("train", "validation", "test")
            for vectors in [read_embeddings(store, run.key, split)]
        },
    }
    for place, evaluation in zip(places, evaluations, strict=True):
        found[f"predictions {place}"] = [np.asarray(column).tobytes() for column in read_predictions(store, evaluation)]
    return found


def _weights(folder: Path) -> dict[str, str]:
    return {name: value for name, value in file_hashes(folder).items() if name != "assay.json"}  # it holds the run id


def differences(a: dict[str, Any], b: dict[str, Any]) -> list[str]:
    """The names of what two runs do not share; [] when they are the same."""
    found = [name for name in sorted({*a, *b}) if a.get(name) != b.get(name)]
    if "weights" in found:
        pairs = [
            (step, a["weights"].get(step, {}), b["weights"].get(step, {})) for step in {**a["weights"], **b["weights"]}
        ]
        found += [f"{step}: {f}" for step, x, y in pairs for f in sorted({**x, **y}) if x.get(f) != y.get(f)]
    return found
