"""Why an example is looked at: who doubts its label, what its neighbours are, what training saw, what was found."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from dashboard.formats import UNKNOWN, count, escape, is_known, number
from dashboard.triage import reads
from dashboard.triage.reads import Desk, Details, History, Voice
from dashboard.triage.small_tables import bar, show_rows, sparkline
from dashboard.triage.target_words import in_words
from evals.triage.phrases import evidence_words, title

SHOWN_NEIGHBOURS = 6
MOST_BLOCKS = 20
"""Epochs that a sparkline draws."""
_HINTS = {
    "naive_bayes": "Complement naive Bayes on the words",
    "words": "Logistic regression on the words",
    "letters": "A linear model on pieces of words",
    "linear": "A linear model on the vectors of the encoder",
    "head": "A linear layer on the vectors of the encoder",
    "neighbours": "The labels of the nearest examples",
    "crossval": "The recipe, trained on the other folds",
}
"""What a voice is; none of them has seen the label of the example that it is asked about."""


def voice_hint(name: str) -> str:
    """What a voice is, for whoever points at it; empty for one that is not known.

    >>> voice_hint("crossval@01ABC"), voice_hint("?")
    ('The recipe, trained on the other folds. It has not seen this label.', '')
    """
    known = _HINTS.get(name.partition("@")[0])
    return f"{known}. It has not seen this label." if known else ""


def doubts(row: Mapping[str, Any], label_names: Sequence[str], n_unseen: int | None = None) -> str:
    """How many voices prefer another label, and how many of all were not trained on it; plain text.

    >>> doubts({"given": 0, "n_doubting": 7, "n_voices": 8}, ["positive", "negative"], 5)
    '7 of 8 voices prefer another label than positive; 5 of the 8 were not trained on it.'
    >>> doubts({"given": 0, "n_doubting": 7, "n_voices": 8}, ["positive", "negative"], 8)
    '7 of 8 voices prefer another label than positive.'
    >>> doubts({"given": None, "n_doubting": None, "n_voices": None}, [])
    ''
    """
    given, n, of = row.get("given"), row.get("n_doubting"), row.get("n_voices")
    if not is_known(of) or not of or not is_known(n) or not is_known(given) or not 0 <= int(given) < len(label_names):
        return ""
    who = "No voice prefers" if n == 0 else f"{count(n)} of {count(of)} voices prefer{'s' if of == 1 else ''}"
    said = f"{who} another label than {label_names[int(given)]}"
    if n_unseen is not None and 0 < n_unseen < of:
        said += f"; {count(n_unseen)} of the {count(of)} {'was' if n_unseen == 1 else 'were'} not trained on it"
    return f"{said}."


def learned(history: History) -> str:
    """What one run made of the given label over its epochs, in words.

    >>> learned(History("a", (0.1, 0.2, 0.3))), learned(History("a", (0.2, 0.8, 0.9))), learned(History("a", (0.9,)))
    ('never learned', 'learned in epoch 2', 'right from the start')
    >>> learned(History("a", (0.2, 0.8, 0.4)))
    'learned and forgotten'
    """
    above = [p > 0.5 for p in history.p_given]
    if not any(above):
        return "never learned"
    if not above[-1]:
        return "learned and forgotten"
    if all(above):
        return "right from the start"
    last_below = max(i for i, is_above in enumerate(above) if not is_above)
    return f"learned in epoch {last_below + 2}"


def opinions(voices: Sequence[Voice], given: int | None, label_names: Sequence[str]) -> pd.DataFrame:
    """A row a voice: voice, says (with ≠ where it differs), p (of the given label). The most doubting first.

    >>> opinions([Voice("words", 0, 0.9), Voice("folds", 1, 0.1)], 0, ["no", "yes"]).to_dict("list")
    {'voice': ['folds', 'words'], 'says': ['≠ yes', '= no'], 'p': [0.1, 0.9]}
    """
    rows = [
        (voice.name, _said(voice.predicted, given, label_names), voice.p_given)
        for voice in sorted(voices, key=lambda each: (each.p_given != each.p_given, each.p_given))
    ]
    return pd.DataFrame(rows, columns=["voice", "says", "p"])


def agreement(neighbours: pd.DataFrame, label: str | None) -> str:
    """How many of the nearest neighbours have another label, and which.

    >>> agreement(pd.DataFrame({"label": ["no", "no", "maybe", "yes"]}), "yes")
    '3 of the 4 nearest examples are labelled otherwise, 2 of them no.'
    >>> agreement(pd.DataFrame({"label": ["no", "no"]}), "yes")
    'All 2 nearest examples are labelled no.'
    >>> agreement(pd.DataFrame({"label": ["yes"]}), "yes")
    'The nearest example has the same label.'
    """
    n, others = len(neighbours), neighbours[neighbours["label"] != label]
    if not n:
        return ""
    nearest = f"All {n} nearest examples" if n > 1 else "The nearest example"
    if others.empty:
        return f"{nearest} {'have' if n > 1 else 'has'} the same label."
    counts = others["label"].value_counts()
    most, n_most = counts.index[0], int(counts.iloc[0])
    if n_most == n:
        return f"{nearest} {'are' if n > 1 else 'is'} labelled {most}."
    some = nearest if len(others) == n else f"{len(others)} of the {n} nearest examples"
    which = f"{n_most} of them {most}" if n_most < len(others) else f"as {most}"
    if len(others) > 1 and n_most == 1:
        which = "each in another way"
    return f"{some} {'is' if len(others) == 1 else 'are'} labelled otherwise, {which}."


def why(desk: Desk, row: Mapping[str, Any], known: Details) -> None:
    """Draw it."""
    given = int(row["given"]) if row.get("given") is not None else None
    said = doubts(row, desk.label_names, sum(is_known(voice.p_given) for voice in known.voices))
    if said:
        st.markdown(f"**{escape(said)}**")
    table = opinions(known.voices, given, desk.label_names)
    if len(table):
        rows = [
            [reads.voice_name(name, desk.triage), says, _two(p), bar(p)]
            for name, says, p in table.itertuples(index=False)
        ]
        show_rows(
            ["not trained on it", "says", "p(given)", ""], rows, marked=1,
            hints=[voice_hint(name) for name in table["voice"]],
        )  # fmt: skip
    _training(known.histories, given, desk.label_names)
    label = row.get("label")
    near = known.neighbours[:SHOWN_NEIGHBOURS]
    if len(near):
        columns = zip(near["label"], near["similarity"], near["text"], strict=True)
        if desk.label_names:
            st.markdown(escape(agreement(near, None if label is None else str(label))))
            rows = [[f"{'=' if each == label else '≠'} {each}", _two(like), text] for each, like, text in columns]
        else:  # numbers and sets of labels are not the same or another
            has = in_words(desk, near["target"], near["example_id"])
            rows = [[each, _two(like), text] for each, (_, like, text) in zip(has, columns, strict=True)]
        show_rows(["label" if desk.label_names else "has", "similar", "text"], rows, marked=0, wide=2)
    _findings(known.findings, desk.label_names)


def _training(told: Sequence[History], given: int | None, label_names: Sequence[str]) -> None:
    """What each run made of it while it was trained on: probabilities over the epochs, what it said at the end."""
    if told:
        rows = [
            [each.run, sparkline(each.p_given, most=MOST_BLOCKS), learned(each), _said(each.said, given, label_names)]
            for each in told
        ]
        show_rows(["trained on it", "p(given) by epoch", "", "said last"], rows, marked=3, wide=3)


def _said(said: int, given: int | None, label_names: Sequence[str]) -> str:
    """A class with = or ≠ before it: the given label or not."""
    if not 0 <= said < len(label_names):
        return UNKNOWN
    sign = "" if given is None else "= " if said == given else "≠ "
    return f"{sign}{label_names[said]}"


def _findings(found: pd.DataFrame, label_names: Sequence[str]) -> None:
    others = found[found["kind"] != "label_error"]
    lines = [
        f"- **{escape(title(kind))}** ({number(risk, 2)}): {escape(evidence_words(kind, evidence, label_names))}"
        for kind, risk, evidence in zip(others["kind"], others["risk"], others["evidence"], strict=True)
    ]
    if lines:
        st.markdown("\n".join(lines))


def _two(value: float) -> str:
    """A probability or a similarity with two digits."""
    return f"{value:.2f}" if is_known(value) else UNKNOWN
