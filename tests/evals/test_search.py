import numpy as np
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


def test_best_so_far_in_both_directions() -> None:
    values = [0.3, np.nan, 0.2, 0.5]
    assert best_so_far(values, is_maximised=True).tolist() == [0.3, 0.3, 0.3, 0.5]
    assert best_so_far(values, is_maximised=False).tolist() == [0.3, 0.3, 0.2, 0.2]
    assert best_so_far([], is_maximised=True).tolist() == []
