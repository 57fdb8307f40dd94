"""Proof: whether what was fixed made the model better, paired on the test split that nobody touched."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from dashboard import queries
from dashboard.formats import UNKNOWN, count, distinct, escape, short
from dashboard.pairing import Pairing, flips_page, pair
from dashboard.parts.choices import tabs
from dashboard.parts.verdict_panel import best_evaluation
from dashboard.rows import mappings, tuples
from dashboard.source import Source
from dashboard.triage import reads
from dashboard.triage.reads import Desk
from dashboard.triage.retraining import fixed_run
from evals.paired_classes import compare_classes
from evals.verdict import headline, verdict
from store import Dataset, Run, RunNotFound

SHOWN = 8
DECIDED = ("relabel", "keep", "drop", "edit")
"""What somebody does who has looked at a label."""
LONGEST_NAME = 20


def proof(source: Source, desk: Desk, children: Sequence[Dataset]) -> None:
    """Draw it, for the newest retrained run that has ended."""
    st.markdown("###### 3 · Proof")
    found = _pairs(source, children)
    if not found:
        st.caption(
            "After a run on the new version has ended, it is held here against the run before, example by example."
        )
        return
    names = {after.id: f"{before.name} → {after.name}" for before, after, _ in found}
    chosen = next(iter(names))
    if len(found) > 1:
        chosen = st.selectbox("Runs", list(names), format_func=lambda key: names[key], key="proof-run", width=420)
    before, after, child = next(each for each in found if each[1].id == chosen)
    if after.status != "finished":
        st.caption(escape(f"{after.name} is {after.status}{f': {after.cause}' if after.cause else ''}."))
        return
    split = "test" if best_evaluation(source, after, "test") else "validation"
    a, b = best_evaluation(source, before, split), best_evaluation(source, after, split)
    if a is None or b is None:
        st.caption(escape(f"{before.name} and {after.name} share no evaluated split."))
        return
    compared = pair(source.path, a, b, desk.dataset, is_same_data=False)
    if not compared.n:
        st.caption("No example was seen by both.")
        return
    _sentence(compared, before, after)
    decided = reads.decided(desk)
    n_checked = int(((decided["split"] == split) & decided["action"].isin(DECIDED)).sum())
    for line in caveats(reads.version_changes(source.path, child.key), split, compared, child, n_checked):
        st.caption(escape(line))
    _tables(source, desk, compared, before, after)


def _pairs(source: Source, children: Sequence[Dataset]) -> list[tuple[Run, Run, Dataset]]:
    """(before, after, version), the newest first."""
    found = []
    for child in children:
        for row in tuples(reads.runs_on(source, str(child), finished=False)):
            after = queries.run(source, row.id)
            base = fixed_run(after.tags)
            if base is None:
                continue
            try:
                found.append((queries.run(source, base), after, child))
            except RunNotFound:  # it was removed since: there is nothing to hold it against
                continue
    return sorted(found, key=lambda each: each[1].created_at, reverse=True)


def _sentence(compared: Pairing, before: Run, after: Run) -> None:
    table = compared.table.assign(p_holm=compared.table["p"])
    rows = mappings(table)
    metric = (before.select_metric or "").rpartition("/")[2]
    row = next((row for row in rows if row["metric"] == metric), rows[0])
    words = headline(row, compared.flips, p_flips=compared.p_flips, name_a=before.name, name_b=after.name)
    st.markdown(f"##### {escape(words)}")
    if verdict(row).answer == "not separable yet":
        st.markdown(
            ":orange[:material/balance: What was fixed made no difference that can be told from chance here.] "
            "More fixed examples, or a larger test split, may."
        )


def caveats(changes: pd.DataFrame, split: str, compared: Pairing, child: Dataset, n_checked: int) -> list[str]:
    """What weakens the proof, in sentences; nothing where nothing does. n_checked: examples of that split on which
    somebody decided, be it to keep them."""
    lines = unchecked(split, n_checked, max(compared.n_a, compared.n_b))
    touched = int((changes["split"] == split).sum())
    if touched:
        were = "1 example of the {} split was" if touched == 1 else f"{count(touched)} examples of the {{}} split were"
        lines.append(f"{were.format(split)} decided on too: {child} is judged here by the labels before that.")
    if split != "test":
        lines.append("There is no test split: the checkpoints were chosen on this one, which flatters both runs.")
    if compared.n < max(compared.n_a, compared.n_b):
        lines.append(f"Paired on the {count(compared.n)} examples that both saw.")
    return lines


def unchecked(split: str, n_checked: int, n: int) -> list[str]:
    """That the labels by which both runs are judged may be wrong themselves; nothing where all of them were checked.

    >>> unchecked("test", 0, 300)
    ['Nobody checked the labels of the test split: both runs are judged by them as they are, the wrong ones too.']
    >>> unchecked("test", 12, 300), unchecked("test", 300, 300)
    (['12 of 300 labels of the test split were checked; by the others both runs are judged as they are.'], [])
    """
    if n_checked >= n:
        return []
    if not n_checked:
        words = "both runs are judged by them as they are, the wrong ones too"
        return [f"Nobody checked the labels of the {split} split: {words}."]
    checked = f"{count(n_checked)} of {count(n)} labels of the {split} split were checked"
    return [f"{checked}; by the others both runs are judged as they are."]


def _tables(source: Source, desk: Desk, compared: Pairing, before: Run, after: Run) -> None:
    left, right = st.columns([1.2, 1], gap="medium")
    number = st.column_config.NumberColumn
    with left:
        st.markdown("###### By class · share found, before and after")
        table = compare_classes(compared.cells, distinct(desk.label_names, LONGEST_NAME))
        st.dataframe(
            table.assign(verdict=_words(table))[
                ["label", "n", "recall_a", "recall_b", "difference", "low", "high", "verdict"]
            ],
            column_config={
                "label": st.column_config.TextColumn("class", width=140),
                "n": number("n", format="%,d", width=48),
                "recall_a": number("before", format="%.3f", width=60),
                "recall_b": number("after", format="%.3f", width=60),
                "difference": number("gain", format="%+.3f", width=64),
                "low": number("from", format="%+.3f", width=64, help="Lower end of the 95 % interval."),
                "high": number("to", format="%+.3f", width=64, help="Upper end of the 95 % interval."),
                "verdict": st.column_config.TextColumn("", width=110, help="McNemar's test, Holm-corrected."),
            },
            hide_index=True, height="content" if len(table) <= 12 else 430, placeholder=UNKNOWN, key="proof-classes",
        )  # fmt: skip
    with right:
        st.markdown("###### Examples that flipped")
        flips = compared.flips
        counts = {"fixed": flips.fixed, "broken": flips.broken}
        kind = tabs("Flips", list(counts), key="flips", write=lambda name: f"{name} {count(counts[name])}")
        page = flips_page(source, compared.a, compared.b, {"kind": kind, "label": None, "search": None}, SHOWN, 0)
        names = distinct(desk.label_names, LONGEST_NAME)
        st.dataframe(
            pd.DataFrame(
                {
                    "text": [short(text, 200) for text in page["text"]],
                    "label": [_name(names, i) for i in page["gold"]],
                    "before": [_name(names, i) for i in page["predicted_a"]],
                    "after": [_name(names, i) for i in page["predicted_b"]],
                }
            ),
            column_config={
                "text": st.column_config.TextColumn("text", width=200),
                "label": st.column_config.TextColumn("label", width=130),
                "before": st.column_config.TextColumn("before", width=130),
                "after": st.column_config.TextColumn("after", width=130),
            },
            hide_index=True, height="content", placeholder=UNKNOWN, key="proof-flips",
        )  # fmt: skip
        st.page_link(
            "views/compare.py", label="All of it in Compare", icon=":material/compare_arrows:", width="content",
            query_params={"runs": f"{before.id},{after.id}"},
        )  # fmt: skip


def _words(table: pd.DataFrame) -> list[str]:
    found = []
    for p, difference in zip(table["p_holm"], table["difference"], strict=True):
        found.append("◇ not separable" if not p < 0.05 else "▲ better" if difference > 0 else "▼ worse")
    return found


def _name(names: Sequence[str], index: float) -> str:
    return names[int(index)] if 0 <= index < len(names) else UNKNOWN
