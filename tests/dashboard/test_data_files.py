"""Data files, guesses, forms and uploads: what the New run page knows before anything runs."""

import json
import tomllib
from pathlib import Path

import pandas as pd
import pytest

from dashboard import data_files, uploads
from dashboard.commands import check_recipe, list_tasks, task_named
from dashboard.data_files import read_sample
from dashboard.guesses import (
    cautions,
    guess_columns,
    guess_task,
    label_counts,
    n_empty,
    target_counts,
    task_sentence,
    top_labels,
)
from dashboard.recipe_form import (
    METHODS,
    Form,
    beyond_defaults,
    free_name,
    kept_of,
    recipe_table,
    recipe_text,
    settings_of,
)
from dashboard.tasks import CLASSIFICATION, Field, Task
from store import open_store
from tests.dashboard.stores import HOSTILE

BOTH = {"text": "text", "label": "label"}
ROWS = [{"text": text, "label": f"l{i % 2}"} for i, text in enumerate(HOSTILE)]


def write(folder: Path, suffix: str) -> Path:
    path = folder / f"rows{suffix}"
    frame = pd.DataFrame(ROWS)
    match suffix:
        case ".jsonl":
            path.write_text("\n".join(json.dumps(row) for row in ROWS) + "\n\n")
        case ".parquet":
            frame.to_parquet(path)
        case _:
            frame.to_csv(path, index=False, sep="\t" if suffix == ".tsv" else ",")
    return path


# reading -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_every_kind_of_file_gives_the_same_rows(tmp_path: Path, suffix: str) -> None:
    sample = read_sample(str(write(tmp_path, suffix)))
    assert sample.problem is None
    assert sample.is_whole
    assert sample.rows.to_dict("records") == ROWS


def test_values_become_text_and_nothing_becomes_empty(tmp_path: Path) -> None:
    path = tmp_path / "mixed.jsonl"
    path.write_text('{"text": "a", "label": 1}\n{"text": null, "label": 0.5, "more": ["x"]}\n{"text": true}\n')
    rows = read_sample(str(path)).rows
    assert rows.to_numpy().tolist() == [["a", "1", ""], ["", "0.5", '["x"]'], ["true", "", ""]]
    csv = tmp_path / "na.csv"
    csv.write_text("\ufefftext,label\nNA,null\n,007\n", encoding="utf-8")
    assert read_sample(str(csv)).rows.to_numpy().tolist() == [["NA", "null"], ["", "007"]]


def test_only_the_beginning_of_a_large_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_files, "MOST_ROWS", 12_000)
    path = tmp_path / "large.csv"
    path.write_text("text,label\n" + "".join(f"row {i},l\n" for i in range(20_000)))
    sample = read_sample(str(path))
    assert len(sample.rows) == 12_000
    assert not sample.is_whole


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("no.csv", None, "No such file"),
        ("empty.csv", "", "is empty (0 bytes)"),
        ("header.csv", "text,label\n", "has no rows"),
        ("rows.xlsx", "x", "ends in .xlsx; files end in .csv"),
        ("bad.jsonl", "{nope\n", "cannot be read"),
        ("list.jsonl", "[1]\n", "line 1 is no JSON object"),
        ("bad.parquet", "no parquet at all", "cannot be read"),
        ("ragged.csv", "a,b\n1,2\n1,2,3\n", "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path: Path, name: str, content: str | None, problem: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    assert problem in str(read_sample(str(path)).problem)


def test_words_in_columns_are_sentences(tmp_path: Path) -> None:
    path = tmp_path / "words.conll"
    path.write_text("-DOCSTART- O\n\n# a comment\nof IN O\nYork NNP B-LOC\n\n\n# is O\nno DT O\n")
    sample = read_sample(str(path))
    assert sample.problem is None
    assert sample.rows["tokens"].tolist() == ['["of", "York"]', '["no"]']
    assert sample.rows["tags"].tolist() == ['["O", "B-LOC"]', '["O"]']


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    assert "is a folder" in str(read_sample(str(tmp_path)).problem)


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("text,label\na,b\n")
    assert len(read_sample(str(path)).rows) == 1
    path.write_text("text,label\na,b\nc,d\n")
    assert len(read_sample(str(path)).rows) == 2


# guessing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "guessed"),
    [
        ({"text": ["a b c"], "label": ["x"]}, ("text", "label")),
        ({"Sentence": ["a"], "label": ["0"], "label_text": ["no"]}, ("Sentence", "label_text")),
        ({"what": ["long text here", "another long one", "third"], "kind": ["a", "b", "a"]}, ("what", "kind")),
        ({"id": ["1", "2", "3"], "said": ["some words", "more words", "words"]}, ("said", None)),
        ({"only": ["a"]}, ("only", None)),
    ],
)
def test_columns_are_guessed_by_name_then_by_content(columns: dict[str, list[str]], guessed: tuple[str, str]) -> None:
    assert tuple(guess_columns(pd.DataFrame(columns)).values()) == guessed


