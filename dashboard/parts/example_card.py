"""One example: its text, where it occurs, and what every run said of it over checkpoints."""

import binascii
import json
from collections.abc import Sequence

import pandas as pd
import streamlit as st

from dashboard import queries
from dashboard.answers import Column, answer_html, compared_columns, written_html
from dashboard.charts.example import history_chart
from dashboard.formats import UNKNOWN, escape
from dashboard.named_texts import named_texts
from dashboard.parts.behind import behind, opening
from dashboard.parts.chips import labels, unlike_names
from dashboard.parts.drawing import draw
from dashboard.parts.notices import guarded
from dashboard.responses import target_text
from dashboard.source import Source
from dashboard.spans import is_span_target, marked, sentence_html
from store import Run

DRAWN = 10  # runs; the table below the chart has all


def example_card_if_asked(source: Source, runs: Sequence[Run]) -> None:
    """Open the card of the example that the URL names (`?example=ID`), beside the page."""
    asked = st.query_params.get("example")
    if not asked:
        return
    drawer = st.dialog("Example", width="large", position="right", on_dismiss=_forget)

    @drawer
    def card() -> None:
        with guarded(source.path):
            example_card(source, asked, runs)

    card()


def _forget() -> None:
    st.query_params.pop("example", None)
    st.session_state["n_closed"] = st.session_state.get("n_closed", 0) + 1


def example_card(source: Source, example_id: str, runs: Sequence[Run]) -> None:
    """The card itself. `runs` are those of the page: they come first and in their colours."""
    places = queries.places(source, example_id) if is_example_id(example_id) else pd.DataFrame()
    if places.empty:
        st.warning(f"There is no example {escape(example_id)} in this store.", icon=":material/search_off:")
        return
    if not _spans(source, example_id, places, runs) and not _answers(source, example_id, places, runs):
        _texts(source, example_id, places)
    history = queries.history(source, example_id)
    names = dict(zip((run.key for run in runs), labels(runs), strict=True))
    if not history.empty:
        _checkpoints(source, history, names)
    _training(source, places, runs, names)
    st.markdown("###### Where it occurs")
    st.dataframe(
        pd.DataFrame(
            {
                "dataset": [f"{row.dataset}@{row.version}" for row in places.itertuples()],
                "split": places["split"],
                "position": places["position"],
                "label": places["label"].astype("string"),
                "metadata": places["metadata"],
            }
        ).dropna(axis=1, how="all"),
        hide_index=True,
        height="content",
        placeholder=UNKNOWN,
    )
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.caption(f"id {example_id}: a hash of the inputs, the same in every version and store", width="content")
        behind(
            opening(source.path, "list_example_history", "list_example_places")
            + f"\nplaces = list_example_places(store, {example_id!r})"
            + f"\nhistory = list_example_history(store, {example_id!r})"
        )


def _texts(source: Source, example_id: str, places: pd.DataFrame) -> None:
    """Its text, or its texts by the names of their fields."""
    inputs = queries.inputs(source.path, (example_id,))[example_id]
    of = queries.dataset(source.path, int(places["dataset_key"].iloc[0])).source
    for name, text in named_texts(inputs, of) or [("", str(places["text"].iloc[0]))]:
        if name:
            st.caption(escape(name))
        st.code(text, language=None, wrap_lines=True)


def _spans(source: Source, example_id: str, places: pd.DataFrame, runs: Sequence[Run]) -> bool:
    """The sentence with its spans, as given and as the runs of the page have it; False where it has none."""
    place = next((row for row in places.to_dict("records") if is_span_target(row["label"])), None)
    tokens = queries.inputs(source.path, (example_id,))[example_id].get("tokens")
    if place is None or tokens is None:
        return False
    key, split, position = int(place["dataset_key"]), place["split"], int(place["position"])
    names = queries.dataset(source.path, key).label_names or ()
    lines = {"given": marked(json.loads(place["label"]), names)}
    for run in runs:
        evaluations = queries.evaluations(source.path, run.key, run.version) if run.dataset_key == key else []
        best = max((e for e in evaluations if e.split == split), key=lambda e: (e.is_best, e.step), default=None)
        said = queries.responses(source.path, best, (position,)) if best else {}
        if position in said:
            title = run.name if run.name not in lines else f"{run.name} ({run.id})"
            lines[title] = marked(said[position]["spans"], names)
    st.html(sentence_html(tokens, lines, names))
    return True


