import numpy as np
import pandas as pd
import pytest

from evals.intervals import Estimate
from evals.triage.canaries import Flips, choose_score, compare_scores, depths, flip, kinds_of_flips, plan_flips
from evals.triage.channel import Channel
from evals.triage.consensus import fit_consensus, pool, risks
from evals.triage.folds import self_confidence_risk
from evals.triage.neighbours import label_disagreement, nearest
from tests.evals.triage.planted import Planted, average_precision, opinions, plant


def _scores(planted: Planted, given: np.ndarray) -> tuple[pd.DataFrame, np.ndarray, Channel]:
    members = opinions(planted.embeddings, given)
    consensus = fit_consensus(members, given)
    pooled = pool(members, consensus.weights)
    table = risks(pooled, given, consensus.channel)
    table["weak"] = self_confidence_risk(members[1] - np.log(np.exp(members[1]).sum(axis=1, keepdims=True)), given)
    table["neighbours"] = label_disagreement(nearest(planted.embeddings, 10), given)
    table["chance"] = np.random.default_rng(9).random(len(given))
    return table, pooled, consensus.channel


@pytest.mark.parametrize("kind", ["uniform", "cyclic"])
def test_canaries_say_what_a_score_is_worth(kind: str) -> None:
    planted = plant(kind, 0.1, n=2000, seed=4)
    table, pooled, channel = _scores(planted, planted.given)
    flips = plan_flips(planted.given, kinds_of_flips(pooled, channel), share=0.04)
    copy, _, _ = _scores(planted, flip(planted.given, flips))
    found = compare_scores(copy, flips, Estimate(200.0, 150.0, 250.0), default="consensus").set_index("score")
    truth = {name: average_precision(table[name].to_numpy(), planted.is_wrong) for name in table}
    assert found.index[-1] == "chance"
    assert found["average_precision"]["chance"] == pytest.approx(0.1, abs=0.04)
    assert found["average_precision"]["consensus"] == pytest.approx(truth["consensus"], abs=0.12)
    assert found["average_precision"]["weak"] == pytest.approx(truth["weak"], abs=0.25)
    assert found["difference"]["consensus"] == 0
    assert found["difference_high"]["weak"] < 0
    assert (found["low"] <= found["average_precision"]).all()
    assert (found["average_precision"] <= found["high"]).all()
    order = np.argsort(-table["consensus"].to_numpy())
    assert found["precision_at_100"]["consensus"] == pytest.approx(planted.is_wrong[order[:100]].mean(), abs=0.1)
    assert found["precision_at_errors"]["consensus"] == pytest.approx(planted.is_wrong[order[:200]].mean(), abs=0.15)
    chosen = choose_score(found.reset_index(), "consensus")
    assert truth[chosen] >= truth["consensus"] - 0.02
    assert choose_score(found.reset_index(), "chance") != "weak"


def test_the_plan() -> None:
    given = np.random.default_rng(0).integers(-1, 5, size=10_000)
    kinds = {"uniform": np.ones((5, 5)), "next": np.eye(5)[[1, 2, 3, 4, 0]]}
    flips = plan_flips(given, kinds, share=0.02, seed=1)
    assert len(flips.rows) == round(0.02 * (given >= 0).sum())
    assert len(set(flips.rows.tolist())) == len(flips.rows)
    assert (given[flips.rows] >= 0).all()
    assert (flips.labels != given[flips.rows]).all()
    of_next = flips.kind == 1
    assert of_next.mean() == pytest.approx(0.5, abs=0.01)
    assert (flips.labels[of_next] == (given[flips.rows][of_next] + 1) % 5).all()
    steps = np.bincount((flips.labels - given[flips.rows])[~of_next] % 5, minlength=5)
    assert steps.min() == steps[0] == 0
    assert steps[1:].min() > 10
    again, other = plan_flips(given, kinds, share=0.02, seed=1), plan_flips(given, kinds, share=0.02, seed=2)
    assert (flips.rows == again.rows).all()
    assert (flips.labels == again.labels).all()
    assert set(flips.rows.tolist()) != set(other.rows.tolist())
    copy = flip(given, flips)
    assert (copy != given).sum() == len(flips.rows)
    assert (copy[flips.rows] == flips.labels).all()


def test_the_plan_in_small() -> None:
    kinds = {"none": np.zeros((3, 3))}
    assert len(plan_flips(np.zeros(100, dtype=int), kinds).rows) == 0  # one class
    assert len(plan_flips(np.empty(0, dtype=int), kinds).rows) == 0
    assert len(plan_flips(np.arange(10) % 3, {}).rows) == 0
    flips = plan_flips(np.arange(100) % 2, kinds, share=0.1)  # a kind that knows nothing; class 2 has no examples
    assert len(flips.rows) == 10
    assert set(flips.labels.tolist()) <= {0, 1}
    assert len(plan_flips(np.arange(1000) % 3, kinds).rows) == 40  # 4 %, though 1.5 % were asked for
    assert len(plan_flips(np.arange(3000) % 3, kinds).rows) == 60
    with pytest.raises(ValueError, match=r"share = 0\.7"):
        plan_flips(np.arange(10) % 3, kinds, share=0.7)


def test_kinds_leave_out_the_true_label() -> None:
    log_probs = np.log(np.random.default_rng(0).dirichlet(np.ones(4), size=200))
    log_probs[5] = np.nan
    for matrix in kinds_of_flips(log_probs, Channel(np.full((4, 4), 5.0), 4.0)).values():
        assert np.diagonal(matrix).tolist() == [0] * 4
        np.testing.assert_allclose(matrix.sum(axis=1), 1)
    one = kinds_of_flips(np.zeros((3, 1)), Channel(np.array([[3.0]]), 1.0))
    assert all(matrix.tolist() == [[0.0]] for matrix in one.values())


def test_limits() -> None:
    none = Flips(np.empty(0, dtype=int), np.empty(0, dtype=int), np.empty(0, dtype=int), ("uniform",))
    table = compare_scores(pd.DataFrame({"a": [0.1, 0.2], "b": [0.3, 0.1]}), none, Estimate(1.0, 0.5, 2.0))
    assert table["average_precision"].isna().all()
    assert choose_score(table, "a") == "a"
    flips = Flips(np.arange(6), np.ones(6, dtype=int), np.zeros(6, dtype=int), ("uniform",))
    frame = pd.DataFrame({"unknown": np.full(50, np.nan), "same": np.zeros(50)})
    for n_errors in (Estimate(np.nan, np.nan, np.nan), Estimate(0.0, 0.0, 0.0)):
        assert compare_scores(frame, flips, n_errors)["average_precision"].isna().all()
    ties = compare_scores(frame, flips, Estimate(5.0, 4.0, 6.0)).set_index("score")
    assert ties["depth"]["same"] == 0.5
    assert ties["average_precision"]["same"] == pytest.approx(ties["average_precision"]["unknown"])
    assert len(compare_scores(pd.DataFrame(index=range(5)), none, Estimate(1.0, 1.0, 1.0))) == 0
    assert depths(np.zeros(6), flips).tolist() == [0] * 6  # nobody else
