"""The recipe: what the user wrote, and what it means with all defaults filled in."""

import pandas as pd
import streamlit as st

from dashboard.differences import flatten
from dashboard.source import Source
from store import Run


def render(source: Source, run: Run) -> None:
    """Resolved beside verbatim."""
    if not run.recipe and not run.recipe_text:
        st.info("This run was made by a script without a recipe.", icon=":material/info:")
        return
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("###### Resolved: every setting, defaults filled in")
        if run.recipe:
            rows = [(path.rpartition(".")[0], path.rpartition(".")[2], value) for path, value in flatten(run.recipe)]
            frame = pd.DataFrame(rows, columns=["table", "setting", "value"])
            st.dataframe(frame, hide_index=True, height="content", key="resolved")
            st.caption(f"hash {run.recipe_hash or '–'}")
        else:
            st.caption("not recorded")
    with right:
        st.markdown("###### As it was written")
        st.code(run.recipe_text or "# not recorded", language="toml", wrap_lines=True)
        if run.recipe_text:
            st.download_button(
                "Download", run.recipe_text, f"{run.id}.toml", icon=":material/download:", on_click="ignore"
            )
