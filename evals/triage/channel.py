"""How true labels turn into given ones: a matrix T(given | true), fitted without any truth.

An out-of-fold opinion q_i(c) of what example i is, and the label it was given, g_i, meet in
    P(g_i | x_i) = sum_c q_i(c) T(g_i | c)        T(g | c) = 1 - e_c for g = c, e_c phi_c(g) otherwise
with e_c how often class c is mislabelled and phi_c what it is then taken for. Expectation maximisation (Dempster, Laird
& Rubin, JRSS B 39 (1977) 1) alternates the responsibilities r_i(c), the probability that i is truly c, and T. The model
is the noise adaptation of Goldberger & Ben-Reuven (ICLR 2017), with the classifier's opinion held out and fixed.

Three things keep a small class from convincing itself. e_c is drawn towards the rate of all classes and phi_c towards
"any other class", by as many pseudo-counts (`spread`) as explain the labels best. An example is judged by a T without
its own responsibility, as in collapsed inference (Asuncion, Welling, Smyth & Teh, UAI 2009). And the first
responsibilities are the opinions alone, so the pairs that opinion and label disagree on most are tried as noise first;
started from a guess of e, the same steps often end where every error is taken for an ambiguous text.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from evals.intervals import Floats, Ints
from evals.triage.rows import blocks

Numbers = npt.NDArray[np.float64]

SPREADS = (1.0, 4.0, 16.0, 64.0, 256.0, 4096.0)
"""Pseudo-counts tried for phi: few where errors keep to pairs of classes, many where they go anywhere."""
_RATE_PRIOR = 20.0  # examples that the rate of all classes counts for in a class's own
_LEAST = 1e-12


@dataclass(frozen=True)
class Channel:
    """counts (n_classes, n_classes): expected examples by (true, given) label; spread: pseudo-counts of phi."""

    counts: Numbers
    spread: float

    @property
    def n(self) -> Numbers:
        """Examples of each true class, expected, (n_classes,)."""
        return np.asarray(self.counts.sum(axis=1))

    @property
    def n_errors(self) -> Numbers:
        """Wrong labels of each true class, expected, (n_classes,)."""
        return np.asarray(self.n - np.diagonal(self.counts))

    @property
    def rate(self) -> float:
        """Share of wrong labels, in [0, 1]; nan for no examples."""
        total = float(self.counts.sum())
        return float(self.n_errors.sum()) / total if total > 0 else np.nan

    @property
    def taken_for(self) -> Numbers:
        """What a wrongly labelled example of each true class is taken for, (n_classes, n_classes): rows of
        probabilities, 0 on the diagonal; all 0 with one class."""
        n_classes = len(self.counts)
        others = ~np.eye(n_classes, dtype=bool)
        return np.where(others, self.counts + self.spread / max(1, n_classes - 1), 0) / (
            self.n_errors[:, None] + self.spread
        )


def count(responsibilities: Floats, given: Ints) -> Numbers:
    """Expected examples by (true, given) label, (n_classes, n_classes); rows with nan, or -1, say nothing.

    >>> count(np.array([[0.25, 0.75], [1.0, 0.0]]), np.array([0, 0])).tolist()
    [[1.25, 0.0], [0.75, 0.0]]
    """
    n, n_classes = responsibilities.shape
    known = np.flatnonzero((given >= 0) & ~np.isnan(responsibilities).any(axis=1))
    has_label = sparse.coo_array((np.ones(len(known)), (given[known], known)), shape=(n_classes, n)).tocsr()
    return np.ascontiguousarray((has_label @ np.nan_to_num(responsibilities)).T)


def judge(log_probs: Floats, given: Ints, channel: Channel) -> tuple[Numbers, Numbers]:
    """The probability of each true label (n, n_classes), and that of the given label (n,), by opinion and channel.

    log_probs (n, n_classes): the opinion, out of fold; given (n,). Rows with nan, or -1, give nan. For many rows hand
    over blocks: several arrays of their size are held.

    >>> channel = Channel(np.array([[90.0, 10.0], [10.0, 90.0]]), 1.0)
    >>> judge(np.log([[0.9, 0.1]]), np.array([1]), channel)[0].round(2).tolist()
    [[0.49, 0.51]]
    """
    opinion = np.exp(log_probs, dtype=np.float64)
    own, _ = _weigh(opinion, given, channel, np.zeros(1))
    return _weigh(opinion, given, channel, own)


def start(log_probs: Floats, given: Ints) -> Channel:
    """The channel of the opinions alone: what a held-out model says against what the label says.

    >>> start(np.log([[0.75, 0.25], [0.5, 0.5]]), np.array([0, 1])).counts.round(2).tolist()
    [[0.75, 0.5], [0.25, 0.5]]
    """
    parts = (count(np.exp(log_probs[part], dtype=np.float64), given[part]) for part in blocks(*log_probs.shape))
    return Channel(_sum(parts, log_probs.shape[1]), SPREADS[1])


def refit(log_probs: Floats, given: Ints, channel: Channel, *, n_rounds: int = 1) -> Channel:
    """The channel after n_rounds more of expectation maximisation over all rows.

    >>> log_probs = np.log(np.where(np.eye(2)[np.repeat([0, 1], 50)] > 0, 0.99, 0.01))
    >>> given = np.array([1] * 10 + [0] * 40 + [1] * 50)
    >>> round(refit(log_probs, given, start(log_probs, given), n_rounds=20).rate, 2)
    0.09
    """
    n_classes = log_probs.shape[1]
    for _ in range(n_rounds):
        judged = (
            count(judge(log_probs[part], given[part], channel)[0], given[part]) for part in blocks(*log_probs.shape)
        )
        channel = Channel(_sum(judged, n_classes), channel.spread)
    return channel


def choose_spread(log_probs: Floats, given: Ints, channel: Channel) -> Channel:
    """The channel with the spread of SPREADS that makes the given labels likeliest.

    >>> channel = Channel(np.array([[90.0, 10.0, 0.0], [0.0, 90.0, 10.0], [10.0, 0.0, 90.0]]), 4096.0)
    >>> choose_spread(np.log(np.full((300, 3), 1 / 3)), np.repeat([0, 1, 2], 100), channel).spread in SPREADS
    True
    """
    tried = [Channel(channel.counts, spread) for spread in SPREADS]
    likelihood = [np.nansum(np.log(np.maximum(judge(log_probs, given, each)[1], _LEAST))) for each in tried]
    return tried[int(np.argmax(likelihood))]


def _weigh(opinion: Numbers, given: Ints, channel: Channel, own: Numbers) -> tuple[Numbers, Numbers]:
    """As `judge`, by the counts without `own` (n, n_classes), or (1,) for none: what each example told them itself."""
    n_classes = opinion.shape[1]
    rows = np.arange(len(given))
    confused = channel.counts.copy()
    np.fill_diagonal(confused, 0)
    n_errors = channel.n_errors
    rate = np.clip(np.nan_to_num(channel.rate), 1e-4, 1 - 1e-4)
    errors = np.maximum(n_errors - own, 0)
    total = np.maximum(channel.n - own, errors)
    taken_for = np.maximum(confused.T[given] - own, 0)
    joint = (errors + _RATE_PRIOR * rate) / (total + _RATE_PRIOR)
    joint = joint * (taken_for + channel.spread / max(1, n_classes - 1)) / (errors + channel.spread) * opinion
    own_given = own[rows, given] if own.ndim == 2 else 0.0
    n_given = np.maximum(channel.n[given] - own_given, n_errors[given])
    is_right = 1 - (n_errors[given] + _RATE_PRIOR * rate) / (n_given + _RATE_PRIOR)
    joint[rows, given] = opinion[rows, given] * is_right
    joint[given < 0] = np.nan
    p_given = joint.sum(axis=1)
    return joint / np.maximum(p_given, _LEAST)[:, None], p_given


def _sum(counts: Iterable[Numbers], n_classes: int) -> Numbers:
    total = np.zeros((n_classes, n_classes))
    for each in counts:
        total += each
    return total
