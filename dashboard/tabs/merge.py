"""Of which runs a merged one was made, and what it scores beside them."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from dashboard.formats import count, estimate
from dashboard.parts.behind import behind, opening
from dashboard.source import Source
from evals.metrics import TASKS, find_metric
from store import Run, get_run, list_merge_scores, reading

_WHO = {
    "merged": "merged",
    "parent": "its own parent",
    "untrained": "that parent before training",
    "other": "another parent, not trained for this",
}
_WRITTEN = ("exact_match", "rougeL")


def render(source: Source, run: Run, merge: Mapping[str, Any]) -> None:
    """Parents with their weights, then the main metrics of the last split, each with its interval."""
    st.markdown("###### Made of")
    settings = {"by": merge.get("method"), "density": merge.get("density"), "seed": merge.get("seed")}
    said = ", ".join(f"{name} {value}" for name, value in settings.items() if value is not None)
    st.caption(said + (", folded into the base" if merge.get("folded") else ""))
    names = ("name", "id", "task", "step", "weight", "dataset")
    rows = [{name: parent.get(name) for name in names} for parent in merge.get("parents") or ()]
    head: Mapping[str, Any] = merge.get("head_of") or {}
    for row in rows:
        row["head"] = "this one's" if head and row["id"] == head.get("id") else None
    shown = [*names, *(["head"] if head else [])]
    st.dataframe(pd.DataFrame(rows, columns=shown), hide_index=True)
    beside = scores_beside(_scores(source.path, run.key, run.version), run)
    if beside.empty:
        return
    st.markdown("###### Beside its parents, on the same data")
    st.dataframe(beside, hide_index=True)
    behind(
        opening(source.path, "get_run", "list_merge_scores")
        + f"\ntable = list_merge_scores(store, get_run(store, {run.id!r}))"
    )


def scores_beside(scores: pd.DataFrame, run: Run) -> pd.DataFrame:
    """Columns metric, model, run, split, value · 95 % interval, n: the metric that was selected by, the first of the
    task, and those of what a model writes, of the last split that the merged run was evaluated on."""
    columns = ["metric", "model", "run", "split", "value · 95 % interval", "n"]
    measured = scores[scores["who"] == "merged"]
    split = next((name for name in ("test", "validation") if (measured["split"] == name).any()), None)
    selected = (run.select_metric or "").rpartition("/")[2]
    rows = []
    for metric in dict.fromkeys((selected, *TASKS.get(str(run.task), ())[:1], *_WRITTEN)):
        row = find_metric(metric)
        for found in scores[(scores["metric"] == metric) & (scores["split"] == split)].to_dict("records"):
            value = estimate(found["value"], found["low"], found["high"])
            cells = (row.title if row else metric, _WHO[found["who"]], found["name"], split, value, count(found["n"]))
            rows.append(dict(zip(columns, cells, strict=True)))
    return pd.DataFrame(rows, columns=columns)


@st.cache_data(show_spinner=False, max_entries=32)
def _scores(path: str, run_key: int, run_version: int) -> pd.DataFrame:
    """`store.list_merge_scores`; parents that are gone since show when the run itself changes."""
    with reading(path) as store:
        return list_merge_scores(store, get_run(store, run_key))
