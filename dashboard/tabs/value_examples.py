"""Examples whose predictions are no classes, the worst first: sets of labels, numbers, and what else a model says."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import streamlit as st

from dashboard import queries
from dashboard.formats import count
from dashboard.outcomes import found_by, outcome
from dashboard.parts.behind import behind, opening
from dashboard.parts.choices import page_offset, pager, select
from dashboard.parts.example_list import PER_PAGE, example_list, probability
from dashboard.responses import response_words, target_words
from dashboard.source import Source
from evals.outcomes import Outcome, Sets, Values
from store import Evaluation, Run

LOSS, AS_GIVEN = "highest loss", "as in the data"
TOO_HIGH, TOO_LOW, OFF, MISSED = "most too high", "most too low", "furthest off", "most labels wrong"

Positions = npt.NDArray[np.int64]


def render(source: Source, run: Run, evaluation: Evaluation, dataset_key: int) -> None:
    """Filters → one page of examples; any row opens the example."""
    names = queries.dataset(source.path, dataset_key).label_names or ()
    found = outcome(source.path, evaluation, dataset_key)
    has_sets = isinstance(found, Sets)
    columns = st.columns([1.4, 1.4, 2, 1.4, 1] if has_sets else [2, 1.4, 3.4], vertical_alignment="center")
    given = predicted = None
    if has_sets:
        with columns[0]:
            given = select("Given", range(len(names)), names, key="given", any_word="given: any")
        with columns[1]:
            predicted = select("Predicted", range(len(names)), names, key="predicted", any_word="predicted: any")
    with columns[2 if has_sets else 0]:
        search = st.text_input(
            "Search", key="words", bind="query-params", placeholder="words in the text", label_visibility="collapsed",
            type="search",
        )  # fmt: skip
    orders = orders_of(found)
    with columns[3 if has_sets else 1]:
        order = st.selectbox("Order", orders, key="order", bind="query-params", label_visibility="collapsed") or LOSS
    wrong_only = False
    if has_sets:
        with columns[4]:
            wrong_only = bool(st.toggle("Wrong only", key="wrong", bind="query-params"))
    chosen = in_order(found, order)
    if isinstance(found, Sets):
        chosen = chosen[fitting(found, given, predicted, wrong_only=wrong_only)[chosen]]
    if search:
        chosen = chosen[np.isin(chosen, found_by(source.path, evaluation, search))]
    listing(source, evaluation, dataset_key, names, chosen, key="worst")
    behind(
        opening(source.path, "get_evaluation", "get_run", "read_answers", "read_responses", "read_values")
        + f"\nrun = get_run(store, {run.id!r})"
        + f"\nevaluation = get_evaluation(store, run.key, {evaluation.split!r}, {evaluation.step})"
        + "\nsaid, loss = read_responses(store, evaluation), read_answers(store, evaluation).loss"
    )


def orders_of(found: Outcome) -> list[str]:
    """The orders that make sense of such predictions, the first one to begin with."""
    if isinstance(found, Sets):
        return [LOSS, MISSED, AS_GIVEN]
    return [LOSS, OFF, TOO_HIGH, TOO_LOW, AS_GIVEN] if isinstance(found, Values) else [LOSS, AS_GIVEN]


def in_order(found: Outcome, order: str) -> Positions:
    """All positions, in an order; those of which it is not known come last.

    >>> values = Values(np.array([1.0, 2.0, np.nan]), np.array([3.0, 1.0, 1.0]), np.array([0.1, 0.2, 0.3]))
    >>> in_order(values, TOO_LOW).tolist(), in_order(values, LOSS).tolist()
    ([1, 0, 2], [2, 1, 0])
    """
    if order == AS_GIVEN:
        return np.arange(len(found.loss))
    by = found.loss
    if isinstance(found, Values):
        error = found.said - found.given
        by = {OFF: np.abs(error), TOO_HIGH: error, TOO_LOW: -error}.get(order, by)
    elif isinstance(found, Sets) and order == MISSED:
        by = (found.given != found.said).sum(axis=1).astype(np.float64)
    return np.argsort(-np.where(np.isnan(by), -np.inf, by), kind="stable")


def fitting(found: Sets, given: int | None, predicted: int | None, *, wrong_only: bool) -> npt.NDArray[np.bool_]:
    """Which examples have these labels, given and predicted, and where asked which sets differ."""
    fits = np.ones(len(found.loss), dtype=bool)
    if given is not None:
        fits &= found.given[:, given] == 1
    if predicted is not None:
        fits &= found.said[:, predicted] == 1
    if wrong_only:
        fits &= (found.given != found.said).any(axis=1)
    return fits


def listing(
    source: Source, evaluation: Evaluation, dataset_key: int, names: Sequence[str], positions: Positions, *, key: str
) -> None:
    """One page of examples at these positions, in their order."""
    if not len(positions):
        st.info("No example fits these filters.", icon=":material/filter_alt_off:")
        return
    offset = page_offset(len(positions), PER_PAGE, key="page", of=(evaluation, hash(positions.tobytes())))
    wanted = tuple(positions[offset : offset + PER_PAGE].tolist())
    rows = queries.rows_at(source.path, dataset_key, evaluation.split, wanted).set_index("position").loc[list(wanted)]
    said = queries.responses(source.path, evaluation, wanted)
    loss = outcome(source.path, evaluation, dataset_key).loss
    shown = rows.reset_index().assign(
        given=[target_words(target, names) for target in rows["target"]],
        predicted=[response_words(said.get(at), names) for at in wanted],
        loss=loss[list(wanted)],
    )
    text = st.column_config.TextColumn
    columns = {"given": text("given", width=180), "predicted": text("predicted", width=220)}
    inputs = queries.inputs(source.path, tuple(shown["example_id"]))
    example_list(shown, {**columns, "loss": probability("loss")}, key=key, inputs=inputs)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        pager(len(positions), PER_PAGE, key="page")
        words = f"{count(offset + 1)} to {count(offset + len(wanted))} of {count(len(positions))} examples"
        st.caption(words, width="content")
