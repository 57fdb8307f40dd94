"""Curves of metrics and of the machine."""

from collections.abc import Sequence

import altair as alt
import pandas as pd

from dashboard.charts.palette import COLOURS, DASHES, MUTED, require

HEIGHT = 270


def curve_chart(
    frame: pd.DataFrame, *, x_title: str, y_title: str, runs: Sequence[str], series: Sequence[str], is_log: bool = False
) -> alt.LayerChart:
    """Lines over x: columns x, value, run, series. Colour tells runs apart, dashes series; nan is a gap.

    With one run, colour tells its series apart instead. `runs` and `series` fix the order of colours and dashes, so
    that a run keeps its colour over all charts of a page; the subtitle says what the dashes mean. A log scale leaves
    out what is not above 0.
    """
    require(frame, "curve_chart", "x", "value", "run", "series")
    if is_log:
        frame = frame[~(frame["value"] <= 0)]
    # A line of few points shows them: between two evaluations nothing was measured.
    frame = frame.assign(few=frame.groupby(["run", "series"], observed=True)["value"].transform("size") <= 30)
    is_single = len(runs) == 1
    colour_by, domain = ("series", list(series)) if is_single else ("run", list(runs))
    scale = alt.Scale(domain=domain, range=[COLOURS[i % len(COLOURS)] for i in range(len(domain))])
    legend = alt.Legend(title=None, orient="top", symbolType="stroke", labelLimit=180, columns=4, offset=4)
    y_scale = alt.Scale(type="log", nice=False) if is_log else alt.Scale(zero=False, nice=True)
    base = alt.Chart(frame).encode(
        x=alt.X("x:Q", title=x_title, axis=alt.Axis(grid=False, tickCount=6, format="~s", titlePadding=4)),
        y=alt.Y("value:Q", title=None, scale=y_scale, axis=alt.Axis(tickCount=5, format="~g")),
        color=alt.Color(f"{colour_by}:N", scale=scale, legend=legend if len(domain) > 1 else None),
    )
    words = ""
    if not is_single and len(series) > 1:
        styles = [list(DASHES)[i % len(DASHES)] for i in range(len(series))]
        dashes = alt.Scale(domain=list(series), range=[list(DASHES[style]) for style in styles])
        base = base.encode(strokeDash=alt.StrokeDash("series:N", scale=dashes, legend=None))
        words = " · ".join(f"{style} {name}" for style, name in zip(styles, series, strict=True))
    tooltip = [
        alt.Tooltip("run:N"),
        alt.Tooltip("series:N", title="split"),
        alt.Tooltip("x:Q", title=x_title, format=",.6~g"),
        alt.Tooltip("value:Q", title=y_title, format=".4~g"),
    ]
    line = base.mark_line(strokeWidth=1.6, interpolate="linear").encode(tooltip=tooltip)
    dots = base.mark_point(size=22, filled=True, opacity=1).encode(tooltip=tooltip).transform_filter("datum.few")
    return alt.layer(line, dots).properties(
        height=HEIGHT,
        title=alt.Title(y_title, subtitle=words, subtitleColor=MUTED, anchor="start", fontSize=13, offset=6),
    )


def system_chart(frame: pd.DataFrame, *, title: str, unit: str) -> alt.Chart:
    """One reading of the machine over time: columns seconds, value."""
    require(frame, "system_chart", "seconds", "value")
    return (
        alt.Chart(frame)
        .mark_area(line={"color": COLOURS[0], "strokeWidth": 1.2}, color=COLOURS[0], opacity=0.15)
        .encode(
            x=alt.X("seconds:Q", title="seconds", axis=alt.Axis(grid=False, tickCount=5)),
            y=alt.Y("value:Q", title=None, axis=alt.Axis(tickCount=4)),
            tooltip=[alt.Tooltip("seconds:Q", format=",.0f"), alt.Tooltip("value:Q", title=unit, format=",.1f")],
        )
        .properties(height=130, title=alt.Title(f"{title} ({unit})", anchor="start", fontSize=12))
    )
