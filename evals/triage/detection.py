"""Running detectors: which have their inputs, what they find, and which of it are findings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from evals.intervals import Ints
from evals.triage.findings import DETECTORS, Detector
from evals.triage.found import Found, evidence_of
from evals.triage.inputs import Inputs


@dataclass(frozen=True)
class Findings:
    """What the detectors found.

    examples: columns kind, row, risk, evidence (a dict of plain values); the highest risk of each kind first.
    groups: columns kind, name, risk, n, evidence, rows (an array); the worst of each kind first.
    missing: of each kind that could not be looked for, the inputs that it lacks.
    """

    examples: pd.DataFrame
    groups: pd.DataFrame
    missing: Mapping[str, tuple[str, ...]]


def missing_inputs(detector: Detector, inputs: Inputs) -> tuple[str, ...]:
    """The inputs that a detector needs and that are not there.

    >>> from evals.triage.findings import get_detector
    >>> missing_inputs(get_detector("label_leak"), Inputs(1, texts=["a"]))
    ('labels', 'label_names')
    """
    return tuple(name for name in detector.needs if getattr(inputs, name) is None)


def detect(detector: Detector, inputs: Inputs) -> Found:
    """Run one detector; ValueError where an input is missing, or a setting is none of the function's.

    >>> from evals.triage.findings import get_detector
    >>> detect(get_detector("empty"), Inputs(2, texts=["", "hello"])).risk.tolist()
    [1.0, 0.0]
    """
    if missing := missing_inputs(detector, inputs):
        raise ValueError(f"{detector.kind} needs {', '.join(missing)}, which the inputs lack.")
    given: dict[str, Any] = {name: getattr(inputs, name) for name in detector.needs}
    given |= {name: value for name in detector.uses if (value := getattr(inputs, name)) is not None}
    return detector.detect(**given, **inputs.settings.get(detector.kind, {}))


def flagged_rows(detector: Detector, found: Found) -> Ints:
    """Rows of the examples that are findings, the highest risk first.

    >>> from evals.triage.findings import get_detector
    >>> flagged_rows(get_detector("outlier"), Found(np.array([0.99, 0.5, np.nan, 1.0]), {})).tolist()
    [3, 0]
    """
    rows = np.flatnonzero(found.risk >= detector.flag_from)
    return rows[np.argsort(-found.risk[rows], kind="stable")]


def find_all(inputs: Inputs, detectors: Sequence[Detector] = DETECTORS) -> Findings:
    """Run every detector that has its inputs.

    >>> found = find_all(Inputs(3, texts=["", "my card", "my card"]))
    >>> found.examples[["kind", "row", "risk"]].values.tolist()
    [['exact_duplicate', 2, 1.0], ['empty', 0, 1.0]]
    >>> found.missing["outlier"]
    ('neighbours',)
    """
    examples, groups, missing = [], [], {}
    for detector in detectors:
        if lacks := missing_inputs(detector, inputs):
            missing[detector.kind] = lacks
            continue
        found = detect(detector, inputs)
        rows = flagged_rows(detector, found).tolist()
        examples += [(detector.kind, row, float(found.risk[row]), evidence_of(found, row)) for row in rows]
        groups += [
            (detector.kind, each.name, each.risk, len(each.rows), each.evidence, each.rows) for each in found.groups
        ]
    return Findings(
        pd.DataFrame(examples, columns=["kind", "row", "risk", "evidence"]),
        pd.DataFrame(groups, columns=["kind", "name", "risk", "n", "evidence", "rows"]),
        missing,
    )
