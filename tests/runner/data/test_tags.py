"""Sentences with a tag for each word, from every kind of file, and what is said of those that are wrong."""

import doctest
import json
from pathlib import Path
from typing import Any

import datasets
import pytest

from runner.data import DataError, prepare_data, tags, words
from runner.recipe import Recipe
from store import Dataset, Store, iter_inputs, open_store, read_rows, read_values


def recipe_of(source: Path | dict[str, Path], **data: Any) -> Recipe:
    named = {split: str(path) for split, path in source.items()} if isinstance(source, dict) else str(source)
    base = {"source": named, "split": {"validation": 0.25, "test": 0.25}}
    return Recipe.model_validate(
        {"name": "t", "task": "token-classification", "model": {"base": "builtin:minilm"}, "data": base | data}
    )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "assay.db")


def sentences(n: int = 12) -> list[tuple[list[str], list[str]]]:
    """`n` sentences: Ann of New York, in BIO."""
    return [
        ([f"w{i}", "Ann", "of", "New", "York"], ["O", "B-PER", "O", "B-LOC", "I-LOC"]) for i in range(n)
    ]  # fmt: skip


def conll(path: Path, rows: list[tuple[list[str], list[str]]], parted_by: str = "\t") -> Path:
    blocks = [
        "".join(f"{word}{parted_by}{tag}\n" for word, tag in zip(some, given, strict=True)) for some, given in rows
    ]
    path.write_text("\n".join(blocks))
    return path


def jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def stored(store: Store, dataset: Dataset) -> dict[str, tuple[list[str], Any]]:
    """First word → words and spans, over all splits."""
    found = {}
    for split in dataset.n_rows:
        inputs = [each["tokens"] for batch in iter_inputs(store, dataset, split) for each in batch]
        spans = map(json.loads, read_values(store, dataset, split))
        found |= {tokens[0]: (tokens, given) for tokens, given in zip(inputs, spans, strict=True)}
    return found


def faults(store: Store, recipe: Recipe) -> str:
    with pytest.raises(DataError) as caught:
        prepare_data(store, recipe)
    assert store.db.execute("SELECT count(*) FROM examples").fetchone() == (0,)
    return "\n".join(caught.value.problems)


WANTED = (["w3", "Ann", "of", "New", "York"], [[1, 2, 1], [3, 5, 0]])


def test_doctests() -> None:
    for module in (tags, words):
        assert doctest.testmod(module).failed == 0
        assert doctest.testmod(module).attempted >= 2


@pytest.mark.parametrize(
    ("name", "parted_by"), [("a.conll", " "), ("a.bio", "\t"), ("a.txt", "   "), ("a.tsv", "\t"), ("a.iob2", "\t")]
)
def test_words_in_columns(store: Store, tmp_path: Path, name: str, parted_by: str) -> None:
    dataset = prepare_data(store, recipe_of(conll(tmp_path / name, sentences(), parted_by))).dataset
    assert dataset.label_names == ("LOC", "PER")
    assert sum(dataset.n_rows.values()) == 12
    assert stored(store, dataset)["w3"] == WANTED
    assert "Ann of New York" in read_rows(store, dataset, "train", limit=1)["text"][0]


def test_lists_texts_integers_and_features(store: Store, tmp_path: Path) -> None:
    """All are the same data: one version, whatever they were written as."""
    names = ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]
    rows = [{"tokens": some, "tags": given} for some, given in sentences()]
    integers = [{"tokens": row["tokens"], "tags": [names.index(tag) for tag in row["tags"]]} for row in rows]
    as_texts = [{name: " ".join(value) for name, value in row.items()} for row in rows]
    first = prepare_data(store, recipe_of(jsonl(tmp_path / "a.jsonl", rows)))
    assert stored(store, first.dataset)["w3"] == WANTED
    for again in (
        recipe_of(jsonl(tmp_path / "b.jsonl", as_texts), name="a"),
        recipe_of(jsonl(tmp_path / "c.jsonl", integers), name="a", labels=names),
        recipe_of(conll(tmp_path / "d.conll", sentences()), name="a"),
    ):
        found = prepare_data(store, again)
        assert found.reused
        assert found.dataset == first.dataset
    features = datasets.Features(
        {"words": datasets.List(datasets.Value("string")), "ner": datasets.List(datasets.ClassLabel(names=names))}
    )
    made = datasets.Dataset.from_dict(
        {"words": [row["tokens"] for row in rows], "ner": [row["tags"] for row in integers]}, features=features
    )
    made.save_to_disk(tmp_path / "folder")
    made.to_parquet(tmp_path / "a.parquet")
    for path in (tmp_path / "folder", tmp_path / "a.parquet"):
        found = prepare_data(store, recipe_of(path, columns={"tokens": "words", "tags": "ner"}, name="a"))
        assert found.dataset == first.dataset


def test_any_column_may_hold_the_tags(store: Store, tmp_path: Path) -> None:
    blocks = ["-DOCSTART- -X- O O\n\n# about nothing\n"]
    blocks += [f"Ann NNP B-PER {i}\n# CD O x\nYork NNP B-LOC x\n\n" for i in range(8)]
    path = tmp_path / "a.conll"
    path.write_text("".join(blocks))
    recipe = recipe_of(path, columns={"tokens": "1", "tags": "3"}, metadata=["2"])
    dataset = prepare_data(store, recipe).dataset
    row = read_rows(store, dataset, "train", limit=1).iloc[0]
    assert (row["text"], row["metadata"]) == ("Ann # York", {"2": ["NNP", "CD", "NNP"]})
    assert stored(store, dataset)["Ann"][1] == [[0, 1, 1], [2, 3, 0]]


