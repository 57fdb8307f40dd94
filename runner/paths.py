"""Where things are when nobody says."""

import os
from pathlib import Path

DEFAULT_STORE = "assay.db"


def default_store(given: str | Path | None = None) -> Path:
    """The store's file: what was given, else ASSAY_STORE, else assay.db in this folder."""
    return Path(given or os.environ.get("ASSAY_STORE") or DEFAULT_STORE)
