"""One example over the checkpoints of runs."""

from collections.abc import Sequence

import altair as alt
import pandas as pd

from dashboard.charts.palette import COLOURS, MUTED, require


def history_chart(frame: pd.DataFrame, *, x_title: str, runs: Sequence[str], n_classes: int | None) -> alt.LayerChart:
    """Probability of the given label over checkpoints: columns x, p_given, run, said. Filled = predicted right.

    `said` is what was predicted, `is_right` (bool) whether that was the given label. A rule marks chance where the
    number of classes is known.
    """
    require(frame, "history_chart", "x", "p_given", "run", "said", "is_right")
    scale = alt.Scale(domain=list(runs), range=[COLOURS[i % len(COLOURS)] for i in range(len(runs))])
    base = alt.Chart(frame).encode(
        x=alt.X("x:Q", title=x_title, axis=alt.Axis(grid=False, tickMinStep=1, format="~g")),
        y=alt.Y("p_given:Q", title="p(given label)", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(tickCount=3)),
        color=alt.Color(
            "run:N", scale=scale, legend=alt.Legend(title=None, orient="right", labelLimit=220, symbolStrokeWidth=2)
        ),
        tooltip=[
            alt.Tooltip("run:N"),
            alt.Tooltip("x:Q", title=x_title),
            alt.Tooltip("said:N", title="predicted"),
            alt.Tooltip("p_given:Q", format=".3f"),
        ],
    )
    points = base.mark_point(size=55, strokeWidth=1.6).encode(
        fillOpacity=alt.condition("datum.is_right", alt.value(1.0), alt.value(0.0)),
        fill=alt.Fill("run:N", scale=scale, legend=None),
    )
    layers: list[alt.Chart] = [base.mark_line(strokeWidth=1.6), points]
    if n_classes:
        chance = alt.Chart(pd.DataFrame({"p_given": [1 / n_classes]}))
        layers.insert(0, chance.mark_rule(strokeDash=[3, 3], color=MUTED, opacity=0.7).encode(y="p_given:Q"))
    return alt.layer(*layers).properties(height=230)
