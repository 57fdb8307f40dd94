import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.intervals import mean_interval, wilson
from evals.triage.slices import (
    COLUMNS,
    MOST_VALUES,
    N_BINS,
    Slicing,
    length_slicing,
    metadata_slicings,
    slice_table,
    weak_slices,
)


def parted(names: list[str], part: object, name: str = "source") -> Slicing:
    return Slicing(name, np.asarray(part, dtype=np.int64), tuple(names))


def test_each_slice_is_compared_with_all_others() -> None:
    rng = np.random.default_rng(0)
    part = rng.integers(-1, 3, 600)
    errors = (rng.random(600) < np.array([0.1, 0.5, 0.1, 0.1])[part]).astype(float)
    errors[::50] = np.nan
    table = slice_table(errors, [parted(["a", "b", "c"], part)]).set_index("slice")
    for place, name in enumerate("abc"):
        inside, rest = errors[part == place], errors[part != place]
        inside, rest = inside[~np.isnan(inside)], rest[~np.isnan(rest)]
        row = table.loc[name]
        assert row["n"] == len(inside)
        assert row["mean"] == pytest.approx(inside.mean())
        assert row["rest"] == pytest.approx(rest.mean())
        assert row["difference"] == pytest.approx(inside.mean() - rest.mean())
        assert (row["low"], row["high"]) == pytest.approx(wilson(inside.sum(), len(inside)))
    assert table["p_holm"].is_monotonic_increasing or table["p_holm"].max() <= 1
    assert (table["p_holm"] >= table["p"]).all()


def test_losses_are_compared_as_means() -> None:
    rng = np.random.default_rng(1)
    part = np.repeat([0, 1], 100)
    losses = rng.exponential(1 + 2 * part)
    table = slice_table(losses, [parted(["easy", "hard"], part)])
    row = table.iloc[0]
    assert row["slice"] == "hard"
    assert (row["mean"], row["low"], row["high"]) == pytest.approx(mean_interval(losses[100:])[:3])
    (group,) = weak_slices(losses, [parted(["easy", "hard"], part)]).groups
    assert group.risk == pytest.approx(row["difference_low"] / losses.max())


def test_a_planted_weak_slice_is_the_only_one_named() -> None:
    rng = np.random.default_rng(2)
    n = 4000
    slicings = [parted([f"v{v}" for v in range(6)], rng.integers(0, 6, n), f"column{c}") for c in range(8)]
    weak = slicings[3].part == 2
    errors = (rng.random(n) < np.where(weak, 0.3, 0.1)).astype(float)
    found = weak_slices(errors, slicings)
    assert [group.name for group in found.groups] == ["column3 = v2"]
    (group,) = found.groups
    assert group.rows.tolist() == np.flatnonzero(weak).tolist()
    assert 0.1 < group.risk < 0.25
    assert set(group.evidence) == set(COLUMNS[2:])


def test_without_a_weak_slice_few_are_named() -> None:
    """Holm holds the chance of any false alarm; parts of one column are dependent, so it is below 5 %."""
    rng = np.random.default_rng(3)
    alarms = 0
    for _ in range(40):
        slicings = [parted(["a", "b", "c"], rng.integers(0, 3, 300), f"c{c}") for c in range(5)]
        alarms += bool(weak_slices((rng.random(300) < 0.2).astype(float), slicings).groups)
    assert alarms <= 5


def test_small_whole_and_unknown_slices_are_left_out() -> None:
    errors = np.append(np.zeros(30), [1.0] * 5 + [np.nan] * 20)
    part = np.repeat([0, 1, 2], [30, 5, 20])
    slicings = [parted(["a", "small", "unknown"], part), parted(["all"], np.zeros(55), "one")]
    assert slice_table(errors, slicings)["slice"].tolist() == ["a"]
    for nothing in (slice_table(np.array([]), []), slice_table(np.full(3, np.nan), [parted(["a"], [0, 0, 0])])):
        assert nothing.empty
        assert list(nothing.columns) == list(COLUMNS)
    assert weak_slices(np.array([]), []).groups == ()
    with pytest.raises(ValueError, match=r"the part of source has shape \(1,\)"):
        slice_table(errors, [parted(["a"], [0])])


@given(st.lists(st.integers(0, 40) | st.just(np.nan), max_size=60))
def test_bins_part_all_known_lengths_in_order(lengths: list[float]) -> None:
    values = np.array(lengths, dtype=np.float64)
    found = length_slicing(values)
    known = ~np.isnan(values)
    assert (found.part >= 0).tolist() == known.tolist()
    assert len(found.names) <= N_BINS
    assert set(found.part[known]) == set(range(len(found.names)))
    order = np.argsort(values[known], kind="stable")
    assert (np.diff(found.part[known][order]) >= 0).all()
    for value in set(values[known]):
        assert len(set(found.part[values == value])) == 1


def test_names_say_what_is_in_a_bin() -> None:
    assert length_slicing(np.array([3, 3, 3, 1200]), unit="tokens").names == ("3 tokens", "1,200 tokens")


def test_metadata_are_parted_by_value() -> None:
    n = 200
    frame = pd.DataFrame(
        {
            "source": pd.Series(["web"] * 120 + ["app"] * 79 + [None], dtype=object),
            "score": np.linspace(0, 1, n),
            "is_new": [True, False] * 100,
            "id": [f"x{row}" for row in range(n)],
            "one": ["same"] * n,
            "tags": [["a"], ["b"]] * 100,
            "many": [f"v{min(row % 90, 89)}" for row in range(n)],
            "none": [None] * n,
            3: [1, 2] * 100,
        }
    )
    found = {slicing.name: slicing for slicing in metadata_slicings(frame)}
    assert list(found) == ["source", "score", "is_new", "tags", "many", "3"]
    assert found["source"].names == ("web", "app", "missing")
    assert np.bincount(found["source"].part).tolist() == [120, 79, 1]
    assert len(found["score"].names) == N_BINS
    assert np.bincount(found["score"].part).tolist() == [40] * 5
    assert found["is_new"].names == ("False", "True")
    assert found["tags"].names == ("['a']", "['b']")
    assert len(found["many"].names) == MOST_VALUES
    assert (found["many"].part == -1).sum() == n - np.bincount(found["many"].part + 1)[1:].sum()
    assert metadata_slicings(pd.DataFrame()) == []
    assert metadata_slicings(pd.DataFrame({"a": pd.Series([], dtype=object)})) == []
