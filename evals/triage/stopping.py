"""When to stop: what is still wrong in the rest of the queue, from what was expected and what was decided so far.

Before any decision every example has a chance to be wrong, from canaries and consensus (`evals.triage.yields`).
Decisions correct it by two numbers, chance' = sigmoid(a + b logit(chance)) (Platt, Advances in Large Margin Classifiers
(1999)), with wide priors on a and log b, and one on what they make of the whole data set: the log of the number of
errors is as sure as the interval of those expected, never very sure. Two things keep the top of the queue, which is
reviewed first, from speaking for its end. Decisions count the less the further their chances are from where the rest
of the errors is expected (a local likelihood: Tibshirani & Hastie, JASA 82 (1987) 559). And a top that is better than
expected is a better sorted queue, not more errors. On planted noise, reviewed from the top down, the interval held the
truth in 82 to 100 of 100 cases down to a fifth of the data, and in 75 after two fifths, where it expects too many.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import expit, log_expit, logit

from evals.intervals import Estimate, Floats, wilson

Numbers = npt.NDArray[np.float64]

_STEP = 0.05  # of log-odds: chances so near to each other are taken for one
_LEAST_CHANCE, _MOST_CHANCE = 1e-5, 0.99
_SHIFT_WIDTH, _SLOPE_WIDTH = 2.0, 0.25  # prior widths of a and of log b
_TOTAL_LEAST, _TOTAL_MOST = 0.3, 1.5  # prior width of the log of the number of errors
_NEAR, _FADE = 1.0, 0.5  # log-odds within which decisions count in full, and over which they fade
_DRAWS = 4000
HARDLY_ANY = 0.5
"""Where fewer wrong labels are expected the chances say almost nothing, and how far they may be off says it all."""


class Outlook(NamedTuple):
    """What remains after the decisions so far.

    chance (n,): each label's corrected chance to be wrong, in [0, 1]; 0 or 1 where it was decided.
    n_decided, n_found: examples decided, wrong ones among them. n_rest: examples not decided.
    errors_left: wrong labels among these. precision_left: their share, in [0, 1]; one_in: its reciprocal, "1 in 20 of
    what remains is wrong". next_errors: wrong ones among the `n_next` likeliest. n_worth: examples whose chance is at
    least the one asked for: 0 = stop. Each estimate has a 95 % interval; all are nan where nothing remains.
    """

    chance: Numbers
    n_decided: int
    n_found: int
    n_rest: int
    errors_left: Estimate
    precision_left: Estimate
    one_in: float
    n_next: int
    next_errors: Estimate
    n_worth: int


def outlook(
    chance: Floats, is_wrong: Floats, n_errors: Estimate, *, n_next: int = 100, worth: float = 0.05, seed: int = 0
) -> Outlook:
    """What remains, by chance (n,) in [0, 1], nan = not known and not counted, and is_wrong (n,): 1 wrong, 0 right, nan
    = not decided. n_errors are those expected before any decision: its interval says how far the chances may be off.

    >>> chance = np.repeat([0.5, 0.01], [100, 900])
    >>> decided = np.full(1000, np.nan)
    >>> decided[:100] = np.arange(100) % 2
    >>> seen = outlook(chance, decided, Estimate(59.0, 30.0, 100.0))
    >>> seen.n_found, round(seen.errors_left.value), round(seen.one_in, -1), seen.n_worth
    (50, 11, 80.0, 0)
    """
    known = ~np.isnan(chance)
    decided = ~np.isnan(is_wrong)
    rest = known & ~decided
    odds = np.round(logit(np.clip(np.where(known, chance, 0.5), _LEAST_CHANCE, _MOST_CHANCE)) / _STEP).astype(np.int64)
    levels, level_of = np.unique(odds, return_inverse=True)
    learned = known & decided
    right, wrong = (_counts(level_of[learned & (is_wrong == each)], len(levels)) for each in (0, 1))
    undecided = _counts(level_of[rest], len(levels))
    posterior = _Posterior(np.asarray(levels * _STEP, dtype=np.float64), undecided, right, wrong, n_errors)
    corrected = np.where(known, posterior.chance()[level_of] if len(levels) else np.nan, np.nan)
    corrected = np.where(decided, is_wrong, corrected)
    order = np.flatnonzero(rest)[np.argsort(-corrected[rest], kind="stable")]
    rng = np.random.default_rng(seed)
    n_rest = len(order)
    errors_left = posterior.errors(_counts(level_of[order], len(levels)), rng)
    if n_rest and n_errors.value >= HARDLY_ANY and not decided.any():  # nothing was learned since
        errors_left = Estimate(*(min(each, n_rest) for each in n_errors))
    next_errors = posterior.errors(_counts(level_of[order[:n_next]], len(levels)), rng)
    if n_rest:  # a part never holds more than all that is left
        next_errors = Estimate(*(min(pair) for pair in zip(next_errors, errors_left, strict=True)))
    if max(n_errors.value, errors_left.value) < HARDLY_ANY:
        unseen = _unseen(n_errors, n_rest, int(learned.sum()), int((is_wrong[learned] == 1).sum()))
        errors_left = _up_to(errors_left, min(unseen, n_rest))
        next_errors = _up_to(next_errors, min(unseen, n_rest, n_next))
    share = [each / n_rest if n_rest else np.nan for each in errors_left]
    return Outlook(
        chance=corrected,
        n_decided=int(decided.sum()),
        n_found=int((is_wrong == 1).sum()),
        n_rest=n_rest,
        errors_left=errors_left,
        precision_left=Estimate(*share),
        one_in=n_rest / errors_left.value if n_rest else np.nan,
        n_next=min(n_next, n_rest),
        next_errors=next_errors,
        n_worth=int((corrected[order] >= worth).sum()),
    )


def lately(is_wrong: Floats, *, last: int = 50) -> Estimate:
    """The share of wrong labels among the last decisions, with Wilson's interval; nan without a decision.

    is_wrong: 1 or 0, in the order decided.

    >>> share, low, high = lately(np.array([1, 1, 1, 0, 0, 1, 0]), last=4)
    >>> share, round(low, 2), round(high, 2)
    (0.25, 0.05, 0.7)
    """
    recent = np.asarray(is_wrong, dtype=np.float64)[-last:]
    n = len(recent)
    return Estimate(float(recent.sum()) / n if n else np.nan, *wilson(float(recent.sum()), n))


def _unseen(n_errors: Estimate, n_rest: int, n_decided: int, n_found: int) -> float:
    """How many wrong labels may be in the rest although none is expected: what the interval before any decision allows,
    its share of the rest; less where as many decisions found nothing, the rest being no worse than what was looked at
    first (3 of n_decided: the rule of three, Hanley & Lippman-Hand, JAMA 249 (1983) 1743). Where nothing was measured,
    nothing is known: nan.

    >>> _unseen(Estimate(0.0, 0.0, 4.0), 300, 0, 0), _unseen(Estimate(0.0, 0.0, 4.0), 100, 300, 0)
    (4.0, 1.0)
    >>> _unseen(Estimate(0.0, 0.0, np.nan), 100, 0, 0), _unseen(Estimate(0.0, 0.0, np.nan), 100, 300, 0)
    (nan, 1.0)
    """
    bounds = [n_errors.high * n_rest / max(1, n_rest + n_decided)]
    if n_decided and not n_found:
        bounds.append(3 * n_rest / n_decided)
    known = [bound for bound in bounds if np.isfinite(bound) and (bound > 0 or not n_rest)]
    return min(known, default=np.nan)


def _up_to(found: Estimate, most: float) -> Estimate:
    """An estimate whose interval reaches at least so far; nothing is known where that is not."""
    return Estimate(found.value, found.low, max(found.high, most)) if most == most else Estimate(np.nan, np.nan, np.nan)


class _Posterior:
    """Weights over a grid of (a, b). levels (l,): log-odds, ascending; rest, right, wrong (l,): examples of each level
    that are not decided, and that were found to be right or wrong."""

    def __init__(self, levels: Numbers, rest: Numbers, right: Numbers, wrong: Numbers, n_errors: Estimate) -> None:
        a, b = (each.ravel() for each in np.meshgrid(np.linspace(-2.5, 2.5, 81), np.linspace(-3, 3, 31)))
        self.logits = a[:, None] * _SHIFT_WIDTH + np.exp(b * _SLOPE_WIDTH)[:, None] * levels
        expected = rest * expit(levels)
        here = float(expected @ levels / expected.sum()) if expected.any() else 0.0
        counts = np.exp(-np.maximum(np.abs(levels - here) - _NEAR, 0) / _FADE)
        log_weight = log_expit(self.logits) @ (counts * wrong) + log_expit(-self.logits) @ (counts * right)
        log_weight -= (a**2 + b**2) / 2
        everyone = rest + right + wrong
        if n_errors.value > 0 and everyone.any():
            total = np.maximum(expit(self.logits) @ everyone, 1e-9)
            log_weight -= (np.log(total / n_errors.value) / _width(n_errors)) ** 2 / 2
        weight = np.exp(log_weight - log_weight.max())
        self.weight = weight / weight.sum()

    def chance(self) -> Numbers:
        """Expected chance at each level, (l,)."""
        return np.asarray(self.weight @ expit(self.logits))

    def errors(self, counts: Numbers, rng: np.random.Generator) -> Estimate:
        """Wrong labels among counts (l,) examples of each level."""
        if not counts.any():
            return Estimate(np.nan, np.nan, np.nan)
        chance = expit(self.logits)
        mean, variance = chance @ counts, (chance * (1 - chance)) @ counts
        drawn = rng.choice(len(mean), _DRAWS, p=self.weight)
        draws = np.clip(rng.normal(mean[drawn], np.sqrt(variance[drawn])), 0, counts.sum())
        low, high = np.quantile(draws, [0.025, 0.975])
        return Estimate(float(self.weight @ mean), float(low), float(high))


def _counts(level_of: npt.NDArray[np.int64], n_levels: int) -> Numbers:
    return np.bincount(level_of, minlength=n_levels).astype(np.float64)


def _width(n_errors: Estimate) -> float:
    """The prior width of the log of the number of errors, from the interval's ends."""
    if not n_errors.low > 0 or not np.isfinite(n_errors.high):
        return _TOTAL_MOST
    return float(np.clip(np.log(n_errors.high / n_errors.low) / (2 * 1.96), _TOTAL_LEAST, _TOTAL_MOST))
