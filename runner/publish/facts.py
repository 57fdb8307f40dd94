"""What the store knows of a run for its model card. Loads no torch; what was not recorded is None or empty."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evals.classification import class_table, confusion_matrix
from evals.entities import count_entities, entity_table
from evals.multilabel import set_table
from evals.tags import Span
from runner.publish.kinds import Says
from runner.publish.plan import Plan, public_base
from runner.recipe import Recipe
from store import (
    Checkpoint,
    Dataset,
    Run,
    RunCost,
    RunNotFound,
    Store,
    get_cost,
    get_dataset,
    get_evaluation,
    get_run,
    latest_triage,
    list_groups,
    list_merge_scores,
    list_scores,
    list_version_changes,
    read_predictions,
    read_responses,
    read_targets,
    read_values,
)

_TABLE_SPLITS = ("test", "validation")
"""In which of them each label is looked at."""


@dataclass(frozen=True)
class Step:
    """A version of the data, and what was decided to make it of its parent."""

    dataset: Dataset
    counts: Mapping[str, int]
    """relabel, edit, edit and relabel, drop."""
    n_people: int | None
    """Who decided; None where it is not known."""


@dataclass(frozen=True)
class Stage:
    """An earlier run whose model was the base (`model.base = "run:NAME"`)."""

    id: str
    name: str
    task: str
    step: int
    dataset: str | None


@dataclass(frozen=True)
class ClassScores:
    """Each class on one split; the columns of `evals.classification.class_table`."""

    split: str
    table: pd.DataFrame


@dataclass(frozen=True)
class Facts:
    """Everything a model card says of a run."""

    run: Run
    recipe: Recipe
    checkpoint: Checkpoint
    labels: tuple[str, ...]
    dataset: Dataset | None
    lineage: tuple[Step, ...]
    """Versions that were made of others by decisions, the newest first."""
    balance: pd.DataFrame
    """Columns label, and one for each split: how often."""
    scores: pd.DataFrame
    """Of the checkpoint: columns split, metric, value, low, high, n."""
    untrained: pd.DataFrame
    """The same before training; empty where that was not measured."""
    classes: ClassScores | None
    cost: RunCost
    triage: Mapping[str, Any] | None
    """The summary of the newest triage of the dataset version."""
    slices: pd.DataFrame
    """Slices with more errors: columns kind, name, n, evidence."""
    beside: pd.DataFrame
    """Of a merged run its scores and those of its parents; columns of `store.list_merge_scores`."""
    stages: tuple[Stage, ...] = ()
    """The newest first."""
    root: str | None = None
    """The public name of the model that the first stage began with; None where it has none, or is not known."""


def card_facts(plan: Plan) -> Facts:
    store, run = plan.store, plan.run
    dataset = None if run.dataset_key is None else get_dataset(store, run.dataset_key)
    labels = dataset.label_names or () if dataset else ()
    scores = list_scores(store, [run.key])
    triage = None if dataset is None else latest_triage(store, dataset.key)
    stages, root = _stages(store, run)
    return Facts(
        run=run,
        recipe=plan.recipe,
        checkpoint=plan.checkpoint,
        labels=tuple(labels),
        dataset=dataset,
        lineage=_lineage(store, dataset),
        balance=_balance(store, dataset, plan.kind.says),
        scores=scores[scores["step"] == plan.checkpoint.step],
        untrained=scores[(scores["step"] == 0) & (plan.checkpoint.step != 0)],
        classes=_classes(store, plan, dataset),
        cost=get_cost(store, run.key),
        triage=None if triage is None else triage.summary,
        slices=_slices(store, None if triage is None or not triage.has_rows else triage.key),
        beside=list_merge_scores(store, run),
        stages=stages,
        root=root,
    )


def _stages(store: Store, run: Run) -> tuple[tuple[Stage, ...], str | None]:
    """Runs whose models a run was made of, one of another, as long as the store has them; and what they began with."""
    stages: list[Stage] = []
    while run.base_model is not None and run.base_model.startswith("run:"):
        parent: Any = (run.provenance or {}).get("base_run") or {}
        try:
            run = get_run(store, run.base_model.removeprefix("run:"))
        except RunNotFound:  # it was removed since
            stages += [_stage(parent, None)] if parent else []
            return tuple(stages), None
        data: Any = (run.provenance or {}).get("data") or {}
        step = parent.get("step", 0)
        stages.append(Stage(run.id, run.name, str(run.task), step, data.get("dataset")))
    return tuple(stages), public_base(run.base_model)


def _stage(parent: Mapping[str, Any], dataset: str | None) -> Stage:
    return Stage(parent["id"], parent["name"], parent["task"], parent["step"], dataset)


def _lineage(store: Store, dataset: Dataset | None) -> tuple[Step, ...]:
    steps = []
    while dataset is not None and dataset.parent_key is not None:
        counts: Any = dataset.source.get("counts") or {}
        authors = set(list_version_changes(store, dataset, limit=1_000_000)["author"])
        steps.append(Step(dataset, dict(counts), len(authors) or None))
        dataset = get_dataset(store, dataset.parent_key)
    return tuple(steps)


def _balance(store: Store, dataset: Dataset | None, says: Says) -> pd.DataFrame:
    if dataset is None or not dataset.label_names:
        return pd.DataFrame({"label": []})
    columns: dict[str, Any] = {"label": list(dataset.label_names)}
    for split, n in dataset.n_rows.items():
        if n:
            given = _labels(store, dataset, split, says)
            columns[split] = np.bincount(given, minlength=len(dataset.label_names))
    return pd.DataFrame(columns)


def _labels(store: Store, dataset: Dataset, split: str, says: Says) -> NDArray[np.int64]:
    """The label of each row that has one; of sets every label, of spans the type of each."""
    if says in ("labels", "tags"):
        items = [item for value in read_values(store, dataset, split) if value for item in json.loads(str(value))]
        return np.array([item if says == "labels" else item[2] for item in items], dtype=np.int64)
    targets = read_targets(store, dataset, split)
    return targets[targets >= 0]


def _classes(store: Store, plan: Plan, dataset: Dataset | None) -> ClassScores | None:
    if dataset is None or not dataset.label_names:
        return None
    for split in _TABLE_SPLITS:
        evaluation = get_evaluation(store, plan.run.key, split, plan.checkpoint.step)
        if evaluation is None:
            continue
        if plan.kind.says in ("labels", "tags"):
            table = _entities if plan.kind.says == "tags" else _sets
            if said := read_responses(store, evaluation):
                return ClassScores(split, table(store, dataset, split, said))
            continue
        predicted = read_predictions(store, evaluation).predicted
        if len(predicted):
            targets = read_targets(store, dataset, split)
            confusion = confusion_matrix(targets, predicted, len(dataset.label_names))
            return ClassScores(split, class_table(confusion, dataset.label_names))
    return None


def _sets(store: Store, dataset: Dataset, split: str, said: Mapping[int, Any]) -> pd.DataFrame:
    """`evals.multilabel.set_table` of an evaluation."""
    values = read_values(store, dataset, split)
    names = dataset.label_names or ()
    given, predicted = (np.zeros((len(values), len(names)), dtype=np.int64) for _ in range(2))
    for at, value in enumerate(values):
        given[at, json.loads(str(value))] = 1
        predicted[at, said[at]["labels"]] = 1
    return set_table(given, predicted, names)


def _entities(store: Store, dataset: Dataset, split: str, said: Mapping[int, Any]) -> pd.DataFrame:
    """`evals.entities.entity_table` of an evaluation, with its types as labels."""
    names = dataset.label_names or ()

    def spans(items: list[list[Any]]) -> list[Span]:
        return [Span(int(start), int(end), names[int(at)]) for start, end, at, *_ in items]

    given = [spans(json.loads(value)) for value in read_values(store, dataset, split)]
    counts = count_entities(given, [spans(said[at]["spans"]) for at in range(len(given))], names)
    return entity_table(counts).rename(columns={"type": "label"})


def _slices(store: Store, triage_key: int | None) -> pd.DataFrame:
    if triage_key is None:
        return pd.DataFrame({"kind": [], "name": [], "n": [], "evidence": []})
    groups = pd.concat([list_groups(store, triage_key, kind) for kind in ("weak_slice", "rare_class")])
    return groups.sort_values("risk", ascending=False, kind="stable")
