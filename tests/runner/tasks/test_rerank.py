"""Documents put in order for queries: from a file to a finished run, its predictions and its triage."""

import csv
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.tiny import rows
from evals import metrics
from evals.ranking import places_of, query_table
from runner.classifier import load_classifier
from runner.crossval.plan import plan_folds
from runner.triage.after import triage_after
from store import (
    Run,
    Store,
    get_dataset,
    get_evaluation,
    list_checkpoints,
    list_dynamics,
    list_opinions,
    list_scores,
    open_store,
    read_example_dynamics,
    read_opinion,
    read_predictions,
    read_queries,
    read_responses,
    read_values,
)
from tests.runner.conftest import Kit
from tests.runner.test_commands import Runner, runner

__all__ = ["runner"]  # the fixture

GRADES = {"food": 1, "sky": 0, "sport": 0}


def write(path: Path, grades: dict[str, float], n_queries: int, seed: int) -> str:
    """Six documents a query; those about food answer it. One query in ten has none of them."""
    draw, texts = random.Random(seed), rows(600, seed=8)
    by_label = {name: [text for text, label in texts if label == name] for name in grades}
    lines = []
    for number in range(n_queries):
        names = ["food", *draw.choices(sorted(grades), k=5)] if number % 10 else ["sky"] * 6
        for name in names:
            line = {
                "query": f"number {seed} {number}",
                "document": draw.choice(by_label[name]),
                "relevance": grades[name],
            }
            lines.append({**line, "qid": number})
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


