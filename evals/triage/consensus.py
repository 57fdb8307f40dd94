"""What several voices, none of which saw the example's label, think of it together.

A log-opinion pool, log p = sum_m w_m log p_m + const (Genest & Zidek, Statistical Science 1 (1986) 114): a voice that
is sure counts, and one that rules a label out is heard. The weights are the likelihood's: with the channel of
`evals.triage.channel` between opinion and label, they make the given labels likeliest, so no truth is needed, and a
voice is not punished for contradicting labels that the others contradict too. Unweighted averages of ranks, by
comparison, fall below their best member on real noise.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from evals.intervals import Floats, Ints
from evals.triage.channel import SPREADS, Channel, choose_spread, judge, refit, start
from evals.triage.rows import blocks, check

Numbers = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]

_FLOOR = -20.0  # nats: a voice that rules a label out is taken to give it exp(-20)
_FIT_NUMBERS, _LEAST_FIT = 1_000_000, 5_000  # rows x classes that the channel is fitted on, and at least so many rows
_WEIGHT_ROWS = 4_000  # of these, for the few weights
_MOST_ROUNDS, _CAUTIOUS_ROUNDS = 60, 10
_STILL = 5e-5, 0.002  # a round that moves rate and weights by less is the last
_NEW_SPREAD = 3  # rounds after which the spread is chosen anew
_LAST_ROUNDS = 3  # over all rows, where the channel was fitted on some


@dataclass(frozen=True)
class Consensus:
    """weights (n_members,) >= 0, in the order of the members; channel: how true labels turn into given ones.

    cautious: the channel beside weights that explain the given labels without one. The opinion is then as unsure as
    noise makes it look, and the channel is left with what it cannot explain: fewer errors than there are.
    """

    weights: Numbers
    channel: Channel
    cautious: Channel


def fit_consensus(members: Sequence[Floats], given: Ints, *, seed: int = 0) -> Consensus:
    """Weights and channel for members, each log_probs (n, n_classes) out of fold, and given (n,).

    Where a member's row is nan it has no opinion. The channel is fitted on up to a million numbers a member, drawn by
    `seed`, the weights on some thousand rows of these. Without labelled rows, or with one class, every member counts
    the same.

    >>> rng = np.random.default_rng(0)
    >>> truth = rng.integers(2, size=400)
    >>> given = np.where(rng.random(400) < 0.1, 1 - truth, truth)
    >>> knows = np.log(np.where(np.eye(2)[truth] > 0, 0.95, 0.05))
    >>> guesses = np.log(rng.dirichlet([1, 1], size=400))
    >>> weights = fit_consensus([guesses, knows], given).weights
    >>> bool(weights[1] > 10 * weights[0])
    True
    """
    _check_members(members, given)
    n_classes = members[0].shape[1]
    has_voice = np.any([~np.isnan(member[:, 0]) for member in members], axis=0)
    known = np.flatnonzero((given >= 0) & has_voice)
    weights = np.full(len(members), 1 / len(members))
    if not len(known) or n_classes == 1:
        silent = Channel(np.diag(np.bincount(given[known], minlength=n_classes).astype(np.float64)), SPREADS[0])
        return Consensus(weights, silent, silent)
    rng = np.random.default_rng(seed)
    most = max(_LEAST_FIT, _FIT_NUMBERS // n_classes)
    rows = known
    if len(known) > most:
        rows = np.sort(rng.choice(known, most, replace=False))
    voices, labels = [_voice(member[rows]) for member in members], given[rows]
    some = rng.permutation(len(rows))[:_WEIGHT_ROWS]
    few = [voice[some] for voice in voices]
    weights = _fit_weights(few, np.eye(n_classes, dtype=np.float32)[labels[some]], weights)
    opinion = _normalised(voices, weights)
    channel = start(opinion, labels)
    cautious = refit(opinion, labels, channel, n_rounds=_CAUTIOUS_ROUNDS)
    for number in range(_MOST_ROUNDS):
        rate, before = channel.rate, weights
        channel = refit(opinion, labels, channel, n_rounds=2)
        if number % _NEW_SPREAD == 0:
            channel = choose_spread(opinion, labels, channel)
        weights = _fit_weights(few, judge(opinion[some], labels[some], channel)[0], weights)
        opinion = _normalised(voices, weights)
        if abs(channel.rate - rate) < _STILL[0] and np.abs(weights - before).max() < _STILL[1]:
            break
    if len(rows) < len(known):
        channel = refit(pool(members, weights), given, channel, n_rounds=_LAST_ROUNDS)
    return Consensus(weights, channel, cautious)


def pool(members: Sequence[Floats], weights: Floats) -> Singles:
    """The pooled opinion, log-probabilities (n, n_classes) float32: members each (n, n_classes), weights (n_members,).

    A member whose row is nan is left out there and the others count for it; nan where no member with weight is left.

    >>> sure, unknown = np.log([[0.9, 0.1]]), np.full((1, 2), np.nan)
    >>> np.exp(pool([sure, unknown], np.array([0.5, 0.5]))).round(2)
    array([[0.9, 0.1]], dtype=float32)
    """
    n, n_classes = members[0].shape
    pooled = np.empty((n, n_classes), dtype=np.float32)
    for part in blocks(n, n_classes * 2):
        present = np.array([~np.isnan(member[part]).any(axis=1) for member in members])
        heard = weights @ present
        opinion = _normalised([_voice(member[part]) for member in members], weights)
        if not present.all():
            scale = np.where(heard > 0, weights.sum() / np.where(heard > 0, heard, 1), np.nan)
            opinion = _log_softmax(opinion * scale[:, None].astype(np.float32))
        pooled[part] = opinion
    return pooled


class Doubts(NamedTuple):
    """Of `n_voices` (n,) with an opinion on an example, `n_doubting` (n,) think that another label is likelier."""

    n_doubting: npt.NDArray[np.int64]
    n_voices: npt.NDArray[np.int64]


def count_doubts(margins: Sequence[Floats]) -> Doubts:
    """ "7 of 8 runs doubt this label": margins, one (n,) a voice, below 0 = it prefers another label, nan = no voice.

    The area under the margin is one, and so is 1 - 2 `margin_risk`.

    >>> count_doubts([np.array([-1.0, 0.5]), np.array([-0.1, np.nan])])
    Doubts(n_doubting=array([2, 0]), n_voices=array([2, 1]))
    """
    table = np.atleast_2d(np.asarray(margins, dtype=np.float64))
    return Doubts((table < 0).sum(axis=0), (~np.isnan(table)).sum(axis=0))


def without_shares(log_probs: Floats, given: Ints) -> Singles:
    """An opinion (n, n_classes) of a model trained on labels given (n,), as if all classes were equally common.

    How common a class is among the given labels says nothing of one example, and wrong labels often make a class look
    common: a rule that calls everything it does not know "world". log p(c | x) - log share(c), normalised.

    >>> np.exp(without_shares(np.log([[0.75, 0.25]]), np.array([0, 0, 0, 1]))).round(2).tolist()
    [[0.5, 0.5]]
    """
    counts = np.bincount(given[given >= 0], minlength=log_probs.shape[1])
    shares = np.log(np.maximum(counts, 0.5) / max(1, counts.sum())).astype(np.float32)
    free = np.empty(log_probs.shape, dtype=np.float32)
    for part in blocks(*log_probs.shape):
        free[part] = _log_softmax(np.maximum(log_probs[part], _FLOOR) - shares)
    return free


def wrong_risk(log_probs: Floats, given: Ints, channel: Channel) -> Numbers:
    """The probability that each label is wrong (n,), by the pooled opinion (n, n_classes) and how labels go wrong.

    nan = no opinion or no label.

    >>> channel = Channel(np.array([[90.0, 10.0], [10.0, 90.0]]), 1.0)
    >>> wrong_risk(np.log([[0.9, 0.1]]), np.array([1]), channel).round(2)
    array([0.49])
    """
    check(log_probs, given)
    wrong = np.empty(len(given))
    for part in blocks(*log_probs.shape):
        labels = given[part]
        wrong[part] = 1 - judge(log_probs[part], labels, channel)[0][np.arange(len(labels)), labels]
    return np.clip(wrong, 0, 1)


def _fit_weights(voices: Sequence[Floats], target: Floats, weights: Numbers) -> Numbers:
    """The weights whose pool is closest to target (n, n_classes), rows of probabilities: a concave likelihood."""
    n = len(target)

    def loss(given_weights: Numbers) -> tuple[float, Numbers]:
        opinion = _normalised(voices, given_weights)
        gap = target - np.exp(opinion)
        slope = np.array([np.vdot(gap, voice) for voice in voices], dtype=np.float64)
        return -float(np.vdot(target, opinion)) / n, -slope / n

    bounds = [(0.0, 20.0)] * len(weights)
    return np.asarray(minimize(loss, weights, jac=True, bounds=bounds, method="L-BFGS-B", options={"maxiter": 30}).x)


def _voice(log_probs: Floats) -> Singles:
    """An opinion with a floor; all zeros, which sways nothing, where there is none."""
    silent = np.isnan(log_probs).any(axis=1, keepdims=True)
    return np.where(silent, np.float32(0), np.maximum(log_probs, _FLOOR)).astype(np.float32)


def _normalised(voices: Sequence[Floats], weights: Floats) -> Singles:
    total = np.zeros(voices[0].shape, dtype=np.float32)
    for voice, weight in zip(voices, weights, strict=True):
        total += np.float32(weight) * voice
    return _log_softmax(total)


def _log_softmax(logits: Floats) -> Singles:
    centred = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(centred - np.log(np.exp(centred).sum(axis=1, keepdims=True)), dtype=np.float32)


def _check_members(members: Sequence[Floats], given: Ints) -> None:
    if not members:
        raise ValueError("members is empty; needed: one or more opinions (n, n_classes)")
    shapes = {member.shape for member in members}
    if len(shapes) > 1:
        raise ValueError(f"members have shapes {sorted(shapes)}; needed: one shape, (n, n_classes)")
    for member in members:
        check(member, given)
