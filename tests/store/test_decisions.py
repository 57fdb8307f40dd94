"""Deciding, undoing, doing again; bulks; what cannot be decided."""

import time

import pytest

from store import (
    Action,
    DecisionRefused,
    NewDecision,
    Store,
    StoreUnreadable,
    begin_triage,
    current_decisions,
    list_decisions,
    open_readonly,
    record_dataset,
    record_decision,
    record_decisions,
    redo_last,
    undo_last,
)
from store.records import Dataset, NewRow
from tests.store.builders import make_dataset


@pytest.fixture
def dataset(store: Store) -> Dataset:
    return make_dataset(store, "d", [(f"text {number}", number % 2) for number in range(6)], split="train")


def decide(store: Store, dataset: Dataset, position: int, action: str, author: str = "ann", **more: object) -> None:
    record_decision(store, dataset, split="train", position=position, action=action, author=author, **more)  # type: ignore[arg-type]  # as given


def standing(store: Store, dataset: Dataset, author: str | None = None) -> list[tuple[object, ...]]:
    """(position, action, label, new text) of what stands."""
    frame = current_decisions(store, dataset, author=author)
    frame = frame.astype(object).where(frame.notna(), None)
    return [tuple(row) for row in frame[["position", "action", "label", "new_text"]].values.tolist()]


def test_a_decision_says_all_that_is_known_of_it(store: Store, dataset: Dataset) -> None:
    triage = begin_triage(store, dataset, fingerprint="f", versions={}, sources=[])
    before = time.time()
    decision = record_decision(
        store, dataset, split="train", position=1, action=Action.RELABEL, label="no", author=" ann ",
        note=" it is not ", finding="label_error", triage_key=triage.key, seconds=2.5,
    )  # fmt: skip
    assert (decision.action, decision.label, decision.text, decision.author, decision.note) == (
        Action.RELABEL, 0, None, "ann", "it is not",
    )  # fmt: skip
    assert (decision.finding, decision.triage_id, decision.seconds) == ("label_error", triage.id, 2.5)
    assert before <= decision.at <= time.time()
    assert len(decision.id) == 26
    assert list_decisions(store, dataset, split="train", position=1) == [decision]
    assert list_decisions(store, dataset, split="train", position=2) == []
    assert standing(store, dataset) == [(1, "relabel", "no", None)]


def test_labels_by_name_and_by_index(store: Store, dataset: Dataset) -> None:
    for position, label in ((0, "yes"), (2, 1)):
        decide(store, dataset, position, "relabel", label=label)
    assert standing(store, dataset) == [(0, "relabel", "yes", None), (2, "relabel", "yes", None)]


def test_the_label_it_has_is_kept(store: Store, dataset: Dataset) -> None:
    decide(store, dataset, 0, "relabel", label="no")
    decide(store, dataset, 1, "edit", text="text 1")
    assert standing(store, dataset) == [(0, "keep", "no", None), (1, "keep", "yes", None)]


def test_a_decision_says_the_whole_of_what_is_to_become(store: Store, dataset: Dataset) -> None:
    decide(store, dataset, 0, "relabel", label="yes")
    decide(store, dataset, 0, "edit", text="better")
    assert standing(store, dataset) == [(0, "edit", "yes", "better")]
    decide(store, dataset, 0, "relabel", label="no")
    assert standing(store, dataset) == [(0, "relabel", "no", "better")]
    decide(store, dataset, 0, "edit", text="text 0")
    assert standing(store, dataset) == [(0, "keep", "no", None)]
    decide(store, dataset, 0, "edit", text="both", label="yes")
    decide(store, dataset, 0, "drop")
    assert standing(store, dataset) == [(0, "drop", "no", None)]
    decide(store, dataset, 0, "relabel", label="yes")
    assert standing(store, dataset) == [(0, "relabel", "yes", None)]
    decide(store, dataset, 0, "edit", text="mine", author="bob")
    assert standing(store, dataset, "bob") == [(0, "edit", "no", "mine")]


