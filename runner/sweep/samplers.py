"""Choosing the next configuration: a grid of our own, or one of Optuna's samplers on the study of our rows.

A sampler is made anew for each question, seeded by the sweep's seed and the number of the configuration: the same rows
give the same answer, in whichever process they are asked.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import blake2b
from random import Random
from typing import Any

import optuna
from optuna.trial import TrialState

from runner.sweep.configurations import Configuration
from runner.sweep.search import Search
from runner.sweep.space import Values, canonical
from runner.sweep.study import fixed, frozen, new_study, quiet, rebuild, suggest

_ATTEMPTS = 20


def ask(search: Search, known: Sequence[Configuration]) -> dict[str, Any] | None:
    """The parameters of the next configuration, one that is not known yet; None where there is none left."""
    seen = {canonical(configuration.parameters) for configuration in known}
    if search.spec.sampler == "grid":
        return _next_of_grid(search, seen)
    for attempt in range(_ATTEMPTS):
        with quiet():
            parameters = _drawn(search, known, _seed(search.spec.seed, len(known), attempt))
        if canonical(parameters) not in seen:
            return parameters
    return _any_left(search, seen)


def _seed(*parts: int) -> int:
    return int.from_bytes(blake2b(json.dumps(parts).encode(), digest_size=4).digest())


def _next_of_grid(search: Search, seen: set[str]) -> dict[str, Any] | None:
    """In order where all of the grid is run; in an order of chance where only a part of it is."""
    size, trials = search.space.size() or 0, search.spec.trials
    is_part = trials is not None and trials < size
    return _first_new(search, shuffled(size, search.spec.seed) if is_part else range(size), seen)


def _any_left(search: Search, seen: set[str]) -> dict[str, Any] | None:
    """Of a space that can be counted, one configuration by chance that is left."""
    return _first_new(search, shuffled(search.space.size() or 0, _seed(search.spec.seed, len(seen))), seen)


def _first_new(search: Search, places: Iterable[int], seen: set[str]) -> dict[str, Any] | None:
    every = (search.space.at(place) for place in places)
    return next((parameters for parameters in every if canonical(parameters) not in seen), None)


def shuffled(n: int, seed: int) -> Iterator[int]:
    """0 to n - 1 in an order of chance, however large n: only what was handed out is remembered.

    The shuffle of Fisher and Yates, in the form of Durstenfeld (1964), with a table of the places that were swapped.

    >>> sorted(shuffled(5, 0)), next(shuffled(10**30, 0)) < 10**30
    ([0, 1, 2, 3, 4], True)
    """
    chance, swapped = Random(seed), dict[int, int]()
    for i in range(n):
        j = chance.randrange(i, n)
        yield swapped.get(j, j)
        swapped[j] = swapped.get(i, i)


def _drawn(search: Search, known: Sequence[Configuration], seed: int) -> dict[str, Any]:
    if search.spec.sampler == "cma-es":
        study = _replayed(search, known, seed)
    else:
        study = rebuild(search, known, _SAMPLERS[search.spec.sampler](seed))
    return suggest(search.space, study.ask())


_SAMPLERS: dict[str, Callable[[int], optuna.samplers.BaseSampler]] = {
    "random": lambda seed: optuna.samplers.RandomSampler(seed=seed),
    # Together and by group: conditional parts are modelled where they exist. Running trials count as bad, so that
    # workers that ask at the same time are not sent to the same place.
    "tpe": lambda seed: optuna.samplers.TPESampler(seed=seed, multivariate=True, group=True, constant_liar=True),
    "gp": lambda seed: optuna.samplers.GPSampler(seed=seed, deterministic_objective=False),
}


def _replayed(search: Search, known: Sequence[Configuration], seed: int) -> optuna.Study:
    """CMA-ES keeps its state in Optuna's trials, pickled. We keep no pickles: what it was asked and told is gone
    through again instead, with the configurations that were run."""
    sampler = optuna.samplers.CmaEsSampler(seed=search.spec.seed, warn_independent_sampling=False)
    study = new_study(search, sampler)
    for configuration in known:
        study.enqueue_trial(dict(fixed(search.space, configuration.parameters)))
        trial = study.ask()
        suggest(search.space, trial)
        end = frozen(search, configuration)
        if end.state == TrialState.COMPLETE:
            study.tell(trial, end.values)
        elif end.state != TrialState.RUNNING:
            study.tell(trial, state=TrialState.FAIL)
    study.sampler = optuna.samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)
    return study


def limits(search: Search) -> list[str]:
    """What the chosen sampler does not do with this space, in sentences."""
    sampler = search.spec.sampler
    if sampler not in ("gp", "cma-es"):
        return []
    conditional = [d.path for d in search.space.dimensions if d.when]
    notes = []
    if conditional:
        notes.append(f"sampler {sampler} draws at random what has conditions: {', '.join(dict.fromkeys(conditional))}")
    listed = [d.path for d in search.space.dimensions if isinstance(d.domain, Values) and len(d.domain.given) > 1]
    if sampler == "cma-es" and listed:
        notes.append(f"sampler cma-es takes ranges only and draws lists at random: {', '.join(dict.fromkeys(listed))}")
    return notes
