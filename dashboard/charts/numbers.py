"""Numbers that a model predicted, against those that are given."""

import altair as alt
import pandas as pd

from dashboard.charts.palette import MUTED, RIGHT, require

MOST_POINTS = 2000


def fit_chart(frame: pd.DataFrame) -> alt.LayerChart:
    """A point an example: columns given, said, position; on the line both are the same."""
    require(frame, "fit_chart", "given", "said", "position")
    low = float(frame[["given", "said"]].min().min()) if len(frame) else 0.0
    high = float(frame[["given", "said"]].max().max()) if len(frame) else 1.0
    scale = alt.Scale(domain=[low, high], nice=True, zero=False)
    same = pd.DataFrame({"given": [low, high], "said": [low, high]})
    x, y = alt.X("given:Q", title="given", scale=scale), alt.Y("said:Q", title="predicted", scale=scale)
    line = alt.Chart(same).mark_line(color=MUTED, strokeDash=[4, 4], strokeWidth=1.2).encode(x=x, y=y)
    points = (
        alt.Chart(frame)
        .mark_circle(size=26, opacity=0.55, color=RIGHT)
        .encode(
            x=x,
            y=y,
            tooltip=[
                alt.Tooltip("given:Q", format=".4g"), alt.Tooltip("said:Q", title="predicted", format=".4g"),
                alt.Tooltip("position:Q"),
            ],
        )
    )  # fmt: skip
    return alt.layer(line, points).properties(height=380)