def test_skips_and_notes_leave_a_decision_standing(store: Store, dataset: Dataset) -> None:
    decide(store, dataset, 0, "note", note="look again")
    assert standing(store, dataset) == [(0, "note", "no", None)]
    decide(store, dataset, 0, "skip")
    assert standing(store, dataset) == [(0, "skip", "no", None)]
    decide(store, dataset, 0, "relabel", label="yes")
    decide(store, dataset, 0, "skip")
    decide(store, dataset, 0, "note", note="sure", author="bob")
    assert standing(store, dataset) == [(0, "relabel", "yes", None)]
    (row,) = current_decisions(store, dataset).to_dict("records")
    assert (row["author"], row["n_authors"], row["is_disputed"]) == ("ann", 1, False)


# authors -------------------------------------------------------------------------------------------------------------


def test_two_authors_who_disagree(store: Store, dataset: Dataset) -> None:
    decide(store, dataset, 0, "relabel", label="yes")
    decide(store, dataset, 0, "keep", author="bob")
    decide(store, dataset, 1, "drop")
    decide(store, dataset, 1, "drop", author="bob")
    decide(store, dataset, 2, "relabel", label="yes")
    decide(store, dataset, 2, "edit", text="x", label="yes", author="bob")
    decide(store, dataset, 3, "keep")
    decide(store, dataset, 3, "relabel", label="yes", author="bob")  # it is a yes: the same, said otherwise
    frame = current_decisions(store, dataset)
    assert frame["is_disputed"].tolist() == [True, False, True, False]
    assert frame["author"].tolist() == ["bob"] * 4
    assert frame["n_authors"].tolist() == [2] * 4
    assert [row[1] for row in standing(store, dataset, "ann")] == ["relabel", "drop", "relabel", "keep"]
    decide(store, dataset, 0, "keep")  # ann comes round
    assert current_decisions(store, dataset)["is_disputed"].tolist() == [False, False, True, False]
    undo_last(store, dataset, "ann")
    assert current_decisions(store, dataset)["is_disputed"].tolist() == [True, False, True, False]
    assert current_decisions(store, dataset)["author"].tolist() == ["bob"] * 4


def test_a_third_author_settles_a_dispute_by_agreeing_with_one(store: Store, dataset: Dataset) -> None:
    def found() -> tuple[object, ...]:
        (row,) = current_decisions(store, dataset).to_dict("records")
        return row["author"], row["label"], row["n_authors"], row["is_disputed"]

    for author, label in (("ann", 1), ("bob", 0)):
        decide(store, dataset, 0, "relabel", label=label, author=author)
    assert found() == ("bob", "no", 2, True)
    decide(store, dataset, 0, "relabel", label=1, author="eve")
    assert found() == ("eve", "yes", 3, False)
    undo_last(store, dataset, "eve")
    assert found() == ("bob", "no", 2, True)
    decide(store, dataset, 0, "drop", author="eve")
    assert found() == ("eve", "no", 3, True), "three want three things"
    decide(store, dataset, 0, "relabel", label=1, author="eve")
    decide(store, dataset, 0, "keep", author="dan")
    assert found() == ("dan", "no", 4, True), "two against two"


def test_whoever_differs_from_those_who_agreed_before_disputes_it(store: Store, dataset: Dataset) -> None:
    for author in ("ann", "bob"):
        decide(store, dataset, 0, "keep", author=author)
    decide(store, dataset, 0, "relabel", label=1, author="eve")
    (row,) = current_decisions(store, dataset).to_dict("records")
    assert (row["author"], row["n_authors"], row["is_disputed"]) == ("eve", 3, True)
    decide(store, dataset, 0, "keep", author="ann")  # having seen it
    (row,) = current_decisions(store, dataset).to_dict("records")
    assert (row["author"], row["n_authors"], row["is_disputed"]) == ("ann", 3, False)


