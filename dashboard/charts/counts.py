"""Counts of something, as bars."""

import altair as alt
import pandas as pd

from dashboard.charts.palette import RIGHT, require


def count_chart(frame: pd.DataFrame, *, title: str) -> alt.Chart:
    """Bars of counts: columns label, n; in the order given."""
    require(frame, "count_chart", "label", "n")
    names = frame["label"].tolist()
    axis = alt.Axis(labelLimit=180, labelOverlap=False, ticks=False, domain=False)
    return (
        alt.Chart(frame)
        .mark_bar(color=RIGHT, opacity=0.75, cornerRadiusEnd=2)
        .encode(
            y=alt.Y("label:N", title=None, sort=names, axis=axis, scale=alt.Scale(paddingInner=0.35)),
            x=alt.X("n:Q", title=None, axis=alt.Axis(grid=False, tickCount=4, format="~s")),
            tooltip=[alt.Tooltip("label:N"), alt.Tooltip("n:Q", title="rows", format=",")],
        )
        .properties(height=21 * len(frame) + 60, title=alt.Title(title, anchor="start", fontSize=12, offset=4))
    )
