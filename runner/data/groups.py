"""Rows that belong together, of one query, patient or document: cut into splits as a whole.

A held-out row of which the model has seen a sibling says little of things that it has never seen.
"""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from runner.data.problems import quoted
from runner.data.scan import same_hashes
from runner.data.splits import LEFT_OUT, Cut, seeded_keys
from runner.data.tables import SPLITS, Split


def grouped_cut(groups: NDArray[np.uint8], shares: Mapping[Split, float], seed: int) -> Cut:
    """Cut one part per share, in the order of `shares`, out of `n` rows, whole groups only; the rest stays in train.

    `groups` is (n, 16), equal for rows that belong together; shares lie in (0, 1) and sum to less than 1. Groups come
    in an order that only their name and the seed decide; a part takes each that does not bring it further from share ×
    n rows, and at least one. Rows are not cut evenly by label. With fewer than `1 + len(shares)` groups nothing is cut.
    """
    part = np.zeros(len(groups), dtype=np.int8)
    group, first = same_hashes(groups)
    if len(first) <= len(shares):
        return Cut(part, ())
    sizes = np.bincount(group)
    of_group = np.zeros(len(first), dtype=np.int8)
    left = np.lexsort((seeded_keys(groups[first], seed),)).tolist()
    for number, share in enumerate(shares.values(), start=1):
        wanted, n, taken = share * len(groups), 0, list[int]()
        for each in left[
            : len(left) - (len(shares) - number + 1)
        ]:  # the parts after this one, and train, need one each
            if n + sizes[each] / 2 > wanted:
                continue
            taken.append(each)
            n += int(sizes[each])
            if n >= wanted:
                break
        of_group[taken or [min(left, key=lambda each: (sizes[each], left.index(each)))]] = number
        left = [each for each in left if not of_group[each]]
    part[:] = of_group[group]
    return Cut(part, ())


def grouped_subset(groups: NDArray[np.uint8], n: int, seed: int) -> NDArray[np.bool_]:
    """A mask (n_rows,) of whole groups, in seeded order, as long as they are no more than `n` rows; one at least."""
    group, first = same_hashes(groups)
    order = np.lexsort((seeded_keys(groups[first], seed),))
    fits = np.cumsum(np.bincount(group)[order]) <= n
    fits[:1] = True
    kept = np.zeros(len(first), dtype=np.bool_)
    kept[order[fits]] = True
    return kept[group]


def crossing_warnings(groups: NDArray[np.uint8], splits: NDArray[np.int8], column: str) -> Iterator[str]:
    """How many groups the source itself has in more than one split."""
    used = splits != LEFT_OUT
    group = same_hashes(groups[used]).group
    in_split = np.zeros((len(SPLITS), int(group.max(initial=-1)) + 1), dtype=np.bool_)
    in_split[splits[used], group] = True
    n = int((in_split.sum(axis=0) > 1).sum())
    if n:
        values = "value" if n == 1 else "values"
        yield (
            f"{n:,} {values} of {quoted([column])} {'is' if n == 1 else 'are'} in more than one split, where a model "
            "can know what belongs to them by heart."
        )
