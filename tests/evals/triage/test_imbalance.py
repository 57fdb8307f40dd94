import numpy as np
import pytest

from evals.intervals import wilson
from evals.triage.imbalance import class_balance, rare_classes

NAMES = ["big", "rare and bad", "rare and fine", "rare and unseen", "never trained"]
N_TRAIN = [800, 20, 30, 40, 0]
N_TEST = [200, 40, 40, 0, 30]
RECALL = [0.9, 0.2, 0.95, 0.0, 0.0]


def planted() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    labels = np.concatenate([np.repeat(np.arange(5), N_TRAIN), np.repeat(np.arange(5), N_TEST), [-1, -1]])
    is_train = np.arange(len(labels)) < sum(N_TRAIN)
    predicted = np.full(len(labels), -1)
    for label in range(5):
        rows = np.flatnonzero(~is_train & (labels == label))
        predicted[rows] = label
        predicted[rows[round(RECALL[label] * len(rows)) :]] = (label + 1) % 5
    predicted[-1] = 0
    return labels, is_train, predicted


def test_rare_classes_that_pay_for_it_are_named() -> None:
    labels, is_train, predicted = planted()
    found = rare_classes(labels, is_train, predicted, NAMES)
    assert [group.name for group in found.groups] == ["never trained", "rare and bad"]
    bad = found.groups[1]
    assert bad.rows.tolist() == list(range(800, 820))
    assert bad.evidence["n_train"] == 20
    assert bad.risk == pytest.approx(-float(bad.evidence["difference_high"]))  # type: ignore[arg-type]  # a number
    assert np.isnan(found.risk).all()


def test_the_table_counts_what_is_known() -> None:
    labels, is_train, predicted = planted()
    table = class_balance(labels, is_train, predicted, NAMES).set_index("label")
    assert table["n_train"].tolist() == N_TRAIN
    assert table["n"].tolist() == N_TEST
    assert table["is_rare"].tolist() == [False, True, True, True, True]
    assert table["share"].iloc[1] == pytest.approx(20 * 5 / 890)
    assert table.loc["rare and bad", "recall"] == pytest.approx(0.2)
    assert tuple(table.loc["rare and bad", ["low", "high"]]) == pytest.approx(wilson(8, 40))
    assert np.isnan(table.loc["rare and unseen", ["recall", "p", "p_holm"]].astype(float)).all()
    assert np.isnan(table.loc["big", "p_holm"]), "only rare classes are tested"


@pytest.mark.parametrize("n", [0, 3])
def test_nothing_known_is_no_error(n: int) -> None:
    unknown = np.full(n, -1)
    for is_train in (np.ones(n, dtype=bool), np.zeros(n, dtype=bool)):
        assert rare_classes(unknown, is_train, unknown, ["a", "b"]).groups == ()
        assert rare_classes(np.zeros(n, dtype=np.int64), is_train, unknown, ["only"]).groups == ()
