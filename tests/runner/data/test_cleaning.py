"""`[data.clean]`: what its steps do to texts, and what becomes of the dataset and of predictions."""

import doctest
import json
from pathlib import Path
from typing import Any

import pytest

from runner.data import DataError, cleaning, prepare_data
from runner.data.cleaning import Cleaner, cleaner_of
from runner.data.problems import Problems
from runner.inputs import open_texts
from runner.recipe import Recipe, RecipeError, parse_recipe
from runner.recipe.cleaning import Clean
from store import NewRun, Store, iter_inputs, iter_texts, make_version, read_values, record_decision, record_run

TEXTS = ["Cafe\u0301  AU\tLait\u200b", "Rain\u0007 AGAIN", "  sun at LAST ", "grey and cold", "fog", "wind"]


def recipe_of(folder: Path, clean: dict[str, Any], *, on_empty: str = "error", name: str = "weather") -> Recipe:
    rows = [{"text": text, "label": "ab"[i % 2]} for i, text in enumerate(TEXTS)]
    (folder / "all.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    lines = "".join(f"clean.{key} = {json.dumps(value)}\n" for key, value in clean.items())
    text = (
        f'name = "x"\ntask = "text-classification"\nmodel.base = "gpt2"\n[data]\nname = "{name}"\n'
        'source = { train = "all.jsonl", validation = "all.jsonl", test = "all.jsonl" }\n'
        f'on_empty = "{on_empty}"\n{lines}'
    )
    return parse_recipe(text, folder=folder).recipe


def test_the_examples_in_the_code() -> None:
    assert doctest.testmod(cleaning).attempted == 1


@pytest.mark.parametrize(
    ("steps", "cleaned"),
    [
        ({}, "Cafe\u0301  AU\tLait\u200b"),
        ({"unicode": "NFC"}, "Caf\u00e9  AU\tLait\u200b"),
        ({"controls": True}, "Cafe\u0301  AU\tLait"),
        ({"whitespace": True}, "Cafe\u0301 AU Lait\u200b"),
        ({"lowercase": True}, "cafe\u0301  au\tlait\u200b"),
        ({"unicode": "NFKC", "controls": True, "lowercase": True, "whitespace": True}, "caf\u00e9 au lait"),
    ],
)
def test_each_step(steps: dict[str, Any], cleaned: str) -> None:
    cleaner = Cleaner(Clean(**steps))
    assert cleaner.text(TEXTS[0]) == cleaned
    assert cleaner.steps == steps
    assert cleaner.text(cleaned) == cleaned, "once more changes nothing"


def test_words_keep_their_places_and_chats_their_turns() -> None:
    cleaner = Cleaner(Clean(controls=True, lowercase=True))
    chat = [{"role": "user", "content": "HI\u0000"}]
    given = {"tokens": ["In", "\u200b", "Paris"], "messages": chat, "text": "A"}
    assert cleaner.inputs(given) == {
        "tokens": ["in", "\u200b", "paris"], "messages": [{"role": "user", "content": "hi"}], "text": "a",
    }  # fmt: skip


def test_other_steps_make_another_version(store: Store, tmp_path: Path) -> None:
    plain = prepare_data(store, recipe_of(tmp_path, {})).dataset
    lower = prepare_data(store, recipe_of(tmp_path, {"lowercase": True, "whitespace": True})).dataset
    nothing_new = prepare_data(store, recipe_of(tmp_path, {"lowercase": True, "whitespace": True, "unicode": "NFKC"}))
    again = prepare_data(store, recipe_of(tmp_path, {"whitespace": True, "lowercase": True}))
    assert [each.version for each in (plain, lower, nothing_new.dataset)] == [1, 2, 3]
    assert (again.dataset, again.reused) == (lower, True)
    assert (plain.cleaning, lower.cleaning) == (None, "lowercase, whitespace")
    assert "clean" not in plain.source
    (texts,) = iter_texts(store, lower, "train")
    assert texts[:3] == ["cafe\u0301 au lait\u200b", "rain\u0007 again", "sun at last"]
    record_decision(store, lower, split="train", position=0, action="drop", author="ann")
    child = make_version(store, lower, author="ann")
    assert child.cleaning == lower.cleaning, "its texts are the same"
    stored = parse_recipe(
        f'name = "x"\ntask = "text-classification"\nmodel.base = "gpt2"\n[data]\nsource = "dataset:{child}"\n'
        "clean.lowercase = true\n",
        folder=tmp_path,
    )
    assert prepare_data(store, stored.recipe).warnings == (
        "A stored dataset is used as it is; left alone: data.clean.",
    )


def test_a_text_of_which_nothing_is_left(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.TEXTS", [*TEXTS, "\u200b \u0007"])
    with pytest.raises(DataError, match=r'no text is left in "text" by data\.clean, in 3 rows: line 7'):
        prepare_data(store, recipe_of(tmp_path, {"controls": True}))
    kept = prepare_data(store, recipe_of(tmp_path, {"controls": True}, on_empty="drop")).dataset
    assert kept.n_rows["train"] == 6


def test_what_is_predicted_is_cleaned_like_what_was_learnt(store: Store, tmp_path: Path) -> None:
    dataset = prepare_data(store, recipe_of(tmp_path, {"lowercase": True, "whitespace": True})).dataset
    run = record_run(store, NewRun("r", task="text-classification", dataset_key=dataset.key))
    file = tmp_path / "new.csv"
    file.write_text("text\n  The MOON \n")
    problems = Problems()
    (row,) = open_texts(store, run, str(file)).rows(problems)
    assert row.inputs == {"text": "the moon"}
    assert cleaner_of(None).steps == {}


def test_targets_stay_as_they_are(store: Store, tmp_path: Path) -> None:
    (tmp_path / "all.jsonl").write_text('{"text": "A  B", "target": "Yes  IT is"}\n' * 3)
    text = (
        'name = "x"\ntask = "seq2seq"\nmodel.base = "gpt2"\n[data]\nclean.lowercase = true\nclean.whitespace = true\n'
        'source = { train = "all.jsonl", validation = "all.jsonl", test = "all.jsonl" }\n'
    )
    dataset = prepare_data(store, parse_recipe(text, folder=tmp_path).recipe).dataset
    (inputs,) = iter_inputs(store, dataset, "train")
    assert inputs[0] == {"text": "a b"}
    assert json.loads(read_values(store, dataset, "train")[0]) == "Yes  IT is"


def test_recipes_without_it_keep_their_hash(tmp_path: Path) -> None:
    text = 'name = "x"\ntask = "text-classification"\nmodel.base = "gpt2"\ndata.source = "hub:a/b"\n'
    plain, off, on = (
        parse_recipe(text + line, folder=tmp_path).hash
        for line in ("", "data.clean.lowercase = false\n", "data.clean.lowercase = true\n")
    )
    assert plain == off == "8bb9e79408264705911dc681bf147081"
    assert on != plain
    with pytest.raises(RecipeError, match=r"data\.clean\.unicode"):
        parse_recipe(text + 'data.clean.unicode = "NFD"\n', folder=tmp_path)


def test_lemmas_need_their_library(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise cleaning.PackageNotFoundError(name)

    monkeypatch.setattr(cleaning, "version", missing)
    with pytest.raises(DataError, match=r"needs simplemma 2\.0\.0: it is not installed.*assay\[clean\]"):
        Cleaner(Clean(lemmatize="en"))
    monkeypatch.setattr(cleaning, "version", lambda name: "1.0")
    with pytest.raises(DataError, match=r"1\.0 is installed, and another version has other words"):
        Cleaner(Clean(lemmatize="en"))


def test_lemmas() -> None:
    pytest.importorskip("simplemma", reason="the extra `clean` is not installed")
    cleaner = Cleaner(Clean(lemmatize="en"))
    assert cleaner.text("two mice,  running!") == "two mouse,  run!"
    assert cleaner.steps == {"lemmatize": "en", "simplemma": "2.0.0"}
    with pytest.raises(DataError, match="simplemma knows no such language"):
        Cleaner(Clean(lemmatize="xx"))
