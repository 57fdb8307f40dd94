"""The queue: what runs, what waits in which order, what has ended; and what can be done about each."""

import time
from typing import Any

import pandas as pd
import streamlit as st

from dashboard import work_queries
from dashboard.charts.palette import STATUS_COLOURS, STATUS_SHAPES, require
from dashboard.formats import UNKNOWN, age, count, escape, is_known, short
from dashboard.parts.chips import status_word
from dashboard.parts.workers import worker_line
from dashboard.rows import tuples
from dashboard.source import Source
from dashboard.writing import say_notes, write
from store import Job, Store, cancel_job, pause_job, remove_job, reorder_job, resume_job, retry_job

MOST = 200
WAITING = ("queued", "paused")
ENDED = ("finished", "failed", "killed")

_SHOWN = ("status", "place", "kind", "name", "progress", "at", "device", "attempts", "since", "note")


def queue_panel(source: Source) -> None:
    """Workers, then a table of jobs with the actions for the chosen one."""
    say_notes()
    jobs = work_queries.jobs(source, MOST)
    worker_line(source, key="panel")
    if jobs.empty:
        st.caption("The queue is empty.")
        return
    actions = st.container(horizontal=True, vertical_alignment="center", gap="small")
    ids = jobs["id"].tolist()
    chosen = st.session_state.get("chosen-job")
    event = st.dataframe(
        jobs_table(jobs, time.time()),
        column_config=job_columns(),
        hide_index=True,
        height="content" if len(jobs) <= 15 else 480,
        placeholder=UNKNOWN,
        on_select="rerun",
        selection_mode=["single-row", "single-cell"],
        # New jobs make a new table, in which the same job is still chosen.
        selection_default={"selection": {"rows": [ids.index(chosen)] if chosen in ids else []}},
        key=f"jobs-{hash(tuple(ids))}",
    )
    for row, column in event["selection"]["cells"]:
        if column == "name":
            _open(jobs.iloc[row])
    rows = event["selection"]["rows"]
    st.session_state["chosen-job"] = ids[rows[0]] if rows else None
    with actions:
        if rows:
            _actions(source, jobs.iloc[rows[0]])
        else:
            n = jobs["status"].value_counts()
            said = [f"{count(n[status])} {status}" for status in STATUS_SHAPES if status in n]
            st.caption(f"{', '.join(said)} · choose a row to act on it, click a name to open what it made")
    if rows:
        _details(source, str(ids[rows[0]]))


def jobs_table(jobs: pd.DataFrame, now: float) -> pd.DataFrame:
    """What people see of `store.list_jobs`: a row a job, in its order."""
    require(jobs, "jobs_table", "status", "kind", "name", "step", "n_steps", "n_trials_done", "n_trials", "cause")
    rows = tuples(jobs)
    places = iter(range(1, len(rows) + 1))
    return pd.DataFrame(
        {
            "status": [[status_word(row.status)] for row in rows],
            "place": [float(next(places)) if row.status in WAITING else None for row in rows],
            "kind": jobs["kind"],
            "name": jobs["name"],
            "progress": [_share(row) for row in rows],
            "at": [_at(row) for row in rows],
            "device": jobs["worker_device"].fillna(jobs["device"]),
            "attempts": [f"{row.n_attempts} of {row.max_attempts}" if row.n_attempts else None for row in rows],
            "since": [_since(row, now) for row in rows],
            "note": [_note(row) for row in rows],
        },
        index=jobs.index,
    ).loc[:, list(_SHOWN)]


def _share(row: Any) -> float | None:
    """How much of it is done, in [0, 1]; None where that is not known."""
    done, of = (row.n_trials_done, row.n_trials) if is_known(row.n_trials_done) else (row.step, row.n_steps)
    if row.status == "finished":
        return 1.0
    return min(1.0, float(done) / float(of)) if is_known(done) and is_known(of) and of > 0 else None


def _at(row: Any) -> str | None:
    if is_known(row.n_trials_done):
        return f"{count(row.n_trials_done)} of {count(row.n_trials)} trial{'' if row.n_trials == 1 else 's'}"
    return f"step {count(row.step)} of {count(row.n_steps)}" if is_known(row.step) else None


