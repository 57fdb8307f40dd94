"""Other spans for a sentence: a table of word ranges and types, with the words numbered below."""

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from dashboard.triage.sentence import Sentence
from dashboard.triage.targets import numbered, span_rows, spans_of_rows
from dashboard.writing import note

Save = Callable[[str], None]


def span_form(found: Sentence, names: Sequence[str], key: str, save: Save) -> None:
    """Draw it. `save` gets the spans as they are decided (`store.targets`); what cannot be saved is said."""
    word: dict[str, Any] = {"min_value": 1, "max_value": len(found.tokens), "step": 1, "format": "%d", "width": 90}
    columns: Any = {
        "from": st.column_config.NumberColumn("from word", **word),
        "to": st.column_config.NumberColumn("to word", help="The last word; empty: the same.", **word),
        "type": st.column_config.SelectboxColumn("type", options=list(names), width=160),
    }
    table = st.data_editor(
        span_rows(found.target, names), key=key, num_rows="dynamic", hide_index=True, width=420,
        column_config=columns,
    )  # fmt: skip
    st.text(numbered(found.tokens))
    st.button(
        "Save the spans", key="key-save-spans", shortcut="Mod+Enter", type="primary", on_click=_save,
        args=(table, names, len(found.tokens), save),
    )  # fmt: skip


def _save(table: pd.DataFrame, names: Sequence[str], n_words: int, save: Save) -> None:
    try:
        spans = spans_of_rows(table, names, n_words)
    except ValueError as error:
        note(str(error), is_problem=True)
        return
    save(spans)
