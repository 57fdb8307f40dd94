"""What is to be merged, checked as a whole before anything is loaded or written. Loads no torch."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runner.errors import UserError
from runner.files import wrong_files
from runner.inputs import choose_checkpoint
from runner.merge.checks import problems_between, problems_of_data, problems_of_settings
from runner.merge.parent import AVERAGING, DENSITY, RANDOM, THINNING, Parent, Way
from runner.publish.kinds import KINDS
from runner.recipe import RecipeError, recipe_from_resolved
from store import Dataset, Run, Store, get_dataset


@dataclass(frozen=True)
class Merge:
    """A merge that can be carried out."""

    parents: tuple[Parent, ...]
    way: Way | None
    """None: nothing is combined, one adapter is folded."""
    density: float | None
    seed: int | None
    """Of what is dropped at random; None where nothing is."""
    is_folded: bool
    name: str
    dataset: Dataset
    """What it is evaluated on."""
    speaker: Parent | None = None
    """The parent whose head it has, and whose data it answers; None: its head is one of all parents'."""

    @property
    def first(self) -> Parent:
        """The parent whose recipe it goes by."""
        return self.speaker or self.parents[0]

    @property
    def method(self) -> str:
        """As a recipe writes it: what kind of checkpoint comes out."""
        return self.first.recipe.model.method if self.first.is_adapter and not self.is_folded else "full"

    @property
    def max_length(self) -> int:
        """Tokens that it reads."""
        return self.speaker.max_length if self.speaker else max(parent.max_length for parent in self.parents)

    @property
    def others(self) -> tuple[Parent, ...]:
        """Where each task keeps its own head: the parents that were trained for other ones."""
        return tuple(p for p in self.parents if p.run.key != self.speaker.run.key) if self.speaker else ()

    def as_json(self) -> dict[str, Any]:
        """What provenance keeps of it."""
        said: dict[str, Any] = {
            "method": self.way or "fold",
            "density": self.density,
            "seed": self.seed,
            "folded": self.is_folded,
            "parents": [
                {
                    "id": parent.run.id,
                    "name": parent.run.name,
                    "task": parent.run.task,
                    "step": parent.checkpoint.step,
                    "sha256": parent.checkpoint.sha256,
                    "weight": parent.weight,
                    "dataset": None if parent.dataset is None else str(parent.dataset),
                }
                for parent in self.parents
            ],
        }
        said["weights"] = merge_hash(said)
        if self.speaker is not None:
            said["head_of"] = {"id": self.speaker.run.id, "name": self.speaker.run.name}
        return said


def merge_hash(said: Mapping[str, Any]) -> str:
    """Equal for two merges of the same checkpoints in the same way, under one head; never that of a recipe that was
    trained."""
    said = {name: value for name, value in said.items() if name != "weights"}
    kept = {**said, "parents": [(each["sha256"], each["weight"]) for each in said["parents"]]}
    return hashlib.blake2b(json.dumps(kept, sort_keys=True).encode(), digest_size=16).hexdigest()


def plan_merge(
    store: Store,
    runs: Sequence[Run],
    *,
    way: Way | None = None,
    weights: Sequence[float] | None = None,
    density: float | None = None,
    seed: int | None = None,
    fold: bool = False,
    each: bool = False,
    name: str | None = None,
    dataset: Dataset | None = None,
) -> tuple[Merge, ...]:
    """One merge; with `each` one for every run: the same weights under that run's head, for that run's data.

    Raises UserError with all that stands against it, before any work.
    """
    if way is None and len(runs) > 1:
        way = "linear"
    problems = list(problems_of_settings(runs, way, weights, density, seed, fold=fold, each=each, dataset=dataset))
    if weights is None or len(weights) != len(runs):
        weights = [1.0 if way in AVERAGING else 1.0 / max(len(runs), 1)] * len(runs)
    parents = []
    for run, weight in zip(runs, weights, strict=True):
        try:
            parents.append(_parent(store, run, weight))
        except UserError as error:
            problems.append(str(error))
    problems += problems_between(parents, way, fold=fold, each=each)
    evaluated = [parent.dataset for parent in parents] if each else [dataset or _first_dataset(parents)]
    for at, data in enumerate(evaluated):
        problems += problems_of_data(store, parents[at : at + 1], data)
    if problems:
        raise UserError("\n".join(problems))
    names = _names(runs, way, name, each=each)
    return tuple(
        Merge(
            parents=tuple(parents),
            way=way,
            density=(DENSITY if density is None else density) if way in THINNING else None,
            seed=(seed or 0) if way in RANDOM else None,
            is_folded=fold,
            name=own,
            dataset=data,
            speaker=parents[at] if each else None,
        )
        for at, (own, data) in enumerate(zip(names, evaluated, strict=True))
        if data is not None  # else that was a problem
    )


def _first_dataset(parents: Sequence[Parent]) -> Dataset | None:
    return next((parent.dataset for parent in parents if parent.dataset is not None), None)


def _names(runs: Sequence[Run], way: Way | None, name: str | None, *, each: bool) -> list[str]:
    """Of the merged runs: as asked for, and with `each` that and the run whose head it has."""
    if not each:
        return [name or _joined(runs[0].name, way or "folded")]
    names = [_joined(name, run.name) if name else _joined(run.name, way or "folded") for run in runs]
    return [_joined(own, run.id[-4:]) if names.count(own) > 1 else own for own, run in zip(names, runs, strict=True)]


def _joined(first: str, ending: str) -> str:
    """Both, in the 100 characters of a name."""
    ending = f"-{ending[-60:]}"
    return first[: 100 - len(ending)].rstrip() + ending


def _parent(store: Store, run: Run, weight: float) -> Parent:
    title = f"run {run.name} ({run.id})"
    if run.recipe is None:
        raise UserError(f"{title} was recorded by a script, so how to load its model is not known.")
    if run.task not in KINDS:
        raise UserError(f"{title} is of task {run.task}; models of {', '.join(KINDS)} are merged.")
    try:
        recipe = recipe_from_resolved(run.recipe)
    except RecipeError as error:
        raise UserError(f"{title} was recorded by another version of Assay: {error}") from error
    checkpoint = choose_checkpoint(store, run)
    folder = store.files / checkpoint.path
    if wrong := wrong_files(folder, checkpoint.manifest):
        raise UserError(f"the checkpoint of {title} is not what the run wrote: {'; '.join(wrong[:5])}.")
    info = json.loads((folder / "assay.json").read_text(encoding="utf-8"))
    return Parent(
        run=run,
        recipe=recipe,
        checkpoint=checkpoint,
        folder=folder,
        labels=tuple(info["labels"]),
        pooling=info["pooling"],
        max_length=int(info["max_length"]),
        settings=info.get("settings") or {},
        dataset=None if run.dataset_key is None else get_dataset(store, run.dataset_key),
        weight=weight,
    )
