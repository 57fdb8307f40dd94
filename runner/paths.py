"""Where things are when nobody says."""

import os
import shlex
from pathlib import Path

DEFAULT_STORE = "assay.db"


def default_store(given: str | Path | None = None) -> Path:
    """The store's file: what was given, else ASSAY_STORE, else assay.db in this folder."""
    return Path(given or os.environ.get("ASSAY_STORE") or DEFAULT_STORE)


def on_store(command: str, path: Path) -> str:
    """A command to copy that works on the store at `path`, which is named where it is not the default.

    >>> on_store("runner dashboard", Path("/data/my runs.db"))
    "runner dashboard --store '/data/my runs.db'"
    """
    is_default = path == default_store().expanduser().absolute()
    return command if is_default else f"{command} --store {shlex.quote(str(path))}"
