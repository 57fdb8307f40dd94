"""Charts, made once for what they show: Altair takes a tenth of a second for each, the cache a hundredth."""

from collections.abc import Callable
from typing import Any, Literal

import pandas as pd
import streamlit as st


def draw(
    chart: Callable[..., Any], frame: pd.DataFrame, *, key: str, width: Literal["stretch", "content"] = "stretch",
    **options: Any,
) -> None:  # fmt: skip
    """Draw `chart(frame, **options)`, a function of `dashboard.charts`."""
    st.vega_lite_chart(spec=spec_of(chart, frame, options), width=width, key=key)


def draw_selectable(
    chart: Callable[..., Any], frame: pd.DataFrame, *, key: str, width: Literal["stretch", "content"] = "content",
    **options: Any,
) -> dict[str, Any]:  # fmt: skip
    """As `draw`; what is clicked or brushed runs the page again.

    Returns selection → list of the marks' fields (points), or field → ends (intervals).
    """
    event = st.vega_lite_chart(spec=spec_of(chart, frame, options), width=width, key=key, on_select="rerun")
    return dict(event["selection"])


def spec_of(chart: Callable[..., Any], frame: pd.DataFrame, options: dict[str, Any]) -> dict[str, Any]:
    """The Vega-Lite specification with its data, without Altair's default sizes."""
    return _spec(f"{chart.__module__}.{chart.__qualname__}", frame, options, _chart=chart)


@st.cache_data(show_spinner=False, max_entries=256)
def _spec(name: str, frame: pd.DataFrame, options: dict[str, Any], _chart: Callable[..., Any]) -> dict[str, Any]:
    spec: dict[str, Any] = _chart(frame, **options).to_dict(validate=False)  # tests validate what the functions make
    spec.pop("config", None)
    return spec
