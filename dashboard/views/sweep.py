"""One sweep: how far it is, what it reached for what it took, which parameters matter, and what to do next."""

import time
from collections.abc import Callable

import pandas as pd
import streamlit as st

from dashboard import source, work_queries
from dashboard.formats import age, escape
from dashboard.parts import sweep_parameters, sweep_recipe, sweep_rungs, sweep_trade_off, sweep_trials
from dashboard.parts.behind import behind, opening
from dashboard.parts.chips import badge
from dashboard.parts.choices import tabs
from dashboard.parts.header import freshness_line
from dashboard.parts.notices import empty_state, guarded
from dashboard.parts.sweep_actions import job_status, sweep_actions
from dashboard.sweep_sentences import leaders_sentence, spent_text, sweep_sentence
from dashboard.writing import say_notes
from store import Status, Sweep, SweepNotFound

LIVE_SECONDS = 2.0
Section = Callable[[source.Source, Sweep, pd.DataFrame], None]
SECTIONS: dict[str, Section] = {
    "Trials": sweep_trials.render,
    "Parameters": sweep_parameters.render,
    "Rungs": sweep_rungs.render,
    "Trade-off": sweep_trade_off.render,
    "Recipe": sweep_recipe.render,
}


def render() -> None:
    """`?sweep=ID` → a sentence → one section at a time."""
    here = source.current()
    sweep = _asked(here)
    if sweep is None:
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.page_link("views/sweeps.py", label="Sweeps", icon=":material/arrow_back:", width="content")
        st.subheader(escape(sweep.name), anchor=False, width="content")
        badge(sweep.status)
        st.space("stretch")
        freshness_line(here)
    is_live = _moves(here, sweep)

    @st.fragment(run_every=LIVE_SECONDS if is_live else None)
    def body() -> None:
        now = source.current()
        with guarded(now.path):
            newest = work_queries.sweep(now, sweep.id)
            if newest.status is not sweep.status or _moves(now, newest) is not is_live:
                st.rerun()
            _body(now, newest)

    body()


def _moves(here: source.Source, sweep: Sweep) -> bool:
    """Whether something happens without being asked for here: it runs, or a job goes on with it sooner or later."""
    return sweep.status is Status.RUNNING or job_status(here, sweep) is not None


def _body(here: source.Source, sweep: Sweep) -> None:
    say_notes()
    trials = work_queries.trials(here, sweep.key)
    found = None if trials.empty else work_queries.leaders(here, sweep, trials)
    st.markdown(f"##### {escape(sweep_sentence(sweep, trials, None if found is None else found.numbers[0]))}")
    if (leaders := leaders_sentence(found, sweep.objectives)) is not None:
        st.markdown(escape(leaders))
    if sweep.cause:
        st.warning(escape(f"{sweep.status.capitalize()}: {sweep.cause}"), icon=":material/error:")
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        sweep_actions(here, sweep, trials)
        said = [sweep.id, f"began {age(sweep.created_at, time.time())}", spent_text(trials) if len(trials) else None]
        said.append("asked to stop" if sweep.request == "stop" else None)
        st.caption(escape(" · ".join(part for part in said if part)), width="content")
        behind(
            opening(here.path, "get_sweep", "list_trials")
            + f"\nsweep = get_sweep(store, {sweep.id!r})\ntrials = list_trials(store, sweep.key)"
        )
    names = [name for name in SECTIONS if name != "Trade-off" or len(sweep.objectives) > 1]
    chosen = tabs("Section", names, key="section")
    SECTIONS[chosen](here, sweep, trials)


def _asked(here: source.Source) -> Sweep | None:
    asked = st.query_params.get("sweep") or "@latest"
    try:
        return work_queries.sweep(here, asked)
    except SweepNotFound as error:
        if work_queries.sweeps(here).empty:
            empty_state("No sweeps yet", "The newest sweep is shown here.", "runner sweep recipes/NAME.toml")
        else:
            st.warning(escape(str(error)), icon=":material/search_off:")
            st.page_link("views/sweeps.py", label="All sweeps", icon=":material/arrow_back:")
        return None


if __name__ == "__main__":
    render()
