"""What a finished triage says of the data set as a whole: its summary, read once.

A summary is JSON, so unknown numbers are null there; here they are nan. Classes are named there by index or by name;
here by index, -1 for one that the data set does not have.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from evals.intervals import Estimate

PAIR_COLUMNS = ("given", "likely", "n", "low", "high")
CLASS_COLUMNS = ("label", "n", "rate", "low", "high")
CURVE_COLUMNS = ("n_reviewed", "n_found", "low", "high")
SCORE_COLUMNS = ("score", "average_precision", "low", "high", "precision_at_errors", "in_sample")

UNKNOWN = Estimate(np.nan, np.nan, np.nan)


@dataclass(frozen=True)
class Summary:
    """n: training examples. noise (a share) and n_errors with their 95 % intervals, nan where no label could be judged.

    pairs, by_class, curve, scores: frames with the columns above. missing: kind → the
    inputs it lacked. default: the score that the queue is sorted by.
    """

    n: int
    n_labelled: int
    noise: Estimate
    n_errors: Estimate
    pairs: pd.DataFrame
    by_class: pd.DataFrame
    curve: pd.DataFrame
    scores: pd.DataFrame
    default: str | None
    missing: Mapping[str, Sequence[str]]
    n_canaries: int
    unjudged: str | None = None
    """What the examples have in place of one label each: "sets of labels", "numbers"."""
    judged: Mapping[str, Any] | None = None
    """Who says how doubtful these are: `name`, and whether it was trained on them (`in_sample`); None: nobody."""


def read_summary(summary: Mapping[str, Any], label_names: Sequence[str] = ()) -> Summary:
    """The summary of a finished triage; what is absent is unknown.

    >>> said = read_summary({"n": 10, "labels": {"n_errors": {"value": 2, "low": 1, "high": None}}, "findings": {}})
    >>> said.n_errors, said.noise.value, said.curve.empty
    (Estimate(value=2.0, low=1.0, high=nan), nan, True)
    """
    labels = summary.get("labels") or {}
    curve = labels.get("yield") or {}
    pairs, by_class = _frame(labels.get("pairs"), PAIR_COLUMNS), _frame(labels.get("by_class"), CLASS_COLUMNS)
    number = {name: i for i, name in enumerate(label_names)}
    return Summary(
        n=int(summary.get("n") or 0),
        n_labelled=int(labels.get("n_labelled") or 0),
        noise=_estimate(labels.get("noise")),
        n_errors=_estimate(labels.get("n_errors")),
        pairs=_indexed(pairs, number, "given", "likely"),
        by_class=_indexed(by_class, number, "label"),
        curve=_frame({name: curve.get(name) or [] for name in CURVE_COLUMNS}, CURVE_COLUMNS),
        scores=_frame(labels.get("scores"), SCORE_COLUMNS),
        default=labels.get("default"),
        missing={str(kind): tuple(names) for kind, names in (summary.get("missing") or {}).items()},
        n_canaries=int((labels.get("canaries") or {}).get("n") or 0),
        unjudged=summary.get("unjudged"),
        judged=summary.get("judged"),
    )


def _estimate(table: Any) -> Estimate:
    if not isinstance(table, Mapping):
        return UNKNOWN
    return Estimate(*(np.nan if table.get(name) is None else float(table[name]) for name in Estimate._fields))


def _frame(rows: Any, columns: Sequence[str]) -> pd.DataFrame:
    frame = pd.DataFrame(rows if rows is not None else [], columns=list(columns))
    plain = ("given", "likely", "label", "score", "in_sample")
    numbers = {name: pd.to_numeric(frame[name]).astype("float64") for name in columns if name not in plain}
    return frame.assign(**numbers)


def _indexed(frame: pd.DataFrame, number: Mapping[str, int], *names: str) -> pd.DataFrame:
    def index(value: Any) -> int:
        if isinstance(value, str):
            return number.get(value, -1)
        return int(value) if 0 <= int(value) < len(number) else -1

    return frame.assign(**{name: pd.Series([index(value) for value in frame[name]], dtype="int64") for name in names})
