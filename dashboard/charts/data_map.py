"""The map of the data, as an option for Apache ECharts: its brush can be a lasso, Vega's only a box."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from dashboard.charts.palette import MUTED, require


def map_option(
    frame: pd.DataFrame, colours: Mapping[str, str], *, ink: str, extent: tuple[float, float, float, float]
) -> dict[str, Any]:
    """A scatter of examples as an ECharts option: columns x, y, group, text, label, split, position.

    colours: of each group, in the order of the legend, those that nothing is drawn of left out; what is in no group
    with a colour is grey and drawn first. extent: the ends of x and of y. The toolbox has a box and a lasso.
    """
    require(frame, "map_option", "x", "y", "group", "text", "label", "split", "position")
    present = set(frame["group"])
    colours = {name: colour for name, colour in colours.items() if name in present}
    others = [name for name in dict.fromkeys(frame["group"]) if name not in colours]
    series = []
    for name in [*others, *colours]:
        part = frame[frame["group"] == name]
        points = [
            [round(float(row.x), 3), round(float(row.y), 3), row.text, row.label, f"{row.split} {row.position}"]
            for row in part.itertuples()
        ]
        series.append(
            {
                "type": "scatter", "name": name, "data": points, "symbolSize": 5, "large": False,
                "itemStyle": {"color": colours.get(name, MUTED), "opacity": 0.85 if name in colours else 0.4},
                "dimensions": ["x", "y", "text", "label", "place"],
                "encode": {"x": 0, "y": 1, "tooltip": [2, 3, 4]},
                "emphasis": {"itemStyle": {"opacity": 1}},
            }
        )  # fmt: skip
    ends = [{"show": False, "min": low, "max": high} for low, high in (extent[:2], extent[2:])]
    return {
        "animation": False,
        "grid": {"left": 8, "right": 8, "top": 40, "bottom": 40},
        "xAxis": ends[0],
        "yAxis": ends[1],
        "legend": {
            "type": "scroll", "bottom": 2, "left": 4, "right": 8, "textStyle": {"color": ink}, "icon": "circle",
            "data": [*colours, *others],
        },
        "tooltip": {"trigger": "item", "confine": True, "extraCssText": "max-width:420px;white-space:normal"},
        "toolbox": {"top": 2, "right": 8, "feature": {"brush": {"type": ["polygon", "rect", "clear"]}, "dataZoom": {}}},
        "brush": {
            "xAxisIndex": "all", "yAxisIndex": "all", "toolbox": ["polygon", "rect", "clear"],
            "outOfBrush": {"colorAlpha": 0.25}, "throttleType": "debounce", "throttleDelay": 300,
        },
        "series": series,
    }  # fmt: skip
