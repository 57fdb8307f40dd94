"""Whether what a triage found may pass: each condition against the store. What was not measured does not pass.

Loads no torch.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from evals.intervals import Estimate
from evals.triage.findings import get_detector
from evals.triage.phrases import counted
from runner.data.problems import did_you_mean
from runner.triage.conditions import LABEL_ERRORS, OPERATORS, Condition, ConditionError
from runner.triage.sentences import percent
from store import (
    Dataset,
    Store,
    Triage,
    count_findings,
    list_facets,
    list_findings,
    list_groups,
    read_column,
    read_targets,
)
from store.facets import facet_positions, index_metadata

Result = Literal["passed", "failed", "unknown"]


@dataclass(frozen=True)
class Verdict:
    """What became of a condition."""

    condition: Condition
    result: Result
    said: str
    """One sentence: what was found against what is allowed."""

    @property
    def blocks(self) -> bool:
        """Whether it keeps the data from passing."""
        return self.result != "passed" and self.condition.severity == "error"


def check_conditions(store: Store, dataset: Dataset, conditions: Sequence[Condition]) -> None:
    """Raise ConditionError for splits, fields and values that the data set does not have: all of them."""
    if any(each.field not in (None, "label") for each in conditions):
        index_metadata(store, dataset)
    problems = [problem for each in conditions for problem in _problems(store, dataset, each)]
    if problems:
        raise ConditionError("\n".join(dict.fromkeys(problems)))


def judge(store: Store, triage: Triage, dataset: Dataset, conditions: Sequence[Condition]) -> list[Verdict]:
    """A verdict on each condition, in their order. They must be checked (`check_conditions`)."""
    return [_judge(store, triage, dataset, condition) for condition in conditions]


def _judge(store: Store, triage: Triage, dataset: Dataset, condition: Condition) -> Verdict:
    chosen = _chosen(store, dataset, condition)
    of = sum(len(positions) for positions in chosen.values())
    lacks = triage.summary.get("missing", {}).get(condition.kind)
    if condition.kind == LABEL_ERRORS:
        n = _label_errors(store, triage, condition, chosen)
        why = "label errors are estimated of training examples with two classes or more"
        if triage.summary.get("labels"):
            why += ", where what can be learned from the texts says enough about their labels"
    else:
        n = None if lacks is not None else _count(store, triage, condition, chosen)
        why = f"nobody looked for it, for want of {', '.join(lacks or ())}"
    if n is None or n.value != n.value:
        return Verdict(condition, "unknown", why)
    if not of:
        return Verdict(condition, "unknown", "there is no such example")
    scale = 1 / of if condition.is_share else 1.0
    compared = getattr(n, condition.bound) * scale
    is_so = OPERATORS[condition.operator](compared, condition.limit)
    return Verdict(condition, "failed" if is_so else "passed", _said(condition, n, of))


def _said(condition: Condition, n: Estimate, of: int) -> str:
    """What was found, and of an estimate which end was compared."""
    if condition.kind != LABEL_ERRORS:
        share = f", {percent(n.value / of)} of {of:,} examples" if condition.is_share else ""
        return counted(condition.kind, int(n.value)) + share
    ends = {name: getattr(n, name) / of if condition.is_share else getattr(n, name) for name in n._fields}
    shown = {name: percent(end) if condition.is_share else f"{end:,.0f}" for name, end in ends.items()}
    said = f"{shown['value']} wrong labels of {of:,} ({shown['low']} to {shown['high']})"
    words = {
        "low": "the lower end is compared",
        "value": "the estimate is compared",
        "high": "the upper end is compared",
    }
    is_open = min(ends["low"], ends["high"]) < condition.limit < max(ends["low"], ends["high"])
    return f"{said}; {words[condition.bound]}{', the limit lies within the interval' if is_open else ''}"


Positions = Mapping[str, NDArray[np.int64]]


def _chosen(store: Store, dataset: Dataset, condition: Condition) -> Positions:
    """The positions that a condition is about, by split."""
    of_labels = condition.kind == LABEL_ERRORS
    wanted = [condition.split] if condition.split else ["train"] if of_labels else [*dataset.n_rows]
    whole = {split: np.arange(dataset.n_rows[split]) for split in wanted}
    if condition.field is None:
        return whole
    if condition.field == "label":
        label = (dataset.label_names or ()).index(str(condition.wanted))
        return {split: np.flatnonzero(read_targets(store, dataset, split) == label) for split in wanted}
    found = facet_positions(store, dataset, condition.field, [condition.wanted])
    return {split: found.get(split, np.zeros(0)).astype(np.int64) for split in wanted}


def _label_errors(store: Store, triage: Triage, condition: Condition, chosen: Positions) -> Estimate | None:
    """How many labels are wrong among the chosen training examples: the sum of their chances, with the interval of all
    scaled to them; None where that was not measured."""
    labels = triage.summary.get("labels")
    if not labels or labels["n_errors"]["value"] is None or set(chosen) != {"train"}:
        return None
    whole = Estimate(
        *(np.nan if labels["n_errors"][name] is None else labels["n_errors"][name] for name in Estimate._fields)
    )
    if condition.field is None:
        return whole
    chance = read_column(store, triage.key, "train", "chance")
    if chance is None or np.isnan(chance).any() or not whole.value > 0:
        return None
    n = float(chance[chosen["train"]].sum())
    return Estimate(n, n * whole.low / whole.value, n * whole.high / whole.value)


def _count(store: Store, triage: Triage, condition: Condition, chosen: Positions) -> Estimate:
    """How many findings of a kind there are among the chosen examples, or groups of it."""
    if get_detector(condition.kind).is_of_groups:
        n = len(list_groups(store, triage.key, condition.kind))
    elif condition.field is None:
        counts = count_findings(store, triage.key)
        n = int(counts[(counts["kind"] == condition.kind) & counts["split"].isin(list(chosen))]["n"].sum())
    else:
        rows = list_findings(store, triage.key, kind=condition.kind, limit=sum(map(len, chosen.values())) + 1_000_000)
        n = sum(
            int(np.isin(rows[rows["split"] == split]["position"], positions).sum())
            for split, positions in chosen.items()
        )
    return Estimate(n, n, n)


def _problems(store: Store, dataset: Dataset, condition: Condition) -> Iterator[str]:
    """What the condition names and the data set does not have."""
    if condition.split is not None and condition.split not in dataset.n_rows:
        yield f"{condition.text!r}: {dataset} has no split {condition.split!r}; it has: {', '.join(dataset.n_rows)}."
    if condition.field is None:
        return
    if condition.field == "label":
        known = list(dataset.label_names or ())
    else:
        facets = list_facets(store, dataset)
        fields = ["label", *facets["field"].unique()]
        if condition.field not in fields:
            yield (
                f"{condition.text!r}: {dataset} has no field {condition.field!r} to filter by."
                f"{did_you_mean(condition.field, fields)} It has: {', '.join(fields)}."
            )
            return
        known = facets[facets["field"] == condition.field]["value"].tolist()
    if condition.wanted not in known:
        shown = ", ".join(known[:10]) + (", …" if len(known) > 10 else "")
        yield f"{condition.text!r}: no example has {condition.field} = {condition.wanted!r}; there are: {shown}."
