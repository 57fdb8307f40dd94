"""How long examples are, as bars over their lengths."""

import altair as alt
import pandas as pd

from dashboard.charts.palette import RIGHT, WRONG, require


def length_chart(frame: pd.DataFrame, *, unit: str, room: float | None = None) -> alt.LayerChart:
    """A histogram: columns low, high, n; `room` is where examples are cut, in the same unit."""
    require(frame, "length_chart", "low", "high", "n")
    bars = (
        alt.Chart(frame)
        .mark_bar(color=RIGHT, opacity=0.75)
        .encode(
            x=alt.X("low:Q", title=unit, axis=alt.Axis(grid=False, tickCount=8)),
            x2=alt.X2("high"),
            y=alt.Y("n:Q", title="examples", axis=alt.Axis(tickCount=4)),
            tooltip=[
                alt.Tooltip("low:Q", title="from", format=",.6~g"),
                alt.Tooltip("high:Q", title="below", format=",.6~g"),
                alt.Tooltip("n:Q", title="examples", format=","),
            ],
        )
    )
    marks = pd.DataFrame({"room": [] if room is None or frame.empty or room > frame["high"].max() else [room]})
    rule = alt.Chart(marks).mark_rule(color=WRONG, strokeDash=[4, 3]).encode(x="room:Q")
    layers: alt.LayerChart = (bars + rule).properties(height=220)
    return layers
