"""What is wrong with the data set, on the left: every kind of finding with its count, each a filter of the queue."""

import pandas as pd
import streamlit as st

from dashboard.formats import count, escape, number, short
from dashboard.rows import tuples
from dashboard.triage import reads
from dashboard.triage.asked import ask
from dashboard.triage.reads import Desk
from dashboard.triage.sentences import about
from dashboard.triage.summary import Summary
from evals.triage.phrases import KINDS, counted, title

MOST_GROUPS = 5
"""Groups of one kind that are named."""


def by_kind(findings: pd.DataFrame) -> pd.DataFrame:
    """Columns kind, n, n_decided over all splits, in the order of the table of detectors: wrong labels first.

    >>> counts = pd.DataFrame({"kind": ["outlier", "empty"], "split": "train", "n": [30, 9], "n_decided": [0, 1]})
    >>> by_kind(counts)["kind"].tolist()
    ['empty', 'outlier']
    """
    table = findings.groupby("kind", as_index=False)[["n", "n_decided"]].sum()
    rank = {kind: place for place, kind in enumerate(KINDS)}
    order = table["kind"].map(lambda kind: rank.get(kind, len(rank))).argsort(kind="stable")
    return table.iloc[order].reset_index(drop=True)


def wrong_panel(desk: Desk, said: Summary) -> None:
    """Draw it: a button a kind, the chosen one filled; below, groups of examples that share something."""
    st.markdown("###### What is wrong")
    table = by_kind(reads.findings(desk))
    chosen = st.query_params.get("kind")
    with st.container(gap="xxsmall", key="triage-kinds"):
        for row in tuples(table):
            _kind(row.kind, int(row.n), int(row.n_decided), said, is_chosen=row.kind == chosen)
        if table.empty:
            st.caption("No example was found that needs a look.")
    _groups(desk)


def _kind(kind: str, n: int, n_decided: int, said: Summary, *, is_chosen: bool) -> None:
    words = counted(kind, n)
    rest = f"{count(n_decided)} of them decided. " if n_decided else ""
    hint = f"{title(kind).capitalize()}. {rest}"
    if kind == "label_error":
        hint += f"Expected are {about(said.n_errors)} wrong labels in all; these are the likely ones."
    st.button(
        escape(words) + (" :material/close:" if is_chosen else ""), key=f"kind-{kind}", width="stretch",
        type="secondary" if is_chosen else "tertiary", on_click=ask, kwargs={"kind": None if is_chosen else kind},
        help=escape(hint),
    )  # fmt: skip


def _groups(desk: Desk) -> None:
    groups = reads.groups(desk.path, desk.triage.key, None)
    if groups.empty:
        return
    chosen = st.query_params.get("group")
    kinds = [kind for kind in KINDS if (groups["kind"] == kind).any()]
    for kind in [*kinds, *(kind for kind in dict.fromkeys(groups["kind"]) if kind not in kinds)]:
        of_kind = groups[groups["kind"] == kind]
        with st.expander(escape(counted(kind, len(of_kind)))):
            for row in tuples(of_kind.head(MOST_GROUPS)):
                is_chosen = chosen == str(row.key)
                st.button(
                    escape(f"{short(row.name, 60)} ({count(row.n)})"), key=f"group-{row.key}", width="stretch",
                    type="secondary" if is_chosen else "tertiary", on_click=ask, disabled=not row.n,
                    kwargs={"group": None if is_chosen else str(row.key), "state": "all"},
                    help=f"risk {number(row.risk, 2)}",
                )  # fmt: skip
            if len(of_kind) > MOST_GROUPS:
                st.caption(f"The worst {MOST_GROUPS} of {count(len(of_kind))}.")
