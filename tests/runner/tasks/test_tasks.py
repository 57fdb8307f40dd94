"""Each task from a file to a finished run: it learns, and the store has what it said."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.tiny import rows
from evals import metrics
from runner.classifier import load_classifier
from runner.recipe.shapes import SHAPES
from runner.tasks import TASKS
from store import (
    Run,
    Store,
    get_dataset,
    get_evaluation,
    iter_inputs,
    list_checkpoints,
    list_metrics,
    list_scores,
    read_predictions,
    read_responses,
    read_values,
)
from tests.runner.conftest import Kit

N = {"train": 400, "validation": 60, "test": 60}


def write_jsonl(path: Path, records: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return str(path)


def sources(folder: Path, make: Any) -> dict[str, str]:
    draw = random.Random(5)
    return {split: write_jsonl(folder / f"{split}.jsonl", [make(draw) for _ in range(n)]) for split, n in N.items()}


@pytest.fixture(scope="module")
def texts() -> dict[str, list[str]]:
    """Label → texts of it."""
    by_label: dict[str, list[str]] = {}
    for text, label in rows(900, seed=8):
        by_label.setdefault(label, []).append(text)
    return by_label


def scores_of(store: Store, run: Run) -> dict[tuple[str, int], dict[str, float]]:
    """(split, step) → metric → value."""
    found: dict[tuple[str, int], dict[str, float]] = {}
    for row in list_scores(store, [run.key]).itertuples():
        found.setdefault((str(row.split), int(row.step)), {})[str(row.metric)] = float(row.value)
    return found


def test_every_shape_has_its_task_and_metrics() -> None:
    assert list(TASKS) == list(SHAPES)
    assert set(TASKS) <= set(metrics.TASKS)


def test_pairs_are_read_together(kit: Kit, store: Store, tmp_path: Path, texts: dict[str, list[str]]) -> None:
    """Whether two texts are of one topic: neither of them says it alone."""

    def pair(draw: random.Random) -> dict[str, Any]:
        first, second = draw.choice(list(texts)), draw.choice(list(texts))
        if draw.random() < 0.5:
            second = first
        same = "same" if first == second else "different"
        return {"a": draw.choice(texts[first]), "b": draw.choice(texts[second]), "is": same}

    run = kit.train(
        store,
        task="pair-classification",
        data__source=sources(tmp_path, pair),
        data__columns={"text": "a", "text_pair": "b", "label": "is"},
        model__max_length=32,
    )
    assert run.status == "finished", run.cause
    assert run.task == "pair-classification"
    dataset = get_dataset(store, run.dataset_key or 0)
    assert dataset.label_names == ("different", "same")
    (inputs,) = iter_inputs(store, dataset, "train")
    assert set(inputs[0]) == {"text", "text_pair"}
    recorded = json.loads((tmp_path / "train.jsonl").read_text().splitlines()[0])
    assert inputs[0] == {"text": recorded["a"], "text_pair": recorded["b"]}
    assert dataset.source["columns"] == {"text": "a", "text_pair": "b", "label": "is", "id": None}
    evaluation = get_evaluation(store, run.key, "test")
    assert evaluation is not None
    assert set(read_predictions(store, evaluation).predicted.tolist()) <= {0, 1}
    assert read_responses(store, evaluation) == {}


def test_label_sets(kit: Kit, store: Store, tmp_path: Path, texts: dict[str, list[str]]) -> None:
    def both(draw: random.Random) -> dict[str, Any]:
        labels = draw.sample(sorted(texts), draw.choice([0, 1, 1, 2]))
        words = " ".join(draw.choice(texts[label]) for label in labels) or "nothing"
        return {"text": words, "topics": labels} if labels else {"text": f"{words} {draw.random()}"}

    run = kit.train(
        store,
        task="multi-label-classification",
        data__source=sources(tmp_path, both),
        data__columns={"labels": "topics"},
        model__max_length=32,
        training__epochs=6,
        training__batch_size=8,
    )
    assert run.status == "finished", run.cause
    assert run.select_metric == "validation/micro_f1"
    scores = scores_of(store, run)
    assert set(scores["test", 0]) == set(metrics.TASKS["multi-label-classification"])
    evaluation = get_evaluation(store, run.key, "test")
    assert evaluation is not None
    assert scores["test", evaluation.step]["micro_f1"] > max(0.8, scores["test", 0]["micro_f1"])
    dataset = get_dataset(store, run.dataset_key or 0)
    given = read_values(store, dataset, "test")
    assert "[]" in given
    responses = read_responses(store, evaluation)
    assert len(responses) == N["test"]
    right = np.mean([json.loads(given[at]) == response["labels"] for at, response in responses.items()])
    assert right == pytest.approx(scores["test", evaluation.step]["exact_match"])
    for response in responses.values():
        assert {str(label) for label in response["labels"]} <= set(response["p"])
    assert list(read_responses(store, evaluation, [3])) == [3]
    (best,) = [each for each in list_checkpoints(store, run.key, existing=True) if each.is_best]
    _, _, info = load_classifier(store.files / best.path)
    assert len(info.settings["thresholds"]) == len(info.labels) == 3


def test_numbers(kit: Kit, store: Store, tmp_path: Path, texts: dict[str, list[str]]) -> None:
    worth = dict(zip(sorted(texts), (100.0, 250.5, 400.0), strict=True))

    def number(draw: random.Random) -> dict[str, Any]:
        label = draw.choice(sorted(texts))
        return {"text": draw.choice(texts[label]), "score": worth[label] + draw.uniform(-5, 5)}

    run = kit.train(
        store, task="regression", data__source=sources(tmp_path, number), training__epochs=8, training__batch_size=8
    )
    assert run.status == "finished", run.cause
    scores = scores_of(store, run)
    assert set(scores["test", 0]) == set(metrics.TASKS["regression"])
    evaluation = get_evaluation(store, run.key, "test")
    assert evaluation is not None
    assert scores["test", evaluation.step]["r2"] > 0.7
    assert scores["test", 0]["r2"] < 0.3
    given = np.array(read_values(store, get_dataset(store, run.dataset_key or 0), "test"))
    said = np.array(list(read_responses(store, evaluation).values()))
    assert np.abs(said - given).mean() == pytest.approx(scores["test", evaluation.step]["mae"], rel=1e-4)
    (best,) = [each for each in list_checkpoints(store, run.key, existing=True) if each.is_best]
    _, _, info = load_classifier(store.files / best.path)
    assert 200 < info.settings["centre"] < 300


@pytest.mark.parametrize("method", ["head", "lora"])
def test_other_methods_do_it_too(
    kit: Kit, store: Store, tmp_path: Path, texts: dict[str, list[str]], method: str
) -> None:
    def pair(draw: random.Random) -> dict[str, Any]:
        label = draw.choice(sorted(texts))
        return {"text": draw.choice(texts[label]), "text_pair": "and?", "score": float(sorted(texts).index(label))}

    run = kit.train(
        store,
        task="regression",
        data__source=sources(tmp_path, pair),
        data__columns={"text_pair": "text_pair"},
        model__method=method,
        training__epochs=3,
    )
    assert run.status == "finished", run.cause
    losses = list_metrics(store, [run.key], ["train/loss"])["value"]
    assert losses.iloc[-5:].mean() < losses.iloc[:5].mean()
