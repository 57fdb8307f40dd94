"""What is shown instead of data: nothing there yet, or something wrong."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import streamlit as st

from dashboard.formats import escape
from dashboard.writing import create
from store import StoreError, StoreNotFound, StoreTooNew


def empty_state(
    title: str, text: str, *commands: str, new_run: str | None = None, button: Callable[[], object] | None = None
) -> None:
    """Say what is missing and the next command that fills it. `title` and `text` are plain text.

    `new_run` is the label of a link to the New run page, which does the same without a command; `button` draws one.
    """
    with st.container(border=True, horizontal_alignment="center", key=f"empty-{abs(hash(title))}"):
        st.markdown(f"#### {escape(title)}", width="content")
        st.markdown(escape(text), width="content", text_alignment="center")
        if button:
            button()
        if new_run:
            with st.container(border=True, width="content"):
                st.page_link("views/new_run.py", label=new_run, icon=":material/add:", width="content")
        if commands:
            st.code("\n".join(commands), language="bash", width="content")


def store_problem(error: StoreError, path: str) -> None:
    """Say why the store cannot be shown, and what to do."""
    if isinstance(error, StoreNotFound):
        empty_state(
            "No store here yet",
            f"A store is one file that keeps your data sets, runs and decisions. There is none at {path}. Begin here "
            "with a table of texts of your own, or in the terminal:",
            "runner demo                      # a small model on real English, five minutes",
            "runner train recipes/NAME.toml   # your own",
            "runner dashboard --store FILE    # another store",
            button=lambda: st.button(
                "Make an empty store here", icon=":material/add:", type="primary", on_click=create, args=(path,)
            ),
        )
        return
    st.error(escape(str(error)), icon=":material/error:")
    if isinstance(error, StoreTooNew):
        st.caption("Nothing was changed. The newer Assay that wrote it can read it.")
        return
    st.markdown(
        "`runner doctor` reads every page of the file and says which tables are whole; it changes nothing else:"
    )
    st.code(f"runner doctor --store '{path}'", language="bash", width="content")


@contextmanager
def guarded(path: str) -> Iterator[None]:
    """Show problems in words; the traceback goes to the server's log."""
    try:
        yield
    except StoreError as error:
        store_problem(error, path)
    except Exception as error:
        logging.getLogger(__name__).exception("a page could not be drawn")
        st.error(
            f"This page could not be drawn: {escape(f'{type(error).__name__}: {error}')}. "
            "The details are in the terminal that runs the dashboard.",
            icon=":material/error:",
        )
