"""Triage: what is wrong with a data set, one example after the other, and what is made of what was decided."""

import time

import streamlit as st

from dashboard import queries, source
from dashboard.formats import count, escape
from dashboard.parts.choices import tabs
from dashboard.triage import reads
from dashboard.triage.beginning import in_progress, not_triaged, nothing_here
from dashboard.triage.classes import classes
from dashboard.triage.data_map import data_map
from dashboard.triage.edits import edits
from dashboard.triage.heading import choose_dataset, heading
from dashboard.triage.narrow import filter_key, narrow
from dashboard.triage.reads import Desk
from dashboard.triage.review import review
from dashboard.triage.table import table
from dashboard.triage.wrong import wrong_panel
from store import DecisionRefused, PatternRefused

VIEWS = ("Queue", "Table", "Map", "Classes", "Edits")


def render() -> None:
    """`?data=NAME@V` → a sentence → what is wrong on the left, the work on the right."""
    here = source.current()
    bar = st.container(horizontal=True, vertical_alignment="center", gap="small", key="triage-top")
    chosen = choose_dataset(here, bar)
    if chosen is None:
        nothing_here()
        return
    dataset = queries.dataset(here.path, chosen)
    in_progress(here, dataset)
    desk = reads.desk(here, chosen)
    if desk is None:
        if reads.unfinished(here, chosen) is None:
            not_triaged(here, dataset)
        return
    said = reads.summary(desk.path, desk.triage.key, desk.label_names)
    heading(here, desk, said, bar)
    left, right = st.columns([1, 4.2], gap="medium")
    with left:
        wrong_panel(desk, said)
    with right:
        _work(here, desk)


def _work(here: source.Source, desk: Desk) -> None:
    n_changes = sum(reads.n_changes(desk).values())
    names = {"Edits": f"Edits ({count(n_changes)})"} if n_changes else {}
    row = st.container(horizontal=True, vertical_alignment="center", gap="small", key="triage-views")
    with row:
        view = tabs("View", VIEWS, key="view", write=lambda name: names.get(name, name))
    if view == "Classes":
        classes(desk, reads.summary(desk.path, desk.triage.key, desk.label_names))
        return
    if view == "Edits":
        edits(here, desk, time.time())
        return
    filters = narrow(desk, row)
    try:
        if view == "Map":
            data_map(desk, filters)
        elif view == "Table":
            table(desk, filters)
        else:
            review(desk, filters, (desk.path, desk.triage.key, *filter_key()))
    except (PatternRefused, DecisionRefused) as error:  # what was typed into the filter cannot be asked
        st.warning(escape(str(error)), icon=":material/search_off:")


if __name__ == "__main__":
    render()
