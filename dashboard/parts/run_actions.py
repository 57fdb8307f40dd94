"""What can be done with a run: clone it, go on with it, see the sweep that it is a trial of."""

from typing import Any

import streamlit as st

from dashboard import work_queries
from dashboard.parts.sweep_actions import MAX_ATTEMPTS
from dashboard.parts.workers import worker_hint
from dashboard.recipe_form import SWEEP_TAG
from dashboard.source import Source
from dashboard.writing import write
from store import Run, Store, queue_job
from store.segments import RESUMABLE


def run_actions(source: Source, run: Run) -> None:
    """Links and buttons that fit the run; to be drawn in a row."""
    for name in (tag.removeprefix(SWEEP_TAG) for tag in run.tags if tag.startswith(SWEEP_TAG)):
        st.page_link(
            "views/sweep.py", label="Its sweep", icon=":material/tune:", query_params={"sweep": name}, width="content"
        )
    if not run.recipe:
        return
    st.page_link(
        "views/new_run.py", label="Clone and change", icon=":material/content_copy:", query_params={"clone": run.id},
        width="content",
    )  # fmt: skip
    if run.status not in RESUMABLE:
        return
    jobs = work_queries.jobs(source, 200)
    waiting = jobs[(jobs["run_key"] == run.key) & jobs["status"].isin(("queued", "paused", "running"))]
    if len(waiting):
        label = f"A job to go on with it is {waiting['status'].iloc[0]}"
        st.page_link("views/jobs.py", label=label, icon=":material/schedule:", width="content")
        worker_hint(source, key="run")
    else:
        st.button(
            "Resume", icon=":material/play_arrow:", key="resume-run", on_click=_resume, args=(source.path, run),
            help="Queues a job that goes on from the newest intact checkpoint, or from the start where there is none.",
        )  # fmt: skip


def _resume(path: str, run: Run) -> None:
    training: Any = (run.recipe or {}).get("training") or {}
    device = training.get("device", "auto")

    def queue(store: Store) -> object:
        return queue_job(
            store, "resume", f"resume {run.name}", {"run": run.id}, device=None if device == "auto" else device,
            max_attempts=MAX_ATTEMPTS, run_key=run.key,
        )  # fmt: skip

    write(path, queue, "Queued.")
