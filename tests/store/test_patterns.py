"""Regular expressions: found, refused, stopped in time, remembered."""

import re
import time
from pathlib import Path

import pytest

from store import NewRow, PatternRefused, Store, open_store, patterns, record_dataset
from store.patterns import check_pattern, forget_patterns, pattern_positions
from store.records import Dataset
from tests.store.builders import LABELS, make_dataset

SPLITS = ("train", "test")


@pytest.fixture(autouse=True)
def nothing_remembered() -> None:
    forget_patterns()


def texts_of(store: Store, *texts: str, name: str = "d") -> Dataset:
    return make_dataset(store, name, [(text, 0) for text in texts], split="train")


def found(store: Store, dataset: Dataset, pattern: str) -> list[int]:
    return pattern_positions(store, dataset, pattern, ["train"])["train"].tolist()


def test_what_is_found(store: Store) -> None:
    rows = [NewRow(split, f"{split} {n}", 0) for split in SPLITS for n in range(5_000)]
    dataset = record_dataset(store, "d", rows, label_names=LABELS, source={}, fingerprint="d")
    positions = pattern_positions(store, dataset, r"train \d*77$", SPLITS)
    assert positions["train"].tolist() == [n for n in range(5_000) if re.search("77$", str(n))]
    assert positions["test"].tolist() == []


def test_case_lines_and_other_alphabets(store: Store) -> None:
    dataset = texts_of(store, "Straße", "strasse\nzwei", "日本", "", "a.b")
    assert found(store, dataset, "(?i)STRA") == [0, 1]
    assert found(store, dataset, "^zwei") == []
    assert found(store, dataset, "(?m)^zwei") == [1]
    assert found(store, dataset, r"\p{Han}") == [2]
    assert found(store, dataset, "^$") == [3]
    assert found(store, dataset, r"\.") == [4]


@pytest.mark.parametrize("pattern", ["(", "[a", "*", "(?P<a", "a{2,1}", "\\", "(?<=a*)(?P=x)"])
def test_a_pattern_that_cannot_be_read(store: Store, pattern: str) -> None:
    with pytest.raises(PatternRefused, match="cannot be read: "):
        check_pattern(pattern)


def test_a_pattern_without_end_is_stopped(store: Store) -> None:
    dataset = texts_of(store, "fine", "a" * 5_000 + "!")
    started = time.monotonic()
    with pytest.raises(PatternRefused, match=r"takes longer than 0\.25 seconds on train 1"):
        found(store, dataset, r"^(a|aa|a*)*$")
    assert time.monotonic() - started < 60  # by itself it would take longer than the universe is old


def test_a_scan_has_an_end(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [NewRow("train", f"t{n}", 0) for n in range(5_000)]
    dataset = record_dataset(store, "d", rows, label_names=LABELS, source={}, fingerprint="d")
    monkeypatch.setattr(patterns, "SCAN_SECONDS", -1.0)
    with pytest.raises(PatternRefused, match="at 1,999 of 5,000 texts of train"):
        found(store, dataset, "t7")


def test_what_was_found_is_remembered(store: Store, tmp_path: Path) -> None:
    dataset = texts_of(store, "one", "two")
    assert found(store, dataset, "o") == [0, 1]
    with store.write() as db:
        db.execute("UPDATE examples SET text = 'x'")
    assert found(store, dataset, "o") == [0, 1]
    for number in range(10):
        found(store, dataset, str(number))
    assert found(store, dataset, "o") == []
    other = open_store(tmp_path / "other.db")
    assert found(other, texts_of(other, "none", "here"), "here") == [1]
    other.close()
