from collections.abc import Iterator

import numpy as np
import pytest

from store import (
    Dataset,
    DatasetNotFound,
    NewRow,
    Store,
    dataset_fingerprint,
    example_id,
    find_dataset,
    get_dataset,
    iter_texts,
    list_datasets,
    list_example_places,
    read_rows,
    read_targets,
    record_dataset,
)
from store import datasets as datasets_module
from tests.store.builders import LABELS, make_dataset


def count(store: Store, table: str) -> int:
    (n,) = store.db.execute(f"SELECT count(*) FROM {table}").fetchone()
    return int(n)


def matches(store: Store, word: str) -> int:
    (n,) = store.db.execute("SELECT count(*) FROM examples_fts WHERE examples_fts MATCH ?", (word,)).fetchone()
    return int(n)


def test_rows_come_back_in_order_with_labels(store: Store) -> None:
    dataset = make_dataset(store, "d", [("one", 1), ("two", 0), ("three", None)])
    assert (str(dataset), dict(dataset.n_rows), dataset.label_names) == ("d@1", {"test": 3}, LABELS)
    assert read_targets(store, dataset, "test").tolist() == [1, 0, -1]
    assert list(iter_texts(store, dataset, "test", batch_size=2)) == [["one", "two"], ["three"]]
    frame = read_rows(store, dataset, "test")
    assert frame["label"].tolist()[:2] == ["yes", "no"]
    assert frame["label"].isna().tolist() == [False, False, True]
    assert read_rows(store, dataset, "test", positions=[2, 0])["text"].tolist() == ["one", "three"]
    assert read_rows(store, dataset, "none such").empty


def test_a_text_in_two_datasets_is_one_example_and_a_new_label_keeps_its_id(store: Store) -> None:
    first = make_dataset(store, "a", [("shared", 1), ("only a", 0)])
    second = make_dataset(store, "a", [("shared", 0)])
    make_dataset(store, "b", [("shared", 1), ("shared", 1)], split="train")
    assert count(store, "examples") == 2
    identity = example_id({"text": "shared"}).hex()
    assert {read_rows(store, d, "test")["example_id"][0] for d in (first, second)} == {identity}
    places = list_example_places(store, identity)
    assert sorted(zip(places["dataset"], places["version"], places["label"], strict=True)) == [
        ("a", 1, "yes"),
        ("a", 2, "no"),
        ("b", 1, "yes"),
        ("b", 1, "yes"),
    ]
    assert matches(store, "shared") == 1
    assert list_example_places(store, "no hex at all").empty


def test_an_exception_while_reading_rows_leaves_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets_module, "_BATCH", 2)
    make_dataset(store, "kept", [("old text", 0)])

    def rows() -> Iterator[NewRow]:
        for text in ("old text", "new words", "more words", "last words", "and words"):
            yield NewRow("train", text, 0)
        raise RuntimeError("broken row 6")

    with pytest.raises(RuntimeError, match="broken row 6"):
        record_dataset(store, "bad", rows(), label_names=LABELS, source={}, fingerprint="f")
    assert list_datasets(store)["name"].tolist() == ["kept"]
    assert [count(store, table) for table in ("datasets", "dataset_rows", "examples")] == [1, 1, 1]
    assert (matches(store, "words"), matches(store, "old")) == (0, 1)
    store.db.execute("INSERT INTO examples_fts (examples_fts) VALUES ('integrity-check')")


def test_a_draft_is_seen_by_nobody_and_its_leftovers_are_swept(store: Store) -> None:
    seen: list[object] = []

    def rows() -> Iterator[NewRow]:
        yield NewRow("test", "draft text", 0)
        key = store.db.execute("SELECT key FROM datasets WHERE version IS NULL").fetchone()[0]
        for selector in ("d", key):
            with pytest.raises(DatasetNotFound):
                get_dataset(store, selector)
        seen.append(list_datasets(store).empty)

    dataset = record_dataset(store, "d", rows(), label_names=None, source={}, fingerprint="f")
    assert seen == [True]
    with store.write() as db:  # as a process killed two days ago would have left it
        db.execute("UPDATE datasets SET version = NULL, created_at = created_at - 172800")
    assert datasets_module.delete_stale_drafts(store) == 1
    assert [count(store, table) for table in ("datasets", "dataset_rows", "examples")] == [0, 0, 0]
    assert dataset.version == 1