def _answers(source: Source, example_id: str, places: pd.DataFrame, runs: Sequence[Run]) -> bool:
    """What was asked, the right answer and what the runs of the page wrote; False where no answer is a text."""
    place = next((row for row in places.to_dict("records") if target_text(row["label"]) is not None), None)
    if place is None:
        return False
    given = target_text(place["label"])
    columns = [Column("given", compared_columns(None, given)[1].html)]
    key, split, position = int(place["dataset_key"]), place["split"], int(place["position"])
    for run in runs:
        evaluations = queries.evaluations(source.path, run.key, run.version) if run.dataset_key == key else []
        best = max((e for e in evaluations if e.split == split), key=lambda e: (e.is_best, e.step), default=None)
        said = (queries.responses(source.path, best, (position,)) if best else {}).get(position) or {}
        if "text" in said:
            columns.append(Column(run.name, written_html(given, said["text"])))
    st.html(answer_html(queries.inputs(source.path, (example_id,))[example_id], columns))
    return True


def is_example_id(text: str) -> bool:
    """Whether a text from the URL can be an example's id: 32 hexadecimal digits.

    >>> is_example_id("cdb80a9d4ba5e1da9b0bbb7ec50f21c1"), is_example_id("<script>")
    (True, False)
    """
    try:
        return len(binascii.unhexlify(text)) == 16
    except ValueError:
        return False


def _checkpoints(source: Source, history: pd.DataFrame, names: dict[int, str]) -> None:
    st.markdown("###### What the checkpoints said")
    by_epoch = history["epoch"].notna().all()
    keys = list(dict.fromkeys([*(k for k in names if (history["run_key"] == k).any()), *history["run_key"]]))
    drawn = keys[:DRAWN]
    of = history.drop_duplicates("run_key").set_index("run_key")
    unlike = unlike_names([(str(of.at[key, "run"]), str(of.at[key, "run_id"])) for key in drawn])
    shown = dict(zip(drawn, unlike, strict=True)) | {key: name for key, name in names.items() if key in drawn}
    part = history[history["run_key"].isin(drawn)]
    part = part.assign(
        x=part["epoch"] if by_epoch else part["step"],
        run=part["run_key"].map(shown),
        said=part["predicted"],
        is_right=part["predicted"] == part["given"],
    )
    columns = ["x", "p_given", "run", "said", "is_right"]
    x_title = "epoch" if by_epoch else "step"
    draw(history_chart, part[columns], key="card-history", x_title=x_title, runs=list(shown.values()), n_classes=None)
    if len(keys) > DRAWN:
        st.caption(f"{DRAWN} of {len(keys)} runs are drawn; the table has all of them.")
    order = {key: place for place, key in enumerate(keys)}
    table = history.assign(order=history["run_key"].map(order)).sort_values(["order", "step"], kind="stable")
    st.dataframe(
        pd.DataFrame(
            {
                "run": table["run"],
                "split": table["split"],
                "epoch": table["epoch"] if by_epoch else table["step"],
                "best": ["★" if best else "" for best in table["is_best"]],
                "given": table["given"],
                "predicted": table["predicted"],
                "verdict": [
                    "" if pd.isna(g) else "✓ right" if g == p else "✕ wrong"
                    for g, p in zip(table["given"], table["predicted"], strict=True)
                ],
                "p_given": table["p_given"],
                "p_predicted": table["p_predicted"],
            }
        ),
        column_config={
            "epoch": st.column_config.NumberColumn("epoch" if by_epoch else "step", format="%g", width=64),
            "best": st.column_config.TextColumn("best", width=48),
            "verdict": st.column_config.TextColumn("", width=76),
            "p_given": st.column_config.NumberColumn("p(given)", format="%.3f", width=80),
            "p_predicted": st.column_config.NumberColumn("p(predicted)", format="%.3f", width=96),
        },
        hide_index=True,
        height=min(320, 37 + 35 * len(table)),
        placeholder=UNKNOWN,
    )


def _training(source: Source, places: pd.DataFrame, runs: Sequence[Run], names: dict[int, str]) -> None:
    """Epochs of training, for runs that trained on this example."""
    parts = []
    for run in runs:
        mine = places[(places["dataset_key"] == run.dataset_key) & (places["split"] == "train")]
        if mine.empty or run.dataset_key is None:
            continue
        label_names = queries.dataset(source.path, run.dataset_key).label_names or ()
        label = mine["label"].iloc[0]
        if label not in label_names:
            continue
        given = label_names.index(label)
        seen = queries.dynamics(source.path, run.key, run.version, int(mine["position"].iloc[0]), given)
        said = [label_names[i] for i in seen["predicted"]]
        parts.append(seen.assign(x=seen["epoch"], run=names[run.key], said=said, is_right=seen["predicted"] == given))
    frame = pd.concat(parts) if parts else pd.DataFrame()
    if frame.empty:
        return
    st.markdown("###### While it was trained on")
    drawn = list(dict.fromkeys(frame["run"]))
    draw(history_chart, frame, key="card-training", x_title="epoch of training", runs=drawn, n_classes=None)
