import time

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import f1_score

from evals.f1 import count_cells
from evals.intervals import mean_interval
from evals.paired import (
    Flips,
    accuracy_difference,
    compare_cells,
    compare_pair,
    count_flips,
    flips_of,
    holm,
    macro_f1_difference,
    mcnemar,
    mean_difference,
    n_needed_for_flips,
)
from evals.verdict import headline, p_text, verdict


def _pair(n: int, k: int, right_a: float, right_b: float, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Gold and two predictions; what is hard is hard for both."""
    rng = np.random.default_rng(seed)
    gold, hard, noise = rng.integers(k, size=n), rng.random(n), rng.normal(scale=0.1, size=(2, n))
    wrong = (gold + 1 + rng.integers(k - 1, size=n)) % k
    return gold, np.where(hard + noise[0] < right_a, gold, wrong), np.where(hard + noise[1] < right_b, gold, wrong)


def _rows(table: pd.DataFrame) -> dict[str, dict]:
    return {row["metric"]: row for row in table.to_dict("records")}


def test_flips_and_mcnemar() -> None:
    gold, a, b = np.array([0, 1, 2, 0, -1]), np.array([0, 0, -1, 1, 0]), np.array([1, 1, 2, 1, 0])
    flips = count_flips(gold, a, b)
    assert flips == Flips(fixed=2, broken=1, both_right=0, both_wrong=1)
    assert flips.n == 4
    assert mcnemar(0, 0) == 1
    assert mcnemar(5, 0) == pytest.approx(2 / 2**5)
    assert mcnemar(50, 93) == mcnemar(93, 50) == pytest.approx(2 * stats.binom.cdf(50, 143, 0.5))


def test_accuracy_interval_matches_another_implementation() -> None:
    """The documented example of ci.prop.ps in the R package statpsych (by the interval's author)."""
    difference, low, high = accuracy_difference(26, 4, 48)
    assert difference == pytest.approx(22 / 48)
    assert (low, high) == pytest.approx((0.2548067, 0.6251933), abs=1e-6)
    assert accuracy_difference(0, 0, 20)[1:] != (0, 0)  # no flips in 20 is no proof of equality
    assert np.isnan(accuracy_difference(0, 0, 0)).all()


def test_the_sample_size_gives_the_power_it_promises() -> None:
    needed = int(n_needed_for_flips(60, 30, 1000))
    rng = np.random.default_rng(0)
    flips = rng.multinomial(needed, [0.06, 0.03, 0.91], size=2000)
    found = np.mean([mcnemar(int(fixed), int(broken)) < 0.05 for fixed, broken, _ in flips])
    assert 0.75 < found < 0.85
    assert np.isnan(n_needed_for_flips(5, 5, 100))


def test_holm() -> None:
    np.testing.assert_allclose(holm([0.01, 0.02, 0.03, 0.04]), [0.04, 0.06, 0.06, 0.06])
    np.testing.assert_allclose(holm([0.5, np.nan, 0.9]), [1.0, np.nan, 1.0])
    assert holm([]).shape == (0,)


def test_macro_f1_difference_is_a_paired_bootstrap() -> None:
    gold, a, b = _pair(500, 4, 0.7, 0.75)
    result = macro_f1_difference(gold, a, b, n_boot=4000)
    assert result.a == pytest.approx(f1_score(gold, a, average="macro"))
    assert result.difference == pytest.approx(f1_score(gold, b, average="macro") - result.a)
    rng = np.random.default_rng(1)
    draws = []
    for _ in range(600):
        rows = rng.integers(500, size=500)
        draws.append(f1_score(gold[rows], b[rows], average="macro") - f1_score(gold[rows], a[rows], average="macro"))
    assert (result.low, result.high) == pytest.approx(tuple(np.quantile(draws, [0.025, 0.975])), abs=0.006)
    assert result.high - result.low < 0.08  # unpaired it would be about 0.11 wide


def test_loss_difference_is_the_paired_t_test() -> None:
    rng = np.random.default_rng(0)
    a = rng.exponential(size=200)
    b = a * 0.9 + rng.normal(scale=0.1, size=200)
    b[7] = np.nan
    known = ~np.isnan(b)
    result = mean_difference("loss", a, b)
    assert result.p == pytest.approx(stats.ttest_rel(b[known], a[known]).pvalue)
    assert (result.difference, result.low, result.high, result.n) == mean_interval(b - a)
    assert result.n == 199
    a[0] = np.inf
    assert np.isnan([mean_difference("loss", a, b).p, mean_difference("loss", a, b).low]).all()
    assert mean_difference("loss", a[:0], b[:0]).n == 0
    assert mean_difference("loss", np.ones(5), np.ones(5)).p == 1


def test_compare_pair() -> None:
    gold, a, b = _pair(1000, 5, 0.6, 0.7)
    gold[:100] = -1
    table = compare_pair(gold, a, b, (a != gold) * 2.0, (b != gold) * 2.0, n_boot=500)
    assert table.columns.tolist() == [
        *("metric", "a", "b", "difference", "low", "high", "p", "p_holm", "n", "n_needed", "higher_is_better")
    ]
    rows, flips = _rows(table), count_flips(gold, a, b)
    assert list(rows) == ["accuracy", "macro_f1", "loss"]
    assert (table["n"] == 900).all()
    assert rows["accuracy"]["b"] == pytest.approx((b[100:] == gold[100:]).mean())
    assert rows["accuracy"]["p"] == mcnemar(flips.fixed, flips.broken)
    assert rows["loss"]["difference"] == pytest.approx(-2 * rows["accuracy"]["difference"])
    np.testing.assert_allclose(table["p_holm"], holm(table["p"]))
    assert all(verdict(row).answer == "better" for row in rows.values())
    back = _rows(compare_pair(gold, b, a, (b != gold) * 2.0, (a != gold) * 2.0, n_boot=500))
    assert all(verdict(row).answer == "not better" for row in back.values())


def test_compare_pair_without_labels_and_with_bad_input() -> None:
    none = np.full(3, -1)
    table = compare_pair(none, np.zeros(3, int), np.zeros(3, int))
    assert table[["a", "b", "difference", "p", "p_holm"]].isna().all().all()
    assert [verdict(row).sentence for row in table.to_dict("records")] == ["not separable yet (not measured)"] * 2
    with pytest.raises(ValueError, match=r"only one is given.*predicted_b has shape \(2,\); needed: .*\(3,\)"):
        compare_pair(none, np.zeros(3, int), np.zeros(2, int), np.zeros(3))


def test_a_model_against_itself_is_not_separable() -> None:
    gold, a, _ = _pair(200, 3, 0.7, 0.7)
    for row in _rows(compare_pair(gold, a, a, n_boot=200)).values():
        assert (row["difference"], row["p"]) == (0, 1)
        found = verdict(row)
        assert (found.answer, found.n_more) == ("not separable yet", None)


ROW = {"metric": "accuracy", "difference": 0.01, "low": -0.004, "high": 0.024, "p_holm": 0.2, "n": 1000}
ROW |= {"n_needed": 3923.0, "higher_is_better": True}


@pytest.mark.parametrize(
    ("changes", "smallest_gain", "answer", "n_more"),
    [
        ({}, 0, "not separable yet", 2923),
        ({"p_holm": 0.04}, 0, "better", None),
        ({"p_holm": 0.04, "difference": -0.01}, 0, "not better", None),
        ({"p_holm": 0.04, "difference": -0.01, "higher_is_better": False}, 0, "better", None),
        ({}, 0.03, "not better", None),
        ({"n_needed": 900.0}, 0, "not separable yet", 1),
        ({"n_needed": np.nan}, 0, "not separable yet", None),
    ],
)
def test_three_answers(changes: dict, smallest_gain: float, answer: str, n_more: int | None) -> None:
    found = verdict(ROW | changes, smallest_gain=smallest_gain)
    assert (found.answer, found.n_more) == (answer, n_more)


def test_headlines() -> None:
    flips = Flips(93, 50, 900, 386)
    f1_row = ROW | {"metric": "macro_f1", "difference": 0.03, "low": 0.009, "high": 0.051, "p_holm": 0.004, "n": 1429}
    assert headline(f1_row, flips, p_flips=mcnemar(93, 50)) == (
        "B beats A by +3.0 points macro F1 (95 % interval 0.9 to 5.1, paired, n = 1,429). "
        "93 fixed, 50 broken, McNemar p = .0004."
    )
    assert headline(ROW, flips, p_flips=0.2, name_a="head", name_b="lora") == (
        "lora against head: not separable yet (needs about 3,000 more examples); +1.0 points accuracy "
        "(95 % interval −0.4 to 2.4, paired, n = 1,000). 93 fixed, 50 broken, McNemar p = .200."
    )
    loss = ROW | {"metric": "loss", "difference": 0.1, "low": 0.05, "high": 0.15, "p_holm": 0.001}
    assert headline(loss | {"higher_is_better": False}, flips, p_flips=1.0) == (
        "B is not better than A: it is worse, +0.100 nats loss (95 % interval 0.050 to 0.150, paired, n = 1,000). "
        "93 fixed, 50 broken, McNemar p = 1."
    )


def test_p_text_never_prints_zero() -> None:
    assert [p_text(p) for p in (1e-9, 0.00044, 0.049, 0.5)] == ["< .0001", "= .0004", "= .049", "= .500"]


def test_a_hundred_thousand_examples_are_compared_in_seconds() -> None:
    gold, a, b = _pair(100_000, 77, 0.85, 0.87)
    start = time.perf_counter()
    table = compare_pair(gold, a, b)
    assert time.perf_counter() - start < 15
    assert (table["p"] < 0.01).all()


@pytest.mark.parametrize(("n", "k"), [(300, 3), (400, 12)])
def test_counted_cells_give_the_same_numbers_as_the_examples(n: int, k: int) -> None:
    """Both ways of resampling: few cells, and so many that examples are drawn one by one."""
    gold, a, b = _pair(n, k, 0.6, 0.7)
    gold[:5], a[5:8] = -1, -1  # no label, no answer
    rng = np.random.default_rng(1)
    loss_a, loss_b = rng.random(n), rng.random(n)
    cells = count_cells(gold, a, b)
    assert flips_of(cells) == count_flips(gold, a, b)
    assert flips_of(cells).n == n - 5
    loss = mean_difference("loss", loss_a[gold >= 0], loss_b[gold >= 0])
    pd.testing.assert_frame_equal(compare_cells(cells, loss), compare_pair(gold, a, b, loss_a, loss_b))
    assert compare_cells(cells)["metric"].tolist() == ["accuracy", "macro_f1"]
    labelled = gold >= 0
    assert compare_cells(cells)["b"].iloc[0] == (b == gold)[labelled].mean()


def test_no_cells_are_not_measured() -> None:
    none = np.array([], dtype=int)
    table = compare_cells(count_cells(none, none, none))
    assert table["n"].tolist() == [0, 0]
    assert table[["a", "b", "difference", "p"]].isna().all(axis=None)
