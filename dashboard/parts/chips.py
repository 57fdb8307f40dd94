"""Status and runs, small."""

from collections.abc import Sequence
from typing import Any

import streamlit as st

from dashboard.charts.palette import COLOURS, STATUS_COLOURS, STATUS_SHAPES
from dashboard.formats import escape
from store import Run


def status_word(status: str) -> str:
    """`✓ finished`: a shape and a word, so that colour only helps."""
    return f"{STATUS_SHAPES[status]} {status}"


def badge(status: str) -> None:
    """A status as a coloured badge."""
    colours: Any = STATUS_COLOURS  # Streamlit's literal type of colour names
    st.badge(status_word(status), color=colours[status], width="content")


def labels(runs: Sequence[Run]) -> list[str]:
    """A name for each run that is unlike all others': runs of one name get the end of their id.

    >>> from types import SimpleNamespace as R
    >>> labels([R(name="a", id="01XYZ1"), R(name="a", id="01XYZ2"), R(name="b", id="01XYZ3")])
    ['a ·XYZ1', 'a ·XYZ2', 'b']
    """
    return unlike_names([(run.name, run.id) for run in runs])


def unlike_names(runs: Sequence[tuple[str, str]]) -> list[str]:
    """As `labels`, from (name, id)."""
    names = [name for name, _ in runs]
    return [name if names.count(name) == 1 else f"{name} ·{run_id[-4:]}" for name, run_id in runs]


def run_chips(runs: Sequence[Run], names: Sequence[str]) -> None:
    """A link to each run, in the colour it has in the charts; the first is the baseline."""
    for i, (run, name) in enumerate(zip(runs, names, strict=True)):
        with st.container(horizontal=True, gap=None, vertical_alignment="center", width="content", key=f"chip-{i}"):
            st.html(f'<span style="color:{COLOURS[i % len(COLOURS)]};font-size:1.1rem">●</span>', width="content")
            label = escape(name) + (" (baseline)" if i == 0 and len(runs) > 1 else "")
            st.page_link("views/run.py", label=label, query_params={"run": run.id}, width="content")
