"""Which runs are compared: read from the URL, changed in a menu."""

from collections.abc import Sequence

import streamlit as st

from dashboard import queries
from dashboard.address import put
from dashboard.rows import tuples
from dashboard.source import Source
from store import Run, RunAmbiguous, RunNotFound

MOST = 10
OFFERED = 200


def asked_runs(source: Source) -> tuple[list[Run], list[str]]:
    """The runs of `?runs=A,B,…` in that order, each once, ten at most; and what was wrong with the rest."""
    selectors = [part.strip() for part in st.query_params.get("runs", "").split(",") if part.strip()]
    runs: list[Run] = []
    problems: list[str] = []
    for selector in selectors:
        try:
            run = queries.run(source, selector)
        except (RunNotFound, RunAmbiguous) as error:
            problems.append(str(error))
            continue
        if run.id not in (known.id for known in runs):
            runs.append(run)
    if len(runs) > MOST:
        problems.append(f"{len(runs)} runs were asked for; the first {MOST} are compared, more cannot be told apart.")
    return runs[:MOST], problems


def run_picker(source: Source, runs: Sequence[Run]) -> None:
    """A menu that adds and removes runs; it offers the newest `OFFERED`."""
    page = queries.runs_page(source, {}, sort="created_at", limit=OFFERED, offset=0)
    if len(page) < 2:
        return
    names = {row.id: row.name for row in tuples(page)} | {run.id: run.name for run in runs}
    chosen = [run.id for run in runs]
    widget = "picked-" + "-".join(chosen)

    def remember() -> None:
        put(runs=",".join(st.session_state[widget]), b=None)

    place = st.popover("Change", icon=":material/checklist:") if len(runs) > 1 else st.container(width=620)
    with place:
        st.multiselect(
            "Runs, the first is the baseline",
            list(names),
            default=chosen,
            format_func=lambda run_id: f"{names[run_id]} · {run_id[-4:]}" if run_id in names else run_id,
            max_selections=MOST,
            key=widget,
            on_change=remember,
            width=590,
            help=f"The newest {OFFERED} runs are offered; others through the Runs page.",
        )
