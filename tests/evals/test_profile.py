import doctest

import numpy as np
import pytest

from evals import profile
from evals.profile import Copies, Share, distribution, exact_copies, imbalance, label_counts, leaked
from evals.triage.language import languages_of


def test_the_examples_in_the_code() -> None:
    found = doctest.testmod(profile)
    assert (found.failed, found.attempted >= 6) == (0, True)


@pytest.mark.parametrize("values", [np.arange(1, 2), np.arange(500), np.array([3, 3, 3]), np.array([0.25, 0.75, 0.25])])
def test_every_number_is_in_one_bin_and_quantiles_are_among_them(values: np.ndarray) -> None:
    found = distribution(values)
    assert sum(found.counts) == found.n == len(values)
    assert len(found.edges) == len(found.counts) + 1
    assert found.edges[0] <= values.min()
    assert found.edges[-1] >= values.max()
    assert set(found.quantiles.values()) <= set(map(float, values))
    assert (found.quantiles["min"], found.quantiles["max"]) == (values.min(), values.max())
    assert found.total == pytest.approx(values.sum())
    assert len(found.counts) <= 24 + 1


def test_nothing_is_not_measured() -> None:
    found = distribution(np.zeros(0, dtype=np.int64))
    assert (found.n, found.mean, found.quantiles, found.counts) == (0, None, {}, ())
    assert Share(0, 0).share is None
    assert imbalance({"a": 0, "b": 0}) is None
    assert exact_copies([], []) == Copies(0, 0)


def test_quantiles_are_those_of_the_definition() -> None:
    found = distribution(np.arange(1, 101))
    assert [found.quantiles[name] for name in ("p5", "p25", "p50", "p75", "p95", "p99")] == [5, 25, 50, 75, 95, 99]


def test_a_copy_that_comes_twice_counts_twice() -> None:
    found = leaked({"train": ["a", "b"], "validation": ["c"], "test": ["a", "c", "c"]})
    assert found == {("train", "test"): Share(1, 3), ("validation", "test"): Share(2, 3)}


def test_what_names_no_label_is_not_counted() -> None:
    assert label_counts([0, None, -1], ["a"]) == {"a": 1}


def test_languages_where_they_can_be_told() -> None:
    texts = ["wie kann ich das Geld nicht von der Karte", "la carte", None, "それはカードです", "de la"]
    assert languages_of(texts) == ["German", "Latin", "", "Chinese or Japanese", "Latin"]
