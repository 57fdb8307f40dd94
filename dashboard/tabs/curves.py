"""Curves of the run's metrics, and of the machine while it ran."""

import pandas as pd
import streamlit as st

from dashboard import queries
from dashboard.charts.curves import system_chart
from dashboard.parts.curve_panel import curve_panel
from dashboard.parts.drawing import draw
from dashboard.source import Source
from evals.curves import downsample
from store import Run

_READINGS = {
    "cpu_percent": ("Processor", "%", 1.0),
    "host_bytes": ("Memory", "GB", 1e-9),
    "device_utilisation": ("GPU", "%", 100.0),
    "device_bytes": ("GPU memory", "GB", 1e-9),
    "power_watts": ("Power", "W", 1.0),
}
_POINTS = 300


def render(source: Source, run: Run) -> None:
    """Metrics first; the machine below, folded away."""
    curve_panel(source, [run])
    frame = queries.samples(source.path, run.key, run.version)
    known = [name for name in _READINGS if frame[name].notna().any()]
    if not known:
        return
    with st.expander("The machine during the run", icon=":material/memory:"):
        columns = st.columns(min(3, len(known)))
        for i, name in enumerate(known):
            title, unit, scale = _READINGS[name]
            line = downsample(
                (frame["at"] - frame["at"].iloc[0]).to_numpy(),
                frame[name].astype("float64").to_numpy() * scale,
                _POINTS,
            )
            with columns[i % len(columns)]:
                points = pd.DataFrame({"seconds": line.x, "value": line.y})
                draw(system_chart, points, key=f"machine-{name}", title=title, unit=unit)
