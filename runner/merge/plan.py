"""What is to be merged, checked as a whole before anything is loaded or written. Loads no torch."""

import json
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from evals.tags import Scheme, scheme_tags
from runner.errors import UserError
from runner.files import wrong_files
from runner.inputs import choose_checkpoint
from runner.recipe import Recipe, RecipeError, recipe_from_resolved
from runner.recipe.methods import ADAPTERS
from store import Checkpoint, Dataset, Run, Store, get_dataset

Way = Literal["linear", "cat", "ties", "dare-linear", "dare-ties", "magnitude-prune"]

WAYS: tuple[Way, ...] = ("linear", "cat", "ties", "dare-linear", "dare-ties", "magnitude-prune")
THINNING: tuple[Way, ...] = ("ties", "dare-linear", "dare-ties", "magnitude-prune")
"""Ways that drop a part of the changes: density is the share that stays."""
RANDOM: tuple[Way, ...] = ("dare-linear", "dare-ties")
AVERAGING: tuple[Way, ...] = ("ties", "dare-ties")
"""Ways that divide by how many agree on the sign: their weights need not sum to 1."""
DENSITY = 0.5

TASKS = ("text-classification", "token-classification")

# Settings of an adapter whose parts cannot be added up as peft does it.
_NOT_ADDED = ("use_rslora", "use_dora")


@dataclass(frozen=True)
class Parent:
    """One of the models that are merged."""

    run: Run
    recipe: Recipe
    checkpoint: Checkpoint
    folder: Path
    labels: tuple[str, ...]
    pooling: str
    dataset: Dataset | None
    weight: float

    @property
    def title(self) -> str:
        return f"{self.run.name} ({self.run.id})"

    @property
    def is_adapter(self) -> bool:
        return self.recipe.model.method in ADAPTERS

    def outputs(self, labels: Sequence[str]) -> tuple[str, ...]:
        """What its head says, of these labels: they themselves, or of types of spans the tags."""
        if self.run.task == "token-classification":
            return scheme_tags(labels, Scheme(self.recipe.model.tag_scheme))
        return tuple(labels)


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

    @property
    def method(self) -> str:
        """As a recipe writes it: what kind of checkpoint comes out."""
        first = self.parents[0]
        return first.recipe.model.method if first.is_adapter and not self.is_folded else "full"

    def as_json(self) -> dict[str, Any]:
        """What provenance keeps of it."""
        return {
            "method": self.way or "fold",
            "density": self.density,
            "seed": self.seed,
            "folded": self.is_folded,
            "parents": [
                {
                    "id": parent.run.id,
                    "name": parent.run.name,
                    "step": parent.checkpoint.step,
                    "sha256": parent.checkpoint.sha256,
                    "weight": parent.weight,
                    "dataset": None if parent.dataset is None else str(parent.dataset),
                }
                for parent in self.parents
            ],
        }


def plan_merge(
    store: Store,
    runs: Sequence[Run],
    *,
    way: Way | None = None,
    weights: Sequence[float] | None = None,
    density: float | None = None,
    seed: int | None = None,
    fold: bool = False,
    name: str | None = None,
    dataset: Dataset | None = None,
) -> Merge:
    """Raises UserError with all that stands against it, before any work."""
    if way is None and len(runs) > 1:
        way = "linear"
    problems = list(_problems_of_settings(runs, way, weights, density, seed, fold=fold))
    if weights is None or len(weights) != len(runs):
        weights = [1.0 if way in AVERAGING else 1.0 / max(len(runs), 1)] * len(runs)
    parents = []
    for run, weight in zip(runs, weights, strict=True):
        try:
            parents.append(_parent(store, run, weight))
        except UserError as error:
            problems.append(str(error))
    problems += _problems_between(parents, way, fold=fold)
    evaluated = dataset or next((parent.dataset for parent in parents if parent.dataset is not None), None)
    problems += _problems_of_data(parents, evaluated)
    if problems or evaluated is None:
        raise UserError("\n".join(problems))
    return Merge(
        parents=tuple(parents),
        way=way,
        density=(DENSITY if density is None else density) if way in THINNING else None,
        seed=(seed or 0) if way in RANDOM else None,
        is_folded=fold,
        name=name or _name(runs[0].name, way),
        dataset=evaluated,
    )


def _name(first: str, way: Way | None) -> str:
    ending = f"-{way or 'folded'}"
    return first[: 100 - len(ending)].rstrip() + ending


def _problems_of_settings(
    runs: Sequence[Run],
    way: Way | None,
    weights: Sequence[float] | None,
    density: float | None,
    seed: int | None,
    *,
    fold: bool,
) -> Iterator[str]:
    n = len(runs)
    if n == 1 and not fold:
        yield "one run alone is nothing to merge: name two or more, or --fold its adapter into its base."
    if n == 1 and way is not None:
        yield f"--by {way}: one run alone is folded, not combined; leave it out."
    for run in sorted({run.id for run in runs if sum(other.key == run.key for other in runs) > 1}):
        yield f"run {run} is named twice; give it a higher weight instead."
    if weights is not None:
        if len(weights) != n:
            yield f"--weights: {len(weights)} for {n} runs; one for each, in their order."
        if wrong := [weight for weight in weights if not (math.isfinite(weight) and weight > 0)]:
            yield f"--weights: {', '.join(f'{weight:g}' for weight in wrong)}; each must be a number above 0."
    if density is not None:
        if way not in THINNING:
            yield f"--density: {way or 'folding'} drops nothing; it belongs to --by {', '.join(THINNING)}."
        if not 0 < density <= 1:
            yield f"--density {density:g}: must be above 0 and at most 1, the share of the changes that stays."
    if seed is not None and way not in RANDOM:
        yield f"--seed: {way or 'folding'} leaves nothing to chance; it belongs to --by {', '.join(RANDOM)}."