def test_the_same_content_written_by_two_at_once_is_one_version(store: Store) -> None:
    def rows(meets: bool, metadata: dict[str, object]) -> Iterator[NewRow]:
        yield NewRow("train", "a", 0, metadata)
        if meets:
            write()
        yield NewRow("train", "b", 1)

    def write(*, meets: bool = False, parent: Dataset | None = None, **metadata: object) -> Dataset:
        return record_dataset(
            store, "d", rows(meets, metadata), label_names=LABELS, source={}, fingerprint="f", parent=parent
        )

    made = write(meets=True)
    assert (made, made.version) == (get_dataset(store, "d"), 1)
    assert [count(store, table) for table in ("datasets", "dataset_rows", "examples")] == [1, 2, 2]
    assert write(parent=made).version == 2, "whoever asks for a child has one"
    assert [write(topic="x").version, write(topic="y").version, write(topic="x").version] == [3, 4, 3]


def test_metadata_may_have_numbers_that_json_has_no_words_for(store: Store) -> None:
    rows = [NewRow("train", "a", 0, {"length": float("nan"), "score": 1.5})]
    dataset = record_dataset(store, "d", rows, label_names=LABELS, source={"limit": float("inf")}, fingerprint="f")
    assert read_rows(store, dataset, "train")["metadata"].tolist() == [{"length": "nan", "score": 1.5}]
    assert dataset.source == {"limit": "inf"}


def test_selectors(store: Store) -> None:
    first, second = make_dataset(store, "d", [("a", 0)]), make_dataset(store, "d", [("a", 1)])
    mail = make_dataset(store, "me@home", [("a", 1)])
    assert get_dataset(store, "d") == second
    assert get_dataset(store, "d@1") == first
    assert get_dataset(store, first.key) == first
    assert get_dataset(store, "me@home") == get_dataset(store, "me@home@1") == mail
    assert find_dataset(store, "d", first.fingerprint) == first
    assert find_dataset(store, "other", first.fingerprint) is None
    for missing in ("e", "d@3", "d@x", "", "'; DROP TABLE datasets; --"):
        with pytest.raises(DatasetNotFound, match="me@home@1, d@2, d@1"):
            get_dataset(store, missing)


def test_fingerprint_sees_every_change_and_no_other() -> None:
    ids = np.frombuffer(b"".join(example_id({"text": t}) for t in "abc"), dtype=np.uint8).reshape(-1, 16)
    base = dataset_fingerprint(["x", "y"], {"train": (ids, np.array([0, 1, 0])), "test": (ids[:1], [1])})
    same = dataset_fingerprint(["x", "y"], {"test": (ids[:1], [1]), "train": (ids, np.array([0, 1, 0], dtype=np.int8))})
    assert same == base
    changed = [
        dataset_fingerprint(["x", "z"], {"train": (ids, np.array([0, 1, 0])), "test": (ids[:1], [1])}),
        dataset_fingerprint(None, {"train": (ids, np.array([0, 1, 0])), "test": (ids[:1], [1])}),
        dataset_fingerprint(["x", "y"], {"train": (ids, np.array([0, 1, 1])), "test": (ids[:1], [1])}),
        dataset_fingerprint(["x", "y"], {"train": (ids[::-1], np.array([0, 1, 0])), "test": (ids[:1], [1])}),
        dataset_fingerprint(["x", "y"], {"train": (ids[:2], np.array([0, 1])), "test": (ids[2:], [0])}),
        dataset_fingerprint(["x", "y"], {"train": (ids, np.array([0, 1, 0])), "validation": (ids[:1], [1])}),
    ]
    assert len({base, *changed}) == 7
    assert len(base) == 32


def test_example_id_depends_on_the_inputs_alone() -> None:
    assert example_id({"a": "1", "b": "2"}) == example_id({"b": "2", "a": "1"})
    assert example_id({"text": "x"}) != example_id({"text": "x "})
    assert len(example_id({"text": "lone \ud800 surrogate"})) == 16


def test_rows_name_sets_of_labels_and_leave_numbers(store: Store) -> None:
    rows = [NewRow("train", str(i), target) for i, target in enumerate(["[0, 1]", "[]", None])]
    sets = record_dataset(store, "sets", rows, label_names=("joy", "love"), source={}, fingerprint="sets")
    named = read_rows(store, sets, "train")["label"]
    assert named[:2].tolist() == ["joy | love", ""]
    assert named.isna().tolist() == [False, False, True]
    rows = [NewRow("train", str(i), target) for i, target in enumerate([0.5, 2.0])]
    numbers = record_dataset(store, "numbers", rows, label_names=None, source={}, fingerprint="numbers")
    assert read_rows(store, numbers, "train")["label"].tolist() == [0.5, 2.0]
