from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.data.groups import grouped_cut, grouped_subset
from runner.data.prepare import prepare_data
from runner.data.problems import DataError
from store import Store, iter_inputs
from tests.runner.data.recipes import recipe_of, write_csv
from tests.runner.data.test_splits import ids_of


def groups_of(*sizes: int) -> np.ndarray:
    """Rows of group 0, then of group 1, …"""
    return ids_of([f"group {group}" for group, size in enumerate(sizes) for _ in range(size)])


def test_groups_stay_whole_and_parts_have_about_their_size() -> None:
    sizes = [1 + i % 7 for i in range(200)]
    groups = groups_of(*sizes)
    cut = grouped_cut(groups, {"validation": 0.1, "test": 0.2}, seed=0)
    number = np.repeat(np.arange(200), sizes)
    assert all(len(set(cut.part[number == each])) == 1 for each in range(200))
    shares = np.bincount(cut.part) / len(groups)
    assert shares[1:].tolist() == pytest.approx([0.1, 0.2], abs=0.01)
    order = np.random.default_rng(0).permutation(len(groups))
    assert (grouped_cut(groups[order], {"validation": 0.1, "test": 0.2}, seed=0).part == cut.part[order]).all()
    assert (grouped_cut(groups, {"validation": 0.1, "test": 0.2}, seed=1).part != cut.part).any()


@given(
    sizes=st.lists(st.integers(1, 30), min_size=1, max_size=15),
    shares=st.lists(st.sampled_from([0.01, 0.2, 0.45]), min_size=1, max_size=2),
    seed=st.integers(0, 2**40),
)
@settings(max_examples=100, deadline=None)
def test_every_part_has_a_group_where_there_are_enough(sizes: list[int], shares: list[float], seed: int) -> None:
    named = dict(zip(("validation", "test"), shares, strict=False))
    cut = grouped_cut(groups_of(*sizes), named, seed)  # type: ignore[arg-type]  # names of splits
    parts = len(shares) + 1
    assert set(cut.part) == (set(range(parts)) if len(sizes) >= parts else {0})


def test_a_subset_is_of_whole_groups() -> None:
    groups = groups_of(*[4] * 50)
    kept = grouped_subset(groups, 42, seed=0)
    assert kept.sum() == 40
    assert (kept.reshape(50, 4).all(1) | ~kept.reshape(50, 4).any(1)).all()
    assert grouped_subset(groups, 2, seed=0).sum() == 4, "one group at least"


def test_rows_of_one_value_stay_in_one_split_whatever_the_task(store: Store, tmp_path: Path) -> None:
    rows = [(f"text {i}", "ab"[i % 2], f"patient {i // 5}") for i in range(200)]
    file = write_csv(tmp_path / "a.csv", rows, ("text", "label", "patient"))
    recipe = recipe_of(file, split={"group": "patient"})
    made = prepare_data(store, recipe)
    patients = {
        split: {
            int(str(row["text"]).split()[1]) // 5 for some in iter_inputs(store, made.dataset, split) for row in some
        }
        for split in ("train", "validation", "test")
    }
    assert sum(len(some) for some in patients.values()) == len(set().union(*patients.values())) == 40
    assert made.dataset.n_rows == {"train": 160, "validation": 20, "test": 20}
    two = [(f"text {i}", "ab"[i % 2], f"patient {i % 2}") for i in range(20)]
    write_csv(file, [*two, ("more", "a", " ")], ("text", "label", "patient"))
    with pytest.raises(DataError) as caught:
        prepare_data(store, recipe)
    (problem,) = caught.value.problems
    assert 'a.csv, line 22: no value in "patient" (data.split.group). Fill it in, remove the rows, or set' in problem
    with pytest.raises(DataError, match="20 examples, of which 2 stay apart from each other: too few to split off"):
        prepare_data(store, recipe_of(file, split={"group": "patient"}, on_empty="drop"))
    with pytest.raises(DataError, match=r'no column "patients" \(data.split.group\).*Did you mean "patient"'):
        prepare_data(store, recipe_of(file, split={"group": "patients"}))


def test_groups_that_the_source_has_in_two_splits_are_told(store: Store, tmp_path: Path) -> None:
    def file(split: str, first: int) -> Path:
        rows = [(f"{split} {i}", "ab"[i % 2], f"patient {(first + i) // 5}") for i in range(20)]
        return write_csv(tmp_path / f"{split}.csv", rows, ("text", "label", "patient"))

    source = {"train": file("train", 0), "validation": file("validation", 15), "test": file("test", 50)}
    made = prepare_data(store, recipe_of(source, split={"group": "patient"}))
    assert made.warnings == (
        '1 value of "patient" is in more than one split, where a model can know what belongs to them by heart.',
    )
