"""The verdict: a sentence about the chosen pair, and a table of all differences to the baseline."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from dashboard import queries
from dashboard.formats import UNKNOWN, count, escape
from dashboard.pairing import Pairing, correct_jointly, pair, why_not
from dashboard.parts.behind import behind, opening
from dashboard.parts.choices import tabs
from dashboard.rows import mappings
from dashboard.sentences import metric_title
from dashboard.source import Source
from evals.verdict import headline, p_text, verdict
from store import Dataset, Evaluation, Run

SHOWN_ROWS = 9  # more scroll, so that the examples below stay in sight
ROW_PIXELS = 31


def best_evaluation(source: Source, run: Run, split: str) -> Evaluation | None:
    """The run's evaluation on a split at its best checkpoint, else its newest."""
    fitting = [e for e in queries.evaluations(source.path, run.key, run.version) if e.split == split]
    return max(fitting, key=lambda e: (e.is_best, e.step), default=None)


def verdict_panel(
    source: Source, runs: Sequence[Run], names: Sequence[str], datasets: Sequence[Dataset | None], b: int
) -> Pairing | None:
    """Draw both; returns the chosen pair on the chosen split, or None, with the reason shown."""
    of = [{e.split for e in queries.evaluations(source.path, run.key, run.version)} for run in runs]
    splits = sorted(of[0] & of[b], key=lambda split: (split != "test", split))
    if not splits:
        st.info(
            escape(f"{names[0]} and {names[b]} share no evaluated split, so no example can be compared yet."),
            icon=":material/compare_arrows:",
        )
        return None
    place = st.container()
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        split = tabs("Split", splits, key="split", write=escape)
        said = "At each run's best checkpoint, paired example by example."
        if split == "validation":
            said += " The checkpoints were chosen on this split, which flatters all of them."
        st.caption(said, width="content")
        how = st.container(width="content")
    pairings = _pairings(source, runs, datasets, split)
    if b not in pairings or pairings[b].n == 0:
        place.info("Both runs were evaluated, but no example was seen by both.", icon=":material/compare_arrows:")
        return None
    table = correct_jointly([pairings[i].table.assign(run=i) for i in sorted(pairings, key=lambda i: i != b)])
    rows = mappings(table[table["run"] == b])
    metric = (runs[0].select_metric or "").rpartition("/")[2]
    row = next((row for row in rows if row["metric"] == metric), rows[0])
    with place:
        found = pairings[b]
        sentence = headline(row, found.flips, p_flips=found.p_flips, name_a=names[0], name_b=names[b])
        st.markdown(f"##### {escape(sentence)}")
        _coverage(found, names[0], names[b])
    with how:
        _behind(source, pairings[b])
    differences_table(table, names)
    return pairings[b]


def _pairings(
    source: Source, runs: Sequence[Run], datasets: Sequence[Dataset | None], split: str
) -> dict[int, Pairing]:
    """Every run that can be paired with the baseline on this split."""
    baseline = best_evaluation(source, runs[0], split)
    found = {}
    for i in range(1, len(runs)):
        other = best_evaluation(source, runs[i], split)
        if baseline and other and datasets[0] and why_not(runs[0], runs[i], datasets[0], datasets[i]) is None:
            is_same = runs[0].dataset_key == runs[i].dataset_key
            found[i] = pair(source.path, baseline, other, datasets[0], is_same_data=is_same)
    return found


def _coverage(found: Pairing, name_a: str, name_b: str) -> None:
    if found.n < max(found.n_a, found.n_b):
        seen = f"{escape(name_a)}: {count(found.n_a)}, {escape(name_b)}: {count(found.n_b)}"
        st.caption(
            f"Paired on the {count(found.n)} examples that both saw ({seen}); labels are those of the baseline's data."
        )


def differences_table(table: pd.DataFrame, names: Sequence[str]) -> None:
    """A row a comparison: columns as of `evals.paired.compare_pair`, and run, its place in `names`."""
    rows = mappings(table)
    shown = pd.DataFrame(
        {
            "run": [names[row["run"]] for row in rows],
            "metric": [metric_title(row["metric"]) for row in rows],
            "a": table["a"],
            "b": table["b"],
            "difference": table["difference"],
            "low": table["low"],
            "high": table["high"],
            "p": [p_text(row["p_holm"]).removeprefix("= ") for row in rows],
            "n": table["n"],
            "answer": [_answer(row) for row in rows],
        }
    )
    number = st.column_config.NumberColumn
    st.dataframe(
        shown,
        column_config={
            "run": st.column_config.TextColumn("run", width="medium"),
            "metric": st.column_config.TextColumn("metric", width=170),
            "a": number("baseline", format="%.3f", width=84),
            "b": number("this run", format="%.3f", width=84),
            "difference": number("difference", format="%+.3f", width=92),
            "low": number("from", format="%+.3f", width=76, help="Lower end of the 95 % interval of the difference."),
            "high": number("to", format="%+.3f", width=76, help="Upper end of the 95 % interval of the difference."),
            "p": st.column_config.TextColumn(
                "p (Holm)",
                width=80,
                alignment="right",
                help=f"Two-sided, corrected for the {len(table)} comparisons shown.",
            ),
            "n": number("n", format="%,d", width=68, help="Examples both runs saw."),
            "answer": st.column_config.TextColumn("verdict", width="large"),
        },
        hide_index=True,
        height="content" if len(table) <= SHOWN_ROWS else int(ROW_PIXELS * (SHOWN_ROWS + 1.5)),
        placeholder=UNKNOWN,
        key="verdicts",
    )


def _behind(source: Source, found: Pairing) -> None:
    behind(
        opening(source.path, "get_evaluation", "read_pairs")
        + f"\na = get_evaluation(store, {found.a.run_key}, {found.a.split!r}, {found.a.step})"
        + f"\nb = get_evaluation(store, {found.b.run_key}, {found.b.split!r}, {found.b.step})"
        + "\nfrom evals.paired import compare_pair"
        + "\npairs = read_pairs(store, a, b)"
        + "\ntable = compare_pair(pairs.gold, pairs.predicted_a, pairs.predicted_b, pairs.loss_a, pairs.loss_b)"
    )


def _answer(row: dict[str, Any]) -> str:
    """The answer in the words and shapes of a table cell."""
    found = verdict(row)
    if found.answer == "better":
        return "▲ better"
    if found.answer == "not better":
        return "▼ worse" if row["p_holm"] < 0.05 else "▼ not better"
    return f"◇ {found.sentence}"
