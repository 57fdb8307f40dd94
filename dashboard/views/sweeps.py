"""Sweeps: which there are, how far they are, and what they reached."""

import streamlit as st

from dashboard import source, work_queries
from dashboard.formats import UNKNOWN
from dashboard.parts.behind import behind, opening
from dashboard.parts.header import freshness_line
from dashboard.parts.notices import empty_state, guarded
from dashboard.parts.trials_table import sweep_columns, sweeps_table

LIVE_SECONDS = 2.0
MOST = 500


def render() -> None:
    """One table; a name opens the sweep."""
    now = source.current()
    if work_queries.sweeps(now).empty:
        freshness_line(now)
        empty_state(
            "No sweeps yet",
            "A sweep tries many settings of one recipe, whose [sweep] table says which. It can be killed and given "
            "again at any time: it goes on where it stopped.",
            "runner sweep recipes/NAME.toml             # what its [sweep] says",
            "runner sweep recipes/NAME.toml --dry-run   # say it first",
        )
        return
    is_live = bool((work_queries.sweeps(now)["status"] == "running").any())

    @st.fragment(run_every=LIVE_SECONDS if is_live else None)
    def listing() -> None:
        here = source.current()
        with guarded(here.path):
            _listing(here)

    listing()


def _listing(here: source.Source) -> None:
    sweeps = work_queries.sweeps(here)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        n = len(sweeps)
        more = f", the newest {MOST} shown" if n > MOST else ""
        st.caption(f"{n:,} {'sweep' if n == 1 else 'sweeps'}{more} · click a name to open it", width="content")
        behind(opening(here.path, "list_sweeps") + "\nsweeps = list_sweeps(store)")
        st.space("stretch")
        freshness_line(here)
    shown = sweeps[:MOST]
    ids = shown["id"].tolist()
    event = st.dataframe(
        sweeps_table(shown),
        column_config=sweep_columns(),
        hide_index=True,
        height="content" if len(shown) <= 25 else 800,
        placeholder=UNKNOWN,
        on_select="rerun",
        selection_mode="single-cell",
        key=f"sweeps-{hash(tuple(ids))}",
    )
    for row, column in event["selection"]["cells"]:
        if column == "name":
            st.switch_page("views/sweep.py", query_params={"sweep": ids[row]})


if __name__ == "__main__":
    render()
