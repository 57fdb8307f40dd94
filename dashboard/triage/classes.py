"""Classes: which label is taken for which, and how many labels of each class are wrong; a click asks the queue."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from dashboard.charts.triage import LARGEST, pair_chart
from dashboard.formats import UNKNOWN, count, escape
from dashboard.parts.drawing import draw_selectable
from dashboard.triage.asked import ask
from dashboard.triage.reads import Desk
from dashboard.triage.sentences import without_classes
from dashboard.triage.summary import Summary


def classes(desk: Desk, said: Summary) -> None:
    """Matrix beside table."""
    names = desk.label_names
    if said.unjudged:
        st.info(escape(without_classes(said.unjudged)), icon=":material/info:")
        return
    if not names or (said.pairs.empty and said.by_class.empty):
        st.info("No model has judged the labels, so nothing is known of their classes.", icon=":material/info:")
        return
    left, right = st.columns(2, gap="medium")
    with left:
        st.markdown("###### Wrong labels by pair · about how many, a click shows them")
        pair = _pairs(said.pairs, names)
    with right:
        st.markdown("###### Wrong labels by class · 95 % interval of the share")
        label = _by_class(said.by_class, names)
    if pair is not None:
        _offer(names, pair[0], pair[1])
    elif label is not None:
        _offer(names, label, None)


def _offer(names: Sequence[str], given: int, likely: int | None) -> None:
    words = f"labelled {names[given]}" + (f" that should be {names[likely]}" if likely is not None else "")
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(f"Examples **{escape(words)}**", width="content")
        asked = {"given": str(given), "likely": None if likely is None else str(likely)}
        st.button(
            "Look at them", type="primary", key="classes-queue", on_click=ask, kwargs={**asked, "view": "Queue"}
        )  # fmt: skip
        st.button("As a table", key="classes-table", on_click=ask, kwargs={**asked, "view": "Table"})


def _pairs(pairs: pd.DataFrame, names: Sequence[str]) -> tuple[int, int] | None:
    known = pairs[(pairs["given"] >= 0) & (pairs["likely"] >= 0)]
    if known.empty:
        st.caption("No pair of classes stands out.")
        return None
    if len(names) <= LARGEST:
        is_dark = st.context.theme.type == "dark"
        cells = draw_selectable(pair_chart, known, key="pairs", label_names=list(names), is_dark=is_dark)
        chosen = cells.get("pair", [])
        return (int(chosen[0]["given"]), int(chosen[0]["likely"])) if chosen else None
    st.caption(f"{len(names)} classes: the pairs with the most wrong labels.")
    top = known.sort_values("n", ascending=False, kind="stable").head(100).reset_index(drop=True)
    event = st.dataframe(
        pd.DataFrame(
            {
                "given": [names[i] for i in top["given"]],
                "likely": [names[i] for i in top["likely"]],
                "n": top["n"],
                "low": top["low"],
                "high": top["high"],
            }
        ),
        column_config={
            "given": st.column_config.TextColumn("labelled", width=170),
            "likely": st.column_config.TextColumn("should be", width=170),
            **_estimates("about"),
        },
        hide_index=True, height=470, on_select="rerun", selection_mode="single-row", key="pair-table",
    )  # fmt: skip
    rows = event["selection"]["rows"]
    return (int(top["given"][rows[0]]), int(top["likely"][rows[0]])) if rows else None


def _by_class(by_class: pd.DataFrame, names: Sequence[str]) -> int | None:
    known = by_class[by_class["label"] >= 0].sort_values("rate", ascending=False, kind="stable").reset_index(drop=True)
    event = st.dataframe(
        pd.DataFrame(
            {
                "label": [names[i] for i in known["label"]],
                "n": known["n"],
                "errors": known["n"] * known["rate"],
                "rate": 100 * known["rate"],
                "low": 100 * known["low"],
                "high": 100 * known["high"],
            }
        ),
        column_config={
            "label": st.column_config.TextColumn("class", width=164),
            "n": st.column_config.NumberColumn("n", format="%,.0f", width=56, help="Examples labelled so."),
            "errors": st.column_config.NumberColumn("wrong", format="%,.0f", width=64, help="About so many of them."),
            "rate": st.column_config.ProgressColumn("share", format="%.1f %%", min_value=0, max_value=100, width=100),
            "low": st.column_config.NumberColumn("from", format="%.1f", width=60, help="Percent, lower end."),
            "high": st.column_config.NumberColumn("to", format="%.1f", width=60, help="Percent, upper end."),
        },
        hide_index=True, height="content" if len(known) <= 14 else 500, placeholder=UNKNOWN, on_select="rerun",
        selection_mode="single-row", key="class-table",
    )  # fmt: skip
    st.caption(f"{count(len(known))} classes, the noisiest first.")
    rows = event["selection"]["rows"]
    return int(known["label"][rows[0]]) if rows else None


def _estimates(title: str) -> dict[str, Any]:
    number = st.column_config.NumberColumn
    return {
        "n": number(title, format="%,.0f", width=64),
        "low": number("from", format="%,.0f", width=60, help="Lower end of the 95 % interval."),
        "high": number("to", format="%,.0f", width=60, help="Upper end of the 95 % interval."),
    }
