"""A table of examples; any row opens the example."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import pandas as pd
import streamlit as st

from dashboard.charts.palette import require
from dashboard.formats import UNKNOWN
from dashboard.named_texts import one_line

PER_PAGE = 25


def open_example(example_id: str) -> None:
    """Put the example into the URL: the page then shows its card."""
    st.query_params["example"] = example_id


def example_list(
    frame: pd.DataFrame,
    columns: Mapping[str, Any],
    *,
    key: str,
    ahead: Sequence[str] = (),
    height: int | Literal["content"] = "content",
    inputs: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Rows of examples with columns example_id, text and those of `columns` (name → Streamlit column config), of which
    those named in `ahead` stand before the text. `columns` may say how the text is shown, too. inputs: of these
    examples (`queries.inputs`), where some may be several texts."""
    require(frame, "example_list", "example_id", "text", *columns)
    ids = frame["example_id"].tolist()
    # A fresh widget for every opened example: its card can then be opened again by the same row.
    widget = f"{key}-{st.session_state.get('n_closed', 0)}-{hash(tuple(ids))}"

    def clicked() -> None:
        selection = st.session_state[widget]["selection"]
        rows = selection["rows"] or [row for row, _ in selection.get("cells", [])]
        if rows:
            open_example(ids[rows[0]])

    of = inputs or {}
    shown = frame.assign(text=[one_line(text, of.get(each, {})) for each, text in zip(ids, frame["text"], strict=True)])
    st.dataframe(
        shown[[*ahead, "text", *(name for name in columns if name not in (*ahead, "text"))]],
        column_config={
            "text": st.column_config.TextColumn("text", width=500, help="Choose a row to see all of it."),
            **columns,
        },
        hide_index=True,
        height=height,
        placeholder=UNKNOWN,
        on_select=clicked,
        selection_mode=["single-row", "single-cell"],
        key=widget,
    )


def probability(label: str, help: str | None = None) -> Any:
    """A column of probabilities."""
    return st.column_config.NumberColumn(label, format="%.3f", width=84, help=help)
