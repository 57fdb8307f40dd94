"""One job, live: where it stands in the queue, how far it is, and the run or sweep that it became."""

import streamlit as st

from dashboard import queries, source, work_queries
from dashboard.formats import count, escape, is_known
from dashboard.parts.chips import badge
from dashboard.parts.notices import guarded
from dashboard.parts.workers import worker_hint
from dashboard.source import Source
from dashboard.writing import say_notes, write
from store import JobNotFound, RunNotFound, cancel_job

LIVE_SECONDS = 1.5
LIVE = ("queued", "paused", "running")
"""What a job is before it has ended."""
_MOST = 500


def job_card(job_id: str) -> None:
    """Draw it, and again while it lasts."""

    @st.fragment(run_every=LIVE_SECONDS)
    def card() -> None:
        here = source.current()
        with guarded(here.path), st.container(border=True, key="job-card"):
            say_notes()
            status = _card(here, job_id)
        was = st.session_state.get("job-was")
        st.session_state["job-was"] = (job_id, status)
        if was in [(job_id, live) for live in LIVE] and status not in LIVE:
            st.rerun()  # what it made is drawn outside of this card

    card()


def _card(here: Source, job_id: str) -> str | None:
    """Draw it; the job's status, None where there is no such job."""
    try:
        job = work_queries.job(here, job_id)
    except JobNotFound as error:
        st.warning(escape(str(error)), icon=":material/search_off:")
        return None
    jobs = work_queries.jobs(here, _MOST)
    found = jobs[jobs["id"] == job.id]
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        badge(job.status)
        st.markdown(f"**{escape(job.name)}**", width="content")
        st.space("stretch")
        if found.empty:
            return job.status
        row = found.iloc[0]
        for page, name in (("sweep", "sweep_id"), ("run", "run_id")):
            if isinstance(row[name], str):
                st.page_link(
                    f"views/{page}.py", label=f"Open the {page}", icon=":material/open_in_new:",
                    query_params={page: row[name]}, width="content",
                )  # fmt: skip
        if job.status == "finished" and isinstance(row["run_id"], str):
            triage_link(here, row["run_id"])
        if job.status in LIVE:
            st.button(
                "Cancel", key="cancel-job", icon=":material/cancel:", disabled=job.request == "cancel",
                on_click=_cancel, args=(here.path, job.key),
            )  # fmt: skip
    if job.status in ("queued", "paused"):
        waiting = jobs[jobs["status"].isin(("queued", "paused"))]["id"].tolist()
        st.caption(f"Place {waiting.index(job.id) + 1} of {count(len(waiting))} in the queue.")
        worker_hint(here, key="card")
    elif job.status == "running":
        _progress(row["step"], row["n_steps"], triages=job.kind == "train")
    elif job.cause:
        st.warning(escape(job.cause), icon=":material/error:")
    if job.status in ("failed", "killed"):
        printed = work_queries.job_output(here, job, last=3000)
        if printed:
            st.code(printed, language=None, height="content" if printed.count("\n") < 12 else 240, wrap_lines=True)
    return job.status


def job_status(here: Source, job_id: str) -> str | None:
    """What a job is now; None where there is no such job."""
    try:
        return work_queries.job(here, job_id).status
    except JobNotFound:
        return None


def triage_link(here: Source, run_id: str) -> None:
    """A way to what is wrong with the data of a run; nothing where they were not triaged."""
    try:
        run = queries.run(here, run_id)
    except RunNotFound:
        return
    if run.dataset_key is not None and work_queries.is_triaged(here, run.dataset_key):
        st.page_link(
            "views/triage.py", label="What is wrong with its data", icon=":material/troubleshoot:", width="content",
            query_params={"data": str(queries.dataset(here.path, run.dataset_key))},
        )  # fmt: skip


def _cancel(path: str, key: int) -> None:
    write(path, lambda store: cancel_job(store, key))


def _progress(step: float | None, n_steps: float | None, *, triages: bool) -> None:
    if is_known(step) and is_known(n_steps) and n_steps > 0 and step >= n_steps:
        last = "Evaluating it, then looking at its data" if triages else "Finishing"
        st.progress(1.0, text=f"All {count(n_steps)} steps are done. {last} …")
    elif not is_known(step):
        st.progress(0.0, text="Loading model and data …")
    elif is_known(n_steps) and n_steps > 0:
        st.progress(min(1.0, step / n_steps), text=f"step {count(step)} of {count(n_steps)}")
    else:
        st.caption(f"step {count(step)}")
