"""Where models and data come from: found and checked before torch is loaded, so that a mistake is said at once."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from runner.errors import ModelError, UserError
from runner.hub import HubUnreachable, require_hub

if TYPE_CHECKING:
    from runner.recipe import Recipe


def check_locations(recipe: "Recipe") -> None:
    """Raise one UserError about everything that the recipe names and that is not there: model and hub data set."""
    problems = []
    try:
        model_location(recipe.model.base, recipe.model.revision)
    except UserError as error:
        problems.append(str(error))
    source = recipe.data.source
    if isinstance(source, str) and source.startswith("hub:"):
        from runner.data.arrow_files import require_hub_set

        try:
            require_hub_set(source)
        except HubUnreachable as error:
            problems.append(str(error))
    if problems:
        raise UserError("\n".join(problems))


def model_location(name: str, revision: str | None) -> str:
    """Where to load from: a folder that was checked, a hub name that was reached, `scratch:TYPE` or `run:NAME`.

    Raises ModelError, or HubUnreachable where it would have to come from a hub that does not answer.
    """
    if name.startswith("builtin:"):
        from runner.builtin import BUILTINS

        return str(BUILTINS[name.removeprefix("builtin:")]())
    if name.startswith(("scratch:", "run:")):
        return name
    folder = Path(name)
    if folder.is_absolute():
        _check_folder(folder)
        return name
    try:
        require_hub(name, "model")
    except HubUnreachable as error:
        cached = cached_folder(name, revision)
        if cached is None:
            raise HubUnreachable(f"{error}{folder_hint(name)}") from error
        return cached
    return name


def cached_folder(name: str, revision: str | None) -> str | None:
    """The folder of what the hub gave before: loading from it asks nobody, as loading by name always would."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return str(snapshot_download(name, revision=revision, local_files_only=True))
    except LocalEntryNotFoundError:
        return None
    except HFValidationError as error:
        raise ModelError(f"{name!r} is neither a folder nor a hub name: {error}") from error


def folder_hint(name: str) -> str:
    """What to add to an error about a hub model where there is a folder of its name here; else an empty text."""
    if not os.path.isdir(name):  # which takes any name, where Path.is_dir raises for some
        return ""
    return f' There is a folder "{name}" here, but no model in it; write "./{name}" if you mean it all the same.'


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise ModelError(f"there is no model folder {folder}. Name a folder, a hub model, or builtin:minilm.")
    files = {path.name for path in folder.iterdir()}
    is_tokenizer = bool(files & {"tokenizer.json", "tokenizer_config.json", "vocab.txt"})
    if "config.json" not in files and not is_tokenizer:
        shown = ", ".join(sorted(files)[:5]) or "nothing"
        raise ModelError(f"{folder} is not a model folder: it has no config.json (it holds {shown}).")
    has_pickle = any(name.endswith((".bin", ".pt", ".pth", ".ckpt")) for name in files)
    if has_pickle and not any(name.endswith(".safetensors") for name in files):
        raise ModelError(
            f"{folder} holds its weights as pickled files, which can run code when loaded. Only safetensors are read: "
            "convert them once with `model.save_pretrained(folder)` where you trust them."
        )
