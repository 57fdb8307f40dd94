"""Stop, resume, extend, add seeds, retry: the sweep is asked, or a job of the queue carries it on."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from dashboard import work_queries
from dashboard.parts.sweep_budget import hours_wanted, used_up
from dashboard.parts.workers import worker_hint
from dashboard.source import Source
from dashboard.sweep_sentences import n_done
from dashboard.writing import write
from store import Status, Store, Sweep, job_device, queue_job, request_stop

MAX_ATTEMPTS = 3
"""How often a job is begun at most when its process dies."""


def sweep_actions(source: Source, sweep: Sweep, trials: pd.DataFrame) -> None:
    """Buttons; below them, where it stands in the queue."""
    if sweep.status is Status.RUNNING:
        st.button(
            "Stop",
            icon=":material/stop_circle:",
            disabled=sweep.request == "stop",
            on_click=_stop,
            args=(source, sweep),
            help="Its trials stop where they can be taken up again. Resume goes on from there.",
        )
        return
    waiting = job_status(source, sweep)
    if waiting is not None:
        st.page_link("views/jobs.py", label=f"A job to go on with it is {waiting}", icon=":material/schedule:")
        worker_hint(source, key="sweep")
        return
    done = n_done(trials) if len(trials) else 0
    spent = used_up(sweep, trials) if len(trials) else []
    hours = hours_wanted(spent)
    is_unfinished = sweep.status is not Status.FINISHED or (sweep.n_trials is not None and done < sweep.n_trials)
    if is_unfinished or spent:
        st.button(
            "Resume", type="primary", icon=":material/play_arrow:", on_click=_queue, args=(source, sweep, hours),
            help="Queues a job that runs what is missing; nothing is run twice.",
        )  # fmt: skip
    n_failed = int((trials["status"] == "failed").sum()) if len(trials) else 0
    if n_failed:
        st.button(
            f"Retry {n_failed} failed", icon=":material/replay:", key="retry", on_click=_queue,
            args=(source, sweep, {**hours, "retry": True}),
            help="Queues a job that tries them again from their newest checkpoints, and runs what is missing.",
        )  # fmt: skip
    if sweep.n_trials is not None:
        with st.popover("Extend", icon=":material/add:", help="Try more configurations, as the sampler chooses them."):
            more = st.number_input("More configurations", 1, 10_000, 10, key="extend-by")
            total = max(done, sweep.n_trials) + int(more)
            st.button(
                f"Queue up to {total} in all", type="primary", key="extend", on_click=_queue,
                args=(source, sweep, {**hours, "trials": total}),
            )  # fmt: skip
    with st.popover("Add seeds", icon=":material/casino:", help="Run the contenders again with other seeds."):
        has = int(trials.groupby("number")["seed"].nunique().max()) if len(trials) else 1
        wanted = st.number_input("Seeds for each contender", has + 1, 100, max(3, has + 1), key="seeds-wanted")
        st.caption("Only configurations that contend for the best get them; see `sweep.seeds` in the recipe reference.")
        st.button(
            f"Queue {int(wanted)} seeds each", type="primary", key="seeds", on_click=_queue,
            args=(source, sweep, {**hours, "seeds": int(wanted)}),
        )  # fmt: skip


def _stop(source: Source, sweep: Sweep) -> None:
    write(source.path, lambda store: request_stop(store, sweep.key), "Asked to stop.")


def _queue(source: Source, sweep: Sweep, options: Mapping[str, Any]) -> None:
    def queue(store: Store) -> object:
        arguments = sweep_arguments(sweep, options)
        return queue_job(
            store, "sweep", sweep.name, arguments, device=job_device(_device(sweep)), max_attempts=MAX_ATTEMPTS
        )

    write(source.path, queue, "Queued.")


def sweep_arguments(sweep: Sweep, options: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The arguments of a job that goes on with a sweep of the store; `options` as `runner sweep` calls them."""
    return {"recipe": sweep.id, "recipe_device": _device(sweep), "options": dict(options or {})}


def _device(sweep: Sweep) -> str:
    return str((sweep.recipe.get("training") or {}).get("device") or "auto")


def job_status(source: Source, sweep: Sweep) -> str | None:
    """Of a job that goes on with this sweep: queued, paused or running; None where there is none."""
    jobs = work_queries.jobs(source, 200)
    own = jobs[(jobs["kind"] == "sweep") & jobs["status"].isin(("queued", "paused", "running"))]
    own = own[(own["sweep_key"] == sweep.key) | (own["sweep_key"].isna() & (own["name"] == sweep.name))]
    return None if own.empty else str(own["status"].iloc[0])
