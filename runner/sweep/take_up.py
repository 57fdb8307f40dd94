"""Finding the sweep that a command means, or making it: the same search goes on, an edited one keeps what it can."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from hashlib import blake2b
from typing import Any, NamedTuple

from runner.recipe import LoadedRecipe, RecipeError
from runner.recipe.errors import dotted, shown
from runner.recipe.rules import active
from runner.sweep.configurations import configurations
from runner.sweep.search import Search
from store import (
    Dataset,
    NewSweep,
    NewTrial,
    Status,
    Store,
    Sweep,
    get_dataset,
    read_reports,
    read_trials,
    record_sweep,
)
from store.sweeps import find_sweep, require_free, update_sweep
from store.trials import record_report, record_trial

_NO_SEARCH = ("name", "notes", "tags", "sweep")
_BUDGET = ("trials", "seeds", "max_hours", "max_gpu_hours", "retries", "stop_after")
_MOST_SAID = 12


class TakenUp(NamedTuple):
    """A sweep that is to be driven."""

    sweep: Sweep
    search: Search
    """With what the recipe says without defaults, also where a page or a job knew only the resolved form."""
    said: tuple[str, ...]
    """What a person should know of it, in sentences."""


def fingerprint(resolved: Mapping[str, Any], data: str | None) -> str:
    """32 hex digits of all that makes the search: no names, notes, tags, budget, but the data's fingerprint."""
    text = json.dumps([_searched(resolved), data], sort_keys=True, ensure_ascii=False, allow_nan=False)
    return blake2b(text.encode(), digest_size=16).hexdigest()


def _searched(resolved: Mapping[str, Any]) -> dict[str, Any]:
    experiment = {key: value for key, value in active(resolved).items() if key not in _NO_SEARCH}
    spec = {key: value for key, value in resolved["sweep"].items() if key not in _BUDGET}
    return {**experiment, "sweep": spec}


def take_up(
    store: Store, loaded: LoadedRecipe, search: Search, dataset: Dataset | None, *, is_fresh: bool = False
) -> TakenUp:
    """The sweep of that recipe on that data (None: its trials differ in their data).

    The newest of the same name and search goes on, with the budget that is wanted now. Otherwise there is a new one; if
    the name was there before, it is an edit of that: what changed is said, and configurations that both have are kept.
    `is_fresh` always makes a new one, with nothing kept. Raises SweepHeld where another process drives that sweep now.
    """
    data = None if dataset is None else dataset.fingerprint
    mark = fingerprint(loaded.resolved, data)
    new = NewSweep(
        name=search.name,
        recipe_text=loaded.text,
        recipe=loaded.resolved,
        written=search.written,
        fingerprint=mark,
        objectives=search.objectives,
        n_trials=search.spec.trials,
        recipe_path=None if loaded.path is None else str(loaded.path.absolute()),
        dataset_key=None if dataset is None else dataset.key,
    )
    same = None if is_fresh else find_sweep(store, search.name, mark)
    if same is not None:
        require_free(same)  # before anything of it is changed
        if not loaded.written and same.written:  # asked for by somebody who knew the resolved form only
            search = replace(search, written=dict(same.written))
            new = replace(new, written=same.written)
        sweep = update_sweep(store, same.key, new)
        return TakenUp(sweep, search, tuple(_goes_on(store, same, sweep)))
    parent = find_sweep(store, search.name)
    if parent is None or is_fresh:
        return TakenUp(record_sweep(store, new), search, ())
    sweep = record_sweep(store, replace(new, parent_key=parent.key))
    n_kept = _keep(store, parent, sweep, search)
    n_before = len({trial.number for trial in read_trials(store, parent.key)})
    return TakenUp(sweep, search, tuple(_edited(store, parent, sweep, n_kept, n_before)))


def _goes_on(store: Store, before: Sweep, sweep: Sweep) -> Iterator[str]:
    trials = read_trials(store, sweep.key)
    if not trials:
        return
    ended = sum(trial.status in (Status.FINISHED, Status.PRUNED, Status.FAILED) for trial in trials)
    n = len({trial.number for trial in trials})
    wanted = "" if sweep.n_trials is None else f" ({sweep.n_trials} are wanted)"
    how = f"it {before.status} before: {before.cause}" if before.cause else f"it {before.status} before"
    yield f"sweep {sweep.name} ({sweep.id}) goes on: {n} configurations{wanted}, {ended} trials have ended; {how}"


def _edited(store: Store, parent: Sweep, sweep: Sweep, n_kept: int, n_before: int) -> Iterator[str]:
    yield f"{sweep.name} is not the search it was ({parent.id}), so this is a new sweep ({sweep.id}). What changed:"
    changes = list(_changes(_searched(parent.recipe), _searched(sweep.recipe)))
    if parent.dataset_key != sweep.dataset_key:
        versions = [
            "as each trial says" if key is None else str(get_dataset(store, key))
            for key in (parent.dataset_key, sweep.dataset_key)
        ]
        changes.append(f"the data: {versions[0]} → {versions[1]}")
    yield from (f"  {change}" for change in changes[:_MOST_SAID])
    if len(changes) > _MOST_SAID:
        yield f"  and {len(changes) - _MOST_SAID} more"
    yield f"{n_kept} of its {n_before} configurations are kept: they are the same in the new search"


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


def _keep(store: Store, parent: Sweep, sweep: Sweep, search: Search) -> int:
    """Take over the parent's configurations that are still in the space and mean the same; returns how many.

    Finished ones with all their seeds; stopped ones only where rungs and pruner are as they were, since they were
    stopped by those.
    """
    old_spec, spec = parent.recipe["sweep"], sweep.recipe["sweep"]
    stops_alike = all(old_spec.get(key) == spec[key] for key in ("pruner", "eta", "first_rung", "patience"))
    measures_alike = parent.objectives == sweep.objectives
    reports = read_reports(store, parent.key)
    number = 0
    for configuration in configurations(read_trials(store, parent.key), reports):
        if search.space.active(configuration.parameters) is None:
            continue
        kept = []
        for trial in configuration.trials:
            is_useful = trial.status == Status.FINISHED or (trial.status == Status.PRUNED and stops_alike)
            if not is_useful or not measures_alike or trial.run_key is None or parent.dataset_key != sweep.dataset_key:
                continue
            try:
                loaded = search.trial_recipe(number, trial.seed, trial.parameters)
            except RecipeError:
                continue
            if loaded.hash == trial.recipe_hash:
                kept.append(trial)
        if not kept or kept[0].key != configuration.first.key:
            continue
        for trial in kept:
            copy = record_trial(
                store,
                sweep.key,
                NewTrial(
                    number,
                    trial.seed,
                    trial.parameters,
                    trial.recipe_hash,
                    trial.sampler_state,
                    status=trial.status,
                    cause=trial.cause,
                    run_key=trial.run_key,
                    objective_values=trial.objective_values,
                ),
            )
            for report in reports.get(trial.key, ()):
                record_report(store, copy, report)
        number += 1
    return number
