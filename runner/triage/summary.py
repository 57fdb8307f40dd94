"""What came out of a triage as JSON values: what its steps add to the summary in the store. nan becomes null there."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from evals.triage.audit import LabelAudit
from evals.triage.detection import Findings

_MOST_PAIRS = 200
_CURVE_DIGITS = 3


def labels_summary(
    audit: LabelAudit, label_names: Sequence[str], *, voices: Sequence[str], seed: int
) -> dict[str, object]:
    """What the audit says of the labels as a whole; classes by name.

    noise: share of wrong labels with its interval. n_errors: how many that are. by_class: label, n, n_errors, rate,
    low, high. pairs: given, likely, n, low, high. scores: what the canaries say of each, and whether it is in-sample.
    default: the score that the queue is sorted by. voices: opinions that were listened to. yield: errors found after
    so many looks. canaries: how many labels were flipped on paper, how many of those in the copy, of which kinds.
    """
    noise = audit.noise
    n_errors = {"value": noise.value * noise.n, "low": noise.low * noise.n, "high": noise.high * noise.n}
    classes = audit.by_class.assign(label=_names(audit.by_class["given"], label_names)).drop(columns="given")
    pairs = audit.pairs.rename(columns={"n_errors": "n"})
    pairs = pairs.assign(given=_names(pairs["given"], label_names), likely=_names(pairs["likely"], label_names))
    kinds = pd.Series(audit.canaries.kind).map(dict(enumerate(audit.canaries.kinds)))
    return {
        "n_labelled": noise.n,
        "noise": {"value": noise.value, "low": noise.low, "high": noise.high},
        "readings": {name: getattr(noise, name) for name in ("cautious", "channel", "anchor", "confident")},
        "n_errors": n_errors,
        "by_class": _records(classes),
        "pairs": _records(pairs.head(_MOST_PAIRS)),
        "scores": _records(audit.comparison),
        "default": audit.default,
        "voices": list(voices),
        "yield": {name: np.round(audit.curve[name].to_numpy(), _CURVE_DIGITS).tolist() for name in _CURVE},
        "canaries": {
            "n": len(audit.canaries.rows),
            "n_planted": int(audit.canaries.is_planted.sum()),
            "kinds": {str(kind): int(n) for kind, n in kinds.value_counts().items()},
            "seed": seed,
        },
    }


_CURVE = ("n_reviewed", "n_found", "low", "high")


def findings_summary(found: Findings) -> dict[str, object]:
    """findings: how many examples of each kind (of groups: how many groups, where no example is named). missing: kinds
    that could not be looked for, and what they lack."""
    counts: dict[str, int] = {str(kind): int(n) for kind, n in found.examples["kind"].value_counts().items()}
    for kind, n in found.groups["kind"].value_counts().items():
        counts.setdefault(str(kind), int(n))
    return {"findings": counts, "missing": {kind: list(lacks) for kind, lacks in found.missing.items()}}


def _names(indices: "pd.Series[Any]", label_names: Sequence[str]) -> list[str]:
    return [label_names[index] for index in indices.tolist()]


def _records(frame: pd.DataFrame) -> list[Mapping[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]
