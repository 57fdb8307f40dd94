"""Choices that live in the URL."""

from collections.abc import Callable, Sequence

import streamlit as st

from dashboard.address import put


def tabs(label: str, options: Sequence[str], *, key: str, write: Callable[[str], str] = str) -> str:
    """A segmented control with one option always chosen, kept in the URL as `?key=option`.

    Streamlit's own binding writes the label into the URL; here labels may carry counts that change.
    """
    asked = st.query_params.get(key)
    chosen = asked if asked in options else options[0]
    widget = f"tabs-{key}"
    if st.session_state.get(widget) not in options or (asked in options and asked != st.session_state.get(widget)):
        st.session_state[widget] = chosen

    def remember() -> None:
        if st.session_state[widget] != chosen:  # also called when another page has dropped what was chosen here
            put(**{key: st.session_state[widget]})

    answer = st.segmented_control(
        label,
        options,
        format_func=write,
        key=widget,
        required=True,
        label_visibility="collapsed",
        on_change=remember,
    )
    return answer or options[0]


def select(label: str, options: Sequence[int], names: Sequence[str], *, key: str, any_word: str) -> int | None:
    """A menu of `names`, kept in the URL as `?key=number`; None for any. An unknown number in the URL means any."""
    asked = st.query_params.get(key, "")
    chosen = int(asked) if asked.isdigit() and int(asked) in options else None
    widget = f"select-{key}"
    if st.session_state.get(widget) != chosen:
        st.session_state[widget] = chosen

    def remember() -> None:
        value = st.session_state[widget]
        put(**{key: None if value is None else str(value)})

    by_number = dict(zip(options, names, strict=True))
    return st.selectbox(
        label,
        options,
        index=None,
        format_func=lambda number: by_number.get(number, str(number)),
        key=widget,
        placeholder=any_word,
        label_visibility="collapsed",
        on_change=remember,
    )


def pager(n_rows: int, per_page: int, *, key: str) -> int:
    """Page buttons where there is more than one page; returns the offset of the first row."""
    n_pages = max(1, -(-n_rows // per_page))
    if n_pages == 1:
        return 0
    page = st.pagination(n_pages, key=key, bind="query-params", max_visible_pages=7)
    return (min(page, n_pages) - 1) * per_page


def page_offset(n_rows: int, per_page: int, *, key: str, of: object = None) -> int:
    """What `pager`, drawn below its rows, will return. `of` says what is paged: another thing begins at page 1."""
    if st.session_state.get(f"{key}-of", of) != of:
        st.session_state[key] = 1
    st.session_state[f"{key}-of"] = of
    asked = st.session_state.get(key) or st.query_params.get(key, "1")
    page = int(asked) if str(asked).isdigit() else 1
    n_pages = max(1, -(-n_rows // per_page))
    return (min(max(1, page), n_pages) - 1) * per_page
