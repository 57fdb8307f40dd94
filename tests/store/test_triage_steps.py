"""What steps of a triage write: columns, findings, groups, the queue; again, and wrongly."""

import doctest
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

import store.packed
import store.triage_columns
from store import (
    Store,
    Triage,
    begin_triage,
    count_findings,
    finish_triage,
    group_members,
    list_columns,
    list_findings,
    list_groups,
    list_places,
    list_queue,
    read_column,
    read_column_at,
    record_decision,
    record_step,
)
from store.records import Dataset, NewRow
from store.triage_columns import BLOCK_EXAMPLES
from tests.store.builders import LABELS


def test_doctests() -> None:
    for module, n in ((store.packed, 4), (store.triage_columns, 1)):
        result = doctest.testmod(module)
        assert result.failed == 0
        assert result.attempted >= n


@pytest.fixture
def dataset(store: Store) -> Dataset:
    rows = [NewRow("train", f"text {number}", number % 2) for number in range(6)]
    rows += [NewRow("test", "late", None), NewRow("test", "text 1", 0)]
    from store import record_dataset

    return record_dataset(store, "d", rows, label_names=LABELS, source={}, fingerprint="d")


@pytest.fixture
def triage(store: Store, dataset: Dataset) -> Triage:
    return begin_triage(store, dataset, fingerprint="f", versions={}, sources=[])


def findings(*rows: tuple[Any, ...]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["kind", "split", "position", "risk", "suggested", "evidence"])


# columns -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "float32", "int16", "int32", "uint8"])
@pytest.mark.parametrize("shape", [(6,), (6, 3)])
def test_a_column_comes_back_as_it_was(store: Store, triage: Triage, dtype: str, shape: tuple[int, ...]) -> None:
    array = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    record_step(store, triage.key, "s", seconds=0, columns={("train", "c"): array})
    found = read_column(store, triage.key, "train", "c")
    assert found is not None
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)
    some = read_column_at(store, triage.key, "train", "c", [5, 0, 5])
    np.testing.assert_array_equal(some, array[[5, 0, 5]])  # type: ignore[arg-type]  # it is there
    none = read_column_at(store, triage.key, "train", "c", [])
    assert none is not None
    assert none.shape == (0, *shape[1:])
    assert list_columns(store, triage.key).to_dict("records") == [
        {"split": "train", "name": "c", "dtype": dtype, "width": 3 if len(shape) == 2 else 0, "n": 6}
    ]


def test_a_column_of_several_blocks(store: Store) -> None:
    from store import record_dataset

    n = 2 * BLOCK_EXAMPLES + 10
    dataset = record_dataset(
        store,
        "many",
        (NewRow("train", str(number), 0) for number in range(n)),
        label_names=LABELS,
        source={},
        fingerprint="m",
    )
    triage = begin_triage(store, dataset, fingerprint="f", versions={}, sources=[])
    array = np.random.default_rng(0).random((n, 2), dtype=np.float32)
    array[7] = np.nan
    record_step(store, triage.key, "s", seconds=0, columns={("train", "map"): array})
    np.testing.assert_array_equal(read_column(store, triage.key, "train", "map"), array)  # type: ignore[arg-type]  # there
    at = np.array([n - 1, 0, BLOCK_EXAMPLES, BLOCK_EXAMPLES - 1, n - 1])
    np.testing.assert_array_equal(read_column_at(store, triage.key, "train", "map", at), array[at])  # type: ignore[arg-type]  # there
    with pytest.raises(IndexError, match=f"no position {9 * BLOCK_EXAMPLES}"):
        read_column_at(store, triage.key, "train", "map", [9 * BLOCK_EXAMPLES])


def test_a_column_that_is_not_there(store: Store, triage: Triage) -> None:
    assert read_column(store, triage.key, "train", "c") is None
    assert read_column_at(store, triage.key, "train", "c", [0]) is None
    assert read_column_at(store, triage.key, "train", "c", []) is None
    assert list(list_columns(store, triage.key)) == ["split", "name", "dtype", "width", "n"]


def test_numbers_are_little_endian_in_the_file(store: Store, triage: Triage) -> None:
    record_step(store, triage.key, "s", seconds=0, columns={("test", "c"): np.array([1, 2], dtype=">i4")})
    (block, dtype) = store.db.execute("SELECT block, dtype FROM triage_columns").fetchone()
    assert (block.hex(), dtype) == ("0100000002000000", "<i4")


