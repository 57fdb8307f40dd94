"""The examples of a dataset version, all splits end to end: texts, labels, metadata. Loads no torch."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evals.triage.found import Evidence
from store import Dataset, Store, iter_inputs, iter_texts, read_rows, read_targets, read_values

PAIRS = (("text", "text_pair"), ("query", "document"))
"""The inputs of examples that are pairs, by their names in the store."""
ROW_EVIDENCE = ("partner", "nearest")
"""Evidence of detectors that is a row number; outside a triage it is [split, position]."""


@dataclass(frozen=True)
class Rows:
    """n examples: "train" first, so that a training example's row is its position, then the other splits by name."""

    dataset: Dataset
    splits: tuple[str, ...]
    """Those that have rows, in order."""
    texts: list[str]
    labels: NDArray[np.int64]
    """(n,) class index, -1 = none."""
    metadata: pd.DataFrame | None
    """A column a field, None where an example has none; None where no example has any."""
    parts: tuple[list[str], ...] = ()
    """Of examples that are pairs, all first texts and all second ones."""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def n_train(self) -> int:
        return self.dataset.n_rows.get("train", 0)

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """(n_splits + 1,) where each split begins."""
        return np.concatenate([[0], np.cumsum([self.dataset.n_rows[split] for split in self.splits])]).astype(np.int64)

    @cached_property
    def split_names(self) -> NDArray[np.str_]:
        """(n,)."""
        return np.repeat(np.array(self.splits, dtype=np.str_), np.diff(self.starts))

    def of(self, split: str) -> slice:
        """The rows of a split."""
        place = self.splits.index(split)
        return slice(int(self.starts[place]), int(self.starts[place + 1]))

    def place(self, row: int) -> tuple[str, int]:
        """Split and position of a row."""
        split = int(np.searchsorted(self.starts, row, side="right")) - 1
        return self.splits[split], row - int(self.starts[split])

    def members(self, rows: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
        """Positions by split of some rows, in their order."""
        of_split = np.searchsorted(self.starts, rows, side="right") - 1
        return {self.splits[each]: rows[of_split == each] - self.starts[each] for each in np.unique(of_split).tolist()}

    def placed(self, evidence: dict[str, Evidence]) -> dict[str, Evidence]:
        """Evidence in which row numbers have become [split, position]."""
        return {
            name: list(self.place(value)) if name in ROW_EVIDENCE and isinstance(value, int) else value
            for name, value in evidence.items()
        }


def read_all(store: Store, dataset: Dataset) -> Rows:
    """Everything that the store has of the examples themselves."""
    splits = tuple(sorted((name for name, n in dataset.n_rows.items() if n), key=lambda name: (name != "train", name)))
    texts = [text for split in splits for some in iter_texts(store, dataset, split) for text in some]
    labels = [read_targets(store, dataset, split) for split in splits]
    metadata = _metadata(store, dataset, splits)
    given = np.concatenate([np.zeros(0, dtype=np.int64), *labels])
    return Rows(dataset, splits, texts, given, metadata, _parts(store, dataset, splits))


def _parts(store: Store, dataset: Dataset, splits: tuple[str, ...]) -> tuple[list[str], ...]:
    first = next((inputs[0] for split in splits for inputs in iter_inputs(store, dataset, split, 1)), {})
    names = next((pair for pair in PAIRS if set(pair) <= set(first)), ())
    return tuple(
        [inputs.get(name) or "" for split in splits for some in iter_inputs(store, dataset, split) for inputs in some]
        for name in names
    )


def unjudged(store: Store, dataset: Dataset) -> str | None:
    """What its training examples have in place of one label each, of which none is judged: "sets of labels", "spans",
    "texts" or "numbers"; None where they have labels, or nothing."""
    targets = [value for value in read_values(store, dataset, "train") if value is not None]
    if any(isinstance(value, str) and value.startswith("[[") for value in targets):
        return "spans"
    first = next(iter(targets), None)
    if isinstance(first, str) and first.startswith('"'):
        return "texts"
    return "sets of labels" if isinstance(first, str) else "numbers" if isinstance(first, float) else None


def _metadata(store: Store, dataset: Dataset, splits: tuple[str, ...]) -> pd.DataFrame | None:
    if not any(any(read_rows(store, dataset, split, limit=100)["metadata"]) for split in splits):
        return None
    values = [
        value for split in splits for value in read_rows(store, dataset, split, limit=dataset.n_rows[split])["metadata"]
    ]
    return pd.DataFrame.from_records(values)
