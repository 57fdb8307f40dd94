"""Stopping trials early: Optuna's pruners at our rungs, and taking up again what asha stopped too early.

asha and hyperband here are asynchronous successive halving (Li et al. 2020, arXiv:1810.05934): a rung lets one of eta
go on, and only when eta trials have reached it. A trial that is stopped there keeps its checkpoint; when others that
came later make it one of the best of its rung, it goes on from there (`promotable`). So no trial trains to the end
merely because it came first.

hyperband runs several such searches, its brackets, beside each other. In the paper (Li et al. 2018, JMLR 18/185) each
is large enough that one of its trials comes to the end; ours are as large as chance makes them, and end when the sweep
does. A bracket that fewer than eta trials came to has halved nothing: its best one has beaten nobody that counts.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import optuna
from numpy.typing import NDArray

from runner.sweep.configurations import Configuration
from runner.sweep.rungs import HALVING
from runner.sweep.search import Search
from runner.sweep.study import quiet, rebuild
from store import Status

_RUNG_NOTE = "completed_rung_"
_WILCOXON_ALPHA = 0.1

Losses = Callable[[int, int], NDArray[np.float64] | None]
"""(number, rung) → validation losses by example, None where there are none."""


class Decision(NamedTuple):
    """What becomes of a trial at a rung."""

    stops: bool
    notes: Mapping[str, Any]
    """What the pruner wants to find again, to be kept with the trial."""


def decide(search: Search, known: Sequence[Configuration], number: int, losses: Losses) -> Decision:
    """Whether configuration `number` stops at the last rung it has reported; it has reported it already."""
    configuration = next(each for each in known if each.number == number)
    rung = max(configuration.reports)
    with quiet():
        if search.spec.pruner == "wilcoxon":
            return Decision(_is_worse_than_the_best(search, known, number, rung, losses), {})
        pruner = _pruner(search, is_last_call=False)
        study = rebuild(search, known, None, pruner)
        stops = pruner.prune(study, study.get_trials(deepcopy=False)[number])
        return Decision(bool(stops), _notes(study.trials[number].system_attrs))


def promotable(
    search: Search, known: Sequence[Configuration], *, is_last_call: bool, settled: int | None = None
) -> Configuration | None:
    """The stopped configuration that has most reason to go on, if its rung would let it go on now.

    On the last call no new one will come: the best of each rung goes on then, although fewer than eta came there, of
    rungs up to `settled` (None: of all), which nobody at work will reach any more. In a bracket of hyperband that fewer
    than eta trials came to at all it goes on only where otherwise no trial of the sweep would come to its end.
    """
    if search.spec.pruner not in HALVING:
        return None
    sign = 1 if search.objectives[0].direction == "maximize" else -1
    stopped = [each for each in known if each.status == Status.PRUNED and each.reports and not np.isnan(_last(each))]
    stopped = [each for each in stopped if settled is None or max(each.reports) <= settled]
    best: dict[tuple[int, int], Configuration] = {}  # of those that compete: if it does not go on, none of them does
    for each in sorted(stopped, key=lambda each: (sign * _last(each), -each.number)):
        best[max(each.reports), _newest_note(each)] = each
    with quiet():
        for _, candidate in sorted(best.items(), key=lambda item: item[0], reverse=True):
            if is_last_call and not _may_end_alone(search, known, candidate):
                continue
            pruner = _pruner(search, is_last_call=is_last_call)
            if not pruner.prune(*_as_it_came(search, known, candidate, pruner)):
                return candidate
    return None


def _may_end_alone(search: Search, known: Sequence[Configuration], candidate: Configuration) -> bool:
    """Whether enough trials came to the candidate's bracket, or nothing else would come to its end."""
    if search.spec.pruner != "hyperband":
        return True
    n_rungs, bracket = len(search.rungs), _begins(candidate, len(search.rungs))
    n = sum(_newest_note(each) >= 0 and _begins(each, n_rungs) == bracket for each in known)
    return n >= search.spec.eta or all(each.status in (Status.PRUNED, Status.FAILED) for each in known)