def _parent(store: Store, run: Run, weight: float) -> Parent:
    title = f"run {run.name} ({run.id})"
    if run.recipe is None:
        raise UserError(f"{title} was recorded by a script, so how to load its model is not known.")
    if run.task not in TASKS:
        raise UserError(f"{title} is of task {run.task}; models of {', '.join(TASKS)} are merged.")
    try:
        recipe = recipe_from_resolved(run.recipe)
    except RecipeError as error:
        raise UserError(f"{title} was recorded by another version of Assay: {error}") from error
    checkpoint = choose_checkpoint(store, run)
    folder = store.files / checkpoint.path
    if wrong := wrong_files(folder, checkpoint.manifest):
        raise UserError(f"the checkpoint of {title} is not what the run wrote: {'; '.join(wrong[:5])}.")
    info = json.loads((folder / "assay.json").read_text(encoding="utf-8"))
    dataset = None if run.dataset_key is None else get_dataset(store, run.dataset_key)
    return Parent(run, recipe, checkpoint, folder, tuple(info["labels"]), info["pooling"], dataset, weight)


def _problems_between(parents: Sequence[Parent], way: Way | None, *, fold: bool) -> Iterator[str]:
    bases = _grouped(parents, lambda p: _base(p.recipe))
    if len(bases) > 1:
        yield f"the runs have different bases: {_said(bases)}. Only models of one base can be merged."
    tasks = _grouped(parents, lambda p: str(p.run.task))
    if len(tasks) > 1:
        yield f"the runs are of different tasks: {_said(tasks)}. Only models of one task can be merged."
    schemes = _grouped(parents, lambda p: p.recipe.model.tag_scheme)
    if len(schemes) > 1:
        yield f"the runs say tags of different schemes: {_said(schemes)}. Train them with the same model.tag_scheme."
    labels = _grouped(parents, lambda p: ", ".join(sorted(p.labels)))
    if len(labels) > 1:
        yield f"the runs have different labels: {_said(labels)}. Only models of the same labels can be merged for now."
    poolings = _grouped(parents, lambda p: p.pooling)
    if len(poolings) > 1:
        yield f"the runs pool in different ways: {_said(poolings)}. Train them with the same model.pooling."
    tokenizers = _grouped(parents, lambda p: p.recipe.model.tokenizer or "the base's own")
    if len(tokenizers) > 1:
        yield f"the runs have different tokenizers: {_said(tokenizers)}."
    yield from _problems_of_methods(parents, way, fold=fold)
    for parent in parents:
        if parent.recipe.model.base.startswith("scratch:"):
            base = parent.recipe.model.base
            yield f"run {parent.title}: its base {base} is random weights that are nowhere to be had."


def _problems_of_methods(parents: Sequence[Parent], way: Way | None, *, fold: bool) -> Iterator[str]:
    methods = _grouped(parents, lambda p: p.recipe.model.method)
    if "head" in methods:
        yield f"method head changes no weights that could be merged: {', '.join(methods['head'])}."
    kinds = {p.is_adapter for p in parents if p.recipe.model.method != "head"}
    if len(kinds) > 1:
        yield f"adapters and full fine-tunes do not mix: {_said(methods)}. Fold the adapters first (--fold)."
    if fold and kinds == {False}:
        yield "--fold: there is no adapter to fold; the runs are full fine-tunes."
    if way == "cat" and kinds == {False}:
        yield "--by cat: it puts adapters side by side; for full fine-tunes, linear says the same."
    if kinds != {True} or way is None:
        return
    if others := [p.title for p in parents if p.recipe.model.method == "peft"]:
        yield f"only LoRA adapters can be combined: {', '.join(others)}; fold each, then merge those."
        return
    settings = [(p, _adapter_settings(p)) for p in parents]
    for parent, values in settings:
        if used := [setting for setting in _NOT_ADDED if values.get(setting)]:
            named = ", ".join(used)
            yield f"run {parent.title}: adapters with {named} cannot be combined; fold each, then merge those."
    ranks = sorted({int(values["r"]) for _, values in settings})
    if len(ranks) > 1 and way != "cat":
        yield (
            f"the adapters have different ranks ({', '.join(map(str, ranks))}), which --by {way} cannot add up; "
            "use --by cat, or fold each, then merge those."
        )


def _adapter_settings(parent: Parent) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((parent.folder / "adapter" / "adapter_config.json").read_text(encoding="utf-8"))
    return values


def _problems_of_data(parents: Sequence[Parent], dataset: Dataset | None) -> Iterator[str]:
    if dataset is None:
        yield "none of the runs has a dataset in the store to evaluate on: name one with --dataset NAME@VERSION."
        return
    names = set(dataset.label_names or ())
    if parents and names != set(parents[0].labels):
        yield f"dataset {dataset} has other labels than the runs: {', '.join(sorted(names))[:200] or 'none'}."
    if not any(n for split, n in dataset.n_rows.items() if split != "train"):
        yield f"dataset {dataset} has no split to evaluate on."


def _base(recipe: Recipe) -> str:
    model = recipe.model
    name = model.base + (f" at {model.revision}" if model.revision else "")
    few_bits = model.quantization
    return f"{name} in {few_bits.bits} bits ({few_bits.type})" if model.method == "qlora" else name


def _grouped(parents: Sequence[Parent], key: Any) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = defaultdict(list)
    for parent in parents:
        groups[str(key(parent))].append(parent.title)
    return dict(groups)


def _said(groups: dict[str, list[str]]) -> str:
    return "; ".join(f"{value}: {', '.join(runs)}" for value, runs in groups.items())
