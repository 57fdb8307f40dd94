"""Who does the work: the workers that live, and how to start one."""

import time

import streamlit as st

from dashboard import work_queries
from dashboard.commands import start_worker
from dashboard.formats import age, escape
from dashboard.rows import tuples
from dashboard.source import Source
from dashboard.writing import note

_STARTING_SECONDS = 20.0


def worker_line(source: Source, *, key: str) -> None:
    """A line of the workers that live, or how to start one. `key` tells several on a page apart."""
    workers = work_queries.live_workers(source)
    if workers.empty:
        worker_hint(source, key=key)
        return
    now = time.time()
    said = [
        f":green[●] worker for {escape(row.device)} on {escape(row.host)}, process {row.pid}: "
        + (f"at {escape(row.job_name)}" if isinstance(row.job_name, str) else "waiting for work")
        + (", takes no other job" if row.is_leaving else "")
        + f", heartbeat {age(row.heartbeat_at, now)}"
        for row in tuples(workers)
    ]
    st.markdown("  \n".join(said))


def worker_hint(source: Source, *, key: str) -> None:
    """Where no worker lives: the command, and a button that starts one. Nothing where one does."""
    if len(work_queries.live_workers(source)):
        return
    started = st.session_state.get("worker-started", 0.0)
    if time.time() - started < _STARTING_SECONDS:
        st.caption("A worker is being started …", width="content")
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small", width="content"):
        st.markdown(
            ":orange[:material/warning: No worker is running, so nothing begins.] `runner worker`", width="content"
        )
        st.button(
            "Start a worker", type="primary", icon=":material/play_circle:", key=f"start-worker-{key}",
            on_click=_start, args=(source.path,),
            help="A process of its own for the best device of this machine. It stays when this page is closed.",
        )  # fmt: skip


def _start(path: str) -> None:
    log = start_worker(path)
    st.session_state["worker-started"] = time.time()
    note(f"Started a worker; it writes to {log}.")
