"""Bad input: each fault has a clear message, all at once, and nothing is stored."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import pandas as pd
import pytest

from runner.data import DataError, prepare_data
from store import Store, open_store
from tests.runner.data.recipes import recipe_of, toy_rows, write_csv


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path / "assay.db")
    yield store
    assert store.db.execute("SELECT count(*) FROM datasets").fetchone() == (0,), "something was stored"
    assert store.db.execute("SELECT count(*) FROM examples").fetchone() == (0,), "something was stored"
    store.close()


def problems_of(store: Store, source: object, **data: Any) -> tuple[str, ...]:
    """The problems, with the folder of the files taken out of the messages."""
    with pytest.raises(DataError) as caught:
        prepare_data(store, recipe_of(source, **data))
    folder = f"{store.path.parent}/"
    assert all(
        problem.replace(folder, "") in str(caught.value).replace(folder, "") for problem in caught.value.problems
    )
    return tuple(problem.replace(folder, "") for problem in caught.value.problems)


def raw(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


FINE = b"".join(f"text number {i},{'ab'[i % 2]}\n".encode() for i in range(20))
SOURCES = "A source is a file (.csv, .tsv, .jsonl, .parquet), a folder"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(b"", 'data.source = "f.csv" is empty (0 bytes).', id="empty"),
        pytest.param(b"\n\n", "f.csv has no rows: it holds nothing but blank lines.", id="blank"),
        pytest.param(
            b"text,label\n", "f.csv has no rows to use: it has a header but no rows below it.", id="header only"
        ),
        pytest.param(
            b"text,lable\n" + FINE,
            'f.csv has no column "label" (data.columns.label). It has: "text", "lable". Did you mean "lable"? '
            "Set data.columns.label to one of them.",
            id="missing column",
        ),
        pytest.param(
            b"text,label,text\na,b,c\n",
            'f.csv has 2 columns named "text" (data.columns.text). Rename all but one.',
            id="column twice",
        ),
        pytest.param(
            b"text,label\nfine,a\na,b,c\n" + FINE,
            "f.csv, line 3 (3 fields): the number of fields is not the header's 2. "
            'Put a text that contains a comma or a line break between double quotes (").',
            id="too many fields",
        ),
        pytest.param(
            b'text,label\n"two\nlines",a\nlonely\n' + FINE,
            "f.csv, line 4 (1 field): the number of fields is not the header's 2. "
            'Put a text that contains a comma or a line break between double quotes (").',
            id="too few fields after a text of two lines",
        ),
        pytest.param(
            b"text,label\n" + FINE + b'"never closed,a\nmore,b\n',
            'f.csv, line 22 (read up to line 23): a quote (") is opened and never closed. '
            'A quote (") inside a quoted text must be doubled ("").',
            id="unclosed quote",
        ),
        pytest.param(
            b'text,label\n"he said "no" twice",a\n' + FINE,
            "f.csv, line 2: the quoting is broken (',' expected after '\"'). "
            'A quote (") inside a quoted text must be doubled ("").',
            id="quote inside quotes",
        ),
        pytest.param(
            b"text,label\n,a\nx,b\n \t,b\n" + FINE,
            'f.csv: no text in "text", in 2 rows: line 2 and line 4. '
            'Fill it in, remove the rows, or set data.on_empty = "drop".',
            id="empty texts",
        ),
        pytest.param(
            b"text,label\nx,\n" + FINE,
            'f.csv, line 2: no label in "label". Fill it in, remove the rows, or set data.on_empty = "drop".',
            id="missing label",
        ),
        pytest.param(
            b"text,label\ncaf\xe9,a\n" + FINE,
            "f.csv: 1 line not valid utf-8: line 2 (byte 4 is 0xe9). "
            'Set data.encoding = "latin-1", or convert the file to UTF-8.',
            id="latin-1",
        ),
        pytest.param(
            b"text,label\n\x93quoted\x94,a\n" + FINE,
            "f.csv: 1 line not valid utf-8: line 2 (byte 1 is 0x93). "
            'Set data.encoding = "cp1252", or convert the file to UTF-8.',
            id="cp1252",
        ),
        pytest.param(
            "text,label\ncafé,a\nthé,b\n".encode() + b"caf\xe9,a\n" + FINE,
            "f.csv: 1 line not valid utf-8: line 4 (byte 4 is 0xe9). 2 other lines are valid utf-8 beyond ASCII, so "
            "the file mixes encodings: convert those lines to UTF-8; no single data.encoding reads it.",
            id="mixed encodings",
        ),
        pytest.param(
            "text,label\na,b\n".encode("utf-16"),
            'f.csv is not utf-8: it begins with the mark of utf-16. Set data.encoding = "utf-16", or convert the file.',
            id="utf-16",
        ),
        pytest.param(
            b"text,label\nnul\0l,a\n" + FINE,
            "f.csv, line 2: a NUL character. Remove it; texts may not contain it.",
            id="NUL",
        ),
        pytest.param(
            b"text,label\na,x\nb,x\nc, x\n",
            'data.columns.label: all 3 training examples have the label "x". Classification needs at least two labels; '
            'is "label" the right column?',
            id="one class",
        ),
        pytest.param(
            b"text,label\na,0.5\nb,1\nc,0.25\nd,0.5\n",
            'data.columns.label: the column "label" holds numbers that are not whole: 0.5 (2 rows, first f.csv line 2) '
            "and 0.25 (1 row, first f.csv line 4). This looks like regression; Assay's text classification needs names "
            "or whole numbers. Turn the numbers into classes (for instance low, medium, high), or name another label "
            "column.",
            id="floats",
        ),
        pytest.param(
            b"text,label\na,x\nb,y\n",
            "train has 2 examples of 2 labels: too few to split off validation and test, which takes a label with at "
            "least 3. Add examples, or name files for the splits in data.source.",
            id="too few to split",
        ),
    ],
)
def test_broken_csv(content: bytes, expected: str, store: Store, tmp_path: Path) -> None:
    assert problems_of(store, raw(tmp_path / "f.csv", content)) == (expected,)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            b'{"text": "x", "label": "a"}\n{"text": "y" "label": 1}\n',
            "f.jsonl, line 2 (Expecting ',' delimiter at character 14): not valid JSON. "
            "A .jsonl file has one complete JSON object on each line.",
        ),
        (
            b'[{"text": "x", "label": "a"}]\n',
            "f.jsonl, line 1 (a list): not a JSON object. Write one object such as "
            '{"text": "…", "label": "…"} on each line.',
        ),
        (
            b'{"text": 5, "label": "a"}\n',
            'f.jsonl, line 1: "text" holds a number instead of a text. Convert it to Unicode text.',
        ),
        (
            b'{"text": "\\ud83d", "label": "a"}\n',
            'f.jsonl, line 1: "text" holds half a character (a lone surrogate). Convert it to Unicode text.',
        ),
        (
            b'{"text": "x", "label": ["a", "b"]}\n',
            'f.jsonl, line 1: "label" holds a list. A label is a text, a whole number or a boolean.',
        ),
        (
            b'{"text": "x", "label": NaN}\n',
            'f.jsonl, line 1: no label in "label". Fill it in, remove the rows, or set data.on_empty = "drop".',
        ),
        (
            b'{"text": "x"}\n',
            'f.jsonl has no column "label" (data.columns.label). It has: "text". '
            "Set data.columns.label to one of them.",
        ),
        (b"\n \n", "f.jsonl has no rows: it holds no JSON object."),
        (
            b'{"text": "a", "label": "b", "n": ' + b"7" * 5000 + b"}",
            "f.jsonl, line 1: a number of thousands of digits. Shorten it, or put it in double quotes.",
        ),
    ],
)
def test_broken_jsonl(content: bytes, expected: str, store: Store, tmp_path: Path) -> None:
    assert problems_of(store, raw(tmp_path / "f.jsonl", content))[0] == expected


def test_all_problems_of_all_files_come_at_once(store: Store, tmp_path: Path) -> None:
    rows = [("", "a")] * 42 + [(f"t{i}", "ab"[i % 2]) for i in range(10)]
    files = {
        "train": write_csv(tmp_path / "train.csv", rows),
        "validation": tmp_path / "missing.csv",
        "test": write_csv(tmp_path / "test.csv", [("x", "c")] * 3),
    }
    missing, empty, unknown = problems_of(store, files)
    assert missing.startswith(f'data.source.validation = "missing.csv": there is no such file or folder. {SOURCES}')
    assert empty == (
        'train.csv: no text in "text", in 42 rows: line 2, line 3, line 4, line 5, line 6 and 37 more. '
        'Fill it in, remove the rows, or set data.on_empty = "drop".'
    )
    assert unknown.startswith('the test split has labels that train does not have: "c" (3 × from test.csv line 2).')


def test_one_class_is_said_beside_other_problems(store: Store, tmp_path: Path) -> None:
    source = write_csv(tmp_path / "f.csv", [("x", "a"), ("y", "a"), ("", "a")])
    empty, single = problems_of(store, source)
    assert empty.startswith('f.csv, line 4: no text in "text".')
    assert single.startswith('data.columns.label: all 2 training examples have the label "a".')


def test_str_lists_the_problems() -> None:
    assert str(DataError(["one"])) == "one"
    assert str(DataError(["one", "two"])) == "2 problems with the data:\n  - one\n  - two"


@pytest.mark.parametrize(
    ("name", "advice"),
    [("f.json", "Write one JSON object per line and name it .jsonl."), ("f.xlsx", "Save the sheet as CSV (UTF-8)."),
     ("f", "Convert it to one of these.")],
)  # fmt: skip
def test_wrong_suffix(name: str, advice: str, store: Store, tmp_path: Path) -> None:
    expected = f'data.source = "{name}": files may end in .csv, .tsv, .jsonl, .parquet. {advice}'
    assert problems_of(store, raw(tmp_path / name, b"x")) == (expected,)


def test_missing_file_names_the_nearest(store: Store, tmp_path: Path) -> None:
    write_csv(tmp_path / "reviews.csv", toy_rows())
    (problem,) = problems_of(store, tmp_path / "review.csv")
    assert problem.startswith(
        'data.source = "review.csv": there is no such file or folder. Did you mean "reviews.csv"?'
    )


def test_file_that_is_not_parquet(store: Store, tmp_path: Path) -> None:
    (problem,) = problems_of(store, raw(tmp_path / "f.parquet", b"not parquet at all"))
    assert problem.startswith("f.parquet is not a Parquet file that can be read: ")


def test_damaged_parquet(store: Store, tmp_path: Path) -> None:
    pd.DataFrame(toy_rows(500), columns=["text", "label"]).to_parquet(tmp_path / "f.parquet")
    content = bytearray((tmp_path / "f.parquet").read_bytes())
    content[4:200] = b"\xff" * 196
    problems = problems_of(store, raw(tmp_path / "f.parquet", bytes(content)))
    assert problems[0].startswith("f.parquet, after row 0: the file is damaged: ")


def test_empty_parquet(store: Store, tmp_path: Path) -> None:
    pd.DataFrame({"text": pd.Series([], dtype="str"), "label": pd.Series([], dtype="str")}).to_parquet(
        tmp_path / "f.parquet"
    )
    assert problems_of(store, tmp_path / "f.parquet") == ("f.parquet has no rows to use: it has no rows.",)


def test_missing_values_in_parquet(store: Store, tmp_path: Path) -> None:
    pd.DataFrame({"text": [None, "b"], "label": [1.0, float("nan")]}).to_parquet(tmp_path / "f.parquet")
    assert [problem.split(".")[0:2] for problem in problems_of(store, tmp_path / "f.parquet")] == [
        ["f", 'parquet, row 1: no text in "text"'],
        ["f", 'parquet, row 2: no label in "label"'],
    ]


def test_folder_of_something_else(store: Store, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    write_csv(tmp_path / "folder" / "train.csv", toy_rows())
    (problem,) = problems_of(store, tmp_path / "folder")
    assert problem == (
        'data.source = "folder" is a folder, but none that datasets.save_to_disk wrote. '
        'It holds train.csv: name the files, as in data.source = { train = "folder/train.csv" }.'
    )


def test_damaged_datasets_folder(store: Store, tmp_path: Path) -> None:
    datasets.Dataset.from_dict({"text": ["a"], "label": ["b"]}).save_to_disk(tmp_path / "saved")
    raw(tmp_path / "saved" / "state.json", b"{")
    (problem,) = problems_of(store, tmp_path / "saved")
    assert problem.startswith('"saved" cannot be read as a folder of datasets.save_to_disk: ')


def test_folder_of_several_splits_is_no_file_of_one(store: Store, tmp_path: Path) -> None:
    one = datasets.Dataset.from_dict({"text": ["a"], "label": ["b"]})
    datasets.DatasetDict({"train": one, "test": one}).save_to_disk(tmp_path / "saved")
    (problem,) = problems_of(store, {"train": tmp_path / "saved"})
    assert problem.startswith('data.source.train = "saved" has several splits (train and test).')


def test_folder_without_train(store: Store, tmp_path: Path) -> None:
    one = datasets.Dataset.from_dict({"text": ["a"], "label": ["b"]})
    datasets.DatasetDict({"left": one, "right": one}).save_to_disk(tmp_path / "saved")
    (problem,) = problems_of(store, tmp_path / "saved")
    assert problem.startswith('saved has no split "train"; it has "left", "right".')


def test_duplicate_ids(store: Store, tmp_path: Path) -> None:
    header = ("text", "label", "key")
    train = write_csv(tmp_path / "a.csv", [(f"t{i}", "ab"[i % 2], i % 9) for i in range(10)], header)
    test = write_csv(tmp_path / "b.csv", [("x", "a", 4), ("y", "b", ""), ("z", "b", 77)], header)
    assert problems_of(store, {"train": train, "test": test}, columns={"id": "key"}) == (
        "b.csv, line 3: no id. Fill it in, or leave out data.columns.id.",
        'a.csv, line 11 (as line 2): an id in "key" that an earlier row has already. '
        "Ids must be unique; correct them, or leave out data.columns.id.",
        'b.csv, line 2 (as a.csv line 6): an id in "key" that an earlier row has already. '
        "Ids must be unique; correct them, or leave out data.columns.id.",
    )


def test_label_column_of_texts(store: Store, tmp_path: Path) -> None:
    source = write_csv(tmp_path / "f.csv", [(f"t{i}", f"another text {i}") for i in range(10_001)])
    (problem,) = problems_of(store, source)
    assert 'the column "label" has more than 10,000 different values' in problem
    assert "looks like an id or a free text" in problem


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"encoding": "utf-9"}, 'data.encoding = "utf-9" is no text encoding.'),
        ({"encoding": "base64"}, 'data.encoding = "base64" is no text encoding.'),
        ({"name": "my@data"}, 'data.name = "my@data": use up to 100 letters'),
        ({"metadata": ["langage"]}, 'f.csv has no column "langage" (data.metadata). It has: "text", "label".'),
        ({"labels": ["god", "bad"]}, 'label "good" (20 rows, first f.csv line 2) is not in data.labels (god and bad).'),
    ],
)
def test_settings_that_do_not_fit(data: dict[str, Any], expected: str, store: Store, tmp_path: Path) -> None:
    (problem,) = problems_of(store, write_csv(tmp_path / "f.csv", toy_rows()), **data)
    assert problem.startswith(expected)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_file_that_may_not_be_read(store: Store, tmp_path: Path) -> None:
    source = write_csv(tmp_path / "f.csv", toy_rows())
    source.chmod(0)
    assert problems_of(store, source) == ('data.source = "f.csv" cannot be read: Permission denied.',)


def test_unclosed_quote_in_a_large_file_does_not_read_it_into_one_field(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import csv

    from runner.data import text_files

    limit = csv.field_size_limit(131_072)
    monkeypatch.setattr(text_files, "MAX_FIELD_CHARACTERS", 200_000)
    try:
        source = raw(tmp_path / "f.csv", b'text,label\n"open,a\n' + FINE * 1000)
        problem = problems_of(store, source)[0]
    finally:
        csv.field_size_limit(limit)
    assert problem.startswith("f.csv, line 2 (read up to line ")
    assert "a field of more than 200,000 characters; a quote is probably never closed" in problem