def test_label_counts_and_the_rest() -> None:
    counts = label_counts(pd.Series(["b", "a", "b", " ", ""]))
    assert counts.to_dict("records") == [{"label": "b", "n": 2}, {"label": "a", "n": 1}]
    many = label_counts(pd.Series([f"l{i}" for i in range(50) for _ in range(50 - i)]))
    top = top_labels(many)
    assert len(top) == 20
    assert top["n"].sum() == many["n"].sum()
    assert top["label"].iloc[-1] == "31 other labels"


def said(texts: list[str], labels: list[str], max_length: int = 256) -> str:
    rows = pd.DataFrame({"text": texts, "label": labels})
    return " ".join(cautions(rows, CLASSIFICATION, BOTH, label_counts(rows["label"]), max_length=max_length))


def test_cautions_name_what_would_hurt() -> None:
    texts = [f"text {i}" for i in range(100)]
    assert said(texts, ["a", "b"] * 50) == ""
    assert "only one label, 'a'" in said(texts, ["a"] * 100)
    assert "numbers with fractions" in said(texts, [f"{i / 10}" for i in range(100)])
    assert "1 of 3 labels have fewer than 10 rows (such as rare)" in said(texts, ["a", "b"] * 48 + ["rare"] * 4)
    assert "95 % of the rows are a" in said(texts, ["a"] * 95 + ["b"] * 5)
    assert "is this the column of labels?" in said(texts, texts)
    assert "50 texts occur more than once (50 %)" in said(texts[:50] * 2, ["a", "b"] * 50)
    assert "100 texts are longer than about 8 tokens" in said(
        ["x" * 50 + str(i) for i in range(100)], ["a", "b"] * 50, 8
    )
    rows = pd.DataFrame({"text": ["a"], "label": ["b"]})
    assert cautions(
        rows, CLASSIFICATION, {"text": "text", "label": "text"}, label_counts(rows["text"]), max_length=8
    ) == ["Text and label are the same column."]


def test_rows_without_text_or_label_are_counted_once() -> None:
    rows = pd.DataFrame({"text": ["a", " ", "c", ""], "label": ["x", "y", "", ""]})
    assert n_empty(rows, CLASSIFICATION, BOTH) == 3
    assert n_empty(rows, CLASSIFICATION, {"text": "text"}) == 2


def sentence(rows: pd.DataFrame, task: Task = CLASSIFICATION, *, is_whole: bool = True, **columns: str) -> str:
    target = columns.get(task.target.name) if task.target else None
    counts = target_counts(rows[target], task.kind) if target else label_counts(pd.Series(dtype=str))
    return task_sentence(rows, is_whole=is_whole, task=task, columns=columns, counts=counts)


def test_the_task_in_a_sentence() -> None:
    rows = pd.DataFrame({"text": ["a"] * 1429, "mood": ["a", "b"] * 714 + ["a"]})
    assert sentence(rows, text="text", label="mood") == "1,429 rows, 2 labels in “mood”: text classification."
    assert "More than 1,429 rows" in sentence(rows, is_whole=False, text="text", label="mood")
    assert "without labels: choose the column that says what each text is" in sentence(rows, text="text")
    assert "no column of texts" in sentence(rows)


