"""From decisions to a new dataset version, and what earlier versions say about it."""

import json

import numpy as np
import pytest

from store import (
    NewDecision,
    NewRow,
    Store,
    VersionRefused,
    apply_patch,
    check_store,
    count_changes,
    current_decisions,
    dataset_fingerprint,
    decision_progress,
    example_id,
    export_patch,
    get_dataset,
    iter_inputs,
    iter_texts,
    list_changes,
    list_queue,
    list_version_changes,
    make_version,
    read_rows,
    read_targets,
    record_dataset,
    record_decision,
    record_decisions,
    redo_last,
    undo_last,
)
from store.records import Dataset
from tests.store.builders import LABELS, make_dataset
from tests.store.triages import fill_triage, triage_of


@pytest.fixture
def dataset(store: Store) -> Dataset:
    rows = [NewRow("train", f"text {number}", number % 2, {"number": number}) for number in range(6)]
    rows += [NewRow("test", f"late {number}", 1) for number in range(3)]
    return record_dataset(store, "d", rows, label_names=LABELS, source={"extras": "e"}, fingerprint="d")


def decide(
    store: Store,
    dataset: Dataset,
    position: int,
    action: str,
    author: str = "ann",
    split: str = "train",
    **more: object,
) -> None:
    record_decision(store, dataset, split=split, position=position, action=action, author=author, **more)  # type: ignore[arg-type]  # as given


def rows_of(store: Store, dataset: Dataset, split: str = "train") -> list[tuple[str, int]]:
    texts = [text for batch in iter_texts(store, dataset, split) for text in batch]
    return list(zip(texts, read_targets(store, dataset, split).tolist(), strict=True))


def test_a_version_has_what_was_decided(store: Store, dataset: Dataset) -> None:
    decide(store, dataset, 0, "relabel", label="yes")
    decide(store, dataset, 1, "drop")
    decide(store, dataset, 2, "edit", text="better 2")
    decide(store, dataset, 3, "relabel", label="no")
    decide(store, dataset, 3, "edit", text="better 3", note="a typo")
    decide(store, dataset, 4, "keep")
    decide(store, dataset, 5, "skip")
    decide(store, dataset, 0, "drop", split="test")
    decide(store, dataset, 1, "relabel", label="no", split="test")
    undo_last(store, dataset, "ann")
    counts = {"relabel": 1, "edit": 1, "edit and relabel": 1, "drop": 2}
    assert count_changes(store, dataset) == counts
    pending = list_changes(store, dataset)
    assert pending["change"].tolist() == ["drop", "relabel", "drop", "edit", "edit and relabel"]
    child = make_version(store, dataset, author="ann", note="first pass")
    assert (child.name, child.version, child.parent_key, child.label_names) == ("d", 2, dataset.key, LABELS)
    assert {name: child.source[name] for name in ("kind", "made_from", "author", "note", "counts")} == {
        "kind": "decisions", "made_from": "d@1", "author": "ann", "note": "first pass", "counts": counts,
    }  # fmt: skip
    assert child.n_rows == {"train": 5, "test": 2}
    assert rows_of(store, child) == [("text 0", 1), ("better 2", 0), ("better 3", 0), ("text 4", 0), ("text 5", 1)]
    assert rows_of(store, child, "test") == [("late 1", 1), ("late 2", 1)]
    assert read_rows(store, child, "train")["metadata"].tolist() == [{"number": number} for number in (0, 2, 3, 4, 5)]
    changed = list_version_changes(store, child)
    assert changed.equals(pending.drop(columns="is_disputed"))
    assert changed["new_text"].dropna().tolist() == ["better 2", "better 3"]
    assert changed["given"].tolist() == ["yes", "no", "yes", "no", "yes"]
    assert changed["label"].fillna("").tolist() == ["", "yes", "", "no", "no"]
    assert rows_of(store, dataset)[0] == ("text 0", 0)  # a version never changes
    assert check_store(store).problems == ()


def test_its_fingerprint_is_that_of_its_rows(store: Store, dataset: Dataset) -> None:
    decide(store, dataset, 0, "relabel", label="yes")
    decide(store, dataset, 2, "edit", text="better")
    decide(store, dataset, 4, "drop")
    child = make_version(store, dataset, author="ann")
    splits = {}
    for split in child.n_rows:
        rows = rows_of(store, child, split)
        ids = b"".join(example_id({"text": text}) for text, _ in rows)
        splits[split] = (np.frombuffer(ids, dtype=np.uint8).reshape(-1, 16), np.array([label for _, label in rows]))
    assert child.fingerprint == dataset_fingerprint(LABELS, splits)
    assert child.source["extras"] not in (None, "e")
    again = make_version(store, dataset, author="bob", name="other")
    assert (str(again), again.fingerprint, again.source["extras"]) == (
        "other@1",
        child.fingerprint,
        child.source["extras"],
    )


