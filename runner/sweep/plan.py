"""What a sweep does next, from its rows alone."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

from runner.sweep.configurations import Configuration
from runner.sweep.pruning import promotable
from runner.sweep.search import Search
from store import Status, Trial


class Step(NamedTuple):
    """run: begin or go on with the trial. promote: go on with a trial that was stopped. ask: for a new configuration.
    wait: for what is at work. over: everything wanted is done, but perhaps for further seeds."""

    kind: Literal["run", "promote", "ask", "wait", "over"]
    trial: Trial | None = None


def next_step(
    search: Search,
    known: Sequence[Configuration],
    *,
    at_work: Collection[int],
    held: Collection[int] = (),
    wanted: int | None,
) -> Step:
    """The next thing to do with a free slot.

    Args:
        at_work: keys of the trials that the engine has.
        held: keys of the trials whose run another process still has in hand.
        wanted: configurations; None: there are no more to ask for than are known.
    """
    known = [_at_work(each) if each.first.key in at_work else each for each in known]
    open_trials = [
        trial
        for configuration in known
        for trial in configuration.trials
        if trial.status in (Status.QUEUED, Status.KILLED) and trial.key not in at_work and trial.key not in held
    ]
    if open_trials:
        return Step("run", min(open_trials, key=lambda trial: (trial.number, trial.key)))
    candidate = promotable(search, known, is_last_call=False)
    if candidate is not None:
        return Step("promote", candidate.first)
    if wanted is not None and len(known) < wanted:
        return Step("ask")
    busy = [each for each in known if each.first.key in at_work or each.first.key in held]
    settled = min((max(each.reports, default=-1) for each in busy), default=len(search.rungs))
    candidate = promotable(search, known, is_last_call=True, settled=settled)
    if candidate is not None:
        return Step("promote", candidate.first)
    return Step("wait") if at_work or held else Step("over")


def _at_work(configuration: Configuration) -> Configuration:
    """The engine has it, also where it is still as it was before, for it waits for a device."""
    first, *others = configuration.trials
    return replace(configuration, trials=(replace(first, status=Status.RUNNING), *others))
