import numpy as np
import pytest

from evals.triage.dynamics import risks
from runner.triage.heads import head_dynamics


def made(
    n: int = 240, n_classes: int = 4, noise: float = 0.1, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vectors (n, 12), given and true labels."""
    rng = np.random.default_rng(seed)
    truth = np.arange(n) % n_classes
    vectors = rng.normal(size=(n_classes, 12))[truth] * 1.5 + rng.normal(size=(n, 12))
    given = np.where(rng.random(n) < noise, (truth + 1) % n_classes, truth)
    return vectors.astype(np.float32), given, truth


def test_the_epochs_of_a_head_rank_wrong_labels_first() -> None:
    vectors, given, truth = made()
    vectors[0], given[1] = np.nan, -1
    scores = head_dynamics(vectors, given, 4)
    assert scores.n_seen.tolist() == [0, 0] + [15] * 238
    risk = risks(scores)["area_under_margin"].to_numpy()
    assert np.isnan(risk[:2]).all()
    is_wrong = (given != truth)[2:]
    assert np.sort(risk[2:])[-int(is_wrong.sum())] <= np.quantile(risk[2:][is_wrong], 0.4)
    again = head_dynamics(vectors, given, 4)
    assert np.array_equal(scores.area_under_margin, again.area_under_margin, equal_nan=True)


@pytest.mark.parametrize("n", [0, 1])
def test_hardly_any_rows_are_no_error(n: int) -> None:
    vectors, given, _ = made(240)
    assert head_dynamics(vectors[:n], given[:n], 4).area_under_margin.shape == (n,)
