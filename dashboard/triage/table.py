"""The queue as a table, and what is done to many examples at once: one batch, so one undo."""

from typing import Any

import pandas as pd
import streamlit as st

from dashboard.formats import UNKNOWN, count, escape, short
from dashboard.parts.choices import page_offset, pager
from dashboard.triage import reads
from dashboard.triage.asked import ask
from dashboard.triage.author import ask_author, author, author_line
from dashboard.triage.bulk import ACCEPT, ACTIONS, LABEL, accepted, accepted_words, bulk_decisions
from dashboard.triage.deciding import decide, redo, undo
from dashboard.triage.proposals import Offer, offer, said
from dashboard.triage.reads import Desk
from dashboard.triage.session import forget_review
from dashboard.triage.target_words import becomes, suggested_words, targets_at, values_at
from dashboard.triage.worklist import Place, places_of, records
from evals.triage.phrases import title
from store import QueueFilter

PER_PAGE = 50
MOST_AT_ONCE = 100_000
MOST_COUNTED = 5_000  # beyond, what accepting would do is said without numbers: it is read anew after every decision


def table(desk: Desk, filters: QueueFilter) -> None:
    """Draw it: a page of rows, and the actions for those chosen or for all."""
    n = reads.n_waiting(desk, filters)
    if not n:
        st.info("No example fits these filters.", icon=":material/filter_alt_off:")
        with st.container(horizontal=True, gap="small", key="triage-bulk"):
            _back(desk)
        return
    offset = page_offset(n, PER_PAGE, key="page", of=(desk.triage.key, filters))
    page = reads.page(desk, filters, offset, PER_PAGE)
    bar = st.container(horizontal=True, vertical_alignment="center", gap="small", key="triage-bulk")
    chosen = _rows(desk, page, filters)
    with bar:
        if author() is None:
            ask_author()
        else:
            _bulk(desk, filters, page, chosen, n)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        pager(n, PER_PAGE, key="page")
        st.caption(f"{count(offset + 1)} to {count(offset + len(page))} of {count(n)} examples", width="content")


def _rows(desk: Desk, page: pd.DataFrame, filters: QueueFilter) -> list[int]:
    if desk.label_names:
        judged: dict[str, Any] = {
            "label": page["label"],
            "suggested": page["suggested_label"].where(page["suggested"] != page["given"]),
            "p": page["suggested_probability"],
            "risk": page["risk"],
            "doubts": [_doubts(n, of) for n, of in zip(page["n_doubting"], page["n_voices"], strict=True)],
        }
    else:  # columns that could only be empty are left out
        judged = {"label": targets_at(desk, places_of(page))}
        proposals = [each.proposal for each in _offers(desk, page, filters)]
        should_be = suggested_words(desk, proposals, page["example_id"].tolist())
        judged |= {"suggested": should_be} if any(should_be) else {}
    shown = pd.DataFrame(
        {
            "text": [short(text, 300) for text in page["text"]],
            **judged,
            "kinds": [[title(kind) for kind in kinds if kind != "label_error"] for kinds in page["kinds"]],
            "decided": [
                "" if row.get("action") is None else f"{said(row['action'], becomes(desk, row))} · {row['author']}"
                for row in records(page)
            ],
            "place": [f"{split} {position}" for split, position in places_of(page)],
        }
    )
    text, number = st.column_config.TextColumn, st.column_config.NumberColumn
    event = st.dataframe(
        shown,
        column_config={
            "text": text("text", width=360 if desk.label_names else 520),
            "label": text("labelled" if desk.label_names else "has", width=150),
            "suggested": text("should be", width=150),
            "p": number("sure", format="%.2f", width=56, help="The probability of the suggested label."),
            "risk": st.column_config.ProgressColumn("risk", format="%.2f", min_value=0, max_value=1, width=84),
            "doubts": text("doubts", width=72, help="Voices that prefer another label, of how many."),
            "kinds": st.column_config.ListColumn("also" if desk.label_names else "found", width=160),
            "decided": text("decided", width=140),
            "place": text("place", width=80),
        },
        hide_index=True, height="content", placeholder=UNKNOWN, on_select="rerun", selection_mode="multi-row",
        key=f"triage-table-{st.session_state.get('triage-bulks', 0)}-{hash(tuple(places_of(page)))}",
    )  # fmt: skip
    return [int(row) for row in event["selection"]["rows"]]


