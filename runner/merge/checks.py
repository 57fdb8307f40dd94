"""What stands between runs that are to be merged: bases, heads, methods, data. Loads no torch."""

import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from runner.merge.parent import RANDOM, THINNING, Parent, Way
from runner.publish.kinds import KINDS
from runner.recipe import Recipe
from runner.recipe.shapes import SHAPES
from store import Dataset, Run, Store, iter_inputs

EACH = "With --each every run keeps its own head and is evaluated on its own data."

# Settings of an adapter whose parts cannot be added up as peft does it.
_NOT_ADDED = ("use_rslora", "use_dora")


def problems_of_settings(
    runs: Sequence[Run],
    way: Way | None,
    weights: Sequence[float] | None,
    density: float | None,
    seed: int | None,
    *,
    fold: bool,
    each: bool,
    dataset: Dataset | None,
) -> Iterator[str]:
    """What is wrong with what was asked for."""
    n = len(runs)
    if n == 1 and not fold:
        yield "one run alone is nothing to merge: name two or more, or --fold its adapter into its base."
    if n == 1 and way is not None:
        yield f"--by {way}: one run alone is folded, not combined; leave it out."
    if n == 1 and each:
        yield "--each: one run alone has one head and one dataset; leave it out."
    if each and dataset is not None:
        yield f"--each evaluates every run on its own data, and --dataset names {dataset}: leave one of them out."
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


def problems_between(parents: Sequence[Parent], way: Way | None, *, fold: bool, each: bool) -> Iterator[str]:
    """What keeps these models from becoming one. `each`: every run keeps its own head."""
    bases = _grouped(parents, lambda p: base_of(p.recipe))
    if len(bases) > 1:
        yield f"the runs have different bases: {_said(bases)}. Only models of one base can be merged."
    bodies = _grouped(parents, lambda p: KINDS[str(p.run.task)].body)
    if len(bodies) > 1:
        yield (
            f"the runs load their base in different ways: {_said(bodies)}. What was trained on the one does not fit "
            "the other; train them with tasks that load it alike."
        )
    if not each:
        yield from _problems_of_heads(parents, has_tasks=len(bodies) == 1)
    tokenizers = _grouped(parents, lambda p: p.recipe.model.tokenizer or "the base's own")
    if len(tokenizers) > 1:
        yield f"the runs have different tokenizers: {_said(tokenizers)}."
    yield from _problems_of_methods(parents, way, fold=fold)
    for parent in parents:
        if parent.recipe.model.base.startswith("scratch:"):
            base = parent.recipe.model.base
            yield f"run {parent.title}: its base {base} is random weights that are nowhere to be had."


def _problems_of_heads(parents: Sequence[Parent], *, has_tasks: bool) -> Iterator[str]:
    """What keeps heads, and how texts are put to models, from becoming one."""
    tasks = _grouped(parents, lambda p: str(p.run.task))
    if len(tasks) > 1:
        yield f"the runs are of different tasks: {_said(tasks)}. {EACH if has_tasks else ''}".rstrip()
        return
    schemes = _grouped(parents, lambda p: p.recipe.model.tag_scheme)
    if len(schemes) > 1:
        yield f"the runs say tags of different schemes: {_said(schemes)}. {EACH}"
    labels = _grouped(parents, lambda p: ", ".join(sorted(p.labels)))
    if len(labels) > 1:
        yield f"the runs have different labels: {_said(labels)}. {EACH}"
    poolings = _grouped(parents, lambda p: p.pooling)
    if len(poolings) > 1:
        yield f"the runs pool in different ways: {_said(poolings)}. {EACH}"
    highest = _grouped(parents, lambda p: str(p.settings.get("most")))
    if len(highest) > 1:
        yield f"the runs learnt relevance up to different values: {_said(highest)}. {EACH}"
    if KINDS[next(iter(tasks), "text-classification")].is_language:
        ways = _grouped(parents, lambda p: json.dumps(dict(p.settings), sort_keys=True, ensure_ascii=False))
        if len(ways) > 1:
            yield f"the runs put texts to their models in different ways: {_said(ways)}. {EACH}"


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
    settings = [(p, _adapter_settings(p)) for p in parents if p.is_adapter]
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


def problems_of_data(store: Store, parents: Sequence[Parent], dataset: Dataset | None) -> Iterator[str]:
    """What keeps a model of these runs from being evaluated on a dataset."""
    if dataset is None:
        titles = ", ".join(parent.title for parent in parents)
        yield f"no dataset in the store to evaluate on: {titles or 'the runs'}. Name one with --dataset NAME@VERSION."
        return
    if not any(n for split, n in dataset.n_rows.items() if split != "train"):
        yield f"dataset {dataset} has no split to evaluate on."
        return
    if not parents:
        return
    names = set(dataset.label_names or ())
    if names != set(parents[0].labels):
        yield f"dataset {dataset} has other labels than the runs: {', '.join(sorted(names))[:200] or 'none'}."
        return
    shape = SHAPES[str(parents[0].run.task)]
    needed = set(shape.inputs) - set(shape.optional)
    split = next(split for split, n in dataset.n_rows.items() if n)
    (first, *_) = next(iter_inputs(store, dataset, split, 1))
    if not needed <= set(first) <= set(shape.inputs):
        asked = " and ".join(name for name in shape.inputs if name in needed) or " or ".join(shape.inputs)
        yield f"dataset {dataset} has {' and '.join(first)}, and the runs read {asked}."


def base_of(recipe: Recipe) -> str:
    """What a model was trained on, in words that are the same for the same base."""
    model = recipe.model
    name = model.base + (f" at {model.revision}" if model.revision else "")
    few_bits = model.quantization
    return f"{name} in {few_bits.bits} bits ({few_bits.type})" if model.method == "qlora" else name


def _grouped(parents: Sequence[Parent], key: Callable[[Parent], str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = defaultdict(list)
    for parent in parents:
        groups[key(parent)].append(parent.title)
    return dict(groups)


def _said(groups: dict[str, list[str]]) -> str:
    return "; ".join(f"{value}: {', '.join(runs)}" for value, runs in groups.items())
