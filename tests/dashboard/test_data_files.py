"""Data files, guesses, forms and uploads: what the New run page knows before anything runs."""

import json
import tomllib
from pathlib import Path

import pandas as pd
import pytest

from dashboard import data_files, uploads
from dashboard.commands import check_recipe
from dashboard.data_files import read_sample
from dashboard.guesses import Columns, cautions, guess_columns, label_counts, n_empty, task_sentence, top_labels
from dashboard.recipe_form import Form, beyond_defaults, free_name, kept_of, recipe_table, recipe_text, settings_of
from store import open_store
from tests.dashboard.stores import HOSTILE

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


@pytest.mark.parametrize("suffix", data_files.SUFFIXES)
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
    assert guess_columns(pd.DataFrame(columns)) == guessed


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
    return " ".join(cautions(rows, Columns("text", "label"), label_counts(rows["label"]), max_length=max_length))


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
    assert cautions(rows, Columns("text", "text"), label_counts(rows["text"]), max_length=8) == [
        "Text and label are the same column."
    ]


def test_rows_without_text_or_label_are_counted_once() -> None:
    rows = pd.DataFrame({"text": ["a", " ", "c", ""], "label": ["x", "y", "", ""]})
    assert n_empty(rows, Columns("text", "label")) == 3
    assert n_empty(rows, Columns("text", None)) == 2


def test_the_task_in_a_sentence() -> None:
    counts = pd.DataFrame({"label": ["a", "b"], "n": [1, 1]})
    columns = Columns("text", "mood")
    sentence = task_sentence(1429, is_whole=True, columns=columns, counts=counts)
    assert sentence == "1,429 rows, 2 labels in “mood”: text classification."
    assert "More than 100,000 rows" in task_sentence(100_000, is_whole=False, columns=columns, counts=counts)
    assert "choose the column" in task_sentence(3, is_whole=True, columns=Columns("text", None), counts=counts)
    assert "no column of texts" in task_sentence(3, is_whole=True, columns=Columns(None, None), counts=counts)


# the form ----------------------------------------------------------------------------------------------------------


def test_the_recipe_says_only_what_was_said() -> None:
    form = Form(
        "a", "/d/rows.csv", "tweet", "label", settings={"training.epochs": "", "training.learning_rate": " 2e-4 "}
    )
    assert tomllib.loads(recipe_text(form)) == {
        "name": "a", "task": "text-classification", "model": {"base": "builtin:minilm", "method": "head"},
        "data": {"source": "/d/rows.csv", "columns": {"text": "tweet"}}, "training": {"learning_rate": 2e-4},
    }  # fmt: skip


def test_names_of_all_kinds_survive_toml(tmp_path: Path) -> None:
    for text in (*HOSTILE, 'quote " and \\ backslash'):
        form = Form("a", f"/d/{text}.csv", text, "label")
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
        "tweet",
        "label",
        metadata=tuple(check.resolved["data"]["metadata"]),
        method="lora",
        settings=settings_of(own),
        kept=kept,
    )
    again = check_recipe(recipe_text(form))
    assert again.hash == check.hash


def test_a_stored_dataset_needs_no_columns() -> None:
    kept = {"data": {"metadata": ["user"]}, "training": {"warmup": 0.1}}
    table = recipe_table(Form("a", "dataset:tweets@1", "tweet", "mood", kept=kept))
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
