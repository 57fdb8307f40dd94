"""A search: how far it came for what it took, which parameters matter, what was stopped where, what trades off."""

import altair as alt
import pandas as pd

from dashboard.axes import Axis
from dashboard.charts.palette import COLOURS, GOOD, MUTED, RIGHT, STATUS_SHAPES, require

HEIGHT = 250
_POINT_SHAPES = {"finished": "circle", "pruned": "diamond", "failed": "cross", "killed": "square"}


def progress_chart(frame: pd.DataFrame, *, x_title: str, y_title: str) -> alt.LayerChart:
    """The best so far as a stair over compute, and each trial as a point: columns label, status, compute, value, best.

    What was pruned or failed has no value to draw: a tick at the bottom says what it took.
    """
    require(frame, "progress_chart", "label", "status", "compute", "value", "best")
    x = alt.X("compute:Q", title=x_title, axis=alt.Axis(grid=False, tickCount=6, format="~s"))
    base = alt.Chart(frame).encode(x=x)
    tooltip = [
        alt.Tooltip("label:N", title="trial"),
        alt.Tooltip("status:N"),
        alt.Tooltip("value:Q", title=y_title, format=".4~g"),
        alt.Tooltip("compute:Q", title=x_title, format=",.4~g"),
    ]
    scale = alt.Scale(zero=False)
    y = alt.Y("value:Q", title=None, scale=scale, axis=alt.Axis(tickCount=5, format="~g"))
    best = base.transform_filter("isValid(datum.best)").mark_line(interpolate="step-after", strokeWidth=2, color=RIGHT)
    points = base.transform_filter("isValid(datum.value)").mark_point(size=26, filled=True, color=MUTED, opacity=0.75)
    stopped = base.transform_filter("!isValid(datum.value)").mark_tick(
        color=MUTED, opacity=0.6, height=7, thickness=1.2, y=alt.ExprRef("height - 4")
    )
    return alt.layer(
        points.encode(y=y, tooltip=tooltip),
        best.encode(y=alt.Y("best:Q", title=None, scale=scale)),
        stopped.encode(tooltip=[alt.Tooltip("label:N", title="trial"), alt.Tooltip("status:N")]),
    ).properties(
        height=HEIGHT,
        title=alt.Title(
            y_title, subtitle="line: best so far · points: finished trials · ticks: stopped early",
            subtitleColor=MUTED, anchor="start", fontSize=13, offset=6,
        ),
    )  # fmt: skip


def importance_chart(frame: pd.DataFrame) -> alt.LayerChart:
    """Bars of shares with their intervals: columns label, share, low, high; the largest on top."""
    require(frame, "importance_chart", "label", "share", "low", "high")
    names = frame["label"].tolist()
    still = alt.Axis(labelLimit=170, labelOverlap=False, ticks=False, domain=False)
    y = alt.Y("label:N", title=None, sort=names, axis=still, scale=alt.Scale(paddingInner=0.45))
    x_axis = alt.Axis(format="%", grid=False, tickCount=5)
    low, high = min(0.0, float(frame["low"].min())), float(frame["high"].max())
    scale = alt.Scale(domain=[max(-0.2, low), min(1.0, max(0.2, high))])
    tooltip = [
        alt.Tooltip("label:N", title="parameter"),
        alt.Tooltip("share:Q", format=".1%"),
        alt.Tooltip("low:Q", title="from", format=".1%"),
        alt.Tooltip("high:Q", title="to", format=".1%"),
    ]
    base = alt.Chart(frame).encode(y=y, tooltip=tooltip)
    bars = base.mark_bar(color=RIGHT, opacity=0.75, cornerRadiusEnd=2, clip=True).encode(
        x=alt.X("share:Q", title="share of the variance explained", scale=scale, axis=x_axis), x2=alt.datum(0)
    )
    ends = base.mark_rule(color=MUTED, strokeWidth=1.5, clip=True).encode(x=alt.X("low:Q", scale=scale), x2="high:Q")
    return alt.layer(bars, ends).properties(
        height=30 * len(frame) + 85, title=alt.Title("What mattered", anchor="start", fontSize=13, offset=6)
    )


