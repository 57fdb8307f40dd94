"""The queue as a page."""

import streamlit as st

from dashboard import source, work_queries
from dashboard.parts.behind import behind, opening
from dashboard.parts.header import freshness_line
from dashboard.parts.notices import empty_state, guarded
from dashboard.parts.queue_panel import queue_panel
from dashboard.parts.workers import worker_line

LIVE_SECONDS = 2.0


def render() -> None:
    """Workers and jobs, live."""
    here = source.current()
    if work_queries.jobs(here, 1).empty:
        freshness_line(here)
        worker_line(here, key="panel")
        empty_state(
            "The queue is empty",
            "Jobs come from the New run page or the command line; a worker carries them out, one at a time.",
            "runner queue add train recipes/NAME.toml   # queue a training",
            "runner worker                              # carry out what is queued",
            new_run="Begin here, with a table of texts",
        )
        return

    @st.fragment(run_every=LIVE_SECONDS)
    def panel() -> None:
        now = source.current()
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.page_link("views/new_run.py", label="New run", icon=":material/add:", width="content")
            behind(opening(now.path, "list_jobs", "list_workers") + "\njobs = list_jobs(store)")
            st.space("stretch")
            freshness_line(now)
        with guarded(now.path):
            queue_panel(now)

    panel()


if __name__ == "__main__":
    render()