def test_every_task_of_the_runner_is_guessed_from_a_table_of_its_own() -> None:
    tasks = {task.name: task for task in list_tasks()}
    assert [*tasks][:4] == [
        "text-classification", "pair-classification", "multi-label-classification", "regression"
    ]  # fmt: skip
    assert tasks[CLASSIFICATION.name].fields == CLASSIFICATION.fields
    assert set(CLASSIFICATION.methods) <= set(tasks[CLASSIFICATION.name].methods), (
        "what stands in for it where nobody answers"
    )
    tables = {
        "text-classification": {"tweet": ["so good", "bad", "ok"], "stars": ["1", "5", "1"]},
        "pair-classification": {"sentence1": ["a b"], "sentence2": ["b c"], "label": ["same"]},
        "multi-label-classification": {"text": ["a", "b"], "emotions": ['["joy", "love"]', "[]"]},
        "regression": {"review": ["so good", "bad"], "stars": ["4.5", "1"]},
        "rerank": {"question": ["a b", "a b"], "answer": ["c", "d"], "label": ["0", "1"], "qid": ["1", "1"]},
        "token-classification": {"tokens": ['["of", "York"]', '["no"]'], "ner_tags": ['["O", "B-LOC"]', '["O"]']},
    }
    said = {
        "text-classification": "3 rows, 2 labels in “stars”: text classification.",
        "pair-classification": "1 rows, 1 labels in “label”: pair classification.",
        "multi-label-classification": "2 rows, 2 labels in “emotions”, 1.0 a row: multi-label classification.",
        "regression": "2 rows, numbers from 1 to 4.5 in “stars”: regression.",
        "rerank": "2 rows of 1 queries, relevance in “label”: rerank.",
        "token-classification": "2 rows, 1 spans of 1 types in “ner_tags”: token classification.",
    }
    for name, table in tables.items():
        rows = pd.DataFrame(table)
        task = guess_task(rows, [*tasks.values()])
        assert task.name == name
        columns = {field: column for field, column in guess_columns(rows, task).items() if column}
        assert not task.missing(columns)
        assert sentence(rows, task, **columns) == said[name]
        method = next(method for method in METHODS if method in task.methods)
        for source in ("/d/rows.csv", "dataset:some@1"):
            recipe = recipe_text(Form("a", source, columns, task, method=method))
            assert check_recipe(recipe).problems == (), recipe


def test_relevance_of_queries() -> None:
    rerank = task_named("rerank")
    rows = pd.DataFrame({"query": ["a", "a", "b"], "document": ["c", "d", "e"], "relevance": ["true", "-1", "much"]})
    assert guess_columns(rows.assign(relevance=["1", "0", "1"]), rerank) == {
        "query": "query", "document": "document", "relevance": "relevance", "query_id": None
    }  # fmt: skip
    counts = target_counts(rows["relevance"], "relevance")
    assert counts.to_dict("list") == {"label": ["-1", "1"], "n": [1, 1]}
    named = {"query": "query", "document": "document", "relevance": "relevance"}
    assert cautions(rows, rerank, named, counts, max_length=8) == ["2 values are no numbers from 0 up."]
    assert "no column of queries: choose one" in sentence(rows, rerank, document="document", relevance="relevance")


def test_a_chat_needs_no_other_column() -> None:
    rows = pd.DataFrame({"messages": ['[{"role": "user", "content": "hi"}]'] * 3, "id": ["1", "2", "3"]})
    task = guess_task(rows, list_tasks())
    assert task.name == "instruction"
    columns = guess_columns(rows, task)
    assert {name: column for name, column in columns.items() if column} == {"messages": "messages"}
    assert not task.missing(columns)
    assert sentence(rows, task, messages="messages") == "3 rows: instruction."
    recipe = recipe_text(Form("a", "/d/rows.jsonl", columns, task, base="gpt2", method="lora"))
    assert check_recipe(recipe).problems == (), recipe
    prompts = pd.DataFrame(
        {"prompt": ["what is it, then?", "and now what?"], "answer": ["it is a long answer", "and another one"]}
    )
    task = guess_task(prompts, list_tasks())
    assert task.name == "instruction"
    named = {"prompt": "prompt", "input": None, "messages": None, "completion": "answer"}
    assert guess_columns(prompts, task) == named


