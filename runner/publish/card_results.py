"""The section of a model card about results: every metric with its interval, and each label."""

from collections.abc import Mapping
from typing import Any

from evals.metrics import find_metric
from runner.publish.facts import Facts
from runner.publish.kinds import KINDS
from runner.publish.markdown import inline, table

UNKNOWN = "not measured"

_SPLITS = ("test", "validation")


def results_section(facts: Facts) -> str:
    """Of the checkpoint that was exported, beside what the untrained model scored."""
    if not len(facts.scores):
        return "Not measured: no evaluation of this checkpoint is in the store."
    before = {(r["split"], r["metric"]): r["value"] for r in facts.untrained.to_dict("records")}
    rows = [
        [
            inline(row["split"]),
            _title(row["metric"]),
            known_number(row["value"]),
            f"{known_number(row['low'])} to {known_number(row['high'])}" if _known(row["low"]) else UNKNOWN,
            f"{row['n']:,}",
            known_number(before.get((row["split"], row["metric"]))),
        ]
        for row in facts.scores.to_dict("records")
    ]
    headers = ["split", "metric", "value", "95 % interval", "n", "before training"]
    step = f"Of step {facts.checkpoint.step:,}, chosen by {inline(facts.run.select_metric or 'not stated')}."
    blocks = [table(headers, rows, right=(2, 4, 5)), step]
    if KINDS[str(facts.run.task)].has_labels:
        blocks.append(_classes(facts))
    if len(facts.beside):
        blocks.append(_beside(facts))
    return "\n\n".join(blocks)


_WHO = {
    "merged": "this model",
    "parent": "parent, trained for this",
    "untrained": "that parent before training",
    "other": "parent, not trained for this, under the same head",
}


def _beside(facts: Facts) -> str:
    """The metric that was selected by, of a merged model and its parents on the last split that both have."""
    selected = (facts.run.select_metric or "").rpartition("/")[2]
    of = facts.beside[facts.beside["metric"] == selected]
    split = next((name for name in _SPLITS if ((of["split"] == name) & (of["who"] == "merged")).any()), None)
    if split is None:
        return f"Its parents: {UNKNOWN}."
    rows = [
        [_WHO[row["who"]], inline(row["name"]), known_number(row["value"]), _ends(row), f"{row['n']:,}"]
        for row in of[of["split"] == split].to_dict("records")
    ]
    headers = ["model", "run", _title(selected), "95 % interval", "n"]
    return f"Beside its parents, on {split} of the same data:\n\n{table(headers, rows, right=(2, 4))}"


def _ends(row: Mapping[Any, Any]) -> str:
    return f"{known_number(row['low'])} to {known_number(row['high'])}" if _known(row["low"]) else UNKNOWN


def _classes(facts: Facts) -> str:
    if facts.classes is None:
        return f"Each label: {UNKNOWN} (no predictions of this checkpoint are in the store)."
    rows = [
        [
            inline(row["label"]),
            f"{row['n']:,}",
            known_number(row["precision"]),
            known_number(row["recall"]),
            known_number(row["f1"]),
            f"{known_number(row['f1_low'])} to {known_number(row['f1_high'])}" if _known(row["f1_low"]) else UNKNOWN,
        ]
        for row in facts.classes.table.to_dict("records")
    ]
    headers = ["label", "n", "precision", "recall", "F1", "95 % interval of F1"]
    return f"Each class on {inline(facts.classes.split)}:\n\n{table(headers, rows, right=(1, 2, 3, 4))}"


def _title(metric: str) -> str:
    known = find_metric(metric)
    unit = f" ({known.unit})" if known and known.unit not in ("fraction", "correlation") else ""
    return inline(known.title if known else metric) + unit


def _known(value: Any) -> bool:
    return value is not None and value == value


def known_number(value: Any) -> str:
    """With four digits; what was not measured is said to be so."""
    return f"{value:.4f}" if _known(value) else UNKNOWN
