"""How many labels are wrong, in all, by class and by (given -> likely) pair, each with an interval.

Noise and ambiguity look alike to a model, so no single way of asking is right everywhere. Four readings of the same
held-out opinion, from the fewest errors to the most:
    cautious    the channel beside an opinion as unsure as the labels make it
    channel     the channel fitted together with the opinion's weights (`evals.triage.consensus`)
    anchor      how often the label disagrees where the opinion is surest (anchor points: Liu & Tao, IEEE TPAMI 38
                (2016) 447), the share of surest examples being the one with the smallest upper bound
    confident   the calibrated confident joint (Northcutt et al., JAIR 2021), which counts hard examples as errors
The rate is (channel + 2 anchor) / 3: on planted noise the channel mostly falls short, the anchor overshoots a little.
The interval holds both and goes half way to the cautious reading and half way to the confident one, beyond what chance
alone allows. Where channel and anchor contradict each other it is wide: then errors are not spread by chance. Where
the labels allow fewer errors (`evals.triage.tellable`) it reaches down to these; where they allow nearly any number,
because the opinion hardly knows the texts, the rate is not known.
What a model learns as if it were true, because most labels of that kind say so, none of them can see.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from evals.intervals import Estimate, Floats, Ints, wilson, wilson_bounds
from evals.triage.channel import Channel
from evals.triage.consensus import Consensus
from evals.triage.folds import calibrated, confident_joint
from evals.triage.tellable import tellable_rates

Numbers = npt.NDArray[np.float64]

_SUREST = np.array([0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0])
_SURE = 0.999  # of the bounds that choose among these: the least of seven is easily low by chance


class NoiseRate(NamedTuple):
    """Share of wrong labels with its 95 % interval, over n labelled examples with an opinion, and the four readings;
    all in [0, 1]. value, low and high are nan where the opinion cannot tell the rate, all are for n = 0."""

    value: float
    low: float
    high: float
    n: int
    cautious: float
    channel: float
    anchor: float
    confident: float


def noise_rate(log_probs: Floats, given: Ints, consensus: Consensus) -> NoiseRate:
    """The rate by the pooled opinion log_probs (n, n_classes), given (n,) and the consensus that it was pooled by.

    >>> from evals.triage.consensus import fit_consensus
    >>> rng = np.random.default_rng(0)
    >>> opinion = rng.dirichlet([0.1, 0.1, 0.1], size=2000)
    >>> truth = np.array([rng.choice(3, p=each) for each in opinion])
    >>> given = np.where(rng.random(2000) < 0.1, (truth + 1) % 3, truth)
    >>> log_probs = np.log(np.maximum(opinion, 1e-9))
    >>> rate = noise_rate(log_probs, given, fit_consensus([log_probs], given))
    >>> round(rate.value, 2), round(rate.low, 2), round(rate.high, 2)
    (0.1, 0.06, 0.13)
    """
    known = np.flatnonzero((given >= 0) & ~np.isnan(log_probs).any(axis=1))
    n = len(known)
    if n == 0:
        return NoiseRate(np.nan, np.nan, np.nan, 0, np.nan, np.nan, np.nan, np.nan)
    joint = calibrated(confident_joint(log_probs, given), given)
    confident = 1 - float(np.trace(joint) / joint.sum())
    anchor = anchor_rate(log_probs[known], given[known])
    channel, cautious = consensus.channel.rate, consensus.cautious.rate
    allowed = tellable_rates(log_probs, given, consensus.channel)
    if not allowed.is_told:
        return NoiseRate(np.nan, np.nan, np.nan, n, cautious, channel, anchor.value, confident)
    value = (channel + 2 * anchor.value) / 3
    most = max(channel, anchor.value)
    low = min(anchor.low, wilson((channel + cautious) / 2 * n, n).low, allowed.low)
    high = max(anchor.high, wilson(max(most, (most + confident) / 2) * n, n).high)
    return NoiseRate(value, min(low, value), max(high, value), n, cautious, channel, anchor.value, confident)


def anchor_rate(log_probs: Floats, given: Ints) -> Estimate:
    """How often the label disagrees with the opinion among each class's surest examples, with Wilson's interval.

    log_probs (n, n_classes) without nan, given (n,) without -1. nan for n = 0.

    >>> log_probs = np.log(np.repeat([[0.9, 0.1], [0.6, 0.4]], 50, axis=0))
    >>> given = np.array([1] * 5 + [0] * 45 + [1] * 25 + [0] * 25)
    >>> round(anchor_rate(log_probs, given).value, 2)
    0.1
    """
    n, n_classes = log_probs.shape
    predicted, surest = log_probs.argmax(axis=1), log_probs.max(axis=1)
    counts = np.bincount(predicted, minlength=n_classes)
    order = np.lexsort((-surest, predicted))
    depth = np.empty(n)
    depth[order] = (np.arange(n) - np.repeat(np.cumsum(counts) - counts, counts)) / np.repeat(counts, counts)
    depths, disagrees = np.sort(depth), (predicted != given)[np.argsort(depth, kind="stable")]
    among = np.searchsorted(depths, _SUREST, side="left")
    hits = np.concatenate([[0], np.cumsum(disagrees)])[among]
    _, at_most = wilson_bounds(hits, among, confidence=_SURE)
    if np.isnan(at_most).all():
        return Estimate(np.nan, np.nan, np.nan)
    best = int(np.nanargmin(at_most))
    low, high = wilson_bounds(hits, among)
    return Estimate(float(hits[best] / among[best]), float(low[best]), float(high[best]))


def noise_by_class(channel: Channel, rate: NoiseRate) -> pd.DataFrame:
    """One row a given class, the noisiest first: given, n (examples so labelled), n_errors, rate, low, high.

    The channel says how the errors are spread over the classes, `rate` how many there are: n_errors sum to
    rate.value * n. rate, low, high are shares of n with a 95 % interval, nan for a class without examples.

    >>> channel = Channel(np.array([[90.0, 10.0], [0.0, 100.0]]), 1.0)
    >>> noise_by_class(channel, NoiseRate(0.05, 0.04, 0.06, 200, 0.05, 0.05, 0.05, 0.05)).round(2).to_dict("records")[0]
    {'given': 1, 'n': 110.0, 'n_errors': 10.0, 'rate': 0.09, 'low': 0.03, 'high': 0.19}
    """
    n = channel.counts.sum(axis=0)
    errors, low, high = _scaled(n - np.diagonal(channel.counts), rate)
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = [np.where(n > 0, np.minimum(each / n, 1), np.nan) for each in (errors, low, high)]
    columns = {"given": np.arange(len(n)), "n": n, "n_errors": errors}
    table = pd.DataFrame(columns | dict(zip(("rate", "low", "high"), shares, strict=True)))
    return table.sort_values("rate", ascending=False, kind="stable", ignore_index=True)


def noise_by_pair(channel: Channel, rate: NoiseRate, *, least: float = 0.5) -> pd.DataFrame:
    """One row a pair of classes with `least` expected errors or more, most first: given, likely, n_errors, low, high,
    share (of the examples with that given label).

    >>> channel = Channel(np.array([[90.0, 10.0], [0.0, 100.0]]), 1.0)
    >>> noise_by_pair(channel, NoiseRate(0.05, 0.04, 0.06, 200, 0.05, 0.05, 0.05, 0.05)).round(2).to_dict("records")
    [{'given': 1, 'likely': 0, 'n_errors': 10.0, 'low': 3.45, 'high': 20.96, 'share': 0.09}]
    """
    confused = channel.counts.copy()
    np.fill_diagonal(confused, 0)
    errors, low, high = _scaled(confused, rate)
    likely, given = np.nonzero(errors >= max(least, 1e-12))
    n = channel.counts.sum(axis=0)[given]
    table = pd.DataFrame(
        {
            "given": given,
            "likely": likely,
            "n_errors": errors[likely, given],
            "low": low[likely, given],
            "high": high[likely, given],
            "share": np.minimum(errors[likely, given] / np.maximum(n, 1e-12), 1),
        }
    )
    return table.sort_values("n_errors", ascending=False, kind="stable", ignore_index=True)


def _scaled(errors: Numbers, rate: NoiseRate) -> tuple[Numbers, Numbers, Numbers]:
    """Expected errors so scaled that they sum to the rate's, and the ends of what may be: the rate's own interval, and
    around each end the counts that chance allows (Garwood, Biometrika 28 (1936) 437, for a Poisson count)."""
    total = float(errors.sum())
    if not total > 0 or np.isnan(rate.value):
        nothing = np.zeros_like(errors) if total == 0 else np.full_like(errors, np.nan)
        return nothing, nothing, np.asarray(stats.chi2.ppf(0.975, 2 * nothing + 2) / 2)
    part = errors / total * rate.n
    low = np.asarray(stats.chi2.ppf(0.025, np.maximum(2 * part * rate.low, 1e-12)) / 2)
    high = np.asarray(stats.chi2.ppf(0.975, 2 * part * rate.high + 2) / 2)
    return part * rate.value, low, high
