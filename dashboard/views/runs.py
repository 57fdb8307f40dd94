"""Runs: which there are, how they did, and which to look at."""

import time
from typing import Any

import pandas as pd
import streamlit as st

from dashboard import queries, source, work_queries
from dashboard.formats import UNKNOWN, escape
from dashboard.parts.behind import behind, opening
from dashboard.parts.choices import page_offset, pager
from dashboard.parts.header import freshness_line
from dashboard.parts.notices import empty_state, guarded
from dashboard.parts.runs_table import column_config, runs_table
from dashboard.rows import tuples

PER_PAGE = 50
LIVE_SECONDS = 2.0
MOST_COMPARED = 10
SORTS = {
    "newest": "created_at",
    "best": "value",
    "name": "name",
    "status": "status",
    "method": "method",
    "time": "wall_seconds",
    "speed": "examples_per_second",
    "memory": "peak_host_bytes",
}


def render() -> None:
    """Controls → one page of runs → compare or open."""
    now = source.current()
    is_live = queries.counts(now).n_live > 0
    if queries.counts(now).n_runs == 0:
        freshness_line(now)
        empty_state(
            "No runs yet",
            "A run appears here the moment it starts, and its numbers as they come.",
            "runner demo                      # a small model on real English, five minutes",
            "runner train recipes/NAME.toml   # your own",
            new_run="Begin here, with a table of texts",
        )
        return
    filters, sort = _controls(queries.facets(now), has_sweeps=not work_queries.sweeps(now).empty)

    @st.fragment(run_every=LIVE_SECONDS if is_live else None)
    def listing() -> None:
        here = source.current()
        if is_live and queries.counts(here).n_live == 0:
            st.rerun()
        with guarded(here.path):
            _listing(here, filters, sort)

    listing()


def _controls(facets: dict[str, list[str]], *, has_sweeps: bool) -> tuple[dict[str, Any], str]:
    with st.container(horizontal=True, gap="small", vertical_alignment="bottom"):
        search = st.text_input(
            "Search", key="q", bind="query-params", placeholder="name, recipe, note, data …", type="search", width=280
        )
        chosen: dict[str, Any] = {
            name: st.multiselect(name.capitalize(), facets[name], key=name, bind="query-params", placeholder="any")
            for name in ("status", "method", "task")
            if len(facets[name]) > 1 or name in st.query_params
        }
        data = st.selectbox(
            "Data",
            facets["dataset"],
            index=None,
            key="dataset",
            bind="query-params",
            placeholder="any",
            filter_mode="contains",
        )
        sort = st.selectbox("Order", list(SORTS), key="sort", bind="query-params", width=130)
        if has_sweeps:
            chosen["best_of_sweeps"] = st.toggle("Only the best of a sweep", key="best", bind="query-params")
    return {"search": search or None, "dataset": data, **chosen}, SORTS[sort or "newest"]


def _listing(here: source.Source, filters: dict[str, Any], sort: str) -> None:
    n_found, n_all = queries.n_matching(here, filters), queries.counts(here).n_runs
    top = st.container(horizontal=True, vertical_alignment="center", gap="small")
    if n_found == 0:
        freshness_line(here)
        empty_state("No run fits", f"None of the {n_all} runs pass these filters. Take one away.")
        return
    table_place = st.container()
    offset = page_offset(n_found, PER_PAGE, key="page", of=(filters, sort))
    pager(n_found, PER_PAGE, key="page")
    frame = queries.runs_page(here, filters, sort=sort, limit=PER_PAGE, offset=offset)
    with table_place:
        selected = _table(here, frame)
    for row in selected:
        if frame["status"].iloc[row] in ("failed", "killed"):
            cause = frame["cause"].iloc[row] or "no cause was recorded"
            st.warning(escape(f"{frame['name'].iloc[row]}: {cause}"), icon=":material/error:")
    with top:
        _actions(selected, frame)
        hint = "" if selected else " · tick rows to compare them, click a name to open it"
        st.caption(f"{n_found:,} of {n_all:,} runs{hint}", width="content")
        behind(
            opening(here.path, "list_runs")
            + f"\nruns = list_runs(store, **{ {k: v for k, v in filters.items() if v} }, sort={sort!r})"
        )
        st.space("stretch")
        freshness_line(here)


def _table(here: source.Source, frame: pd.DataFrame) -> list[int]:
    """Draw the page; returns the chosen rows. A click on a name opens the run."""
    ids = frame["id"].tolist()
    lines = [queries.loss_line(here.path, row.key, row.version) for row in tuples(frame)]
    table = runs_table(frame, lines, time.time())
    # New rows make a new widget that starts from the same chosen runs: a row number never changes its meaning.
    chosen = st.session_state.get("chosen_runs", [])
    key = f"runs-{hash(tuple(ids))}"
    event = st.dataframe(
        table,
        column_config=column_config(),
        hide_index=True,
        height="content",
        placeholder=UNKNOWN,
        on_select="rerun",
        selection_mode=["multi-row", "single-cell"],
        selection_default={"selection": {"rows": [i for i, run_id in enumerate(ids) if run_id in chosen]}},
        key=key,
    )
    for row, column in event["selection"]["cells"]:
        if column == "name":
            st.switch_page("views/run.py", query_params={"run": ids[row]})
    rows = list(event["selection"]["rows"])
    st.session_state["chosen_runs"] = [ids[row] for row in rows]
    return rows


def _actions(rows: list[int], frame: pd.DataFrame) -> None:
    ids = frame["id"].tolist()
    if st.button("Open", disabled=len(rows) != 1, icon=":material/open_in_new:", shortcut="O"):
        st.switch_page("views/run.py", query_params={"run": ids[rows[0]]})
    if st.button(
        "Clone…",
        disabled=len(rows) != 1,
        icon=":material/content_copy:",
        shortcut="N",
        help="Opens New run with this run's recipe filled in.",
    ):
        st.switch_page("views/new_run.py", query_params={"clone": ids[rows[0]]})
    n = len(rows)
    if st.button(
        f"Compare {n}" if n else "Compare",
        type="primary",
        disabled=not 2 <= n <= MOST_COMPARED,
        icon=":material/compare_arrows:",
        shortcut="M",
        help=f"Choose 2 to {MOST_COMPARED} runs; the one that began first is the baseline.",
    ):
        in_order = frame.iloc[rows].sort_values("created_at", kind="stable")["id"]
        st.switch_page("views/compare.py", query_params={"runs": ",".join(in_order)})


if __name__ == "__main__":
    render()
