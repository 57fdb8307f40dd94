"""What the sweep searches, as it was written and as a table."""

import json

import pandas as pd
import streamlit as st

from dashboard.axes import written
from dashboard.differences import flatten
from dashboard.parts.sweep_trials import space_of
from dashboard.source import Source
from dashboard.trials import number_text
from store import Sweep


def render(source: Source, sweep: Sweep, trials: pd.DataFrame) -> None:
    """The space and the settings beside the text."""
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("###### What is searched")
        space = [(path, _said(given)) for path, given in space_of(sweep).items()]
        st.dataframe(pd.DataFrame(space, columns=["parameter", "values"]), hide_index=True, height="content")
        st.markdown("###### What all trials share")
        rest = {name: value for name, value in sweep.recipe.items() if name not in ("sweep", "name") and value}
        search = sweep.recipe.get("sweep")
        settings = (
            {k: v for k, v in search.items() if k != "space" and v is not None} if isinstance(search, dict) else {}
        )
        rows = [*flatten({"sweep": settings}), *flatten(rest)]
        st.dataframe(pd.DataFrame(rows, columns=["setting", "value"]), hide_index=True, height=420)
    with right:
        st.markdown("###### As it was written")
        st.code(sweep.recipe_text, language="toml", wrap_lines=True)
        st.download_button(
            "Download", sweep.recipe_text, f"{sweep.id}.toml", icon=":material/download:", on_click="ignore"
        )


def _said(given: object) -> str:
    """A part of the space in words: a range, values, or one table a line where it has alternatives."""
    if isinstance(given, dict) and "low" in given:
        text = f"{number_text(given['low'])} to {number_text(given['high'])}"
        text += ", logarithmic" if given.get("log") else ""
        text += f", in steps of {written(given['step'])}" if given.get("step") else ""
        return text + _when(given)
    if isinstance(given, dict) and "values" in given:
        return ", ".join(written(value) for value in given["values"]) + _when(given)
    if isinstance(given, list):
        parts = [_said(part) if isinstance(part, dict) else written(part) for part in given]
        return ("; or " if any(isinstance(part, dict) for part in given) else ", ").join(parts)
    return written(given)


def _when(given: dict[str, object]) -> str:
    when = given.get("when")
    return f", where {json.dumps(when, ensure_ascii=False)}" if when else ""
