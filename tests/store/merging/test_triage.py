"""Decisions, triages and opinions of two stores."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from store import (
    NewRow,
    Status,
    Store,
    begin_opinion,
    begin_triage,
    current_decisions,
    fail_triage,
    finish_triage,
    get_dataset,
    hold_opinion,
    latest_triage,
    list_facets,
    list_opinions,
    list_queue,
    list_triages,
    list_version_changes,
    make_version,
    open_store,
    read_column,
    read_opinion,
    record_dataset,
    record_decision,
    record_opinion,
    record_opinion_part,
    redo_last,
    release_opinion,
    undo_last,
)
from store.records import Dataset
from tests.store.builders import LABELS
from tests.store.merging.kit import merge
from tests.store.merging.portable import portable
from tests.store.triages import fill_triage


def dataset(store: Store, name: str = "d", *, first: str = "text") -> Dataset:
    rows = [NewRow("train", f"{first} {number}", number % 2, {"source": "web"}) for number in range(6)]
    return record_dataset(store, name, rows, label_names=LABELS, source={}, fingerprint=first)


def decide(store: Store, dataset: Dataset, position: int, action: str, author: str, **more: object) -> None:
    record_decision(store, dataset, split="train", position=position, action=action, author=author, **more)  # type: ignore[arg-type]  # as given


@pytest.fixture
def copied(tmp_path: Path) -> Iterator[tuple[Store, Store]]:
    """Ours, in which ann has begun, and a copy of it for bob."""
    store = open_store(tmp_path / "assay.db")
    decide(store, dataset(store), 0, "relabel", "ann", label="yes")
    store.close()
    shutil.copy(tmp_path / "assay.db", tmp_path / "other.db")
    ours, theirs = open_store(tmp_path / "assay.db"), open_store(tmp_path / "other.db")
    yield ours, theirs
    ours.close()
    theirs.close()


def standing(store: Store, name: str = "d@1") -> list[tuple[object, ...]]:
    frame = current_decisions(store, get_dataset(store, name))
    return [tuple(row) for row in frame[["position", "action", "author", "is_disputed"]].values.tolist()]


def test_two_people_decide_in_two_copies(copied: tuple[Store, Store]) -> None:
    ours, theirs = copied
    here, there = get_dataset(ours, "d"), get_dataset(theirs, "d")
    decide(ours, here, 1, "drop", "ann")
    decide(theirs, there, 0, "keep", "bob")
    decide(theirs, there, 2, "edit", "bob", text="better")
    undo_last(theirs, there, "ann")
    decide(theirs, there, 3, "keep", "bob")
    undo_last(theirs, there, "bob")
    merged = merge(ours, theirs.path)
    assert merged.plan.n_rows["decisions"] == 5
    assert standing(ours) == [(0, "keep", "bob", False), (1, "drop", "ann", False), (2, "edit", "bob", False)]
    assert not merge(ours, theirs.path).plan.n_rows
    merge(theirs, ours.path)
    assert standing(theirs) == standing(ours)
    assert portable(ours.db)["decisions"] == portable(theirs.db)["decisions"]
    assert [decision.position for decision in undo_last(ours, here, "bob")] == [2]
    assert len(redo_last(ours, here, "bob")) == 1
    decide(ours, here, 0, "drop", "ann")
    assert standing(ours)[0] == (0, "drop", "ann", True)


def test_a_version_comes_with_the_decisions_that_made_it(store: Store, other: Store) -> None:
    first = dataset(other)
    decide(other, first, 0, "relabel", "ann", label="yes")
    decide(other, first, 1, "drop", "ann")
    decide(other, first, 2, "keep", "bob")
    child = make_version(other, first, author="ann", name="fixed")
    dataset(store, "mine")  # the same content under another name
    merged = merge(store, other.path)
    assert (merged.plan.n_rows["decisions"], merged.plan.n_rows["version_decisions"]) == (3, 2)
    ours = get_dataset(store, "fixed")
    assert ours.parent_key == get_dataset(store, "mine").key
    assert list_version_changes(store, ours)["change"].tolist() == ["relabel", "drop"]
    assert standing(store, "fixed@1") == standing(other, str(child))
    assert len(standing(store, "fixed@1")) == 2
    assert not merge(store, other.path).plan.n_rows


def test_decisions_here_speak_for_a_later_version_from_there(store: Store, other: Store) -> None:
    decide(store, dataset(store), 3, "keep", "ann")
    record_dataset(
        other,
        "d",
        [NewRow("train", "text 3", 1), NewRow("train", "new", 0)],
        label_names=LABELS,
        source={},
        fingerprint="2",
    )
    merge(store, other.path)
    assert standing(store, "d@2") == [(0, "keep", "ann", False)]


def test_triages_that_have_finished(store: Store, other: Store) -> None:
    dataset(store, "first", first="unlike")
    filled = fill_triage(other, 60)
    running = begin_triage(other, filled.dataset, fingerprint="running", versions={}, sources=[])
    failed = begin_triage(other, filled.dataset, fingerprint="failed", versions={}, sources=[])
    fail_triage(other, failed.key, Status.FAILED, "no memory")
    merged = merge(store, other.path)
    assert [(triage.id, triage.name, triage.step, triage.reason) for triage in merged.plan.triages] == [
        (filled.triage.id, "bank@1", "added", None), (running.id, "bank@1", "left out", "it is running there"),
    ]  # fmt: skip
    ours = get_dataset(store, "bank")
    triage = latest_triage(store, ours.key)
    assert triage is not None
    assert (triage.id, triage.summary, triage.holder) == (filled.triage.id, filled.triage.summary, None)
    assert list_queue(store, triage, ours, limit=100).equals(
        list_queue(other, filled.triage, filled.dataset, limit=100)
    )
    np.testing.assert_array_equal(
        read_column(store, triage.key, "train", "map"), read_column(other, filled.triage.key, "train", "map")  # type: ignore[arg-type]  # both are there
    )  # fmt: skip
    assert list_facets(store, ours).equals(list_facets(other, filled.dataset))
    again = merge(store, other.path)
    assert not again.plan.n_rows
    finish_triage(other, running.key, {"n": 1})
    assert [triage.step for triage in merge(store, other.path).plan.triages] == ["kept", "added"]
    assert len(list_triages(store)) == 2


def test_a_triage_that_was_killed_here_and_finished_there(copied: tuple[Store, Store], tmp_path: Path) -> None:
    ours, _ = copied
    triage = begin_triage(ours, get_dataset(ours, "d"), fingerprint="f", versions={}, sources=[])
    fail_triage(ours, triage.key, Status.KILLED, "Ctrl-C")
    ours.close()
    shutil.copy(ours.path, tmp_path / "third.db")
    third = open_store(tmp_path / "third.db")
    begin_triage(third, get_dataset(third, "d"), fingerprint="f", versions={}, sources=[])
    finish_triage(third, triage.key, {"n": 6})
    assert [triage.step for triage in merge(ours, third.path).plan.triages] == ["replaced"]
    done = latest_triage(ours, get_dataset(ours, "d").key)
    assert done is not None
    assert (done.key, done.id, done.cause, done.summary) == (triage.key, triage.id, None, {"n": 6})
    third.close()


def test_opinions_with_more_parts_replace_those_with_fewer(store: Store, other: Store) -> None:
    for which, n_parts in ((store, 1), (other, 2)):
        opinion = begin_opinion(
            which, dataset(which), kind="crossval", name="cv", fingerprint="f", n_classes=2, n_folds=2
        )
        for part in range(n_parts):
            record_opinion_part(which, opinion.key, range(part, 6, 2), np.full((3, 2), -1.0 - part), part=part)
        release_opinion(which, opinion.key, Status.FINISHED)
    record_opinion(
        other, dataset(other, "e", first="e"), kind="head", name="h", fingerprint="f", log_probs=np.zeros((6, 2))
    )
    held = begin_opinion(other, get_dataset(other, "d"), kind="crossval", name="cv", fingerprint="g", n_classes=2)
    hold_opinion(other, held.key)
    merged = merge(store, other.path)
    assert [(opinion.name, opinion.step) for opinion in merged.plan.opinions] == [
        ("cv", "replaced"), ("h", "added"), ("cv", "left out"),
    ]  # fmt: skip
    frame = list_opinions(store, get_dataset(store, "d"))
    assert frame[["n_parts", "n_known", "is_complete"]].values.tolist() == [[2, 6, True]]
    assert read_opinion(store, int(frame["key"][0]))[:, 0].tolist() == [-1, -2] * 3
    assert not merge(store, other.path).plan.n_rows
    assert [opinion.step for opinion in merge(other, store.path).plan.opinions] == ["kept", "kept"]


def test_two_datasets_there_that_are_one_here(store: Store, other: Store) -> None:
    dataset(store, "mine")
    for name in ("a", "b"):
        which = dataset(other, name)
        record_opinion(other, which, kind="head", name=name, fingerprint="f", log_probs=np.zeros((6, 2)))
        decide(other, which, 0, "keep", name)
    merged = merge(store, other.path)
    assert [(opinion.name, opinion.step) for opinion in merged.plan.opinions] == [("a", "added")]
    assert [row[:3] for row in standing(store, "mine@1")] == [(0, "keep", "b")]
    assert not merge(store, other.path).plan.n_rows
