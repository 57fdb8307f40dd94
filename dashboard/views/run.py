"""One run: what it reached, and everything it left behind."""

import time

import streamlit as st

from dashboard import queries, source
from dashboard.formats import age, duration, escape
from dashboard.parts.alert_lines import alert_badge, alert_lines
from dashboard.parts.behind import behind, opening
from dashboard.parts.chips import badge
from dashboard.parts.choices import tabs
from dashboard.parts.example_card import example_card_if_asked
from dashboard.parts.header import freshness_line
from dashboard.parts.notices import empty_state, guarded
from dashboard.parts.run_actions import run_actions
from dashboard.responses import CLASS_TASKS
from dashboard.sentences import run_summary
from dashboard.tabs import checkpoints, classes, curves, data, examples, flight, log, provenance, recipe
from evals.alerts import AlertKind
from store import Run, RunAmbiguous, RunNotFound, Status

LIVE_SECONDS = 2.0
TABS = {
    "Curves": curves.render,
    "Classes": classes.render,
    "Examples": examples.render,
    "Data": data.render,
    "Recipe": recipe.render,
    "Provenance": provenance.render,
    "Log": log.render,
    "Checkpoints": checkpoints.render,
    "Flight": flight.render,
}


def render() -> None:
    """`?run=ID` → a sentence → one section at a time."""
    here = source.current()
    run = _asked_run(here)
    if run is None:
        return
    _head(here, run)
    is_live = run.status is Status.RUNNING
    has_flights = len(queries.flights(here.path, run.key, run.version)) > 0
    names = {} if run.task in CLASS_TASKS else {"Classes": "Quality"}  # what is there of other tasks is no class
    open_tab = tabs(
        "Section", [name for name in TABS if name != "Flight" or has_flights], key="tab",
        write=lambda name: names.get(name, name),
    )  # fmt: skip

    @st.fragment(run_every=LIVE_SECONDS if is_live and open_tab in ("Curves", "Log") else None)
    def section() -> None:
        now = source.current()
        with guarded(now.path):
            newest = queries.run(now, run.id)
            if newest.status is not run.status:
                st.rerun()
            TABS[open_tab](now, newest)

    section()
    example_card_if_asked(here, [run])


def _asked_run(here: source.Source) -> Run | None:
    asked = st.query_params.get("run") or "@latest"
    try:
        return queries.run(here, asked)
    except (RunNotFound, RunAmbiguous) as error:
        if queries.counts(here).n_runs == 0:
            empty_state("No runs yet", "The newest run is shown here.", "runner demo", "runner train recipes/NAME.toml")
        else:
            st.warning(escape(str(error)), icon=":material/search_off:")
            st.page_link("views/runs.py", label="All runs", icon=":material/arrow_back:")
        return None


def _head(here: source.Source, run: Run) -> None:
    data = str(queries.dataset(here.path, run.dataset_key)) if run.dataset_key is not None else None
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.page_link("views/runs.py", label="Runs", icon=":material/arrow_back:", width="content")
        st.subheader(escape(run.name), anchor=False, width="content")
        badge(run.status)
        alerts = queries.alerts(here.path, run.key, run.version)
        alert_badge(len(alerts))
        st.space("stretch")
        freshness_line(here)
    scores = queries.scores(here.path, run.key, run.version)
    latest = queries.latest(here.path, run.key, run.version)
    summary = run_summary(run, data, scores, latest)
    if run.status in (Status.FAILED, Status.KILLED):
        st.warning(escape(summary.sentence), icon=":material/error:")
    else:
        st.markdown(f"##### {escape(summary.sentence)}")
    if summary.warning:
        st.markdown(f":orange[:material/warning: {escape(summary.warning)}]")
        alerts = alerts[alerts["alert"] != AlertKind.OVERFITTING]  # the same in other words
    if run.status is Status.FAILED:
        alerts = alerts[alerts["alert"] != AlertKind.NOT_FINITE]  # that is its cause
    alert_lines(alerts, time.time())
    said = [run.id, run.base_model, f"began {age(run.started_at, time.time())}" if run.started_at else None]
    if run.started_at and run.ended_at:
        said.append(f"took {duration(run.ended_at - run.started_at)}")
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.caption(escape(" · ".join(part for part in (*said, *run.tags, run.note) if part)), width="content")
        run_actions(here, run)
        behind(
            opening(here.path, "get_run", "list_scores")
            + f"\nrun = get_run(store, {run.id!r})\nscores = list_scores(store, [run.key])"
        )


if __name__ == "__main__":
    render()
