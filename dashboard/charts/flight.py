"""The last steps before something went wrong."""

import altair as alt
import pandas as pd

from dashboard.charts.palette import COLOURS, MUTED, WRONG, require

HEIGHT = 190


def flight_chart(frame: pd.DataFrame, *, title: str, chosen: int) -> alt.LayerChart:
    """One number over the steps of a flight: columns step, value, is_broken.

    Where `is_broken` (the value was measured and is no finite number) a thin red line with a cross at the top stands
    for it; a value that is nan otherwise was not measured and is a gap. A dashed line marks the chosen step.
    """
    require(frame, "flight_chart", "step", "value", "is_broken")
    tooltip = [alt.Tooltip("step:Q", format=",d"), alt.Tooltip("value:Q", title=title, format=".4~g")]
    base = alt.Chart(frame).encode(
        x=alt.X(
            "step:Q", title="step", scale=alt.Scale(nice=False, zero=False), axis=alt.Axis(grid=False, tickCount=5)
        ),
        tooltip=tooltip,
    )
    known = base.transform_filter("!datum.is_broken && isValid(datum.value)").encode(
        y=alt.Y(
            "value:Q", title=None, scale=alt.Scale(zero=False, nice=True), axis=alt.Axis(tickCount=4, format=".4~g")
        )
    )
    broken = base.transform_filter("datum.is_broken").encode(
        tooltip=[alt.Tooltip("step:Q", format=",d"), alt.Tooltip("word:N", title=title)]
    )
    broken = broken.transform_calculate(word="'not a finite number'")
    marker = alt.Chart(pd.DataFrame({"step": [chosen]})).mark_rule(strokeDash=[3, 3], color=MUTED, strokeWidth=1.5)
    return alt.layer(
        marker.encode(x="step:Q"),
        known.mark_line(strokeWidth=1.4, color=COLOURS[0]),
        known.mark_point(size=14, filled=True, color=COLOURS[0], opacity=1),
        broken.mark_rule(color=WRONG, opacity=0.35),
        broken.mark_point(shape="cross", angle=45, size=60, filled=True, color=WRONG, opacity=1).encode(y=alt.value(6)),
    ).properties(height=HEIGHT, title=alt.Title(title, anchor="start", fontSize=12))
