"""The label written into the input, and single words that give a class away: a model learns these and nothing else.

How surely a sign tells a class is its precision beyond chance: (p - s) / (1 - s), where p is the lower 95 % Wilson
bound of the share of texts with the sign that are in the class, and s the share of the class in the data; 1 = always,
0 = no better than not looking.
"""

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from evals.intervals import Ints, wilson_bounds
from evals.triage.found import Evidence, Found, Group, checked_labels

LEAST_LETTERS = 3
"""Shorter names of classes ("no", "B") stand in texts by chance."""
WRITTEN_OUT = 0.95
"""Risk where the label is written like a field or an identifier."""
LEAST_RISK = 0.9
"""From here on a text that names its label is a finding; its class's group has these and no others."""
LEAST_TEXTS = 20
"""Fewer texts with a word say little about it."""
LEAST_PRECISION, LEAST_RECALL = 0.9, 0.5
"""A word gives a class away that is as precise, beyond chance, and in so many of its texts."""

_WORD = re.compile(r"[^\W_]+")
_FIELD_NAMES = "label|class|category|intent|tag|topic|target|sentiment|emotion|type|gold|answer"
_FIELD = rf"\b(?:{_FIELD_NAMES})\s*(?:[:=]|is\b)\s*[\"'\[(]?\s*"


def label_leaks(texts: Sequence[str | None], labels: Ints, label_names: Sequence[str]) -> Found:
    """Texts that hold the name of their own class, as whole words in any case and with any separators.

    risk: WRITTEN_OUT where it stands like a field ("label: joy"), as fastText writes it, or with the underscores of an
    identifier; else how surely the name tells the class, so that an everyday word as a name is no alarm. 0 without,
    nan for None or no label. evidence: written, the name as it stands there. groups: one for each class with texts
    whose risk is LEAST_RISK or more: n of them, n_others of other classes with its name, share of the class's texts.

    >>> texts = ["category: card_fee for you", "the fee", "what about the card fee", "hello"]
    >>> found = label_leaks(texts, np.array([0, 0, 1, 1]), ["card_fee", "other"])
    >>> found.risk.tolist(), found.evidence["written"].tolist()
    ([0.95, 0.0, 0.0, 0.0], ['card_fee', '', '', ''])
    """
    checked_labels(labels, len(texts), len(label_names))
    names = [" ".join(_WORD.findall(name.lower())) for name in label_names]
    places = {name: place for place, name in enumerate(names) if sum(map(str.isalpha, name)) >= LEAST_LETTERS}
    has_name = _with_names(texts, places)
    own, others = np.zeros(len(names), dtype=np.int64), np.zeros(len(names), dtype=np.int64)
    is_own = np.zeros(len(texts), dtype=bool)
    for row, found in has_name.items():
        label = int(labels[row])
        is_own[row] = label in found
        for place in found if label >= 0 else ():
            (own if place == label else others)[place] += 1
    sizes = np.bincount(labels[labels >= 0], minlength=len(names))
    sure = _beyond_chance(own, own + others, sizes / max(1, int(sizes.sum())))
    risk = np.where(np.array([text is None for text in texts], dtype=bool) | (labels < 0), np.nan, 0.0)
    written = np.full(len(texts), "", dtype=object)
    for row in np.flatnonzero(is_own).tolist():
        label, text = int(labels[row]), texts[row] or ""
        stands, is_written_out = _as_written(text, label_names[label], names[label])
        risk[row] = max(WRITTEN_OUT if is_written_out else 0.0, sure[label])
        written[row] = stands
    groups = [
        Group(
            label_names[place],
            float(np.max(risk[rows], initial=0.0)),
            rows,
            {"n": len(rows), "n_others": int(others[place]), "share": len(rows) / int(sizes[place])},
        )
        for place in np.flatnonzero(own).tolist()
        if len(rows := np.flatnonzero((risk >= LEAST_RISK) & (labels == place)))
    ]
    return Found(risk, {"written": written}, tuple(sorted(groups, key=lambda group: -group.risk)))


