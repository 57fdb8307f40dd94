"""What was taken for what: confusion matrix, quality of each class, and the examples behind a cell."""

import pandas as pd
import streamlit as st

from dashboard import queries
from dashboard.charts.classes import LARGEST, confusion_chart, confusion_frame, top_confusions
from dashboard.formats import UNKNOWN, escape, percent
from dashboard.parts.behind import behind, opening
from dashboard.parts.drawing import draw_selectable
from dashboard.parts.evaluation_choice import evaluation_choice
from dashboard.responses import CLASS_TASKS, RANK_TASK, SPAN_TASK
from dashboard.source import Source
from dashboard.tabs import examples, ranked_quality, span_quality, value_quality
from evals.classification import class_table
from store import Run


def render(source: Source, run: Run) -> None:
    """Matrix beside table; choosing a cell or a class shows its examples below."""
    chosen = evaluation_choice(source, run)
    if chosen is None or run.dataset_key is None:
        return
    if run.task == RANK_TASK:
        ranked_quality.render(source, chosen, run.dataset_key)
        return
    if run.task not in CLASS_TASKS:
        if run.task == SPAN_TASK and queries.responses(source.path, chosen, (0,)):
            span_quality.render(source, chosen, run.dataset_key)
        else:
            value_quality.render(source, run, chosen, run.dataset_key)
        return
    dataset = queries.dataset(source.path, run.dataset_key)
    names = dataset.label_names or ()
    confusion = queries.confusion(source.path, chosen, dataset.key)
    frame = confusion_frame(confusion, names)
    left, right = st.columns(2, gap="medium")
    with left:
        st.markdown(f"###### What was taken for what · n = {int(confusion.sum()):,}")
        if len(names) <= LARGEST:
            cell = _matrix(frame, names)
        else:
            st.caption(f"{len(names)} classes: the pairs confused most often.")
            cell = _confusions(frame)
    with right:
        st.markdown("###### Each class · 95 % interval of F1")
        label = _classes(class_table(confusion, names))
        behind(
            opening(source.path, "get_dataset", "get_evaluation", "get_run", "read_predictions", "read_targets")
            + f"\nrun = get_run(store, {run.id!r})\ndataset = get_dataset(store, run.dataset_key)"
            + f"\nevaluation = get_evaluation(store, run.key, {chosen.split!r}, {chosen.step})"
            + "\nfrom evals.classification import class_table, confusion_matrix"
            + f"\ngiven = read_targets(store, dataset, {chosen.split!r})"
            + "\npredicted = read_predictions(store, evaluation).predicted"
            + "\ntable = class_table(confusion_matrix(given, predicted, len(dataset.label_names)), dataset.label_names)"
        )
    given, predicted = cell if cell is not None else (label, None)
    if given is None:
        st.markdown("###### Examples it got wrong :gray[· choose a cell or a class to see its own]")
        examples.listing(source, chosen, names, {"wrong_only": True}, key="wrong-ones")
        return
    said = f"given {names[given]}" + (f", predicted {names[predicted]}" if predicted is not None else "")
    st.markdown(f"###### Examples {escape(said)}")
    examples.listing(source, chosen, names, {"given": given, "predicted": predicted}, key=f"cell-{given}-{predicted}")


def _matrix(frame: pd.DataFrame, names: tuple[str, ...]) -> tuple[int, int] | None:
    is_dark = st.context.theme.type == "dark"
    cells = draw_selectable(confusion_chart, frame, key="confusion", label_names=names, is_dark=is_dark).get("cell", [])
    return (int(cells[0]["given_index"]), int(cells[0]["predicted_index"])) if cells else None


def _confusions(frame: pd.DataFrame) -> tuple[int, int] | None:
    top = top_confusions(frame)
    event = st.dataframe(
        top[["given", "predicted", "n"]].assign(share=[percent(share) for share in top["share"]]),
        column_config={
            "n": st.column_config.NumberColumn("n", format="%,d", width=64),
            "share": st.column_config.TextColumn("of the given", alignment="right", width=96),
        },
        hide_index=True,
        height=420,
        on_select="rerun",
        selection_mode="single-row",
        key="confusions",
    )
    rows = event["selection"]["rows"]
    return (int(top.iloc[rows[0]]["given_index"]), int(top.iloc[rows[0]]["predicted_index"])) if rows else None


def _classes(table: pd.DataFrame) -> int | None:
    number = st.column_config.NumberColumn
    event = st.dataframe(
        table,
        column_config={
            "label": st.column_config.TextColumn("class", width=110),
            "n": number("n", format="%,d", width=64),
            "precision": number("precision", format="%.3f", width=84),
            "recall": number("recall", format="%.3f", width=76),
            "f1": st.column_config.ProgressColumn("F1", format="%.3f", min_value=0, max_value=1, width=120),
            "f1_low": number("from", format="%.3f", width=68, help="Lower end of the 95 % interval of F1."),
            "f1_high": number("to", format="%.3f", width=68, help="Upper end of the 95 % interval of F1."),
        },
        hide_index=True,
        height="content" if len(table) <= 12 else 420,
        placeholder=UNKNOWN,
        on_select="rerun",
        selection_mode="single-row",
        key="classes",
    )
    rows = event["selection"]["rows"]
    return int(rows[0]) if rows else None
