"""The recipe: what the user wrote, and what it means with all defaults filled in."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from dashboard.commands import check_recipe, task_named
from dashboard.differences import flatten
from dashboard.recipe_form import default_text
from dashboard.source import Source
from store import Run

_ALWAYS_OWN = ("name", "task", "notes", "tags", "model.base", "model.method")


def render(source: Source, run: Run) -> None:
    """Resolved beside verbatim; what is not the default comes first."""
    if not run.recipe and not run.recipe_text:
        st.info("This run was made by a script without a recipe.", icon=":material/info:")
        return
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("###### Resolved: every setting, what was chosen first")
        if run.recipe:
            st.dataframe(
                resolved_table(run.recipe, _defaults(run.recipe)),
                column_config={
                    "chosen": st.column_config.TextColumn("", width=28, help="● chosen, not the default"),
                    "setting": st.column_config.TextColumn("setting", width=200),
                    "value": st.column_config.TextColumn("value", width=220),
                    "default": st.column_config.TextColumn(
                        "default", width=110, help="Of its method, where it differs."
                    ),
                },
                hide_index=True,
                height="content",
                placeholder="",
                key="resolved",
            )
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


def _defaults(recipe: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What a recipe of this method means that says nothing else; None where this version cannot tell."""
    method = str((recipe.get("model") or {}).get("method") or "full")
    return check_recipe(default_text(task_named(recipe.get("task")), method)).resolved


def resolved_table(recipe: Mapping[str, Any], defaults: Mapping[str, Any] | None) -> pd.DataFrame:
    """Columns chosen (● where it is not the default), setting, value, default (where it differs); unset ones left out.

    Without `defaults` nothing is marked.
    """
    usual = dict(flatten(defaults or {}))
    rows = []
    for path, value in flatten(recipe):
        default = usual.get(path, "")
        is_own = path in _ALWAYS_OWN or path.startswith(("data.source", "data.columns"))
        is_chosen = bool(usual) and (is_own or value != default)
        if value not in ("null", "", "[]", "{}"):
            shown = "" if is_own or value == default or default == "null" else default
            rows.append(("●" if is_chosen else "", path, value, shown))
    frame = pd.DataFrame(rows, columns=["chosen", "setting", "value", "default"])
    return frame.sort_values("chosen", ascending=False, kind="stable").reset_index(drop=True)
