"""Pages and counts of the queue, under every filter: each is compared with what Python makes of all rows."""

import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

import store.queue_filters
from store import (
    DecisionRefused,
    PatternRefused,
    QueueFilter,
    Store,
    count_queue,
    group_members,
    list_findings,
    list_groups,
    list_places,
    list_queue,
    open_readonly,
    open_store,
    read_rows,
    record_decision,
)
from tests.store.triages import Filled, fill_triage

AWKWARD = [
    '"', '""', "'", "card AND", "OR", "NOT card", "NEAR(card post)", "card*", "*", "^card", "text:card",
    "a:b", "(", ")", "{a b} : c", "-card", "+card", "card\x00post", "\ud800", "😀", "日本 語", "%",
    "_", "\\", "; DROP TABLE examples", " ", "card" * 500, "a " * 2000,
]  # fmt: skip


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Store, Filled]]:
    store = open_store(tmp_path_factory.mktemp("queue") / "assay.db")
    filled = fill_triage(store, 300)
    for position, action, author in (
        (0, "keep", "ann"), (0, "drop", "bob"), (1, "keep", "ann"), (2, "keep", "bob"), (2, "keep", "ann"),
        (7, "skip", "ann"), (8, "note", "bob"), (9, "skip", "ann"), (9, "keep", "bob"),
    ):  # fmt: skip
        note = "see" if action == "note" else None
        record_decision(
            store, filled.dataset, split="train", position=position, action=action, author=author, note=note
        )
    yield store, filled
    store.close()


