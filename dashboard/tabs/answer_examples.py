"""What a model wrote beside what was to be said, with every measure of each answer, the worst first."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import streamlit as st

from dashboard import queries
from dashboard.answers import Column, answer_html, compared_columns, legend_html, tokens_html, written_html
from dashboard.formats import count, escape, is_known, number
from dashboard.outcomes import Positions, found_by, outcome
from dashboard.parts.behind import behind, opening
from dashboard.parts.choices import page_offset, pager, tabs
from dashboard.parts.example_list import open_example
from dashboard.source import Source
from evals.outcomes import Likelihoods, Texts
from store import Evaluation, Run

PER_PAGE = 10
DIFFERENCES, TOKENS = "differences", "likelihood"
ORDERS: Mapping[str, tuple[str, bool]] = {
    "highest loss": ("loss", False),
    "lowest F1": ("token_f1", True),
    "lowest ROUGE-L": ("rougeL", True),
    "as in the data": ("", True),
}
"""Order → which column it is by, and whether its low values come first."""
KINDS = ("any answer", "exact", "not exact", "F1 below 0.5", "ROUGE-L below 0.5", "empty", "not asked for")
Columns = Mapping[str, npt.NDArray[np.float64]]


def render(source: Source, run: Run, evaluation: Evaluation, dataset_key: int) -> None:
    """Filters → one page of examples, each with its prompt, the given answer and the written one."""
    found = outcome(source.path, evaluation, dataset_key)
    columns = dict(found.columns(), loss=found.loss) if isinstance(found, Texts) else {"loss": found.loss}
    positions, marks, with_epochs = _controls(source, evaluation, found if isinstance(found, Texts) else None, columns)
    if not len(positions):
        st.info("No example fits these filters.", icon=":material/filter_alt_off:")
        return
    offset = page_offset(len(positions), PER_PAGE, key="page", of=(evaluation, hash(positions.tobytes())))
    page = tuple(positions[offset : offset + PER_PAGE].tolist())
    said = queries.responses(source.path, evaluation, page)
    if any((said.get(at) or {}).get("tokens") for at in page) or marks == DIFFERENCES:
        st.html(legend_html(has_tokens=marks == TOKENS))
    before = epochs_of(source, run, evaluation, page) if with_epochs else {}
    rows = queries.rows_at(source.path, dataset_key, evaluation.split, page).set_index("position")
    inputs = queries.inputs(source.path, tuple(rows["example_id"]))
    for at in page:
        example_id = str(rows.at[at, "example_id"])
        given, answer = (found.given[at] if isinstance(found, Texts) else None), said.get(at) or {}
        shown = columns_of(given, answer, marks) if isinstance(found, Texts) else []
        asked = inputs[example_id]
        if not isinstance(found, Texts) and answer.get("tokens"):
            shown, asked = [Column("text", _cut_html(answer))], {}
        scores = {name: float(values[at]) for name, values in columns.items()}
        if (own := answer.get("answer")) and own["loss"] is not None:
            scores |= {"answer_loss": own["loss"]}
        _card(at, example_id, scores, answer_html(asked, shown, _earlier(before.get(at, []), given)))
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        pager(len(positions), PER_PAGE, key="page")
        words = f"{count(offset + 1)} to {count(offset + len(page))} of {count(len(positions))} examples"
        st.caption(words, width="content")
        behind(
            opening(
                source.path, "get_dataset", "get_evaluation", "get_run", "read_answers", "read_responses", "read_values"
            )
            + f"\nrun = get_run(store, {run.id!r})\ndataset = get_dataset(store, run.dataset_key)"
            + f"\nevaluation = get_evaluation(store, run.key, {evaluation.split!r}, {evaluation.step})"
            + "\nfrom evals.outcomes import outcome_of"
            + "\nsaid, loss = read_responses(store, evaluation), read_answers(store, evaluation).loss"
            + "\nfound = outcome_of(read_values(store, dataset, evaluation.split), said, loss)"
        )


def _controls(
    source: Source, evaluation: Evaluation, found: Texts | None, columns: Columns
) -> tuple[Positions, str, bool]:
    """Which examples in which order, what is marked in them, and whether earlier epochs are shown."""
    menus = st.columns([1.3, 1.3, 2, 1.7, 1.3] if found else [1.3, 2, 4.3], vertical_alignment="center")
    kind = KINDS[0]
    if found:
        with menus[0]:
            kind = st.selectbox(
                "Kind", KINDS, key="kind", bind="query-params", label_visibility="collapsed",
                help="What was not asked for is beyond the first examples that `generation.examples` has answered.",
            ) or KINDS[0]  # fmt: skip
    orders = [name for name, (column, _) in ORDERS.items() if not column or column in columns]
    with menus[1 if found else 0]:
        order = st.selectbox("Order", orders, key="order", bind="query-params", label_visibility="collapsed")
    with menus[2 if found else 1]:
        search = st.text_input(
            "Search", key="words", bind="query-params", placeholder="words in the prompt" if found else "words",
            label_visibility="collapsed", type="search",
        )  # fmt: skip
    marks, with_epochs = TOKENS, False
    if found:
        with menus[3]:
            marks = tabs("Marked", (DIFFERENCES, TOKENS), key="marks")
        with menus[4]:
            with_epochs = bool(st.toggle("Earlier epochs", key="epochs", bind="query-params"))
    positions = in_order(columns, order or "highest loss")
    if found:
        positions = positions[fitting(found, columns, kind)[positions]]
    if search:
        positions = positions[np.isin(positions, found_by(source.path, evaluation, search))]
    return positions, marks, with_epochs


def in_order(columns: Columns, order: str) -> Positions:
    """All positions, in an order of ORDERS; those of which it is not known come last.

    >>> columns = {"loss": np.array([1.0, np.nan, 2.0]), "token_f1": np.array([0.5, np.nan, 0.1])}
    >>> in_order(columns, "highest loss").tolist(), in_order(columns, "lowest F1").tolist()
    ([2, 0, 1], [2, 0, 1])
    """
    column, is_rising = ORDERS[order]
    if not column:
        return np.arange(len(columns["loss"]))
    by = columns[column] if is_rising else -columns[column]
    return np.argsort(np.where(np.isnan(by), np.inf, by), kind="stable")


def fitting(found: Texts, columns: Columns, kind: str) -> npt.NDArray[np.bool_]:
    """Which examples (n,) are of one of KINDS."""
    asked = np.array([said is not None for said in found.said], dtype=np.bool_)
    if kind == "empty":
        return np.array([said is not None and not said.strip() for said in found.said], dtype=np.bool_)
    with np.errstate(invalid="ignore"):
        return np.asarray(
            {
                "exact": columns["exact_match"] == 1,
                "not exact": columns["exact_match"] == 0,
                "F1 below 0.5": columns["token_f1"] < 0.5,
                "ROUGE-L below 0.5": columns["rougeL"] < 0.5,
                "not asked for": ~asked,
            }.get(kind, np.ones(len(asked), dtype=np.bool_))
        )


def columns_of(given: str | None, answer: Mapping[str, Any], marks: str) -> list[Column]:
    """The given answer and the written one; where they are recorded and asked for, the given one token by token."""
    shown = compared_columns(given, answer.get("text"))
    if marks == TOKENS and answer.get("tokens"):
        plain = compared_columns(None, answer.get("text"))
        return [Column("given", _cut_html(answer)), plain[1]]
    return shown


def _cut_html(answer: Mapping[str, Any]) -> str:
    """Tokens as far as they were recorded."""
    n_told = sum(nats is not None for _, nats in answer["tokens"])
    shown = answer.get("answer") or answer  # of a chat the loss is of all turns, and the last one is what is shown
    n_more = int(shown.get("n_tokens") or 0) - n_told
    more = f" <em>… and {count(n_more)} tokens more</em>" if n_more > 0 else ""
    return tokens_html(answer["tokens"]) + more


def _card(at: int, example_id: str, scores: Mapping[str, float], html: str) -> None:
    """A box with what an example scores, and what `dashboard.answers` made of it."""
    box = st.container(border=True, gap=None)
    with box.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.caption(escape(f"{count(at)} · {score_words(scores)}"), width="content")
        st.space("stretch")
        st.button(
            "", icon=":material/open_in_full:", key=f"open-{at}", type="tertiary", on_click=open_example,
            args=(example_id,), help="All that is known of it",
        )  # fmt: skip
    box.html(html)


def score_words(scores: Mapping[str, float]) -> str:
    """What an answer scores, in a line; what was not measured is left out.

    >>> score_words({"exact_match": 0.0, "token_f1": 0.5, "rougeL": 0.25, "loss": 1.5})
    '✕ not exact · F1 0.50 · ROUGE-L 0.25 · loss 1.500'
    >>> score_words({"loss": 1.5, "answer_loss": 0.25})
    'loss 1.500 of all that is learnt, 0.250 of this answer'
    """
    said = []
    if is_known(exact := scores.get("exact_match")):
        said.append("✓ exact" if exact else "✕ not exact")
    for name, title in (("token_f1", "F1"), ("rougeL", "ROUGE-L")):
        if is_known(value := scores.get(name)):
            said.append(f"{title} {number(value, 2)}")
    if is_known(loss := scores.get("loss")):
        own = scores.get("answer_loss")
        said.append(
            f"loss {number(loss)}" + (f" of all that is learnt, {number(own)} of this answer" if is_known(own) else "")
        )
    return " · ".join(said)


def epochs_of(
    source: Source, run: Run, evaluation: Evaluation, positions: Sequence[int]
) -> dict[int, list[tuple[str, str]]]:
    """Position → what was written in every other evaluation of the split: when, and the text."""
    found: dict[int, list[tuple[str, str]]] = {at: [] for at in positions}
    for each in queries.evaluations(source.path, run.key, run.version):
        if each.split != evaluation.split or each.step == evaluation.step:
            continue
        when = f"epoch {each.epoch:g}" if each.epoch is not None else f"step {count(each.step)}"
        title = f"{when}{' (untrained)' if each.step == 0 else ''}{' ★' if each.is_best else ''}"
        for at, answer in queries.responses(source.path, each, tuple(positions)).items():
            if answer and "text" in answer:
                found[at].append((title, answer["text"]))
    return found


def _earlier(said: Sequence[tuple[str, str]], given: str | None) -> list[Column]:
    return [Column(title, written_html(given, text)) for title, text in said]


def is_of_texts(source: Source, evaluation: Evaluation, dataset_key: int) -> bool:
    """Whether this view is the one for what an evaluation says."""
    return isinstance(outcome(source.path, evaluation, dataset_key), Texts | Likelihoods)
