import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.search import best_so_far, pareto_front

VALUES = st.lists(st.tuples(*[st.sampled_from([0.0, 1.0, 2.0, float("nan")])] * 2), max_size=12)


@given(VALUES, st.tuples(st.booleans(), st.booleans()))
def test_the_front_is_what_nobody_beats(rows: list[tuple[float, float]], is_maximised: tuple[bool, bool]) -> None:
    front = pareto_front(np.array(rows).reshape(-1, 2), is_maximised)

    def beats(a: tuple[float, float], b: tuple[float, float]) -> bool:
        better = [(x > y) if up else (x < y) for x, y, up in zip(a, b, is_maximised, strict=True)]
        return any(better) and all(x == y or is_better for x, y, is_better in zip(a, b, better, strict=True))

    known = [row for row in rows if row == row and not np.isnan(row).any()]
    expected = [not np.isnan(row).any() and not any(beats(other, row) for other in known) for row in rows]
    assert front.tolist() == expected


def test_what_lies_within_the_interval_is_equal() -> None:
    quality, latency, around = [0.9, 0.8, 0.7, 0.6], [10.0, 9.0, 6.0, 5.5], [1.0, 1.0, 0.5, 2.5]
    values = np.column_stack([quality, latency])
    wide = np.column_stack([np.zeros(4), around])
    assert pareto_front(values, [True, False]).tolist() == [True] * 4
    front = pareto_front(values, [True, False], values - wide, values + wide)
    assert front.tolist() == [True, False, True, False], "better at no clear cost in time; the third is clearly faster"


def test_a_chain_of_overlaps_keeps_its_fast_end() -> None:
    """The middle beats the fast end and is beaten by the slow one, which is clearly slower than the fast end."""
    values = np.array([[0.9, 12.0], [0.8, 10.0], [0.7, 8.0]])
    wide = np.array([[0.0, 1.2]] * 3)
    assert pareto_front(values, [True, False], values - wide, values + wide).tolist() == [True, False, True]


def test_intervals_in_several_objectives_are_refused() -> None:
    with pytest.raises(ValueError, match="2 objectives have intervals"):
        pareto_front([[1.0, 1.0]], [True, True], [[0.9, 0.9]], [[1.1, 1.1]])


@given(
    st.lists(st.tuples(st.sampled_from([0.1, 0.2, 0.3]), st.integers(1, 9), st.integers(0, 3)), max_size=9),
    st.booleans(),
)
def test_whoever_is_off_the_front_is_beaten_by_somebody_on_it(rows: list[tuple[float, int, int]], is_up: bool) -> None:
    values = np.array([row[:2] for row in rows], dtype=np.float64).reshape(-1, 2)
    wide = np.array([(0.0, row[2]) for row in rows], dtype=np.float64).reshape(-1, 2)
    front = pareto_front(values, [True, is_up], values - wide, values + wide)

    def beats(a: int, b: int) -> bool:
        sign = 1 if is_up else -1
        gap, reach = sign * (values[a, 1] - values[b, 1]), wide[a, 1] + wide[b, 1]
        is_no_worse = values[a, 0] >= values[b, 0] and gap >= -reach
        return bool(is_no_worse and (values[a, 0] > values[b, 0] or gap > reach))

    for i in range(len(rows)):
        beaten = any(beats(j, i) for j in np.flatnonzero(front))
        assert front[i] != beaten, "on the front exactly where nobody on it beats it"


def test_best_so_far_in_both_directions() -> None:
    values = [0.3, np.nan, 0.2, 0.5]
    assert best_so_far(values, is_maximised=True).tolist() == [0.3, 0.3, 0.3, 0.5]
    assert best_so_far(values, is_maximised=False).tolist() == [0.3, 0.3, 0.2, 0.2]
    assert best_so_far([], is_maximised=True).tolist() == []
