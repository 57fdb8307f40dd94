import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.triage import multilabel
from evals.triage.multilabel import class_risks, multilabel_errors, worst_weighs_most


@given(st.lists(st.floats(0, 1, width=16) | st.just(np.nan), min_size=1, max_size=8), st.floats(0.1, 1))
def test_the_pool_is_an_exponential_moving_average(risks: list[float], weight: float) -> None:
    known = sorted(risk for risk in risks if not np.isnan(risk))
    expected = known[0] if known else np.nan
    for risk in known[1:]:
        expected = weight * risk + (1 - weight) * expected
    assert worst_weighs_most(np.array([risks]), weight=weight)[0] == pytest.approx(expected, nan_ok=True)


def test_class_risks_are_of_the_given_side() -> None:
    sets, probs = np.array([[1, 0, -1, 1]]), np.array([[0.7, 0.7, 0.7, np.nan]])
    assert class_risks(sets, probs)[0].tolist() == pytest.approx([0.3, 0.7, np.nan, np.nan], nan_ok=True)
    with pytest.raises(ValueError, match=r"given has shape \(1, 4\), probs \(1, 2\)"):
        class_risks(sets, probs[:, :2])


def planted() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    true = (rng.random((300, 4)) < 0.3).astype(int)
    probs = np.clip(0.8 * true + 0.1 + rng.normal(0, 0.1, true.shape), 0.01, 0.99)
    sets = true.copy()
    wrong = rng.choice(300, 30, replace=False)
    sets[wrong, wrong % 4] = 1 - sets[wrong, wrong % 4]
    return sets, probs, wrong


def test_a_planted_class_is_the_worst_and_is_suggested(monkeypatch: pytest.MonkeyPatch) -> None:
    sets, probs, wrong = planted()
    names = ["fee", "card", "cash", "visa"]
    found = multilabel_errors(sets, probs, names)
    assert set(np.argsort(-found.risk)[:30]) == set(wrong)
    for row in wrong:
        name = names[row % 4]
        assert found.evidence["worst"][row] == name
        has = bool(sets[row, row % 4])
        assert found.evidence["remove" if has else "add"][row] == [name]
        assert found.evidence["add" if has else "remove"][row] is None
    groups = {group.name: group for group in found.groups}
    for place, name in enumerate(names):
        rows = sorted(row for row in wrong if row % 4 == place)
        assert groups[name].rows.tolist() == rows
        assert groups[name].risk == pytest.approx(len(rows) / 300)
        assert int(str(groups[name].evidence["n_add"])) + int(str(groups[name].evidence["n_remove"])) == len(rows)
    monkeypatch.setattr("evals.triage.rows._NUMBERS_AT_ONCE", 40)
    parts = multilabel.multilabel_errors(sets, probs, names)
    assert parts.risk.tolist() == found.risk.tolist()
    assert [group.rows.tolist() for group in parts.groups] == [group.rows.tolist() for group in found.groups]


def test_unknown_and_empty() -> None:
    found = multilabel_errors(np.array([[-1, -1], [1, 0]]), np.array([[0.5, 0.5], [np.nan, 0.2]]), ["a", "b"])
    assert found.risk.tolist() == pytest.approx([np.nan, 0.2], nan_ok=True)
    assert found.evidence["worst"].tolist() == ["", "b"]
    for shape in ((0, 3), (3, 0), (0, 0)):
        nothing = multilabel_errors(np.zeros(shape, dtype=np.int64), np.zeros(shape), ["x"] * shape[1])
        assert nothing.risk.shape == (shape[0],)
        assert nothing.groups == ()
    with pytest.raises(ValueError, match="1 names; needed"):
        multilabel_errors(np.zeros((1, 2), dtype=np.int64), np.zeros((1, 2)), ["a"])
