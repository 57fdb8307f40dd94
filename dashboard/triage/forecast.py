"""What going on will find: the budget and what it promises, how far the review is, and when to stop.

It stands above the example and is worked out after it was drawn, so that no key waits for it.
"""

import time

import numpy as np
import streamlit as st

from dashboard.charts.triage import yield_chart
from dashboard.formats import count, escape, is_known
from dashboard.parts.drawing import draw
from dashboard.triage import reads, sentences
from dashboard.triage.budget import WORTH, expected, found_so_far
from dashboard.triage.session import LOOKS, MOST_LOOKS, Forecast, Review, budget, current_review, set_budget
from dashboard.triage.summary import Summary
from evals.triage.stopping import Outlook

LEAST_SECONDS = 1.5
"""The forecast takes a tenth of a second for 100,000 examples: whoever decides faster than this sees that of a moment
ago, and never waits for it."""
MOST_CURVE = 5
"""The curve is drawn to so many times the budget."""


def forecast_bar(now: Review) -> None:
    """Draw it."""
    said = reads.summary(now.desk.path, now.desk.triage.key, now.desk.label_names)
    forecast = _forecast(now, said)
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="triage-budget"):
        st.markdown("I can look at", width="content")
        st.number_input(
            "Budget", 1, MOST_LOOKS, budget(), step=50, key=LOOKS, label_visibility="collapsed", width=112,
            on_change=_set_budget,
        )  # fmt: skip
        st.markdown(escape(promise(now, None if forecast is None else forecast.rest)), width="content")
        st.space("stretch")
        how_far = reads.progress(now.desk.path, now.desk.dataset)
        n, n_found = how_far.n_decided - how_far.n_earlier, how_far.n_found - how_far.n_found_earlier
        st.caption(
            escape(sentences.progress(n, n_found, reads.rate_of(how_far), how_far.n_earlier)), width="content"
        )  # fmt: skip
    if forecast is not None:
        _when_to_stop(now, said, forecast.whole)


def promise(now: Review, rest: Outlook | None) -> str:
    """What the rest of the list is expected to hold, plain text."""
    n, is_begun = len(now.work.to_go), bool(now.work.done)
    if rest is None or (now.filters.kinds and now.filters.kinds != ("label_error",)):
        return f"{count(n)} of them {'are left' if is_begun else 'wait'}" if n else "nothing is left"
    words = sentences.budget(n, rest.next_errors, n)
    return f"{count(n)} to go: {words}" if is_begun and n else words


def _forecast(now: Review, said: Summary) -> Forecast | None:
    """Worked out again where something was decided since; None where no label was judged, or how many are wrong cannot
    be told."""
    chance = reads.column(now.desk.path, now.desk.triage.key, "train", "chance")
    if chance is None or not is_known(said.n_errors.value):
        return None
    key, at = (now.work.of, now.n_changes), time.monotonic()
    if now.forecast is None or (now.forecast.key != key and at - now.forecast.at > LEAST_SECONDS):
        rest = [position for split, position in now.work.to_go if split == "train"]
        known = (np.asarray(chance, dtype=np.float64), now.is_wrong, now.is_gone, said.n_errors)
        now.forecast = Forecast(
            key, at, expected(*known, n_next=max(1, len(rest)), rows=rest), expected(*known, n_next=100)
        )  # fmt: skip
    return now.forecast


def _when_to_stop(now: Review, said: Summary, whole: Outlook) -> None:
    words = sentences.when_to_stop(whole, worth=WORTH)
    if not words:
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="triage-stop"):
        icon = ":material/flag:" if whole.n_worth == 0 else ":material/arrow_forward:"
        st.caption(f"{icon} {escape(words)}", width="content")
        if len(said.curve.dropna()):
            with st.popover("Curve", type="tertiary", icon=":material/show_chart:", help="Expected against found"):
                curve = said.curve[said.curve["n_reviewed"] <= max(MOST_CURVE * now.work.n, 500)]
                draw(
                    yield_chart,
                    curve,
                    key="triage-curve",
                    found=found_so_far(list(now.found.values())),
                    n_looks=now.work.n,
                )
                if said.n_canaries:
                    st.caption(
                        f"{count(said.n_canaries)} labels were flipped, on paper or in a copy that was trained on and "
                        "thrown away, to see where the score ranks them; decisions correct what that led to expect."
                    )


def _set_budget() -> None:
    if st.session_state[LOOKS] != budget():  # also called for a field that another view has taken away
        set_budget(current_review(), int(st.session_state[LOOKS]))
