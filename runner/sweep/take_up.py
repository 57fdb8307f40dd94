"""Finding the sweep that a command means, or making it: the same search goes on, an edited one keeps what it can."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import Any, NamedTuple

from runner.recipe import LoadedRecipe, RecipeError
from runner.recipe.errors import dotted, shown
from runner.recipe.rules import active
from runner.sweep.configurations import configurations
from runner.sweep.measures import last_report
from runner.sweep.search import Search
from runner.sweep.trial_data import TrialData
from store import (
    NewSweep,
    NewTrial,
    Run,
    Status,
    Store,
    Sweep,
    Trial,
    TrialReport,
    get_dataset,
    get_run,
    read_reports,
    read_trials,
)
from store.sweeps import find_same, find_sweep, require_free, update_sweep
from store.trials import TakenOver, find_trial_run, take_over

_NO_SEARCH = ("name", "notes", "tags", "sweep")
_BUDGET = ("trials", "seeds", "seeds_for", "max_hours", "max_gpu_hours", "retries", "stop_after")
_MOST_SAID = 12


class TakenUp(NamedTuple):
    """A sweep that is to be driven."""

    sweep: Sweep
    search: Search
    """With what the recipe says without defaults, also where a page or a job knew only the resolved form."""
    data: TrialData
    said: tuple[str, ...]
    """What a person should know of it, in sentences."""


class Meant(NamedTuple):
    """What a command means, before anything of it is written."""

    new: NewSweep
    data: TrialData
    same: Sweep | None
    """The sweep that would go on."""
    parent: Sweep | None
    """The one that a new sweep would be an edit of."""
    kept: tuple[TakenOver, ...]
    """The parent's trials that the new sweep would begin with."""

    def says(self, store: Store, made: Sweep | None = None) -> Iterator[str]:
        """What a person should know of a new sweep (`made`, or one that would be): whose edit it is, what it keeps."""
        if self.parent is not None:
            yield from _edited(store, self.parent, self, made)


def fingerprint(resolved: Mapping[str, Any], data: str | Mapping[str, str | None]) -> str:
    """32 hex digits of all that makes the search: no names, notes, tags, budget, but the data's fingerprints."""
    text = json.dumps([_searched(resolved), data], sort_keys=True, ensure_ascii=False, allow_nan=False)
    return blake2b(text.encode(), digest_size=16).hexdigest()


def _searched(resolved: Mapping[str, Any]) -> dict[str, Any]:
    experiment = {key: value for key, value in active(resolved).items() if key not in _NO_SEARCH}
    spec = {key: value for key, value in resolved["sweep"].items() if key not in _BUDGET}
    return {**experiment, "sweep": spec}


def take_up(store: Store, loaded: LoadedRecipe, data: TrialData, *, is_fresh: bool = False) -> TakenUp:
    """The sweep of that recipe on these data.

    The newest of the same name and search goes on, with the budget that is wanted now. Otherwise there is a new one; if
    the name was there before, it is an edit of that: what changed is said, and configurations that both have are kept.
    `is_fresh` makes a new one with nothing kept, but for a fresh one that has not finished: that goes on. Raises
    SweepHeld where another process drives that sweep now.
    """
    meant = what_is_meant(store, loaded, data, is_fresh=is_fresh)
    new, search, same = meant.new, data.search, meant.same
    if same is None:
        sweep, is_new = take_over(store, new, meant.kept)
        if is_new:
            return TakenUp(sweep, search, data, tuple(meant.says(store, sweep)))
        same = sweep  # another process was faster
    require_free(same)  # before anything of it is changed
    if not loaded.written and same.written:  # asked for by somebody who knew the resolved form only
        search = replace(search, written=dict(same.written))
        new = replace(new, written=same.written)
    sweep = update_sweep(store, same.key, new)
    return TakenUp(sweep, search, data, tuple(goes_on(store, same, sweep.n_trials)))


def what_is_meant(store: Store, loaded: LoadedRecipe, data: TrialData, *, is_fresh: bool = False) -> Meant:
    """Which sweep `take_up` would go on with, or what a new one would begin with. Nothing is written."""
    search = data.search
    new = NewSweep(
        name=search.name,
        recipe_text=loaded.text,
        recipe=loaded.resolved,
        written=search.written,
        fingerprint=fingerprint(loaded.resolved, data.fingerprint()),
        objectives=search.objectives,
        n_trials=search.spec.trials,
        recipe_path=None if loaded.path is None else str(loaded.path.absolute()),
        dataset_key=None if data.dataset is None else data.dataset.key,
        is_fresh=is_fresh,
    )
    same = find_same(store, new)
    parent = None if is_fresh or same is not None else find_sweep(store, search.name)
    if parent is None:
        return Meant(new, data, same, None, ())
    kept = tuple(_kept(store, parent, search, data))
    return Meant(replace(new, parent_key=parent.key), data, None, parent, kept)


def goes_on(store: Store, before: Sweep, n_trials: int | None) -> Iterator[str]:
    """What a person should know of a sweep that goes on, of which so many configurations are wanted now."""
    trials = read_trials(store, before.key)
    if not trials:
        return
    ended = sum(trial.status in (Status.FINISHED, Status.PRUNED, Status.FAILED) for trial in trials)
    n = len({trial.number for trial in trials})
    wanted = "" if n_trials is None else f" ({n_trials} are wanted)"
    how = f"it {before.status} before: {before.cause}" if before.cause else f"it {before.status} before"
    there = f"{n} configuration{'' if n == 1 else 's'}{wanted}, {_n_trials(ended)} ended"
    yield f"sweep {before.name} ({before.id}) goes on: {there}; {how}"


