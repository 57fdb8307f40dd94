"""How far a review is."""

import math

import pytest

from store import (
    NewDecision,
    Store,
    current_decisions,
    decision_progress,
    decision_version,
    make_version,
    record_decision,
    record_decisions,
    undo_last,
)
from store.decided import PAUSE_SECONDS
from store.records import Dataset
from tests.store.builders import make_dataset


@pytest.fixture
def dataset(store: Store) -> Dataset:
    return make_dataset(store, "d", [(f"text {number}", number % 2) for number in range(40)], split="train")


def test_nothing_is_decided_at_first(store: Store, dataset: Dataset) -> None:
    progress = decision_progress(store, dataset)
    assert (progress.n_examples, progress.n_decided, progress.n_found, progress.n_disputed) == (40, 0, 0, 0)
    assert (progress.by_action, len(progress.by_author)) == ({}, 0)
    assert list(progress.by_author) == ["author", "n_decided", "n_found", "n_disputed", "last_at", "per_minute"]
    frame = current_decisions(store, dataset)
    assert (len(frame), frame["is_disputed"].dtype) == (0, bool)


def test_what_was_found(store: Store, dataset: Dataset) -> None:
    actions = ["relabel", "keep", "keep", "drop", "edit", "skip", "note"]
    for position, action in enumerate(actions):
        more = {"relabel": {"label": 1}, "edit": {"text": "x"}, "note": {"note": "n"}}.get(action, {})
        record_decision(store, dataset, split="train", position=position, action=action, author="ann", **more)  # type: ignore[arg-type]  # as given
    record_decision(store, dataset, split="train", position=0, action="keep", author="bob")
    progress = decision_progress(store, dataset)
    assert (progress.n_decided, progress.n_found, progress.n_skipped, progress.n_disputed) == (5, 2, 1, 1)
    assert progress.by_action == {"keep": 3, "drop": 1, "edit": 1, "skip": 1, "note": 1}
    assert progress.by_author[["author", "n_decided", "n_found", "n_disputed"]].values.tolist() == [
        ["ann", 5, 3, 1], ["bob", 1, 0, 1],
    ]  # fmt: skip


def test_the_rate_leaves_out_pauses_and_counts_clicks(store: Store, dataset: Dataset) -> None:
    at = 1e9
    for number in range(11):  # every six seconds, with a long pause in the middle
        at += PAUSE_SECONDS + 1 if number == 5 else 6
        bulk = [NewDecision("train", 3 * number + k, "keep") for k in range(3)]
        record_decisions(store, dataset, bulk, author="ann", at=at)
    (rate,) = decision_progress(store, dataset).by_author["per_minute"]
    assert rate == pytest.approx(10)
    record_decision(store, dataset, split="train", position=39, action="keep", author="bob")
    assert math.isnan(decision_progress(store, dataset).by_author["per_minute"][1])


def test_a_version_knows_what_earlier_ones_decided(store: Store, dataset: Dataset) -> None:
    for position, action in enumerate(["relabel", "keep", "skip"]):
        label = 1 - position % 2 if action == "relabel" else None
        record_decision(store, dataset, split="train", position=position, action=action, label=label, author="ann")
    child = make_version(store, dataset, author="ann")
    record_decision(store, child, split="train", position=5, action="keep", author="ann")
    mine, theirs = decision_progress(store, child), decision_progress(store, dataset)
    assert (mine.n_decided, mine.n_found, mine.n_earlier, mine.n_found_earlier) == (3, 1, 2, 1)
    assert (theirs.n_earlier, theirs.n_found_earlier) == (0, 0)


def test_the_version_moves_with_every_decision(store: Store, dataset: Dataset) -> None:
    versions = [decision_version(store, dataset)]
    record_decision(store, dataset, split="train", position=0, action="keep", author="ann")
    versions.append(decision_version(store, dataset))
    undo_last(store, dataset, "ann")
    versions.append(decision_version(store, dataset))
    assert versions == sorted(set(versions))
