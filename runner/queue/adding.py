"""From a command line to a queued job: everything that can be checked is checked before it is queued."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.errors import UserError
from runner.queue.kinds import Wishes
from runner.queue.recipes import recipe_arguments
from store import Job, Run, Store, get_run, job_device, queue_job
from store.segments import RESUMABLE

if TYPE_CHECKING:
    from runner.sweep.asked_for import Budget


def add_train_job(store: Store, recipe: Path, overrides: Sequence[str], wishes: Wishes) -> Job:
    """A train job with the recipe as it is now. Raises RecipeError, UserError."""
    from runner.recipe import load_recipe

    loaded = load_recipe(recipe, overrides)
    return _queue(store, "train", loaded.recipe.name, recipe_arguments(loaded), loaded.recipe.training.device, wishes)


def add_sweep_job(
    store: Store, recipe: Path, overrides: Sequence[str], budget: "Budget", others: Mapping[str, Any], wishes: Wishes
) -> Job:
    """A sweep job: the recipe as it is now, or more of a sweep in the store. Raises RecipeError, UserError.

    `others`: what it is to be told beside the budget, `parallel` and `retry`.
    """
    from runner.recipe import load_recipe
    from runner.sweep.asked_for import find_recipe
    from runner.sweep.search import read_search

    loaded, stored = find_recipe(recipe, overrides, budget, store)
    read_search(loaded.recipe, loaded.written)
    device = loaded.recipe.training.device
    if stored is None:
        arguments = recipe_arguments(load_recipe(recipe, overrides, for_sweep=True))
    else:
        arguments = {"recipe": stored.id, "recipe_device": device}
    options = {name.replace("_", "-"): value for name, value in asdict(budget).items()}
    arguments["options"] = _given({**options, **others})
    return _queue(store, "sweep", loaded.recipe.name, arguments, device, wishes)


def add_run_job(store: Store, kind: str, selector: str, wishes: Wishes) -> Job:
    """A resume or reproduce job. Raises RunNotFound, UserError."""
    run = get_run(store, selector)
    if kind == "resume" and run.status not in RESUMABLE:
        raise UserError(f"run {run.name} ({run.id}) is {run.status}; only a {', '.join(RESUMABLE)} run can be resumed.")
    if kind == "reproduce" and run.recipe is None:
        raise UserError(f"run {run.name} ({run.id}) has no recipe that could be run again.")
    run_key = run.key if kind == "resume" else None
    return _queue(store, kind, f"{kind} {run.name}", {"run": run.id}, _device(run), wishes, run_key)


def add_crossval_job(
    store: Store, recipe: Path, overrides: Sequence[str], options: Mapping[str, Any], wishes: Wishes, *, is_file: bool
) -> Job:
    """A crossval job: the recipe as it is now, or that of a run, which `recipe` then names. Raises RecipeError,
    RunNotFound, UserError."""
    from runner.location import check_locations
    from runner.recipe import load_recipe

    if is_file:
        loaded = load_recipe(recipe, overrides)
        arguments = recipe_arguments(loaded)
    else:
        from runner.resume import read_recorded

        run = get_run(store, str(recipe))
        if overrides:
            raise UserError(f"{recipe} is a run: --set would make another recipe of it. Change its recipe file.")
        loaded = read_recorded(store, run).loaded
        arguments = {"run": run.id, "recipe_device": loaded.recipe.training.device}
    check_locations(loaded.recipe)
    arguments["options"] = _given(options)
    return _queue(store, "crossval", f"crossval {loaded.recipe.name}", arguments, loaded.recipe.training.device, wishes)


def add_triage_job(
    store: Store, runs: Sequence[str], dataset: str | None, options: Mapping[str, Any], wishes: Wishes
) -> Job:
    """A triage job, of the runs or of the data set. Raises RunNotFound, DatasetNotFound, SourceError."""
    from runner.triage.sources import find_sources

    sources = find_sources(store, runs, dataset)
    looked_at = {"runs": [run.id for run in sources.runs]} if runs else {"dataset": str(sources.dataset)}
    arguments = {**looked_at, "options": _given(options)}
    return _queue(store, "triage", f"triage {sources.dataset}", arguments, "auto", wishes)


def add_predict_job(
    store: Store, selector: str, file: str | None, out: Path, options: Mapping[str, Any], wishes: Wishes
) -> Job:
    """A predict job. Raises RunNotFound, UserError."""
    from runner.inputs import check_out, open_texts

    run = get_run(store, selector)
    options = {**_given(options), "out": str(out.expanduser().absolute())}
    if file is not None and not file.startswith("dataset:"):
        file = str(Path(file).expanduser().absolute())
    check_out(out)
    open_texts(store, run, file, split=options.get("split"), text_column=options.get("text-column"))
    return _queue(
        store, "predict", f"predict {run.name}", {"run": run.id, "file": file, "options": options}, "auto", wishes
    )


def _queue(
    store: Store,
    kind: str,
    name: str,
    arguments: Mapping[str, Any],
    recipe_device: str,
    wishes: Wishes,
    run_key: int | None = None,
) -> Job:
    needed = job_device(recipe_device)
    device = wishes.device or needed
    if needed is not None and device not in (
        needed,
        *((device,) if device and device.startswith(f"{needed}:") else ()),
    ):
        raise UserError(
            f"--device {device}, but the recipe says training.device = {recipe_device!r}; change one of them."
        )
    return queue_job(
        store,
        kind,
        wishes.name or name,
        arguments,
        priority=wishes.priority,
        device=device,
        max_attempts=wishes.attempts,
        run_key=run_key,
    )


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _device(run: Run) -> str:
    training: Any = (run.recipe or {}).get("training")
    return str((training or {}).get("device") or "auto")
