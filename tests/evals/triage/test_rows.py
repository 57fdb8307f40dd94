import numpy as np
import pytest

from evals.triage.rows import blocks, check


@pytest.mark.parametrize(("n", "width"), [(0, 5), (1, 0), (7, 1_500_000), (10, 10**9), (5_000_001, 1)])
def test_blocks_cover_every_row_once(n: int, width: int) -> None:
    parts = list(blocks(n, width))
    assert [part.start for part in parts] == [0, *(part.stop for part in parts[:-1])][: len(parts)]
    assert sum(part.stop - part.start for part in parts) == n
    assert all((part.stop - part.start) * width <= max(width, 4_000_000) for part in parts)


def test_check_names_every_problem() -> None:
    check(np.empty((0, 3)), np.empty(0, dtype=int))
    check(np.log([[0.5, 0.5], [np.nan, np.nan]]), np.array([-1, 1]))
    with pytest.raises(
        ValueError, match=r"holds 0 to 2; allowed: -1 \(no label\) to 1; log_probs holds numbers above 0"
    ):
        check(np.array([[0.7, 0.3]] * 2), np.array([0, 2]))
    with pytest.raises(ValueError, match=r"needed: \(n, n_classes\)"):
        check(np.zeros(3), np.zeros(3, dtype=int))
