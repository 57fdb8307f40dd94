"""From a recipe's `[data]` to a stored dataset."""

import json
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from runner.data import DataError, prepare_data
from runner.data import prepare as data_module
from store import Dataset, Store, get_dataset, iter_texts, open_store, read_rows, read_targets
from tests.runner.data.recipes import recipe_of, toy_rows, write_csv


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path / "assay.db")
    yield store
    store.close()


def test_second_time_is_reused_without_a_second_reading(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_of(write_csv(tmp_path / "toy.csv", toy_rows()))
    first = prepare_data(store, recipe)
    monkeypatch.setattr(data_module, "_rows_again", lambda *_: pytest.fail("the source was read again"))
    again = prepare_data(store, recipe)
    assert (first.reused, again.reused) == (False, True)
    assert again.dataset == first.dataset


def test_another_seed_or_size_is_another_version(store: Store, tmp_path: Path) -> None:
    source = write_csv(tmp_path / "toy.csv", toy_rows())
    versions = [
        prepare_data(store, recipe_of(source, **options)).dataset
        for options in ({}, {"split": {"seed": 1}}, {"max_examples": 10}, {})
    ]
    assert [dataset.version for dataset in versions] == [1, 2, 3, 1]
    assert versions[2].n_rows == {"train": 10, "validation": 4, "test": 4}


def test_other_metadata_make_another_version(store: Store, tmp_path: Path) -> None:
    def version(year: int, **data: Any) -> int:
        rows = [(text, label, f"id{i}", year) for i, (text, label) in enumerate(toy_rows())]
        source = write_csv(tmp_path / "toy.csv", rows, ("text", "label", "number", "year"))
        return prepare_data(store, recipe_of(source, **data)).dataset.version

    with_id = {"columns": {"id": "number"}}
    assert version(1999) == version(2000) == 1
    assert version(1999, metadata=["year"]) == version(1999, metadata=["year"]) == 2
    assert version(2000, metadata=["year"]) == 3
    assert version(2000, metadata=["year"], **with_id) == 4
    assert version(1999, metadata=["year"]) == 2
    assert version(2000) == 1
    metadata = [set(read_rows(store, get_dataset(store, f"toy@{n}"), "train")["metadata"][0]) for n in (1, 2, 3, 4)]
    assert metadata == [set(), {"year"}, {"year"}, {"number", "year"}]


def test_metadata_of_rows_left_out_count_for_nothing(store: Store, tmp_path: Path) -> None:
    def prepared(years: dict[str, int]) -> Dataset:
        rows = [(*row, years.get(row[0], 2000)) for row in toy_rows()]
        source = write_csv(tmp_path / "toy.csv", rows, ("text", "label", "year"))
        return prepare_data(store, recipe_of(source, metadata=["year"], max_examples=4)).dataset

    first = prepared({})
    stored = {text for split in first.n_rows for batch in iter_texts(store, first, split) for text in batch}
    left_out = {text for text, _ in toy_rows()} - stored
    assert (len(stored), len(left_out)) == (12, 28)
    assert prepared(dict.fromkeys(left_out, 1999)) == first
    assert prepared(dict.fromkeys(stored, 1999)) != first


def test_what_has_more_metadata_serves_where_none_are_wanted(store: Store, tmp_path: Path) -> None:
    source = write_csv(tmp_path / "toy.csv", [(*row, 2000) for row in toy_rows()], ("text", "label", "year"))
    first = prepare_data(store, recipe_of(source, metadata=["year"])).dataset
    assert prepare_data(store, recipe_of(source)).dataset == first


def test_more_files_than_a_byte_can_count(store: Store, tmp_path: Path) -> None:
    parts = [write_csv(tmp_path / f"part{i}.csv", [(f"text {i}", "ab"[i % 2])]) for i in range(300)]
    recipe = recipe_of({"train": parts})
    assert sum(prepare_data(store, recipe).dataset.n_rows.values()) == 300


@pytest.mark.parametrize("key", ["text", "label", "other"])
def test_half_characters_are_problems_or_replaced(store: Store, tmp_path: Path, key: str) -> None:
    rows = [{"text": text, "label": label, "other": "fine"} for text, label in toy_rows()]
    rows[3][key] = "half \ud800"
    (tmp_path / "toy.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = recipe_of(tmp_path / "toy.jsonl", metadata=["other"])
    if key == "other":
        dataset = prepare_data(store, recipe).dataset
        frames = [read_rows(store, dataset, split) for split in dataset.n_rows]
        assert {row["other"] for frame in frames for row in frame["metadata"]} == {"fine", "half ?"}
    else:
        with pytest.raises(DataError, match="half a character"):
            prepare_data(store, recipe)


def test_stored_rows_are_the_rows_of_the_fingerprint(store: Store, tmp_path: Path) -> None:
    import numpy as np

    from store.ids import dataset_fingerprint, example_id

    dataset = prepare_data(store, recipe_of(write_csv(tmp_path / "toy.csv", toy_rows()))).dataset
    splits = {}
    for split in dataset.n_rows:
        texts = [text for batch in iter_texts(store, dataset, split) for text in batch]
        ids = np.frombuffer(b"".join(example_id({"text": text}) for text in texts), dtype=np.uint8).reshape(-1, 16)
        splits[split] = (ids, read_targets(store, dataset, split))
    assert dataset.fingerprint == dataset_fingerprint(dataset.label_names, splits)


def test_source_is_recorded_with_hashes_and_settings(store: Store, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "toy.csv", toy_rows())
    source: Any = prepare_data(store, recipe_of(path, split={"test": 0.2})).dataset.source
    (table,) = source["tables"]
    assert table["source"] == str(path)
    assert table["size_bytes"] == path.stat().st_size
    assert len(table["sha256"]) == 64
    assert source["split"] == {"validation": 0.1, "test": 0.2, "seed": 0, "group": None}
    assert source["columns"] == {"text": "text", "label": "label", "id": None}


def test_empty_texts_are_dropped_on_request(store: Store, tmp_path: Path) -> None:
    rows = [("", "good"), ("  \t", "bad"), ("no label", ""), *toy_rows()]
    prepared = prepare_data(store, recipe_of(write_csv(tmp_path / "toy.csv", rows), on_empty="drop"))
    assert sum(prepared.dataset.n_rows.values()) == 40
    assert prepared.warnings == (
        f'{tmp_path / "toy.csv"}: left out 3 rows without a text or a label (data.on_empty = "drop").',
    )


def test_integer_labels_get_their_declared_names(store: Store, tmp_path: Path) -> None:
    source = write_csv(tmp_path / "toy.csv", toy_rows(40, ("1", "0")))
    assert prepare_data(store, recipe_of(source, labels=("neg", "pos"))).dataset.label_names == ("neg", "pos")
    assert prepare_data(store, recipe_of(source)).dataset.label_names == ("0", "1")


def test_repeated_texts_are_counted(store: Store, tmp_path: Path) -> None:
    train = [("same", "good"), ("same", "bad"), ("twin", "good"), ("twin", "good"), *toy_rows(10)]
    files = {
        "train": write_csv(tmp_path / "train.csv", train),
        "validation": write_csv(tmp_path / "v.csv", [("text number 3", "bad")]),
        "test": write_csv(tmp_path / "test.csv", [("same", "good"), ("new", "good")]),
    }
    assert prepare_data(store, recipe_of(files)).warnings == (
        "4 rows repeat the text of another; of the 3 texts concerned, 1 have different labels and 2 are in more "
        "than one split, where a model can know them by heart.",
    )


def test_rare_labels_are_named_in_warnings(store: Store, tmp_path: Path) -> None:
    source = write_csv(tmp_path / "toy.csv", [*toy_rows(), ("only one", "rare"), ("one", "few"), ("two", "few")])
    prepared = prepare_data(store, recipe_of(source, labels=("good", "bad", "rare", "few", "unseen")))
    assert prepared.dataset.n_rows["train"] == 35
    stay, single, absent = prepared.warnings
    assert '"rare" (1) and "few" (2)' in stay
    assert single == 'Labels with a single training example: "rare".'
    assert absent == 'Labels without a training example, which the model cannot learn: "unseen".'


def test_progress_counts_both_readings(store: Store, tmp_path: Path) -> None:
    source = write_csv(tmp_path / "toy.csv", toy_rows(25_000))
    seen: list[tuple[str, int]] = []
    prepare_data(store, recipe_of(source), progress=lambda what, n: seen.append((what, n)))
    assert seen == [
        *((f"reading {source}", n) for n in (10_000, 20_000, 25_000)),
        *(("storing", n) for n in (10_000, 20_000, 25_000)),
    ]


@pytest.mark.parametrize("change", ["appended", "shortened", "rewritten", "gone"])
def test_file_that_changes_between_the_readings(
    change: str, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_csv(tmp_path / "toy.csv", toy_rows())
    before = store.db.execute("SELECT count(*) FROM examples").fetchone()
    original = data_module._rows_again

    def change_then_read(*arguments: Any) -> Any:
        if change == "gone":
            source.unlink()
        else:
            rows = {"appended": toy_rows(41), "shortened": toy_rows(39), "rewritten": toy_rows(40, ("bad", "good"))}
            write_csv(source, rows[change])
            os.utime(source, ns=(1, 1))
        return original(*arguments)

    monkeypatch.setattr(data_module, "_rows_again", change_then_read)
    with pytest.raises(DataError, match="changed while it was being read; nothing was stored"):
        prepare_data(store, recipe_of(source))
    assert store.db.execute("SELECT count(*) FROM datasets").fetchone() == (0,)
    assert store.db.execute("SELECT count(*) FROM examples").fetchone() == before


TEXT = "a text as short as many a review, that says in one sentence what there is to say about thing {:09}"


def test_texts_are_not_held_in_memory(store: Store, tmp_path: Path) -> None:
    def peak_bytes(n: int) -> int:
        rows = ((TEXT.format(i), "ab"[i % 2]) for i in range(n))
        recipe = recipe_of(write_csv(tmp_path / f"of{n}.csv", rows))
        tracemalloc.start()
        prepare_data(store, recipe)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return peak

    peak_bytes(100)  # modules and caches that are made once
    small, large = peak_bytes(21_000), peak_bytes(33_000)  # both more than the two batches that the store may hold
    bytes_per_row = (large - small) / 12_000
    assert sys.getsizeof(TEXT.format(0)) == 151
    assert bytes_per_row < 60  # 36 bytes of what is known about a row, and some of what is decided: no text


def test_import_is_light() -> None:
    heavy: Sequence[str] = ("torch", "transformers", "datasets", "huggingface_hub")
    code = f"import sys, runner.data; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
