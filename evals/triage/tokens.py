"""What each token of a target says of its example: text generation, and token classification.

Values of all tokens stand in one row (t,), example after example; offsets (n + 1,) say where each begins: example i has
the tokens offsets[i] to offsets[i + 1]. nan = a token that does not count (prompt, padding, a piece of a word).
"""

import numpy as np
import numpy.typing as npt

from evals.intervals import Floats, Ints
from evals.triage.found import Found, checked
from evals.triage.numbers import standard_deviations

Numbers = npt.NDArray[np.float64]


def token_error_potential(target_log_probs: Floats, best_other_log_probs: Floats) -> Numbers:
    """How little the model expects each target token: 1 - ((p - q) + 1) / 2, (t,) in [0, 1].

    p is the probability of the target token, q that of the likeliest other one; both are given as natural logarithms
    (t,). Above 0.5 the model would have said another token. The data-error potential of a class label, for tokens.

    >>> token_error_potential(np.log([0.9, 0.1]), np.log([0.1, 0.7])).round(2).tolist()
    [0.1, 0.8]
    """
    checked("best_other_log_probs", best_other_log_probs, len(target_log_probs))
    p, q = np.exp(np.asarray(target_log_probs, np.float64)), np.exp(np.asarray(best_other_log_probs, np.float64))
    return np.clip(1 - (p - q + 1) / 2, 0, 1)


def hard_targets(target_log_probs: Floats, best_other_log_probs: Floats, token_offsets: Ints) -> Found:
    """Targets that the model expects less than it does the others: by the mean `token_error_potential` of their tokens.

    risk: (1 + z / (1 + |z|)) / 2, in (0, 1), for a mean that lies z standard deviations above the median of all targets
    (by the median absolute deviation): a model that has learnt little expects no target, and that says nothing of one
    of them. 0.5 = the median, 0.875 = three standard deviations. nan for examples without tokens. evidence: potential,
    the mean itself; worst, the place of the worst token in its target; worst_risk, its potential.

    >>> found = hard_targets(np.log([0.9, 0.1, 0.8, 0.8]), np.log([0.1, 0.7, 0.2, 0.1]), np.array([0, 2, 3, 4]))
    >>> found.risk.round(2).tolist(), found.evidence["worst"].tolist()
    ([0.89, 0.5, 0.3], [1, 0, 0])
    """
    potential = token_error_potential(target_log_probs, best_other_log_probs)
    worst, worst_risk = worst_token(potential, token_offsets)
    mean = mean_of_tokens(potential, token_offsets)
    z = standard_deviations(mean)
    return Found((1 + z / (1 + np.abs(z))) / 2, {"potential": mean, "worst": worst, "worst_risk": worst_risk})


def token_label_errors(token_p_given: Floats, token_offsets: Ints) -> Found:
    """Sentences with a token whose label is likely wrong: 1 - the smallest probability of a given label, in [0, 1].

    token_p_given (t,): out of fold. On real errors this beats averages and soft minima of the same numbers (Wang &
    Mueller, Detecting Label Errors in Token Classification Data (2022), arXiv:2210.03920). evidence: worst, the place
    of that token.

    >>> token_label_errors(np.array([0.9, 0.2, 0.8]), np.array([0, 2, 2, 3])).risk.round(2).tolist()
    [0.8, nan, 0.2]
    """
    worst, risk = worst_token(1 - np.asarray(token_p_given, dtype=np.float64), token_offsets)
    return Found(np.clip(risk, 0, 1), {"worst": worst})


def mean_of_tokens(values: Floats, token_offsets: Ints) -> Numbers:
    """Mean over the tokens of each example, (n,); nan where there are none.

    >>> mean_of_tokens(np.array([1.0, 3.0, np.nan]), np.array([0, 2, 3])).tolist()
    [2.0, nan]
    """
    owner, known = _owners(values, token_offsets)
    n = len(token_offsets) - 1
    count = np.bincount(owner[known], minlength=n)
    total = np.bincount(owner[known], weights=np.asarray(values, dtype=np.float64)[known], minlength=n)
    with np.errstate(invalid="ignore"):
        return np.asarray(total / count)


def worst_token(risks: Floats, token_offsets: Ints) -> tuple[npt.NDArray[np.int64], Numbers]:
    """The place of the first token with the highest risk in each example, and that risk: (n,) each; -1, nan for none.

    >>> place, risk = worst_token(np.array([0.1, 0.7, 0.7, 0.2]), np.array([0, 3, 3, 4]))
    >>> place.tolist(), risk.tolist()
    ([1, -1, 0], [0.7, nan, 0.2])
    """
    owner, known = _owners(risks, token_offsets)
    tokens = np.flatnonzero(known)
    order = tokens[np.lexsort((tokens, -np.asarray(risks, dtype=np.float64)[tokens], owner[tokens]))]
    examples, first = np.unique(owner[order], return_index=True)
    n = len(token_offsets) - 1
    place, risk = np.full(n, -1, dtype=np.int64), np.full(n, np.nan)
    place[examples] = order[first] - token_offsets[examples]
    risk[examples] = risks[order[first]]
    return place, risk


def _owners(values: Floats, offsets: Ints) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """The example of each token, and which tokens count."""
    sizes = np.diff(offsets)
    if not len(offsets) or offsets[0] != 0 or offsets[-1] != len(values) or (sizes < 0).any():
        raise ValueError(
            f"token_offsets must rise from 0 to the number of tokens, {len(values)}; got {offsets.tolist()[:9]}"
        )
    return np.repeat(np.arange(len(sizes)), sizes), ~np.isnan(values)
