"""Two models of every task without classes, compared example by example."""

import numpy as np
import pytest
from scipy import stats

from evals.entities import score_entities
from evals.generated import score_generated
from evals.outcomes import Likelihoods, Outcome, Ranked, Sets, Spans, Texts, Values, outcome_of
from evals.paired_outcomes import compare_outcomes, outcome_flips
from evals.regression import score_regression
from evals.tags import spans_of

RNG = np.random.default_rng(3)
N = 120


def row(a: Outcome, b: Outcome, metric: str) -> dict[str, float]:
    rows = {each["metric"]: each for each in compare_outcomes(a, b, n_boot=400).to_dict("records")}
    return rows[metric]


def test_numbers_have_the_scores_of_each_model_and_a_paired_interval() -> None:
    given = RNG.normal(size=N)
    far, near = given + RNG.normal(size=N), given + RNG.normal(scale=0.3, size=N)
    a, b = (Values(given, said, (said - given) ** 2) for said in (far, near))
    table = compare_outcomes(a, b, n_boot=400).set_index("metric")
    assert list(table.index) == ["spearman", "pearson", "r2", "mae", "rmse", "mse", "loss"]
    for said, column in ((far, "a"), (near, "b")):
        scores = {score.metric: score.value for score in score_regression(given, said, n_boot=0)}
        for name in scores:
            assert table.at[name, column] == pytest.approx(scores[name]), name
    assert (table["p_holm"] < 0.05).all()
    assert table.at["mae", "p"] == pytest.approx(stats.ttest_rel(np.abs(near - given), np.abs(far - given)).pvalue)
    assert outcome_flips(a, b) is None
    # a pair that moves together is told apart although each model's own interval is wider than the difference
    a, b = (Values(given, given + noise, np.zeros(N)) for noise in (far - given, (far - given) * 0.9))
    assert row(a, b, "rmse")["p"] < 0.01


def test_sets_are_compared_by_f1_and_by_how_many_are_right() -> None:
    given = (RNG.random((N, 4)) < 0.4).astype(np.int8)
    bad, good = (np.where(RNG.random((N, 4)) < share, 1 - given, given).astype(np.int8) for share in (0.3, 0.05))
    a, b = (Sets(given, said, said.astype(np.float32), np.zeros(N)) for said in (bad, good))
    table = compare_outcomes(a, b, n_boot=400).set_index("metric")
    assert list(table.index) == ["micro_f1", "macro_f1", "weighted_f1", "exact_match", "hamming_loss", "loss"]
    flips = outcome_flips(a, b)
    assert flips is not None
    assert table.at["exact_match", "difference"] == pytest.approx((flips.fixed - flips.broken) / N)
    assert table.at["micro_f1", "b"] == pytest.approx(2 * (given & good).sum() / (given.sum() + good.sum()))
    assert table.at["micro_f1", "p"] == pytest.approx(2 / 401)
    assert table.at["hamming_loss", "difference"] < 0


def test_spans_are_drawn_by_sentence() -> None:
    tags = [["B-LOC", "I-LOC", "O"], ["O", "B-PER", "O"], ["O", "O", "O"], ["B-PER", "O", "B-LOC"]] * 10
    worse = [each if i % 4 else ["O", "O", "O"] for i, each in enumerate(tags)]
    a, b = (
        Spans(*(tuple(tuple(spans_of(each)) for each in part) for part in (tags, said)), ("LOC", "PER"), np.zeros(40))
        for said in (worse, tags)
    )
    found = row(a, b, "entity_f1")
    expected = {score.metric: score.value for score in score_entities(tags, worse, n_boot=0)}
    assert found["a"] == pytest.approx(expected["entity_f1"])
    assert found["b"] == 1
    assert 0 < found["low"] < found["difference"] < found["high"]
    flips = outcome_flips(a, b)
    assert flips is not None
    assert flips.fixed == 10
    assert flips.both_right == 30
    assert a.measures()[0].values[:4].tolist() == [1, 0, 0, 0]


def texts(said: list[str | None], tokens: float = 4.0) -> Texts:
    given = ("the cat sat on the mat", "so it is", "yes indeed", None)
    loss = np.array([1.0, 2.0, 1.0, 3.0])
    return Texts(
        given * 10,
        tuple(said) * 10,
        Likelihoods(*(np.tile(each, 10) for each in (loss, loss * 0 + tokens, loss * 0 + 20))),
    )


def test_texts_are_compared_where_both_answered_and_by_likelihood_everywhere() -> None:
    a, b = texts(["a cat", "so it was", None, "x"]), texts(["the cat sat on a mat", "so it is", "no", "x"])
    table = compare_outcomes(a, b, n_boot=200).set_index("metric")
    names = [
        "exact_match",
        "token_f1",
        "rouge1",
        "rouge2",
        "rougeL",
        "bleu",
        "chrf",
        "loss",
        "perplexity",
        "bits_per_byte",
    ]
    assert list(table.index) == names
    assert table["n"].tolist() == [20] * 7 + [40] * 3
    kept = [0, 1]
    scores = {
        score.metric: score.value
        for score in score_generated([b.said[i] for i in kept] * 10, [[str(b.given[i])] for i in kept] * 10, n_boot=0)
    }
    for name in ("rougeL", "bleu", "chrf"):
        assert table.at[name, "b"] == pytest.approx(scores[name]), name
    assert table.at["perplexity", "a"] == pytest.approx(np.exp(7 / 4))
    assert table.at["loss", "difference"] == 0
    flips = outcome_flips(a, b)
    assert flips is not None
    assert flips.fixed == flips.n == 20, "an article more or less is none"


def test_models_of_other_tokens_are_compared_by_bits_a_byte_only() -> None:
    a, b = texts([None] * 4), texts([None] * 4, tokens=8.0)
    found = compare_outcomes(a, b, n_boot=200)
    assert found["metric"].tolist() == ["bits_per_byte"]
    assert found["difference"].iloc[0] == pytest.approx(found["a"].iloc[0])


def test_losses_of_runs_that_counted_no_tokens_are_compared_as_means() -> None:
    nothing = np.full(3, np.nan)
    a, b = (Likelihoods(np.array(loss), nothing, nothing) for loss in ([1.0, 2.0, 3.0], [1.1, 2.3, 3.2]))
    assert compare_outcomes(a, b)[["metric", "difference"]].round(3).values.tolist() == [["loss", 0.2]]


def test_what_a_store_has_is_read_by_what_the_answers_are() -> None:
    loss = np.zeros(2)
    kinds = {
        Sets: (["[0, 1]", "[]"], {0: {"labels": [1], "p": {"1": 0.5}}}),
        Values: ([1.5, None], {0: 2.0, 1: 3.0}),
        Spans: (["[[0, 1, 0]]", "[]"], {0: {"spans": [[0, 1, 1, 0.9]]}, 1: {"spans": []}}),
        Texts: (['"yes"', '"no"'], {0: {"text": "yes", "n_tokens": 3}, 1: None}),
        Ranked: ([1.0, 0.0], {0: {"score": 0.9, "logit": 2.0}, 1: {"score": 0.1, "logit": -2.0}}),
        Likelihoods: ([None, None], {0: {"n_tokens": 3, "n_bytes": 9}}),
    }
    for kind, (targets, said) in kinds.items():
        found = outcome_of(targets, said, loss, ["LOC", "PER"], queries=["q", "q"])
        assert isinstance(found, kind)
        assert len(found.loss) == 2
        assert len(found.take(np.array([1])).loss) == 1
    assert isinstance(outcome_of([None], {}, np.zeros(1)), Likelihoods)
