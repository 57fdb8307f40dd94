"""An Optuna study made of our own rows, for one question at a time: nothing of a sweep lives anywhere but in the store.

Optuna counts steps, we count rungs; with asha and hyperband rung k is step eta ** k, so that a rung of Optuna's is one
of ours, with the others it is step k.
"""

import json
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState

from runner.sweep.configurations import Configuration
from runner.sweep.rungs import HALVING
from runner.sweep.search import Search
from runner.sweep.space import Dimension, Numbers, Parameters, Space, is_same
from store import Status

_STATES = {
    Status.FINISHED: TrialState.COMPLETE,
    Status.PRUNED: TrialState.PRUNED,
    Status.FAILED: TrialState.FAIL,
    Status.QUEUED: TrialState.RUNNING,
    Status.RUNNING: TrialState.RUNNING,
    Status.KILLED: TrialState.RUNNING,  # it will go on
}
_DIGITS = 6
_MOST_STEPS = 100_000


@contextmanager
def quiet() -> Iterator[None]:
    """Without Optuna's log lines and its warnings that something is experimental."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            optuna.logging.set_verbosity(level)


def new_study(
    search: Search, sampler: optuna.samplers.BaseSampler | None, pruner: optuna.pruners.BasePruner | None = None
) -> optuna.Study:
    """A study in memory without trials. Its name decides which bracket of hyperband a number falls into."""
    return optuna.create_study(
        study_name=search.name,
        directions=[objective.direction for objective in search.objectives],
        sampler=sampler or optuna.samplers.RandomSampler(),
        pruner=pruner or optuna.pruners.NopPruner(),
    )


def rebuild(
    search: Search,
    configurations: Sequence[Configuration],
    sampler: optuna.samplers.BaseSampler | None,
    pruner: optuna.pruners.BasePruner | None = None,
) -> optuna.Study:
    """The study of these configurations; their numbers are theirs in Optuna too (0, 1, 2, ...)."""
    study = new_study(search, sampler, pruner)
    for configuration in configurations:
        study.add_trial(frozen(search, configuration))
    return study


def frozen(search: Search, configuration: Configuration) -> FrozenTrial:
    """A configuration as Optuna's trial. A finished one without its values counts as failed."""
    state, values = _STATES[configuration.status], configuration.values
    if state == TrialState.COMPLETE and (values is None or not all(map(math.isfinite, values))):
        state = TrialState.FAIL
    chosen = search.space.active(configuration.parameters) or {}
    return optuna.trial.create_trial(
        state=state,
        values=list(values) if state == TrialState.COMPLETE and values is not None else None,
        params={d.name: encoded(d, configuration.parameters[path]) for path, d in chosen.items()},
        distributions={d.name: distribution(d) for d in chosen.values()},
        intermediate_values={optuna_step(search, rung): value for rung, value in configuration.reports.items()},
        system_attrs=dict(configuration.notes),
    )


def optuna_step(search: Search, rung: int) -> int:
    """Optuna's number for a rung of ours."""
    return int(search.spec.eta**rung) if search.spec.pruner in HALVING else rung


def distribution(dimension: Dimension) -> BaseDistribution:
    """What Optuna may draw for a dimension: values as JSON texts, for it takes no tables and no lists."""
    domain = dimension.domain
    if isinstance(domain, Numbers):
        if domain.is_whole:
            return IntDistribution(int(domain.low), int(domain.high), domain.log, int(domain.step or 1))
        return FloatDistribution(domain.low, domain.high, domain.log, _steps(domain))
    return CategoricalDistribution(tuple(json.dumps(value, sort_keys=True) for value in domain.given))


def _steps(domain: Numbers) -> float | None:
    """The step that Optuna is told of: it knows a value by its place, which in binary is exact for so many places only.
    Between finer steps it draws freely, and the nearest value is taken."""
    return domain.step if (domain.count() or 0) <= _MOST_STEPS else None


def encoded(dimension: Dimension, value: Any) -> Any:
    """A value as Optuna holds it."""
    if not isinstance(dimension.domain, Numbers):
        return json.dumps(next(v for v in dimension.domain.given if is_same(v, value)), sort_keys=True)
    value = value if dimension.domain.step is None else dimension.domain.nearest(value)
    return int(value) if dimension.domain.is_whole else float(value)


def suggest(space: Space, trial: optuna.Trial) -> dict[str, Any]:
    """Let the sampler choose, one dimension after the other, those whose conditions hold by then."""
    parameters: dict[str, Any] = {}
    for dimension in space.dimensions:
        if dimension.is_active(parameters):
            parameters[dimension.path] = _drawn(dimension, trial)
    return parameters


def _drawn(dimension: Dimension, trial: optuna.Trial) -> Any:
    domain, name = dimension.domain, dimension.name
    if not isinstance(domain, Numbers):
        choices = [json.dumps(value, sort_keys=True) for value in domain.given]
        return json.loads(trial.suggest_categorical(name, choices))
    if domain.is_whole:
        step = int(domain.step or 1)
        return trial.suggest_int(name, int(domain.low), int(domain.high), log=domain.log, step=step)
    value = trial.suggest_float(name, domain.low, domain.high, log=domain.log, step=_steps(domain))
    if domain.step is not None:
        return domain.nearest(value)
    return min(max(float(f"{value:.{_DIGITS}g}"), domain.low), domain.high)  # as many digits as a person would write


def fixed(space: Space, parameters: Parameters) -> Mapping[str, Any]:
    """Parameters by the names of their dimensions, as Optuna enqueues them."""
    return {d.name: encoded(d, parameters[path]) for path, d in (space.active(parameters) or {}).items()}
