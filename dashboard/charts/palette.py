"""Colours, and the check every chart begins with."""

import pandas as pd

# Okabe & Ito's palette (Color Universal Design, 2008) without black, its blues lightened to show on a dark page and its
# yellow darkened to show on a white one, then three more. `dashboard/.streamlit/config.toml` repeats it for Streamlit's
# own charts.
COLOURS = (
    "#1A85CF", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#7CC4EE", "#8C8C8C", "#B5A100", "#44AA99", "#9467BD",
)  # fmt: skip
RIGHT, WRONG, MUTED = "#1A85CF", "#D55E00", "#8C8C8C"
# A scale of values from the worst to the best: its lightness rises too, and its ends show on white and on black.
BAD, BETWEEN, GOOD = "#8A6FB0", "#2A9D8F", "#E9A800"
DASHES = {"solid": (1, 0), "dashed": (6, 3), "dotted": (2, 2), "dash-dotted": (8, 3, 2, 3)}

# The same for status words and shapes: never by colour alone.
STATUS_SHAPES = {
    "queued": "◌", "running": "●", "finished": "✓", "failed": "✕", "killed": "■", "pruned": "◇", "paused": "‖",
}  # fmt: skip
STATUS_COLOURS = {
    "queued": "gray",
    "running": "blue",
    "finished": "green",
    "failed": "orange",
    "killed": "orange",
    "pruned": "gray",
    "paused": "gray",
}


def ink(is_dark: bool) -> str:
    """The colour of text in a chart; that of `dashboard/.streamlit/config.toml`."""
    return "#E6E9EE" if is_dark else "#1B1F24"


def paper(is_dark: bool) -> str:
    """The colour of the page, as there."""
    return "#0F1216" if is_dark else "#FFFFFF"


def require(frame: pd.DataFrame, chart: str, *columns: str) -> None:
    """Raise ValueError naming every column that is not there: Altair would draw an empty chart instead."""
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise ValueError(
            f"{chart} needs the columns {', '.join(columns)}; missing: {', '.join(missing)}; "
            f"there are: {', '.join(map(str, frame.columns)) or 'none'}."
        )
