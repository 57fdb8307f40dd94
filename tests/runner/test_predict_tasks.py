"""`runner predict` of every task answers what the run itself said of the same rows."""

import csv
import io
import json
import random
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from benchmarks.tiny import rows
from runner.recipe.shapes import SHAPES
from store import (
    Run,
    Store,
    get_dataset,
    get_evaluation,
    list_checkpoints,
    open_store,
    read_inputs,
    read_responses,
    read_rows,
    read_values,
)
from tests.runner.conftest import Kit
from tests.runner.tasks.test_tasks import sources
from tests.runner.tasks.test_token_classification import SETTINGS, files
from tests.runner.test_commands import Runner, runner

__all__ = ["runner"]  # the fixture


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return open_store(tmp_path_factory.mktemp("predict") / "assay.db")


@pytest.fixture(scope="module")
def runs(kit: Kit, store: Store, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """A run of each task, by task."""
    texts = [text for text, _ in rows(600, seed=4)]
    labels = dict(rows(600, seed=4))

    def pair(draw: random.Random) -> dict[str, Any]:
        first, second = draw.sample(texts, 2)
        return {"a": first, "b": second, "label": "same" if labels[first] == labels[second] else "other"}

    def both(draw: random.Random) -> dict[str, Any]:
        some = draw.sample(texts, draw.choice([1, 2]))
        return {"text": " ".join(some), "labels": sorted({labels[text] for text in some})}

    def number(draw: random.Random) -> dict[str, Any]:
        text = draw.choice(texts)
        return {"text": text, "score": 10.0 * len(labels[text])}

    made = {}
    for task, make, columns in (
        ("pair-classification", pair, {"text": "a", "text_pair": "b"}),
        ("multi-label-classification", both, {}),
        ("regression", number, {}),
    ):
        source = sources(tmp_path_factory.mktemp("data"), make)
        made[task] = kit.train(
            store, name=task, task=task, data__source=source, data__columns=columns, data__name=task,
            model__max_length=32, training__epochs=1,
        )  # fmt: skip
    spans = {**SETTINGS, "training__epochs": 3}
    made["token-classification"] = kit.train(
        store, name="spans", **spans, data__source=files(tmp_path_factory.mktemp("data"))
    )
    assert {run.status for run in made.values()} == {"finished"}
    return made


def answers(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_task_that_has_an_answer_is_tried(runs: dict[str, Run]) -> None:
    from runner.answers import ANSWERS
    from runner.inputs import ANSWERED

    assert list(ANSWERS) == list(ANSWERED)
    elsewhere = {
        "text-classification",
        "rerank",
        "causal-lm",
        "masked-lm",
        "instruction",
        "seq2seq",
    }  # other files try these
    assert set(runs) | elsewhere == set(ANSWERS) <= set(SHAPES)


@pytest.mark.parametrize("task", ["multi-label-classification", "regression", "token-classification"])
def test_a_stored_split_gets_what_the_run_said_of_it(
    runner: Runner, store: Store, runs: dict[str, Run], tmp_path: Path, task: str
) -> None:
    run, out = runs[task], tmp_path / "out.jsonl"
    said = runner(store, "predict", run.id, "--split", "test", "--out", str(out), "--device", "cpu")
    assert said.code == 0, said.err
    best = next(c.step for c in list_checkpoints(store, run.key) if c.is_best)
    evaluation = get_evaluation(store, run.key, "test", step=best)
    assert evaluation is not None
    names = get_dataset(store, run.dataset_key or 0).label_names or ()
    recorded = list(read_responses(store, evaluation).values())
    found = answers(out)
    assert len(found) == len(recorded) == 60
    for row, response in zip(found, recorded, strict=True):
        if task == "regression":
            assert row["score"] == pytest.approx(response, rel=1e-4)
        elif task == "token-classification":
            spans = [[span["start"], span["end"], names.index(span["type"])] for span in row["spans"]]
            assert spans == [span[:3] for span in response["spans"]]
            for span, of_run in zip(row["spans"], response["spans"], strict=True):
                assert span["probability"] == pytest.approx(of_run[3], abs=2e-4)
                assert span["text"] == " ".join(row["tokens"][span["start"] : span["end"]])
        else:
            assert [names.index(label) for label in row["labels"]] == response["labels"]


def test_pairs_from_files(runner: Runner, store: Store, runs: dict[str, Run], tmp_path: Path) -> None:
    run = runs["pair-classification"]
    file, out = tmp_path / "new.jsonl", tmp_path / "out.csv"
    file.write_text('{"a": "the bread", "c": "soup here"}\n{"a": "the bread"}\n')
    done = runner(store, "predict", run.id, str(file), "--out", str(out))
    assert done.code == 2
    assert 'has no column "b"' in done.err
    assert "--pair-column" in done.err
    done = runner(store, "predict", run.id, str(file), "--pair-column", "c", "--out", str(out), "--top-k", "1")
    assert done.code == 0, done.err
    with out.open() as opened:
        first, second = csv.DictReader(opened)
    assert list(first) == ["row", "text", "label", "probability", "label 1", "p 1"]
    assert first["text"] == "the bread\nsoup here"
    assert (first["label 1"], first["p 1"]) == (first["label"], first["probability"])
    assert second["label"] == ""


def test_stdin(
    runner: Runner, store: Store, runs: dict[str, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def of(run: Run, text: str) -> list[dict[str, Any]]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        done = runner(store, "predict", run.id, "-", "--device", "cpu")
        assert done.code == 0, done.err
        return [json.loads(line) for line in done.out.splitlines()]

    spans = runs["token-classification"]
    plain = of(spans, "the bread cheese here\n\nmoon rain\n")
    assert [row["tokens"] for row in plain] == [["the", "bread", "cheese", "here"], None, ["moon", "rain"]]
    assert [row["row"] for row in plain] == [1, 2, 3]
    assert plain[1]["spans"] is None
    as_json = of(spans, '{"tokens": ["the", "bread", "cheese", "here"]}\n{"tokens": "moon rain"}\n')
    assert [row["spans"] for row in as_json] == [plain[0]["spans"], plain[2]["spans"]]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a line\n")))
    done = runner(store, "predict", runs["pair-classification"].id, "-")
    assert done.code == 2
    assert 'write JSON objects with "a", "b"' in done.err


def test_words_without_tags_and_parquet(runner: Runner, store: Store, runs: dict[str, Run], tmp_path: Path) -> None:
    file, out = tmp_path / "new.conll", tmp_path / "out.parquet"
    file.write_text("the\nbread\n\nmoon\n")
    done = runner(store, "predict", runs["token-classification"].id, str(file), "--out", str(out), "--json")
    assert done.code == 0, done.err
    table = pq.read_table(out).to_pydict()
    assert table["text"] == ["the bread", "moon"]
    types = [span["type"] for cell in table["spans"] for span in json.loads(cell)]
    assert "food" in types
    assert done.json["counts"] == {name: types.count(name) for name in ("food", "sky", "sport")}
    done = runner(
        store, "predict", runs["multi-label-classification"].id, "--split", "test", "--out", str(out), "--top-k", "2"
    )
    assert done.code == 0, done.err
    table = pq.read_table(out)
    assert table.column_names == ["row", "text", "given", "labels", "label 1", "p 1", "label 2", "p 2"]
    assert np.all(table["p 1"].to_numpy() >= table["p 2"].to_numpy())


@pytest.mark.parametrize(
    "task", ["pair-classification", "multi-label-classification", "regression", "token-classification"]
)
def test_answers_become_a_dataset(
    runner: Runner, store: Store, runs: dict[str, Run], tmp_path: Path, task: str
) -> None:
    run = runs[task]
    name = f"said-{task}"
    done = runner(store, "predict", run.id, "--split", "test", "--to-dataset", name, "--json")
    assert done.code == 0, done.err
    made = get_dataset(store, f"{name}@1")
    assert done.json["dataset"] == str(made)
    assert made.n_rows == {"test": 60}
    assert made.label_names == get_dataset(store, run.dataset_key or 0).label_names
    assert made.source["run"] == run.id
    out = tmp_path / "out.jsonl"
    assert runner(store, "predict", run.id, "--split", "test", "--out", str(out)).code == 0
    values = read_values(store, made, "test")
    found = answers(out)
    if task == "regression":
        assert values == [row["score"] for row in found]
    elif task == "token-classification":
        assert [len(json.loads(value)) for value in values] == [len(row["spans"]) for row in found]
    ids = read_rows(store, made, "test", limit=60)["example_id"].tolist()
    given = read_rows(store, get_dataset(store, run.dataset_key or 0), "test", limit=60)["example_id"].tolist()
    assert ids == given
    assert set(read_inputs(store, ids[:1])[ids[0]]) <= set(SHAPES[task].inputs)
    again = runner(store, "predict", run.id, "--split", "test", "--to-dataset", name, "--json")
    assert again.json["dataset"] == str(made), "the same answers are the same version"
    refused = runner(store, "predict", run.id, "--split", "test", "--to-dataset", "../x")
    assert refused.code == 2
    assert not list((store.files / "cache" / "answers").iterdir())


def test_a_dataset_of_other_rows_is_refused(runner: Runner, store: Store, runs: dict[str, Run]) -> None:
    of = get_dataset(store, runs["regression"].dataset_key or 0)
    done = runner(store, "predict", runs["token-classification"].id, f"dataset:{of}", "--split", "test")
    assert done.code == 2
    assert "has text, and this run reads tokens" in done.err
