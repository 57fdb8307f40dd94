"""The same text again: copies within a split, leaks between splits, the same text with different labels.

Texts are compared after `normalise`; near copies come from `minhash`. All functions take the `Duplicates` of
`find_duplicates`, so that the texts are read once. Splits are (n,) names, labels (n,) integers with -1 = none.
"""

import unicodedata
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse
from scipy.sparse import csgraph

from evals.intervals import Ints
from evals.triage.found import Found, Group, checked
from evals.triage.minhash import LEAST, Indices, Pairs, jaccard, near_pairs

LATE = ("test",)
"""Of a pair that crosses splits the copy to drop is the one further from these: a test split stays as it is."""


class Duplicates(NamedTuple):
    """Which texts are the same, and which nearly.

    copy_of: (n,) a number for each different text, -1 = no text. near: pairs of such numbers with their similarity.
    first: (n_different,) the first row of each.
    """

    copy_of: Indices
    near: Pairs
    first: Indices


def normalise(text: str) -> str:
    """What is compared: compatibility forms, case and white space do not count.

    >>> normalise("Where  is\\tmy\\u00a0CARD?")
    'where is my card?'
    """
    plain = text if text.isascii() else unicodedata.normalize("NFKC", text)
    return " ".join(plain.casefold().split())


def find_duplicates(
    texts: Sequence[str | None], parts: Sequence[Sequence[str | None]] = (), *, least: float = LEAST
) -> Duplicates:
    """Copies and near copies (Jaccard similarity of at least `least`) among n texts; None and blank are no text.

    Where a text is made of `parts`, (n,) each, near copies are alike in each part: two documents of one query are not,
    however long the query is. Their similarity is that of the part in which they are least alike.

    >>> found = find_duplicates(["Where is my new card?", "where is my new card?", "", "Where is my new card??"])
    >>> found.copy_of.tolist(), found.near.left.tolist(), found.near.right.tolist(), found.first.tolist()
    ([0, 0, -1, 1], [0], [1], [0, 3])
    >>> where = ["Where is the nearest post office?"] * 2
    >>> texts, answers = [f"{where[0]} Left.", f"{where[0]} Right."], ["Left.", "Right."]
    >>> [len(find_duplicates(texts, parts).near.left) for parts in ((), (where, answers))]
    [1, 0]
    """
    numbers: dict[str, int] = {}
    copy_of = np.full(len(texts), -1, dtype=np.int64)
    first: list[int] = []
    for row, text in enumerate(texts):
        plain = normalise(text) if text else ""
        if plain:
            copy_of[row] = number = numbers.setdefault(plain, len(numbers))
            if number == len(first):
                first.append(row)
    near = near_pairs(list(numbers), least=least)
    for part in parts:
        near = _alike_in(near, [normalise(part[row] or "") for row in first], least)
    return Duplicates(copy_of, near, np.array(first, dtype=np.int64))


def _alike_in(near: Pairs, part: Sequence[str], least: float) -> Pairs:
    """Those pairs that are near in a part too, of which two empty ones are the same."""
    alike = np.nan_to_num(jaccard(part, near.left, near.right), nan=1.0)
    similarity = np.minimum(near.similarity, alike)
    is_near = similarity >= least
    return Pairs(near.left[is_near], near.right[is_near], similarity[is_near])


def clusters(duplicates: Duplicates) -> Indices:
    """Texts that are connected by copies and near copies: a number for each cluster (n,), -1 = no text.

    >>> clusters(find_duplicates(["Where is my new card?", "hello there", "Where is my new card!"])).tolist()
    [0, 1, 0]
    """
    size = len(duplicates.first)
    left, right, _ = duplicates.near
    graph = sparse.coo_array((np.ones(len(left)), (left, right)), shape=(size, size))
    joined = csgraph.connected_components(graph, directed=False)[1].astype(np.int64) if size else np.zeros(0, np.int64)
    return np.append(joined, -1)[duplicates.copy_of]


