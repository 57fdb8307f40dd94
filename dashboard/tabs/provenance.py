"""Where a run came from, and what it took."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from dashboard import queries
from dashboard.differences import flatten
from dashboard.formats import UNKNOWN, compact, count, duration, number, percent, size
from dashboard.source import Source
from dashboard.tabs import merge
from store import Run, RunCost

_FOLDED = ("packages", "git", "merge")


def render(source: Source, run: Run) -> None:
    """Cost as numbers; code, data, machine and packages as tables."""
    cost = queries.cost(source.path, run.key, run.version)
    st.markdown("###### What it took")
    with st.grid("auto", min_column_width=165, gap="small", border=True):
        for name, value in cost_figures(cost).items():
            st.metric(name, value)
    provenance: Mapping[str, Any] = run.provenance or {}
    git: Mapping[str, Any] = provenance.get("git") or {}
    if not provenance:
        st.info("Nothing was recorded about where this run came from.", icon=":material/info:")
    if provenance.get("merge"):
        merge.render(source, run, provenance["merge"])
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("###### Data")
        _data(source, run)
        st.markdown("###### Code")
        _table({name: value for name, value in git.items() if name not in ("patch", "untracked")})
        if git.get("patch"):
            with st.expander("Changes that were not committed", icon=":material/difference:"):
                st.code(str(git["patch"]), language="diff", height=400)
        if git.get("untracked"):
            with st.expander("Files that were not tracked"):
                st.code("\n".join(_untracked(file) for file in git["untracked"]), language=None)
    with right:
        st.markdown("###### Machine, seeds, command")
        _table({name: value for name, value in provenance.items() if name not in _FOLDED})
        if provenance.get("packages"):
            with st.expander(f"{len(provenance['packages'])} packages", icon=":material/inventory_2:"):
                _table(provenance["packages"])


def cost_figures(cost: RunCost) -> dict[str, str]:
    """Every part of the cost in words; `–` where it was not measured."""
    parameters = f"{compact(cost.trainable_parameters)} of {compact(cost.total_parameters)}"
    return {
        "wall time": duration(cost.wall_seconds),
        "training": duration(cost.train_seconds),
        "features, apart": duration(cost.preparing_seconds),
        "evaluating": duration(cost.eval_seconds),
        "on the device": duration(cost.device_seconds),
        "examples/s": number(cost.examples_per_second, 0),
        "tokens/s": number(cost.tokens_per_second, 0),
        "waiting for data": percent(cost.data_wait_share),
        "peak memory": size(cost.peak_host_bytes),
        "peak device memory": size(cost.peak_device_bytes),
        "device busy": percent(cost.device_utilisation),
        "energy": f"{cost.energy_joules / 3.6e6:.3f} kWh" if cost.energy_joules is not None else UNKNOWN,
        "trained parameters": UNKNOWN if cost.total_parameters is None else parameters,
    }


def _untracked(file: Any) -> str:
    """Path and size; whatever else a script recorded, as text.

    >>> _untracked({"path": "notes.txt", "size_bytes": 1200, "sha256": "ab"}), _untracked("notes.txt")
    ('notes.txt  1 kB', 'notes.txt')
    """
    if not isinstance(file, Mapping):
        return str(file)
    n_bytes = file.get("size_bytes")
    return f"{file.get('path', UNKNOWN)}  {size(n_bytes if isinstance(n_bytes, int | float) else None)}"


def _data(source: Source, run: Run) -> None:
    if run.dataset_key is None:
        st.caption("Recorded without a dataset.")
        return
    dataset = queries.dataset(source.path, run.dataset_key)
    rows = {f"{split} examples": count(n) for split, n in dataset.n_rows.items()}
    labels = ", ".join(dataset.label_names or ()) or UNKNOWN
    _table(
        {
            "dataset": str(dataset),
            **rows,
            "labels": labels,
            "fingerprint": dataset.fingerprint,
            "source": dataset.source,
        }
    )


def _table(values: Mapping[str, Any]) -> None:
    if not values:
        st.caption("not recorded")
        return
    st.dataframe(
        pd.DataFrame(list(flatten(values)), columns=["what", "value"]),
        column_config={"what": st.column_config.TextColumn("", width="small")},
        hide_index=True,
        height="content" if len(values) < 40 else 400,
    )
