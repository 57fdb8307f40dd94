import numpy as np
import pytest

from evals.triage.overlap import MOST_PAIRS, boundary_examples, class_overlap, overlap_matrix


def softmax(logits: np.ndarray) -> np.ndarray:
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


def test_the_boundary_is_where_the_first_two_are_alike() -> None:
    log_probs = np.log([[0.5, 0.5, 1e-300], [0.1, 0.2, 0.7], [1 / 3] * 3, [1.0, 1e-300, 1e-300]])
    found = boundary_examples(np.vstack([log_probs, np.full(3, np.nan)]))
    assert found.risk.tolist() == pytest.approx([1, 0.5, 1, 0, np.nan], nan_ok=True)
    assert found.evidence["first"].tolist()[1:] == [2, *found.evidence["first"].tolist()[2:3], 0, -1]
    assert found.evidence["second"][1] == 1
    assert found.evidence["p_first"][1] == pytest.approx(0.7)
    assert np.isnan(boundary_examples(np.zeros((3, 1))).risk).all()
    assert boundary_examples(np.zeros((0, 4))).risk.tolist() == []


def naive(log_probs: np.ndarray, labels: np.ndarray, a: int, b: int) -> tuple[float, float]:
    p = np.exp(log_probs)
    of_a = (p[:, b] / (p[:, a] + p[:, b]))[labels == a]
    of_b = (p[:, a] / (p[:, a] + p[:, b]))[labels == b]
    error = np.sqrt(of_a.var(ddof=1) / len(of_a) + of_b.var(ddof=1) / len(of_b))
    return min(1.0, of_a.mean() + of_b.mean()), float(error)


def test_overlap_is_that_of_a_naive_count() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(-1, 4, 200)
    log_probs = softmax(rng.normal(size=(200, 5)) + 2 * np.eye(5)[np.maximum(labels, 0)])
    log_probs[::40] = np.nan
    known = ~np.isnan(log_probs).any(axis=1)
    overlap, error = overlap_matrix(log_probs, labels)
    for a in range(4):
        for b in range(a):
            expected = naive(log_probs[known], labels[known], a, b)
            assert (overlap[a, b], error[a, b]) == pytest.approx(expected)
            assert overlap[a, b] == overlap[b, a]
    assert np.isnan(overlap[4]).all(), "a class without examples"
    assert np.isnan(np.diag(overlap)).all()


def test_the_planted_pair_is_named() -> None:
    rng = np.random.default_rng(1)
    labels = np.repeat(np.arange(4), 100)
    logits = 6 * np.eye(4)[labels] + rng.normal(0, 0.5, (400, 4))
    mixed = labels <= 1
    logits[mixed, :2] = rng.normal(6, 0.5, (200, 2))
    found = class_overlap(softmax(logits), labels, ["atm", "cash", "fee", "card"])
    (group,) = found.groups
    assert group.name == "atm and cash"
    assert group.risk == group.evidence["low"]
    assert 0.85 < float(group.evidence["low"]) <= float(group.evidence["overlap"]) <= 1  # type: ignore[arg-type]  # numbers
    assert group.evidence["n"] == 200
    assert set(labels[group.rows]) == {0, 1}
    assert len(group.rows) == group.evidence["n_confused"] > 150


def test_no_claim_without_evidence() -> None:
    with np.errstate(divide="ignore"):
        sure = np.log(np.eye(3)[[0, 1, 2] * 5])
    assert class_overlap(sure, np.array([0, 1, 2] * 5), ["a", "b", "c"]).groups == ()
    swapped = overlap_matrix(sure, np.array([1, 0, 2] * 5))[0]
    assert swapped[0, 1] == 1, "each is what the other is called"
    assert swapped[0, 2] == pytest.approx(0.5), "examples of a say neither a nor c, which counts as a half; c says c"
    one_each = class_overlap(np.log(np.full((2, 2), 0.5)), np.array([0, 1]), ["a", "b"])
    assert one_each.groups == (), "one example of each has no interval"
    for labels in (np.full(4, -1), np.zeros(4, dtype=np.int64)):
        assert class_overlap(np.log(np.full((4, 2), 0.5)), labels, ["a", "b"]).groups == ()
    assert class_overlap(np.zeros((0, 2)), np.zeros(0, dtype=np.int64), ["a", "b"]).groups == ()


def test_many_pairs_are_cut() -> None:
    log_probs = np.log(np.full((60, 20), 0.05))
    found = class_overlap(log_probs, np.repeat(np.arange(20), 3), [f"c{c}" for c in range(20)])
    assert len(found.groups) == MOST_PAIRS
