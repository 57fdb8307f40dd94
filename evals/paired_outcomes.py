"""Two models of a task without classes on the same examples: every metric with its interval and its test.

Metrics that are means over examples are compared by a paired t test, rates of examples that are right by McNemar's
test, and what is a function of sums over examples (F1, BLEU, perplexity) by a paired bootstrap.
"""

import numpy as np
import pandas as pd

from evals import entities, multilabel, regression
from evals.generated import corpus_parts
from evals.outcomes import Likelihoods, Numbers, Outcome, Ranked, Sets, Spans, Texts, Values
from evals.paired import Difference, Flips, mean_difference, with_holm
from evals.paired_sums import N_BOOT, PairedSums, from_draws, rate_difference
from evals.ranking import RANKING_METRICS, query_table

_OF_SPANS = ("entity_f1", "entity_precision", "entity_recall", "entity_macro_f1")


def compare_outcomes(a: Outcome, b: Outcome, *, n_boot: int = N_BOOT, seed: int = 0) -> pd.DataFrame:
    """A row a metric, columns as of `evals.paired.compare_pair`; what is right is taken from A.

    What only one of them wrote is left out. Where they are of two kinds their losses are all that is compared, if any.
    ValueError where they are not of the same examples.

    >>> given, zeros = np.arange(4.0), np.zeros(4)
    >>> table = compare_outcomes(Values(given, given + 1, zeros), Values(given, given, zeros))
    >>> table[["metric", "difference"]].query("metric == 'mae'").values.tolist()
    [['mae', -1.0]]
    """
    if len(a.loss) != len(b.loss):
        raise ValueError(f"{len(a.loss)} examples of A, {len(b.loss)} of B")
    if isinstance(a, Sets) and isinstance(b, Sets):
        return with_holm(_sets(a, b, n_boot, seed))
    if isinstance(a, Values) and isinstance(b, Values):
        return with_holm(_values(a, b, n_boot, seed))
    if isinstance(a, Spans) and isinstance(b, Spans):
        return with_holm(_spans(a, b, n_boot, seed))
    if isinstance(a, Ranked) and isinstance(b, Ranked):
        return with_holm(_ranked(a, b))
    rows = _texts(a, b, n_boot, seed) if isinstance(a, Texts) and isinstance(b, Texts) else []
    ours, theirs = (each.likelihoods if isinstance(each, Texts) else each for each in (a, b))
    if isinstance(ours, Likelihoods) and isinstance(theirs, Likelihoods):
        return with_holm([*rows, *_likelihoods(ours, theirs, n_boot, seed)])
    return with_holm([mean_difference("loss", a.loss, b.loss)])


def outcome_flips(a: Outcome, b: Outcome) -> Flips | None:
    """How right and wrong examples meet, of those that both were asked; None where nothing is right or wrong.

    >>> sets = [np.array([[1], [0]]), np.array([[1], [1]])]
    >>> outcome_flips(*(Sets(sets[0], said, np.zeros((2, 1)), np.zeros(2)) for said in sets))
    Flips(fixed=0, broken=1, both_right=1, both_wrong=0)
    """
    ours, theirs = a.right(), b.right()
    if ours is None or theirs is None:
        return None
    known = ~(np.isnan(ours) | np.isnan(theirs))
    meeting = (2 * ours[known] + theirs[known]).astype(np.int64)
    n = np.bincount(meeting, minlength=4).tolist()
    return Flips(fixed=n[1], broken=n[2], both_right=n[3], both_wrong=n[0])


def _sets(a: Sets, b: Sets, n_boot: int, seed: int) -> list[Difference]:
    both = [multilabel.set_contributions(a.given, each.said) for each in (a, b)]
    sums = PairedSums(*both, n_boot=n_boot, seed=seed)
    wrong = [(a.given != each.said).mean(axis=1) for each in (a, b)]
    return [
        *(sums.difference(name, multilabel.STATISTICS[name]) for name in ("micro_f1", "macro_f1", "weighted_f1")),
        rate_difference("exact_match", *((each == 0).astype(np.float64) for each in wrong)),
        mean_difference("hamming_loss", *wrong),
        mean_difference("loss", a.loss, b.loss),
    ]


