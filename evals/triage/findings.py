"""The table of detectors: every kind of finding, what it needs, and what to do about it.

A detector is a pure function from some of the `Inputs` to `Found`, and one row here. Its parameters have the names of
the inputs that it needs or can use.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import pandas as pd

from evals.intervals import Floats, Ints
from evals.triage import (
    coverage,
    damage,
    duplicates,
    garbage,
    imbalance,
    language,
    leakage,
    overlap,
    personal,
    slices,
)
from evals.triage.found import Found, checked, evidence_of
from evals.triage.inputs import Inputs


class Action(StrEnum):
    """What a person can do about a finding."""

    RELABEL = "relabel"
    EDIT = "edit"
    DROP = "drop"
    LOOK = "look"
    COLLECT = "collect more"
    CONFIGURE = "change a setting"


@dataclass(frozen=True)
class Detector:
    """A kind of finding.

    needs: inputs without which nothing can be said; uses: inputs that are taken where they are there. flag_from: an
    example with this risk or a higher one is a finding. suggests: the name of the evidence that holds a suggested label
    or text. version: goes up when the same inputs may give another risk.
    """

    kind: str
    title: str
    needs: tuple[str, ...]
    detect: Callable[..., Found]
    action: Action
    to_do: str
    uses: tuple[str, ...] = ()
    flag_from: float = 0.5
    suggests: str | None = None
    version: int = 1


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


def label_errors(label_risk: Floats, suggested: Ints | None = None) -> Found:
    """Labels that are likely wrong: the risk is handed through. evidence: label, the suggested one (class index).

    >>> label_errors(np.array([0.2, 0.9]), np.array([-1, 3])).evidence["label"].tolist()
    [-1, 3]
    """
    if suggested is None:
        return Found(np.asarray(label_risk, dtype=np.float64), {})
    checked("suggested", suggested, len(label_risk))
    return Found(np.asarray(label_risk, dtype=np.float64), {"label": suggested})


DETECTORS: tuple[Detector, ...] = (
    Detector(
        "label_error", "wrong label", ("label_risk",), label_errors, Action.RELABEL,
        "Read the text and pick the label it should have; the suggestion is only that.",
        uses=("suggested",), suggests="label",
    ),
    Detector(
        "contradiction", "same text, different labels", ("duplicates", "labels"), duplicates.contradictions,
        Action.RELABEL, "At least one of the labels is wrong, or the classes cannot be told apart by text.",
        flag_from=0.3, suggests="label",
    ),
    Detector(
        "split_leak", "duplicate across splits", ("duplicates", "splits"), duplicates.split_leaks, Action.DROP,
        "Drop the copy outside the test split: scores on a text that was trained on are too good.", flag_from=0.7,
    ),
    Detector(
        "exact_duplicate", "exact duplicate", ("duplicates",), duplicates.exact_duplicates, Action.DROP,
        "Drop it, unless how often a text comes is meant to count.", uses=("splits",),
    ),
    Detector(
        "near_duplicate", "near duplicate", ("duplicates",), duplicates.near_duplicates, Action.LOOK,
        "Drop it where it says nothing that the other does not.", uses=("splits",), flag_from=0.7,
    ),
    Detector(
        "empty", "empty text", ("texts",), garbage.empty_texts, Action.DROP,
        "Drop it, or find what should have been there.",
    ),
    Detector(
        "repetition", "repeated text", ("texts",), garbage.repeated_texts, Action.DROP,
        "Drop it, or keep one of the repetitions.", flag_from=0.4,
    ),
    Detector(
        "markup", "markup in the text", ("texts",), garbage.markup_texts, Action.EDIT,
        "Strip the markup where the model will not see it in use.", suggests="text",
    ),
    Detector(
        "encoding", "damaged encoding", ("texts",), damage.damaged_texts, Action.EDIT,
        "Take the repaired text; if there are many, read the source file again as UTF-8.", suggests="text",
    ),
    Detector(
        "language", "other language", ("texts",), language.other_languages, Action.LOOK,
        "Drop it, unless the model is to understand that language.", flag_from=0.7,
    ),
    Detector(
        "truncated", "cut off by max_length", ("n_tokens", "max_length"), garbage.truncated_texts, Action.CONFIGURE,
        "Raise data.max_length, or shorten the text: the model sees only its beginning.", flag_from=1e-9,
    ),
    Detector(
        "personal_data", "personal data", ("texts",), personal.personal_texts, Action.EDIT,
        "Take the masked text, or drop it: what a model has seen it may say.", suggests="masked",
    ),
    Detector(
        "label_leak", "label inside the input", ("texts", "labels", "label_names"), leakage.label_leaks, Action.EDIT,
        "Take the label out of the text: the model learns to copy it and fails where it is not given.", flag_from=0.9,
    ),
    Detector(
        "giveaway_word", "a word that decides a class", ("texts", "labels", "label_names"), leakage.giveaway_words,
        Action.LOOK, "Ask whether the word will be there in use; if not, remove it or collect texts without it.",
    ),
    Detector(
        "outlier", "outlier", ("neighbours", "is_train"), coverage.outliers, Action.LOOK,
        "Drop what does not belong; collect more where it does.", flag_from=0.99,
    ),
    Detector(
        "sparse_region", "region with few training examples", ("embeddings", "texts", "is_train", "neighbours"),
        coverage.sparse_regions, Action.COLLECT, "Label more examples like these.",
    ),
    Detector(
        "boundary", "on the boundary", ("log_probs",), overlap.boundary_examples, Action.LOOK,
        "Make sure of its label: these examples decide where the model draws the line.", flag_from=0.9,
    ),
    Detector(
        "class_overlap", "classes that overlap", ("log_probs", "labels", "label_names"), overlap.class_overlap,
        Action.LOOK, "Merge the two, or write down what parts them and relabel by it.",
    ),
    Detector(
        "rare_class", "rare class that pays for it", ("labels", "is_train", "predicted", "label_names"),
        imbalance.rare_classes, Action.COLLECT, "Label more examples of it, or weigh it more.",
    ),
    Detector(
        "weak_slice", "slice with more errors", ("errors", "slicings"), slices.weak_slices, Action.LOOK,
        "See what these examples share that the model does not get: labels, length, words, source.",
    ),
)  # fmt: skip


def get_detector(kind: str) -> Detector:
    """The detector of a kind; ValueError names those that there are.

    >>> get_detector("outlier").title
    'outlier'
    """
    for detector in DETECTORS:
        if detector.kind == kind:
            return detector
    raise ValueError(f"{kind!r} is no kind of finding; known are {', '.join(each.kind for each in DETECTORS)}.")


def missing_inputs(detector: Detector, inputs: Inputs) -> tuple[str, ...]:
    """The inputs that a detector needs and that are not there.

    >>> missing_inputs(get_detector("label_leak"), Inputs(1, texts=["a"]))
    ('labels', 'label_names')
    """
    return tuple(name for name in detector.needs if getattr(inputs, name) is None)


def detect(detector: Detector, inputs: Inputs) -> Found:
    """Run one detector; ValueError where an input is missing, or a setting is none of the function's.

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