# findings and groups -------------------------------------------------------------------------------------------------


def test_findings_come_with_the_highest_risk_first(store: Store, dataset: Dataset, triage: Triage) -> None:
    found = findings(
        ("outlier", "train", 0, 0.5, None, {"percentile": np.float32(0.5), "lost": float("nan")}),
        ("outlier", "test", 0, 0.9, None, {}),
        ("label_error", "train", 3, float("nan"), 1.0, {"label": np.int64(1)}),
        ("encoding", "train", 3, 1.0, "Straße", {"text": "Straße"}),
        ("label_error", "train", 4, 0.1, -1, {}),
    )
    record_step(store, triage.key, "s", seconds=0, findings=found)
    assert list_findings(store, triage.key, kind="outlier")[["split", "position", "place"]].values.tolist() == [
        ["test", 0, 0],
        ["train", 0, 1],
    ]
    assert list_findings(store, triage.key, kind="outlier", split="train")["evidence"].tolist() == [
        {"percentile": 0.5, "lost": None}
    ]
    of_one = list_findings(store, triage.key, split="train", position=3)
    assert of_one["kind"].tolist() == ["encoding", "label_error"]
    assert of_one["suggested"].tolist() == ["Straße", 1]
    assert of_one["suggested_label"].fillna("").tolist() == ["", "yes"]
    assert list_findings(store, triage.key, kind="label_error")["suggested"].fillna(-1).tolist() == [-1, 1]
    assert len(list_findings(store, triage.key, limit=2, offset=4)) == 1
    assert count_findings(store, triage.key)[["kind", "split", "n", "n_decided"]].values.tolist() == [
        ["encoding", "train", 1, 0],
        ["label_error", "train", 2, 0],
        ["outlier", "test", 1, 0],
        ["outlier", "train", 1, 0],
    ]
    record_decision(store, dataset, split="train", position=3, action="keep", author="ann")
    record_decision(store, dataset, split="train", position=0, action="skip", author="ann")
    assert count_findings(store, triage.key)["n_decided"].tolist() == [1, 1, 0, 0]


def test_groups_and_their_members(store: Store, triage: Triage) -> None:
    groups = pd.DataFrame(
        {
            "kind": ["slice", "slice", "region"],
            "name": ["short", "long", "a, b"],
            "risk": [0.2, 0.9, float("nan")],
            "evidence": [{"n_errors": np.int64(3)}, {}, {}],
            "members": [{"train": [3, 1], "test": np.array([0])}, {"train": []}, {"test": [1]}],
        }
    )
    record_step(store, triage.key, "s", seconds=0, groups=groups)
    found = list_groups(store, triage.key)
    assert found[["kind", "name", "n"]].values.tolist() == [
        ["region", "a, b", 1],
        ["slice", "long", 0],
        ["slice", "short", 3],
    ]
    assert list_groups(store, triage.key, "slice")["evidence"].tolist() == [{}, {"n_errors": 3}]
    members = group_members(store, int(found["key"][2]))
    assert {split: positions.tolist() for split, positions in members.items()} == {"train": [1, 3], "test": [0]}
    assert group_members(store, 99) == {}


# the queue -----------------------------------------------------------------------------------------------------------


def test_the_queue_is_in_the_order_of_risk(store: Store, dataset: Dataset, triage: Triage) -> None:
    queue = pd.DataFrame(
        {
            "split": ["test", "train", "train", "train", "train"],
            "position": [0, 0, 1, 2, 3],
            "risk": [0.5, np.nan, 0.5, 0.5, 0.9],
            "suggested": [-1, 0, 1, np.nan, 1],
            "suggested_probability": [np.nan, 0.25, 0.5, 0.75, 1.0],
            "n_doubting": [-1, 0, 1, 2, 3],
        }
    )
    record_step(store, triage.key, "s", seconds=0, queue=queue)
    record_step(
        store,
        triage.key,
        "t",
        seconds=0,
        findings=findings(("empty", "test", 1, 1.0, None, {}), ("empty", "train", 5, 1.0, None, {})),
    )
    finish_triage(store, triage.key, {})
    found = list_queue(store, triage, dataset)
    assert found[["place", "split", "position"]].values.tolist() == [
        [0, "train", 3], [1, "train", 1], [2, "train", 2], [3, "test", 0], [4, "train", 0], [5, "test", 1],
        [6, "train", 5],
    ]  # fmt: skip
    plain = found.astype(object).where(found.notna(), None)
    assert plain["risk"].tolist() == [0.9, 0.5, 0.5, 0.5, None, None, None]
    assert plain["suggested_label"].tolist() == ["yes", "yes", None, None, "no", None, None]
    assert plain["n_doubting"].tolist() == [3, 1, 2, None, 0, None, None]
    assert plain["n_voices"].tolist() == [None] * 7
    assert plain["label"].tolist() == ["yes", "yes", "no", None, "no", "no", "yes"]
    assert plain["kinds"].tolist() == [[], [], [], [], [], ["empty"], ["empty"]]
    assert list_places(store, triage, dataset, limit=1)["position"].tolist() == [3]