def test_instructions_with_what_they_are_about() -> None:
    rows = pd.DataFrame(
        {
            "instruction": ["Name the capital city.", "Say something."] * 4,
            "input": ["France has one, as every country.", ""] * 4,
            "output": [f"a rather long answer, number {i}" for i in range(8)],
        }
    )
    task = guess_task(rows, list_tasks())
    assert task.name == "instruction"
    columns = guess_columns(rows, task)
    assert columns == {"prompt": "instruction", "input": "input", "messages": None, "completion": "output"}
    assert n_empty(rows, task, columns) == 0
    few = rows.assign(output="yes")
    assert guess_task(few, list_tasks()) == task, "answers that come again are answers all the same"
    assert guess_columns(few, task) == columns
    assert [field.name for field in task.missing({"input": "input", "completion": "output"})] == ["prompt"]
    recipe = recipe_text(Form("a", "/d/rows.jsonl", columns, task, base=task.base, method="lora"))
    assert check_recipe(recipe).problems == (), recipe
    assert 'input = "input"' in recipe


def test_a_task_that_no_page_knows_by_name() -> None:
    words, tags = Field("words_of_it", "words"), Field("marks", "marks", is_target=True)
    task = Task("marking", "marks of a new kind", (words, tags), ("full",))
    rows = pd.DataFrame({"words_of_it": ["a b", ""], "marks": ["x y", "z"], "other": ["1", "2"]})
    assert guess_task(rows, [CLASSIFICATION, task]) == task
    columns = guess_columns(rows, task)
    assert columns == {"words_of_it": "words_of_it", "marks": "marks"}
    assert sentence(rows, task, words_of_it="words_of_it", marks="marks") == "2 rows, marks in “marks”: marking."
    assert n_empty(rows, task, columns) == 1
    assert cautions(rows, task, columns, target_counts(rows["marks"], task.kind), max_length=8) == []


def test_numbers_and_sets_that_are_odd() -> None:
    regression, sets = task_named("regression"), task_named("multi-label-classification")
    rows = pd.DataFrame({"text": [f"t {i}" for i in range(30)], "y": ["1.5"] * 29 + ["many"]})
    counts = target_counts(rows["y"], "number")
    assert cautions(rows, regression, {"text": "text", "score": "y"}, counts, max_length=8) == [
        "1 values are no numbers (such as 'many')."
    ]
    rows = pd.DataFrame({"text": ["a", "b", ""], "y": ["joy|love", "", "joy"]})
    assert n_empty(rows, sets, {"text": "text", "labels": "y"}) == 1, "no label is a set too"
    assert task_named("no such task") == CLASSIFICATION


# the form ----------------------------------------------------------------------------------------------------------


def test_the_recipe_says_only_what_was_said() -> None:
    form = Form(
        "a",
        "/d/rows.csv",
        {"text": "tweet", "label": "label"},
        settings={"training.epochs": "", "training.learning_rate": " 2e-4 "},
    )
    assert tomllib.loads(recipe_text(form)) == {
        "name": "a", "task": "text-classification", "model": {"base": "builtin:minilm", "method": "head"},
        "data": {"source": "/d/rows.csv", "columns": {"text": "tweet"}}, "training": {"learning_rate": 2e-4},
    }  # fmt: skip


def test_names_of_all_kinds_survive_toml(tmp_path: Path) -> None:
    for text in (*HOSTILE, 'quote " and \\ backslash'):
        form = Form("a", f"/d/{text}.csv", {"text": text})
        assert tomllib.loads(recipe_text(form))["data"]["columns"] == {"text": text}


@pytest.mark.parametrize(
    ("path", "typed", "said"),
    [
        ("training.epochs", "many", "training.epochs"), ("training.epochs", "1.5", "an integer"),
        ("training.learning_rate", "-1", "> 0"), ("training.batch_size", "0", "training.batch_size"),
        ("training.seed", "nan", "training.seed"),
    ],
)  # fmt: skip
def test_what_is_no_number_is_answered_by_the_check(path: str, typed: str, said: str) -> None:
    check = check_recipe(recipe_text(Form("a", "builtin:docstrings", settings={path: typed})))
    problem = check.problems[0]
    assert problem["path"] == path
    assert said in f"{problem['path']} {problem['message']}"
    assert check.resolved is None


