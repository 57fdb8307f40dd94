"""What stands after any order of deciding, undoing and making versions: as a plain reading of the history has it."""

import random
import threading

import pytest

from store import (
    Decision,
    NewDecision,
    Store,
    VersionRefused,
    current_decisions,
    list_decisions,
    make_version,
    record_decision,
    record_decisions,
    redo_last,
    undo_last,
)
from store.records import Dataset
from store.standing import refresh_all
from tests.store.builders import make_dataset

AUTHORS = ("ann", "bob", "eve")
DECIDING = ("relabel", "keep", "drop", "edit")
N = 12


def act(store: Store, dataset: Dataset, dice: random.Random) -> None:
    author, position = dice.choice(AUTHORS), dice.randrange(N)
    action = dice.choice(["relabel", "relabel", "keep", "drop", "edit", "skip", "note", "bulk", "undo", "undo", "redo"])
    if action == "undo":
        undo_last(store, dataset, author)
    elif action == "redo":
        redo_last(store, dataset, author)
    elif action == "bulk":
        chosen = dice.sample(range(N), 4)
        record_decisions(store, dataset, [NewDecision("train", place, "drop") for place in chosen], author=author)
    else:
        record_decision(
            store, dataset, split="train", position=position, action=action, author=author,
            label=dice.randrange(2) if action == "relabel" else None,
            text=f"new {dice.randrange(3)}" if action == "edit" else None, note="n" if action == "note" else None,
        )  # fmt: skip


def plain_reading(store: Store, dataset: Dataset) -> list[tuple[object, ...]]:
    """(position, action, author, n_authors, is_disputed), from the history of each row alone."""
    found = []
    for position in range(N):
        history = list_decisions(store, dataset, split="train", position=position)
        undos = [decision for decision in history if decision.action == "undo"]
        taken_back = {undo.undoes for undo in undos}
        gone = {undo.undoes for undo in undos if undo.batch not in taken_back}
        counting = [decision for decision in history if decision.action != "undo" and decision.batch not in gone]
        last: dict[str, Decision] = {}
        for kinds in (("note",), ("skip",), DECIDING):  # the later outranks
            last |= {decision.author: decision for decision in counting if decision.action in kinds}
        if not last:
            continue
        decided = [decision for decision in last.values() if decision.action in DECIDING]
        rest = [decision for decision in last.values() if decision.action == "skip"] or list(last.values())
        shown = max(decided or rest, key=lambda decision: decision.key)
        given = position % 2
        outcomes = {
            d.author: "drop" if d.action == "drop" else (given if d.label is None else d.label, d.text) for d in decided
        }  # fmt: skip
        n_agreeing = sum(outcome == outcomes.get(shown.author) for outcome in outcomes.values())
        is_disputed = bool(decided) and 2 * n_agreeing <= len(decided)
        found.append((position, str(shown.action), shown.author, len(decided), is_disputed))
    return found


@pytest.mark.parametrize("seed", range(6))
def test_any_order_of_actions(store: Store, seed: int) -> None:
    dice = random.Random(seed)
    dataset = make_dataset(store, "d", [(f"text {number}", number % 2) for number in range(N)], split="train")
    columns = ["position", "action", "author", "n_authors", "is_disputed"]
    for _ in range(40):
        act(store, dataset, dice)
        found = [tuple(row) for row in current_decisions(store, dataset)[columns].values.tolist()]
        assert found == plain_reading(store, dataset)


@pytest.mark.parametrize("seed", range(4))
def test_step_by_step_is_the_same_as_all_at_once(store: Store, seed: int) -> None:
    """Over versions of versions, with copies of texts in them."""
    dice = random.Random(seed)
    rows = [(f"text {number % 9}", number % 2) for number in range(N)]
    versions = [make_dataset(store, "d", rows, split="train")]
    n_inherited = 0
    for _ in range(60):
        dataset = dice.choice([version for version in versions if version.n_rows["train"] == N])
        act(store, dataset, dice)
        if dice.random() < 0.15:
            try:
                versions.append(
                    make_version(store, dataset, author="ann", disputed="newest", name=dice.choice([None, "e"]))
                )
            except VersionRefused:
                continue
        before = store.db.execute("SELECT * FROM standing_decisions").fetchall()
        with store.write() as db:
            refresh_all(db)
        assert store.db.execute("SELECT * FROM standing_decisions").fetchall() == before
        n_inherited += sum(
            name != str(version) for version in versions for name in current_decisions(store, version)["decided_in"]
        )
    assert len(versions) > 2
    assert n_inherited > 20


def test_many_threads_decide_at_once(store: Store) -> None:
    dataset = make_dataset(store, "d", [(f"text {number}", number % 2) for number in range(N)], split="train")

    def work(author: str) -> None:
        for position in range(N):
            record_decision(store, dataset, split="train", position=position, action="keep", author=author)
            if position % 3 == 0:
                undo_last(store, dataset, author)

    threads = [threading.Thread(target=work, args=(author,)) for author in AUTHORS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    frame = current_decisions(store, dataset)
    assert frame["position"].tolist() == [position for position in range(N) if position % 3]
    assert frame["n_authors"].tolist() == [3] * 8
