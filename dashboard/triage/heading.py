"""The top of the page: which data set, what is wrong with it in a sentence, and what that was made from."""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard import queries, work_queries
from dashboard.address import only
from dashboard.formats import age, count, escape
from dashboard.parts.behind import behind, opening
from dashboard.parts.header import freshness_line
from dashboard.rows import tuples
from dashboard.source import Source
from dashboard.triage import reads
from dashboard.triage.reads import Desk
from dashboard.triage.sentences import headline, not_looked_for
from dashboard.triage.summary import Summary
from dashboard.triage.wrong import by_kind

LEAST_ERRORS = 1.0
"""Fewer wrong labels than this, and the precision of finding them means nothing."""


def heading(source: Source, desk: Desk, said: Summary, bar: DeltaGenerator) -> None:
    """Draw it; `bar` is the row of the menu of data sets."""
    counts = by_kind(reads.findings(desk))
    found = dict(zip(counts["kind"], counts["n"].astype(int), strict=True))
    with st.container(key="triage-headline"):
        st.markdown(f"##### {escape(headline(said, desk.label_names, found))}")
    with bar:
        st.caption(escape(made_from(desk, time.time())), width="content")
        _parent(source, desk)
        _how_measured(desk, said)
        behind(
            opening(source.path, "get_dataset", "get_triage", "list_queue")
            + f"\ndataset = get_dataset(store, {str(desk.dataset)!r})"
            + f"\ntriage = get_triage(store, {desk.triage.id!r})"
            + "\nprint(triage.summary)\nqueue = list_queue(store, triage, dataset, limit=200)"
        )
        st.space("stretch")
        freshness_line(source)


def _parent(source: Source, desk: Desk) -> None:
    """The version that this one was made from, where its decisions and the proof are."""
    if desk.dataset.parent_key is None:
        return
    parent = str(queries.dataset(source.path, desk.dataset.parent_key))

    def go_there() -> None:
        only(data=parent, view="Edits")

    st.button(
        escape(f"made from {parent}"), icon=":material/history:", type="tertiary", key="triage-parent",
        on_click=go_there, help="What was decided there, and what it was worth",
    )  # fmt: skip


def made_from(desk: Desk, now: float) -> str:
    """What the triage looked at and when, plain text."""
    sizes = ", ".join(f"{count(n)} {split}" for split, n in desk.dataset.n_rows.items())
    found = listed_sources(desk.triage.sources)
    return f"{sizes} · triaged {age(desk.triage.ended_at, now)} from {found or 'the texts alone'}"


def listed_sources(sources: Sequence[Mapping[str, Any]]) -> str:
    """What a triage looked at beside the texts, counted by kind; empty for nothing.

    >>> listed_sources([{"kind": "run"}, {"kind": "run"}, {"kind": "encoder", "name": "builtin:minilm"}])
    '2 runs and builtin:minilm'
    """
    kinds = [str(source.get("kind")) for source in sources]
    n_runs, n_crossvals = kinds.count("run"), kinds.count("opinion") + kinds.count("crossval")
    parts = [f"{count(n_runs)} {'run' if n_runs == 1 else 'runs'}"] if n_runs else []
    parts += [f"{count(n_crossvals)} {'crossval' if n_crossvals == 1 else 'crossvals'}"] if n_crossvals else []
    parts += [str(source.get("name")) for source in sources if source.get("kind") == "encoder"]
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}" if parts else ""


def _how_measured(desk: Desk, said: Summary) -> None:
    with st.popover("How", type="tertiary", icon=":material/science:", help="How the scores compare on this data"):
        if said.default:
            st.markdown(f"The queue is sorted by **{escape(reads.voice_name(said.default, desk.triage))}**.")
        known = said.scores.dropna(subset=["average_precision"])
        if len(known) and said.n_errors.value < LEAST_ERRORS:
            st.caption("Hardly a wrong label is expected here, so how well the scores find them cannot be told.")
        elif len(known):
            st.caption(
                f"{count(said.n_canaries)} labels were flipped, on paper or in a copy that was trained on and thrown "
                "away, to measure every score on this data: average precision of finding wrong labels, with its 95 % "
                "interval."
            )
            names = [reads.voice_name(name, desk.triage) for name in known["score"]]
            shown = known.assign(score=names, of=_seen(known["in_sample"]))
            st.dataframe(
                shown[["score", "average_precision", "low", "high", "precision_at_errors", "of"]],
                column_config={
                    "score": st.column_config.TextColumn("score", width=210),
                    "average_precision": st.column_config.NumberColumn("AP", format="%.3f", width=64),
                    "low": st.column_config.NumberColumn("from", format="%.3f", width=64),
                    "high": st.column_config.NumberColumn("to", format="%.3f", width=64),
                    "precision_at_errors": st.column_config.NumberColumn(
                        "precision", format="%.3f", width=80, help="Among as many examples as there are errors."
                    ),
                    "of": st.column_config.TextColumn(
                        "", width=90, help="In-sample: by a model that was trained on the labels it is asked about."
                    ),
                },
                hide_index=True, height="content" if len(known) < 12 else 420, key="triage-scores",
            )  # fmt: skip
        lacking = not_looked_for(said.missing)
        if lacking:
            st.caption(escape(lacking))


def _seen(in_sample: Iterable[Any]) -> list[str]:
    return ["in-sample" if each else "" for each in in_sample]


def choose_dataset(source: Source, bar: DeltaGenerator) -> int | None:
    """A menu of data sets, those with a triage first, into a row; kept in the URL as `?data=NAME@V`. None: no data."""
    known, found = work_queries.datasets(source), reads.triages(source)
    triaged = list(dict.fromkeys(found["dataset_key"].astype(int).tolist()))
    keys = [*triaged, *(key for key in known["key"].astype(int).tolist() if key not in triaged)]
    names = {int(row.key): f"{row.name}@{row.version}" for row in tuples(known)}
    keys = [key for key in keys if key in names]
    if not keys:
        return None
    asked = st.query_params.get("data")
    wanted = next((key for key in keys if names[key] == asked), keys[0])
    if st.session_state.get("triage-data") != wanted:
        st.session_state["triage-data"] = wanted

    def remember() -> None:
        only(data=names[st.session_state["triage-data"]])

    with bar:
        chosen: int = st.selectbox(
            "Data set", keys, key="triage-data", format_func=lambda key: names.get(key, str(key)), on_change=remember,
            label_visibility="collapsed", width=240,
        )  # fmt: skip
        if asked and asked != names[chosen]:
            st.caption(f"There is no data set {escape(asked)} here.", width="content")
    return chosen
