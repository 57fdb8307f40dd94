"""How good written answers are, or how well texts are foretold: every score, and what the answers are like."""

import numpy as np
import pandas as pd
import streamlit as st

from dashboard import queries
from dashboard.formats import UNKNOWN, count, escape, number, percent
from dashboard.rows import mappings
from dashboard.sentences import metric_title
from dashboard.source import Source
from evals.metrics import TASKS, find_metric
from evals.outcomes import Outcome, Texts
from store import Evaluation, Run


def render(source: Source, run: Run, evaluation: Evaluation, found: Outcome) -> None:
    """A sentence about the answers, and a table of scores beside those of the untrained model."""
    if isinstance(found, Texts):
        st.markdown(escape(answer_words(found)))
    scores = queries.scores(source.path, run.key, run.version)
    table = score_table(scores[scores["split"] == evaluation.split], evaluation.step, run.task)
    st.markdown("###### Scores · 95 % intervals")
    column = st.column_config.NumberColumn
    st.dataframe(
        table,
        column_config={
            "metric": st.column_config.TextColumn("metric", width=200),
            "better": st.column_config.TextColumn("better", width=84),
            "untrained": column("untrained", format="%.3f", width=92, help="The model before any training."),
            "value": column("value", format="%.3f", width=92),
            "low": column("from", format="%.3f", width=84),
            "high": column("to", format="%.3f", width=84),
            "n": column("n", format="%,d", width=70),
            "unit": st.column_config.TextColumn("unit", width=190),
        },
        hide_index=True, height="content", placeholder=UNKNOWN, key="answer-scores",
    )  # fmt: skip
    st.caption("Examples shows each answer beside the given one, sorted and narrowed by these measures.")


def score_table(scores: pd.DataFrame, step: int, task: str | None) -> pd.DataFrame:
    """A row a metric of one split, in the order of the table of metrics: metric, better (which way), untrained, value,
    low, high, n, unit. scores as `store.list_scores` has them.

    >>> scores = pd.DataFrame({"step": [0, 9], "metric": "loss", "value": [3.0, 1.0], "low": 0.9, "high": 1.1, "n": 5})
    >>> score_table(scores, 9, "causal-lm")[["metric", "better", "untrained", "value"]].values.tolist()
    [['loss', '▼ lower', 3.0, 1.0]]
    """
    rank = {name: place for place, name in enumerate(TASKS.get(str(task), ()))}
    before = dict(zip(*(scores[scores["step"] == 0][name] for name in ("metric", "value")), strict=True))
    rows = []
    for row in mappings(scores[scores["step"] == step]):
        known = find_metric(row["metric"])
        better = "" if known is None else "▲ higher" if known.higher_is_better else "▼ lower"
        unit = "" if known is None else known.unit
        ends = (before.get(row["metric"]), row["value"], row["low"], row["high"], row["n"])
        rows.append((rank.get(row["metric"], len(rank)), metric_title(row["metric"]), better, *ends, unit))
    columns = ["rank", "metric", "better", "untrained", "value", "low", "high", "n", "unit"]
    table = pd.DataFrame(rows, columns=columns)
    return table.sort_values("rank", kind="stable").drop(columns="rank").reset_index(drop=True)


def answer_words(found: Texts) -> str:
    """What the answers are like, in sentences.

    >>> from evals.outcomes import Likelihoods
    >>> nothing = Likelihoods(*np.full((3, 3), np.nan))
    >>> answer_words(Texts(("a b", "c d", "e"), ("a b", "d", None), nothing))
    '2 of 3 examples were answered: 1 exactly as given (50 %), none empty. Half of the answers have at least 0.75 \
times the words of the given one.'
    """
    rows = np.flatnonzero(found.is_written)
    if not len(rows):
        return "Nothing was asked for: generation.examples says how many examples of each split are answered."
    pairs = [(str(found.given[row]), str(found.said[row])) for row in rows]
    exact, n_empty = int(found.right()[rows].sum()), sum(not said.strip() for _, said in pairs)
    ratios = [len(said.split()) / n for given, said in pairs if (n := len(given.split()))]
    asked = f"{count(len(rows))} of {count(len(found.given))} examples were answered"
    empty = "none" if not n_empty else count(n_empty)
    words = f"{asked}: {count(exact)} exactly as given ({percent(exact / len(rows))}), {empty} empty."
    if not ratios:
        return words
    median = number(float(np.median(ratios)), 2)
    return f"{words} Half of the answers have at least {median} times the words of the given one."
