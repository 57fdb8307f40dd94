"""Two or more runs whose predictions are no classes: every metric with its direction, and what is paired by example."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from dashboard import queries
from dashboard.formats import UNKNOWN, escape, interval, number
from dashboard.outcomes import compared
from dashboard.pairing import correct_jointly
from dashboard.parts.behind import behind, opening
from dashboard.parts.choices import tabs
from dashboard.parts.verdict_panel import best_evaluation, differences_table
from dashboard.responses import RANK_TASK
from dashboard.rows import mappings
from dashboard.sentences import metric_title
from dashboard.source import Source
from evals.metrics import TASKS, find_metric
from evals.verdict import headline
from store import Evaluation, Run


def why_no_values(runs: Sequence[Run], b: int) -> str | None:
    """Why two runs without classes cannot be compared example by example; None where they can."""
    if runs[0].task != runs[b].task:
        return f"{runs[0].name} is of {runs[0].task}, {runs[b].name} of {runs[b].task}: their scores are not the same."
    if runs[0].dataset_key is None or runs[0].dataset_key != runs[b].dataset_key:
        return "They were evaluated on other data. Curves, cost and configuration can be compared; examples cannot."
    return None


def values_panel(source: Source, runs: Sequence[Run], names: Sequence[str], b: int) -> None:
    """A sentence about the chosen pair, the paired differences of all, and what each run scored."""
    of = [{e.split for e in queries.evaluations(source.path, run.key, run.version)} for run in runs]
    splits = sorted(of[0] & of[b], key=lambda split: (split != "test", split))
    if not splits:
        words = f"{names[0]} and {names[b]} share no evaluated split, so no example can be compared yet."
        st.info(escape(words), icon=":material/compare_arrows:")
        return
    place = st.container()
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        split = tabs("Split", splits, key="split", write=escape)
        unit = "query by query" if runs[0].task == RANK_TASK else "example by example"
        st.caption(f"At each run's best checkpoint, paired {unit}.", width="content")
        how = st.container(width="content")
    found = {i: best_evaluation(source, run, split) for i, run in enumerate(runs) if why_no_values(runs, i) is None}
    ends = {i: evaluation for i, evaluation in found.items() if evaluation is not None}
    key = runs[0].dataset_key
    if key is None or not {0, b} <= ends.keys():
        return
    pairs = [
        compared(source.path, ends[0], ends[i], key).assign(run=i)
        for i in sorted(ends, key=lambda i: (i != b, i))
        if i != 0
    ]
    table = correct_jointly(pairs)
    rows = mappings(table[table["run"] == b])
    metric = (runs[0].select_metric or "").rpartition("/")[2]
    row = next((row for row in rows if row["metric"] == metric), rows[0])
    place.markdown(f"##### {escape(headline(row, name_a=names[0], name_b=names[b]))}")
    differences_table(table, names)
    st.markdown("###### What each run scored · 95 % intervals")
    scores = {i: _scores(source, runs[i], evaluation) for i, evaluation in ends.items()}
    shown = score_table(scores, names, TASKS.get(str(runs[0].task), ()))
    st.dataframe(shown, hide_index=True, height="content", placeholder=UNKNOWN, key="scored")
    with how:
        behind(
            opening(source.path, "get_evaluation", "read_answers", "read_responses")
            + f"\na = get_evaluation(store, {ends[0].run_key}, {split!r}, {ends[0].step})"
            + f"\nb = get_evaluation(store, {ends[b].run_key}, {split!r}, {ends[b].step})"
            + "\nfrom evals.paired import mean_differences"
            + "\nloss = read_answers(store, a).loss, read_answers(store, b).loss"
            + '\ntable = mean_differences({"loss": loss})'
        )


def _scores(source: Source, run: Run, evaluation: Evaluation) -> pd.DataFrame:
    """What `store.list_scores` has of one evaluation."""
    scores = queries.scores(source.path, run.key, run.version)
    return scores[(scores["split"] == evaluation.split) & (scores["step"] == evaluation.step)]


def score_table(scores: dict[int, pd.DataFrame], names: Sequence[str], first: Sequence[str] = ()) -> pd.DataFrame:
    """A row a metric, those of `first` ahead: metric, better (which way), and of every run its value with its interval,
    as text. The columns of runs are called by their names, numbered where two are the same.

    >>> one = pd.DataFrame({"metric": ["mae"], "value": [0.5], "low": [0.4], "high": [0.6]})
    >>> score_table({0: one}, ["a"]).values.tolist()
    [['mean absolute error', '▼ lower', '0.500 (0.400 to 0.600)']]
    """
    rank = {name: place for place, name in enumerate(first)}
    metrics = list(dict.fromkeys(name for frame in scores.values() for name in frame["metric"]))
    metrics.sort(key=lambda name: rank.get(name, len(rank)))
    columns: dict[str, list[Any]] = {
        "metric": [metric_title(name) for name in metrics],
        "better": [direction(name) for name in metrics],
    }
    for i, frame in scores.items():
        by_name = {row["metric"]: row for row in mappings(frame)}
        title = names[i] if names[i] not in columns else f"{names[i]} ({i + 1})"
        columns[title] = [_value(by_name.get(name)) for name in metrics]
    return pd.DataFrame(columns)


def direction(metric: str) -> str:
    """Which way a metric is better; empty for one that the table of metrics lacks.

    >>> direction("test/micro_f1"), direction("hamming_loss"), direction("mine")
    ('▲ higher', '▼ lower', '')
    """
    known = find_metric(metric)
    return "" if known is None else "▲ higher" if known.higher_is_better else "▼ lower"


def _value(row: dict[str, Any] | None) -> str:
    if row is None:
        return UNKNOWN
    ends = interval(row["low"], row["high"])
    return number(row["value"]) + (f" ({ends})" if ends != UNKNOWN else "")
