"""Writing to the store: opened for the length of a click; what came of it is said at the next drawing.

A callback of a click must not draw anything: in a fragment that would take the place of what stands on top of the page.
"""

import logging
from collections.abc import Callable
from typing import TypeVar

import streamlit as st

from dashboard.formats import escape
from store import Store, StoreError, open_store

Made = TypeVar("Made")
_KEPT = "notes-to-say"


def write(path: str, act: Callable[[Store], Made], said: str | None = None, *, is_new: bool = False) -> Made | None:
    """`act(store)` on the store opened for writing, made first where it `is_new`; `said` is shown when it worked.

    Returns what `act` returns, or None, with the reason to be shown, where the store refused.
    """
    try:
        store = open_store(path, create=is_new)
        try:
            made = act(store)
        finally:
            store.close()
    except StoreError as error:
        note(str(error), is_problem=True)
        return None
    except Exception as error:  # a locked file, a full disk: SQLite's own errors, which only the store may name
        logging.getLogger(__name__).exception("%s could not be written", path)
        text = f"Nothing was written: {type(error).__name__}: {error}. The details are in the dashboard's terminal."
        note(text, is_problem=True)
        return None
    if said:
        note(said)
    return made


def create(path: str) -> None:
    """Make an empty store; where that fails the reason is shown."""
    write(path, lambda store: None, "An empty store was made.", is_new=True)


def note(text: str, *, is_problem: bool = False) -> None:
    """Keep a text for `say_notes`."""
    st.session_state.setdefault(_KEPT, []).append((text, is_problem))


def say_notes() -> None:
    """Show what the last click led to; called where a page, or a part of it that draws itself, begins."""
    for text, is_problem in st.session_state.pop(_KEPT, []):
        icon = ":material/error:" if is_problem else ":material/check:"
        st.toast(escape(text), icon=icon, duration="long" if is_problem else "short")
