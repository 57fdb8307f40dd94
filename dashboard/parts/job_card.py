"""One job, live: where it stands in the queue, how far it is, and the run or sweep that it became."""

import streamlit as st

from dashboard import source, work_queries
from dashboard.formats import count, escape, is_known
from dashboard.parts.chips import badge
from dashboard.parts.notices import guarded
from dashboard.parts.workers import worker_hint
from dashboard.source import Source
from dashboard.writing import say_notes, write
from store import JobNotFound, cancel_job

LIVE_SECONDS = 1.5
_MOST = 500


def job_card(job_id: str) -> None:
    """Draw it, and again while it lasts."""

    @st.fragment(run_every=LIVE_SECONDS)
    def card() -> None:
        here = source.current()
        with guarded(here.path), st.container(border=True, key="job-card"):
            say_notes()
            _card(here, job_id)

    card()


def _card(here: Source, job_id: str) -> None:
    try:
        job = work_queries.job(here, job_id)
    except JobNotFound as error:
        st.warning(escape(str(error)), icon=":material/search_off:")
        return
    jobs = work_queries.jobs(here, _MOST)
    found = jobs[jobs["id"] == job.id]
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        badge(job.status)
        st.markdown(f"**{escape(job.name)}**", width="content")
        st.space("stretch")
        if found.empty:
            return
        row = found.iloc[0]
        for page, name in (("sweep", "sweep_id"), ("run", "run_id")):
            if isinstance(row[name], str):
                st.page_link(
                    f"views/{page}.py", label=f"Open the {page}", icon=":material/open_in_new:",
                    query_params={page: row[name]}, width="content",
                )  # fmt: skip
        if job.status in ("queued", "paused", "running"):
            st.button(
                "Cancel", key="cancel-job", icon=":material/cancel:", disabled=job.request == "cancel",
                on_click=_cancel, args=(here.path, job.key),
            )  # fmt: skip
    if job.status in ("queued", "paused"):
        waiting = jobs[jobs["status"].isin(("queued", "paused"))]["id"].tolist()
        st.caption(f"Place {waiting.index(job.id) + 1} of {count(len(waiting))} in the queue.")
        worker_hint(here, key="card")
    elif job.status == "running":
        _progress(row["step"], row["n_steps"])
    elif job.cause:
        st.warning(escape(job.cause), icon=":material/error:")
    if job.status in ("failed", "killed"):
        printed = work_queries.job_output(here, job, last=3000)
        if printed:
            st.code(printed, language=None, height="content" if printed.count("\n") < 12 else 240, wrap_lines=True)


def _cancel(path: str, key: int) -> None:
    write(path, lambda store: cancel_job(store, key))


def _progress(step: float | None, n_steps: float | None) -> None:
    if not is_known(step):
        st.progress(0.0, text="Loading model and data …")
    elif is_known(n_steps) and n_steps > 0:
        st.progress(min(1.0, step / n_steps), text=f"step {count(step)} of {count(n_steps)}")
    else:
        st.caption(f"step {count(step)}")