def train(kit: Kit, store: Store, folder: Path, grades: dict[str, float], **more: Any) -> Run:
    sizes = {"train": 60, "validation": 20, "test": 20}
    source = {split: write(folder / f"{split}.jsonl", grades, n, n + len(split)) for split, n in sizes.items()}
    settings = {"model__max_length": 32, "training__epochs": 2, "training__batch_size": 16, **more}
    return kit.train(store, task="rerank", data__source=source, data__name=str(folder.name), **settings)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    opened = open_store(tmp_path_factory.mktemp("rerank") / "assay.db")
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def run(kit: Kit, store: Store, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Of relevance 0 and 1, whose queries have ids."""
    folder = tmp_path_factory.mktemp("binary")
    return train(kit, store, folder, GRADES, name="binary", data__columns={"query_id": "qid"})


def test_it_learns_and_every_metric_is_of_queries(store: Store, run: Run) -> None:
    assert run.status == "finished", run.cause
    assert run.select_metric == "validation/ndcg@10"
    scores = list_scores(store, [run.key])
    test = scores[(scores["split"] == "test") & (scores["step"] == 0)].set_index("metric")
    assert set(test.index) == set(metrics.TASKS["rerank"])
    assert test["n"].to_dict() == {**dict.fromkeys(test.index, 18), "loss": 120}, "two queries cannot be answered"
    best = scores[(scores["split"] == "test") & scores["is_best"].astype(bool)].set_index("metric")
    assert best["value"]["ndcg@10"] > max(0.9, test["value"]["ndcg@10"])
    assert best["low"]["ndcg@10"] <= best["value"]["ndcg@10"] <= best["high"]["ndcg@10"]


def test_what_is_stored_says_the_metrics_and_the_classes(store: Store, run: Run) -> None:
    dataset = get_dataset(store, run.dataset_key or 0)
    evaluation = get_evaluation(store, run.key, "test")
    assert evaluation is not None
    given, said = np.array(read_values(store, dataset, "test")), read_responses(store, evaluation)
    logits, scores = (np.array([answer[name] for answer in said.values()]) for name in ("logit", "score"))
    queries = np.unique(read_queries(store, dataset, "test"), return_inverse=True)[1]
    table = query_table(queries, given.astype(float), logits, names=["ndcg@10"])
    recorded = list_scores(store, [run.key], best_only=True).set_index(["split", "metric"])["value"]
    assert table["ndcg@10"].mean() == pytest.approx(recorded["test", "ndcg@10"])
    assert table["ndcg@10"].isna().sum() == 2
    assert scores == pytest.approx(1 / (1 + np.exp(-logits)), rel=1e-4)
    predictions = read_predictions(store, evaluation)
    assert predictions.predicted.tolist() == (logits > 0).astype(int).tolist()
    assert predictions.p_given == pytest.approx(np.where(given == 1, scores, 1 - scores), abs=1e-4)
    assert predictions.loss.mean() == pytest.approx(recorded["test", "loss"], rel=1e-4)
    assert [epoch for epoch, _ in list_dynamics(store, run.key)] == [1, 2]
    assert {row.n_classes for row in read_example_dynamics(store, run.key, 0)} == {2}


def test_graded_relevance_is_learnt_in_its_own_unit(kit: Kit, store: Store, tmp_path: Path) -> None:
    run = train(
        kit,
        store,
        tmp_path,
        {"food": 4.0, "sky": 0.0, "sport": 1.0},
        model__method="head",
        name="graded",
        evaluation__metrics=["mae"],
    )
    assert run.status == "finished", run.cause
    evaluation = get_evaluation(store, run.key, "test")
    assert evaluation is not None
    scores = [answer["score"] for answer in read_responses(store, evaluation).values()]
    assert 1 < max(scores) < 4
    named = list_scores(store, [run.key], best_only=True).set_index(["split", "metric"])["value"]
    given = read_values(store, get_dataset(store, run.dataset_key or 0), "test")
    assert named["test", "mae.mae"] == pytest.approx(np.abs(np.array(scores) - given).mean(), rel=1e-4)
    assert (read_predictions(store, evaluation).predicted == -1).all()
    assert not list_dynamics(store, run.key)
    (best,) = [each for each in list_checkpoints(store, run.key, existing=True) if each.is_best]
    assert load_classifier(store.files / best.path)[2].settings == {"most": 4.0}


def test_predict_puts_the_documents_of_each_query_in_order(
    runner: Runner, store: Store, run: Run, tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"
    done = runner(store, "predict", run.id, "--split", "test", "--out", str(out), "--device", "cpu")
    assert done.code == 0, done.err
    found = [json.loads(line) for line in out.read_text().splitlines()]
    assert set(found[0]) == {"row", "query", "document", "given", "score", "logit", "rank"}
    assert {row["given"] for row in found} == {"relevant", "not relevant"}
    queries = np.unique([row["query"] for row in found], return_inverse=True)[1]
    logits = np.array([row["logit"] for row in found])
    assert [row["rank"] for row in found] == places_of(queries, logits).tolist()
    evaluation = get_evaluation(store, run.key, "test")
    assert evaluation is not None
    assert logits == pytest.approx([answer["logit"] for answer in read_responses(store, evaluation).values()], abs=1e-4)

    file, table = tmp_path / "new.jsonl", tmp_path / "out.csv"
    asked = [{"query": query, "d": document, "qid": qid} for query, document, qid in (
        ("a", "the moon", 1), ("b", "fresh bread", 1), ("a", "", 1), ("a", "fresh bread", 2)
    )]  # fmt: skip
    file.write_text("".join(json.dumps(row) + "\n" for row in asked))
    refused = runner(store, "predict", run.id, str(file), "--out", str(table))
    assert 'has no column "document"' in refused.err
    assert "--pair-column" in refused.err
    done = runner(store, "predict", run.id, str(file), "--pair-column", "d", "--out", str(table), "--device", "cpu")
    assert done.code == 0, done.err
    with table.open() as opened:
        lines = list(csv.DictReader(opened))
    assert list(lines[0]) == ["row", "text", "score", "logit", "rank"]
    ranks = [line["rank"] for line in lines]
    assert sorted(ranks[:2]) == ["1", "2"], "one query by its id"
    assert ranks[2:] == ["", "1"]

    done = runner(store, "predict", run.id, "--split", "test", "--to-dataset", "said", "--json", "--device", "cpu")
    assert done.code == 0, done.err
    made = get_dataset(store, "said@1")
    assert made.label_names is None
    assert read_values(store, made, "test") == [row["score"] for row in found]


def test_triage_and_crossval_judge_relevance_of_0_and_1(
    runner: Runner, kit: Kit, store: Store, run: Run, tmp_path: Path
) -> None:
    assert triage_after(store, run, "quiet")[1] is not None, "as after any training"
    done = runner(store, "triage", run.id, "--json")
    assert done.code == 0, done.err
    summary = done.json["summary"]
    assert summary["labels"] is not None
    assert not summary.get("unjudged")
    recipe = tmp_path / "head.toml"
    dataset = get_dataset(store, run.dataset_key or 0)
    plan = plan_folds(store, dataset, "hash", task="rerank", n_folds=2, seed=0)
    queries = np.array(read_queries(store, dataset, "train"))
    assert not set(queries[plan.held_out(0)]) & set(queries[plan.trained_on(0)])
    settings = {"task": "rerank", "data.source": f"dataset:{dataset}", "model.method": "head", "training.epochs": 2}
    recipe.write_text(kit.text(settings))
    done = runner(store, "crossval", str(recipe), "--folds", "2", "--json", "--quiet")
    assert done.code == 0, done.err
    (opinion,) = list_opinions(store, dataset).to_dict("records")
    log_probs = read_opinion(store, opinion["key"])
    assert log_probs.shape == (dataset.n_rows["train"], 2)
    assert np.exp(log_probs.astype(np.float64)).sum(axis=1) == pytest.approx(1.0, abs=1e-2)
