"""What a run made of queries: each with its documents in the order of their scores."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from dashboard.formats import count, percent
from evals.outcomes import Ranked
from evals.ranking import places_of, query_table

LOWEST, HIGHEST, AS_GIVEN = "lowest nDCG@10", "highest nDCG@10", "as in the data"
ORDERS = (LOWEST, HIGHEST, AS_GIVEN)
ANY, NOT_FIRST, NONE = "any query", "first is not relevant", "none is relevant"
KINDS = (ANY, NOT_FIRST, NONE)
_PLACES = ((1, 1), (2, 2), (3, 3), (4, 5), (6, 10), (11, None))


def query_rows(found: Ranked) -> pd.DataFrame:
    """One row a query: query (its number), n, n_relevant, `ndcg@10`, first (place of the first relevant document, nan
    where there is none), at (the position of its first row in the data).

    >>> found = Ranked(np.array([0, 0, 1]), np.array([0.0, 1, 0]), np.ones(3), np.array([2.0, 1, 0]), np.zeros(3))
    >>> query_rows(found)[["query", "n", "n_relevant", "first"]].fillna(-1).values.tolist()
    [[0.0, 2.0, 1.0, 2.0], [1.0, 1.0, 0.0, -1.0]]
    """
    table = query_table(found.query, found.given, found.logit, names=["ndcg@10"])
    rows = pd.DataFrame(
        {"query": found.query, "place": places_of(found.query, found.logit), "at": np.arange(len(found.query))}
    )
    first = rows[found.given > 0].groupby("query")["place"].min()
    begins = rows.groupby("query")["at"].min()
    return table.assign(first=table["query"].map(first).astype(float), at=table["query"].map(begins))


def fitting(table: pd.DataFrame, kind: str, order: str) -> pd.DataFrame:
    """The queries of a kind, in an order; those that nothing is known of come last.

    >>> table = pd.DataFrame({"first": [1.0, 2.0, np.nan], "ndcg@10": [1.0, 0.6, np.nan], "at": [6, 3, 0]})
    >>> fitting(table, ANY, LOWEST)["at"].tolist(), fitting(table, NOT_FIRST, HIGHEST)["at"].tolist()
    ([3, 6, 0], [3])
    """
    if kind != ANY:
        table = table[table["first"] > 1] if kind == NOT_FIRST else table[table["first"].isna()]
    if order == AS_GIVEN:
        return table.sort_values("at")
    return table.sort_values(["ndcg@10", "at"], ascending=[order == LOWEST, True], kind="stable")


def place_counts(first: "pd.Series[float]") -> pd.DataFrame:
    """Columns label, n: how many queries have their first relevant document at which place; those with none come last.

    >>> place_counts(pd.Series([1.0, 1.0, 7.0, np.nan]))["n"].tolist()
    [2, 0, 0, 0, 1, 0, 1]
    """
    names = [f"{low}" if low == high else f"{low} to {high}" if high else f"{low} or later" for low, high in _PLACES]
    counts = [int(first.between(low, high or np.inf).sum()) for low, high in _PLACES]
    return pd.DataFrame({"label": [*names, "none is relevant"], "n": [*counts, int(first.isna().sum())]})


def first_words(first: "pd.Series[float]") -> str:
    """Where the first relevant documents are, in sentences.

    >>> first_words(pd.Series([1.0, 1.0, 7.0, np.nan]))
    'Of 3 queries 67 % have a relevant document in the first place, 67 % among the first three. 1 query has no \
relevant document: it is not judged.'
    """
    known = first.dropna()
    if known.empty:
        return "No query has a relevant document, so none is judged."
    at_once, among = float((known == 1).mean()), float((known <= 3).mean())
    said = (
        f"Of {count(len(known))} queries {percent(at_once)} have a relevant document in the first place, "
        f"{percent(among)} among the first three."
    )
    n = len(first) - len(known)
    if not n:
        return said
    return f"{said} {count(n)} {'query has' if n == 1 else 'queries have'} no relevant document: " + (
        "it is not judged." if n == 1 else "they are not judged."
    )


def grade_table(found: Ranked) -> pd.DataFrame:
    """A row for each relevance that is given, the highest first, at most ten: relevance, documents, and the scores that
    a tenth, half and nine tenths of them are below."""
    grades = np.unique(found.given[~np.isnan(found.given)])[::-1][:10]
    rows = []
    for grade in grades.tolist():
        scores = found.score[found.given == grade]
        rows.append((f"{grade:g}", len(scores), *np.nanquantile(scores, [0.1, 0.5, 0.9]).tolist()))
    return pd.DataFrame(rows, columns=["relevance", "documents", "low", "median", "high"])


def shown_documents(found: Ranked, query: int, most: int) -> npt.NDArray[np.int64]:
    """The positions of a query's documents in the order of their scores: the first `most`, and relevant ones behind."""
    rows = np.flatnonzero(found.query == query)
    rows = rows[np.argsort(-np.where(np.isnan(found.logit[rows]), -np.inf, found.logit[rows]), kind="stable")]
    return np.concatenate([rows[:most], rows[most:][found.given[rows[most:]] > 0]])


def query_words(row: "dict[str, float]", hidden: int) -> str:
    """A query in numbers.

    >>> query_words({"n": 10, "n_relevant": 2, "first": 3.0, "ndcg@10": 0.63}, 0)
    'nDCG@10 0.63 · first relevant one at 3 · 10 documents, 2 relevant'
    >>> query_words({"n": 60, "n_relevant": 0, "first": float("nan"), "ndcg@10": float("nan")}, 30)
    'none is relevant: not judged · 60 documents, 30 not shown'
    """
    size = f"{count(int(row['n']))} documents" + (f", {count(hidden)} not shown" if hidden else "")
    if not row["n_relevant"]:
        return f"none is relevant: not judged · {size}"
    said = f"nDCG@10 {row['ndcg@10']:.2f} · first relevant one at {int(row['first'])}"
    return f"{said} · {size}, {count(int(row['n_relevant']))} relevant"


def relevance_words(given: Sequence[float]) -> list[str]:
    """Relevance as a cell has it.

    >>> relevance_words([2.0, 0.0, float("nan")])
    ['✓ 2', '0', '–']
    """
    return ["–" if value != value else f"{'✓ ' if value > 0 else ''}{value:g}" for value in given]
