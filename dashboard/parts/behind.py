"""The call behind a number: Python that gives the same number, to copy and run."""

import streamlit as st


def behind(call: str, *, label: str = "Python", help: str = "The call behind these numbers, to copy") -> None:
    """A small button that opens the code. `call` runs as it stands, in a Python that has Assay."""
    with st.popover(label, icon=":material/code:", type="tertiary", help=help):
        st.caption("Run this in Python to get the same numbers.")
        st.code(call, language="python")


def opening(path: str, *names: str) -> str:
    """The first lines of every call: imports from the store, and opening it.

    >>> print(opening("a.db", "get_run"))
    from store import get_run, open_readonly
    <BLANKLINE>
    store = open_readonly('a.db')
    """
    return f"from store import {', '.join(sorted({*names, 'open_readonly'}))}\n\nstore = open_readonly({path!r})"