# undo ----------------------------------------------------------------------------------------------------------------


def test_undo_walks_back_and_redo_forward(store: Store, dataset: Dataset) -> None:
    states = [standing(store, dataset)]
    for label in ("yes", "no", "yes"):
        decide(store, dataset, 0, "relabel", label=label)
        states.append(standing(store, dataset))
    decide(store, dataset, 1, "keep", author="bob")
    bobs = standing(store, dataset, "bob")
    for state in (states[2], states[1], states[0]):
        (undone,) = undo_last(store, dataset, "ann")
        assert (undone.position, undone.author) == (0, "ann")
        assert standing(store, dataset) == state + bobs
    assert undo_last(store, dataset, "ann") == []
    assert undo_last(store, dataset, "eve") == []
    for state in states[1:]:
        assert len(redo_last(store, dataset, "ann")) == 1
        assert standing(store, dataset) == state + bobs
    assert redo_last(store, dataset, "ann") == []
    undo_last(store, dataset, "ann")
    undo_last(store, dataset, "ann")
    redo_last(store, dataset, "ann")
    assert standing(store, dataset) == states[2] + bobs
    undo_last(store, dataset, "ann")
    assert standing(store, dataset) == states[1] + bobs


def test_after_a_new_decision_nothing_is_redone(store: Store, dataset: Dataset) -> None:
    decide(store, dataset, 0, "keep")
    undo_last(store, dataset, "ann")
    decide(store, dataset, 2, "keep")
    assert redo_last(store, dataset, "ann") == []
    assert [row[0] for row in standing(store, dataset)] == [2]
    undo_last(store, dataset, "ann")
    assert undo_last(store, dataset, "ann") == []


def test_rows_are_only_ever_added(store: Store, dataset: Dataset) -> None:
    decide(store, dataset, 0, "relabel", label="yes")
    before = store.db.execute("SELECT * FROM decisions").fetchall()
    undo_last(store, dataset, "ann")
    redo_last(store, dataset, "ann")
    decide(store, dataset, 0, "drop")
    after = store.db.execute("SELECT * FROM decisions ORDER BY key").fetchall()
    assert after[: len(before)] == before
    history = list_decisions(store, dataset, split="train", position=0)
    assert [decision.action for decision in history] == ["relabel", "undo", "undo", "drop"]
    assert [history[1].undoes, history[2].undoes] == [history[0].batch, history[1].batch]
    seen = store.db.execute("SELECT action, is_undone FROM decision_history ORDER BY at, id").fetchall()
    assert sorted(seen) == [("drop", 0), ("relabel", 0), ("undo", 0), ("undo", 0)]


def test_a_bulk_is_undone_as_a_whole(store: Store, dataset: Dataset) -> None:
    decide(store, dataset, 1, "relabel", label="no")
    before = standing(store, dataset)
    written = record_decisions(
        store, dataset, [NewDecision("train", position, "drop") for position in range(5)], author="ann"
    )
    assert len({decision.batch for decision in written}) == 1
    assert len({decision.id for decision in written}) == 5
    assert [row[1] for row in standing(store, dataset)] == ["drop"] * 5
    undone = undo_last(store, dataset, "ann")
    assert sorted(decision.position or 0 for decision in undone) == list(range(5))
    assert standing(store, dataset) == before
    assert len(redo_last(store, dataset, "ann")) == 5
    assert [row[1] for row in standing(store, dataset)] == ["drop"] * 5
    assert record_decisions(store, dataset, [], author="ann") == []


# what cannot be decided ----------------------------------------------------------------------------------------------


