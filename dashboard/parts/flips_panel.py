"""Examples that two runs judge differently: broken and fixed first."""

from collections.abc import Sequence

import streamlit as st

from dashboard.formats import count, escape
from dashboard.pairing import flip_counts, flips_page
from dashboard.parts.behind import behind, opening
from dashboard.parts.choices import pager, select, tabs
from dashboard.parts.example_list import PER_PAGE, example_list, probability
from dashboard.parts.verdict_panel import best_evaluation
from dashboard.source import Source
from store import Run

KINDS = ("broken", "fixed", "both wrong", "differ")
_HELP = {
    "broken": "{a} right, {b} wrong",
    "fixed": "{a} wrong, {b} right",
    "both wrong": "both wrong",
    "differ": "{a} and {b} say different things",
}


def flips_panel(
    source: Source, runs: tuple[Run, Run], names: tuple[str, str], split: str, label_names: Sequence[str]
) -> None:
    """Filters → one page of examples, the largest change in loss first; any row opens the example."""
    a, b = (best_evaluation(source, run, split) for run in runs)
    if a is None or b is None:
        return
    left, middle, right = st.columns([2.2, 1, 1.2], vertical_alignment="center")
    with middle:
        label = select("Label", range(len(label_names)), label_names, key="label", any_word="label: any")
    with right:
        search = st.text_input(
            "Search",
            key="words",
            bind="query-params",
            placeholder="words in the text",
            label_visibility="collapsed",
            type="search",
        )
    counts = flip_counts(source.path, a, b, label, search or None)
    with left:
        kind = tabs("Kind", KINDS, key="kind", write=lambda kind: f"{kind} {count(counts[kind])}")
    offset = pager_offset(source, counts[kind])
    filters = {"kind": kind, "label": label, "search": search or None}
    frame = flips_page(source, a, b, filters, PER_PAGE, offset)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        meaning = escape(_HELP[kind].format(a=names[0], b=names[1]))
        st.caption(f"{meaning} · the largest change in loss first", width="content")
        behind(
            opening(source.path, "get_evaluation", "list_flips")
            + f"\na = get_evaluation(store, {a.run_key}, {split!r}, {a.step})"
            + f"\nb = get_evaluation(store, {b.run_key}, {split!r}, {b.step})"
            + f"\nflips = list_flips(store, a, b, kind={kind!r}, label={label!r}, search={search or None!r})"
        )
    if frame.empty:
        st.info("No example of this kind fits.", icon=":material/filter_alt_off:")
        return
    said = frame.assign(
        gold=[label_names[i] for i in frame["gold"]],
        predicted_a=[_said(label_names, i, gold) for i, gold in zip(frame["predicted_a"], frame["gold"], strict=True)],
        predicted_b=[_said(label_names, i, gold) for i, gold in zip(frame["predicted_b"], frame["gold"], strict=True)],
    )
    text = st.column_config.TextColumn
    example_list(
        said,
        {
            "gold": text("label", width="small"),
            "predicted_a": text(f"{names[0]} said", width="small"),
            "p_a": probability("p", f"What {names[0]} gave its own answer."),
            "predicted_b": text(f"{names[1]} said", width="small"),
            "p_b": probability("p", f"What {names[1]} gave its own answer."),
        },
        key="flips",
    )
    pager(counts[kind], PER_PAGE, key="page")


def pager_offset(source: Source, n_rows: int) -> int:
    """Where the page chosen below begins; back at the first page when the filters leave fewer."""
    asked = st.session_state.get("page") or st.query_params.get("page", "1")
    page = int(asked) if str(asked).isdigit() else 1
    n_pages = max(1, -(-n_rows // PER_PAGE))
    return (min(max(1, page), n_pages) - 1) * PER_PAGE


def _said(label_names: Sequence[str], index: int, gold: int) -> str:
    shape = "✓" if index == gold else "✕"
    return f"{shape} {label_names[index]}" if 0 <= index < len(label_names) else "✕ no answer"
