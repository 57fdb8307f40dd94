"""What each kind of source turns into."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import pandas as pd
import pytest
from huggingface_hub import constants

from runner.data import DataError, PreparedData, prepare_data
from runner.data.sources import dataset_name
from store import Store, iter_texts, open_store, read_targets
from tests.runner.data.recipes import recipe_of, toy_rows, write_csv


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path / "assay.db")
    yield store
    store.close()


def contents(store: Store, prepared: PreparedData) -> dict[str, str]:
    """Text → label name, over all splits."""
    dataset = prepared.dataset
    assert dataset.label_names is not None
    return {
        text: dataset.label_names[target]
        for split in dataset.n_rows
        for text, target in zip(
            [text for texts in iter_texts(store, dataset, split) for text in texts],
            read_targets(store, dataset, split),
            strict=True,
        )
    }


def texts_of(store: Store, prepared: PreparedData, split: str) -> list[str]:
    return [text for texts in iter_texts(store, prepared.dataset, split) for text in texts]


def write(path: Path, kind: str) -> Path:
    rows = toy_rows()
    frame = pd.DataFrame(rows, columns=["text", "label"])
    if kind == "csv":
        return write_csv(path / "toy.csv", rows)
    if kind == "csv with BOM and CRLF":
        (path / "toy.csv").write_bytes(
            b"\xef\xbb\xbf" + "".join(f'"{t}",{label}\r\n' for t, label in [("text", "label"), *rows]).encode()
        )
        return path / "toy.csv"
    if kind == "old Mac line ends":
        (path / "toy.csv").write_text("".join(f"{t},{label}\r" for t, label in [("text", "label"), *rows]), newline="")
        return path / "toy.csv"
    if kind == "tsv":
        frame.to_csv(path / "toy.tsv", sep="\t", index=False)
        return path / "toy.tsv"
    if kind == "jsonl":
        frame.to_json(path / "toy.jsonl", orient="records", lines=True)
        return path / "toy.jsonl"
    if kind == "parquet":
        frame.to_parquet(path / "toy.parquet")
        return path / "toy.parquet"
    if kind == "utf-16":
        frame.to_csv(path / "toy.csv", index=False, encoding="utf-16")
        return path / "toy.csv"
    datasets.Dataset.from_pandas(frame).save_to_disk(path / "toy")
    return path / "toy"


KINDS = ["csv", "csv with BOM and CRLF", "old Mac line ends", "tsv", "jsonl", "parquet", "utf-16", "folder"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_format_gives_the_same_dataset(kind: str, store: Store, tmp_path: Path) -> None:
    encoding = "utf-16" if kind == "utf-16" else "utf-8"
    prepared = prepare_data(store, recipe_of(write(tmp_path, kind), encoding=encoding))
    assert contents(store, prepared) == dict(toy_rows())
    assert prepared.dataset.n_rows == {"train": 32, "validation": 4, "test": 4}
    assert (prepared.dataset.name, prepared.dataset.version) == ("toy", 1)
    reference = prepare_data(store, recipe_of(write_csv(tmp_path / "toy.csv", toy_rows())))
    assert reference.reused
    assert reference.dataset.fingerprint == prepared.dataset.fingerprint


def test_quoted_fields_keep_commas_quotes_and_line_breaks(store: Store, tmp_path: Path) -> None:
    odd = [('a, "b"\nc', "x"), ("tab\there", "y"), (" leading and trailing ", "x"), ("𝄞 üñï", "y")]
    source = write_csv(tmp_path / "odd.csv", odd + toy_rows(20, ("x", "y")))
    assert contents(store, prepare_data(store, recipe_of(source))) == dict(odd + toy_rows(20, ("x", "y")))


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_very_long_texts(kind: str, store: Store, tmp_path: Path) -> None:
    rows = [("x" * 100_000, "good"), ("y" * 10_000_000, "bad"), *toy_rows()]
    path = tmp_path / f"long.{kind}"
    frame = pd.DataFrame(rows, columns=["text", "label"])
    {"csv": lambda: frame.to_csv(path, index=False), "jsonl": lambda: frame.to_json(path, orient="records", lines=True),
     "parquet": lambda: frame.to_parquet(path)}[kind]()  # fmt: skip
    lengths = sorted(len(text) for text in contents(store, prepare_data(store, recipe_of(path))))
    assert lengths[-2:] == [100_000, 10_000_000]


def test_given_files_are_the_splits_in_their_order(store: Store, tmp_path: Path) -> None:
    files = {
        split: write_csv(tmp_path / f"{split}.csv", [(f"{split} {i}", "ab"[i % 2]) for i in range(n)])
        for split, n in {"train": 20, "validation": 6, "test": 4}.items()
    }
    prepared = prepare_data(store, recipe_of(files))
    assert {split: texts_of(store, prepared, split) for split in files} == {
        split: [f"{split} {i}" for i in range(n)] for split, n in {"train": 20, "validation": 6, "test": 4}.items()
    }


def test_missing_splits_are_cut_from_train_only(store: Store, tmp_path: Path) -> None:
    train = write_csv(tmp_path / "train.csv", toy_rows(40))
    test = write_csv(tmp_path / "test.csv", [("held out", "good")])
    prepared = prepare_data(store, recipe_of({"train": train, "test": test}, split={"validation": 0.25}))
    assert prepared.dataset.n_rows == {"train": 30, "validation": 10, "test": 1}
    assert texts_of(store, prepared, "test") == ["held out"]


def dictionary_of(path: Path, **splits: int) -> Path:
    """A saved DatasetDict with a ClassLabel column; label i % 2, or -1 for a split of negative size."""
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])})
    datasets.DatasetDict(
        {
            split: datasets.Dataset.from_dict(
                {
                    "text": [f"{split} {i}" for i in range(abs(n))],
                    "label": [i % 2 if n > 0 else -1 for i in range(abs(n))],
                },
                features=features,
            )
            for split, n in splits.items()
        }
    ).save_to_disk(path)
    return path


def test_datasets_folder_keeps_splits_and_class_names(store: Store, tmp_path: Path) -> None:
    prepared = prepare_data(store, recipe_of(dictionary_of(tmp_path / "saved", train=20, dev=6, test=4, extra=3)))
    assert prepared.dataset.n_rows == {"train": 20, "validation": 6, "test": 4}
    assert prepared.dataset.label_names == ("neg", "pos")
    assert contents(store, prepared)["dev 3"] == "pos"
    assert [w for w in prepared.warnings if '"extra"' in w]


def test_unlabelled_test_split_is_left_out(store: Store, tmp_path: Path) -> None:
    prepared = prepare_data(store, recipe_of(dictionary_of(tmp_path / "saved", train=20, validation=6, test=-9)))
    assert prepared.dataset.n_rows == {"train": 18, "validation": 6, "test": 2}
    assert all(text.startswith("train") for text in texts_of(store, prepared, "test"))
    assert any("[test] has no labels" in w for w in prepared.warnings)


def test_class_names_travel_in_parquet(store: Store, tmp_path: Path) -> None:
    datasets.load_from_disk(dictionary_of(tmp_path / "saved", train=20))["train"].to_parquet(tmp_path / "p.parquet")
    prepared = prepare_data(store, recipe_of(tmp_path / "p.parquet"))
    assert prepared.dataset.label_names == ("neg", "pos")


def test_id_and_metadata_are_kept(store: Store, tmp_path: Path) -> None:
    day = pd.Timestamp("2024-05-01")
    rows = [(f"t{i}", "ab"[i % 2], f"id-{i}", "en" if i else float("nan"), day) for i in range(20)]
    pd.DataFrame(rows, columns=["text", "label", "key", "lang", "day"]).to_parquet(tmp_path / "m.parquet")
    recipe = recipe_of(tmp_path / "m.parquet", columns={"id": "key"}, metadata=["lang", "day"])
    dataset = prepare_data(store, recipe).dataset
    kept = {
        text: json.loads(metadata)
        for text, metadata in store.db.execute(
            "SELECT x.text, w.metadata FROM dataset_rows w JOIN examples x ON x.key = w.example_key"
            " WHERE w.dataset_key = ?",
            (dataset.key,),
        )
    }
    assert kept["t0"] == {"key": "id-0", "lang": None, "day": "2024-05-01T00:00:00"}
    assert kept["t7"]["key"] == "id-7"
    assert len(kept) == 20


def test_stored_dataset_is_returned_as_it_is(store: Store, tmp_path: Path) -> None:
    first = prepare_data(store, recipe_of(write_csv(tmp_path / "toy.csv", toy_rows()))).dataset
    again = prepare_data(store, recipe_of("dataset:toy@1", max_examples=5))
    assert (again.dataset, again.reused) == (first, True)
    assert again.warnings == ("A stored dataset is used as it is; left alone: data.max_examples.",)
    with pytest.raises(DataError, match="toy@1"):
        prepare_data(store, recipe_of("dataset:tiy@1"))


def test_docstrings_are_stored_with_what_is_known_about_them(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from runner import docstrings

    rows = tuple(
        docstrings.DocstringRow(split, f"{split} {i}", "xy"[i % 2], "x", "lib")
        for split in docstrings.SIZES
        for i in range(6)
    )
    data = docstrings.DocstringData(rows, ("y", "x"), 13, 0.08, 9)
    monkeypatch.setattr(docstrings, "docstring_dataset", lambda: data)
    dataset = prepare_data(store, recipe_of("builtin:docstrings", columns={"text": "ignored"})).dataset
    assert (dataset.name, dataset.label_names) == ("docstrings", ("y", "x"))
    assert dataset.n_rows == {"train": 6, "validation": 6, "test": 6}
    (metadata,) = store.db.execute("SELECT DISTINCT metadata FROM dataset_rows").fetchall()
    assert json.loads(metadata[0]) == {"true_label": "x", "library": "lib"}


def test_hub_set_comes_from_the_cache_without_network(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    write_csv(tmp_path / "toy.csv", toy_rows())
    datasets.load_dataset("csv", data_files=str(tmp_path / "toy.csv"), cache_dir=str(tmp_path / "made"))
    (made,) = (path.parent for path in (tmp_path / "made" / "csv").rglob("dataset_info.json"))
    home = tmp_path / "cache" / "me___toys" / "default" / "0.0.0"
    home.mkdir(parents=True)
    for file in made.iterdir():
        (home / "abc").mkdir(exist_ok=True)
        (home / "abc" / file.name.replace("csv-", "toys-")).write_bytes(file.read_bytes())
    info = json.loads((home / "abc" / "dataset_info.json").read_text())
    info |= {"config_name": "default", "dataset_name": "toys"}
    (home / "abc" / "dataset_info.json").write_text(json.dumps(info))

    prepared = prepare_data(store, recipe_of("hub:me/toys"))
    assert prepared.dataset.name == "me-toys"
    assert contents(store, prepared) == dict(toy_rows())
    assert "local cache is used" in prepared.warnings[0]
    with pytest.raises(DataError, match="HF_HUB_OFFLINE is set"):
        prepare_data(store, recipe_of("hub:me/others"))


@pytest.mark.parametrize(
    ("source", "name"),
    [("My Data (v2).csv", "my-data-v2"), ("/x/banking77/train.csv", "banking77"), ("a/b.parquet", "b"),
     ("hub:mteb/Banking77:en", "mteb-banking77-en"), ("builtin:docstrings", "docstrings"),
     ("data/folder.v1", "folder.v1"), ("🙂.csv", "data"), ({"train": "reviews/TRAIN.csv", "test": "x.csv"}, "reviews")],
)  # fmt: skip
def test_names_are_derived_from_the_source(source: Any, name: str) -> None:
    assert dataset_name(recipe_of(source).data) == name
    assert dataset_name(recipe_of(source, name="mine").data) == "mine"
