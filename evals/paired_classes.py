"""Two models class by class: of each class's examples, how many more are found by B than by A.

Every class is a paired comparison of its own; all of them together are corrected with Holm.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from evals.f1 import Cells
from evals.paired import accuracy_difference, flips_of, holm, mcnemar

COLUMNS = ("label", "n", "recall_a", "recall_b", "difference", "low", "high", "fixed", "broken", "p", "p_holm")


def compare_classes(cells: Cells, label_names: Sequence[str]) -> pd.DataFrame:
    """One row a class that occurs, the largest gain first: label, n, recall_a, recall_b, difference (b - a) with its
    95 % interval low, high, fixed, broken, McNemar's p, p_holm.

    cells: counts of (gold, predicted by A, by B), as `evals.f1.count_cells` makes them.

    >>> from evals.f1 import count_cells
    >>> gold, a = np.repeat([0, 1], 40), np.repeat([0, 1, 0, 1], 20)
    >>> table = compare_classes(count_cells(gold, a, gold), ["no", "yes"])
    >>> table[["label", "n", "recall_a", "recall_b", "fixed", "broken"]].values.tolist()
    [['no', 40, 0.5, 1.0, 20, 0], ['yes', 40, 0.5, 1.0, 20, 0]]
    """
    rows = []
    gold = cells.values[0]
    for index, label in enumerate(label_names):
        mine = gold == index
        if not mine.any():
            continue
        flips = flips_of(Cells(cells.values[:, mine], cells.counts[mine]))
        n = flips.n
        gain = accuracy_difference(flips.fixed, flips.broken, n)
        before, after = (flips.both_right + flips.broken) / n, (flips.both_right + flips.fixed) / n
        rows.append((label, n, before, after, *gain, flips.fixed, flips.broken, mcnemar(flips.fixed, flips.broken)))
    table = pd.DataFrame(rows, columns=list(COLUMNS[:-1]))
    table["p_holm"] = holm(table["p"].to_numpy(dtype=np.float64))
    return table.sort_values("difference", ascending=False, kind="stable", ignore_index=True)
