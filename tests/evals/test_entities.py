import warnings

import numpy as np
import pytest
from seqeval.metrics import accuracy_score
from seqeval.metrics.sequence_labeling import precision_recall_fscore_support
from seqeval.scheme import IOB2

from evals.entities import count_entities, entity_table, score_entities
from evals.tags import Scheme, Span, spans_of

NAMES = ["O", "O", "O", "B-A", "I-A", "B-B", "I-B", "B-C"]


def _tagged(n: int, seed: int, agreement: float = 0.8) -> tuple[list[list[str]], list[list[str]]]:
    rng = np.random.default_rng(seed)
    given = [rng.choice(NAMES, size=rng.integers(1, 15)) for _ in range(n)]
    said = [np.where(rng.random(len(tags)) < agreement, tags, rng.choice(NAMES, size=len(tags))) for tags in given]
    return [tags.tolist() for tags in given], [tags.tolist() for tags in said]


def _theirs(given: list, said: list, average: str | None, **options: object) -> tuple:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return precision_recall_fscore_support(given, said, average=average, **options)


@pytest.mark.parametrize(("strict", "options"), [(None, {}), (Scheme.BIO, {"mode": "strict", "scheme": IOB2})])
@pytest.mark.parametrize("n", [3, 200])
def test_scores_are_those_of_seqeval(n: int, strict: Scheme | None, options: dict) -> None:
    from seqeval.metrics import f1_score, precision_score, recall_score

    given, said = _tagged(n, seed=n)
    scores = {score.metric: score for score in score_entities(given, said, strict=strict, n_boot=50)}
    for average, prefix in (("micro", "entity"), ("macro", "entity_macro")):
        for name, theirs in (("precision", precision_score), ("recall", recall_score), ("f1", f1_score)):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                expected = theirs(given, said, average=average, **options)
            assert scores[f"{prefix}_{name}"].value == pytest.approx(expected), name
    assert scores["tag_accuracy"].value == pytest.approx(accuracy_score(given, said))
    assert all(score.n == n for score in scores.values())


def test_the_table_of_types_is_that_of_seqeval() -> None:
    given, said = _tagged(300, seed=1)
    counts = count_entities([spans_of(tags) for tags in given], [spans_of(tags) for tags in said])
    table = entity_table(counts, n_boot=200)
    precision, recall, f1, support = _theirs(given, said, None)
    assert table["type"].tolist() == ["A", "B", "C"]
    assert table["n"].tolist() == support.tolist()
    np.testing.assert_allclose(table["precision"], precision)
    np.testing.assert_allclose(table["recall"], recall)
    np.testing.assert_allclose(table["f1"], f1)
    assert ((table["f1_low"] < table["f1"]) & (table["f1"] < table["f1_high"])).all()


def test_the_interval_is_that_of_a_bootstrap_over_sentences() -> None:
    given, said = _tagged(120, seed=2)
    score = score_entities(given, said, n_boot=2000)[0]
    rng = np.random.default_rng(0)
    draws = []
    for _ in range(300):
        rows = rng.integers(120, size=120)
        draws.append(_theirs([given[row] for row in rows], [said[row] for row in rows], "micro")[2])
    low, high = np.quantile(draws, [0.025, 0.975])
    assert score.metric == "entity_f1"
    assert score.low == pytest.approx(low, abs=0.015)
    assert score.high == pytest.approx(high, abs=0.015)


def test_a_sentence_without_prediction_finds_nothing() -> None:
    scores = {score.metric: score.value for score in score_entities([["B-X"], ["B-X", "O"]], [["B-X"], None])}
    assert scores["entity_recall"] == 0.5
    assert scores["entity_precision"] == 1.0
    assert scores["tag_accuracy"] == pytest.approx(1 / 3)


def test_without_entities_there_is_no_score() -> None:
    for given, said in (([], []), ([["O"]], [["O"]])):
        assert all(np.isnan(score.value) for score in score_entities(given, said) if score.metric != "tag_accuracy")


def test_only_ghosts_and_only_misses_score_zero_where_seqeval_says_zero() -> None:
    ghosts = {score.metric: score.value for score in score_entities([["O"]], [["B-X"]])}
    assert (ghosts["entity_precision"], ghosts["entity_recall"], ghosts["entity_f1"]) == (0, 0, 0)
    missed = {score.metric: score.value for score in score_entities([["B-X"]], [["O"]])}
    assert (missed["entity_precision"], missed["entity_recall"], missed["entity_f1"]) == (0, 0, 0)


def test_types_named_ahead_are_there_without_entities() -> None:
    table = entity_table(count_entities([[Span(0, 1, "B")]], [[Span(0, 1, "A")]], ["Z", "B"]))
    assert table["type"].tolist() == ["Z", "B", "A"]
    assert table["n"].tolist() == [0, 1, 0]
    assert np.isnan(table["f1"]).tolist() == [True, False, True]
    # a mistake that no resample can undo has Wilson's interval, not a point
    assert table["f1_low"].tolist()[1] == 0
    assert table["f1_high"].tolist()[1] > 0.5


def test_lengths_must_fit() -> None:
    with pytest.raises(ValueError, match="sentence 1 has 2 given tags and 1 predicted ones"):
        score_entities([["O"], ["O", "O"]], [["O"], ["O"]])
    with pytest.raises(ValueError, match="1 sentences with given tags, 0 with predicted ones"):
        score_entities([["O"]], [])
    with pytest.raises(ValueError, match="1 sentences with given entities, 0"):
        count_entities([[]], [])
