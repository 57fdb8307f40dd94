"""What the columns of each task may hold, and what is said of the rest."""

import doctest
import json
from pathlib import Path
from typing import Any

import pytest

from runner.data import DataError, prepare_data, targets
from runner.recipe import Recipe
from store import Store, iter_inputs, open_store, read_values


def recipe_of(task: str, path: Path, **columns: str) -> Recipe:
    data = {"source": str(path), "columns": columns, "split": {"validation": 0.25, "test": 0.25}}
    return Recipe.model_validate({"name": "test", "task": task, "model": {"base": "builtin:minilm"}, "data": data})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "assay.db")


def jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def faults(store: Store, recipe: Recipe) -> str:
    with pytest.raises(DataError) as caught:
        prepare_data(store, recipe)
    assert store.db.execute("SELECT count(*) FROM examples").fetchone() == (0,)
    return "\n".join(caught.value.problems)


def test_doctests() -> None:
    assert doctest.testmod(targets).failed == 0
    assert doctest.testmod(targets).attempted >= 2


def stored(store: Store, recipe: Recipe) -> dict[str, Any]:
    """Text → target, over all splits."""
    dataset = prepare_data(store, recipe).dataset
    found: dict[str, Any] = {}
    for split in dataset.n_rows:
        texts = [inputs["text"] for batch in iter_inputs(store, dataset, split) for inputs in batch]
        found |= dict(zip(texts, read_values(store, dataset, split), strict=True))
    return found


def test_label_sets_of_every_form(store: Store, tmp_path: Path) -> None:
    forms = [["b", "a"], "b | a", '["a", "b"]', ["a"], "b", None, [], ""]
    wanted = ["[0, 1]", "[0, 1]", "[0, 1]", "[0]", "[1]", "[]", "[]", "[]"]
    rows = [{"text": f"text {i}", "labels": form} for i, form in enumerate(forms)]
    # the labels are those of train: enough rows that train has both
    rows += [{"text": f"more {i}", "labels": ["a", "b"]} for i in range(20)]
    found = stored(store, recipe_of("multi-label-classification", jsonl(tmp_path / "a.jsonl", rows)))
    assert [found[f"text {i}"] for i in range(len(forms))] == wanted


def test_another_order_of_labels_is_the_same_data(store: Store, tmp_path: Path) -> None:
    rows = [{"text": f"text {i}", "labels": ["a", "b"] if i % 2 else []} for i in range(20)]
    recipe = recipe_of("multi-label-classification", jsonl(tmp_path / "a.jsonl", rows))
    first = prepare_data(store, recipe)
    turned = [{**row, "labels": " | ".join(reversed(row["labels"]))} for row in rows]
    again = prepare_data(store, recipe_of("multi-label-classification", jsonl(tmp_path / "a.jsonl", turned)))
    assert again.reused
    assert again.dataset == first.dataset
    changed = [{**row, "labels": ["a"] if row["labels"] else []} for row in rows] + [{"text": "b", "labels": ["b"]}]
    other = prepare_data(store, recipe_of("multi-label-classification", jsonl(tmp_path / "a.jsonl", changed)))
    assert other.dataset.fingerprint != first.dataset.fingerprint


def test_bad_label_sets_are_all_named(store: Store, tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"text": f"text {i}", "labels": ["a", "b"]} for i in range(9)]
    rows += [{"text": "y", "labels": [["a"]]}, {"text": "z", "labels": "a||b"}]
    said = faults(store, recipe_of("multi-label-classification", jsonl(tmp_path / "a.jsonl", rows)))
    assert 'line 10: "labels" holds a list' in said
    assert 'line 11: "labels" holds an empty label' in said


def test_a_label_named_twice_counts_once(store: Store, tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"text": f"text {i}", "labels": ["a", "b"]} for i in range(9)]
    recipe = recipe_of("multi-label-classification", jsonl(tmp_path / "a.jsonl", rows))
    first = prepare_data(store, recipe)
    rows[3]["labels"] = ["b", "a", "b"]
    again = prepare_data(store, recipe_of("multi-label-classification", jsonl(tmp_path / "a.jsonl", rows)))
    assert again.dataset == first.dataset
    (warning,) = again.warnings
    assert warning.endswith('a.jsonl, line 4: "labels" names a label twice. It is taken once.')


def test_numbers(store: Store, tmp_path: Path) -> None:
    rows = [{"text": f"text {i}", "score": value} for i, value in enumerate([1, 2.5, "3e2", "-4", 0.0, 7])]
    found = stored(store, recipe_of("regression", jsonl(tmp_path / "a.jsonl", rows)))
    assert [found[f"text {i}"] for i in range(6)] == [1.0, 2.5, 300.0, -4.0, 0.0, 7.0]


