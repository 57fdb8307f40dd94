"""Between which rates of wrong labels an opinion can tell: the profile likelihood of one rate for all labels.

With probability e a label is another one: P(g | x) = (1 - e) q(g) + e sum_c q(c) phi_c(g), where phi_c is what class c
is taken for by the fitted channel (`evals.triage.channel`), and q the held-out opinion, as sure as makes the given
labels likeliest beside that e (log q = t log p, normalised). The
rates whose likelihood is within a chi-squared quantile of the greatest (Wilks, Ann. Math. Stat. 9 (1938) 60) are those
that the labels allow. An opinion that knows the texts leaves a narrow range. To one that guesses, or knows little,
wrong labels and hard texts look alike, and nearly every rate is as likely as none.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from evals.intervals import Floats, Ints
from evals.triage.channel import Channel

Numbers = npt.NDArray[np.float64]

_SURENESS: Numbers = np.exp(np.linspace(np.log(0.05), np.log(8), 29))
_RATES: Numbers = (np.arange(61) / 60) ** 2
"""Of the highest rate that says anything, finest near none."""
_NUMBERS, _LEAST_ROWS = 1_000_000, 2_000  # rows x classes that are looked at, and at least so many rows
_LEAST = 1e-12


class Tellable(NamedTuple):
    """The rates that the labels allow, low to high in [0, chance]; chance = 1 - 1 / n_classes, that of labels which say
    nothing. All nan without labelled examples that have an opinion; all 0 with one class."""

    low: float
    high: float
    chance: float

    @property
    def is_told(self) -> bool:
        """Whether half of all rates is allowed at most."""
        return self.high - self.low <= self.chance / 2


def tellable_rates(log_probs: Floats, given: Ints, channel: Channel, *, seed: int = 0) -> Tellable:
    """By the opinion log_probs (n, n_classes), out of fold, given (n,), and the channel between them; rows with nan, or
    -1, say nothing.

    Of many examples some are drawn, by `seed`; the range is then that of so many.

    >>> rng = np.random.default_rng(0)
    >>> truth = np.arange(600) % 2
    >>> given = np.where(rng.random(600) < 0.1, 1 - truth, truth)
    >>> knows = np.where(np.eye(2)[truth] > 0, 0.95, 0.05)
    >>> either = Channel(np.eye(2), 1.0)
    >>> said = tellable_rates(np.log(knows), given, either)
    >>> bool(said.low < 0.1 < said.high), said.is_told
    (True, True)
    >>> tellable_rates(np.log(rng.dirichlet([1, 1], size=600)), given, either).is_told
    False
    """
    n_classes = log_probs.shape[1]
    known = np.flatnonzero((given >= 0) & ~np.isnan(log_probs).any(axis=1))
    if not len(known):
        return Tellable(np.nan, np.nan, np.nan)
    if n_classes == 1:
        return Tellable(0.0, 0.0, 0.0)
    most = max(_LEAST_ROWS, _NUMBERS // n_classes)
    if len(known) > most:
        known = np.sort(np.random.default_rng(seed).choice(known, most, replace=False))
    chance = 1 - 1 / n_classes
    rates = _RATES[:-1] * chance
    opinion = np.asarray(log_probs[known], dtype=np.float64)
    likelihood = _likelihoods(opinion, given[known], channel.taken_for, rates).max(axis=1)
    allowed = rates[2 * (likelihood.max() - likelihood) <= stats.chi2.ppf(0.95, 1)]
    return Tellable(float(allowed[0]), float(allowed[-1]), chance)


def _likelihoods(log_probs: Numbers, given: Ints, taken_for: Numbers, rates: Numbers) -> Numbers:
    """Log-likelihood of the given labels at each rate and sureness, (len(rates), len(_SURENESS))."""
    rows = np.arange(len(given))
    to_given = taken_for.T[given]
    found = np.empty((len(rates), len(_SURENESS)))
    for column, sureness in enumerate(_SURENESS):
        opinion = special.softmax(log_probs * sureness, axis=1)
        right, wrong = opinion[rows, given], np.einsum("nc,nc->n", opinion, to_given)
        found[:, column] = [np.log(np.maximum((1 - e) * right + e * wrong, _LEAST)).sum() for e in rates]
    return found