# again, and wrongly --------------------------------------------------------------------------------------------------


def test_a_step_replaces_what_it_wrote(store: Store, dataset: Dataset, triage: Triage) -> None:
    one: dict[tuple[str, str], npt.NDArray[Any]] = {
        ("train", "a"): np.zeros(6, np.float32), ("test", "b"): np.zeros(2, np.float32),
    }  # fmt: skip
    groups = pd.DataFrame(
        {"kind": ["slice"], "name": ["x"], "risk": [0.1], "evidence": [{}], "members": [{"train": [0]}]}
    )
    queue = pd.DataFrame({"split": "train", "position": range(6), "risk": 0.5})
    record_step(
        store, triage.key, "s", seconds=1, columns=one, queue=queue, groups=groups,
        findings=findings(("empty", "train", 0, 1.0, None, {}), ("outlier", "train", 1, 1.0, None, {})),
    )  # fmt: skip
    record_step(store, triage.key, "other", seconds=1, columns={("test", "c"): np.zeros(2, np.float32)})
    record_step(
        store, triage.key, "s", seconds=2, columns={("train", "a"): np.ones(6, np.float32)},
        findings=findings(("empty", "train", 2, 1.0, None, {})),
    )  # fmt: skip
    assert list_columns(store, triage.key)["name"].tolist() == ["a", "c"]
    assert list_findings(store, triage.key)[["kind", "position"]].values.tolist() == [["empty", 2]]
    assert list_groups(store, triage.key).empty
    finish_triage(store, triage.key, {})
    assert list_queue(store, triage, dataset)["position"].tolist() == [2]


def test_every_problem_is_named_and_nothing_written(store: Store, triage: Triage) -> None:
    with pytest.raises(ValueError, match="cannot be written") as error:
        record_step(
            store, triage.key, "s", seconds=0,
            columns={
                ("train", "double"): np.zeros(6), ("train", "short"): np.zeros(5, np.float32),
                ("dev", "risk"): np.zeros(6, np.float32), ("train", "fine"): np.zeros(6, np.float32),
            },
            findings=findings(("empty", "train", 9, 1.5, None, {}), ("empty", "train", 9, 0.5, None, {})),
            groups=pd.DataFrame({"kind": "s", "name": ["x"], "risk": 0, "evidence": [{}], "members": [{"dev": [0]}]}),
            queue=pd.DataFrame({"split": ["train"], "position": [0]}),
        )  # fmt: skip
    for part in (
        "double of train is of float64", "short of train has shape (5,)", "risk: there is no split 'dev'",
        "a risk is 0.5 to 1.5", "a row comes twice", "positions 9 to 9 of train; it has 0 to 5",
        "group 'x': there is no split 'dev'", "queue lack risk",
    ):  # fmt: skip
        assert part in str(error.value)
    assert list_columns(store, triage.key).empty
    with pytest.raises(ValueError, match="groups lack members"):
        record_step(
            store, triage.key, "s", seconds=0, groups=pd.DataFrame({"kind": [], "name": [], "risk": [], "evidence": []})
        )


def test_empty_frames_are_fine(store: Store, triage: Triage) -> None:
    record_step(
        store, triage.key, "s", seconds=0, findings=findings(),
        groups=pd.DataFrame({"kind": [], "name": [], "risk": [], "evidence": [], "members": []}),
        queue=pd.DataFrame({"split": [], "position": [], "risk": []}),
    )  # fmt: skip
    assert count_findings(store, triage.key).empty
