import numpy as np
import pytest

from evals.triage.numbers import number_errors


def test_a_number_far_from_its_prediction_stands_out_whatever_the_bias() -> None:
    rng = np.random.default_rng(0)
    given = rng.normal(100, 20, size=400)
    predicted = given + 7 + rng.normal(0, 2, size=400)  # a model that says 7 too much
    given[:5] += 30
    predicted[9] = np.nan
    found = number_errors(given, predicted)
    assert (found.risk[:5] > 0.9999).all()
    assert np.isnan(found.risk[9])
    assert 0.002 < np.nanmean(found.risk[10:] > 0.9973) + 0.002 < 0.02
    assert (found.evidence["deviations"][:5] > 5).all()


@pytest.mark.parametrize("given", [[], [3.0], [1.0, 1.0, 1.0], [np.nan, np.nan]])
def test_few_or_equal_numbers_are_no_error(given: list[float]) -> None:
    found = number_errors(np.array(given), np.array(given))
    assert found.risk.shape == (len(given),)
    assert not (found.risk > 0).any()
