"""Parallel coordinates: a line a trial over its parameters to the objective, and a brush on every axis."""

from collections.abc import Sequence

import altair as alt
import pandas as pd

from dashboard.axes import ABSENT_PLACE, Axis
from dashboard.charts.palette import BAD, BETWEEN, GOOD, MUTED, RIGHT, ink, paper, require

HEIGHT = 290
_HANDLE_PIXELS = 34
_BRUSH_PIXELS = 12


def parallel_chart(
    frame: pd.DataFrame, axes: Sequence[Axis], *, is_maximised: bool, is_dark: bool = False
) -> alt.LayerChart:
    """Columns label, status, said, value, and p0, p1, …: places on the axes in [0, 1]; the last axis is the objective.

    Dragging along axis i selects a range of `p{i}` under the name `brush{i}`; several brushes select what is in all of
    them; a double click takes them away. Lines outside are grey, inside their colour says the objective, as the last
    axis does. A line ends where a place is nan.
    """
    places = [f"p{i}" for i in range(len(axes))]
    require(frame, "parallel_chart", "label", "status", "said", "value", *places)
    bottom = ABSENT_PLACE if any(axis.has_absent for axis in axes) else 0.0
    x = alt.X("axis:Q", scale=alt.Scale(domain=[-0.45, len(axes) - 0.6], nice=False, zero=False), axis=None)
    scale = alt.Scale(domain=[bottom - 0.03, 1.03], nice=False, zero=False)
    frame = frame.sort_values("value", ascending=is_maximised, na_position="first")  # the best is drawn last, on top
    lines = alt.Chart(frame).encode(x=x, y=alt.Y("place:Q", scale=scale, axis=None), detail="label:N")
    behind = _folded(lines, places).mark_line(strokeWidth=1, color=MUTED, opacity=0.16, interpolate="monotone")
    chosen = lines.transform_filter({"and": [{"param": f"brush{i}"} for i in range(len(axes))]})
    low, high = frame["value"].min(), frame["value"].max()
    colours = [BAD, BETWEEN, GOOD] if is_maximised else [GOOD, BETWEEN, BAD]
    by_value = alt.Scale(domain=[low, (low + high) / 2, high], range=colours)
    front = (
        _folded(chosen, places)
        .mark_line(strokeWidth=1.6, opacity=0.8 if len(frame) <= 100 else 0.5, interpolate="monotone")
        .encode(
            color=alt.condition(
                "isValid(datum.value)", alt.Color("value:Q", scale=by_value, legend=None), alt.value(MUTED)
            ),
            tooltip=[
                alt.Tooltip("label:N", title="trial"),
                alt.Tooltip("status:N"),
                alt.Tooltip("value:Q", title=axes[-1].label, format=".4~g"),
                alt.Tooltip("said:N", title="parameters"),
            ],
        )
    )
    n = range(len(axes))
    return alt.layer(
        behind,
        front,
        *_rulers(axes, x, scale, bottom, is_dark=is_dark),
        *(_brush_mark(i, x) for i in n),
        *(_handle(i, x, scale, bottom) for i in n),
    ).properties(height=HEIGHT)


def _folded(chart: alt.Chart, places: Sequence[str]) -> alt.Chart:
    """Wide rows (which a brush can pick) to long ones (which a line is drawn of): columns axis, place."""
    folded = chart.transform_fold(list(places), as_=["key", "place"])
    return folded.transform_calculate(axis="toNumber(substring(datum.key, 1))")


def _handle(i: int, x: alt.X, scale: alt.Scale, bottom: float) -> alt.Chart:
    """A stripe that nobody sees over the axis: a brush begins there, and only there."""
    begins = f"pointerdown[event.item && event.item.datum && event.item.datum.axis === {i}]"
    brush = alt.selection_interval(
        name=f"brush{i}",
        encodings=["y"],
        on=f"[{begins}, window:pointerup] > window:pointermove!",
        translate=False,
        zoom=False,
        mark=alt.BrushConfig(fillOpacity=0, strokeOpacity=0),  # it would cross all axes; `_brush_mark` draws its own
    )
    return (
        alt.Chart(pd.DataFrame({"axis": [i], f"p{i}": [1.03], "floor": [bottom - 0.03]}))
        .mark_rect(width=_HANDLE_PIXELS, fillOpacity=0.001, color=MUTED, cursor="row-resize")
        .encode(x=x, y=alt.Y(f"p{i}:Q", scale=scale, axis=None), y2="floor:Q")
        .add_params(brush)
    )


def _brush_mark(i: int, x: alt.X) -> alt.Chart:
    low, high = alt.ExprRef(f"brush{i}_y[0]"), alt.ExprRef(f"brush{i}_y[1]")
    mark = alt.Chart(pd.DataFrame({"axis": [i]})).mark_rect(
        width=_BRUSH_PIXELS, color=RIGHT, opacity=0.4, cornerRadius=2, y=low, y2=high
    )
    return mark.encode(x=x)


def _rulers(axes: Sequence[Axis], x: alt.X, scale: alt.Scale, bottom: float, *, is_dark: bool) -> list[alt.Chart]:
    """The axes with their ticks and names; texts keep off the lines by a rim in the page's colour."""
    rules = pd.DataFrame({"axis": range(len(axes)), "place": 1.0, "floor": bottom})
    written = [(i, place, text[:24]) for i, axis in enumerate(axes) for place, text in axis.ticks()]
    ticks = pd.DataFrame(written, columns=["axis", "place", "text"])
    names = pd.DataFrame({"axis": range(len(axes)), "place": 1.03, "text": [axis.label for axis in axes]})
    y = alt.Y("place:Q", scale=scale, axis=None)
    tick = alt.Chart(ticks).encode(x=x, y=y, text="text:N")
    style = {"align": "right", "dx": -9, "fontSize": 11, "baseline": "middle"}
    return [
        alt.Chart(rules).mark_rule(color=MUTED, opacity=0.8).encode(x=x, y=y, y2="floor:Q"),
        alt.Chart(ticks).mark_tick(color=MUTED, width=7, thickness=1, orient="horizontal").encode(x=x, y=y),
        tick.mark_text(**style, stroke=paper(is_dark), strokeWidth=4, strokeJoin="round", opacity=0.85),
        tick.mark_text(**style, color=ink(is_dark)),
        alt.Chart(names)
        .mark_text(dy=-10, fontSize=12, fontWeight=600, color=ink(is_dark))
        .encode(x=x, y=y, text="text:N"),
    ]
