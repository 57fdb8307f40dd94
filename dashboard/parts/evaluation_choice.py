"""Which evaluation of a run is looked at: split and checkpoint."""

import streamlit as st

from dashboard import queries
from dashboard.address import put
from dashboard.formats import count, escape
from dashboard.parts.choices import tabs
from dashboard.source import Source
from store import Evaluation, Run


def evaluation_choice(source: Source, run: Run) -> Evaluation | None:
    """Controls for split and checkpoint; None, with the reason shown, if there is nothing to choose."""
    all_evaluations = queries.evaluations(source.path, run.key, run.version)
    if not all_evaluations or run.dataset_key is None:
        st.info(
            "No predictions were recorded for this run. `runner train` records them at every evaluation; a script of "
            "your own does with `recorder.evaluation(…, predictions=…)`.",
            icon=":material/info:",
        )
        return None
    splits = sorted({e.split for e in all_evaluations}, key=lambda split: (split != "validation", split))
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        split = tabs("Split", splits, key="split", write=escape)
        fitting = [e for e in all_evaluations if e.split == split]
        best = max(fitting, key=lambda e: (e.is_best, e.step))
        by_step = {e.step: e for e in fitting}
        step = _checkpoint(by_step, best)
    return by_step[step]


def _checkpoint(by_step: dict[int, Evaluation], best: Evaluation) -> int:
    """A menu of checkpoints, kept in the URL as `?step=number`; without one, the best."""
    asked = st.query_params.get("step", "")
    chosen = int(asked) if asked.isdigit() and int(asked) in by_step else best.step
    if st.session_state.get("checkpoint") != chosen:
        st.session_state["checkpoint"] = chosen

    def remember() -> None:
        chosen = st.session_state["checkpoint"]
        put(step=None if chosen == best.step else str(chosen))

    return st.selectbox(
        "Checkpoint",
        list(by_step),
        format_func=lambda at: _name(by_step[at]) if at in by_step else str(at),
        key="checkpoint",
        on_change=remember,
        width=220,
        label_visibility="collapsed",
    )


def _name(evaluation: Evaluation) -> str:
    when = f"epoch {evaluation.epoch:g}" if evaluation.epoch is not None else f"step {count(evaluation.step)}"
    if evaluation.step == 0:
        when += " (untrained)"
    return when + (" ★ best" if evaluation.is_best else "")