def exact_duplicates(duplicates: Duplicates, splits: npt.NDArray[Any] | None = None) -> Found:
    """Copies of an earlier example of the same split: risk 1, others 0, nan without text.

    evidence: partner, the row that stays; n_copies, how often the split has the text.

    >>> exact_duplicates(find_duplicates(["a b c", "A b c", "other"])).risk.tolist()
    [0.0, 1.0, 0.0]
    """
    frame = _frame(duplicates, _codes(splits, duplicates))
    by_text = frame.groupby(["text", "side"], sort=False)["row"]
    first, n_copies = by_text.transform("first").to_numpy(), by_text.transform("size").to_numpy()
    n = len(duplicates.copy_of)
    risk, partner, count = np.full(n, np.nan), np.full(n, -1), np.full(n, -1)
    rows = frame["row"].to_numpy()
    is_copy = first != rows
    risk[rows] = is_copy
    partner[rows], count[rows] = np.where(is_copy, first, -1), np.where(n_copies > 1, n_copies, -1)
    return Found(risk, {"partner": partner, "n_copies": count})


def near_duplicates(duplicates: Duplicates, splits: npt.NDArray[Any] | None = None) -> Found:
    """Near copies of an earlier example of the same split: risk = similarity; 0 for others and exact copies.

    evidence: partner, the most similar earlier row; similarity.

    >>> found = near_duplicates(find_duplicates(["Where is my new card?", "hello there", "Where is my new card!"]))
    >>> found.risk.round(2).tolist(), found.evidence["partner"].tolist()
    ([0.0, 0.0, 0.89], [-1, -1, 0])
    """
    frame = _frame(duplicates, _codes(splits, duplicates))
    firsts = frame.drop_duplicates(["text", "side"])
    links = _links(duplicates, firsts)
    links = links[(links["side"] == links["other_side"]) & (links["other_row"] < links["row"])]
    return _closest(links, duplicates.copy_of)


def split_leaks(duplicates: Duplicates, splits: npt.NDArray[Any]) -> Found:
    """Examples that another split has too, exactly or nearly: risk = similarity, for the copy that should go.

    That is the one in "train" before all others, never one in "test"; the other copy has risk 0. evidence: partner, a
    row of the other split; similarity; split, its name. groups: one for each pair of splits.

    >>> texts, splits = ["Where is my card?", "hello you", "where is my card?"], np.array(["train", "train", "test"])
    >>> found = split_leaks(find_duplicates(texts), splits)
    >>> found.risk.tolist(), found.evidence["partner"].tolist()
    ([1.0, 0.0, 0.0], [2, -1, -1])
    """
    codes, names = _ranked(splits)
    frame = _frame(duplicates, codes)
    firsts = frame.drop_duplicates(["text", "side"])
    links = pd.concat([_links(duplicates, firsts), _own_links(firsts)], ignore_index=True)
    links = links[links["other_side"] > links["side"]]
    found = _closest(_to_all_rows(links, frame), duplicates.copy_of)
    partner = found.evidence["partner"]
    other = np.where(partner >= 0, codes[partner], -1)
    groups = []
    for own, late in np.unique(np.column_stack([codes, other])[partner >= 0], axis=0):
        rows = np.flatnonzero((codes == own) & (other == late))
        n_exact = int((found.risk[rows] == 1).sum())
        groups.append(
            Group(f"{names[own]} and {names[late]}", float(found.risk[rows].max()), rows, {"n_exact": n_exact})
        )
    names_of = np.where(other >= 0, names[other], "").astype(object)
    return Found(found.risk, {**found.evidence, "split": names_of}, tuple(groups))


