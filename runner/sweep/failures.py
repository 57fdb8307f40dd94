"""Failures of trials: which are the same, which another attempt cannot mend, and when to stop."""

import re
from collections.abc import Sequence
from itertools import takewhile
from typing import Any

from store import Status, Trial

OUT_OF_MEMORY = "out of memory"
ON_DEVICE = f"{OUT_OF_MEMORY} on the device"
"""As `runner.causes.cause_of` says it."""
_DIVERGED = ("loss became", "the model's outputs are no numbers")


def reason_of(cause: str | None) -> str:
    """What failures of the same kind have in common: the cause's first line without its numbers and paths.

    >>> reason_of("out of memory on the device; try 3"), reason_of("killed: process 17 ended"), reason_of(None)
    ('out of memory', 'killed: process # ended', 'unknown')
    """
    if not cause:
        return "unknown"
    if OUT_OF_MEMORY in cause.lower():
        return OUT_OF_MEMORY
    line = cause.strip().splitlines()[0]
    return re.sub(r"\S*/\S+", "…", re.sub(r"\b(?=[0-9A-Z]*\d)[0-9A-Z]{26}\b|\d+([.,]\d+)*(e[+-]?\d+)?", "#", line))[
        :160
    ]


def is_certain(cause: str | None, *, was_alone: bool = False) -> bool:
    """Whether another attempt would fail in the same way.

    The same seed diverges again. What ran out of memory although its place was its own (`was_alone`) needs as much
    again; where others had a part of it, they may be gone the next time.
    """
    if cause is None:
        return False
    return cause.startswith(_DIVERGED) or (was_alone and reason_of(cause) == OUT_OF_MEMORY)


def why_stop(trials: Sequence[Trial], stop_after: int, *, since: float = 0.0) -> str | None:
    """Why a sweep should stop, if the last `stop_after` trials to end, or more, all failed for one reason.

    All of the sweep's history counts, whoever drove it; but the newest must have ended after `since`: somebody may have
    mended meanwhile what the others died of, and the first that ends shows it. The answer is a sentence: how many did,
    and for memory the largest batch that worked.
    """
    ended = [trial for trial in trials if trial.ended_at is not None and not trial.is_reused]
    ended = [trial for trial in ended if trial.status in (Status.FINISHED, Status.FAILED, Status.PRUNED)]
    ended.sort(key=lambda trial: trial.ended_at or 0.0, reverse=True)
    if not ended or ended[0].status != Status.FAILED or (ended[0].ended_at or 0.0) <= since:
        return None
    reason = reason_of(ended[0].cause)
    row = list(takewhile(lambda trial: trial.status == Status.FAILED and reason_of(trial.cause) == reason, ended))
    if len(row) < stop_after:
        return None
    n_failed = sum(trial.status == Status.FAILED and reason_of(trial.cause) == reason for trial in ended)
    start = f"{n_failed} of {len(ended)} trials failed for the same reason, the last {len(row)} of them in a row"
    start = "the only trial that ended failed" if len(ended) == 1 else start
    if reason == OUT_OF_MEMORY:
        return f"{start}: out of memory. {_batch_sizes(trials, row)}"
    return f"{start}: {row[0].cause}"


_BATCH = "training.batch_size"
_SIZES = {"model.method": "method", "model.base": "base model", "model.max_length": "max_length"}
"""What else decides how much memory a batch takes → how it is called."""


def _batch_sizes(trials: Sequence[Trial], failed: Sequence[Trial]) -> str:
    """What is known of batch sizes, from trials like those that failed."""
    same = {path: failed[0].parameters.get(path) for path in _SIZES}
    same = {path: value for path, value in same.items() if all(t.parameters.get(path) == value for t in failed)}
    alike = [t for t in trials if all(t.parameters.get(path) == value for path, value in same.items())]
    given = [f"{_SIZES[path]} {value}" for path, value in same.items() if value is not None]
    where = f" with {' and '.join(given)}" if given else ""

    def sizes(*statuses: Status) -> list[Any]:
        return [t.parameters[_BATCH] for t in alike if t.status in statuses and _BATCH in t.parameters]

    worked, tried = sizes(Status.FINISHED, Status.PRUNED), sizes(Status.FAILED)
    if worked:
        return f"The largest training.batch_size that worked{where} was {max(worked)}; sweep over none larger"
    if tried:
        return f"The smallest training.batch_size tried{where} was {min(tried)}; sweep over smaller ones"
    return "Set a smaller training.batch_size with more training.gradient_accumulation, or a shorter model.max_length"
