"""What a sweep would do: the space, the rungs, the configurations that come first, whether they are there already."""

from collections.abc import Iterator

from runner.recipe import RecipeError
from runner.recipe.errors import shown
from runner.sweep.configurations import Configuration, configurations
from runner.sweep.samplers import ask, limits
from runner.sweep.search import Search
from runner.sweep.space import Dimension, Numbers, described
from runner.sweep.take_up import Meant, goes_on
from store import NewTrial, Trial, TrialReport, read_reports, read_trials
from store.trials import find_finished_run


def preview(search: Search, meant: Meant | None, n_most: int) -> Iterator[str]:
    """Lines to print; `meant` is what the command means where there is a store. Nothing is written."""
    spec, size = search.spec, search.space.size()
    wanted = spec.trials if size is None else min(spec.trials or size, size)
    of = "" if size is None else f" of {size:,}"
    goals = ", ".join(f"{objective.direction} {objective.metric}" for objective in search.objectives)
    what = "1 configuration" if wanted == 1 and not of else f"{wanted:,}{of} configurations"
    yield f"{search.name}: {what} by {spec.sampler}, to {goals}"
    for dimension in search.space.dimensions:
        yield f"  {dimension.path} = {_domain(dimension)}"
    if search.rungs:
        rungs = ", ".join(f"{rung:.3g}" for rung in search.rungs)
        yield f"pruner {spec.pruner} looks at {rungs} of each trial's steps"
    if spec.seeds > 1:
        whom = "each that is not stopped early" if spec.seeds_for == "all" else "those that contend for the best"
        yield f"{spec.seeds} seeds for {whom}"
    yield from limits(search)
    known = [] if meant is None else _known(meant)
    if meant is not None:
        store = meant.data.store
        yield from meant.says(store) if meant.same is None else goes_on(store, meant.same, meant.new.n_trials)
    if known:
        are = "1 configuration is" if len(known) == 1 else f"{len(known)} configurations are"
        yield f"{are} there already; a finished trial is not run again"
    n_shown = min(n_most, (wanted or n_most) - len(known))
    if n_shown > 0:
        yield "next, as far as it can be told before the first results:" if spec.sampler != "grid" else "next:"
    for _ in range(n_shown):
        parameters = ask(search, known)
        if parameters is None:
            return
        number = len(known)
        yield f"  {number}: {described(parameters)}{_there(meant, search, number, parameters)}"
        known.append(Configuration((_trial(NewTrial(number, 0, parameters, "")),), {}))


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


def _known(meant: Meant) -> list[Configuration]:
    """The configurations that the sweep would begin, or go on, with."""
    store, same = meant.data.store, meant.same
    if same is not None:
        return configurations(read_trials(store, same.key), read_reports(store, same.key))
    trials = [_trial(taken.trial, key) for key, taken in enumerate(meant.kept)]
    reports: dict[int, tuple[TrialReport, ...]] = {key: taken.reports for key, taken in enumerate(meant.kept)}
    return configurations(trials, reports)


def _there(meant: Meant | None, search: Search, number: int, parameters: dict[str, object]) -> str:
    """What is known of a configuration that would be asked for."""
    try:
        loaded = search.trial_recipe(number, search.seed(0), parameters)
    except RecipeError as error:
        return f"   fails: {error.problems[0].message}"
    if meant is None or (meant.new.is_fresh if meant.same is None else meant.same.is_fresh):
        return ""
    dataset_key = meant.data.of(loaded.recipe)
    run = None if dataset_key is None else find_finished_run(meant.data.store, loaded.hash, dataset_key)
    return "" if run is None else f"   reuses run {run.name} ({run.id})"


def _trial(new: NewTrial, key: int = -1) -> Trial:
    """A trial as it would stand in the store."""
    return Trial(
        key=key,
        sweep_key=-1,
        number=new.number,
        seed=new.seed,
        parameters=new.parameters,
        status=new.status,
        cause=new.cause,
        recipe_hash=new.recipe_hash,
        run_key=new.run_key,
        is_reused=new.is_reused,
        n_attempts=0,
        n_promotions=0,
        objective_values=new.objective_values,
        sampler_state=new.sampler_state,
        created_at=0.0,
        started_at=None,
        ended_at=None,
    )
