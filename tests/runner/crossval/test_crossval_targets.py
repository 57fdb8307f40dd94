"""`runner crossval` of spans, sets of labels, numbers and pairs, and the triage that listens to it."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import runner.cli
from benchmarks.tiny import CLUES, FILLERS, rows
from runner.tasks.objective import least_likely
from store import (
    Dataset,
    Store,
    Triage,
    get_dataset,
    latest_triage,
    list_findings,
    list_opinions,
    list_queue,
    read_opinion,
)
from tests.runner.conftest import Kit
from tests.runner.tasks.test_token_classification import sentence

N = {"train": 240, "validation": 40, "test": 20}
PLANTED = range(24)
"""Positions of the training split whose targets are wrong."""


def judge(kit: Kit, store: Store, folder: Path, name: str, **overrides: Any) -> tuple[Dataset, Triage]:
    """A crossval and a triage, as they are typed."""
    path = folder / "recipe.toml"
    values = {"name": name, "data.name": name, "checkpoints.keep": "best", "model.max_length": 32, **overrides}
    path.write_text(kit.text(values))
    for words in (["crossval", path, "--folds", "2", "--quiet"], ["triage", "--dataset", name, "--plain"]):
        result = CliRunner().invoke(runner.cli.cli, [*map(str, words), "--store", str(store.path)])
        assert result.exit_code == 0, result.output
    dataset = get_dataset(store, name)
    triage = latest_triage(store, dataset.key)
    assert triage is not None
    return dataset, triage


def top(store: Store, triage: Triage, dataset: Dataset, n: int) -> float:
    """The share of planted errors among the first n of the queue."""
    queue = list_queue(store, triage, dataset, limit=n)
    assert set(queue["split"]) == {"train"}
    assert queue["risk"].is_monotonic_decreasing
    return float(queue["position"].isin(list(PLANTED)).mean())


def conll(folder: Path) -> dict[str, str]:
    """Of a planted sentence one span is dropped, or becomes another type."""
    draw = random.Random(5)
    found = {}
    for split, n in N.items():
        blocks = []
        for row in range(n):
            words, tags = sentence(draw)
            if split == "train" and row in PLANTED:
                begin = next(at for at, tag in enumerate(tags) if tag != "O")
                end = begin + 1 + (tags[begin + 1 : begin + 2] == ["I-" + tags[begin][2:]])
                other = next(topic for topic in sorted(CLUES) if topic != tags[begin][2:])
                wrong = ["O", "O"] if row % 2 else [f"B-{other}", f"I-{other}"]
                tags[begin:end] = wrong[: end - begin]
            blocks.append("".join(f"{word}\t{tag}\n" for word, tag in zip(words, tags, strict=True)))
        (folder / f"{split}.conll").write_text("\n".join(blocks))
        found[split] = str(folder / f"{split}.conll")
    return found


def test_training_sentences_with_wrong_spans_come_first(kit: Kit, store: Store, tmp_path: Path) -> None:
    dataset, triage = judge(
        kit, store, tmp_path, "spans", task="token-classification",
        **{"data.source": conll(tmp_path), "training.epochs": 12, "training.learning_rate": 1e-2,
           "training.batch_size": 16, "model.tag_scheme": "BIOES", "model.max_length": 12},
    )  # fmt: skip
    (opinion,) = list_opinions(store, dataset).to_dict("records")
    assert (opinion["n_classes"], opinion["status"]) == (1 + 3 * 4, "finished")
    assert opinion["n_known"] > 2 * N["train"], "a row for each word"
    log_probs = read_opinion(store, opinion["key"], n_rows=opinion["n_known"]).astype(np.float64)
    assert np.allclose(np.exp(log_probs).sum(axis=1), 1, atol=0.01), "of every word, those behind max_length too"
    assert triage.summary["judged"]["in_sample"] is False
    assert top(store, triage, dataset, len(PLANTED)) > 0.7
    found = list_findings(store, triage.key, kind="span_error", split="train")
    kinds = {row["position"]: row["evidence"]["kinds"] for row in found.to_dict("records")}
    right = [("ghost" if row % 2 else "wrong tag") in kinds.get(row, "") for row in PLANTED]
    assert np.mean(right) > 0.6
    worst = list_findings(store, triage.key, kind="token_label", split="train")
    assert worst["position"].isin(list(PLANTED)).mean() > 0.5


HEAD = {"model.method": "head", "training.epochs": 20, "training.batch_size": 16}


def jsonl(folder: Path, make: Callable[[random.Random, bool], dict[str, Any]]) -> dict[str, str]:
    """`make` is told whether the target is to be wrong."""
    draw = random.Random(7)
    found = {}
    for split, n in N.items():
        lines = [json.dumps(make(draw, split == "train" and row in PLANTED)) for row in range(n)]
        (folder / f"{split}.jsonl").write_text("\n".join(lines))
        found[split] = str(folder / f"{split}.jsonl")
    return found


@pytest.fixture(scope="module")
def texts() -> dict[str, list[str]]:
    """Label → texts of it."""
    by_label: dict[str, list[str]] = {}
    for text, label in rows(900, seed=8):
        by_label.setdefault(label, []).append(text)
    return by_label


def test_sets_of_labels_with_one_too_many_come_first(kit: Kit, store: Store, tmp_path: Path) -> None:
    names = sorted(CLUES)

    def make(draw: random.Random, wrong: bool) -> dict[str, Any]:
        labels = draw.sample(names, draw.choice([1, 2]))
        text = " ".join([*(draw.choice(CLUES[label]) for label in labels for _ in "12"), *draw.sample(FILLERS, 3)])
        other = draw.choice([name for name in names if name not in labels])
        return {"text": text, "topics": [*labels, other] if wrong else labels}

    dataset, triage = judge(
        kit, store, tmp_path, "sets", task="multi-label-classification",
        **{"data.source": jsonl(tmp_path, make), "data.columns": {"labels": "topics"},
           "training.epochs": 10, "training.batch_size": 8, "evaluation.select": "validation/loss"},
    )  # fmt: skip
    assert top(store, triage, dataset, len(PLANTED)) > 0.7
    found = list_findings(store, triage.key, kind="label_set", split="train").to_dict("records")
    wrong = [row["evidence"] for row in found if row["position"] in PLANTED]
    assert len(wrong) > 0.6 * len(PLANTED)
    assert all(evidence["remove"] for evidence in wrong)


def test_numbers_far_from_what_they_should_be_come_first(
    kit: Kit, store: Store, tmp_path: Path, texts: dict[str, list[str]]
) -> None:
    worth = dict(zip(sorted(texts), (70_000.0, 100_000.0, 130_000.0), strict=True))  # above what float16 holds

    def make(draw: random.Random, wrong: bool) -> dict[str, Any]:
        label = draw.choice(sorted(texts))
        return {"text": draw.choice(texts[label]), "score": worth[label] + (90_000 if wrong else draw.uniform(-5, 5))}

    dataset, triage = judge(
        kit, store, tmp_path, "numbers", task="regression", **{"data.source": jsonl(tmp_path, make), **HEAD}
    )
    assert top(store, triage, dataset, len(PLANTED)) > 0.7
    found = list_findings(store, triage.key, kind="number_error", split="train").to_dict("records")
    assert np.mean([row["position"] in PLANTED for row in found]) > 0.7
    assert all(row["evidence"]["given"] > row["evidence"]["predicted"] for row in found if row["position"] in PLANTED)


def test_pairs_with_wrong_labels_come_first(
    kit: Kit, store: Store, tmp_path: Path, texts: dict[str, list[str]]
) -> None:
    names = sorted(texts)

    def make(draw: random.Random, wrong: bool) -> dict[str, Any]:
        label = draw.choice(names)
        said = draw.choice([name for name in names if name != label]) if wrong else label
        return {"a": draw.choice(texts[label]), "b": "what is it?", "is": said}

    dataset, triage = judge(
        kit, store, tmp_path, "pairs", task="pair-classification",
        **{"data.source": jsonl(tmp_path, make), **HEAD,
           "data.columns": {"text": "a", "text_pair": "b", "label": "is"}},
    )  # fmt: skip
    assert any(source["kind"] == "opinion" for source in triage.sources)
    assert top(store, triage, dataset, len(PLANTED)) > 0.7


def test_answers_are_refused_before_anything_is_trained(kit: Kit, store: Store, tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(kit.text({"task": "masked-lm"}))
    result = CliRunner().invoke(runner.cli.cli, ["crossval", str(path), "--store", str(store.path), "--quiet"])
    assert result.exception is not None
    assert 'task "masked-lm": a cross-validation judges targets' in str(result.exception)


def test_what_a_run_keeps_of_a_sentence_is_its_least_likely_tag() -> None:
    import torch

    logits = torch.log(torch.tensor([[[0.9, 0.1], [0.2, 0.8]], [[0.5, 0.5], [0.7, 0.3]]]))
    told = least_likely(logits, torch.tensor([[0, 0], [-100, -100]]))
    assert told[0].softmax(0).tolist() == pytest.approx([0.2, 0.8])
    assert told[1].isnan().all()
    certain = least_likely(torch.tensor([[[-torch.inf, 0.0]]]), torch.tensor([[0]]))
    assert certain[0].softmax(0)[0] < 1e-5
