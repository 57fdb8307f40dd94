"""Examples that two runs judge differently: broken and fixed first."""

from collections.abc import Sequence

import streamlit as st

from dashboard import queries
from dashboard.formats import count, escape
from dashboard.pairing import Pairing, flip_counts, flips_page
from dashboard.parts.behind import behind, opening
from dashboard.parts.choices import page_offset, pager, select, tabs
from dashboard.parts.example_list import PER_PAGE, example_list, probability
from dashboard.source import Source

KINDS = ("broken", "fixed", "both wrong", "differ")
_HELP = {
    "broken": "{a} right, {b} wrong",
    "fixed": "{a} wrong, {b} right",
    "both wrong": "both wrong",
    "differ": "{a} and {b} say different things",
}


def flips_panel(source: Source, found: Pairing, names: tuple[str, str], label_names: Sequence[str]) -> None:
    """Filters → one page of examples, the largest change in loss first; any row opens the example."""
    a, b = found.a, found.b
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
    counts = flip_counts(source.path, found, label, search or None)
    with left:
        kind = tabs("Kind", KINDS, key="kind", write=lambda kind: f"{kind} {count(counts[kind])}")
    filters = {"kind": kind, "label": label, "search": search or None}
    offset = page_offset(counts[kind], PER_PAGE, key="page", of=(a, b, filters))
    frame = flips_page(source, a, b, filters, PER_PAGE, offset)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        meaning = escape(_HELP[kind].format(a=names[0], b=names[1]))
        st.caption(f"{meaning} · the largest change in loss first", width="content")
        behind(
            opening(source.path, "get_evaluation", "list_flips")
            + f"\na = get_evaluation(store, {a.run_key}, {a.split!r}, {a.step})"
            + f"\nb = get_evaluation(store, {b.run_key}, {b.split!r}, {b.step})"
            + f"\nflips = list_flips(store, a, b, kind={kind!r}, label={label!r}, search={search or None!r})"
        )
    if frame.empty:
        st.info("No example of this kind fits.", icon=":material/filter_alt_off:")
        return
    said = frame.assign(
        gold=[_label(label_names, i) for i in frame["gold"]],
        predicted_a=[_said(label_names, i, gold) for i, gold in zip(frame["predicted_a"], frame["gold"], strict=True)],
        predicted_b=[_said(label_names, i, gold) for i, gold in zip(frame["predicted_b"], frame["gold"], strict=True)],
    )
    text = st.column_config.TextColumn
    example_list(
        said,
        {
            "gold": text("label", width="small"),
            "predicted_a": text(f"{names[0]} said", width=130),
            "p_a": probability("prob.", f"The probability that {escape(names[0])} gave its own answer."),
            "predicted_b": text(f"{names[1]} said", width=130),
            "p_b": probability("prob.", f"The probability that {escape(names[1])} gave its own answer."),
        },
        key="flips",
        inputs=queries.inputs(source.path, tuple(said["example_id"])),
    )
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        pager(counts[kind], PER_PAGE, key="page")
        last = count(offset + len(frame))
        st.caption(f"{count(offset + 1)} to {last} of {count(counts[kind])} examples", width="content")


def _label(label_names: Sequence[str], index: float) -> str:
    """The label of an index; nan, or one that the data do not name, is unknown."""
    return label_names[int(index)] if 0 <= index < len(label_names) else "unknown"


def _said(label_names: Sequence[str], index: float, gold: float) -> str:
    if not 0 <= index < len(label_names):
        return "✕ no answer"
    shape = "" if gold != gold else "✓ " if index == gold else "✕ "
    return f"{shape}{_label(label_names, index)}"
