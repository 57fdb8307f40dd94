"""What several runs answered for one split, laid side by side by example."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from store.connection import Store
from store.datasets import get_dataset, read_targets
from store.evaluations import Answers, get_evaluation, read_answers
from store.runs import get_run


def read_together(store: Store, run_keys: Sequence[int], split: str) -> tuple[NDArray[np.int64], list[Answers]] | None:
    """Gold (n,) and each run's answers at its best checkpoint, in the order of `run_keys`.

    The runs may be of several dataset versions, where these hold the same examples with the same labels in the same
    order in that split. None where they do not, or where a run did not answer for all of them.
    """
    runs = [get_run(store, int(key)) for key in run_keys]
    keys = list(dict.fromkeys(run.dataset_key for run in runs))
    if not keys or None in keys:
        return None
    first, *others = [int(key) for key in keys if key is not None]
    if any(not _is_same_split(store, first, other, split) for other in others):
        return None
    gold = read_targets(store, get_dataset(store, first), split)
    found = []
    for run in runs:
        evaluation = get_evaluation(store, run.key, split)
        answers = None if evaluation is None else read_answers(store, evaluation)
        if answers is None or len(answers.predicted) != len(gold) or not len(gold):
            return None
        found.append(answers)
    return gold, found


def _is_same_split(store: Store, one: int, other: int, split: str) -> bool:
    """Whether two dataset versions hold the same examples with the same labels at the same positions."""
    rows = "SELECT position, example_key, target FROM dataset_rows WHERE dataset_key = ? AND split = ?"
    for a, b in ((one, other), (other, one)):
        if store.db.execute(f"{rows} EXCEPT {rows} LIMIT 1", (a, split, b, split)).fetchone():
            return False
    labels = [get_dataset(store, key).label_names for key in (one, other)]
    return labels[0] == labels[1]
