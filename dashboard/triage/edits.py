"""Edits: everything decided as a diff, what authors disagree on, and what is made of it: files, a version, a proof."""

from collections.abc import Collection, Mapping, Sequence

import pandas as pd
import streamlit as st

from dashboard.formats import age, count, escape, short
from dashboard.parts.choices import page_offset, pager, tabs
from dashboard.source import Source
from dashboard.triage import reads
from dashboard.triage.asked import ask
from dashboard.triage.differences import DECIDING, becomes, tally, text_diff
from dashboard.triage.reads import Desk
from dashboard.triage.taking import downloads, replay
from dashboard.triage.target_words import decisions_in_words
from dashboard.triage.versions import versions
from dashboard.triage.worklist import Place, places_of

PER_PAGE = 50
SHOWN = ("changes", "kept", "disputed", "all")


def edits(source: Source, desk: Desk, now: float) -> None:
    """Draw it."""
    decided = reads.decided(desk)
    decided = decided[decided["action"].isin(DECIDING)]
    st.markdown(f"###### {escape(tally(decided))}")
    if decided.empty:
        st.caption("Accept, relabel or drop examples in the queue; what will change is listed here.")
    else:
        with st.container(horizontal=True, gap="small", vertical_alignment="center"):
            downloads(desk)
            replay(desk)
        _diff(desk, decided, now)
    if decided.empty:
        replay(desk)
    st.divider()
    versions(source, desk, decided)


def views_of(by_author: Mapping[str, pd.DataFrame], places: Sequence[Place]) -> list[str]:
    """What each author wants of each place, from each author's `store.current_decisions`.

    >>> ada = pd.DataFrame({"split": ["train"], "position": [3], "action": ["drop"], "given": ["no"], "label": ["no"]})
    >>> views_of({"ada": ada, "bo": ada.assign(action="keep")}, [("train", 3)])
    ['ada: ✕ dropped · bo: ✓ kept']
    """
    said: dict[Place, list[str]] = {place: [] for place in places}
    for author, frame in by_author.items():
        for place, action, label in zip(places_of(frame), frame["action"], frame["label"], strict=True):
            if place in said and action in DECIDING:
                said[place].append(f"{author}: {becomes(action, label)}")
    return [" · ".join(said[place]) for place in places]


def _at(decisions: pd.DataFrame, places: Collection[Place]) -> pd.DataFrame:
    wanted = set(places)
    return decisions[[place in wanted for place in places_of(decisions)]]


def _diff(desk: Desk, decided: pd.DataFrame, now: float) -> None:
    is_disputed = decided["is_disputed"].astype(bool)
    parts = {
        "changes": decided[decided["action"] != "keep"],
        "kept": decided[decided["action"] == "keep"],
        "disputed": decided[is_disputed],
        "all": decided,
    }
    offered = [name for name in SHOWN if len(parts[name]) or name == "changes"]
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        which = tabs("Shown", offered, key="shown", write=lambda name: f"{name} {count(len(parts[name]))}")
        if which == "disputed":
            st.button(
                "Settle them in the queue", key="settle", on_click=ask, kwargs={"view": "Queue", "state": "disputed"}
            )  # fmt: skip
    part = parts[which].sort_values("at", ascending=False, kind="stable")
    offset = page_offset(len(part), PER_PAGE, key="edited", of=which)
    page = decisions_in_words(desk, part.iloc[offset : offset + PER_PAGE])
    columns = zip(page["action"], page["label"], page["text"], page["new_text"], strict=True)
    rows = [
        (becomes(action, label), *(text_diff(text, new) if isinstance(new, str) else (short(text, 300), "")))
        for action, label, text, new in columns
    ]
    changes = [what for what, _, _ in rows]
    if which == "disputed":
        authors = reads.progress(desk.path, desk.dataset).by_author["author"]
        places = places_of(page)
        by_author = {author: _at(reads.decided(desk, author), places) for author in authors}
        changes = views_of({author: decisions_in_words(desk, rows) for author, rows in by_author.items()}, places)
    has_texts, has_notes = bool(page["new_text"].notna().any()), bool(page["note"].notna().any())
    st.dataframe(
        pd.DataFrame(
            {
                "text": [text for _, text, _ in rows],
                **({"new text": [text for _, _, text in rows]} if has_texts else {}),
                "given": [short(str(name), 60) if pd.notna(name) else "(none)" for name in page["given"]],
                "change": changes,
                "author": [
                    f"{'⚑ ' if dispute else ''}{by}{f' +{n - 1}' if n > 1 else ''}"
                    for by, n, dispute in zip(page["author"], page["n_authors"], page["is_disputed"], strict=True)
                ],
                "when": [age(at, now) for at in page["at"]],
                **({"note": page["note"]} if has_notes else {}),
                "place": [f"{split} {at}" for split, at in zip(page["split"], page["position"], strict=True)],
            }
        ),
        column_config={
            "text": st.column_config.TextColumn("text", width=260 if has_texts else 350),
            "new text": st.column_config.TextColumn("new text", width=240),
            "given": st.column_config.TextColumn("labelled" if desk.label_names else "had", width=170),
            "change": st.column_config.TextColumn("becomes", width=340 if which == "disputed" else 180),
            "author": st.column_config.TextColumn(
                "author", width=100, help="Whose word is the newest. +1: one more said something. ⚑: they disagree."
            ),
            "when": st.column_config.TextColumn("when", width=80),
            "note": st.column_config.TextColumn("note", width=100),
            "place": st.column_config.TextColumn("place", width=88),
        },
        hide_index=True, height="content" if len(page) < 12 else 440, placeholder="", key="edits",
    )  # fmt: skip
    pager(len(part), PER_PAGE, key="edited")
