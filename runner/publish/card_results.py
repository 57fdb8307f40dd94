"""The section of a model card about results: every metric with its interval, and each label."""

from typing import Any

from evals.metrics import find_metric
from runner.publish.facts import Facts
from runner.publish.kinds import KINDS
from runner.publish.markdown import inline, table

UNKNOWN = "not measured"


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
    return "\n\n".join(blocks)


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