def _values(a: Values, b: Values, n_boot: int, seed: int) -> list[Difference]:
    known = np.isfinite(a.given) & np.isfinite(a.said) & np.isfinite(b.said)
    given, ours, theirs = a.given[known], a.said[known], b.said[known]
    errors = ours - given, theirs - given
    if not known.any():
        return [mean_difference("mae", *errors), mean_difference("loss", a.loss, b.loss)]
    both = [regression.contributions(given, said) for said in (ours, theirs)]
    sums = PairedSums(*both, n_boot=n_boot, seed=seed)
    draws = regression.spearman_draws(given, ours, theirs, n_boot=n_boot, seed=seed)
    ranked = regression.spearman(given, ours), regression.spearman(given, theirs)
    return [
        from_draws("spearman", *ranked, draws[1] - draws[0], len(given)),
        *(sums.difference(name, regression.STATISTICS[name]) for name in ("pearson", "r2")),
        mean_difference("mae", *map(np.abs, errors)),
        sums.difference("rmse", regression.STATISTICS["rmse"]),
        mean_difference("mse", *map(np.square, errors)),
        mean_difference("loss", a.loss, b.loss),
    ]


def _spans(a: Spans, b: Spans, n_boot: int, seed: int) -> list[Difference]:
    counts = [entities.count_entities(a.given, each.said, a.types) for each in (a, b)]
    sums = PairedSums(*map(entities.contributions, counts), n_boot=n_boot, seed=seed)
    return [
        *(sums.difference(name, entities.STATISTICS[name]) for name in _OF_SPANS),
        mean_difference("loss", a.loss, b.loss),
    ]


def _ranked(a: Ranked, b: Ranked) -> list[Difference]:
    """Query by query; which documents are of one query is taken from A."""
    ours, theirs = (query_table(a.query, a.given, each.logit) for each in (a, b))
    return [mean_difference(name, ours[name].to_numpy(), theirs[name].to_numpy()) for name in RANKING_METRICS]


def _texts(a: Texts, b: Texts, n_boot: int, seed: int) -> list[Difference]:
    rows = np.flatnonzero(a.is_written & b.is_written)
    if not len(rows):
        return []
    given = [[str(a.given[row])] for row in rows]
    said = [[each.said[row] for row in rows] for each in (a, b)]
    ours, theirs = (each.take(rows).columns() for each in (a, b))
    found = [rate_difference("exact_match", ours.pop("exact_match"), theirs.pop("exact_match"))]
    found += [mean_difference(name, ours[name], theirs[name]) for name in ours]
    parts = [corpus_parts(each, given) for each in said]
    for name, (counts, statistic) in parts[0].items():
        sums = PairedSums(counts, parts[1][name][0], n_boot=n_boot, seed=seed)
        found.append(sums.difference(name, statistic))
    return found


def _likelihoods(a: Likelihoods, b: Likelihoods, n_boot: int, seed: int) -> list[Difference]:
    """Loss a token and perplexity mean the same of both only where their tokens do; bits a byte always do."""
    has_counts = ~np.isnan([a.loss, b.loss, a.n_tokens, b.n_tokens]).any(axis=0)
    if not has_counts.any():
        return [mean_difference("loss", a.loss, b.loss)]
    ours, theirs = a.take(np.flatnonzero(has_counts)), b.take(np.flatnonzero(has_counts))
    sums = PairedSums(_nats(ours), _nats(theirs), n_boot=n_boot, seed=seed)
    found = []
    if np.array_equal(ours.n_tokens, theirs.n_tokens):
        found = [sums.difference("loss", _loss), sums.difference("perplexity", lambda total: np.exp(_loss(total)))]
    if np.isfinite([ours.n_bytes, theirs.n_bytes]).all():
        found.append(sums.difference("bits_per_byte", lambda total: total[..., 0] / (np.log(2) * total[..., 2])))
    return found or [mean_difference("loss", a.loss, b.loss)]


def _nats(of: Likelihoods) -> Numbers:
    return np.stack([of.loss * of.n_tokens, of.n_tokens, of.n_bytes], axis=1)


def _loss(total: Numbers) -> Numbers:
    return np.asarray(total[..., 0] / total[..., 1], dtype=np.float64)