@pytest.mark.parametrize(
    ("written", "scheme"),
    [(["B-LOC", "I-LOC", "E-LOC", "S-PER"], "BIOES"), (["B-LOC", "I-LOC", "L-LOC", "U-PER"], "BILOU")],
)
def test_other_schemes(store: Store, tmp_path: Path, written: list[str], scheme: str) -> None:
    rows = [{"tokens": [f"w{i}", "b", "c", "d"], "tags": written} for i in range(9)]
    dataset = prepare_data(store, recipe_of(jsonl(tmp_path / "a.jsonl", rows))).dataset
    assert stored(store, dataset)["w2"][1] == [[0, 3, 0], [3, 4, 1]]
    rows[4] = {"tokens": ["a", "b"], "tags": ["B-LOC", "O"]}
    said = faults(open_store(tmp_path / "other.db"), recipe_of(jsonl(tmp_path / "b.jsonl", rows)))
    assert f"b.jsonl, line 5, word 2: O after B-LOC. These are tags of {scheme}." in said


def test_wrong_tags_are_all_named_with_their_lines(store: Store, tmp_path: Path) -> None:
    rows = sentences()
    rows[2] = (rows[2][0], ["O", "I-PER", "O", "B-LOC", "I-LOC"])
    rows[5] = (rows[5][0], ["I-LOC", "O", "O", "B-PER", "I-LOC"])
    rows[6] = (rows[6][0], ["O", "I-PER", "O", "O", "O"])
    path = conll(tmp_path / "a.conll", rows)
    said = faults(store, recipe_of(path))
    assert "I-PER after O, in 2 rows: line 14 and line 38" in said
    assert "line 31: I-LOC at the beginning of the sentence" in said
    assert "line 35: I-LOC after B-PER. These are tags of BIO. Correct them; data.tag_rules" in said
    lenient = prepare_data(store, recipe_of(path, tag_rules="lenient")).dataset
    assert stored(store, lenient)["w5"][1] == [[0, 1, 0], [3, 4, 1], [4, 5, 0]]


def test_wrong_neighbours_are_named_beside_tags_of_no_scheme(store: Store, tmp_path: Path) -> None:
    rows = sentences()
    rows[2] = (rows[2][0], ["O", "I-PER", "O", "B-LOC", "I-LOC"])
    rows[5] = (rows[5][0], ["X-LOC", "I-LOC", "O", "B-", "I-LOC"])
    said = faults(store, recipe_of(conll(tmp_path / "a.conll", rows)))
    assert '"B-", "X-LOC": no tag of BIO, BIOES or BILOU' in said
    assert "line 14: I-PER after O. These are tags of BIO" in said
    assert "after X-LOC" not in said
    rows[5] = (rows[5][0], ["X-LOC", "E-LOC", "U-LOC", "O", "O"])
    assert "U-LOC" in faults(store, recipe_of(conll(tmp_path / "b.conll", rows)))


def test_what_is_no_sentence_is_named(store: Store, tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"tokens": some, "tags": given} for some, given in sentences()]
    rows[1] |= {"tags": ["O", "O"]}
    rows[2] |= {"tokens": ["a", 3, "c", "d", "e"]}
    rows[3] |= {"tokens": ["a", " ", "c", "d", "e"]}
    rows[4] |= {"tokens": []}
    rows[5] |= {"tags": None}
    rows[6] |= {"tags": ["O", "O", 3, "O", "O"]}
    rows[7] |= {"tokens": 7}
    said = faults(store, recipe_of(jsonl(tmp_path / "a.jsonl", rows)))
    for line in (
        'line 2 (5 words, 2 tags): "tags" has not as many tags as there are words',
        'line 3: "tokens" has a word that is no text',
        'line 4: "tokens" has an empty word',
        'line 5: no words in "tokens"',
        'line 6: no tags in "tags"',
        'line 7, word 3: "tags" holds 3, which is no tag. Write one tag for each word',
        'line 8: "tokens" holds no list of words',
    ):
        assert line in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("one\ntwo\n", 'one column on its first line ("one")'),
        ("\n \n", "has no rows"),
        ("a O\nb\n\nc O\n", "line 2 (1): the number of columns is not 2"),
        ("a O\nb O\n\nc O\n", 'every tag in "tags" is O'),
        ("a PER\n\nb O\n", 'line 1), "PER": no tag of BIO, BIOES or BILOU'),
        ("a U-PER\n\nb S-PER\n", "line 3), prefixes S, U are of two schemes"),
    ],
)
def test_files_that_are_none(store: Store, tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "a.conll"
    path.write_text(text)
    assert said in faults(store, recipe_of(path))


def test_words_in_columns_are_for_words(store: Store, tmp_path: Path) -> None:
    path = conll(tmp_path / "a.conll", sentences())
    recipe = recipe_of(path)
    assert 'for task = "token-classification"' in faults(store, recipe.model_copy(update={"task": "regression"}))


def test_a_type_that_train_lacks_is_refused(store: Store, tmp_path: Path) -> None:
    train, test = conll(tmp_path / "train.conll", sentences()), tmp_path / "test.conll"
    test.write_text("x B-GPE\n")
    said = faults(store, recipe_of({"train": train, "validation": train, "test": test}))
    assert '"GPE"' in said
    assert "test.conll line 1" in said