def _n_trials(n: int) -> str:
    return "1 trial has" if n == 1 else f"{n} trials have"


def _edited(store: Store, parent: Sweep, meant: Meant, made: Sweep | None) -> Iterator[str]:
    new = "would be a new sweep" if made is None else f"is a new sweep ({made.id})"
    yield f"{meant.new.name} is not the search it was ({parent.id}), so this {new}. What changed:"
    changes = list(_changes(_searched(parent.recipe), _searched(meant.new.recipe)))
    before = None if parent.dataset_key is None else get_dataset(store, parent.dataset_key)
    if parent.dataset_key != meant.new.dataset_key:
        changes.append(f"the data: {'as each trial says' if before is None else before} → {meant.data.title}")
    elif not changes:
        changes.append("the data that its trials train on")
    yield from (f"  {change}" for change in changes[:_MOST_SAID])
    if len(changes) > _MOST_SAID:
        yield f"  and {len(changes) - _MOST_SAID} more"
    n_before = len({trial.number for trial in read_trials(store, parent.key)})
    n_kept = len({taken.trial.number for taken in meant.kept})
    of = f"of its {n_before} configuration{'' if n_before == 1 else 's'}"
    if n_kept:
        yield f"{n_kept} {of} {'is' if n_kept == 1 else 'are'} kept: the same in the new search"
    elif n_before:
        yield f"none {of} is kept: none is the same in the new search"


def _changes(before: Mapping[str, Any], after: Mapping[str, Any], at: tuple[str, ...] = ()) -> Iterator[str]:
    for key in [*before, *(key for key in after if key not in before)]:
        old, new, here = before.get(key), after.get(key), (*at, key)
        if old == new:
            continue
        if isinstance(old, Mapping) and isinstance(new, Mapping) and len(here) < 3:
            yield from _changes(old, new, here)
        else:
            texts = ["not set" if value is None else shown(_given(value)) for value in (old, new)]
            yield f"{dotted(here)}: {texts[0]} → {texts[1]}"


def _given(value: Any) -> Any:
    """A table without what is not set in it."""
    if isinstance(value, Mapping):
        return {key: item for key, item in value.items() if item is not None and item is not False}
    return value


def _kept(store: Store, parent: Sweep, search: Search, data: TrialData) -> list[TakenOver]:
    """The parent's trials whose configurations are still in the space and mean the same, numbered anew.

    Finished ones with all their seeds, and interrupted ones to go on with. Stopped ones only where they would be
    stopped by the same rungs: pruner as it was, and with hyperband the number too, for it chooses the bracket.
    """
    if parent.objectives != search.objectives:
        return []
    old_spec, spec = parent.recipe["sweep"], search.spec
    stops_alike = all(old_spec.get(key) == getattr(spec, key) for key in ("pruner", "eta", "first_rung", "patience"))
    reports = read_reports(store, parent.key)
    kept: list[TakenOver] = []
    number = 0
    for configuration in configurations(read_trials(store, parent.key), reports):
        if search.space.active(configuration.parameters) is None:
            continue
        has_rungs = stops_alike and (spec.pruner != "hyperband" or number == configuration.number)
        taken = [
            _taken(store, trial, run, number, search, reports.get(trial.key, []), has_rungs=has_rungs)
            for trial in configuration.trials
            if _may_be_taken(parent, trial, has_rungs=has_rungs) and (run := _run(store, trial, number, search, data))
        ]
        if taken and taken[0].trial.seed == configuration.first.seed:
            kept += taken
            number += 1
    return kept


def _may_be_taken(parent: Sweep, trial: Trial, *, has_rungs: bool) -> bool:
    if trial.status in (Status.KILLED, Status.QUEUED):
        return parent.status != Status.RUNNING  # else its driver may go on with them
    return trial.status == Status.FINISHED or (trial.status == Status.PRUNED and has_rungs)


def _run(store: Store, trial: Trial, number: int, search: Search, data: TrialData) -> Run | None:
    """A trial's run, if it is one of the new search too: the same recipe on the same data."""
    try:
        loaded = search.trial_recipe(number, trial.seed, trial.parameters)
    except RecipeError:
        return None
    if loaded.hash != trial.recipe_hash:
        return None
    name = search.trial_name(trial.number, trial.seed)
    run = (
        find_trial_run(store, name, trial.recipe_hash, trial.created_at)  # its driver died before it could note it
        if trial.run_key is None
        else get_run(store, trial.run_key)
    )
    return run if run is not None and run.dataset_key == data.of(loaded.recipe) else None


def _taken(
    store: Store,
    trial: Trial,
    run: Run,
    number: int,
    search: Search,
    reports: Sequence[TrialReport],
    *,
    has_rungs: bool,
) -> TakenOver:
    """A trial as the new sweep begins with it."""
    is_open = trial.status in (Status.KILLED, Status.QUEUED)
    new = NewTrial(
        number,
        trial.seed,
        trial.parameters,
        trial.recipe_hash,
        trial.sampler_state if has_rungs else None,
        status=Status.QUEUED if is_open else trial.status,
        cause=None if is_open else trial.cause,
        run_key=run.key,
        objective_values=trial.objective_values,
        is_reused=not is_open,
        latency_ms=trial.latency_ms,
    )
    if not has_rungs:  # of other rungs: all that is left of them is where it ended
        value = trial.objective_values[0] if trial.objective_values else None
        end = None if is_open else last_report(store, run, len(search.rungs), value)
        reports = [] if end is None else [end]
    return TakenOver(new, tuple(reports))
