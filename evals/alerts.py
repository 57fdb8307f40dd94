"""Alerts: when a training goes wrong in a way that numbers show, each a pure rule over arrays.

A rule returns an Alert, or None while nothing is wrong or too little is known to tell. It looks at the present only:
that an alert is raised once and not at every step is its caller's business. No rule raises for nan or empty arrays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from evals.intervals import Floats, Ints  # not at run time: scipy takes a second, and scripts import this

SPIKE_WINDOW = 100
"""Steps that a spike is measured against: long enough for a steady median, short enough to follow a falling loss."""
SPIKE_LEAST = 20
"""Fewer steps than this say too little about what is usual."""
SPIKE_SCORE = 10.0
"""Robust z-score. Iglewicz & Hoaglin call 3.5 an outlier; the losses of batches have heavier tails than they assume:
with this one, log-normal losses of deviation 0.5 give a false alarm in about 6,000 steps."""
SPIKE_FACTOR = 2.0
"""Where the loss hardly varies a large z-score is a small rise: a spike is also twice the median."""
SPIKE_OF_START = 0.25
"""Near the end of a training one odd example is a hundred medians: a spike also reaches a quarter of the first loss."""
SPIKE_REST = 200
"""Steps after a spike in which no other is told: it is often the same one, and the flight recorder holds as many."""

DIVERGENCE_STRETCH = 25
"""Points whose median is taken, so that no single bad batch is a divergence."""
_STRIDE = 5  # points between two such stretches: every one would cost five times as much and tell the same
DIVERGENCE_FACTOR = 2.0
"""The loss is this many times its own best."""
DIVERGENCE_LOST = 0.5
"""And has lost this share of what it had gained: a loss near zero doubles easily."""
DIVERGENCE_ERRORS = 6.0
"""And the rise is this many standard errors of such a median: the lowest of many medians is low by chance."""

VALIDATION_DIVERGENCE_FACTOR = 10.0
"""One evaluation is enough where it is this many times the best: it is a mean over all validation data, and what
learning by heart does to it takes several evaluations."""

OVERFIT_EVALUATIONS = 2
"""Evaluations in a row above the best: one may be chance, and runs of three to six epochs have few."""
OVERFIT_RISE = 0.01
"""Above the best by this share of it; less is noise."""

STALL_SECONDS = 60.0
"""A hiccup of the machine (a slow disk, another process) ends within a minute."""
STALL_FACTOR = 20.0
"""Slow steps are allowed more: this many times the median step."""
STALL_FIRST_SECONDS = 600.0
"""Before two steps are done nothing is usual; loading and compiling for the first may take minutes."""

WAIT_SHARE = 0.5
"""More time waiting for batches than computing with them: the device is idle most of the time."""
WAIT_SECONDS = 30.0
"""Judged over at least this much time, because the first batches of an epoch always wait."""

DISK_BYTES = 500_000_000
"""What the store, its write-ahead log, its spool and the console log may need within a day."""
DISK_CHECKPOINT_FACTOR = 1.2
"""Room for the next checkpoint and a little: it is written beside the old one before that is removed."""

ROBUST_SIGMA = 1.4826
"""The standard deviation of a normal distribution over its median absolute deviation."""


class AlertKind(StrEnum):
    """What an alert is about."""

    NOT_FINITE = "not finite"
    SPIKE = "loss spike"
    DIVERGENCE = "divergence"
    OVERFITTING = "over-fitting"
    STALL = "stall"
    DATA_LOADER = "data loader"
    DISK_LOW = "disk low"


@dataclass(frozen=True)
class Alert:
    """Something that a person should look at. `step` None: it is about no step."""

    kind: AlertKind
    step: int | None
    message: str
    """What is wrong, and what to do next."""
    evidence: Mapping[str, float | int | str]


def not_finite(steps: Ints, losses: Floats) -> Alert | None:
    """The first loss that is no number: steps (n,), losses (n,) as measured.

    >>> not_finite(np.array([7, 8]), np.array([0.5, np.nan])).message
    'the loss became NaN at step 8: lower training.learning_rate or training.max_grad_norm, and look at that batch'
    """
    broken = np.flatnonzero(~np.isfinite(losses))
    if not len(broken):
        return None
    step, value = int(steps[broken[0]]), float(losses[broken[0]])
    word = "NaN" if np.isnan(value) else "infinite"
    return Alert(
        AlertKind.NOT_FINITE,
        step,
        f"the loss became {word} at step {step:,}: lower training.learning_rate or training.max_grad_norm, and look at"
        " that batch",
        {"loss": word},
    )


def loss_spike(steps: Ints, losses: Floats, *, first_loss: float = float("nan")) -> Alert | None:
    """Whether the last loss stands out from those before it: steps (n,), losses (n,) of steps in a row.

    The modified z-score of Iglewicz & Hoaglin, How to Detect and Handle Outliers (1993): distance to the median of the
    SPIKE_WINDOW losses before, over 1.4826 times their median absolute deviation. All of SPIKE_SCORE, SPIKE_FACTOR and,
    where the loss at the beginning of training is known, SPIKE_OF_START must be exceeded.

    >>> usual = np.tile([0.9, 1.0, 1.1], 10)
    >>> loss_spike(np.arange(31), np.append(usual, 1.5)) is None
    True
    >>> loss_spike(np.arange(31), np.append(usual, 4.0)).evidence
    {'loss': 4.0, 'median': 1.0, 'score': 20.2, 'n': 30}
    """
    if len(losses) <= SPIKE_LEAST or not np.isfinite(losses[-1]):
        return None
    value, before = float(losses[-1]), losses[-1 - SPIKE_WINDOW : -1]
    before = before[np.isfinite(before)]
    if len(before) < SPIKE_LEAST:
        return None
    with np.errstate(over="ignore"):
        median = float(np.median(before))
        spread = ROBUST_SIGMA * float(np.median(np.abs(before - median)))
    score = (value - median) / spread if spread > 0 else float("inf")
    if not (value > SPIKE_FACTOR * median and value > median and score >= SPIKE_SCORE):
        return None
    if value < SPIKE_OF_START * first_loss:
        return None
    step = int(steps[-1])
    times = f", {value / median:.3g} times" if median > 0 else ", above"
    return Alert(
        AlertKind.SPIKE,
        step,
        f"loss spike at step {step:,}: {value:.4g}{times} the median of the {len(before)} steps before. Look at the"
        " examples of that batch; if it comes again, lower training.learning_rate or training.max_grad_norm",
        _rounded(loss=value, median=median, score=score) | {"n": len(before)},
    )


def divergence(steps: Ints, losses: Floats) -> Alert | None:
    """Whether the loss has been far above its own best for a stretch: steps (n,), losses (n,) since training began.

    Compared are medians of DIVERGENCE_STRETCH points: the first, the lowest and the last. The last is more than
    DIVERGENCE_FACTOR times the lowest and above it by more than DIVERGENCE_LOST of what had been gained and by more
    than DIVERGENCE_ERRORS standard errors (of a median of n normal values: sqrt(pi / 2n) times their deviation, here
    the robust one within the last stretch or the lowest). Points may be means of several steps; nan is left out.

    >>> falling, risen = np.linspace(2, 1, 50), np.full(25, 3.0)
    >>> divergence(np.arange(50), falling) is None
    True
    >>> divergence(np.arange(75), np.append(falling, risen)).evidence
    {'loss': 3.0, 'best': 1.24, 'best_step': 49, 'first': 1.76}
    """
    known = np.isfinite(losses)
    values, at = losses[known], steps[known]
    if len(values) < 2 * DIVERGENCE_STRETCH:
        return None
    stretches = np.lib.stride_tricks.sliding_window_view(values, DIVERGENCE_STRETCH)[::-1][::_STRIDE][::-1]
    with np.errstate(over="ignore"):
        first = float(np.median(values[:DIVERGENCE_STRETCH]))
        medians = np.median(stretches, axis=1)
    last, lowest = float(medians[-1]), int(medians.argmin())
    best = float(medians[lowest])
    with np.errstate(over="ignore", invalid="ignore"):
        spread = np.median(np.abs(stretches[[lowest, -1]] - medians[[lowest, -1], None]), axis=1).max()
        error = float(np.sqrt(np.pi / 2 / DIVERGENCE_STRETCH) * ROBUST_SIGMA * spread)
    rise = last - best
    if not (
        last > DIVERGENCE_FACTOR * best and rise > DIVERGENCE_LOST * (first - best) and rise > DIVERGENCE_ERRORS * error
    ):
        return None
    best_step, step = int(at[len(at) - 1 - (len(medians) - 1 - lowest) * _STRIDE]), int(at[-1])
    return Alert(
        AlertKind.DIVERGENCE,
        step,
        f"the loss diverges: {last:.4g} by step {step:,}, {best:.4g} by step {best_step:,}. Stop, and train again from"
        " there with a lower training.learning_rate, more training.warmup or a lower training.max_grad_norm",
        _rounded(loss=last, best=best) | {"best_step": best_step} | _rounded(first=first),
    )


def validation_divergence(steps: Ints, validation: Floats, training: Floats) -> Alert | None:
    """Whether the loss on validation data has been blown up: an entry an evaluation in each of steps (n,), that loss
    (n,), and the mean training loss since the evaluation before (n,); nan where it is not known. A short training has
    too few steps for `divergence`.

    The last is more than VALIDATION_DIVERGENCE_FACTOR times the best before it and above it by more than
    DIVERGENCE_LOST of what had been gained, and the training loss is not lower than when the best was reached (that
    would be over-fitting).

    >>> validation_divergence(np.array([0, 8]), np.array([2.4, 1e13]), np.array([np.nan, 1e12])).evidence
    {'loss': 10000000000000.0, 'best': 2.4, 'best_step': 0}
    >>> validation_divergence(np.array([0, 8]), np.array([2.4, 9.0]), np.array([np.nan, 9.0])) is None
    True
    """
    known = np.isfinite(validation)
    steps, validation, training = steps[known], validation[known], training[known]
    if len(validation) < 2:
        return None
    lowest = int(validation[:-1].argmin())
    first, best, last = float(validation[0]), float(validation[lowest]), float(validation[-1])
    if not (best > 0 and last > VALIDATION_DIVERGENCE_FACTOR * best and last - best > DIVERGENCE_LOST * (first - best)):
        return None
    if training[-1] < training[lowest]:
        return None
    step, best_step = int(steps[-1]), int(steps[lowest])
    return Alert(
        AlertKind.DIVERGENCE,
        step,
        f"the training diverges: the validation loss is {last:.4g} at step {step:,} and was {best:.4g} at step"
        f" {best_step:,}. Stop, and train again with a lower training.learning_rate, more training.warmup or a lower"
        " training.max_grad_norm",
        _rounded(loss=last, best=best) | {"best_step": best_step},
    )


def overfitting(
    steps: Ints, validation: Floats, training: Floats, *, n_evaluations: int = OVERFIT_EVALUATIONS
) -> Alert | None:
    """Whether the model learns its training data by heart: an entry an evaluation in each of steps (n,), the loss on
    validation data (n,), and the mean training loss since the evaluation before (n,); nan where it is not known.

    The last `n_evaluations` (>= 1) validation losses are above the best by OVERFIT_RISE, each no lower than the one
    before, and the training loss is lower than when the best was reached.

    >>> overfitting(np.array([10, 20, 30]), np.array([0.5, 0.6, 0.7]), np.array([0.5, 0.3, 0.2])).evidence
    {'loss': 0.7, 'best': 0.5, 'best_step': 10, 'training': 0.2}
    >>> overfitting(np.array([10, 20, 30]), np.array([0.5, 0.6, 0.55]), np.array([0.5, 0.3, 0.2])) is None
    True
    """
    known = np.isfinite(validation)
    steps, validation, training = steps[known], validation[known], training[known]
    if len(validation) <= n_evaluations:
        return None
    lowest = int(validation.argmin())
    best, tail = float(validation[lowest]), validation[-n_evaluations:]
    is_over = lowest < len(validation) - n_evaluations and (tail > best + OVERFIT_RISE * abs(best)).all()
    if not (is_over and (np.diff(tail) >= 0).all() and training[-1] < training[lowest]):
        return None
    step, best_step, last = int(steps[-1]), int(steps[lowest]), float(validation[-1])
    return Alert(
        AlertKind.OVERFITTING,
        step,
        f"over-fitting: the validation loss was {best:.4g} at step {best_step:,} and is {last:.4g}, while the training"
        " loss goes on falling. Use fewer training.epochs, training.early_stopping, or more data",
        _rounded(loss=last, best=best) | {"best_step": best_step} | _rounded(training=float(training[-1])),
    )


def stall(
    still_seconds: float,
    step_seconds: Floats,
    *,
    step: int | None,
    is_waiting: bool,
    least_seconds: float = STALL_SECONDS,
    where: str = "",
) -> Alert | None:
    """Whether nothing has moved for much longer than usual: seconds since the last step, the seconds of steps (n,)
    before it, whether the time goes into waiting for a batch (then it is the data loader that is dead), and the place
    in the code where the training is, if that is known.

    >>> stall(61.0, np.array([0.1, 0.2]), step=5, is_waiting=False).message.partition(". ")[0]
    'no step for 61 s after step 5; usual are 0.15 s'
    >>> stall(61.0, np.array([5.0, 5.0]), step=5, is_waiting=False) is None
    True
    """
    known = step_seconds[np.isfinite(step_seconds)]
    usual = float(np.median(known)) if len(known) else float("nan")
    limit = max(least_seconds, STALL_FACTOR * usual) if len(known) >= 2 else max(least_seconds, STALL_FIRST_SECONDS)
    if not still_seconds > limit:
        return None
    after = "" if step is None else f" after step {step:,}"
    said = f"; usual are {usual:.2g} s" if len(known) else ""
    if is_waiting:
        kind, what = AlertKind.DATA_LOADER, "no batch has arrived"
        todo = "Look at what the data loader reads (a network drive, a file being written, a dead worker)"
    else:
        kind, what = AlertKind.STALL, "no step"
        todo = "See whether the device or the disk hangs"
    return Alert(
        kind,
        step,
        f"{what} for {still_seconds:.0f} s{after}{said}{f'; it is in {where}' if where else ''}. {todo}, or stop it"
        " (Ctrl-C): `runner resume` goes on from the newest checkpoint",
        _rounded(seconds=still_seconds, limit_seconds=limit, usual_seconds=usual) | ({"where": where} if where else {}),
    )


def slow_loader(wait_seconds: Floats, step_seconds: Floats, *, step: int | None) -> Alert | None:
    """Whether more time goes into waiting for data than into computing: of the last steps, the seconds waited for each
    one's batches (n,) and the seconds it took with them (n,).

    >>> slow_loader(np.array([30.0, 30.0]), np.array([40.0, 40.0]), step=8).evidence
    {'wait_share': 0.75, 'seconds': 80.0}
    """
    known = np.isfinite(wait_seconds) & np.isfinite(step_seconds)
    with np.errstate(over="ignore", invalid="ignore"):
        waited, took = float(wait_seconds[known].sum()), float(step_seconds[known].sum())
    if not (took >= WAIT_SECONDS and waited > WAIT_SHARE * took):
        return None
    share = min(1.0, waited / took)
    return Alert(
        AlertKind.DATA_LOADER,
        step,
        f"the training waits for data {100 * share:.0f} % of the time: put the data on a faster disk, or end what else"
        " uses this machine's processors",
        _rounded(wait_share=share, seconds=took),
    )


def disk_low(free_bytes: int, checkpoint_bytes: int, *, folder: str) -> Alert | None:
    """Whether a disk is about to be full: what is free in `folder`, and what the next checkpoint takes (0: none).

    >>> disk_low(2_000_000_000, 1_000_000_000, folder="/data") is None
    True
    >>> disk_low(1_000_000_000, 1_000_000_000, folder="/data").evidence
    {'free_bytes': 1000000000, 'needed_bytes': 1200000000, 'folder': '/data'}
    """
    needed = max(DISK_BYTES, int(DISK_CHECKPOINT_FACTOR * checkpoint_bytes))
    if free_bytes >= needed:
        return None
    what = "the next checkpoint needs" if needed > DISK_BYTES else "keep"
    return Alert(
        AlertKind.DISK_LOW,
        None,
        f"disk nearly full: {free_bytes / 1e9:.2f} GB are free in {folder}, {what} {needed / 1e9:.2f} GB. Remove runs"
        " (`runner rm` shows what each takes) or other files: on a full disk no checkpoint is written",
        {"free_bytes": free_bytes, "needed_bytes": needed, "folder": folder},
    )


def _rounded(**values: float) -> dict[str, float | int | str]:
    """Evidence is read by people: three digits, and nothing where there is no number."""
    rounded = {name: float(f"{value:.3g}") for name, value in values.items()}
    return {name: value for name, value in rounded.items() if np.isfinite(value)}
