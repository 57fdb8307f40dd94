"""Examples with any number of labels: scores, the table of labels, and where each label's threshold is best set.

Shapes: labels (n, k): 1 = has the label, 0 = has it not, -1 = not known, which is left out everywhere; probs (n, k):
the probability of each label by itself, in [0, 1]; thresholds (k,): a label is predicted when its probability reaches
its threshold. A nan probability is wrong, whatever the label.

F1 = 2 hits / (given + predicted), as in `evals.f1`: micro over all labels together, macro the mean over the labels that
occur. Average precision of a label: the mean, over its examples, of the precision among all examples ranked at least as
high (equal probabilities are one rank). Hamming loss: the share of wrong cells. Exact match: the share of examples
without one. Source: Tsoumakas, Katakis & Vlahavas, Mining Multi-label Data (2010).
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from evals import f1
from evals.intervals import Estimate, Floats, Ints, percentile_interval, wilson_bounds
from evals.metrics import Score
from evals.resampling import affordable_draws, resample_weights, resampled_sums

Numbers = npt.NDArray[np.float64]

MIN_POSITIVES = 5
"""A label with fewer examples has no threshold of its own: the best one on so few is mostly chance."""
MAX_AP_CELLS = 100_000_000
"""Examples × labels × resamples that the interval of the mean average precision may cost."""


class Thresholds(NamedTuple):
    """The threshold of each label (k,), in (0, 1], and where it comes from (k,): "own" or "shared"."""

    values: Numbers
    source: tuple[str, ...]


def choose_thresholds(labels: Ints, probs: Floats, *, min_positives: int = MIN_POSITIVES) -> Thresholds:
    """The threshold of each label with its highest F1 on these examples, which should not be those trained on.

    A threshold lies halfway between the probabilities that it separates; of equally good ones the nearest to 0.5 is
    taken. A label with fewer than `min_positives` examples, or with no others, has the threshold that is best for all
    labels together by micro F1 ("shared"); that is 0.5 where no label occurs. Source: Lipton, Elkan & Narayanaswamy,
    Thresholding Classifiers to Maximize F1 Score (2014), arXiv:1402.1892, which also warns: a label that the model
    cannot tell is best predicted everywhere.

    >>> labels = np.array([[1, 0], [1, 0], [0, 1], [0, 0]])
    >>> probs = np.array([[0.4, 0.1], [0.3, 0.1], [0.1, 0.2], [0.1, 0.1]])
    >>> found = choose_thresholds(labels, probs, min_positives=2)
    >>> found.values.round(3).tolist(), found.source
    ([0.2, 0.15], ('own', 'shared'))
    """
    _check(labels, probs)
    known = (labels >= 0) & ~np.isnan(probs)
    shared = _best_threshold(labels[known], probs[known])
    values, source = np.full(labels.shape[1], shared), ["shared"] * labels.shape[1]
    for at in range(labels.shape[1]):
        rows = known[:, at]
        mine = labels[rows, at]
        if (mine == 1).sum() >= max(1, min_positives) and (mine == 0).any():
            values[at], source[at] = _best_threshold(mine, probs[rows, at]), "own"
    return Thresholds(values, tuple(source))


def predicted_labels(probs: Floats, thresholds: Floats | float = 0.5) -> npt.NDArray[np.int8]:
    """Which labels are predicted, (n, k): 1, 0, or -1 where the probability is nan.

    >>> predicted_labels(np.array([[0.5, 0.4, np.nan]])).tolist()
    [[1, 0, -1]]
    """
    return np.where(np.isnan(probs), -1, probs >= np.asarray(thresholds)).astype(np.int8)


def score_multilabel(
    labels: Ints, probs: Floats, thresholds: Floats | float = 0.5, *, n_boot: int = 1000, seed: int = 0
) -> tuple[Score, ...]:
    """Every score with a bootstrap interval over examples: micro, macro, weighted F1, macro AP, exact match, Hamming.

    Examples without any known label are left out. `macro_ap` is the mean over the labels that occur, and nan where a
    probability is; for large splits its interval takes fewer resamples (`MAX_AP_CELLS`).
    ValueError, naming every problem, for arrays that are not of this form.

    >>> scores = score_multilabel(np.array([[1, 0], [1, 1]]), np.array([[0.9, 0.2], [0.4, 0.8]]), n_boot=0)
    >>> [(score.metric, round(score.value, 3)) for score in scores[:4]]
    [('micro_f1', 0.8), ('macro_f1', 0.833), ('weighted_f1', 0.778), ('macro_ap', 1.0)]
    """
    _check(labels, probs, thresholds)
    kept = (labels >= 0).any(axis=1)
    if not kept.all():
        labels, probs = labels[kept], probs[kept]
    sums = resampled_sums(_contributions(_parts(labels, probs, thresholds)), n_boot=n_boot, seed=seed)
    found = {name: sums.estimate(statistic) for name, statistic in STATISTICS.items()}
    found["macro_ap"] = _macro_ap(labels, probs, n_boot, seed)
    return tuple(Score(name, *found[name], len(labels)) for name in ORDER)


def set_contributions(given: Ints, said: Ints) -> Numbers:
    """What each example adds to the sums that STATISTICS are functions of: sets (n, k), 1 = has it -> (n, 3 k + 4).

    >>> total = set_contributions(np.array([[1, 0], [1, 1]]), np.array([[1, 0], [0, 1]])).sum(axis=0)
    >>> {name: float(STATISTICS[name](total)) for name in ("micro_f1", "exact_match")}
    {'micro_f1': 0.8, 'exact_match': 0.5}
    """
    return _contributions(_parts(given, said.astype(np.float64), 0.5))


def _contributions(parts: "_Parts") -> Numbers:
    wrong = ((parts.right == 0) & parts.known).sum(axis=1)
    columns = [parts.hits, parts.given, parts.predicted]
    ends = [wrong[:, None], parts.known.sum(axis=1)[:, None], (wrong == 0)[:, None], np.ones((len(wrong), 1))]
    return np.concatenate([*columns, *ends], axis=1).astype(np.float64)


def label_table(
    labels: Ints, probs: Floats, label_names: Sequence[str], thresholds: Floats | float = 0.5
) -> pd.DataFrame:
    """One row a label: label, n (examples that have it), n_predicted, threshold, precision, recall, f1, ap.

    precision is nan for a label never predicted; recall, F1 and AP for one that no example has.

    >>> table = label_table(np.array([[1, 0], [1, 0]]), np.array([[0.9, 0.6], [0.4, 0.1]]), ["fee", "card"])
    >>> table.drop(columns="n_predicted").to_dict("records")[0]
    {'label': 'fee', 'n': 2, 'threshold': 0.5, 'precision': 1.0, 'recall': 0.5, 'f1': 0.6666666666666666, 'ap': 1.0}
    """
    _check(labels, probs, thresholds)
    if len(label_names) != labels.shape[1]:
        raise ValueError(f"{len(label_names)} names for {labels.shape[1]} labels")
    parts = _parts(labels, probs, thresholds)
    hits, given, predicted = (part.sum(axis=0) for part in (parts.hits, parts.given, parts.predicted))
    with np.errstate(invalid="ignore", divide="ignore"):
        return pd.DataFrame(
            {
                "label": list(label_names),
                "n": given,
                "n_predicted": predicted,
                "threshold": np.broadcast_to(np.asarray(thresholds, dtype=np.float64), len(label_names)),
                "precision": hits / predicted,
                "recall": np.where(given > 0, hits / given, np.nan),
                "f1": f1.f1_per_class(f1.ClassTotals(hits, given, predicted)),
                "ap": average_precisions(labels, probs),
            }
        )


def average_precisions(labels: Ints, probs: Floats) -> Numbers:
    """Average precision of each label (k,) in [0, 1]; nan for a label that no example has or with a nan probability.

    >>> average_precisions(np.array([[1, 0], [0, 0], [1, 0]]), np.array([[0.9, 0.1], [0.5, 0.1], [0.3, 0.1]])).round(3)
    array([0.833,   nan])
    """
    return np.array([_Ranked.of(labels[:, at], probs[:, at]).average_precision(None) for at in range(labels.shape[1])])


class _Parts(NamedTuple):
    """Of each cell, (n, k): is the label predicted and right, given, predicted; known at all; right."""

    hits: npt.NDArray[np.int64]
    given: npt.NDArray[np.int64]
    predicted: npt.NDArray[np.int64]
    known: npt.NDArray[np.bool_]
    right: npt.NDArray[np.bool_]


def _parts(labels: Ints, probs: Floats, thresholds: Floats | float) -> _Parts:
    said = predicted_labels(probs, thresholds)
    known = labels >= 0
    says = np.where(said < 0, labels == 0, said == 1) & known  # nan is wrong either way
    has = (labels == 1) & known
    hits, given, predicted = (part.astype(np.int64) for part in (has & says, has, says))
    return _Parts(hits, given, predicted, known, has == says)


class _Ranked(NamedTuple):
    """The examples of one label from the most probable down: their rows, whether they have it, the ends of ranks."""

    rows: npt.NDArray[np.int64]
    has: Numbers
    ends: npt.NDArray[np.int64]
    is_known: bool

    @classmethod
    def of(cls, labels: Ints, probs: Floats) -> "_Ranked":
        rows = np.flatnonzero(labels >= 0)
        order = rows[np.argsort(-probs[rows], kind="stable")]
        sorted_probs = probs[order]
        ends = np.flatnonzero(np.append(sorted_probs[1:] != sorted_probs[:-1], True)) if len(order) else order
        return cls(order, (labels[order] == 1).astype(np.float64), ends, not np.isnan(sorted_probs).any())

    def average_precision(self, weights: Numbers | None) -> Any:
        """AP of the sample, or of each resample by its weights (m, n): (m,)."""
        if not self.is_known or not self.has.any():
            return np.nan if weights is None else np.full(len(weights), np.nan)
        drawn = np.ones((1, len(self.rows))) if weights is None else weights[:, self.rows]
        n_above = np.cumsum(drawn, axis=1)[:, self.ends]
        has_above = np.cumsum(drawn * self.has, axis=1)[:, self.ends]
        with np.errstate(invalid="ignore", divide="ignore"):
            precision = np.nan_to_num(has_above / n_above)
            found = (np.diff(has_above, axis=1, prepend=0) * precision).sum(axis=1) / has_above[:, -1]
        return float(found[0]) if weights is None else found


def _macro_ap(labels: Ints, probs: Floats, n_boot: int, seed: int) -> Estimate:
    n, k = labels.shape
    values = average_precisions(labels, probs)
    occurs = (labels == 1).any(axis=0)
    if not occurs.any() or np.isnan(values[occurs]).any():
        return Estimate(np.nan, np.nan, np.nan)
    value = float(values[occurs].mean())
    n_draws = affordable_draws(n_boot, n * k, MAX_AP_CELLS)
    if n < 2 or n_draws == 0:
        return Estimate(value, np.nan, np.nan)
    ranked = [_Ranked.of(labels[:, at], probs[:, at]) for at in np.flatnonzero(occurs)]
    draws = []
    for weights in resample_weights(n, n_draws, np.random.default_rng(seed)):
        of_labels = np.stack([label.average_precision(weights) for label in ranked])
        n_measured = (~np.isnan(of_labels)).sum(axis=0)
        with np.errstate(invalid="ignore"):
            draws.append(np.nansum(of_labels, axis=0) / n_measured)
    return Estimate(value, *percentile_interval(np.concatenate(draws)))


def _best_threshold(labels: Ints, probs: Floats) -> float:
    """The threshold with the highest F1 over these cells, each (m,); 0.5 where none has the label."""
    n_given = int((labels == 1).sum())
    if n_given == 0:
        return 0.5
    order = np.argsort(-probs, kind="stable")
    scores = probs[order].astype(np.float64)
    ends = np.flatnonzero(np.append(scores[1:] != scores[:-1], True))
    n_hits = np.cumsum(labels[order] == 1)[ends]
    quality = 2 * n_hits / (n_given + ends + 1)
    below = np.append(scores[ends[1:]], 0.0)  # the next lower probability; nothing is below the last
    candidates = np.where(scores[ends] > 0, (scores[ends] + below) / 2, np.nextafter(0.0, 1.0))
    best = np.flatnonzero(quality == quality.max())
    return float(candidates[best[np.abs(candidates[best] - 0.5).argmin()]])


def _micro_f1(totals: f1.ClassTotals) -> Numbers:
    return np.asarray(2 * totals.hits.sum(-1) / (totals.gold.sum(-1) + totals.predicted.sum(-1)), dtype=np.float64)


def _of_classes(average: Callable[[f1.ClassTotals], Numbers]) -> Callable[[Numbers], Numbers]:
    def statistic(total: Numbers) -> Numbers:
        k = (total.shape[-1] - 4) // 3
        parts = [total[..., at * k : (at + 1) * k].astype(np.int64) for at in range(3)]
        return average(f1.ClassTotals(*parts))

    return statistic


STATISTICS: dict[str, Callable[[Numbers], Numbers]] = {
    "micro_f1": _of_classes(_micro_f1),
    "macro_f1": _of_classes(f1.macro_f1),
    "weighted_f1": _of_classes(f1.weighted_f1),
    "exact_match": lambda total: total[..., -2] / total[..., -1],
    "hamming_loss": lambda total: total[..., -4] / total[..., -3],
}
"""Score → function of the sums of `set_contributions`, (..., 3 k + 4) -> (...)."""
ORDER = ("micro_f1", "macro_f1", "weighted_f1", "macro_ap", "exact_match", "hamming_loss")


def _check(labels: Ints, probs: Floats, thresholds: Floats | float = 0.5) -> None:
    """Raise ValueError naming everything that is wrong with the arrays at once."""
    problems = []
    if labels.ndim != 2 or labels.shape != probs.shape:
        problems.append(f"labels has shape {labels.shape}, probs {probs.shape}; needed: (n, k) both")
    if not np.issubdtype(labels.dtype, np.integer):
        problems.append(f"labels has type {labels.dtype}; needed: integers")
    elif labels.size and not -1 <= labels.min() <= labels.max() <= 1:
        problems.append(f"labels holds {labels.min()} to {labels.max()}; allowed: 1, 0 and -1 (not known)")
    if probs.size and ((probs < 0) | (probs > 1)).any():
        problems.append(f"probs holds {np.nanmin(probs):.4g} to {np.nanmax(probs):.4g}; allowed: 0 to 1, and nan")
    given = np.asarray(thresholds)
    if given.ndim > 1 or (given.ndim == 1 and labels.ndim == 2 and len(given) != labels.shape[1]):
        problems.append(f"thresholds has shape {given.shape}; needed: one number, or one for each label")
    if np.isnan(given).any():
        problems.append("thresholds holds nan")
    if problems:
        raise ValueError("; ".join(problems))


def set_table(given: Ints, said: Ints, label_names: Sequence[str]) -> pd.DataFrame:
    """One row a label, of given and predicted sets (n, k), 1 = has the label: label, n, n_predicted, precision, recall,
    f1, f1_low, f1_high (95 %, Wilson's indirect interval as in `evals.classification.class_table`).

    precision is nan for a label never predicted; recall and F1 for one that no example has.

    >>> table = set_table(np.array([[1, 0], [1, 0]]), np.array([[1, 1], [0, 0]]), ["fee", "card"])
    >>> table.drop(columns=["f1_low", "f1_high"]).round(2).to_dict("records")[0]
    {'label': 'fee', 'n': 2, 'n_predicted': 1, 'precision': 1.0, 'recall': 0.5, 'f1': 0.67}
    """
    if given.shape != said.shape or given.shape[1] != len(label_names):
        raise ValueError(f"given has shape {given.shape}, said {said.shape}, for {len(label_names)} names")
    has, predicted = given == 1, (said == 1) & (given >= 0)
    hits, n, n_predicted = ((each).sum(axis=0) for each in (has & predicted, has, predicted))
    low, high = wilson_bounds(hits, n + n_predicted - hits)
    with np.errstate(invalid="ignore", divide="ignore"):
        scores = {"precision": hits / n_predicted, "recall": hits / n, "f1": 2 * hits / (n + n_predicted)}
    scores |= {"f1_low": 2 * low / (1 + low), "f1_high": 2 * high / (1 + high)}
    scores |= {name: np.where(n > 0, scores[name], np.nan) for name in ("f1", "f1_low", "f1_high")}
    return pd.DataFrame({"label": list(label_names), "n": n, "n_predicted": n_predicted, **scores})


def thresholds_of(probs: Floats, said: Ints) -> Numbers:
    """The threshold of each label (k,) that sets were predicted by: half way between the least probable label that was
    said and the most probable that was not; nan where none was said, or every one.

    >>> probs = np.array([[0.9, 0.1], [0.4, 0.2], [0.3, 0.3]])
    >>> thresholds_of(probs, np.array([[1, 0], [1, 0], [0, 0]])).round(2).tolist()
    [0.35, nan]
    """
    is_said = said == 1
    least = np.where(is_said, probs, np.inf).min(axis=0, initial=np.inf)
    most = np.where(is_said, -np.inf, probs).max(axis=0, initial=-np.inf)
    with np.errstate(invalid="ignore"):
        middle = (least + most) / 2
    return np.where(np.isfinite(middle), middle, np.nan)