def giveaway_words(texts: Sequence[str | None], labels: Ints, label_names: Sequence[str]) -> Found:
    """Words that alone decide a class: a shortcut, an identifier, or the trace of how the data were collected.

    Groups only, at most one a class: the word with the highest risk = how surely it tells the class times the share of
    the class that has it. Named are those of LEAST_PRECISION and LEAST_RECALL. Every word is a sign here as in Gardner
    et al., Competency Problems (2021), arXiv:2104.08646. evidence: word, n, precision, recall.

    >>> texts = ["fish", "a fish"] * 50 + ["fish and chips"] * 100
    >>> found = giveaway_words(texts, np.repeat([0, 1], 100), ["sea", "shop"])
    >>> [(group.name, group.evidence["word"], group.evidence["recall"]) for group in found.groups]
    [('shop', 'and', 1.0)]
    """
    from sklearn.feature_extraction.text import CountVectorizer

    checked_labels(labels, len(texts), len(label_names))
    nothing = Found(np.full(len(texts), np.nan), {})
    rows = np.flatnonzero(np.array([bool(text) for text in texts], dtype=bool) & (labels >= 0))
    given = labels[rows]
    if len(np.unique(given)) < 2:
        return nothing
    counter = CountVectorizer(binary=True, token_pattern=r"(?u)\b\w+\b", min_df=min(LEAST_TEXTS, len(rows)))
    try:
        has_word = counter.fit_transform([texts[row] for row in rows.tolist()])
    except ValueError:  # no word is in so many texts
        return nothing
    words = counter.get_feature_names_out()
    n_with = np.asarray(has_word.sum(axis=0)).ravel()
    groups = []
    for label in np.unique(given).tolist():
        is_class = given == label
        hits = np.asarray(has_word[is_class].sum(axis=0)).ravel()
        share = float(is_class.mean())
        sure = _beyond_chance(hits, n_with, np.full(len(words), share))
        recall = hits / is_class.sum()
        risk = np.where((sure >= LEAST_PRECISION) & (recall >= LEAST_RECALL), sure * recall, 0.0)
        best = int(risk.argmax())
        if risk[best] > 0:
            with_word = rows[np.asarray(has_word[:, [best]].todense()).ravel() > 0]
            evidence: dict[str, Evidence] = {
                "word": str(words[best]),
                "n": int(n_with[best]),
                "precision": float(hits[best] / n_with[best]),
                "recall": float(recall[best]),
            }
            groups.append(Group(label_names[label], float(risk[best]), with_word, evidence))
    return Found(nothing.risk, {}, tuple(sorted(groups, key=lambda group: -group.risk)))


def _with_names(texts: Sequence[str | None], places: dict[str, int]) -> dict[int, set[int]]:
    """The classes named in each text that names one, by row."""
    sizes = sorted({name.count(" ") + 1 for name in places})
    found: dict[int, set[int]] = {}
    for row, text in enumerate(texts):
        words = _WORD.findall(text.lower()) if text else []
        for size in sizes:
            for at in range(len(words) - size + 1):
                place = places.get(" ".join(words[at : at + size]) if size > 1 else words[at])
                if place is not None:
                    found.setdefault(row, set()).add(place)
    return found


def _as_written(text: str, name: str, words: str) -> tuple[str, bool]:
    """The name as it stands in the text, and whether it is written like a field or an identifier."""
    pattern = r"[\W_]+".join(map(re.escape, words.split()))
    field = re.search(rf"(?:{_FIELD}|__label__)({pattern})(?![^\W_])", text, re.IGNORECASE)
    if field:
        return field[1], True
    if re.search(r"\w[^\w\s'’-]+\w|_", name) and name.lower() in text.lower():
        return name, True
    stands = re.search(rf"(?<![^\W_]){pattern}(?![^\W_])", text, re.IGNORECASE)
    return (stands[0] if stands else words), False


def _beyond_chance(hits: Ints, n: Ints, share: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Lower bound of a precision, beyond the share that chance gives: in [0, 1], 0 for n = 0."""
    low = np.nan_to_num(wilson_bounds(hits, n)[0])
    return np.asarray(np.where(share < 1, np.clip((low - share) / np.maximum(1 - share, 1e-12), 0, 1), 0.0))
