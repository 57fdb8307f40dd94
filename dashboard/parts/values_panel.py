"""Two or more runs whose predictions are no classes: what differs by every metric, paired example by example."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import pandas as pd
import streamlit as st

from dashboard import queries
from dashboard.formats import UNKNOWN, count, escape, interval, number
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
from store import Dataset, Evaluation, Run


class Meeting(NamedTuple):
    """The baseline and the chosen run on one split, each with its dataset version."""

    a: Evaluation
    b: Evaluation
    dataset_a: Dataset
    dataset_b: Dataset


def why_no_values(runs: Sequence[Run], datasets: Sequence[Dataset | None], b: int) -> str | None:
    """Why two runs without classes cannot be compared example by example; None where they can."""
    if runs[0].task != runs[b].task:
        return f"{runs[0].name} is of {runs[0].task}, {runs[b].name} of {runs[b].task}: their scores are not the same."
    ours, theirs = datasets[0], datasets[b]
    if ours is None or theirs is None:
        return "One of them was recorded without a dataset, so its examples are not known."
    if ours.label_names != theirs.label_names:
        return "Their data do not have the same labels. Curves, cost and configuration can be compared."
    return None


def values_panel(
    source: Source, runs: Sequence[Run], names: Sequence[str], datasets: Sequence[Dataset | None], b: int
) -> Meeting | None:
    """A sentence about the chosen pair, the paired differences of all, and what each run scored. Returns the chosen
    pair; None, with the reason shown, where nothing can be paired."""
    of = [{e.split for e in queries.evaluations(source.path, run.key, run.version)} for run in runs]
    splits = sorted(of[0] & of[b], key=lambda split: (split != "test", split))
    if not splits:
        words = f"{names[0]} and {names[b]} share no evaluated split, so no example can be compared yet."
        st.info(escape(words), icon=":material/compare_arrows:")
        return None
    place = st.container()
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        split = tabs("Split", splits, key="split", write=escape)
        unit = "query by query" if runs[0].task == RANK_TASK else "example by example"
        said = f"At each run's best checkpoint, paired {unit}."
        if split == "validation":
            said += " The checkpoints were chosen on this split, which flatters all of them."
        st.caption(said, width="content")
        how = st.container(width="content")
    meetings = _meetings(source, runs, datasets, split)
    if b not in meetings:
        return None
    found = {i: compared(source.path, m.a, m.b, m.dataset_a.key, m.dataset_b.key) for i, m in meetings.items()}
    if not found[b].n:
        place.info("Both runs were evaluated, but no example was seen by both.", icon=":material/compare_arrows:")
        return None
    order = sorted(found, key=lambda i: (i != b, i))
    table = correct_jointly([found[i].table.assign(run=i) for i in order])
    rows = mappings(table[table["run"] == b])
    metric = (runs[0].select_metric or "").rpartition("/")[2]
    row = next((row for row in rows if row["metric"] == metric), rows[0])
    flips, p_flips = found[b].flips, found[b].p_flips
    with place:
        sentence = headline(row, flips, p_flips=p_flips, name_a=names[0], name_b=names[b])
        st.markdown(f"##### {escape(sentence)}")
        n_seen = max(meetings[b].a.n_examples, meetings[b].b.n_examples)
        if found[b].n < n_seen:
            st.caption(f"Paired on the {count(found[b].n)} examples that both saw; what is right is what A's data say.")
    differences_table(table, names)
    st.markdown("###### What each run scored · 95 % intervals")
    ends = {0: meetings[b].a, **{i: meeting.b for i, meeting in meetings.items()}}
    scores = {i: _scores(source, runs[i], ends[i]) for i in sorted(ends)}
    shown = score_table(scores, names, TASKS.get(str(runs[0].task), ()))
    st.dataframe(shown, hide_index=True, height="content", placeholder=UNKNOWN, key="scored")
    with how:
        _behind(source, meetings[b], is_ranked=runs[0].task == RANK_TASK)
    return meetings[b]


def _meetings(
    source: Source, runs: Sequence[Run], datasets: Sequence[Dataset | None], split: str
) -> dict[int, Meeting]:
    """Every run that can be paired with the baseline on this split."""
    found = {}
    ours, baseline = datasets[0], best_evaluation(source, runs[0], split)
    for i in range(1, len(runs)):
        theirs, other = datasets[i], best_evaluation(source, runs[i], split)
        if baseline and other and ours and theirs and why_no_values(runs, datasets, i) is None:
            found[i] = Meeting(baseline, other, ours, theirs)
    return found


def _behind(source: Source, meeting: Meeting, *, is_ranked: bool) -> None:
    def side(name: str, evaluation: Evaluation, dataset: Dataset) -> str:
        asked = f", queries=read_queries(store, data, {evaluation.split!r})" if is_ranked else ""
        return (
            f"\n{name} = get_evaluation(store, {evaluation.run_key}, {evaluation.split!r}, {evaluation.step})"
            f"\ndata = get_dataset(store, {str(dataset)!r})"
            f"\n{name} = outcome_of(read_values(store, data, {evaluation.split!r}), read_responses(store, {name}),"
            f" read_answers(store, {name}).loss, data.label_names or (){asked})"
        )

    reads = ["read_answers", *(["read_queries"] if is_ranked else []), "read_responses", "read_values"]

    behind(
        opening(source.path, "get_dataset", "get_evaluation", *reads)
        + "\nfrom evals.outcomes import outcome_of\nfrom evals.paired_outcomes import compare_outcomes"
        + side("a", meeting.a, meeting.dataset_a)
        + side("b", meeting.b, meeting.dataset_b)
        + "\ntable = compare_outcomes(a, b)"
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
