"""Examples by their metadata, with an index and without one."""

import doctest

import pytest

import store.facets
from store import NewRow, Store, begin_triage, list_facets, record_dataset
from store.facets import MOST_VALUES, facet_positions, index_metadata, refresh_facets
from store.records import Dataset
from tests.store.builders import LABELS


def test_doctests() -> None:
    result = doctest.testmod(store.facets)
    assert (result.failed, result.attempted) == (0, 1)


@pytest.fixture
def dataset(store: Store) -> Dataset:
    n = MOST_VALUES + 10
    rows = [
        NewRow(
            "train",
            f"t{i}",
            0,
            {"id": f"row {i}", "source": "web" if i % 3 else 'ma"il', "odd": bool(i % 2), "tags": [i]},
        )
        for i in range(n)
    ]
    rows += [NewRow("test", "x", 0, {"source": "web", "length": 3.5, "odd": None}), NewRow("test", "y", 0)]
    return record_dataset(store, "d", rows, label_names=LABELS, source={}, fingerprint="d")


def positions(store: Store, dataset: Dataset, field: str, *values: object) -> dict[str, list[int]]:
    return {split: array.tolist() for split, array in facet_positions(store, dataset, field, values).items()}


def test_fields_of_few_values_are_indexed(store: Store, dataset: Dataset) -> None:
    assert list_facets(store, dataset).empty
    begin_triage(store, dataset, fingerprint="f", versions={}, sources=[])
    n = MOST_VALUES + 10
    frame = list_facets(store, dataset)
    assert frame.values.tolist() == [
        ["length", "3.5", 1], ["odd", "false", n // 2], ["odd", "true", n // 2],
        ["source", "web", n - (n + 2) // 3 + 1], ["source", 'ma"il', (n + 2) // 3],
    ]  # fmt: skip
    before = store.version()
    index_metadata(store, dataset)
    assert store.version() == before
    with store.write() as db:
        refresh_facets(db, dataset.key)
    assert list_facets(store, dataset).equals(frame)


@pytest.mark.parametrize("is_indexed", [True, False])
def test_positions_of_values(store: Store, dataset: Dataset, is_indexed: bool) -> None:
    if is_indexed:
        index_metadata(store, dataset)
    n = MOST_VALUES + 10
    assert positions(store, dataset, "source", 'ma"il') == {"train": list(range(0, n, 3))}
    assert positions(store, dataset, "source", "web", 'ma"il') == {"train": list(range(n)), "test": [0]}
    assert positions(store, dataset, "length", 3.5) == positions(store, dataset, "length", "3.5") == {"test": [0]}
    assert positions(store, dataset, "odd", True) == {"train": list(range(1, n, 2))}
    assert positions(store, dataset, "id", "row 7", "row 12", "row") == {"train": [7, 12]}
    assert positions(store, dataset, "source", "row 7") == positions(store, dataset, "nothing", 1) == {}
    assert positions(store, dataset, "source") == positions(store, dataset, "source", None, [1]) == {}