def test_the_only_text_of_an_example_can_be_edited_whatever_it_is_called(store: Store) -> None:
    rows = [NewRow("train", f"ask {n}", json.dumps(f"say {n}"), None, {"prompt": f"ask {n}"}) for n in range(3)]
    dataset = record_dataset(
        store, "prompts", rows, label_names=None, source={"columns": {"prompt": "q"}}, fingerprint="p"
    )
    decide(store, dataset, 1, "edit", text="asked better")
    child = make_version(store, dataset, author="ann")
    (inputs,) = iter_inputs(store, child, "train")
    assert inputs == [{"prompt": "ask 0"}, {"prompt": "asked better"}, {"prompt": "ask 2"}]
    assert read_rows(store, child, "train")["text"].tolist() == ["ask 0", "asked better", "ask 2"]
    assert child.source["columns"] == {"prompt": "q"}
    ids = [example_id(each) for each in inputs]
    assert [bytes.fromhex(each) for each in read_rows(store, child, "train")["example_id"]] == ids
    held = np.frombuffer(b"".join(ids), dtype=np.uint8).reshape(-1, 16)
    assert child.fingerprint == dataset_fingerprint(None, {"train": (held, [f'"say {n}"' for n in range(3)])})


def test_a_version_of_many_rows_is_read_in_batches(store: Store) -> None:
    n = 25_000
    many = record_dataset(
        store,
        "many",
        (NewRow("train", f"t{i}", i % 2) for i in range(n)),
        label_names=LABELS,
        source={},
        fingerprint="m",
    )
    record_decisions(
        store, many, [NewDecision("train", position, "drop") for position in range(0, n, 10)], author="ann"
    )
    decide(store, many, 12_345, "relabel", label="no")
    child = make_version(store, many, author="ann")
    texts = [text for text, _ in rows_of(store, child)]
    assert texts == [f"t{i}" for i in range(n) if i % 10]
    assert rows_of(store, child)[texts.index("t12345")] == ("t12345", 0)


def test_what_makes_no_version(store: Store, dataset: Dataset) -> None:
    with pytest.raises(VersionRefused, match="nothing that was decided changes d@1"):
        make_version(store, dataset, author="ann")
    decide(store, dataset, 0, "keep")
    decide(store, dataset, 1, "relabel", label="yes")
    with pytest.raises(VersionRefused, match="nothing that was decided"):
        make_version(store, dataset, author="ann")
    for position in range(3):
        decide(store, dataset, position, "drop", split="test")
    decide(store, dataset, 0, "drop", author="bob")
    with pytest.raises(VersionRefused) as error:
        make_version(store, dataset, author=" ")
    for part in (
        "author is empty", "authors want different things of 1 examples: train 0.",
        "nothing would be left of test: all 3",
    ):  # fmt: skip
        assert part in str(error.value)
    with pytest.raises(VersionRefused, match="allowed are refuse, newest, leave"):
        make_version(store, dataset, author="ann", disputed="oldest")  # type: ignore[arg-type]  # that is what is tried
    assert [version for (version,) in store.db.execute("SELECT version FROM datasets")] == [1]


def test_what_is_disputed(store: Store, dataset: Dataset) -> None:
    decide(store, dataset, 0, "relabel", label="yes")
    decide(store, dataset, 0, "drop", author="bob")
    decide(store, dataset, 1, "drop", author="bob")
    with pytest.raises(VersionRefused, match="Agree on them"):
        make_version(store, dataset, author="ann")
    assert list_changes(store, dataset)["is_disputed"].tolist() == [True, False]
    assert make_version(store, dataset, author="ann", disputed="leave").n_rows["train"] == 5
    assert make_version(store, dataset, author="ann", disputed="newest").n_rows["train"] == 4
    undo_last(store, dataset, "bob")
    undo_last(store, dataset, "bob")
    assert make_version(store, dataset, author="ann").n_rows["train"] == 6


# duplicates ----------------------------------------------------------------------------------------------------------


def test_copies_of_a_text_are_decided_one_by_one(store: Store) -> None:
    dataset = make_dataset(store, "d", [("same", 0), ("same", 1), ("same", 0), ("other", 1)], split="train")
    decide(store, dataset, 1, "relabel", label="no")
    decide(store, dataset, 2, "drop")
    decide(store, dataset, 3, "edit", text="same")
    child = make_version(store, dataset, author="ann")
    assert rows_of(store, child) == [("same", 0), ("same", 0), ("same", 1)]
    # text and label, whichever copy they were decided on: someone has looked at them
    assert current_decisions(store, child)["action"].tolist() == ["relabel", "relabel", "edit"]


# versions of versions ------------------------------------------------------------------------------------------------


