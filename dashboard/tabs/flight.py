"""The last steps before something went wrong, and the examples that were in their batches."""

import numpy as np
import pandas as pd
import streamlit as st

from dashboard import queries
from dashboard.charts.flight import flight_chart
from dashboard.formats import count, duration, escape, number, short
from dashboard.parts.behind import behind, opening
from dashboard.parts.choices import page_offset, pager, select
from dashboard.parts.drawing import draw
from dashboard.parts.example_list import PER_PAGE, example_list
from dashboard.rows import tuples
from dashboard.source import Source
from dashboard.triage.asked import rows_text
from store import Flight, Run

_CURVES = {"loss": "loss", "gradient_norm": "gradient norm", "learning_rate": "learning rate"}


def render(source: Source, run: Run) -> None:
    """Why the steps were kept → their curves → one step → the examples of its batch."""
    flights = queries.flights(source.path, run.key, run.version)
    if flights.empty:
        st.info(
            "Nothing went wrong in this run that steps were kept for: no spike, no NaN, no crash.",
            icon=":material/flight_land:",
        )
        return
    flight = queries.flight(source.path, _chosen_flight(flights, run.started_at or run.created_at))
    frame = flight.steps.frame()
    st.markdown(f"##### {escape(flight_sentence(flight))}")
    step = _chosen_step(flight, frame)
    for column, (name, title) in zip(st.columns(len(_CURVES)), _CURVES.items(), strict=True):
        with column:
            draw(flight_chart, curve(frame, name), key=f"flight-{name}", title=title, chosen=step)
    _examples(source, run, flight, step)


def flight_sentence(flight: Flight) -> str:
    """What happened, and what was kept; plain text."""
    first, last = int(flight.steps.rows["step"][0]), int(flight.steps.rows["step"][-1])
    reason = flight.reason[0].upper() + flight.reason[1:] if flight.reason else "Something went wrong"
    n = len(flight.steps.rows)
    kept = f"Kept is step {count(last)}" if n == 1 else f"Kept are the {count(n)} steps {count(first)} to {count(last)}"
    return f"{reason.rstrip('.')}. {kept}{'' if flight.segment == 1 else f', of segment {flight.segment}'}."


def curve(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """Columns step, value (nan: not finite or not measured), is_broken (measured, and no finite number)."""
    values = frame[name].to_numpy()
    is_finite = np.isfinite(values)
    is_broken = frame["has_ended"].to_numpy() & ~is_finite
    return pd.DataFrame({"step": frame["step"], "value": np.where(is_finite, values, np.nan), "is_broken": is_broken})


def step_name(row: pd.Series) -> str:
    """A step in a menu.

    >>> step_name(pd.Series({"step": 1057, "loss": 6.31, "has_ended": True, "n_examples": 32}))
    'step 1,057 · loss 6.310 · 32 examples'
    """
    value = number(row["loss"]) if np.isfinite(row["loss"]) else str(row["loss"])
    loss = f"loss {value}" if row["has_ended"] else "it never ended"
    return f"step {count(row['step'])} · {loss} · {count(row['n_examples'])} examples"


def _chosen_flight(flights: pd.DataFrame, began: float) -> int:
    """The newest, unless another is asked for."""
    keys = [int(key) for key in flights["key"]]
    if len(keys) == 1:
        return keys[0]
    names = [f"{duration(row.at - began)} in: {row.kind}, {short(row.reason, 90)}" for row in tuples(flights)]
    asked = select("Flight", keys[::-1], names[::-1], key="flight", any_word=f"the newest of {len(keys)}: {names[-1]}")
    return keys[-1] if asked is None else asked


def _chosen_step(flight: Flight, frame: pd.DataFrame) -> int:
    """Where it went wrong, unless another is asked for."""
    steps = [int(step) for step in frame["step"]]
    default = flight.step if flight.step in steps else steps[-1]
    names = [step_name(row) for _, row in frame.iterrows()]
    name = names[steps.index(default)]
    with st.columns([2, 3])[0]:
        asked = select("Step", steps[::-1], names[::-1], key="at", any_word=f"{name} (where it went wrong)")
    return default if asked is None else asked


def _examples(source: Source, run: Run, flight: Flight, step: int) -> None:
    n_kept, row = len(flight.steps.of(step)), flight.steps.rows[flight.steps.rows["step"] == step][-1]
    n_examples = int(row["n_examples"])
    st.markdown(f"###### Examples that step {count(step)} trained on · n = {count(n_examples)}")
    if n_kept < n_examples:
        st.caption(f"The first {count(n_kept)} are known.")
    if run.dataset_key is None:
        st.caption("Recorded without a dataset.")
        return
    offset = page_offset(n_kept, PER_PAGE, key="page", of=(flight.key, step))
    page = queries.flight_examples(source.path, flight.key, step, PER_PAGE, offset)
    example_list(
        page, {"label": st.column_config.TextColumn("label", width="small")}, key=f"flight-{flight.key}-{step}",
        inputs=queries.inputs(source.path, tuple(page["example_id"])),
    )  # fmt: skip
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        pager(n_kept, PER_PAGE, key="page")
        st.caption("Choose a row to see the example and what was said of it over time.", width="content")
        st.page_link(
            "views/triage.py", label="These examples in triage", icon=":material/troubleshoot:", width="content",
            query_params={
                "data": str(queries.dataset(source.path, run.dataset_key)),
                "rows": rows_text("train", flight.steps.of(step).tolist()),
                "state": "all",
            },
        )  # fmt: skip
        behind(
            opening(source.path, "get_flight", "list_flight_examples")
            + f"\nflight = get_flight(store, {flight.key})\nsteps = flight.steps.frame()"
            + f"\nexamples = list_flight_examples(store, flight, {step})"
        )
