"""Which part of the queue: menus, search, and what is chosen as chips that take themselves back."""

from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard.formats import count, escape, short
from dashboard.parts.choices import select
from dashboard.triage import reads
from dashboard.triage.asked import NAMES, STATES, TO_DO, ask, asked_filter, chips, chosen_rows, forget, lasso, like
from dashboard.triage.reads import Desk
from dashboard.triage.worklist import by_split
from store import QueueFilter

ANY = "any"


def narrow(desk: Desk, row: DeltaGenerator) -> QueueFilter:
    """Draw the controls into a row; returns what they ask for."""
    with row:
        _state()
        _field(
            "Search", "words", placeholder="words in the text", type="search", label_visibility="collapsed", width=210
        )  # fmt: skip
        with st.popover("Filter", icon=":material/tune:"):
            _more(desk)
    _chips(desk)
    return asked(desk)


def asked(desk: Desk) -> QueueFilter:
    """What the URL and the session ask for."""
    params = st.query_params.to_dict()
    positions = by_split(lasso()) if lasso() else None
    near = like(params)
    if near is not None:
        known = near[1] < desk.dataset.n_rows.get(near[0], 0)
        found = reads.neighbours(desk, *near) if known else None
        similar = [] if found is None else [("train", int(position)) for position in found["position"]]
        positions = by_split([near, *similar] if known else [])
    rows = chosen_rows(params)
    if rows is not None and positions is not None:
        positions = {
            split: [each for each in places if each in rows.get(split, ())] for split, places in positions.items()
        }
    return asked_filter(params, desk.label_names, rows if positions is None else positions)


def filter_key() -> tuple[object, ...]:
    """What tells one queue from another."""
    chosen = lasso()
    brushed = (len(chosen), chosen[0], chosen[-1]) if chosen else ()
    return (*((name, st.query_params.get(name)) for name in NAMES), brushed)


def _state() -> None:
    """What was done about an example, kept in the URL as `?state=…`."""
    asked_for = st.query_params.get("state")
    chosen = asked_for if asked_for in STATES else TO_DO
    if st.session_state.get("narrow-state") != chosen:
        st.session_state["narrow-state"] = chosen

    def remember() -> None:
        ask(state=st.session_state["narrow-state"])

    st.selectbox(
        "State", STATES, key="narrow-state", on_change=remember, label_visibility="collapsed", width=112,
        filter_mode=None,
    )  # fmt: skip


def _more(desk: Desk) -> None:
    names = desk.label_names
    if names:
        select("Labelled", range(len(names)), names, key="given", any_word="labelled: any")
        select("Should be", range(len(names)), names, key="likely", any_word="should be: any")
    _field(
        "Regular expression", "pattern", placeholder=r"(?i)refund\w*",
        help="Looked for in every text, within a few seconds. (?i) at the start: capitals do not matter.",
    )  # fmt: skip
    _menu("Split", list(desk.dataset.n_rows), "in")
    authors = reads.progress(desk.path, desk.dataset).by_author["author"].tolist()
    if authors:
        _menu("Decided by", authors, "by")
    facets = reads.facets(desk.path, desk.dataset.key)
    if facets.empty:
        return
    _menu("Metadata", list(dict.fromkeys(facets["field"])), "field", clears="value")
    field = st.query_params.get("field")
    if field in set(facets["field"]):
        of_field = facets[facets["field"] == field]
        counts = dict(zip(of_field["value"], of_field["n"], strict=True))
        _menu(str(field), list(counts), "value", counts=counts)


def _field(label: str, name: str, **how: Any) -> None:
    """A field of text, kept in the URL as `?name=text`; what takes the filter back empties it."""
    widget = f"narrow-{name}"
    asked_for = st.query_params.get(name, "")
    if st.session_state.get(widget) != asked_for:
        st.session_state[widget] = asked_for

    def remember() -> None:
        ask(**{name: st.session_state[widget] or None})

    st.text_input(label, key=widget, on_change=remember, **how)


def _menu(
    label: str, options: list[str], name: str, *, clears: str | None = None, counts: dict[str, int] | None = None
) -> None:
    """A menu of texts, kept in the URL as `?name=text`."""
    asked_for = st.query_params.get(name)
    widget = f"narrow-{name}"
    chosen = asked_for if asked_for in options else None
    if st.session_state.get(widget) != chosen:
        st.session_state[widget] = chosen

    def remember() -> None:
        ask(**{name: st.session_state[widget]})
        if clears:
            ask(**{clears: None})

    def write(text: str) -> str:
        return f"{short(text, 60)} ({count(counts[text])})" if counts and text in counts else short(text, 60)

    st.selectbox(escape(label), options, index=None, key=widget, placeholder=ANY, format_func=write, on_change=remember)


def _chips(desk: Desk) -> None:
    found = chips(st.query_params.to_dict(), desk.label_names, len(lasso()))
    if not found:
        return
    with st.container(horizontal=True, gap="small", key="triage-chips"):
        for name, words in found:
            st.button(
                escape(short(words, 60)), icon=":material/close:", icon_position="right", key=f"chip-off-{name}",
                on_click=forget, args=(name,), help="Take this back",
            )  # fmt: skip
        if len(found) > 1:
            st.button(
                "All examples", key="chip-off-all", type="tertiary", on_click=forget, args=(*NAMES, "lasso"),
                help="Take all of it back",
            )  # fmt: skip