def _since(row: Any, now: float) -> str:
    at = {"running": row.started_at, "queued": row.created_at, "paused": row.created_at}.get(row.status, row.ended_at)
    return age(at, now)


def _note(row: Any) -> str | None:
    said = [f"asked to {row.request}"] if isinstance(row.request, str) else []
    said += [short(row.cause, 200)] if isinstance(row.cause, str) else []
    return "; ".join(said) or None


def job_columns() -> dict[str, Any]:
    """Widths, formats and headings of `jobs_table`."""
    column = st.column_config
    colours: Any = list(STATUS_COLOURS.values())  # Streamlit's literal type of colour names
    return {
        "status": column.MultiselectColumn(
            "status", width=100, options=[status_word(status) for status in STATUS_COLOURS], color=colours
        ),
        "place": column.NumberColumn("place", format="%d", width=56, help="1 is taken next."),
        "kind": column.TextColumn("kind", width=84),
        "name": column.TextColumn("name", width=220, help="Click to open its run or sweep."),
        "progress": column.ProgressColumn("progress", format="percent", min_value=0, max_value=1, width=130),
        "at": column.TextColumn("at", width=150),
        "device": column.TextColumn("device", width=76, help="Where it runs, or has to run."),
        "attempts": column.TextColumn("attempts", width=76),
        "since": column.TextColumn("since", width=96, help="Queued, begun or ended."),
        "note": column.TextColumn("note", width="large"),
    }


def _open(job: "pd.Series[Any]") -> None:
    if isinstance(job["run_id"], str) and (job["kind"] == "trial" or not isinstance(job["sweep_id"], str)):
        st.switch_page("views/run.py", query_params={"run": job["run_id"]})
    if isinstance(job["sweep_id"], str):
        st.switch_page("views/sweep.py", query_params={"sweep": job["sweep_id"]})


def _actions(source: Source, job: "pd.Series[Any]") -> None:
    """The buttons that fit its status."""
    status, key = str(job["status"]), int(job["key"])

    def button(label: str, icon: str, act: Any, *arguments: Any, help: str | None = None) -> None:
        st.button(
            label, icon=f":material/{icon}:", key=f"job-{label.lower()}", on_click=_act, help=help,
            args=(source.path, act, key, *arguments),
        )  # fmt: skip

    if status in WAITING:
        button("Top", "vertical_align_top", reorder_job, "top", help="Make it the next.")
        button("Up", "arrow_upward", reorder_job, "up")
        button("Down", "arrow_downward", reorder_job, "down")
    if status == "paused":
        button("Resume", "play_arrow", resume_job)
    if status in ("queued", "running") and job["request"] is None:
        waits = "It waits until it is resumed." if status == "queued" else "It stops where it can be taken up again."
        button("Pause", "pause", pause_job, help=waits)
    if status in (*WAITING, "running") and job["request"] != "cancel":
        button("Cancel", "cancel", cancel_job)
    if status in ("failed", "killed") and job["kind"] != "trial":  # its sweep tries it again
        button("Retry", "replay", retry_job, help="Queued again; a training goes on from its newest checkpoint.")
    if status in ENDED:
        button("Remove", "delete", remove_job, help="Forget the job and what it printed; its run stays.")
    for page, name in (("sweep", "sweep_id"), ("run", "run_id")):
        if isinstance(job[name], str):
            st.page_link(f"views/{page}.py", label=f"Open its {page}", query_params={page: job[name]})


def _act(path: str, act: Any, key: int, *arguments: Any) -> None:
    def change(store: Store) -> Job:
        done: Job = act(store, key, *arguments)
        return done

    write(path, change)


def _details(source: Source, job_id: str) -> None:
    """Why it ended, and the end of what it printed."""
    job = work_queries.job(source, job_id)
    if job.cause:
        st.warning(escape(f"{job.status.capitalize()}: {job.cause}"), icon=":material/error:")
    printed = work_queries.job_output(source, job)
    if printed:
        st.code(printed, language=None, height=260 if printed.count("\n") > 11 else "content", wrap_lines=True)
    else:
        st.caption(f"{job.id} has printed nothing yet.")
