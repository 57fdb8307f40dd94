"""How well documents answer queries: reading it, and what a person should know of the queries."""

from array import array
from collections.abc import Iterator, Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from runner.data.labels import LabelCounts, LabelIndex
from runner.data.problems import Problems
from runner.data.tables import SPLITS, CheckedRow, Columns, Table
from runner.data.targets import Stored, is_empty, number_in

BINARY = ("not relevant", "relevant")
"""What relevance 0 and 1 are called where there is no other."""


class RelevanceReader:
    """One number from 0 up a row, or true and false. Where all are 0 or 1 they are stored as two labels."""

    def __init__(self, columns: Columns, problems: Problems) -> None:
        self._column, self._problems = columns.target, problems
        self._values = array("d")

    @property
    def values(self) -> NDArray[np.float64]:
        """(n,) of the rows read; nan where a value is none."""
        return np.frombuffer(self._values, dtype=np.float64)

    def is_missing(self, value: object) -> bool:
        return is_empty(value)

    def read(self, row: CheckedRow, table: Table) -> int:
        """Rows are not told apart: 0."""
        value = relevance_in(row.target)
        self._values.append(np.nan if value is None else value)
        if value is not None:
            return 0
        shown = f'"{str(row.target)[:40]}"' if isinstance(row.target, str) else f"{row.target!r:.40}"
        self._problems.add_row(
            table.title,
            f'"{self._column}" holds {shown}, which is no number from 0 up',
            table.place(row.number),
            "Relevance is 0 for a document that does not answer the query, 1 or more for one that does.",
        )
        return -1

    def digest(self, value: object) -> bytes:
        return blake2b(repr(relevance_in(value)).encode(), digest_size=16).digest()

    def label_counts(self, splits: Sequence[str]) -> LabelCounts | None:
        """Two labels where there is nothing but 0 and 1; how often is not counted."""
        if not np.isin(self.values, (0.0, 1.0)).all():
            return None
        return LabelCounts(["0", "1"], ["", ""], {split: np.zeros(2, dtype=np.int64) for split in splits})

    def stored(self, value: object, labels: LabelIndex | None) -> Stored:
        found = relevance_in(value)
        assert found is not None
        return found if labels is None else int(found)


def relevance_in(value: object) -> float | None:
    """The relevance that a value is or spells; None where it is none.

    >>> relevance_in("2"), relevance_in(True), relevance_in(-1), relevance_in("good"), relevance_in("inf")
    (2.0, 1.0, None, None, None)
    """
    found = float(value) if isinstance(value, bool | np.bool_) else number_in(value)
    return found if found is not None and found >= 0 else None


def all_the_same(values: NDArray[np.floating], column: str) -> str | None:
    """What is wrong with training relevance (n,) that has one value; None where there are two."""
    if not len(values) or values.min() < values.max():
        return None
    return (
        f"data.columns.relevance: all {len(values):,} training rows have the relevance {values[0]:g}, so there is "
        f'nothing to tell apart. Is "{column}" the right column? A reranker learns from documents that do not answer a '
        "query, too: add some, such as answers to other queries."
    )


def unanswered(query: NDArray[np.int64], values: NDArray[np.float64], splits: NDArray[np.int8]) -> str | None:
    """What is wrong with a validation split in which no query has a relevant document; None where one has.

    query (n,) a number for each query; values (n,) relevance.
    """
    held_out = splits == SPLITS.index("validation")
    if not held_out.any() or (values[held_out] > 0).any():
        return None
    n = len(np.unique(query[held_out]))
    return (
        f"data.columns.relevance: none of the {n:,} validation queries has a relevant document, so no order of "
        "documents is better than another and no checkpoint can be chosen. Add relevant documents, or validate on "
        "other queries."
    )


def query_warnings(query: NDArray[np.int64], values: NDArray[np.float64], splits: NDArray[np.int8]) -> Iterator[str]:
    """Queries of each split that cannot be ranked well or badly; shapes as of `unanswered`."""
    for index, split in enumerate(SPLITS):
        rows = splits == index
        if not rows.any():
            continue
        each = np.unique(query[rows], return_inverse=True)[1]
        n_documents, n_relevant = np.bincount(each), np.bincount(each, weights=values[rows] > 0)
        single, without = int((n_documents == 1).sum()), int((n_relevant == 0).sum())
        of = f"{len(n_documents):,} {split} queries"
        if single:
            yield (
                f"{single:,} of {of} have one document only: there is nothing to put in order"
                + ("." if split == "train" else ", and where it is relevant every metric of them is 1.")
            )
        if without and split != "train":
            yield (
                f"{without:,} of {of} have no relevant document: how well they are ranked is not known, so no metric "
                "counts them."
            )
