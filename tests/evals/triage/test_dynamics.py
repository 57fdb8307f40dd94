import itertools

import numpy as np
import pytest
from hypothesis import given as cases
from hypothesis import settings
from hypothesis import strategies as st

from evals import dynamics as stored
from evals.dynamics import decode, encode
from evals.triage.dynamics import from_logits, risks, summarise


def _epochs(n_epochs: int, n: int, k: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n_epochs, n, k)).astype(np.float32) * 3
    logits[rng.random((n_epochs, n)) < 0.2] = np.nan
    return logits, rng.integers(-1, k, size=n)


def _naive(logits: np.ndarray, label: int) -> dict[str, float]:
    """The scores of one example as the papers write them: logits (n_epochs, n_classes)."""
    margins, probs, potentials = [], [], []
    for row in logits[~np.isnan(logits).any(axis=1)].astype(np.float64):
        p = np.exp(row) / np.exp(row).sum()
        others = [c for c in range(len(row)) if c != label]
        margins.append(row[label] - max(row[c] for c in others))
        potentials.append(((p[label] - max(p[c] for c in others)) + 1) / 2)
        probs.append(p[label])
    right = [margin > 0 for margin in margins]
    return {
        "area_under_margin": np.mean(margins),
        "error_potential": 1 - np.mean(potentials),
        "confidence": np.mean(probs),
        "variability": np.std(probs),
        "correctness": np.mean(right),
        "n_forgotten": sum(a and not b for a, b in itertools.pairwise(right)),
        "n_learned": sum(right),
        "last_loss": -np.log(probs[-1]),
        "n_seen": len(probs),
    }


@settings(max_examples=40, deadline=None)
@cases(st.integers(1, 6), st.sampled_from([2, 3, 40]), st.integers(0, 10**6))
def test_scores_are_those_of_the_papers(n_epochs: int, k: int, seed: int) -> None:
    logits, labels = _epochs(n_epochs, 8, k, seed)
    scores = summarise(from_logits(epoch, labels) for epoch in logits)
    for place, label in enumerate(labels.tolist()):
        seen = ~np.isnan(logits[:, place]).any(axis=1)
        if label < 0 or not seen.any():
            assert all(np.isnan(column[place]) for name, column in scores._asdict().items() if name != "n_seen")
            assert scores.n_seen[place] == 0
            continue
        for name, expected in _naive(logits[:, place], label).items():
            assert getattr(scores, name)[place] == pytest.approx(expected, rel=1e-4, abs=2e-5), name


@pytest.mark.parametrize("k", [3, 77])
def test_the_stored_form_gives_the_same(k: int) -> None:
    logits, labels = _epochs(4, 50, k, 0)
    plain = summarise(from_logits(epoch, labels) for epoch in logits)
    packed = [decode(encode(epoch, labels), k, labels) for epoch in logits]
    from_store = summarise(packed)
    for name, column in plain._asdict().items():
        np.testing.assert_allclose(getattr(from_store, name), column, atol=0.01, err_msg=name)
    margins = np.stack([epoch.margin_logit for epoch in packed])
    p_given = np.stack([epoch.p_given for epoch in packed])
    np.testing.assert_allclose(from_store.area_under_margin, stored.area_under_margin(margins), rtol=1e-6)
    np.testing.assert_allclose(from_store.variability, stored.variability(p_given), atol=1e-6)
    np.testing.assert_array_equal(
        from_store.n_forgotten, np.where(labels < 0, np.nan, stored.forgetting_events(margins)[0])
    )


def test_every_risk_is_in_0_1_and_the_wrong_label_is_the_risk() -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(4, size=300)
    given = labels.copy()
    given[:30] = (given[:30] + 1) % 4
    logits = rng.normal(size=(5, 300, 4)) * 2 + 5 * np.eye(4)[labels] * np.linspace(0.2, 1, 5)[:, None, None]
    table = risks(summarise(from_logits(epoch, given) for epoch in logits))
    assert table.min().min() >= 0
    assert table.max().max() <= 1
    for name in ("area_under_margin", "error_potential", "confidence", "last_loss"):
        first = np.argsort(-table[name].to_numpy())[:30]
        assert (first < 30).mean() >= 0.8, name


def test_forgetting_puts_the_never_learned_first() -> None:
    def run(rights: list[int]) -> list[np.ndarray]:
        return [np.array([[2.0, 0.0]]) if right else np.array([[0.0, 2.0]]) for right in rights]

    def risk(rights: list[int]) -> float:
        scores = summarise(from_logits(epoch, np.array([0])) for epoch in run(rights))
        return float(risks(scores)["forgetting"].iloc[0])

    assert risk([0, 0, 0, 0]) == 1
    assert risk([1, 0, 1, 0]) == pytest.approx(2 / 3)
    assert risk([0, 1, 0, 1]) == pytest.approx(1 / 3)
    assert risk([0, 1, 1, 1]) == 0


def test_limits() -> None:
    assert len(risks(summarise([]))) == 0
    assert len(risks(summarise([from_logits(np.empty((0, 3)), np.empty(0, dtype=int))]))) == 0
    one_class = risks(summarise([from_logits(np.array([[3.0], [np.nan]]), np.array([0, 0]))]))
    assert one_class["confidence"].iloc[0] == 0
    assert one_class["area_under_margin"].iloc[0] == 0
    assert one_class.iloc[1].isna().all()
    huge = risks(summarise([from_logits(np.array([[1e6, -1e6], [1e6, -1e6], [np.inf, 0.0]]), np.array([0, 1, 0]))]))
    assert huge["area_under_margin"].tolist()[:2] == [0, 1]
    assert huge["last_loss"].tolist()[:2] == [0, 1]
    assert huge.iloc[2].isna().all()
    tie = summarise([from_logits(np.zeros((1, 3)), np.array([1]))])
    assert (tie.correctness[0], tie.error_potential[0]) == (0, 0.5)
    with pytest.raises(ValueError, match="the same"):
        summarise([from_logits(np.zeros((2, 2)), np.zeros(2, int)), from_logits(np.zeros((1, 2)), np.zeros(1, int))])
    with pytest.raises(ValueError, match="-1 \\(no label\\) to 1"):
        from_logits(np.zeros((1, 2)), np.array([2]))
