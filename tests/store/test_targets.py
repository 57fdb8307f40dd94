"""Spans, sets of labels and numbers are decided, undone, made into a version and carried by a patch as labels are."""

import json

import pytest

from store import (
    DecisionRefused,
    NewRow,
    Store,
    apply_patch,
    count_changes,
    current_decisions,
    export_patch,
    list_changes,
    list_version_changes,
    make_version,
    read_values,
    record_dataset,
    record_decision,
    undo_last,
)
from store.records import Dataset

WORDS = ["Ann", "sang", "in", "New", "York"]


def sentences(store: Store, names: tuple[str, ...] = ("LOC", "PER"), title: str = "d") -> Dataset:
    index = {name: at for at, name in enumerate(names)}
    rows = [
        NewRow("train", " ".join(WORDS), json.dumps([[0, 1, index["PER"]]]), None, {"tokens": WORDS}),
        NewRow("train", "nobody here", "[]", None, {"tokens": ["nobody", "here"]}),
    ]
    return record_dataset(store, title, rows, label_names=names, source={}, fingerprint=title)


def decide(store: Store, dataset: Dataset, label: object, position: int = 0, action: str = "relabel") -> None:
    record_decision(
        store, dataset, split="train", position=position, action=action, author="ann", label=label  # type: ignore[arg-type]  # as given
    )  # fmt: skip


def test_spans_become_a_version_and_a_patch_that_knows_their_types_by_name(store: Store) -> None:
    dataset = sentences(store)
    decide(store, dataset, '[[3, 5, "LOC"], [0, 1, 1]]')
    decide(store, dataset, "[]", position=1)  # as it is: kept
    assert count_changes(store, dataset)["relabel"] == 1
    (change,) = list_changes(store, dataset).to_dict("records")
    assert change["given"] == '[[0, 1, "PER"]]'
    assert change["label"] == '[[0, 1, "PER"], [3, 5, "LOC"]]'
    for view in ("current_decisions", "decision_history"):  # what people read in other programs
        assert store.db.execute(f"SELECT label FROM {view} ORDER BY position").fetchone() == ("[[0, 1, 1], [3, 5, 0]]",)
    child = make_version(store, dataset, author="ann")
    assert read_values(store, child, "train") == ["[[0, 1, 1], [3, 5, 0]]", "[]"]
    assert list_version_changes(store, child)["label"].tolist() == [change["label"]]
    assert current_decisions(store, child)["action"].tolist() == ["relabel", "keep"]
    other = sentences(store, ("PER", "LOC"), "other")  # the types in another order
    report = apply_patch(store, other, list(export_patch(store, dataset)))
    assert (report.n_applied, report.told) == (2, [])
    assert read_values(store, make_version(store, other, author="bob"), "train")[0] == "[[0, 1, 0], [3, 5, 1]]"
    assert apply_patch(store, other, list(export_patch(store, dataset))).n_already == 2


def test_undo_takes_spans_back(store: Store) -> None:
    dataset = sentences(store)
    decide(store, dataset, "[]")
    assert [each.label for each in undo_last(store, dataset, "ann")] == ["[]"]
    assert sum(count_changes(store, dataset).values()) == 0


@pytest.mark.parametrize(
    ("label", "said"),
    [
        ("[[3, 6, 0]]", "a span reaches to word 6 of a sentence of 5"),
        ("[[0, 2, 0], [1, 3, 1]]", "spans 0 to 2 and 1 to 3 overlap"),
        ("[[2, 2, 0]]", "span 2 to 2 is empty"),
        ('[[0, 1, "ORG"]]', "'ORG' is no label of d@1; its 2 labels are LOC, PER"),
        ("[[0, 1]]", "[0, 1] is no span"),
        ("[0]", "the example is a sentence"),
        (1, "the example has a set of labels or spans"),
        ("[not json", "is no label of d@1"),
    ],
)
def test_what_is_no_target_of_a_sentence_is_refused(store: Store, label: object, said: str) -> None:
    dataset = sentences(store)
    with pytest.raises(DecisionRefused) as caught:
        decide(store, dataset, label)
    assert said in str(caught.value)


def test_sets_of_labels_and_numbers(store: Store) -> None:
    rows = [NewRow("train", f"text {i}", "[0, 1]") for i in range(2)]
    sets = record_dataset(store, "sets", rows, label_names=("joy", "love"), source={}, fingerprint="s")
    decide(store, sets, '["love"]')
    assert list_changes(store, sets)[["given", "label"]].values.tolist() == [["joy | love", "love"]]
    assert read_values(store, make_version(store, sets, author="ann"), "train") == ["[1]", "[0, 1]"]
    with pytest.raises(DecisionRefused, match="no sentence"):
        decide(store, sets, "[[0, 1, 0]]", position=1)
    classes = record_dataset(
        store, "c", [NewRow("train", "a", 0)], label_names=("joy", "love"), source={}, fingerprint="c"
    )
    with pytest.raises(DecisionRefused, match="has one label"):
        decide(store, classes, "[0]")
    numbers = record_dataset(store, "n", [NewRow("train", "a", 1.5)], label_names=None, source={}, fingerprint="n")
    decide(store, numbers, 4.25)
    assert read_values(store, make_version(store, numbers, author="ann"), "train") == [4.25]


def test_a_number_takes_numbers_only_and_stays_one(store: Store) -> None:
    numbers = record_dataset(store, "n", [NewRow("train", "a", 1.5)], label_names=None, source={}, fingerprint="n")
    for label in (float("nan"), float("inf"), "four", True):
        with pytest.raises(DecisionRefused, match="is none that is finite"):
            decide(store, numbers, label)
    decide(store, numbers, 4)
    (value,) = read_values(store, make_version(store, numbers, author="ann"), "train")
    assert (value, type(value)) == (4.0, float), "an integer would be the index of a label"
