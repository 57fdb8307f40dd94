"""What triage found: which labels are taken for which, and what a queue yields."""

from collections.abc import Sequence

import altair as alt
import pandas as pd

from dashboard.charts.palette import COLOURS, MUTED, WRONG, require
from dashboard.formats import distinct

CELL, MARGIN, WIDEST = 64, 120, 520
LONGEST_NAME = 28
LARGEST = 20  # classes: beyond that a table of pairs says more


def pair_chart(frame: pd.DataFrame, label_names: Sequence[str], *, is_dark: bool = False) -> alt.LayerChart:
    """A heat map of labels that are likely wrong: rows given, columns what they should be, shade = how many.

    Columns given, likely (class indices), n, low, high. Clicking a cell selects given and likely under the name `pair`.
    """
    require(frame, "pair_chart", "given", "likely", "n", "low", "high")
    names = distinct(label_names, LONGEST_NAME)
    most = max(1.0, float(frame["n"].max())) if len(frame) else 1.0
    frame = frame.assign(
        given_name=[names[i] for i in frame["given"]],
        likely_name=[names[i] for i in frame["likely"]],
        shade=0.08 + 0.92 * frame["n"] / most,
    )
    pair = alt.selection_point(name="pair", fields=["given", "likely"], toggle=False)
    still = {"labelFlush": False, "labelBound": False, "labelOverlap": False, "labelLimit": 200}
    every = {"domain": names}
    base = alt.Chart(frame).encode(
        x=alt.X(
            "likely_name:N", title="should be", sort=names, scale=alt.Scale(**every),
            axis=alt.Axis(orient="top", labelAngle=-90 if len(names) > 5 else 0, **still),
        ),
        y=alt.Y(
            "given_name:N", title="labelled", sort=names, scale=alt.Scale(**every), axis=alt.Axis(**still)
        ),
        tooltip=[
            alt.Tooltip("given_name:N", title="labelled"),
            alt.Tooltip("likely_name:N", title="should be"),
            alt.Tooltip("n:Q", title="about", format=",.0f"),
            alt.Tooltip("low:Q", title="from", format=",.0f"),
            alt.Tooltip("high:Q", title="to", format=",.0f"),
        ],
    )  # fmt: skip
    cells = (
        base.mark_rect(cursor="pointer", cornerRadius=2, color=WRONG)
        .encode(
            opacity=alt.Opacity("shade:Q", scale=alt.Scale(domain=[0, 1], range=[0, 1]), legend=None),
            stroke=alt.condition(pair, alt.value("#888888"), alt.value(None), empty=False),
            strokeWidth=alt.value(2),
        )
        .add_params(pair)
    )
    ink = "#F2F4F7" if is_dark else "#1B1F24"
    text = base.mark_text(fontSize=12 if len(names) <= 8 else 9, cursor="pointer").encode(
        text=alt.Text("n:Q", format=",.0f"),
        color=alt.condition("datum.shade > 0.6", alt.value("#FFFFFF"), alt.value(ink)),
    )
    side = min(CELL * len(names) + MARGIN, WIDEST)
    return alt.layer(cells, text).properties(height=side, width=side)


def yield_chart(curve: pd.DataFrame, found: pd.DataFrame, *, n_looks: int) -> alt.LayerChart:
    """Errors found after so many looks: the curve expected before any decision with its band, and what was found.

    curve: columns n_reviewed, n_found, low, high; found: n_reviewed, n_found. A rule marks `n_looks`.
    """
    require(curve, "yield_chart", "n_reviewed", "n_found", "low", "high")
    require(found, "yield_chart", "n_reviewed", "n_found")
    x = alt.X("n_reviewed:Q", title="examples looked at", axis=alt.Axis(grid=False, tickCount=6, format="~s"))
    y = alt.Y("n_found:Q", title=None, axis=alt.Axis(tickCount=5, format="~s"))
    base = alt.Chart(curve).encode(x=x)
    tooltip = [
        alt.Tooltip("n_reviewed:Q", title="looked at", format=",.0f"),
        alt.Tooltip("n_found:Q", title="wrong labels found", format=",.0f"),
    ]
    band = base.mark_area(opacity=0.16, color=COLOURS[0]).encode(y=alt.Y("low:Q", title=None), y2="high:Q")
    line = base.mark_line(color=COLOURS[0], strokeWidth=1.6).encode(y=y, tooltip=tooltip)
    rule = (
        alt.Chart(pd.DataFrame({"n_reviewed": [n_looks]}))
        .mark_rule(strokeDash=[3, 3], color=MUTED)
        .encode(x=alt.X("n_reviewed:Q", title="examples looked at"))
    )
    layers: list[alt.Chart] = [band, line, rule]
    if len(found):
        layers.append(alt.Chart(found).mark_line(color=WRONG, strokeWidth=2).encode(x=x, y=y, tooltip=tooltip))
    words = "blue: expected before any decision, with its 95 % band" + (" · orange: found" if len(found) else "")
    return alt.layer(*layers).properties(
        height=230,
        title=alt.Title(
            "Wrong labels found", subtitle=words, subtitleColor=MUTED, anchor="start", fontSize=13, offset=6
        ),
    )
