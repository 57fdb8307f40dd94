"""Queries and documents from a file to a dataset."""

import json
from pathlib import Path
from typing import Any

import pytest

from runner.data.prepare import fitting_tasks, prepare_data
from runner.data.problems import DataError
from runner.recipe import RecipeError, parse_recipe
from runner.recipe.models import Recipe
from store import Dataset, Store, iter_inputs, make_version, read_queries, read_rows, read_values, record_decision
from tests.runner.data.recipes import recipe_of as any_recipe


def recipe_of(source: object, **columns: str) -> Recipe:
    recipe = any_recipe(source, columns=columns)
    return Recipe.model_validate({**recipe.model_dump(), "task": "rerank", "evaluation": {}})


def jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def rows_of(n_queries: int = 20, relevance: tuple[Any, ...] = (1, 0, 0)) -> list[dict[str, Any]]:
    return [
        {"query": f"what is {q}?", "document": f"{q} is {place}", "relevance": value, "qid": q // 2}
        for q in range(n_queries)
        for place, value in enumerate(relevance)
    ]


def all_queries(store: Store, dataset: Dataset) -> dict[str, list[str]]:
    return {split: read_queries(store, dataset, split) for split in dataset.n_rows}


def test_relevance_of_0_and_1_is_two_labels_and_queries_stay_in_one_split(store: Store, tmp_path: Path) -> None:
    recipe = recipe_of(jsonl(tmp_path / "a.jsonl", rows_of()))
    made = prepare_data(store, recipe)
    dataset = made.dataset
    assert made.warnings == ()
    assert dataset.label_names == ("not relevant", "relevant")
    assert dataset.n_rows == {"train": 48, "validation": 6, "test": 6}
    queries = all_queries(store, dataset)
    assert sum(len(set(some)) for some in queries.values()) == len(set().union(*queries.values())) == 20
    (inputs,) = iter_inputs(store, dataset, "test")
    assert inputs[0] == {"query": queries["test"][0], "document": f"{queries['test'][0][8:-1]} is 0"}
    assert read_values(store, dataset, "test") == [1, 0, 0, 1, 0, 0]
    assert fitting_tasks(store, dataset) == ["rerank"]
    true = jsonl(tmp_path / "b.jsonl", rows_of(relevance=(True, False, "0.0")))
    assert prepare_data(store, recipe_of(true)).dataset.fingerprint == dataset.fingerprint


def test_graded_relevance_is_a_number(store: Store, tmp_path: Path) -> None:
    made = prepare_data(store, recipe_of(jsonl(tmp_path / "a.jsonl", rows_of(relevance=(2, "0.5", 0)))))
    assert made.dataset.label_names is None
    assert read_values(store, made.dataset, "test")[:3] == [2.0, 0.5, 0.0]
    assert fitting_tasks(store, made.dataset) == ["rerank"]


def test_an_id_tells_queries_apart_and_goes_with_later_versions(store: Store, tmp_path: Path) -> None:
    recipe = recipe_of(jsonl(tmp_path / "a.jsonl", rows_of()), query_id="qid")
    dataset = prepare_data(store, recipe).dataset
    queries = all_queries(store, dataset)
    assert sum(len(set(some)) for some in queries.values()) == len(set().union(*queries.values())) == 10
    assert read_rows(store, dataset, "train", positions=[0])["metadata"][0] == {"qid": int(queries["train"][0])}
    record_decision(store, dataset, split="train", position=0, action="relabel", label="not relevant", author="ann")
    child = make_version(store, dataset, author="ann")
    assert read_values(store, child, "train")[:2] == [0, 0]
    assert all_queries(store, child) == queries


def test_everything_that_is_wrong_is_said_at_once(store: Store, tmp_path: Path) -> None:
    rows = rows_of(4, relevance=(1, 0))
    rows[0]["relevance"], rows[1]["relevance"], rows[2]["relevance"], rows[3]["document"] = "good", -1, None, " "
    rows[4]["relevance"] = "inf"
    with pytest.raises(DataError) as caught:
        prepare_data(store, recipe_of(jsonl(tmp_path / "a.jsonl", rows)))
    advice = "Relevance is 0 for a document that does not answer the query, 1 or more for one that does."
    assert [problem.partition("a.jsonl, ")[2] for problem in caught.value.problems] == [
        f'line 1: "relevance" holds "good", which is no number from 0 up. {advice}',
        f'line 2: "relevance" holds -1, which is no number from 0 up. {advice}',
        'line 3: no relevance in "relevance". Fill it in, remove the rows, or set data.on_empty = "drop".',
        'line 4: no document in "document". Fill it in, remove the rows, or set data.on_empty = "drop".',
        f'line 5: "relevance" holds "inf", which is no number from 0 up. {advice}',
    ]
    lacking = [{"question": "a", "document": "b"}]
    with pytest.raises(DataError) as caught:
        prepare_data(store, recipe_of(jsonl(tmp_path / "b.jsonl", lacking), query_id="qid"))
    assert [problem.partition(" has ")[2][:20] for problem in caught.value.problems] == [
        'no column "relevance', 'no column "query" (d', 'no column "qid" (dat'
    ]  # fmt: skip


def test_nothing_to_tell_apart_and_nothing_to_find(store: Store, tmp_path: Path) -> None:
    same = {
        "train": jsonl(tmp_path / "train.jsonl", rows_of(6, (1, 1))),
        "validation": jsonl(tmp_path / "validation.jsonl", rows_of(6, (0, 0))),
        "test": jsonl(tmp_path / "test.jsonl", rows_of(6)),
    }
    with pytest.raises(DataError) as caught:
        prepare_data(store, recipe_of(same))
    first, second = caught.value.problems
    assert first.startswith("data.columns.relevance: all 12 training rows have the relevance 1, so there is nothing")
    assert second.startswith("data.columns.relevance: none of the 6 validation queries has a relevant document")


def test_queries_that_say_nothing_are_told(store: Store, tmp_path: Path) -> None:
    def file(split: str, rows: list[dict[str, Any]]) -> Path:
        named = [{**row, "query": f"{split} {row['query']}"} for row in rows]
        return jsonl(tmp_path / f"{split}.jsonl", named)

    source = {
        "train": file("train", rows_of(6)),
        "validation": file("validation", [*rows_of(6), {"query": "alone", "document": "x", "relevance": 1}]),
        "test": file("test", [*rows_of(6), *({"query": "none", "document": each, "relevance": 0} for each in "xy")]),
    }
    assert prepare_data(store, recipe_of(source)).warnings == (
        "1 of 7 validation queries have one document only: there is nothing to put in order, and where it is relevant "
        "every metric of them is 1.",
        "1 of 7 test queries have no relevant document: how well they are ranked is not known, so no metric counts "
        "them.",
    )


def test_a_recipe_that_groups_otherwise_is_refused() -> None:
    text = 'name = "x"\ntask = "rerank"\ndata.source = "hub:a/b"\nmodel.base = "gpt2"\n'
    with pytest.raises(RecipeError) as caught:
        parse_recipe(text, folder=Path(), overrides=['data.split.group="topic"', 'data.columns.text="t"'])
    assert [(problem.path, problem.message) for problem in caught.value.problems] == [
        ("data.columns.text", "belongs to text-classification, pair-classification, multi-label-classification, "
         "regression, causal-lm, masked-lm or seq2seq, and the task is rerank"),
        ("data.split.group", "rerank keeps the rows of a query together already"),
    ]  # fmt: skip
    loaded = parse_recipe(text, folder=Path())
    assert loaded.recipe.evaluation.select == "validation/ndcg@10"
    assert json.loads(json.dumps(loaded.resolved))["data"]["columns"] == {
        "query": "query", "document": "document", "relevance": "relevance", "query_id": None, "id": None
    }  # fmt: skip
