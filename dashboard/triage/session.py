"""What a session knows of its review: which examples, where it is, and what was decided so far."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import streamlit as st

from dashboard.address import put
from dashboard.triage import reads
from dashboard.triage.budget import verdicts
from dashboard.triage.reads import Desk
from dashboard.triage.worklist import Place, Worklist
from evals.triage.stopping import Outlook
from store import QueueFilter

DEFAULT_BUDGET, MOST_LOOKS = 200, 100_000
MOST_SEEN = 50
"""More examples than a page of the table, decided at once, were not looked at one by one."""
LOOKS = "triage-looks"
"""The field for the budget."""
RERUN = "triage-rerun"
"""In the session when a part of the page has changed what is drawn outside of it."""
_KEY = "triage-review"


@dataclass
class Forecast:
    """What was worked out when the review was at `key`: of the list that is left, and of the whole data set."""

    key: object
    at: float
    """When, by a clock that only goes forward."""
    rest: Outlook
    whole: Outlook


@dataclass
class Review:
    """is_wrong, is_gone: as `budget.verdicts`, of the training split; found: whether each label judged here was
    wrong, in order."""

    desk: Desk
    filters: QueueFilter
    work: Worklist
    is_wrong: npt.NDArray[np.float64]
    is_gone: npt.NDArray[np.bool_]
    found: dict[Place, bool] = field(default_factory=dict)
    shown_at: float = 0.0
    """When the example on the screen came there, by a clock that only goes forward."""
    picking: str = ""
    """Which of the small forms is open: label, any, note, text; or none."""
    n_changes: int = 0
    """How often something was decided or taken back here."""
    forecast: Forecast | None = None


def open_review(desk: Desk, filters: QueueFilter, of: tuple[object, ...]) -> Review:
    """The review of this session. While `of` is the same, its place in the list is kept."""
    found = st.session_state.get(_KEY)
    if not isinstance(found, Review) or found.work.of != of:
        places = reads.places(desk, filters, budget())
        found = Review(desk, filters, Worklist(of, places), *current_verdicts(desk))
        fetch(found)
        st.session_state[_KEY] = found
    found.desk = desk
    return found


def current_review() -> Review:
    """The review that `open_review` opened."""
    found: Review = st.session_state[_KEY]
    return found


def forget_review() -> None:
    """Something was decided elsewhere: the queue begins anew."""
    st.session_state.pop(_KEY, None)


def budget() -> int:
    """How many are to be looked at, from the URL."""
    asked = st.query_params.get("budget", "")
    return min(max(1, int(asked)), MOST_LOOKS) if asked.isdecimal() else DEFAULT_BUDGET


def set_budget(now: Review, n: int) -> None:
    """So many are to be looked at; what was looked at stays."""
    put(budget=str(n))
    now.work.widen(reads.places(now.desk, now.filters, n))
    now.work.places = now.work.places[: max(now.work.at, n)]
    now.n_changes, now.forecast = now.n_changes + 1, None
    fetch(now)


def fetch(now: Review) -> None:
    """Fetch the next page where it is soon needed."""
    missing = now.work.missing()
    if missing:
        now.work.keep(reads.rows_at(now.desk, missing))


def current_verdicts(desk: Desk) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """What is decided of the training split at this moment, as `budget.verdicts`.

    What was accepted for more than a page of examples at once says nothing of their labels: nobody looked.
    """
    decided = reads.decided_now(desk)
    together = decided.groupby(["author", "at"], dropna=False)["position"].transform("size")
    is_train = decided["split"] == "train"
    mine, is_unseen = decided[is_train], together[is_train] > MOST_SEEN
    n, actions = desk.dataset.n_rows.get("train", 0), mine["action"]
    # what an earlier version was relabelled to is the label that this one has: it was right here from the start
    is_done = (actions == "relabel") & (mine["label_index"] == mine["target"])
    return verdicts(n, mine["position"].tolist(), actions.mask(is_done, "keep").mask(is_unseen, "drop").tolist())