def test_what_is_no_number_is_named(store: Store, tmp_path: Path) -> None:
    rows = [{"text": f"text {i}", "score": value} for i, value in enumerate([1, "good", True, "inf", None])]
    said = faults(store, recipe_of("regression", jsonl(tmp_path / "a.jsonl", rows)))
    assert 'line 2: "score" holds "good", which is no finite number' in said
    assert 'line 3: "score" holds True, which is no finite number' in said
    assert 'line 4: "score" holds "inf", which is no finite number' in said
    assert 'line 5: no score in "score"' in said


def test_pairs_need_both_texts(store: Store, tmp_path: Path) -> None:
    rows = [{"q": "a", "d": "b", "label": "x"}, {"q": "a", "d": "", "label": "y"}, {"q": 3, "d": "c", "label": "x"}]
    said = faults(store, recipe_of("pair-classification", jsonl(tmp_path / "a.jsonl", rows), text="q", text_pair="d"))
    assert 'line 2: no second text in "d"' in said
    assert 'line 3: "q" holds a number instead of a text' in said


def test_a_pair_is_another_example_than_its_texts(store: Store, tmp_path: Path) -> None:
    rows = [{"text": "a", "text_pair": f"b{i}", "label": "xy"[i % 2]} for i in range(12)]
    recipe = recipe_of("pair-classification", jsonl(tmp_path / "a.jsonl", rows), text_pair="text_pair")
    dataset = prepare_data(store, recipe).dataset
    assert store.db.execute("SELECT count(DISTINCT id) FROM examples").fetchone() == (12,)
    assert sum(dataset.n_rows.values()) == 12
    assert store.db.execute("SELECT text FROM examples ORDER BY key LIMIT 1").fetchone()[0].startswith("a\nb")


def test_a_stored_dataset_of_another_task_is_refused(store: Store, tmp_path: Path) -> None:
    """Else label sets would be read as no label, and indices of labels as numbers."""
    sets = [{"text": f"text {i}", "labels": ["a", "b"]} for i in range(12)]
    pairs = [{"text": "a", "text_pair": f"b{i}", "label": "xy"[i % 2]} for i in range(12)]
    scores = [{"text": f"text {i}", "score": i} for i in range(12)]
    made = {
        "multi-label-classification": recipe_of("multi-label-classification", jsonl(tmp_path / "sets.jsonl", sets)),
        "pair-classification": recipe_of(
            "pair-classification", jsonl(tmp_path / "pairs.jsonl", pairs), text_pair="text_pair"
        ),
        "regression": recipe_of("regression", jsonl(tmp_path / "scores.jsonl", scores)),
    }
    for own, recipe in made.items():
        dataset = prepare_data(store, recipe).dataset
        stored = recipe.data.model_copy(update={"source": f"dataset:{dataset}"})
        for task in (*made, "text-classification"):
            wanted = recipe.model_copy(update={"task": task, "data": stored})
            if task == own:
                assert prepare_data(store, wanted).dataset == dataset
                continue
            with pytest.raises(DataError) as caught:
                prepare_data(store, wanted)
            assert f'is none for task = "{task}". Its rows are those of {own}' in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "path", "message"),
    [
        (['task="pair-classification"'], "data.columns.text_pair", "missing: pair-classification reads two texts"),
        (['data.columns.score="s"'], "data.columns.score", "belongs to regression, and the task is text-classif"),
        (
            ['task="regression"', "training.label_smoothing=0.1"],
            "training.label_smoothing",
            "belongs to text-classification, pair-classification or token-classification, and the task is regression",
        ),
        (['evaluation.select="validation/spearman"'], "evaluation.select", "must be validation/accuracy, "),
        (
            ['task="regression"', 'data.columns.text_pair="text"'],
            "data.columns",
            "text and text_pair must be two columns",
        ),
    ],
)
def test_a_recipe_that_mixes_tasks_is_refused(settings: list[str], path: str, message: str) -> None:
    from runner.recipe import RecipeError, parse_recipe

    text = 'name = "x"\ntask = "text-classification"\ndata.source = "hub:a/b"\nmodel.base = "gpt2"\n'
    with pytest.raises(RecipeError) as caught:
        parse_recipe(text, folder=Path(), overrides=settings)
    assert [(problem.path, problem.message.startswith(message)) for problem in caught.value.problems] == [(path, True)]
