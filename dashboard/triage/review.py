"""One example at a time: the budget, the example, the keys that decide it, and what comes of going on.

A key press runs its callback, which writes the decision and steps on, and draws the next example, which was read
before. What takes longer, how many errors are left (`dashboard.triage.forecast`), comes after that.
"""

import time
from collections.abc import Sequence

import streamlit as st

from dashboard.formats import count
from dashboard.parts.notices import guarded
from dashboard.triage import reads
from dashboard.triage.budget import verdicts
from dashboard.triage.deciding import decide, redo, undo
from dashboard.triage.example import example_panel
from dashboard.triage.forecast import forecast_bar
from dashboard.triage.proposals import said
from dashboard.triage.reads import Desk
from dashboard.triage.session import (
    DEFAULT_BUDGET,
    LOOKS,
    MOST_LOOKS,
    RERUN,
    Review,
    current_review,
    current_verdicts,
    fetch,
    open_review,
    set_budget,
)
from dashboard.triage.target_words import becomes
from dashboard.triage.worklist import Place
from dashboard.writing import note as say
from dashboard.writing import say_notes
from store import Action, Decision, NewDecision, QueueFilter

PREFETCHED = 2
"""Examples of which everything is read before they are looked at."""


def review(desk: Desk, filters: QueueFilter, of: tuple[object, ...]) -> None:
    """Draw it. `of`: what the list is of; while that is the same, the place in the list is kept."""
    open_review(desk, filters, of)
    _panel()


@st.fragment
def _panel() -> None:
    if st.session_state.pop(RERUN, False):  # the filter is another: that is drawn outside of this part of the page
        st.rerun()
    now = current_review()
    with guarded(now.desk.path):
        say_notes()
        bar = st.container(key="triage-bar")
        if now.work.row is None:
            _at_the_end(now)
        else:
            now.shown_at = time.monotonic()
            example_panel(now.desk, now.work, now.filters.kinds, picking=now.picking, act=Actions(now))
        for place in now.work.ahead(PREFETCHED):
            if (row := now.work.rows.get(place)) is not None:
                reads.details(now.desk, row)
        with bar:
            forecast_bar(now)


def _at_the_end(now: Review) -> None:
    with st.container(border=True, horizontal_alignment="center", key="empty-review"):
        if not now.work.n:
            st.markdown("#### Nothing waits here", width="content")
            st.markdown("No example that is to be decided fits these filters.", width="content")
            return
        st.markdown(f"#### {count(len(now.work.done))} of {count(now.work.n)} decided", width="content")
        st.markdown("That was the budget. Look at more, or see under Edits what will change.", width="content")
        with st.container(horizontal=True, horizontal_alignment="center"):
            st.button("Undo", icon=":material/undo:", shortcut="Z", on_click=Actions(now).undo, key="end-undo")
            st.button("Look at as many again", on_click=_more, args=(now,), type="primary", key="end-more")


def _more(now: Review) -> None:
    n = min(MOST_LOOKS, now.work.n + DEFAULT_BUDGET)
    st.session_state[LOOKS] = n
    set_budget(now, n)


class Actions:
    """What the keys do; callbacks, so nothing is drawn here."""

    def __init__(self, now: Review) -> None:
        self._now = now

    def decide(
        self, action: Action, *, label: int | float | str | None = None, text: str | None = None,
        note: str | None = None, finding: str | None = None,
    ) -> None:  # fmt: skip
        """Write it and go on."""
        now, place = self._now, self._now.work.place
        if place is None:
            return
        seconds = round(time.monotonic() - now.shown_at, 3)
        new = NewDecision(*place, action, label, text, note, finding, now.desk.triage.key, seconds)
        written = decide(now.desk, [new])
        if not written:
            return
        now.picking = ""
        now.n_changes += 1
        made = written[0]  # what is as it was is kept, whatever was asked for
        words = said(made.action, self._becomes(made.label))
        now.work.forget(place)
        if made.action is Action.NOTE:
            say("Noted.")
            fetch(now)
            return
        now.work.decide(words)
        if place[0] == "train":
            self._judge(place[1], made.action)
        fetch(now)

    def undo(self) -> None:
        """Take back the last, wherever it was made, and look at it again."""
        self._again(undo(self._now.desk))

    def redo(self) -> None:
        """Bring back what undo took."""
        redo(self._now.desk)
        self._again([])

    def step(self, by: int) -> None:
        """Look at the next or the one before, without deciding."""
        self._now.picking = ""
        self._now.work.step(by)
        fetch(self._now)

    def pick(self, what: str) -> None:
        """Open one of the small forms, or close it."""
        self._now.picking = "" if self._now.picking == what else what

    def _becomes(self, label: int | float | str | None) -> str | None:
        desk, row = self._now.desk, self._now.work.row
        if isinstance(label, int) and desk.label_names:
            label = desk.label_names[label]
        return None if row is None else becomes(desk, {**row, "new_label": label})

    def _judge(self, position: int, action: Action) -> None:
        now = self._now
        is_wrong, is_gone = verdicts(len(now.is_wrong), [position], [action])
        now.is_wrong[position], now.is_gone[position] = is_wrong[position], is_gone[position]
        if is_wrong[position] == is_wrong[position]:
            now.found["train", position] = bool(is_wrong[position])

    def _again(self, undone: Sequence[Decision]) -> None:
        now = self._now
        now.picking = ""
        now.n_changes += 1
        places: list[Place] = [
            (each.split, each.position)
            for each in undone
            if each.split is not None and each.position is not None and each.action is not Action.NOTE
        ]
        now.work.take_back(places)
        for place in places:
            now.found.pop(place, None)
            now.work.forget(place)
        now.is_wrong, now.is_gone = current_verdicts(now.desk)
        now.forecast = None
        fetch(now)
