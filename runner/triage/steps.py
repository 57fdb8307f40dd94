"""What is found out, step by step. Each takes what it needs from the context and from what earlier steps wrote, so that
a triage that was killed goes on with the step it died in.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evals.triage.audit import LabelAudit, NothingToAudit, label_audit
from evals.triage.coverage import K, train_neighbours
from evals.triage.detection import Findings, find_all
from evals.triage.findings import get_detector
from evals.triage.inputs import Inputs
from evals.triage.layout import data_map
from evals.triage.neighbours import Neighbours
from evals.triage.regions import find_regions
from evals.triage.voices import N_NEIGHBOURS
from runner.triage.answers import read_answers_of
from runner.triage.context import Context
from runner.triage.doubts import doubts_of
from runner.triage.dynamics import has_dynamics, run_risks
from runner.triage.embedding import count_tokens
from runner.triage.summary import findings_summary, labels_summary
from runner.triage.voices import listened_to, named
from store import list_columns, read_column

Column = NDArray[Any]


@dataclass(frozen=True)
class Written:
    """What a step hands to the store. columns: (split, name) → array in position order."""

    columns: Mapping[tuple[str, str], Column] = field(default_factory=dict)
    findings: pd.DataFrame | None = None
    groups: pd.DataFrame | None = None
    queue: pd.DataFrame | None = None
    summary: Mapping[str, object] = field(default_factory=dict)


class Step(NamedTuple):
    """name: as the store has it. title: what a person reads while it works."""

    name: str
    title: str
    work: Callable[[Context, int], Written]
    """(context, key of the triage)."""


# scores of the runs --------------------------------------------------------------------------------------------------


def training_scores(context: Context, triage_key: int) -> Written:
    """What runs, and a head on the vectors, said of the training examples while they were trained on them."""
    given = context.given
    columns: dict[tuple[str, str], Column] = {}
    if context.has_labels:
        for run in context.sources.runs:
            if has_dynamics(context.store, run, context.rows.n_train, context.n_classes):
                context.progress.message(f"reading what {run.name} ({run.id}) said in its epochs")
                scores = named(run_risks(context.store, run.key, given), run.id)
                columns |= {("train", f"score:{name}"): risk for name, risk in scores.items()}
        columns |= {("train", f"score:{name}"): risk for name, risk in context.heads.in_sample(given).items()}
    return Written(columns)


# neighbours ----------------------------------------------------------------------------------------------------------


def neighbours(context: Context, triage_key: int) -> Written:
    """The nearest training examples of every example, and the regions of the data."""
    if context.vectors is None:
        return Written()
    rows = context.rows
    vectors = context.vectors.astype(np.float32)
    found = train_neighbours(vectors, rows.split_names == "train", N_NEIGHBOURS)
    region = find_regions(vectors, seed=context.options.seed).region.astype(np.int16)
    columns: dict[tuple[str, str], Column] = {}
    for split in rows.splits:
        columns[split, "neighbours"] = found.rows[rows.of(split)].astype(np.int32)
        columns[split, "neighbour_similarity"] = found.similarity[rows.of(split)].astype(np.float32)
        columns[split, "cluster"] = region[rows.of(split)]
    return Written(columns)


# labels --------------------------------------------------------------------------------------------------------------


def labels(context: Context, triage_key: int) -> Written:
    """Which labels are wrong, by whom, how many, and which score to sort by."""
    if context.kind is not None:
        return _doubts(context)
    if not context.has_labels:
        return Written(summary={"labels": None})
    in_sample = listened_to(_stored_scores(context, triage_key))
    vectors, is_of_pairs = context.blind_vectors, bool(context.rows.parts)
    near = None if vectors is None or is_of_pairs else _stored_neighbours(context, triage_key, of_train=True)
    try:
        audit = label_audit(
            context.given,
            context.n_classes,
            texts=None if is_of_pairs else context.rows.texts[: context.rows.n_train],
            embeddings=vectors,
            neighbours=near,
            groups=context.copies,
            opinions=context.crossvals,
            in_sample=in_sample,
            retrain=context.heads.on_copy,
            with_canaries=context.options.with_canaries,
            seed=context.options.seed,
            progress=context.progress.message,
        )
    except NothingToAudit:
        return Written(summary={"labels": None})
    columns = _audit_columns(audit, without=in_sample)
    return Written(columns, queue=_queue(audit), summary={"labels": _summary(audit, context)})


def _doubts(context: Context) -> Written:
    """Targets that are no single labels, the most doubtful first."""
    found = doubts_of(context)
    if found is None:
        return Written(summary={"labels": None})
    n_known = int((~np.isnan(found.risk)).sum())
    judged = {"name": found.name, "in_sample": found.in_sample, "score": found.score, "n": n_known}
    queue = pd.DataFrame({"split": "train", "position": np.arange(len(found.risk)), "risk": found.risk})
    return Written(
        {("train", f"score:{found.score}"): found.risk.astype(np.float32)},
        queue=queue,
        summary={"labels": None, "judged": judged},
    )


def _stored_scores(context: Context, triage_key: int) -> dict[str, NDArray[np.float32]]:
    """What `training_scores` wrote, by name."""
    written = list_columns(context.store, triage_key)
    names = [name for name in written["name"] if name.startswith("score:") and "@" in name]
    found = {name.removeprefix("score:"): read_column(context.store, triage_key, "train", name) for name in names}
    return {name: column for name, column in found.items() if column is not None}


def _audit_columns(audit: LabelAudit, *, without: Mapping[str, Column]) -> dict[tuple[str, str], Column]:
    """All that the audit says of each example; `without` are scores that an earlier step wrote."""
    columns: dict[str, Column] = {
        "risk": audit.risk.astype(np.float32),
        "chance": audit.chance.astype(np.float32),
        "suggested": audit.suggestions.label.astype(np.int32),
        "suggested_probability": audit.suggestions.probability.astype(np.float32),
        "n_doubting": audit.n_doubting.astype(np.int16),
        "n_voices": audit.n_voices.astype(np.int16),
    }
    columns |= {f"score:{name}": risk.astype(np.float32) for name, risk in audit.scores.items() if name not in without}
    for name, predicted in audit.voices_predicted.items():
        columns[f"voice:{name}:predicted"] = predicted.astype(np.int32)
        columns[f"voice:{name}:p_given"] = audit.voices_p_given[name].astype(np.float16)
    return {("train", name): column for name, column in columns.items()}


def _summary(audit: LabelAudit, context: Context) -> dict[str, object]:
    return labels_summary(
        audit,
        context.dataset.label_names or (),
        voices=[*audit.voices_predicted],
        seed=context.options.seed,
    )


def _queue(audit: LabelAudit) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "split": "train",
            "position": np.arange(len(audit.risk)),
            "risk": np.clip(audit.risk, 0, 1),
            "suggested": audit.suggestions.label,
            "suggested_probability": audit.suggestions.probability,
            "n_doubting": audit.n_doubting,
            "n_voices": audit.n_voices,
        }
    )


# all other findings --------------------------------------------------------------------------------------------------


def findings(context: Context, triage_key: int) -> Written:
    """Everything else that is wrong, by the table of detectors."""
    found = find_all(_inputs(context, triage_key))
    return Written(
        findings=_finding_rows(found, context),
        groups=_group_rows(found, context),
        summary=findings_summary(found),
    )


def _inputs(context: Context, triage_key: int) -> Inputs:
    rows, n = context.rows, len(context.rows)
    columns = {name: _train_column(context, triage_key, name) for name in _OF_LABELS}
    has_risk = columns["risk"] is not None
    log_probs = context.log_probs
    counted = count_tokens(context.sources, rows)
    said, sets, numbers = context.sentences, context.label_sets, context.numbers
    texts = read_answers_of(context.store, rows, context.sources.runs)
    has_tokens = texts is not None and len(texts.log_probs) > 0
    return Inputs(
        n,
        texts=rows.texts,
        parts=rows.parts,
        labels=rows.labels if context.n_classes else None,
        label_names=context.dataset.label_names,
        splits=rows.split_names,
        metadata=rows.metadata,
        embeddings=None if context.vectors is None else context.vectors.astype(np.float32),
        log_probs=log_probs,
        predicted=None if log_probs is None else _predicted(context, log_probs),
        label_risk=_filled(columns["risk"], n, np.nan) if has_risk else None,
        suggested=_filled(columns["suggested"], n, -1) if has_risk else None,
        suggested_probability=_filled(columns["suggested_probability"], n, np.nan) if has_risk else None,
        n_doubting=_filled(columns["n_doubting"], n, -1) if has_risk else None,
        n_voices=_filled(columns["n_voices"], n, -1) if has_risk else None,
        n_tokens=counted.n_tokens if counted else None,
        max_length=counted.max_length if counted else None,
        given_spans=said.given if said else None,
        predicted_spans=said.predicted if said else None,
        token_p_given=said.p_given if said else None,
        token_offsets=said.offsets if said else texts.offsets if texts else None,
        label_sets=sets.given if sets else None,
        label_set_probs=sets.probs if sets else None,
        numbers=numbers.given if numbers else None,
        predicted_numbers=numbers.predicted if numbers else None,
        prompts=texts.prompts if texts else None,
        answers=texts.answers if texts else None,
        answer_loss=texts.loss if texts and has_tokens else None,
        answer_loss_alone=texts.loss_alone if texts and has_tokens else None,
        target_log_probs=texts.log_probs if texts and has_tokens else None,
        best_other_log_probs=texts.best_other if texts and has_tokens else None,
        found_neighbours=_stored_neighbours(context, triage_key, k=K),
    )


_OF_LABELS = ("risk", "suggested", "suggested_probability", "n_doubting", "n_voices")


def _train_column(context: Context, triage_key: int, name: str) -> Column | None:
    return read_column(context.store, triage_key, "train", name)


def _filled(column: Column | None, n: int, missing: float) -> Column:
    """A column of the training examples as one of all rows."""
    assert column is not None, "the columns of the labels are written together"
    kind = np.float64 if column.dtype.kind == "f" else np.int64
    found = np.full(n, missing, dtype=kind)
    found[: len(column)] = column
    return found


def _predicted(context: Context, log_probs: NDArray[np.floating[Any]]) -> NDArray[np.int64]:
    """(n,) the likeliest label, -1 = not known; of other splits what a run said, where one did."""
    is_known = ~np.isnan(log_probs).any(axis=1)
    found = np.where(is_known, np.nan_to_num(log_probs, nan=-np.inf).argmax(axis=1), -1)
    for split in context.rows.splits:
        said = None if split == "train" else context.predicted(split)
        if said is not None:
            found[context.rows.of(split)] = said
    return found


def _stored_neighbours(
    context: Context, triage_key: int, *, k: int = N_NEIGHBOURS, of_train: bool = False
) -> Neighbours | None:
    """What the step `neighbours` wrote, of all rows or of the training examples: the nearest k."""
    splits = ("train",) if of_train else context.rows.splits
    pieces = [
        [read_column(context.store, triage_key, split, name) for split in splits]
        for name in ("neighbours", "neighbour_similarity")
    ]
    if any(piece is None for column in pieces for piece in column):
        return None
    rows, similarity = (np.concatenate([piece for piece in column if piece is not None]) for column in pieces)
    return Neighbours(rows[:, :k].astype(np.int64), similarity[:, :k])


def _finding_rows(found: Findings, context: Context) -> pd.DataFrame:
    """Findings as the store takes them."""
    places = [context.rows.place(row) for row in found.examples["row"].tolist()]
    suggests = {kind: get_detector(kind).suggests for kind in found.examples["kind"].unique()}
    return pd.DataFrame(
        {
            "kind": found.examples["kind"],
            "split": [split for split, _ in places],
            "position": [position for _, position in places],
            "risk": found.examples["risk"].clip(0, 1),
            "suggested": pd.Series(
                [
                    evidence.get(suggests[kind] or "")
                    for kind, evidence in zip(found.examples["kind"], found.examples["evidence"], strict=True)
                ],
                dtype=object,
            ),
            "evidence": [context.rows.placed(evidence) for evidence in found.examples["evidence"]],
        }
    )


def _group_rows(found: Findings, context: Context) -> pd.DataFrame:
    """Groups as the store takes them."""
    return pd.DataFrame(
        {
            "kind": found.groups["kind"],
            "name": found.groups["name"],
            "risk": found.groups["risk"].astype(np.float64).clip(0, 1),
            "evidence": found.groups["evidence"],
            "members": [context.rows.members(np.asarray(rows)) for rows in found.groups["rows"]],
        }
    )


# the map -------------------------------------------------------------------------------------------------------------


def layout(context: Context, triage_key: int) -> Written:
    """Where each example lies on a map of the data."""
    if context.vectors is None:
        return Written()
    rows = context.rows
    near = _stored_neighbours(context, triage_key)
    distance = None if near is None else 1 - near.similarity[:, -1].astype(np.float64)
    found = data_map(context.vectors.astype(np.float32), distance=distance, seed=context.options.seed)
    columns: dict[tuple[str, str], Column] = {}
    for split in rows.splits:
        columns[split, "map"] = found.points[rows.of(split)]
        columns[split, "map_sampled"] = found.is_sampled[rows.of(split)].astype(np.uint8)
    return Written(columns)


STEPS: tuple[Step, ...] = (
    Step("training scores", "what the runs said while they were trained", training_scores),
    Step("neighbours", "who lies next to whom", neighbours),
    Step("labels", "which labels are wrong", labels),
    Step("findings", "everything else that is wrong", findings),
    Step("map", "a map of the data", layout),
)
