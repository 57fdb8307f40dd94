"""Who decides: asked once, remembered by the browser."""

from urllib.parse import quote, unquote

import streamlit as st

from dashboard.formats import escape

COOKIE = "assay_author"
_KEY, _TYPED = "author", "author-typed"
_A_YEAR = 365 * 24 * 3600
LONGEST = 80


def author() -> str | None:
    """The name that decisions are saved under; None where nobody has said it yet."""
    if _KEY not in st.session_state:
        logged_in = st.user.get("name") or st.user.get("email") if st.user.get("is_logged_in") else None
        known = str(logged_in) if logged_in else unquote(st.context.cookies.get(COOKIE, ""))
        st.session_state[_KEY] = clean(known)
    return st.session_state[_KEY] or None


def clean(name: str) -> str:
    """A name on one line, without space around it, of a length that fits a table.

    >>> clean("  Ada\\n Lovelace "), len(clean("x" * 500))
    ('Ada Lovelace', 80)
    """
    return " ".join(name.split())[:LONGEST]


def ask_author() -> None:
    """A field for the name and why it is asked for."""
    with st.container(border=True, key="who-decides"):
        st.markdown("**Who decides?** Decisions are saved under a name, so that two people can be told apart.")
        with st.form("who", border=False):
            row = st.container(horizontal=True, vertical_alignment="bottom")
            row.text_input("Your name", key=_TYPED, placeholder="Your name", label_visibility="collapsed", width=260)
            row.form_submit_button("Begin", type="primary", on_click=_remember)


def author_line() -> None:
    """The name, and a way to change it; to be drawn in a row."""
    name = author()
    if name is None:
        return
    _keep_cookie()
    with st.popover(escape(f"saved as {name}"), type="tertiary", icon=":material/person:"):
        st.text_input("Save as", value=name, key=_TYPED, on_change=_remember)


def _keep_cookie() -> None:
    """Have the browser remember a name that was just given."""
    name = st.session_state.pop("author-new", None)
    if name:  # quoted: nothing but letters, digits and %, so the name cannot end the script
        st.html(
            f"<script>document.cookie = '{COOKIE}={quote(name, safe='')}; path=/; max-age={_A_YEAR}; SameSite=Lax'"
            "</script>",
            unsafe_allow_javascript=True,
        )


def _remember() -> None:
    name = clean(st.session_state.get(_TYPED) or "")
    if name:
        st.session_state[_KEY] = st.session_state["author-new"] = name