def _doubts(n: float, of: float) -> str:
    return "" if pd.isna(of) or not of else f"{count(n)} of {count(of)}"


def _bulk(desk: Desk, filters: QueueFilter, page: pd.DataFrame, chosen: list[int], n: int) -> None:
    actions = [name for name in ACTIONS if desk.label_names or name != LABEL]
    what = st.selectbox("Action", actions, key="bulk-action", label_visibility="collapsed", width=210)
    label: int | None = None
    if what == LABEL:
        names = desk.label_names
        label = st.selectbox(
            "Label", range(len(names)), index=None, format_func=lambda i: names[i], key="bulk-label",
            placeholder="which label", label_visibility="collapsed", width=200,
        )  # fmt: skip
    is_ready = what != LABEL or label is not None
    rows = page.iloc[chosen]
    st.button(
        f"{count(len(chosen))} chosen", key="bulk-chosen", type="primary", disabled=not chosen or not is_ready,
        on_click=_do, args=(desk, rows, what, label, filters),
    )  # fmt: skip
    with st.popover(f"All {count(n)} that fit", disabled=not is_ready):
        many = min(n, MOST_AT_ONCE)
        rest = f" The first {count(many)} of them." if many < n else ""
        would = _would(desk, filters, many) if what == ACCEPT else ""
        st.markdown(
            escape(f"{what} for {count(many)} examples, on all pages.{rest}{would} One undo takes all of it back.")
        )
        st.button(
            f"Do it for {count(many)}", key="bulk-all", type="primary", on_click=_do_all,
            args=(desk, filters, what, label),
        )  # fmt: skip
    _back(desk)
    if len(chosen) == 1:
        st.button("Look at it", key="bulk-look", type="tertiary", on_click=_look, args=(places_of(rows)[0],))
    st.space("stretch")
    author_line()


def _would(desk: Desk, filters: QueueFilter, many: int) -> str:
    if many > MOST_COUNTED:
        return (
            " To each is done what A does to it in the queue; those without another label count as looked at and kept."
        )
    rows = reads.rows_to_decide(desk, filters, MOST_AT_ONCE)
    unjudged = desk.triage.summary.get("unjudged")
    return f" {accepted_words(accepted(rows, _offers(desk, rows, filters), desk.triage.key), len(rows), unjudged)}"


def _offers(desk: Desk, rows: pd.DataFrame, filters: QueueFilter) -> list[Offer]:
    """What A would do to each of these rows."""
    places = places_of(rows)
    found, names = reads.evidence_at(desk, places), desk.dataset.label_names or ()
    targets = values_at(desk, places) if desk.triage.summary.get("unjudged") else {}
    known: Any = {"target_names": names, "is_one_text": reads.is_one_text(desk)}
    return [
        offer(row, found.get(place, {}), filters.kinds, desk.label_names, target=targets.get(place), **known)
        for row, place in zip(records(rows), places, strict=True)
    ]


def _back(desk: Desk) -> None:
    """Undo and redo, for whoever has a name."""
    if author() is not None:
        st.button("Undo", key="bulk-undo", icon=":material/undo:", shortcut="Z", on_click=_undo, args=(desk,))
        st.button("Redo", key="bulk-redo", icon=":material/redo:", type="tertiary", on_click=_redo, args=(desk,))


def _do(desk: Desk, rows: pd.DataFrame, what: str, label: int | None, filters: QueueFilter) -> None:
    if what == ACCEPT:
        new = accepted(rows, _offers(desk, rows, filters), desk.triage.key)
    else:
        new = bulk_decisions(rows, what, label=label, triage_key=desk.triage.key, kinds=filters.kinds)
    left_out = len(rows) - len(new)
    words = f"{count(len(new))} decided" + (f"; {count(left_out)} have nothing to accept" if left_out else "") + "."
    decide(desk, new, words)
    st.session_state["triage-bulks"] = st.session_state.get("triage-bulks", 0) + 1
    forget_review()


def _do_all(desk: Desk, filters: QueueFilter, what: str, label: int | None) -> None:
    rows = reads.rows_to_decide(desk, filters, MOST_AT_ONCE)
    _do(desk, rows, what, label, filters)


def _undo(desk: Desk) -> None:
    undo(desk)
    forget_review()


def _redo(desk: Desk) -> None:
    redo(desk)
    forget_review()


def _look(place: Place) -> None:
    ask(view="Queue", like=f"{place[0]}:{place[1]}", state="all")