def test_the_check_says_defaults_hash_and_memory() -> None:
    text = recipe_text(Form("a", "builtin:docstrings", method="lora"))
    check, short = check_recipe(text), check_recipe(text, 32)
    assert check.problems == ()
    assert check.resolved is not None
    assert check.memory is not None
    assert short.memory is not None
    assert (check.resolved["training"]["epochs"], check.resolved["training"]["batch_size"]) == (3, 32)
    assert len(str(check.hash)) == 32
    assert short.memory["bytes"]["activations"] < check.memory["bytes"]["activations"] / 8  # 256 tokens


def test_settings_and_the_rest_of_a_recipe_go_into_the_form_and_back() -> None:
    text = """
name = "a"
task = "text-classification"
tags = ["x"]
[model]
base = "builtin:minilm"
method = "lora"
max_length = 64
[model.lora]
r = 4
[data]
source = "/d/rows.csv"
metadata = ["user"]
[data.columns]
text = "tweet"
[training]
epochs = 7
class_weights = "balanced"
"""
    check = check_recipe(text)
    assert check.resolved is not None, check.problems
    defaults = check_recipe(recipe_text(Form("defaults", "builtin:docstrings", method="lora"))).resolved
    assert defaults is not None
    own = beyond_defaults(check.resolved, defaults)
    assert settings_of(own) == {"training.epochs": "7", "model.max_length": "64"}
    kept = kept_of(own)
    assert kept == {
        "tags": ["x"], "model": {"lora": {"r": 4}}, "training": {"class_weights": "balanced"},
    }  # fmt: skip
    form = Form(
        "a",
        "/d/rows.csv",
        {"text": "tweet", "label": "label"},
        metadata=tuple(check.resolved["data"]["metadata"]),
        method="lora",
        settings=settings_of(own),
        kept=kept,
    )
    again = check_recipe(recipe_text(form))
    assert again.hash == check.hash


def test_a_stored_dataset_needs_no_columns() -> None:
    kept = {"data": {"metadata": ["user"]}, "training": {"warmup": 0.1}}
    table = recipe_table(Form("a", "dataset:tweets@1", {"text": "tweet", "label": "mood"}, kept=kept))
    assert table["data"] == {"source": "dataset:tweets@1"}
    assert table["training"] == {"warmup": 0.1}


def test_free_names() -> None:
    assert free_name("a", {"a", "a-2", "a-3"}) == "a-4"
    assert free_name("b", {"a"}) == "b"


# uploads -----------------------------------------------------------------------------------------------------------


def test_an_upload_is_kept_once_by_its_content(tmp_path: Path) -> None:
    store = open_store(tmp_path / "a.db")
    first = uploads.keep_upload(store, "../../My Tweets.CSV", b"text,label\na,b\n")
    again = uploads.keep_upload(store, "other.csv", b"text,label\na,b\n")
    other = uploads.keep_upload(store, "other.csv", b"text,label\na,c\n")
    assert first.path == again.path
    assert first.path.parent == tmp_path / "a-files" / "uploads"
    assert (first.path.suffix, first.name, first.size_bytes) == (".csv", "my-tweets", 15)
    assert first.path.read_bytes() == b"text,label\na,b\n"
    assert sorted(path.name for path in first.path.parent.iterdir()) == sorted([first.path.name, other.path.name])
    store.close()


def test_a_torn_upload_is_mended_and_a_failed_one_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(tmp_path / "a.db")
    kept = uploads.keep_upload(store, "a.csv", b"text,label\na,b\n")
    kept.path.write_bytes(b"text")
    assert uploads.keep_upload(store, "a.csv", b"text,label\na,b\n").path.read_bytes() == b"text,label\na,b\n"

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="No space left"):
        uploads.keep_upload(store, "a.csv", b"something else")
    assert [path.name for path in kept.path.parent.iterdir()] == [kept.path.name]
    store.close()