def test_every_problem_is_named_and_nothing_decided(store: Store, dataset: Dataset) -> None:
    nonsense = [
        NewDecision("train", 99, "keep"), NewDecision("train", -1, "keep"), NewDecision("dev", 0, "keep"),
        NewDecision("train", 0, "relabel"), NewDecision("train", 1, "relabel", label="maybe"),
        NewDecision("train", 2, "relabel", label=2), NewDecision("train", 3, "edit", text=" "),
        NewDecision("train", 4, "note", note=""), NewDecision("train", 5, "keep", label=1),
    ]  # fmt: skip
    with pytest.raises(DecisionRefused) as error:
        record_decisions(store, dataset, [*nonsense, NewDecision("train", 0, "drop")], author=" ")
    text = str(error.value)
    for part in (
        "author is empty", "train 99: train has the positions 0 to 5", "train -1:", "dev 0: d@1 has no split 'dev'",
        "train 0: to relabel needs a label", "'maybe' is no label of d@1; its 2 labels are no, yes", "2 is no label",
        "train 3: to edit needs a text", "train 4: to note needs a note", "And 1 more.",
    ):  # fmt: skip
        assert part in text
    for new, part in (
        (NewDecision("train", 0, "bin"), "'bin' cannot be decided; allowed are relabel, keep, drop, edit, skip, note."),
        (NewDecision("train", 0, "undo"), "'undo' cannot be decided"),
        (NewDecision("train", 0, "drop", text="x"), "to drop takes no text"),
        (NewDecision("train", 0, "keep", seconds=-1.0), "seconds is -1.0"),
        (NewDecision("train", 0, "keep", seconds=float("nan")), "seconds is nan"),
        (NewDecision("train", 0, "keep", triage_key=5), "there is no triage 5 of d@1"),
        (NewDecision("train", 0, "relabel", label=True), "True is no label"),
        (NewDecision("train", 0, "edit", text="half \ud800"), "half a character"),
        (NewDecision("train", 0, "note", note="half \ud800"), "half a character"),
    ):
        with pytest.raises(DecisionRefused) as error:
            record_decisions(store, dataset, [new], author="ann")
        assert part in str(error.value)
    with pytest.raises(DecisionRefused, match="decided twice at once"):
        record_decisions(
            store, dataset, [NewDecision("train", 0, "keep"), NewDecision("train", 0, "drop")], author="ann"
        )
    assert current_decisions(store, dataset).empty
    assert store.db.execute("SELECT count(*) FROM decisions").fetchone() == (0,)


def test_targets_without_names(store: Store) -> None:
    rows = [NewRow("train", "a", 1.5), NewRow("train", "b", "free text"), NewRow("train", "c", None)]
    dataset = record_dataset(store, "plain", rows, label_names=None, source={}, fingerprint="p")
    decide(store, dataset, 0, "relabel", label=2.5)
    decide(store, dataset, 1, "relabel", label="other $[x] text")
    decide(store, dataset, 2, "keep")
    assert standing(store, dataset) == [
        (0, "relabel", 2.5, None), (1, "relabel", "other $[x] text", None), (2, "keep", None, None),
    ]  # fmt: skip


def test_a_reader_decides_nothing(store: Store, dataset: Dataset) -> None:
    reader = open_readonly(store.path)
    with pytest.raises(StoreUnreadable, match="read-only"):
        decide(reader, dataset, 0, "keep")
    reader.close()
    assert standing(store, dataset) == []


def test_the_views_for_people(store: Store, dataset: Dataset) -> None:
    decide(store, dataset, 0, "relabel", label="yes", note="why")
    decide(store, dataset, 1, "edit", text="new")
    undo_last(store, dataset, "ann")
    names = "dataset, version, split, position, text, given, action, label, new_text, note, author, decided_in"
    assert store.db.execute(f"SELECT {names} FROM current_decisions").fetchall() == [
        ("d", 1, "train", 0, "text 0", "no", "relabel", "yes", None, "why", "ann", "d@1")
    ]
    assert store.db.execute("SELECT action, new_text, is_undone FROM decision_history ORDER BY at").fetchall() == [
        ("relabel", None, 0), ("edit", "new", 1), ("undo", None, 0),
    ]  # fmt: skip
