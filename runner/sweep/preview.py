"""What a sweep would do: the space, the rungs, the configurations that come first, whether they are there already."""

from collections.abc import Iterator
from dataclasses import replace

from runner.recipe import RecipeError
from runner.recipe.errors import shown
from runner.sweep.configurations import Configuration, configurations
from runner.sweep.samplers import ask, limits
from runner.sweep.search import Search
from runner.sweep.space import Dimension, Numbers
from store import Status, Store, Trial, read_reports, read_trials
from store.sweeps import find_sweep
from store.trials import find_finished_run


def preview(search: Search, store: Store | None, n_most: int) -> Iterator[str]:
    """Lines to print. Nothing is written and no data is read, so a reused run is one of the same recipe on any data."""
    spec, size = search.spec, search.space.size()
    wanted = spec.trials if size is None else min(spec.trials or size, size)
    of = "" if size is None else f" of {size:,}"
    goals = ", ".join(f"{objective.direction} {objective.metric}" for objective in search.objectives)
    yield f"{search.name}: {wanted:,}{of} configurations by {spec.sampler}, to {goals}"
    for dimension in search.space.dimensions:
        yield f"  {dimension.path} = {_domain(dimension)}"
    if search.rungs:
        rungs = ", ".join(f"{rung:.3g}" for rung in search.rungs)
        yield f"pruner {spec.pruner} looks at {rungs} of each trial's steps"
    if spec.seeds > 1:
        whom = "each that is not stopped early" if spec.seeds_for == "all" else "those that contend for the best"
        yield f"{spec.seeds} seeds for {whom}"
    yield from limits(search)
    known = _known(store, search)
    if known:
        yield f"{len(known)} configurations are there already; a finished trial is not run again"
    n_shown = min(n_most, (wanted or n_most) - len(known))
    if n_shown > 0:
        yield "next, as far as it can be told before the first results:" if spec.sampler != "grid" else "next:"
    for _ in range(n_shown):
        parameters = ask(search, known)
        if parameters is None:
            return
        number = len(known)
        values = ", ".join(f"{path} = {shown(value)}" for path, value in parameters.items())
        yield f"  {number}: {values}{_there(store, search, number, parameters)}"
        known.append(_asked(number, parameters))


def _domain(dimension: Dimension) -> str:
    domain = dimension.domain
    if isinstance(domain, Numbers):
        text = f"{domain.low:g} to {domain.high:g}"
        text += " on a logarithmic scale" if domain.log else ""
        text += f" in steps of {domain.step:g}" if domain.step is not None else ""
    else:
        text = ", ".join(shown(value) for value in domain.given)
    conditions = [f"{path} is {' or '.join(shown(v) for v in values)}" for path, values in dimension.when.items()]
    return text + (f"   (when {' and '.join(conditions)})" if conditions else "")


def _known(store: Store | None, search: Search) -> list[Configuration]:
    sweep = None if store is None else find_sweep(store, search.name)
    if store is None or sweep is None:
        return []
    found = configurations(read_trials(store, sweep.key), read_reports(store, sweep.key))
    inside = [each for each in found if search.space.active(each.parameters) is not None]
    return [
        replace(each, trials=tuple(replace(trial, number=number) for trial in each.trials))
        for number, each in enumerate(inside)
    ]


def _there(store: Store | None, search: Search, number: int, parameters: dict[str, object]) -> str:
    try:
        loaded = search.trial_recipe(number, search.seed(0), parameters)
    except RecipeError as error:
        return f"   fails: {error.problems[0].message}"
    run = None if store is None else find_finished_run(store, loaded.hash, None)
    return "" if run is None else f"   reuses run {run.name} ({run.id})"


def _asked(number: int, parameters: dict[str, object]) -> Configuration:
    trial = Trial(
        -1, -1, number, 0, parameters, Status.QUEUED, None, "", None, False, 0, 0, None, None, 0.0, None, None
    )  # fmt: skip
    return Configuration((trial,), {})