def test_what_an_earlier_version_says(store: Store, dataset: Dataset) -> None:
    decide(store, dataset, 0, "relabel", label="yes")
    decide(store, dataset, 1, "drop")
    decide(store, dataset, 2, "edit", text="better")
    decide(store, dataset, 3, "keep", note="sure")
    decide(store, dataset, 4, "skip")
    child = make_version(store, dataset, author="ann")
    frame = current_decisions(store, child)
    assert frame[["position", "action", "text", "given", "label", "decided_in"]].values.tolist() == [
        [0, "relabel", "text 0", "yes", "yes", "d@1"],
        [1, "edit", "better", "no", "no", "d@1"],
        [2, "keep", "text 3", "yes", "yes", "d@1"],
    ]
    assert frame["new_text"].isna().all()
    progress = decision_progress(store, child)
    assert (progress.n_decided, progress.n_found) == (3, 2)
    with pytest.raises(VersionRefused, match="nothing that was decided changes d@2"):
        make_version(store, child, author="ann")
    assert undo_last(store, child, "ann") == []

    decide(store, child, 0, "relabel", label="no", author="bob")
    first = current_decisions(store, child).iloc[0]
    assert (first["label"], first["author"], first["is_disputed"], first["decided_in"]) == ("no", "bob", True, "d@2")
    decide(store, child, 0, "relabel", label="no", author="ann")
    assert not current_decisions(store, child)["is_disputed"].any()
    grandchild = make_version(store, child, author="bob")
    assert str(grandchild) == "d@3"
    assert current_decisions(store, grandchild)["decided_in"].tolist() == ["d@2", "d@1", "d@1"]


def test_what_is_decided_or_undone_in_the_parent_later(store: Store, dataset: Dataset) -> None:
    decide(store, dataset, 0, "drop")
    child = make_version(store, dataset, author="ann", name="fixed")
    assert current_decisions(store, child).empty
    decide(store, dataset, 1, "keep")
    decide(store, dataset, 2, "relabel", label="yes")  # the child has it as it was: it does not speak for that
    assert current_decisions(store, child)["text"].tolist() == ["text 1"]
    undo_last(store, dataset, "ann")
    undo_last(store, dataset, "ann")
    assert current_decisions(store, child).empty
    redo_last(store, dataset, "ann")
    assert current_decisions(store, child)["text"].tolist() == ["text 1"]


def test_a_file_read_again_under_the_same_name_is_a_later_version(store: Store, dataset: Dataset) -> None:
    """Labels are compared by name: the new file has one more class, in front."""
    decide(store, dataset, 0, "relabel", label="yes")
    decide(store, dataset, 1, "keep")
    decide(store, dataset, 2, "keep")
    rows = [
        NewRow("train", "text 2", 0),
        NewRow("train", "text 0", 2),
        NewRow("test", "text 1", 2),
        NewRow("train", "text 1", 2),
    ]
    later = record_dataset(store, "d", rows, label_names=("maybe", "no", "yes"), source={}, fingerprint="later")
    assert current_decisions(store, later)[["position", "action", "label"]].values.tolist() == [
        [1, "relabel", "yes"], [2, "keep", "yes"],
    ]  # fmt: skip
    other = record_dataset(store, "other", rows, label_names=("maybe", "no", "yes"), source={}, fingerprint="later")
    assert current_decisions(store, other).empty


@pytest.mark.parametrize("text", ["same", "text {}"])
def test_thousands_of_decisions_take_no_square_of_that(store: Store, text: str) -> None:
    n = 3_000
    rows = [(text.format(number), 0) for number in range(n)]
    dataset = make_dataset(store, "d", [*rows, ("other", 1)], split="train")
    record_decisions(store, dataset, [NewDecision("train", position, "keep") for position in range(n)], author="ann")
    decide(store, dataset, n, "relabel", label="no")
    steps = []
    store.db.set_progress_handler(lambda: steps.append(1), 1_000_000)
    child = make_version(store, dataset, author="ann")
    assert apply_patch(store, child, export_patch(store, dataset)).n_already == n + 1
    store.db.set_progress_handler(None, 0)
    assert len(current_decisions(store, child)) == n + 1
    assert len(steps) < 8  # million steps of SQLite's machine; all pairs of rows would be nine millions, every time


def test_the_queue_of_a_child_says_where_it_was_decided(store: Store) -> None:
    filled = fill_triage(store, 60)
    dataset = filled.dataset
    position = int(list_queue(store, filled.triage, dataset)["position"][0])
    right = int(filled.truth[position])
    record_decision(store, dataset, split="train", position=position, action="relabel", label=right, author="ann")
    decide(store, dataset, (position + 1) % 60, "drop")
    child = make_version(store, dataset, author="ann")
    truth = np.delete(filled.truth, (position + 1) % 60)
    rows = list_queue(store, triage_of(store, child, truth), child, limit=100)
    (row,) = rows[rows["action"] == "relabel"].to_dict("records")
    assert (row["decided_in"], row["label"]) == ("bank@1", child.label_names[right] if child.label_names else None)
    assert get_dataset(store, "bank") == child