@pytest.fixture(params=["few", "many"])
def queue(
    opened: tuple[Store, Filled], request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> tuple[Store, Filled]:
    """With rows looked up by an index, and with the queue read in its order."""
    for name in ("FEW", "FEW_TO_COUNT"):
        monkeypatch.setattr(store.queue_filters, name, 20_000 if request.param == "few" else 0)
    return opened


def everything(store: Store, filled: Filled) -> pd.DataFrame:
    """The whole queue, with metadata."""
    frame = list_queue(store, filled.triage, filled.dataset, limit=10_000)
    metadata = {
        (split, position): data
        for split, n in filled.dataset.n_rows.items()
        for position, data in read_rows(store, filled.dataset, split, limit=n)[["position", "metadata"]].values.tolist()
    }
    frame["metadata"] = [metadata[place] for place in zip(frame["split"], frame["position"], strict=True)]
    return frame


def is_train(*positions: int) -> Callable[[pd.Series], bool]:
    return lambda row: row["split"] == "train" and row["position"] in positions


FILTERS: dict[str, tuple[QueueFilter, Callable[[pd.Series], bool]]] = {
    "none": (QueueFilter(), lambda row: True),
    "kinds": (QueueFilter(kinds=("outlier", "empty")), lambda row: bool({"outlier", "empty"} & set(row["kinds"]))),
    "labels": (
        QueueFilter(labels=("exchange_rate", 0)), lambda row: row["label"] in ("exchange_rate", "card_arrival"),
    ),
    "no label": (QueueFilter(labels=(None,)), lambda row: pd.isna(row["given"])),
    "suggested": (QueueFilter(suggested=("exchange_rate",)), lambda row: row["suggested_label"] == "exchange_rate"),
    "pair": (
        QueueFilter(pair=("exchange_rate", "top_up_failed")),
        lambda row: (row["label"], row["suggested_label"]) == ("exchange_rate", "top_up_failed"),
    ),
    "splits": (QueueFilter(splits=("test", "validation")), lambda row: row["split"] != "train"),
    "search": (QueueFilter(search="wall Please"), lambda row: False),
    "search, a beginning": (
        QueueFilter(search="please wall"), lambda row: "please" in row["text"] and "wallet" in row["text"],
    ),
    "search for a word": (QueueFilter(search="CARD"), lambda row: "card" in row["text"].split()),
    "regex": (QueueFilter(regex=r"(?i)CARD.*[0-4]$"), lambda row: bool(re.search(r"card.*[0-4]$", row["text"]))),
    "metadata": (
        QueueFilter(metadata=(("source", "mail"), ("source", "app"))),
        lambda row: row["metadata"]["source"] in ("mail", "app"),
    ),
    "metadata of two fields": (
        QueueFilter(metadata=(("source", "web"), ("number", 12), ("number", 14), ("number", 15))),
        lambda row: row["metadata"]["source"] == "web" and row["metadata"]["number"] in (12, 14, 15),
    ),
    "metadata that is not there": (QueueFilter(metadata=(("source", "fax"),)), lambda row: False),
    "a field that is not there": (QueueFilter(metadata=(("colour", "red"),)), lambda row: False),
    "decided": (QueueFilter(decided=True), is_train(0, 1, 2, 9)),
    "undecided": (QueueFilter(decided=False), lambda row: not is_train(0, 1, 2, 9)(row)),
    "of an author": (QueueFilter(author="ann"), is_train(0, 1, 2, 7, 9)),
    "decided by an author": (QueueFilter(author="ann", decided=True), is_train(0, 1, 2)),
    "not decided by an author": (QueueFilter(author="bob", decided=False), lambda row: not is_train(0, 2, 9)(row)),
    "of nobody": (QueueFilter(author="eve"), lambda row: False),
    "skipped": (QueueFilter(skipped=True), is_train(7)),
    "not skipped": (QueueFilter(skipped=False), lambda row: not is_train(7)(row)),
    "disputed": (QueueFilter(disputed=True), is_train(0)),
    "not disputed": (QueueFilter(disputed=False), lambda row: not is_train(0)(row)),
    "positions": (QueueFilter(positions=[5, 3, 3, 9_999]), is_train(3, 5)),
    "positions of splits": (
        QueueFilter(positions={"test": list(range(30)), "train": [8]}),
        lambda row: row["split"] == "test" or is_train(8)(row),
    ),
    "no positions": (QueueFilter(positions=[]), lambda row: False),
    "risk": (QueueFilter(min_risk=0.5), lambda row: row["risk"] >= 0.5),
    "several": (
        QueueFilter(labels=("exchange_rate",), search="euro", decided=False, splits=("train",), min_risk=0.1),
        lambda row: row["label"] == "exchange_rate" and "euro" in row["text"] and not is_train(0, 1, 2, 9)(row)
        and row["split"] == "train" and row["risk"] >= 0.1,
    ),
    "a choice of choices": (
        QueueFilter(positions=range(100), regex="card", metadata=(("source", "web"),)),
        lambda row: row["split"] == "train" and row["position"] < 100 and "card" in row["text"]
        and row["metadata"]["source"] == "web",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_finds_what_it_says(queue: tuple[Store, Filled], name: str) -> None:
    store, filled = queue
    filters, wanted = FILTERS[name]
    rows = everything(store, filled)
    expected = rows[[bool(wanted(row)) for _, row in rows.iterrows()]]
    found = list_queue(store, filled.triage, filled.dataset, filters=filters, limit=10_000)
    columns = ["split", "position"]
    assert found[columns].values.tolist() == expected[columns].values.tolist()
    assert count_queue(store, filled.triage, filled.dataset, filters) == len(expected)
    places = list_places(store, filled.triage, filled.dataset, filters=filters)
    assert places[columns].values.tolist() == expected[columns].values.tolist()
    page = list_queue(store, filled.triage, filled.dataset, filters=filters, limit=7, offset=3)
    assert page[columns].values.tolist() == expected[columns].values.tolist()[3:10]


def test_most_filters_find_something_and_not_everything(opened: tuple[Store, Filled]) -> None:
    store, filled = opened
    n = {name: count_queue(store, filled.triage, filled.dataset, filters) for name, (filters, _) in FILTERS.items()}
    assert sum(0 < count < n["none"] for count in n.values()) >= 22
    assert n["none"] == 304


def test_a_group_of_findings(queue: tuple[Store, Filled]) -> None:
    store, filled = queue
    groups = list_groups(store, filled.triage.key)
    (key,) = groups["key"][groups["kind"] == "weak_slice"]
    members = group_members(store, int(key))
    found = list_queue(store, filled.triage, filled.dataset, filters=QueueFilter(group=int(key)), limit=1000)
    in_queue = everything(store, filled)
    wanted = [
        [split, position] for split, position in in_queue[["split", "position"]].values.tolist()
        if position in members.get(split, [])
    ]  # fmt: skip
    assert found[["split", "position"]].values.tolist() == wanted
    assert len(wanted) >= len(members["train"]) > 10
    assert count_queue(store, filled.triage, filled.dataset, QueueFilter(group=999)) == 0


def test_one_kind_of_finding_comes_in_the_order_of_its_own_risk(queue: tuple[Store, Filled]) -> None:
    store, filled = queue
    findings = list_findings(store, filled.triage.key, kind="near_duplicate", limit=1000)
    assert len(findings) > 5
    filters = QueueFilter(kinds=("near_duplicate",))
    found = list_queue(store, filled.triage, filled.dataset, filters=filters)
    assert found["position"].tolist() == findings["position"].tolist()
    assert found["risk"].tolist() == findings["risk"].tolist()
    least = float(findings["risk"][3])
    high = QueueFilter(kinds=("near_duplicate",), min_risk=least)
    assert (
        list_places(store, filled.triage, filled.dataset, filters=high)["risk"].tolist()
        == findings["risk"].tolist()[:4]
    )
    assert count_queue(store, filled.triage, filled.dataset, high) == 4
    some = QueueFilter(kinds=("near_duplicate",), positions=sorted(findings["position"].tolist())[:3])
    assert count_queue(store, filled.triage, filled.dataset, some) == 3
    page = list_queue(store, filled.triage, filled.dataset, filters=some)
    assert page["risk"].tolist() == sorted(page["risk"].tolist(), reverse=True)
    assert count_queue(store, filled.triage, filled.dataset, QueueFilter(kinds=("no such kind",))) == 0


def test_other_orders(queue: tuple[Store, Filled]) -> None:
    store, filled = queue
    by_place = list_queue(store, filled.triage, filled.dataset, sort="position", limit=1000)
    assert by_place["split"].tolist() == sorted(by_place["split"].tolist(), key=["train", "validation", "test"].index)
    assert by_place["position"].tolist()[:300] == list(range(300))
    surest = list_queue(store, filled.triage, filled.dataset, sort="surest", limit=300)["suggested_probability"]
    assert surest.is_monotonic_decreasing
    few = QueueFilter(labels=(1,))
    page = list_queue(store, filled.triage, filled.dataset, filters=few, sort="position", limit=5, offset=2)
    assert page["position"].is_monotonic_increasing
    with pytest.raises(ValueError, match="sort is 'date'; allowed are risk, position, surest"):
        list_queue(store, filled.triage, filled.dataset, sort="date")  # type: ignore[arg-type]  # that is what is tried


def test_a_row_says_what_was_decided(opened: tuple[Store, Filled]) -> None:
    store, filled = opened
    rows = list_queue(
        store, filled.triage, filled.dataset, filters=QueueFilter(positions=[0, 2, 7, 8, 20]), sort="position"
    )
    plain = rows.astype(object).where(rows.notna(), None)
    assert plain["action"].tolist() == ["drop", "keep", "skip", "note", None]
    assert plain["author"].tolist() == ["bob", "ann", "ann", "bob", None]
    assert plain["n_authors"].tolist() == [2, 2, 0, 0, None]
    assert plain["is_disputed"].tolist() == [True, False, False, False, False]
    assert plain["note"].tolist()[3] == "see"
    assert plain["decided_in"].tolist() == [None] * 5


@pytest.mark.parametrize("text", AWKWARD)
def test_any_text_can_be_searched_for(queue: tuple[Store, Filled], text: str) -> None:
    store, filled = queue
    for filters in (QueueFilter(search=text), QueueFilter(search=text, labels=(1,), decided=False)):
        n = count_queue(store, filled.triage, filled.dataset, filters)
        assert len(list_queue(store, filled.triage, filled.dataset, filters=filters, limit=1000)) == n


def test_labels_that_are_not_there_are_named_together(opened: tuple[Store, Filled]) -> None:
    store, filled = opened
    filters = QueueFilter(labels=("nope", "exchange_rate"), suggested=(77,), pair=(True, "exchange_rate"))
    with pytest.raises(DecisionRefused) as error:
        list_queue(store, filled.triage, filled.dataset, filters=filters)
    for part in ("'nope' is no label", "77 is no label", "True is no label", "exchange_rate"):
        assert part in str(error.value)


def test_patterns_that_cannot_be_used_are_refused(opened: tuple[Store, Filled]) -> None:
    store, filled = opened
    with pytest.raises(PatternRefused, match="cannot be read"):
        count_queue(store, filled.triage, filled.dataset, QueueFilter(regex="(card"))


def test_a_reader_can_filter_by_anything(opened: tuple[Store, Filled]) -> None:
    """The page opens the file for reading only."""
    store, filled = opened
    reader = open_readonly(store.path)
    for filters, _ in FILTERS.values():
        assert count_queue(reader, filled.triage, filled.dataset, filters) == count_queue(
            store, filled.triage, filled.dataset, filters
        )
    reader.close()


def test_few_rows_are_looked_up_and_many_are_met(tmp_path: Path) -> None:
    """The plans that make a page of a big queue fast: no scan for rare rows, no sort for the others."""
    store = open_store(tmp_path / "assay.db")
    filled = fill_triage(store, 300)
    statements: list[str] = []
    store.db.set_trace_callback(statements.append)
    for filters in (
        QueueFilter(),
        QueueFilter(pair=(0, 1)),
        QueueFilter(kinds=("outlier",)),
        QueueFilter(search="euro"),
    ):
        list_queue(store, filled.triage, filled.dataset, filters=filters)
    store.db.set_trace_callback(None)
    pages = [sql for sql in statements if "own_risk" in sql]
    assert len(pages) == 4
    plans = [plan(store.db, sql) for sql in pages]
    assert "SEARCH q USING PRIMARY KEY (triage_key=?)" in plans[0]
    assert "triage_queue_by_label" in plans[1]
    assert "SEARCH k USING PRIMARY KEY (triage_key=? AND kind=?)" in plans[2]
    assert "triage_queue_by_example" in plans[3]
    for text in plans:
        assert text.count("USE TEMP B-TREE FOR ORDER BY") <= 1  # of the page alone, for its texts
    store.close()


def plan(db: sqlite3.Connection, sql: str) -> str:
    return json.dumps([row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {sql}")])
