"""Before there is anything to triage, and while it is worked out: the next button, the command, live progress."""

import shlex
from collections.abc import Sequence

import pandas as pd
import streamlit as st

from dashboard import work_queries
from dashboard.formats import age, count, duration, escape
from dashboard.parts.job_card import job_card
from dashboard.parts.notices import empty_state, guarded
from dashboard.parts.workers import worker_hint
from dashboard.rows import tuples
from dashboard.source import Source, current
from dashboard.triage import reads
from dashboard.writing import say_notes, write
from store import Dataset, Triage, queue_job

LIVE_SECONDS = 2.0
STEPS = ("training scores", "neighbours", "labels", "findings", "map")
"""What a triage does, in this order."""


def doing(done: Sequence[str]) -> str:
    """What a running triage does now.

    >>> doing([]), doing(["training scores", "neighbours"]), doing(STEPS)
    ('step 1 of 5: training scores', 'step 3 of 5: labels', 'almost done')
    """
    left = [step for step in STEPS if step not in done]
    return f"step {len(STEPS) - len(left) + 1} of {len(STEPS)}: {left[0]}" if left else "almost done"


def nothing_here() -> None:
    """There is no data set at all."""
    empty_state(
        "No data to triage yet",
        "Triage looks at a data set and the runs that trained on it, and shows which examples hurt. Train something.",
        "runner demo                      # a small model on real English, with planted errors",
        "runner train recipes/NAME.toml   # your own; it is triaged when it has ended",
        new_run="Begin here, with a table of texts",
    )


def not_triaged(source: Source, dataset: Dataset) -> None:
    """A data set without a triage: what would be looked at, and the button that queues it."""
    runs = reads.runs_on(source, str(dataset))
    with st.container(border=True, horizontal_alignment="center", key="empty-triage"):
        st.markdown(f"#### {escape(str(dataset))} has not been triaged", width="content")
        st.markdown(escape(would_look_at(dataset, runs)), width="content", text_alignment="center")
        begin_button(source, dataset, label="Triage it")
        st.code(command(dataset, source.path), language="bash", width="content")
        worker_hint(source, key="triage")


def begin_button(source: Source, dataset: Dataset, *, label: str) -> None:
    """Queue a triage; where one waits or runs, say so."""
    waiting = waiting_job(work_queries.jobs(source, 200), dataset)
    if waiting is None:
        st.button(
            label, type="primary", icon=":material/troubleshoot:", key=f"begin-{dataset.key}", on_click=_queue,
            args=(source.path, dataset),
        )  # fmt: skip
    else:
        job_card(waiting)


def would_look_at(dataset: Dataset, runs: pd.DataFrame) -> str:
    """What a triage of a data set has to go by, plain text."""
    n = count(dataset.n_rows.get("train", 0))
    if runs.empty:
        return f"{n} training examples and no finished run: texts alone say less than a model that learned from them."
    names = ", ".join(str(row.name_) for row in tuples(runs.head(3).rename(columns={"name": "name_"})))
    rest = f" and {count(len(runs) - 3)} more" if len(runs) > 3 else ""
    return f"{n} training examples; {count(len(runs))} finished {'run' if len(runs) == 1 else 'runs'}: {names}{rest}."


def command(dataset: Dataset, path: str) -> str:
    """The same from a terminal."""
    return f"runner triage --dataset {shlex.quote(str(dataset))} --store {shlex.quote(path)}"


def waiting_job(jobs: pd.DataFrame, dataset: Dataset) -> str | None:
    """The id of a triage job of that data set that waits or runs; None where there is none."""
    own = jobs[(jobs["kind"] == "triage") & jobs["status"].isin(("queued", "paused", "running"))]
    own = own[own["name"] == job_name(dataset)]
    return None if own.empty else str(own["id"].iloc[0])


def job_name(dataset: Dataset) -> str:
    """What the queue calls it."""
    return f"triage {dataset}"


def _queue(path: str, dataset: Dataset) -> None:
    write(
        path,
        lambda store: queue_job(store, "triage", job_name(dataset), {"dataset": str(dataset), "options": {}}),
        "Queued.",
    )  # fmt: skip


def in_progress(source: Source, dataset: Dataset) -> None:
    """A triage that runs, step by step, or one that ended before it was done; nothing where the newest is finished."""
    if reads.unfinished(source, dataset.key) is None:
        return

    @st.fragment(run_every=LIVE_SECONDS)
    def panel() -> None:
        here = current()
        with guarded(here.path):
            say_notes()
            found = reads.unfinished(here, dataset.key)
            if found is None:
                st.rerun()
            _progress(here, dataset, *found)

    panel()


def _progress(source: Source, dataset: Dataset, triage: Triage, steps: dict[str, float | None]) -> None:
    import time

    done = ", ".join(f"{name} ({duration(seconds)})" for name, seconds in steps.items())
    if triage.status == "running":
        with st.container(border=True, key="triage-live"):
            began = age(triage.created_at, time.time())
            st.markdown(f":blue[●] **Triage is running**, begun {began}", width="content")
            st.progress(min(1.0, len(steps) / len(STEPS)), text=escape(doing(list(steps))))
            st.caption(escape(done or "nothing is done yet"))
        return
    with st.container(border=True, key="triage-live"):
        cause = f": {triage.cause}" if triage.cause else ""
        ended = "failed" if triage.status == "failed" else f"was {triage.status}"
        st.warning(escape(f"The newest triage {ended}{cause}"), icon=":material/error:")
        st.caption(escape(f"What it did is kept ({done or 'nothing yet'}); it goes on from there."))
        begin_button(source, dataset, label="Go on with it")
