"""What is wrong with the data set, on the left: every kind of finding with its count, each a filter of the queue."""

from collections.abc import Mapping, Sequence, Set
from typing import Any

import pandas as pd
import streamlit as st

from dashboard.formats import count, escape, middle, number, percent, short
from dashboard.rows import tuples
from dashboard.triage import reads
from dashboard.triage.asked import ask
from dashboard.triage.reads import Desk
from dashboard.triage.sentences import about
from dashboard.triage.summary import Summary
from evals.triage.phrases import KINDS, counted, title

MOST_PAIRS = 3
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
            if row.kind == "label_error":
                _pairs(said, desk.label_names)
        if table.empty:
            st.caption("No example was found that needs a look.")
    _groups(desk, set(table["kind"]))


def top_pairs(said: Summary, label_names: Sequence[str]) -> list[tuple[int, int, str]]:
    """The pairs with the most wrong labels, as (given, likely, words)."""
    known = said.pairs[(said.pairs["given"] >= 0) & (said.pairs["likely"] >= 0) & (said.pairs["n"] >= 1)]
    top = known.sort_values("n", ascending=False, kind="stable").head(MOST_PAIRS)
    return [
        (int(given), int(likely), f"{middle(label_names[given], 22)} → {middle(label_names[likely], 22)} ({count(n)})")
        for given, likely, n in zip(top["given"], top["likely"], top["n"], strict=True)
    ]


def _pairs(said: Summary, label_names: Sequence[str]) -> None:
    """The commonest mistakes below the likely wrong labels, and the way to all of them."""
    params = st.query_params
    with st.container(gap=None, key="triage-pairs"):
        for given, likely, words in top_pairs(said, label_names):
            pair = {"given": str(given), "likely": str(likely)}
            is_chosen = all(params.get(name) == value for name, value in pair.items())
            st.button(
                escape(words) + (" :material/close:" if is_chosen else ""), key=f"pair-{given}-{likely}",
                width="stretch", type="secondary" if is_chosen else "tertiary", on_click=ask,
                kwargs={"given": None, "likely": None} if is_chosen else {"kind": None, **pair},
                help=escape(f"Labelled {label_names[given]}, should be {label_names[likely]}"),
            )  # fmt: skip
        if label_names and len(said.pairs) > MOST_PAIRS:
            st.button(
                "All pairs, all classes", icon=":material/grid_on:", type="tertiary", key="pair-all", on_click=ask,
                kwargs={"view": "Classes"}, width="stretch",
            )  # fmt: skip


def how_many(kind: str, n: int, n_decided: int) -> str:
    """A kind with its count, and how many of it are left once some were decided.

    >>> how_many("outlier", 3, 0), how_many("outlier", 3, 1), how_many("outlier", 3, 3)
    ('3 outliers', '3 outliers, 2 left', '3 outliers ✓')
    """
    words = counted(kind, n)
    if not n_decided:
        return words
    return f"{words} ✓" if n_decided >= n else f"{words}, {count(n - n_decided)} left"


def _kind(kind: str, n: int, n_decided: int, said: Summary, *, is_chosen: bool) -> None:
    words = how_many(kind, n, n_decided)
    hint = f"{title(kind).capitalize()}. "
    if kind == "label_error":
        hint += f"As many as are expected in all, {about(said.n_errors)}: the likeliest ones."
    st.button(
        escape(words) + (" :material/close:" if is_chosen else ""), key=f"kind-{kind}", width="stretch",
        type="secondary" if is_chosen else "tertiary", on_click=ask, kwargs={"kind": None if is_chosen else kind},
        help=escape(hint),
    )  # fmt: skip


def group_words(kind: str, evidence: Mapping[str, Any]) -> str:
    """What speaks for a group, in a short sentence; empty for a kind of which its name says it all.

    >>> group_words("weak_slice", {"mean": 0.45, "low": 0.37, "high": 0.53, "rest": 0.18})
    '45 % errors (37 to 53 %), 18 % in the rest'
    >>> group_words("giveaway_word", {"word": "shop", "precision": 1.0, "recall": 0.4})
    '“shop”: 100 % of the texts with it, 40 % of the class'
    """

    def share(name: str) -> str:
        return percent(evidence.get(name))

    def ends() -> str:
        return f"({share('low').removesuffix(' %')} to {share('high')})"

    words = {
        "class_overlap": lambda: f"{share('overlap')} of them look like the other {ends()}",
        "weak_slice": lambda: f"{share('mean')} errors {ends()}, {share('rest')} in the rest",
        "sparse_region": lambda: (
            f"{count(evidence.get('n_train'))} training examples, {count(evidence.get('n_train_usual'))} usually"
        ),
        "giveaway_word": lambda: (
            f"“{evidence.get('word')}”: {share('precision')} of the texts with it, {share('recall')} of the class"
        ),
        "label_leak": lambda: f"{share('share')} of its texts; {count(evidence.get('n_others'))} of other classes",
        "split_leak": lambda: f"{count(evidence.get('n_exact'))} of them word by word",
        "rare_class": lambda: f"recall {share('recall')}, {share('rest')} of the others",
        "split_drift": lambda: "; ".join(map(str, evidence.get("detail") or [])),
        "order_effect": lambda: f"effect {number(evidence.get('effect'), 2)}, n = {count(evidence.get('n'))}",
    }
    return words[kind]() if kind in words and evidence else ""


def _groups(desk: Desk, singles: Set[str]) -> None:
    """Groups by kind; those whose kind names single examples too are called groups."""
    groups = reads.groups(desk.path, desk.triage.key, None)
    if groups.empty:
        return
    chosen = st.query_params.get("group")
    kinds = [kind for kind in KINDS if (groups["kind"] == kind).any()]
    for kind in [*kinds, *(kind for kind in dict.fromkeys(groups["kind"]) if kind not in kinds)]:
        of_kind = groups[groups["kind"] == kind]
        n = len(of_kind)
        name = f"{count(n)} {'group' if n == 1 else 'groups'} of {counted(kind, 2)[2:]}"
        with st.expander(escape(name if kind in singles else counted(kind, n))):
            for row in tuples(of_kind.head(MOST_GROUPS)):
                _group(row, is_chosen=chosen == str(row.key))
            if n > MOST_GROUPS:
                st.caption(f"The worst {MOST_GROUPS} of {count(n)}.")


def _group(row: Any, *, is_chosen: bool) -> None:
    st.button(
        escape(f"{short(row.name, 60)} ({count(row.n)})") + (" :material/close:" if is_chosen else ""),
        key=f"group-{row.key}", width="stretch", type="secondary" if is_chosen else "tertiary", on_click=ask,
        disabled=not row.n, kwargs={"group": None if is_chosen else str(row.key), "state": "all"},
    )  # fmt: skip
    words = group_words(row.kind, row.evidence)
    if words:
        st.caption(escape(words))
