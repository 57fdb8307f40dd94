"""The confusion matrix."""

from collections.abc import Sequence

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dashboard.charts.palette import RIGHT, WRONG, require

CELL, MARGIN = 72, 110
WIDEST = 500  # half of a narrow window
LARGEST = 20  # classes: beyond that, cells are too small to read and a table of the top confusions says more


def confusion_frame(confusion: NDArray[np.int64], label_names: Sequence[str]) -> pd.DataFrame:
    """Every cell of (k, k) counts: given, predicted (names), given_index, predicted_index, n, share (of the given)."""
    k = len(label_names)
    given, predicted = np.divmod(np.arange(k * k), k)
    totals = confusion.sum(axis=1)[given]
    flat = confusion.reshape(-1)
    return pd.DataFrame(
        {
            "given": [label_names[i] for i in given],
            "predicted": [label_names[i] for i in predicted],
            "given_index": given,
            "predicted_index": predicted,
            "n": flat,
            "share": np.divide(flat, totals, out=np.full(k * k, np.nan), where=totals > 0),
        }
    )


def top_confusions(frame: pd.DataFrame, limit: int = 50) -> pd.DataFrame:
    """The cells off the diagonal that occur, the most frequent first."""
    require(frame, "top_confusions", "given_index", "predicted_index", "n")
    wrong = frame[(frame["given_index"] != frame["predicted_index"]) & (frame["n"] > 0)]
    return wrong.sort_values("n", ascending=False, kind="stable").head(limit)


def confusion_chart(frame: pd.DataFrame, label_names: Sequence[str], *, is_dark: bool = False) -> alt.LayerChart:
    """A heat map with counts: rows given, columns predicted, shade = share of the given; errors in another colour.

    Columns given, predicted, given_index, predicted_index, n, share. Clicking a cell selects given_index and
    predicted_index under the name `cell`.
    """
    require(frame, "confusion_chart", "given", "predicted", "given_index", "predicted_index", "n", "share")
    frame = frame.assign(
        kind=np.where(frame["given_index"] == frame["predicted_index"], "right", "wrong"),
        shade=0.06 + 0.94 * frame["share"].fillna(0),
    )
    cell = alt.selection_point(name="cell", fields=["given_index", "predicted_index"], toggle=False)
    names = list(label_names)
    angle = -30 if len(names) > 6 else 0
    still = {"labelFlush": False, "labelBound": False, "labelOverlap": False}  # a label stays at its row or column
    base = alt.Chart(frame).encode(
        x=alt.X("predicted:N", title="predicted", sort=names, axis=alt.Axis(orient="top", labelAngle=angle, **still)),
        y=alt.Y("given:N", title="given", sort=names, axis=alt.Axis(**still)),
        tooltip=[
            alt.Tooltip("given:N"),
            alt.Tooltip("predicted:N"),
            alt.Tooltip("n:Q", format=","),
            alt.Tooltip("share:Q", title="of the given", format=".1%"),
        ],
    )
    colours = alt.Scale(domain=["right", "wrong"], range=[RIGHT, WRONG])
    cells = (
        base.mark_rect(cursor="pointer", cornerRadius=2)
        .encode(
            color=alt.Color("kind:N", scale=colours, legend=None),
            opacity=alt.Opacity("shade:Q", scale=alt.Scale(domain=[0, 1], range=[0, 1]), legend=None),
            stroke=alt.condition(cell, alt.value("#888888"), alt.value(None), empty=False),
            strokeWidth=alt.value(2),
        )
        .add_params(cell)
    )
    ink = "#F2F4F7" if is_dark else "#1B1F24"
    text = base.mark_text(fontSize=12 if len(names) <= 8 else 9, cursor="pointer").encode(
        text=alt.Text("n:Q", format=","),
        color=alt.condition("datum.shade > 0.55", alt.value("#FFFFFF"), alt.value(ink)),
    )
    side = min(CELL * len(names) + MARGIN, WIDEST)
    return alt.layer(cells, text).properties(height=side, width=side)
