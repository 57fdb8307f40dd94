"""Another target for an example, typed by hand: spans as a table, a set of labels as a menu, a number as a field.

What is saved is what the form shows: the text too, where the example is one text.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import streamlit as st

from dashboard.triage.sentence import Sentence
from dashboard.triage.targets import Target, number_of, numbered, set_of, span_rows, spans_of_rows
from dashboard.writing import note

Save = Callable[[Target], None]
SaveBoth = Callable[[Target, str | None], None]
"""Target and text; None where the form has none."""

FORMS: Mapping[object, str] = {"spans": "spans", "sets of labels": "set", "numbers": "number"}
"""Which form E opens, by what the examples have in place of one class (`unjudged`); of all others that of the text."""
HELP: Mapping[str, str] = {
    "spans": "Other spans.", "set": "Other labels, another text.", "number": "Another number, another text.",
    "text": "Another text.",
}  # fmt: skip


def span_form(found: Sentence, target: str, names: Sequence[str], key: str, save: Save) -> None:
    """Draw it. `save` gets the spans as they are decided (`store.targets`); what cannot be saved is said."""
    word: dict[str, Any] = {"min_value": 1, "max_value": len(found.tokens), "step": 1, "format": "%d", "width": 90}
    columns: Any = {
        "from": st.column_config.NumberColumn("from word", **word),
        "to": st.column_config.NumberColumn("to word", help="The last word; empty: the same.", **word),
        "type": st.column_config.SelectboxColumn("type", options=list(names), width=160),
    }
    table = st.data_editor(
        span_rows(target, names), key=key, num_rows="dynamic", hide_index=True, width=420,
        column_config=columns,
    )  # fmt: skip
    st.text(numbered(found.tokens))
    _button("Save the spans", lambda: save(spans_of_rows(table, names, len(found.tokens))))


def set_form(target: str, names: Sequence[str], text: str | None, key: str, save: SaveBoth) -> None:
    """Draw it: any of the labels, or none. `target`: a set as the store has it; `text`: None where there is not one."""

    def keep() -> None:
        save(set_of(st.session_state[key]), _typed(key))

    st.multiselect(
        "Labels", range(len(names)), json.loads(target), format_func=lambda at: names[at], key=key, select_all=False,
        placeholder="none; type a part of a name",
    )  # fmt: skip
    _text(text, key)
    _button("Save the labels", keep)


def number_form(target: float, text: str | None, key: str, save: SaveBoth) -> None:
    """Draw it: an empty field, so that what is typed is the number. `text`: as of `set_form`."""

    def keep() -> None:
        typed = _typed(key)
        save(number_of(st.session_state[key], target, is_edited=typed != text), typed)

    st.number_input(
        "Number", value=None, format="%.12g", key=key, width=330, placeholder=f"{target:.12g}; type another"
    )  # fmt: skip
    _text(text, key)
    _button("Save the number", keep)


def _text(text: str | None, key: str) -> None:
    if text is not None:
        st.text_area("Text", text, key=f"{key}-text", height=100)


def _typed(key: str) -> str | None:
    """The text as it is now: a callback comes before the next drawing."""
    found: str | None = st.session_state.get(f"{key}-text")
    return found


def _button(words: str, keep: Callable[[], None]) -> None:
    st.button(words, key="key-save-target", shortcut="Mod+Enter", type="primary", on_click=_keep, args=(keep,))


def _keep(keep: Callable[[], None]) -> None:
    try:
        keep()
    except ValueError as error:
        note(str(error), is_problem=True)