def notes_before(configuration: Configuration, rung: int) -> dict[str, Any]:
    """What was noted before it came to this rung, for one that comes there again: it was killed before it heard."""
    begins = _begins(configuration)
    return {
        note: value for note, value in configuration.notes.items() if int(note.removeprefix(_RUNG_NOTE)) + begins < rung
    }


def _begins(configuration: Configuration, n_rungs: int | None = None) -> int:
    """Our number of Optuna's rung 0, where its bracket begins. With `n_rungs` also of one that has come to its end."""
    reached = (rung for rung in configuration.reports if n_rungs is None or rung < n_rungs)
    return max(reached, default=-1) - _newest_note(configuration)


def _newest_note(configuration: Configuration) -> int:
    """Optuna's number of the rung where it was stopped: it counts them from where the bracket begins."""
    return max((int(note.removeprefix(_RUNG_NOTE)) for note in configuration.notes), default=-1)


def _last(configuration: Configuration) -> float:
    return configuration.reports[max(configuration.reports)]


def _as_it_came(
    search: Search, known: Sequence[Configuration], candidate: Configuration, pruner: optuna.pruners.BasePruner
) -> tuple[optuna.Study, optuna.trial.FrozenTrial]:
    """The study as if the candidate had reached its rung just now, after all the others."""
    newest = f"{_RUNG_NOTE}{_newest_note(candidate)}"
    notes = {key: value for key, value in candidate.notes.items() if key != newest}
    first = replace(candidate.first, status=Status.RUNNING, sampler_state=notes)
    again = replace(candidate, trials=(first, *candidate.trials[1:]))
    study = rebuild(search, [again if each.number == candidate.number else each for each in known], None, pruner)
    return study, study.get_trials(deepcopy=False)[candidate.number]


def _notes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Only what we understand: samplers of Optuna also leave pickles there."""
    return {key: float(value) for key, value in attributes.items() if key.startswith(_RUNG_NOTE)}


def _pruner(search: Search, *, is_last_call: bool) -> optuna.pruners.BasePruner:
    spec, eta = search.spec, search.spec.eta
    few = 0 if is_last_call else eta - 1
    match spec.pruner:
        case "asha":
            return optuna.pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=eta, bootstrap_count=few)
        case "hyperband":
            return optuna.pruners.HyperbandPruner(
                min_resource=1,
                max_resource=eta ** len(search.rungs) + 1,  # one more: Optuna takes a logarithm, which may come out low
                reduction_factor=eta,
                bootstrap_count=few,
            )
        case "median":
            return optuna.pruners.MedianPruner()
        case "patience":
            return optuna.pruners.PatientPruner(None, patience=spec.patience)
        case _:
            return optuna.pruners.NopPruner()


def _is_worse_than_the_best(
    search: Search, known: Sequence[Configuration], number: int, rung: int, losses: Losses
) -> bool:
    """Optuna's Wilcoxon pruner on the validation losses of this trial and of the best at the same rung, by example.

    The trial is looked at once a rung, so each look gets its share of the chance of a false alarm.
    """
    sign = 1 if search.objectives[0].direction == "maximize" else -1
    others = [
        each for each in known
        if each.number != number and not np.isnan(each.reports.get(rung, np.nan)) and each.status != Status.FAILED
    ]  # fmt: skip
    best = max(others, key=lambda each: sign * each.reports[rung], default=None)
    ours, theirs = losses(number, rung), None if best is None else losses(best.number, rung)
    if ours is None or theirs is None or len(ours) != len(theirs):
        return False
    shared = np.isfinite(ours) & np.isfinite(theirs)
    study = optuna.create_study(direction="minimize", sampler=optuna.samplers.RandomSampler())
    for values, state in ((theirs, optuna.trial.TrialState.COMPLETE), (ours, optuna.trial.TrialState.RUNNING)):
        study.add_trial(
            optuna.trial.create_trial(
                state=state,
                value=float(values[shared].mean()) if state.is_finished() else None,
                intermediate_values=dict(enumerate(values[shared].tolist())),
            )
        )
    pruner = optuna.pruners.WilcoxonPruner(p_threshold=_WILCOXON_ALPHA / len(search.rungs))
    return bool(pruner.prune(study, study.get_trials(deepcopy=False)[1]))
