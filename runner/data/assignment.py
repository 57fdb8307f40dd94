"""The split of every row: those that the source came with, and what is cut from train for those it lacks."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from runner.data.groups import grouped_cut, grouped_subset
from runner.data.problems import Problems, listed
from runner.data.splits import LEFT_OUT, TRAIN, stratified_cut, stratified_subset
from runner.data.tables import SPLITS, Split

if TYPE_CHECKING:
    from runner.recipe.data import Data


def assign_splits(
    ids: NDArray[np.uint8],
    targets: NDArray[np.int32],
    given: NDArray[np.int8],
    data: "Data",
    label_names: Sequence[str] | None,
    problems: Problems,
    *,
    groups: NDArray[np.uint8] | None = None,
) -> tuple[NDArray[np.int8], tuple[str, ...]]:
    """The final split of every row, (n,) indices into `SPLITS` or -1 for a row left out, and warnings.

    `given` has the splits that the source came with. Those it lacks are cut from train, and train is then thinned
    out to `data.max_examples`. `targets` (n,) are what is cut evenly; `label_names` of None: all 0. `groups` (n, 16)
    are equal for rows that stay together; then nothing is cut evenly by target.
    """
    splits, warnings = given.copy(), []
    train = np.flatnonzero(given == TRAIN)
    fractions: dict[Split, float] = {"validation": data.split.validation, "test": data.split.test}
    shares = {split: share for split, share in fractions.items() if not (given == SPLITS.index(split)).any()}
    if sum(shares.values()) >= 1:
        named = " + ".join(f"{split} {share:g}" for split, share in shares.items())
        problems.add(f"data.split: {named} leaves nothing to train on. Their sum must be below 1.")
        return splits, ()
    if shares:
        if groups is None:
            cut = stratified_cut(ids[train], targets[train], shares, data.split.seed)
        else:
            cut = grouped_cut(groups[train], shares, data.split.seed)
        if not cut.part.any() and groups is not None:
            n = len(np.unique(groups[train], axis=0))
            problems.add(
                f"train has {len(train):,} examples, of which {n:,} stay apart from each other: too few to split off "
                f"{' and '.join(shares)}, which takes at least {len(shares) + 1}. Add examples, or name files for the "
                "splits in data.source."
            )
        elif not cut.part.any():
            problems.add(
                f"train has {len(train):,} examples"
                + (f" of {len(label_names)} labels" if label_names is not None else "")
                + f": too few to split off {' and '.join(shares)}, which takes "
                f"{'a label with ' if label_names is not None else ''}at least {len(shares) + 1}. "
                f"Add examples, or name files for the splits in data.source."
            )
        if cut.too_small and label_names is not None:
            counts = np.bincount(targets[train])
            small = listed([f'"{label_names[label]}" ({counts[label]})' for label in cut.too_small])
            warnings.append(
                f"Labels with too few examples to be split stay in train as a whole, so {' and '.join(shares)} say "
                f"nothing about them: {small}."
            )
        for part, split in enumerate(shares, start=1):
            splits[train[cut.part == part]] = SPLITS.index(split)
    if data.max_examples is not None:
        train = np.flatnonzero(splits == TRAIN)
        if groups is None:
            kept = stratified_subset(ids[train], targets[train], data.max_examples, data.split.seed)
        else:
            kept = grouped_subset(groups[train], data.max_examples, data.split.seed)
        splits[train[~kept]] = LEFT_OUT
    return splits, tuple(warnings)
