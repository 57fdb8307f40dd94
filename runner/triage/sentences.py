"""What a triage found, in sentences for the terminal and the report. Loads no torch."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from evals.triage.phrases import counted, gravest, undecidable_words, unjudged_words

LEAST_PAIR = 0.05
"""A pair of classes is named where it holds this share of the wrong labels."""
LOOKS = (50, 100, 200, 500, 1000, 2000, 5000)


def about(estimate: Mapping[str, float | None] | None) -> str:
    """A count with its 95 % interval, from {"value", "low", "high"}.

    >>> about({"value": 610.2, "low": 520.0, "high": 704.0}), about({"value": None, "low": None, "high": None})
    ('610 (520 to 704)', 'an unknown number')
    """
    value, low, high = ((estimate or {}).get(name) for name in ("value", "low", "high"))
    if value is None:
        return "an unknown number"
    return f"{value:,.0f}" if low is None or high is None else f"{value:,.0f} ({low:,.0f} to {high:,.0f})"


def percent(share: float | None) -> str:
    """A share of which tenths of a percent matter while it is small.

    >>> percent(0.0534), percent(0.31), percent(None)
    ('5.3 %', '31 %', '–')
    """
    if share is None or share != share:
        return "–"
    return f"{100 * share:.1f} %" if share < 0.1 else f"{100 * share:.0f} %"


def of_labels(summary: Mapping[str, Any]) -> str:
    """How many labels are wrong, and which.

    >>> print(of_labels({"n": 900, "labels": {"n_labelled": 900, "n_errors": {"value": 61, "low": 52, "high": 70},
    ...     "noise": {"value": 0.068, "low": 0.06, "high": 0.08}, "pairs": [{"given": "a", "likely": "b", "n": 21}]}}))
    About 61 (52 to 70) of 900 labels are wrong, 6.8 % (6.0 to 8.0 %); most often a that should be b (21).
    """
    labels = summary.get("labels")
    if not labels and summary.get("unjudged"):
        return unjudged_words(f"{summary.get('n') or 0:,}", summary["unjudged"], summary.get("judged"))
    if not labels:
        return f"{summary.get('n') or 0:,} training examples; without two classes of labels there are none to judge."
    if labels["n_errors"]["value"] is None:
        return undecidable_words(f"{labels['n_labelled']:,}")
    noise = labels["noise"]
    said = f"About {about(labels['n_errors'])} of {labels['n_labelled']:,} labels are wrong, {percent(noise['value'])}"
    if noise["low"] is not None and noise["high"] is not None:
        said += f" ({100 * noise['low']:.1f} to {100 * noise['high']:.1f} %)"
    top = max(labels["pairs"], key=lambda pair: pair["n"] or 0, default=None)
    if top is not None and (top["n"] or 0) >= max(1, LEAST_PAIR * labels["n_errors"]["value"]):
        said += f"; most often {top['given']} that should be {top['likely']} ({top['n']:,.0f})"
    return said + "."


def of_findings(summary: Mapping[str, Any], most: int = 4) -> str:
    """What else is wrong, the gravest first; "" where nothing is.

    >>> of_findings({"findings": {"empty": 2, "split_leak": 88, "boundary": 300}})
    'Also 88 duplicates across splits and 2 empty texts.'
    """
    counts = summary.get("findings") or {}
    said = [counted(kind, counts[kind]) for kind in gravest(counts)]
    if not said:
        return ""
    n_more = len(said) - most
    more = f" and {n_more} other {'kind' if n_more == 1 else 'kinds'} of findings" if n_more > 0 else ""
    return f"Also {listed(said[:most]) if not more else ', '.join(said[:most])}{more}."


def of_scores(summary: Mapping[str, Any]) -> str:
    """What the queue is sorted by, and what canaries say of that; "" without labels."""
    labels = summary.get("labels")
    if not labels:
        return ""
    n, said = labels["canaries"]["n"], f"The queue is sorted by {labels['default']}"
    if not n:
        return f"{said}; no score was measured."
    row = next((row for row in labels["scores"] if row["score"] == labels["default"]), None)
    if row is None or row["average_precision"] is None:
        return f"{said}, which was not measured."
    return (
        f"{said}: measured on {n:,} labels that were flipped on paper, its average precision is"
        f" {row['average_precision']:.2f} ({row['low']:.2f} to {row['high']:.2f})."
    )


def of_yield(summary: Mapping[str, Any]) -> str:
    """What looking at the top of the queue is expected to find; "" where that is not known."""
    labels = summary.get("labels")
    errors = None if not labels else labels["n_errors"]["value"]
    if not labels or not errors:
        return ""
    curve = labels["yield"]
    n_looks = min((looks for looks in LOOKS if looks >= errors), default=LOOKS[-1])
    n_looks = min(n_looks, summary.get("n") or n_looks)
    found, low, high = (_at(n_looks, curve["n_reviewed"], curve[name]) for name in ("n_found", "low", "high"))
    if found is None:
        return ""
    ends = "" if low is None or high is None else f" ({low:,.0f} to {high:,.0f})"
    return f"About {found:,.0f}{ends} of the first {n_looks:,} in the queue are expected to be wrong."


def _at(n: int, places: Sequence[float], values: Sequence[float | None]) -> float | None:
    """A curve's value; None where it is not known."""
    known = [value for value in values if value is not None]
    return float(np.interp(n, places, known)) if len(known) == len(places) > 0 else None


def sentences(summary: Mapping[str, Any]) -> list[str]:
    """All of it, the most important first."""
    said = (of_labels(summary), of_findings(summary), of_yield(summary), of_scores(summary))
    return [each for each in said if each]


def listed(parts: Sequence[str]) -> str:
    """Words with commas and a last "and".

    >>> listed(["a"]), listed(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
