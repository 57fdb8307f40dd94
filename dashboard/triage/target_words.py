"""What examples have in place of one class, and are to have: read from the store, and in words."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from dashboard.responses import target_words
from dashboard.triage.proposals import Proposal
from dashboard.triage.reads import Desk
from dashboard.triage.worklist import Place, by_split
from store import get_dataset, read_inputs, read_rows, reading


def targets_at(desk: Desk, wanted: Sequence[Place]) -> list[str]:
    """What these examples have in place of one class, in words and in their order."""
    values = _values_at(desk.path, desk.dataset.key, tuple(wanted))
    return in_words(desk, [values[place][0] for place in wanted], [values[place][1] for place in wanted])


def values_at(desk: Desk, wanted: Sequence[Place]) -> dict[Place, object]:
    """The targets of these examples, as the store has them."""
    return {place: target for place, (target, _) in _values_at(desk.path, desk.dataset.key, tuple(wanted)).items()}


@st.cache_data(show_spinner=False, max_entries=16)
def _values_at(path: str, dataset_key: int, wanted: tuple[Place, ...]) -> dict[Place, tuple[object, str]]:
    """Target and id of the examples."""
    found: dict[Place, tuple[object, str]] = {}
    with reading(path) as store:
        dataset = get_dataset(store, dataset_key)
        for split, positions in by_split(wanted).items():
            rows = read_rows(store, dataset, split, positions=positions)
            columns = zip(rows["position"], rows["target"], rows["example_id"], strict=True)
            found |= {(split, int(at)): (target, identity) for at, target, identity in columns}
    return found


def in_words(desk: Desk, targets: Iterable[object], example_ids: Iterable[str]) -> list[str]:
    """Targets in place of one class, as the store has them, in words; those of sentences by the words of each."""
    ids, names = tuple(example_ids), desk.dataset.label_names or ()
    tokens = _tokens(desk.path, ids) if desk.triage.summary.get("unjudged") == "spans" else {}
    return [target_words(target, names, tokens.get(identity)) for target, identity in zip(targets, ids, strict=True)]


def becomes(desk: Desk, row: Mapping[str, Any]) -> str | None:
    """What an example is to have by what was decided, in words; None: as it is. row: of the queue."""
    new = row.get("new_label")
    return new if new is None or desk.label_names else in_words(desk, [new], [row["example_id"]])[0]


@st.cache_data(show_spinner=False, max_entries=64)
def _tokens(path: str, example_ids: tuple[str, ...]) -> dict[str, list[str]]:
    """The words of sentences, by their ids."""
    with reading(path) as store:
        return {
            identity: each["tokens"] for identity, each in read_inputs(store, example_ids).items() if "tokens" in each
        }


def suggested_words(desk: Desk, proposals: Sequence[Proposal], example_ids: Sequence[str]) -> list[str]:
    """What accepting makes of each example, beside what it has; empty where that is no other target."""
    if desk.triage.summary.get("unjudged") != "spans":
        return [each.words for each in proposals]
    labels = [each.label for each in proposals]
    spans = in_words(desk, labels, example_ids)
    return ["" if label is None else words for label, words in zip(labels, spans, strict=True)]


def decisions_in_words(desk: Desk, decisions: pd.DataFrame) -> pd.DataFrame:
    """Rows of `store.current_decisions` with `given` and `label` in words, where examples have not one class."""
    if desk.label_names:
        return decisions
    given = in_words(desk, decisions["target"], decisions["example_id"])
    label = in_words(desk, decisions["label_index"], decisions["example_id"])
    return decisions.assign(given=given, label=label)
