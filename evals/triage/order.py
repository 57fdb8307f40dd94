"""Whether examples could stand in any order of the file: if not, batches, folds and splits by position are no samples.

Three tests of exchangeability within each split, each with an effect in [0, 1]: 0 = as in a shuffled file.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from evals.intervals import Floats, Ints
from evals.paired import ALPHA, holm
from evals.triage.found import Found, Group, of_groups
from evals.triage.neighbours import Neighbours

LEAST_EXAMPLES = 30
LEAST_EFFECT = 0.1
"""Less is no trouble, however sure it is in a large file."""
_ROWS, _SHUFFLES = 1_000, 399
COLUMNS = ("split", "what", "effect", "n", "p", "p_holm")


class Effect(NamedTuple):
    """effect in [0, 1] and p in (0, 1], nan where there is too little; `n` examples were looked at."""

    effect: float
    p: float
    n: int


NOTHING = Effect(np.nan, np.nan, 0)


def label_runs(labels: Ints) -> Effect:
    """Whether equal labels stand together: labels (n,) in file order, -1 = none (left out).

    effect: of the examples that could be followed by one of their own class, beyond those that are by chance, the share
    that is: 1 = sorted by label. p: one-sided, from the number of runs, which is normal with the mean and variance of
    Barton & David, Multiple Runs, Biometrika 44 (1957) 168.

    >>> label_runs(np.repeat([0, 1], 50)).effect, round(label_runs(np.tile([0, 1], 50)).p, 3)
    (1.0, 1.0)
    """
    known = labels[labels >= 0]
    n, counts = len(known), np.bincount(known).astype(np.float64) if len(known) else np.zeros(0)
    n_classes = int((counts > 0).sum())
    if n < LEAST_EXAMPLES or n_classes < 2:
        return NOTHING
    squares, cubes = float((counts**2).sum()), float((counts**3).sum())
    mean = (n * (n + 1) - squares) / n
    variance = (squares * (squares + n * (n + 1)) - 2 * n * cubes - n**3) / (n**2 * (n - 1))
    runs = 1 + int((np.diff(known) != 0).sum())
    effect = (mean - runs) / (mean - n_classes) if mean > n_classes else 0.0
    p = float(stats.norm.cdf((runs - mean) / np.sqrt(variance))) if variance > 0 else 1.0
    return Effect(float(np.clip(effect, 0, 1)), p, n)


def label_trend(labels: Ints, *, n_blocks: int = 10) -> Effect:
    """Whether the classes have other shares in other parts of the file: labels (n,) in file order, -1 = none.

    The file is cut into n_blocks parts. effect: Cramér's V, with Bergsma's correction of its bias (J. Korean Stat. Soc.
    42 (2013) 323); p: chi-squared test.

    >>> round(label_trend(np.repeat([0, 1], 50)).effect, 2)
    0.96
    """
    known = labels[labels >= 0]
    n = len(known)
    if n < LEAST_EXAMPLES:
        return NOTHING
    block = np.arange(n) * n_blocks // n
    classes, codes = np.unique(known, return_inverse=True)
    if len(classes) < 2:
        return NOTHING
    counts = np.zeros((n_blocks, len(classes)))
    np.add.at(counts, (block, codes), 1)
    return association(counts)


def association(counts: Floats) -> Effect:
    """How rows and columns of a table of counts go together: Cramér's V without its bias, and the p of chi-squared.

    >>> association(np.array([[50.0, 0.0], [0.0, 50.0]])).effect
    1.0
    """
    n = float(counts.sum())
    counts = counts[counts.sum(axis=1) > 0][:, counts.sum(axis=0) > 0]
    n_rows, n_columns = counts.shape
    if min(n_rows, n_columns) < 2:
        return NOTHING
    test = stats.chi2_contingency(counts, correction=False)
    phi2 = max(0.0, float(test.statistic) / n - (n_rows - 1) * (n_columns - 1) / (n - 1))
    of_rows, of_columns = n_rows - (n_rows - 1) ** 2 / (n - 1), n_columns - (n_columns - 1) ** 2 / (n - 1)
    least = min(of_rows, of_columns) - 1
    effect = float(np.sqrt(phi2 / least)) if least > 0 else np.nan
    return Effect(min(1.0, effect), float(test.pvalue), int(n))


def number_runs(values: Floats) -> Effect:
    """Whether a number, such as the length, is like that of the example before: values (n,), nan is left out.

    effect: the correlation of neighbours in rank, where it is positive. p: one-sided, from the rank version of von
    Neumann's ratio (Bartels, J. Am. Stat. Assoc. 77 (1982) 40).

    >>> round(number_runs(np.arange(100.0)).effect, 2)
    1.0
    """
    known = np.asarray(values, dtype=np.float64)
    known = known[~np.isnan(known)]
    n = len(known)
    if n < LEAST_EXAMPLES or known.min() == known.max():
        return NOTHING
    ranks = stats.rankdata(known)
    ratio = float((np.diff(ranks) ** 2).sum() / ((ranks - ranks.mean()) ** 2).sum())
    variance = 4 * (n - 2) * (5 * n**2 - 2 * n - 9) / (5 * n * (n + 1) * (n - 1) ** 2)
    p = float(stats.norm.cdf((ratio - 2) / np.sqrt(variance)))
    return Effect(float(np.clip(1 - ratio / 2, 0, 1)), p, n)


def neighbour_places(neighbours: Neighbours, n: int, *, seed: int = 0) -> Effect:
    """Whether examples that are alike stand near each other in the file: neighbours of n rows among themselves.

    effect: by how much the distances in the file to the nearest neighbours are smaller than those of random pairs (the
    Kolmogorov-Smirnov statistic, one-sided). p: from files shuffled at random, for a sample of examples. Source:
    Cummings et al., Detecting Dataset Drift and Non-IID Sampling via k-Nearest Neighbors (2023), arXiv:2305.15696.

    >>> rows = np.clip(np.arange(200)[:, None] + [[1, 2, 3]], 0, 199)
    >>> neighbour_places(Neighbours(rows, np.ones((200, 3), dtype=np.float32)), 200).effect > 0.9
    True
    """
    rng = np.random.default_rng(seed)
    rows = np.flatnonzero((neighbours.rows >= 0).any(axis=1))
    if n < LEAST_EXAMPLES or not len(rows):
        return NOTHING
    rows = rng.choice(rows, min(_ROWS, len(rows)), replace=False)
    pairs = np.column_stack([np.repeat(rows, neighbours.rows.shape[1]), neighbours.rows[rows].ravel()])
    pairs = pairs[pairs[:, 1] >= 0]
    effect = _nearer(np.abs(pairs[:, 0] - pairs[:, 1]), n)
    involved, places = np.unique(pairs, return_inverse=True)
    places = places.reshape(pairs.shape)
    shuffled = np.empty(_SHUFFLES)
    for at in range(_SHUFFLES):
        anywhere = rng.choice(n, len(involved), replace=False)
        shuffled[at] = _nearer(np.abs(anywhere[places[:, 0]] - anywhere[places[:, 1]]), n)
    return Effect(effect, float(((shuffled >= effect).sum() + 1) / (_SHUFFLES + 1)), len(rows))


def order_table(
    n: int,
    *,
    splits: npt.NDArray[Any] | None = None,
    labels: Ints | None = None,
    lengths: Floats | None = None,
    neighbours: Neighbours | None = None,
) -> pd.DataFrame:
    """All tests of all splits of n examples in file order: columns `COLUMNS`, the largest effect first.

    `neighbours` are of the training split (as `coverage.train_neighbours` finds them), and say nothing of others.

    >>> order_table(100, labels=np.repeat([0, 1], 50))["what"].tolist()
    ['labels side by side', 'labels through the file']
    """
    names = np.full(n, "train", dtype=object) if splits is None else splits
    found: list[tuple[Any, ...]] = []
    for split in dict.fromkeys(names.tolist()):
        rows = np.flatnonzero(names == split)
        if labels is not None:
            found.append((split, "labels side by side", label_runs(labels[rows])))
            found.append((split, "labels through the file", label_trend(labels[rows])))
        if lengths is not None:
            found.append((split, "length", number_runs(lengths[rows])))
        if neighbours is not None and split == "train":
            places = np.full(n + 1, -1)
            places[rows] = np.arange(len(rows))
            own = Neighbours(places[neighbours.rows[rows]], neighbours.similarity[rows])
            found.append((split, "meaning", neighbour_places(own, len(rows))))
    columns = [(split, what, each.effect, each.n, each.p, np.nan) for split, what, each in found]
    table = pd.DataFrame(columns, columns=list(COLUMNS))
    table["p_holm"] = holm(table["p"].astype(np.float64))
    return table.sort_values("effect", ascending=False, kind="stable", ignore_index=True)


def order_effects(
    texts: Sequence[str | None],
    *,
    splits: npt.NDArray[Any] | None = None,
    labels: Ints | None = None,
    neighbours: Neighbours | None = None,
) -> Found:
    """Splits whose order says something (p_holm below 0.05 and an effect of LEAST_EFFECT): shuffle before you cut them.

    Groups only, of no rows, named by what is ordered and the split. risk: the effect. evidence: effect, n, p_holm.

    >>> [group.name for group in order_effects(["a text"] * 100, labels=np.repeat([0, 1], 50)).groups]
    ['labels side by side in train', 'labels through the file in train']
    """
    n, lengths = len(texts), np.array([np.nan if text is None else len(text) for text in texts])
    table = order_table(n, splits=splits, labels=labels, lengths=lengths, neighbours=neighbours)
    table = table[(table["p_holm"] < ALPHA) & (table["effect"] >= LEAST_EFFECT)]
    groups = [
        Group(
            f"{row['what']} in {row['split']}",
            row["effect"],
            np.zeros(0, dtype=np.int64),
            {name: row[name] for name in ("effect", "n", "p_holm")},
        )
        for row in table.to_dict("records")
    ]
    return of_groups(n, groups)


def _nearer(distances: Ints, n: int) -> float:
    """Largest excess of the share of pairs within a distance over that of random pairs of n places."""
    d = np.sort(distances).astype(np.float64)
    within = np.arange(1, len(d) + 1) / len(d)
    by_chance = d * (2 * n - d - 1) / (n * (n - 1))
    return float(max(0.0, (within - by_chance).max()))