def contradictions(duplicates: Duplicates, labels: Ints) -> Found:
    """The same or nearly the same text with different labels: at least one of them is wrong.

    risk: the share of another label among the copies, itself included, near copies counted by their similarity: 0.5
    where one stands against one, 0.75 against three. 0 for others, nan without text or label. evidence: partner, the
    most similar row with another label; similarity; label, the commonest label, where that is not its own.

    >>> found = contradictions(find_duplicates(["My card?"] * 4 + ["Hello"]), np.array([0, 0, 0, 1, 2]))
    >>> found.risk.tolist(), found.evidence["label"].tolist()
    ([0.25, 0.25, 0.25, 0.75, 0.0], [-1, -1, -1, 0, -1])
    """
    checked("labels", labels, len(duplicates.copy_of))
    frame = _frame(duplicates, np.asarray(labels))
    firsts = frame.groupby(["text", "side"], sort=False, as_index=False).agg(row=("row", "first"), n=("row", "size"))
    links = pd.concat([_links(duplicates, firsts), _own_links(firsts)], ignore_index=True)
    counted = links.drop_duplicates(["text", "other", "other_side"])  # not once for each label of its own
    counted = counted.assign(weight=counted["similarity"] * counted["n"])
    votes = counted.groupby(["text", "other_side"], as_index=False).agg(weight=("weight", "sum"))
    best = votes.sort_values("weight", ascending=False, kind="stable").drop_duplicates("text")
    total = votes.groupby("text")["weight"].sum()
    voted = frame.merge(votes, left_on=["text", "side"], right_on=["text", "other_side"])
    voted = voted.merge(best, on="text", suffixes=("", "_best")).join(total.rename("total"), on="text")
    risk, likely = np.full(len(labels), np.nan), np.full(len(labels), -1)
    rows = voted["row"].to_numpy()
    risk[rows] = (1 - voted["weight"] / voted["total"]).to_numpy()
    likely[rows] = np.where(voted["weight_best"] > voted["weight"], voted["other_side_best"], -1)
    closest = _closest(_to_all_rows(links[links["side"] != links["other_side"]], frame), duplicates.copy_of)
    return Found(risk, {**closest.evidence, "label": likely})


def _frame(duplicates: Duplicates, sides: Ints) -> pd.DataFrame:
    """Rows that have a text and a side (split or label): columns row, text, side."""
    rows = np.flatnonzero((duplicates.copy_of >= 0) & (sides >= 0))
    return pd.DataFrame({"row": rows, "text": duplicates.copy_of[rows], "side": sides[rows]})


def _links(duplicates: Duplicates, firsts: pd.DataFrame) -> pd.DataFrame:
    """Near copies both ways, a row for each pair of sides: text, side, row, similarity, other_side, other_row, n."""
    left, right, similarity = duplicates.near
    pairs = pd.DataFrame(
        {
            "text": np.concatenate([left, right]),
            "other": np.concatenate([right, left]),
            "similarity": np.concatenate([similarity, similarity]),
        }
    )
    return _sides(pairs, firsts)


def _own_links(firsts: pd.DataFrame) -> pd.DataFrame:
    """As `_links`, of a text with itself."""
    texts = firsts["text"].unique()
    return _sides(pd.DataFrame({"text": texts, "other": texts, "similarity": 1.0}), firsts)


def _sides(pairs: pd.DataFrame, firsts: pd.DataFrame) -> pd.DataFrame:
    other = firsts.rename(columns={"text": "other", "side": "other_side", "row": "other_row"})
    own = firsts[["text", "side", "row"]]
    return pairs.merge(own, on="text").merge(other, on="other")


def _to_all_rows(links: pd.DataFrame, frame: pd.DataFrame) -> pd.DataFrame:
    """The best link of each (text, side), for every row that has them."""
    best = links.sort_values("similarity", ascending=False, kind="stable").drop_duplicates(["text", "side"])
    return frame.merge(best[["text", "side", "similarity", "other_row"]], on=["text", "side"])


def _closest(links: pd.DataFrame, copy_of: Indices) -> Found:
    """Risk = similarity of the best link of each row; 0 for rows without a link, nan for those without a text."""
    best = links.sort_values("similarity", ascending=False, kind="stable").drop_duplicates("row")
    rows = best["row"].to_numpy()
    risk = np.where(copy_of >= 0, 0.0, np.nan)
    similarity, partner = np.full(len(copy_of), np.nan), np.full(len(copy_of), -1)
    risk[rows] = similarity[rows] = best["similarity"].to_numpy()
    partner[rows] = best["other_row"].to_numpy()
    return Found(risk, {"partner": partner, "similarity": similarity})


def _codes(splits: npt.NDArray[Any] | None, duplicates: Duplicates) -> Indices:
    if splits is None:
        return np.zeros(len(duplicates.copy_of), dtype=np.int64)
    return _ranked(splits)[0]


def _ranked(splits: npt.NDArray[Any]) -> tuple[Indices, npt.NDArray[Any]]:
    """Numbers of splits in the order in which copies should go, and their names in that order."""
    names, codes = np.unique(splits, return_inverse=True)
    order = sorted(range(len(names)), key=lambda at: (names[at] in LATE, names[at] != "train", str(names[at])))
    rank = np.empty(len(names), dtype=np.int64)
    rank[order] = np.arange(len(names))
    return rank[codes], names[order]
