"""What a dry run says is what the sweep then does."""

from typing import Any

import pytest

from runner.sweep.asked_for import find_data
from runner.sweep.preview import preview
from runner.sweep.take_up import what_is_meant
from runner.sweep.trial_data import TrialData
from store import Dataset, Store, list_sweeps
from tests.runner.sweep.recipes import load, search_of
from tests.runner.sweep.test_driver import Swept, sweep_text
from tests.runner.sweep.test_take_up import ASHA, GRID, SIZES, Table, rates, table

__all__ = ["table"]  # a fixture

SELECT = "evaluation.select=validation/accuracy"


def planned(store: Store, text: str, dataset: Dataset | None, *overrides: str, is_fresh: bool = False) -> list[str]:
    """The lines of a dry run."""
    search = search_of(text, SELECT, *overrides)
    if dataset is None:
        data = find_data(store, search, None, say=lambda text: None, is_only_looked_up=True)
    else:
        data = TrialData(store, search, dataset, is_only_looked_up=True)
    meant = what_is_meant(store, load(text, SELECT, *overrides), data, is_fresh=is_fresh)
    return list(preview(search, meant, 9))


def there(lines: list[str]) -> list[str]:
    return [line for line in lines if "there already" in line]


VALUES = (1e-3, 1e-4, 3e-2, 1e-5, 1e-1, 1e-2)


@pytest.mark.parametrize(
    ("before", "after", "override", "changed"),
    [
        (GRID, GRID, "training.epochs=4", "  training.epochs: 3 → 4"),
        (ASHA, ASHA.replace("eta = 2", "eta = 3"), "training.seed=0", "  sweep.eta: 2 → 3"),
    ],
)
def test_an_edit_keeps_as_many_as_it_says(
    store: Store, dataset: Dataset, before: str, after: str, override: str, changed: str
) -> None:
    Swept(store, sweep_text(before, rates(*VALUES)), dataset)
    version = store.version()
    lines = planned(store, sweep_text(after, rates(*VALUES)), dataset, override)
    assert store.version() == version
    assert changed in lines
    said = Swept(store, sweep_text(after, rates(*VALUES)), dataset, override).taken.said
    assert said[1:] == tuple(lines[lines.index(said[1]) :][: len(said) - 1])
    n_kept = 0 if "none of its" in said[-1] else int(said[-1].split()[0])
    assert n_kept < len(VALUES)
    assert [int(line.split()[0]) for line in there(lines)] == [n_kept] * (n_kept > 0)


def test_other_data_keeps_nothing(store: Store, table: Table) -> None:
    text = sweep_text(GRID, rates(1e-3, 1e-4))
    data: Any = find_data(store, search_of(text, SELECT, table.override), None, say=lambda text: None)
    Swept(store, text, data.dataset, table.override)
    assert there(planned(store, text, None, table.override))
    table.write(n_turned=30)
    lines = planned(store, text, None, table.override)
    assert not there(lines)
    assert "  the data: table@1 → a version that the store does not have yet" in lines
    assert not any("reuses" in line for line in lines)
    assert len(list_sweeps(store)) == 1


def test_other_data_of_the_space_keep_nothing(store: Store, table: Table) -> None:
    text = sweep_text(GRID, SIZES)
    Swept(store, text, None, table.override)
    assert there(planned(store, text, None, table.override))
    table.write(n_turned=30)
    assert not there(planned(store, text, None, table.override))


def test_a_fresh_one_begins_with_nothing(store: Store, dataset: Dataset) -> None:
    text = sweep_text(GRID, rates(1e-3, 1e-4))
    Swept(store, text, dataset)
    lines = planned(store, text, dataset, is_fresh=True)
    assert not there(lines)
    assert lines[-2:] == ["  0: training.learning_rate = 0.001", "  1: training.learning_rate = 0.0001"]
