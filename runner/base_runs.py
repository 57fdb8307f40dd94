"""A base that is another run's model (`model.base = "run:NAME"`): found by its run, loaded from its best checkpoint.

So a model is trained in stages: first on the language of a field, then on a task. The recipe that is recorded names the
run by its id, the run's provenance says which step of it was taken.
"""

from dataclasses import replace
from typing import Any

from runner.classifier import read_info
from runner.errors import ModelError
from runner.files import wrong_files
from runner.inputs import choose_checkpoint
from runner.recipe import LoadedRecipe, Model, recipe_hash
from store import Checkpoint, Run, Store, get_run

PREFIX = "run:"


def pinned(loaded: LoadedRecipe, store: Store) -> LoadedRecipe:
    """The recipe with the full id of the run that its base names; itself where it names none.

    Raises RunNotFound, RunAmbiguous.
    """
    model = loaded.recipe.model
    if not model.base.startswith(PREFIX):
        return loaded
    base = PREFIX + get_run(store, model.base.removeprefix(PREFIX)).id
    recipe = loaded.recipe.model_copy(update={"model": model.model_copy(update={"base": base})})
    resolved = {**loaded.resolved, "model": {**loaded.resolved["model"], "base": base}}
    return replace(loaded, recipe=recipe, resolved=resolved, hash=recipe_hash(resolved))


def standing(spec: Model, store: Store) -> Model:
    """The spec with the folders that its base lies in; itself where that is no run.

    Pooling is that run's, unless the spec says another. Raises ModelError where the run has no model of its own.
    """
    if not spec.base.startswith(PREFIX):
        return spec
    _, checkpoint = _found(spec, store)
    folder = store.files / checkpoint.path
    info = read_info(folder)
    return spec.model_copy(
        update={
            "base": str(folder / "backbone"),
            "tokenizer": spec.tokenizer or str(folder / "tokenizer"),
            "pooling": info.pooling if spec.pooling == "auto" else spec.pooling,
        }
    )


def parent_of(spec: Model, store: Store) -> dict[str, Any] | None:
    """What the provenance of a run on that base says of it; None where it is no run."""
    if not spec.base.startswith(PREFIX):
        return None
    run, checkpoint = _found(spec, store)
    return {"id": run.id, "name": run.name, "task": run.task, "step": checkpoint.step, "sha256": checkpoint.sha256}


def _found(spec: Model, store: Store) -> tuple[Run, Checkpoint]:
    run = get_run(store, spec.base.removeprefix(PREFIX))
    title = f"model.base = {spec.base!r}: run {run.name} ({run.id})"
    checkpoint = choose_checkpoint(store, run)
    folder = store.files / checkpoint.path
    if wrong := wrong_files(folder, checkpoint.manifest):
        raise ModelError(f"{title} has a checkpoint that is not what it wrote: {'; '.join(wrong[:5])}.")
    if not (folder / "backbone").is_dir():
        instead = f"`runner merge {run.id} --fold` makes one of an adapter: name that run."
        raise ModelError(f"{title} is of method {run.method}, whose checkpoints hold no whole model. {instead}")
    return run, checkpoint
