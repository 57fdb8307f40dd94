"""Which store is shown, and whether it can be."""

import logging
import os
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import streamlit as st

from store import StoreNotFound, StoreTooNew, StoreUnreadable, open_store, reading, reconcile

RECONCILE_SECONDS = 15.0


class Source(NamedTuple):
    """A store at a moment: cached queries are keyed on both, so a write anywhere makes them new."""

    path: str
    version: int

    @property
    def name(self) -> str:
        """The file's name."""
        return Path(self.path).name


def store_path(arguments: Sequence[str] | None = None) -> str:
    """`--store FILE` after streamlit's `--`, else `ASSAY_STORE`, else `assay.db` in the current folder.

    >>> store_path(["--store", "/tmp/demo.db"])
    '/tmp/demo.db'
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    named = [after for word, after in pairwise(arguments) if word == "--store"]
    named += [word.removeprefix("--store=") for word in arguments if word.startswith("--store=")]
    chosen = named[-1] if named else os.environ.get("ASSAY_STORE") or "assay.db"
    return str(Path(chosen).expanduser().absolute())


def current() -> Source:
    """The store as it is now. Raises StoreNotFound, StoreUnreadable or StoreTooNew."""
    path = store_path()
    _reconcile(path)
    with reading(path) as store:
        return Source(path, store.version())


@st.cache_data(ttl=RECONCILE_SECONDS, show_spinner=False)
def _reconcile(path: str) -> None:
    """Upgrade an older schema, and give runs whose process is gone their true status, every now and then."""
    try:
        store = open_store(path, create=False)
    except (StoreNotFound, StoreTooNew):
        raise
    except StoreUnreadable:
        return  # perhaps only not writable: then it can still be read, and if not, reading says why
    try:
        reconcile(store)
    except Exception as error:  # a locked file or a full disk must not keep anyone from reading
        logging.getLogger(__name__).warning("%s: statuses could not be brought up to date: %s", path, error)
    finally:
        store.close()