def slice_chart(frame: pd.DataFrame, axis: Axis, *, y_title: str, is_first: bool = True) -> alt.Chart:
    """The objective over one parameter: columns label, x, value. `is_first`: the y axis has its numbers."""
    require(frame, "slice_chart", "label", "x", "value")
    plain = alt.Axis(grid=False, labelLimit=110, labelAngle=0, format="~g")
    if axis.scale == "choice":
        angle = 0 if len(axis.choices) <= 6 else -40
        choice_axis = alt.Axis(grid=False, labelLimit=90, labelAngle=angle)
        x = alt.X("x:N", title=axis.label, sort=list(axis.choices), axis=choice_axis)
    else:
        x_scale = alt.Scale(type=axis.scale, domain=[axis.low, axis.high], nice=False)
        x = alt.X("x:Q", title=axis.label, scale=x_scale, axis=plain.copy() if axis.scale == "linear" else _log_axis())
    return (
        alt.Chart(frame)
        .mark_point(size=30, filled=True, opacity=0.6, color=RIGHT)
        .encode(
            x=x,
            y=alt.Y(
                "value:Q", title=y_title if is_first else None, scale=alt.Scale(zero=False),
                axis=alt.Axis(tickCount=4, format="~g"),
            ),
            tooltip=[
                alt.Tooltip("label:N", title="trial"),
                alt.Tooltip("x:N", title=axis.label),
                alt.Tooltip("value:Q", title=y_title, format=".4~g"),
            ],
        )
        .properties(height=190)
    )  # fmt: skip


def _log_axis() -> alt.Axis:
    return alt.Axis(grid=False, tickCount=4, format="~e")


def trade_off_chart(frame: pd.DataFrame, *, x_title: str, y_title: str, is_x_log: bool = False) -> alt.LayerChart:
    """Two objectives: columns label, x, y, is_front. A stair joins what no other trial beats in everything."""
    require(frame, "trade_off_chart", "label", "x", "y", "is_front")
    x_scale = alt.Scale(type="log", nice=False) if is_x_log else alt.Scale(zero=False)
    base = alt.Chart(frame).encode(
        x=alt.X("x:Q", title=x_title, scale=x_scale, axis=alt.Axis(grid=False, format="~s", tickCount=6)),
        y=alt.Y("y:Q", title=None, scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=5, format="~g")),
        tooltip=[
            alt.Tooltip("label:N", title="trial"),
            alt.Tooltip("x:Q", title=x_title, format=",.4~g"),
            alt.Tooltip("y:Q", title=y_title, format=".4~g"),
        ],
    )
    front = base.transform_filter("datum.is_front")
    return alt.layer(
        base.transform_filter("!datum.is_front").mark_point(size=28, filled=True, color=MUTED, opacity=0.6),
        front.mark_line(strokeWidth=1.4, color=GOOD, strokeDash=[4, 3]),
        front.mark_point(size=60, filled=True, color=GOOD, opacity=1),
    ).properties(
        height=340,
        title=alt.Title(
            y_title, subtitle="yellow: no other finished trial is as good in every objective and better in one"
            " (latencies count as equal where their intervals overlap)",
            subtitleColor=MUTED, anchor="start", fontSize=13, offset=6,
        ),
    )  # fmt: skip


def rung_chart(frame: pd.DataFrame, *, x_title: str, y_title: str) -> alt.LayerChart:
    """A line a trial over what it said at its rungs: columns label, at, value, status, ends. ◇ where it was pruned."""
    require(frame, "rung_chart", "label", "at", "value", "status", "ends")
    statuses = [status for status in STATUS_SHAPES if (frame["status"] == status).any()]
    colours = {"finished": RIGHT, "running": COLOURS[2], "pruned": MUTED}
    scale = alt.Scale(domain=statuses, range=[colours.get(status, COLOURS[3]) for status in statuses])
    base = alt.Chart(frame).encode(
        x=alt.X("at:Q", title=x_title, axis=alt.Axis(grid=False, format="~g", tickCount=6)),
        y=alt.Y("value:Q", title=None, scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=5, format="~g")),
        color=alt.Color("status:N", scale=scale, legend=alt.Legend(title=None, orient="top", symbolType="stroke")),
        tooltip=[
            alt.Tooltip("label:N", title="trial"),
            alt.Tooltip("status:N"),
            alt.Tooltip("at:Q", title=x_title, format=".3~g"),
            alt.Tooltip("value:Q", title=y_title, format=".4~g"),
        ],
    )
    faint = 0.6 if frame["label"].nunique() <= 60 else 0.25
    return alt.layer(
        base.mark_line(strokeWidth=1.2, opacity=faint).encode(detail="label:N"),
        base.transform_filter("datum.ends").mark_point(shape="diamond", size=45, strokeWidth=1.5, opacity=0.9),
        base.transform_filter("!datum.ends").mark_point(size=14, filled=True, opacity=faint),
    ).properties(height=320, title=alt.Title(y_title, anchor="start", fontSize=13, offset=6))
