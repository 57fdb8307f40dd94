"""Examples that two runs without classes answer differently: what became better and what worse, the most first."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import streamlit as st

from dashboard import queries
from dashboard.answers import Column, answer_html, compared_columns, list_html, written_html
from dashboard.formats import count, escape, number, signed
from dashboard.outcomes import Paired, Positions, found_by, paired
from dashboard.parts.choices import page_offset, pager, tabs
from dashboard.parts.example_list import PER_PAGE, example_list, open_example
from dashboard.parts.values_panel import Meeting
from dashboard.rankings import relevance_words, shown_documents
from dashboard.responses import response_words, target_words
from dashboard.source import Source
from dashboard.spans import Marked, legend_html, sentence_html
from evals.outcomes import Likelihoods, Measure, Outcome, Ranked, Spans, Texts

KINDS = ("worse", "better", "all")
CARDS = 10
"""Examples on a page where each is drawn with its texts."""
FIRST_PLACES = 5
"""Documents of a query that are shown in the order of either run; relevant ones behind them are, too."""


def changes_panel(source: Source, meeting: Meeting, names: tuple[str, str]) -> None:
    """Measure and kind → one page of examples, the largest change first; any of them opens the example."""
    both = paired(source.path, meeting.a, meeting.b, meeting.dataset_a.key, meeting.dataset_b.key)
    measures = list(zip(both.a.measures(), both.b.measures(), strict=True))
    left, middle, right = st.columns([2.2, 1.2, 1.2], vertical_alignment="center")
    with middle:
        titles = [ours.title for ours, _ in measures]
        title = st.selectbox("By", titles, key="by", bind="query-params", label_visibility="collapsed") or titles[0]
    with right:
        search = st.text_input(
            "Search", key="words", bind="query-params", placeholder="words in the text", label_visibility="collapsed",
            type="search",
        )  # fmt: skip
    ours, theirs = measures[titles.index(title)]
    gain = gains(ours, theirs)
    if search:
        gain = np.where(np.isin(both.positions_a, found_by(source.path, meeting.a, search)), gain, np.nan)
    counts = {kind: len(rows_of(gain, kind)) for kind in KINDS}
    with left:
        kind = tabs("Kind", KINDS, key="kind", write=lambda kind: f"{kind} {count(counts[kind])}")
    rows = rows_of(gain, kind)
    st.caption(escape(f"{names[1]} against {names[0]}, by {title}: the largest change first"))
    if not len(rows):
        st.info("No example of this kind fits.", icon=":material/filter_alt_off:")
        return
    is_drawn = isinstance(both.a, Texts | Spans | Likelihoods | Ranked)
    per_page = CARDS if is_drawn else PER_PAGE
    offset = page_offset(len(rows), per_page, key="page", of=(meeting.a, meeting.b, title, kind, search))
    page = rows[offset : offset + per_page]
    if is_drawn:
        _cards(source, meeting, both, page, (ours, theirs), names)
    else:
        _table(source, meeting, both, page, (ours, theirs), names)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        pager(len(rows), per_page, key="page")
        words = f"{count(offset + 1)} to {count(offset + len(page))} of {count(len(rows))} examples"
        st.caption(words, width="content")


def gains(ours: Measure, theirs: Measure) -> npt.NDArray[np.float64]:
    """How much better B is at each example (n,), below 0 where it is worse; nan where one of them was not measured.

    >>> gains(Measure("loss", np.array([2.0, 1.0]), False), Measure("loss", np.array([1.5, np.nan]), False)).tolist()
    [0.5, nan]
    """
    return (theirs.values - ours.values) * (1 if ours.higher_is_better else -1)


def rows_of(gain: npt.NDArray[np.float64], kind: str) -> Positions:
    """The rows of one of KINDS, the largest change first.

    >>> gain = np.array([0.1, -2.0, 0.0, np.nan, 3.0])
    >>> [rows_of(gain, kind).tolist() for kind in KINDS]
    [[1], [4, 0], [4, 1, 0, 2]]
    """
    with np.errstate(invalid="ignore"):
        fits = {"worse": gain < 0, "better": gain > 0}.get(kind, ~np.isnan(gain))
    rows = np.flatnonzero(fits)
    return rows[np.argsort(-np.abs(gain[rows]), kind="stable")]


Sides = tuple[Measure, Measure]


def _cards(
    source: Source, meeting: Meeting, both: Paired, page: Positions, measures: Sides, names: tuple[str, str]
) -> None:
    """Each example in a box: what was asked, and what both said of it."""
    stored = _stored(source, meeting, both.positions_a[page])
    inputs = queries.inputs(source.path, tuple(stored["example_id"]))
    if isinstance(both.a, Spans):
        st.html(legend_html(both.a.types))
    for row, example_id in zip(page.tolist(), stored["example_id"], strict=True):
        with st.container(border=True, gap=None):
            with st.container(horizontal=True, vertical_alignment="center", gap="small"):
                st.caption(escape(_scored(measures, row, int(both.positions_a[row]))), width="content")
                st.space("stretch")
                st.button(
                    "", icon=":material/open_in_full:", key=f"open-{row}", type="tertiary", on_click=open_example,
                    args=(example_id,), help="All that is known of it",
                )  # fmt: skip
            if isinstance(both.a, Ranked) and isinstance(both.b, Ranked):
                st.html(_orders_html(source, meeting, both, row, names))
            else:
                st.html(said_html(inputs[example_id], both.a, both.b, row, names))


def said_html(inputs: Mapping[str, Any], a: Outcome, b: Outcome, row: int, names: Sequence[str]) -> str:
    """One example with what is given and what both runs said."""
    if isinstance(a, Spans) and isinstance(b, Spans):
        lines = {"given": a.given[row], f"A {names[0]}": a.said[row], f"B {names[1]}": b.said[row]}
        marked = {title: [Marked(span) for span in spans] for title, spans in lines.items()}
        return sentence_html(inputs.get("tokens", ()), marked, a.types)
    if isinstance(a, Texts) and isinstance(b, Texts):
        given = a.given[row]
        plain = compared_columns(None, given)[1].html
        written = [Column(name, written_html(given, each.said[row])) for name, each in zip(names, (a, b), strict=True)]
        return answer_html(inputs, [Column("given", plain), *written])
    return answer_html(inputs, [])


def _orders_html(source: Source, meeting: Meeting, both: Paired, row: int, names: tuple[str, str]) -> str:
    """The query of a document, and its first documents in the order of either run."""
    assert isinstance(both.a, Ranked), "only they are put in order"
    assert isinstance(both.b, Ranked), "only they are put in order"
    query = int(both.a.query[row])
    columns, asked = [], ""
    for name, each in zip(names, (both.a, both.b._replace(query=both.a.query)), strict=True):
        rows = shown_documents(each, query, FIRST_PLACES)
        stored = _stored(source, meeting, both.positions_a[rows])
        inputs = queries.inputs(source.path, tuple(stored["example_id"]))
        texts = [inputs[example_id] for example_id in stored["example_id"]]
        asked = str(texts[0].get("query", ""))
        lines = zip(relevance_words(both.a.given[rows].tolist()), texts, strict=True)
        columns.append(Column(name, list_html([f"{given} · {text.get('document', '')}" for given, text in lines])))
    return answer_html({"query": asked}, columns)


def _scored(measures: Sides, row: int, position: int) -> str:
    ours, theirs = (float(each.values[row]) for each in measures)
    title, digits = measures[0].title, 0 if measures[0].is_count else 3
    change = signed(theirs - ours, digits)
    return f"{count(position)} · {title} {number(ours, digits)} → {number(theirs, digits)} ({change})"


def _table(
    source: Source, meeting: Meeting, both: Paired, page: Positions, measures: Sides, names: tuple[str, str]
) -> None:
    positions = both.positions_a[page]
    stored = _stored(source, meeting, positions)
    label_names = meeting.dataset_a.label_names or ()
    said = [
        queries.responses(source.path, evaluation, tuple(places[page].tolist()))
        for evaluation, places in ((meeting.a, both.positions_a), (meeting.b, both.positions_b))
    ]
    title, form = measures[0].title, "%d" if measures[0].is_count else "%.3f"
    shown = stored.assign(
        given=[target_words(target, label_names) for target in stored["target"]],
        said_a=[response_words(said[0].get(at), label_names) for at in positions.tolist()],
        said_b=[response_words(said[1].get(at), label_names) for at in both.positions_b[page].tolist()],
        measure_a=measures[0].values[page],
        measure_b=measures[1].values[page],
    )
    text, value = st.column_config.TextColumn, st.column_config.NumberColumn
    columns = {
        "given": text("given", width=130),
        "said_a": text(f"{names[0]} said", width=150),
        "measure_a": value(title, format=form, width=92, help=f"Of {escape(names[0])}."),
        "said_b": text(f"{names[1]} said", width=150),
        "measure_b": value(title, format=form, width=92, help=f"Of {escape(names[1])}."),
    }
    example_list(shown, columns, key="changes", inputs=queries.inputs(source.path, tuple(shown["example_id"])))


def _stored(source: Source, meeting: Meeting, positions: Positions) -> pd.DataFrame:
    """The rows of A's data at these positions, in their order."""
    wanted = tuple(positions.tolist())
    rows = queries.rows_at(source.path, meeting.dataset_a.key, meeting.a.split, wanted).set_index("position")
    return rows.loc[list(wanted)].reset_index()
