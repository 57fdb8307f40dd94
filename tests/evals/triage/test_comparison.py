import numpy as np
import pandas as pd
import pytest

from evals.intervals import Estimate
from evals.triage.canaries import Flips, depths, kinds_of_flips, no_flips, plan_flips
from evals.triage.comparison import average_precision, choose_score, compare_scores
from evals.triage.consensus import fit_consensus, pool, wrong_risk
from evals.triage.folds import self_confidence_risk
from evals.triage.yields import GRID
from tests.evals.triage import planted as known


def _compared(planted: known.Planted) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray]:
    """The table, the scores it is about, and how probable the consensus finds each label to be wrong."""
    members = known.opinions(planted.embeddings, planted.given)
    consensus = fit_consensus(members, planted.given)
    pooled, channel = pool(members, consensus.weights), consensus.channel
    flips = plan_flips(planted.given, kinds_of_flips(pooled, channel))
    weak = (members[1] - np.log(np.exp(members[1]).sum(axis=1, keepdims=True))).astype(np.float64)
    rng = np.random.default_rng(9)

    def ask(labels: np.ndarray, rows: np.ndarray) -> pd.DataFrame:
        return pd.DataFrame(
            {
                "pool": self_confidence_risk(pooled[rows], labels),
                "wrong": wrong_risk(pooled[rows], labels, channel),
                "weak": self_confidence_risk(weak[rows], labels),
                "chance": rng.random(len(rows)),
            }
        )

    risks, asked = ask(planted.given, np.arange(len(planted.given))), ask(flips.labels, flips.rows)
    wrong = risks["wrong"].to_numpy()
    deep = pd.DataFrame(
        {name: depths(risks[name].to_numpy(), asked[name].to_numpy(), flips, 1 - wrong) for name in risks}
    )
    n_errors = Estimate(200.0, 150.0, 250.0)
    return compare_scores(risks, deep, flips, n_errors, wrong, default="pool"), risks, wrong


@pytest.mark.parametrize("kind", ["uniform", "cyclic"])
def test_canaries_say_what_a_score_is_worth(kind: str) -> None:
    planted = known.plant(kind, 0.1, n=2000, seed=4)
    table, risks, _ = _compared(planted)
    found = table.set_index("score")
    truth = {name: known.average_precision(risks[name].to_numpy(), planted.is_wrong) for name in risks}
    assert found.index[-1] == "chance"
    assert found["average_precision"]["chance"] == pytest.approx(0.1, abs=0.04)
    assert found["average_precision"]["pool"] == pytest.approx(truth["pool"], abs=0.12)
    assert found["average_precision"]["weak"] == pytest.approx(truth["weak"], abs=0.2)
    assert found["difference"]["pool"] == found["worst_difference"]["pool"] == 0
    assert found["difference_high"]["weak"] < 0
    assert (found["low"] <= found["average_precision"]).all()
    assert (found["average_precision"] <= found["high"]).all()
    order = np.argsort(-risks["pool"].to_numpy())
    assert found["precision_at_100"]["pool"] == pytest.approx(planted.is_wrong[order[:100]].mean(), abs=0.1)
    assert found["precision_at_errors"]["pool"] == pytest.approx(planted.is_wrong[order[:200]].mean(), abs=0.1)
    assert truth[choose_score(table, "pool")] >= truth["pool"] - 0.02


def test_average_precision_by_hand() -> None:
    ranking = np.random.default_rng(0).normal(size=20_000) + np.repeat([1.5, 0.0], [2000, 18_000])
    is_wrong = np.arange(20_000) < 2000
    right = np.sort(-ranking[~is_wrong])
    depth = np.searchsorted(right, -ranking[is_wrong]) / len(right)
    recall = np.array([(depth <= each).mean() for each in GRID])
    expected = average_precision(recall[None], np.array([[2000.0]]), 20_000)[0]
    assert expected == pytest.approx(known.average_precision(ranking, is_wrong), abs=0.01)
    assert np.isnan(average_precision(recall[None], np.array([[0.0]]), 20_000)).all()
    assert np.isnan(average_precision(recall[None], np.array([[1.0]]), 0)).all()


def test_a_score_of_which_only_some_canaries_are_known() -> None:
    rng = np.random.default_rng(1)
    m = 900
    flips = Flips(np.arange(m), np.zeros(m, int), np.arange(m) % 2, ("a", "b"), np.arange(m) < 300)
    good, better = rng.beta(1, 20, size=m), rng.beta(1, 60, size=m)
    deep = pd.DataFrame({"good": good, "in_sample": np.where(flips.is_planted, better, np.nan), "unknown": np.nan})
    risks = pd.DataFrame({name: rng.random(2000) for name in deep})
    table = compare_scores(risks, deep, flips, Estimate(200.0, 190.0, 210.0), np.full(2000, 0.1)).set_index("score")
    assert table.index.tolist() == ["in_sample", "good", "unknown"]
    assert table["difference_low"]["in_sample"] > 0
    assert table.loc["unknown"].isna().all()
    assert choose_score(table.reset_index(), "good") == "in_sample"
    alone = compare_scores(
        risks[["good"]],
        deep[["good"]][flips.is_planted],
        Flips(*(each[:300] for each in flips[:3]), flips.kinds, flips.is_planted[:300]),
        Estimate(200.0, 190.0, 210.0),
        np.full(2000, 0.1),
    )
    worth = table["average_precision"]["in_sample"] - alone["average_precision"][0]
    assert table["difference"]["in_sample"] == pytest.approx(worth)  # on the canaries that both know


def test_limits() -> None:
    frame = pd.DataFrame({"a": [0.1, 0.2], "b": [0.3, 0.1]})
    none = compare_scores(frame, frame[:0], no_flips(), Estimate(1.0, 0.5, 2.0), np.zeros(2))
    assert none["average_precision"].isna().all()
    assert choose_score(none, "a") == "a"
    flips = Flips(np.arange(6), np.ones(6, int), np.zeros(6, int), ("uniform",), np.ones(6, bool))
    risks, deep = pd.DataFrame({"a": np.zeros(50)}), pd.DataFrame({"a": np.full(6, 0.5)})
    for n_errors in (Estimate(np.nan, np.nan, np.nan), Estimate(0.0, 0.0, 0.0)):
        assert compare_scores(risks, deep, flips, n_errors, np.zeros(50))["average_precision"].isna().all()
    empty = pd.DataFrame(index=range(5))
    assert len(compare_scores(empty, empty, no_flips(), Estimate(1.0, 1.0, 1.0), np.zeros(5))) == 0
