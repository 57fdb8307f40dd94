"""Words that tell one group of texts from the rest: names for regions, slices and drifts."""

from collections.abc import Sequence

import numpy as np

from evals.intervals import Ints

TEXTS_AT_MOST = 50_000
"""More texts name a group no better; a sample of so many is read."""
PRIOR_WORDS = 50
"""The corpus counts as so many words of each group: a word seen twice is no name."""
LEAST_Z = 1.96


def distinctive_terms(
    texts: Sequence[str | None], groups: Ints, n_groups: int, *, n_terms: int = 3, seed: int = 0
) -> list[list[str]]:
    """The most distinctive words of each group, at most n_terms: groups (n,) in 0 to n_groups - 1, -1 = none.

    By the z-score of the log-odds of a word's texts in the group against the other groups, with the corpus as prior:
    Monroe, Colaresi & Quinn, Fightin' Words, Political Analysis 16 (2008) 372. Words below LEAST_Z are no names, so a
    group without words of its own has none.

    >>> texts = ["visa for travel", "travel abroad with a visa", "my card", "a new card please"] * 10
    >>> distinctive_terms(texts, np.array([0, 0, 1, 1] * 10), 2, n_terms=1)
    [['travel'], ['card']]
    """
    from sklearn.feature_extraction.text import CountVectorizer

    names: list[list[str]] = [[] for _ in range(n_groups)]
    rows = np.flatnonzero((groups >= 0) & np.array([bool(text) for text in texts], dtype=bool))
    if len(rows) > TEXTS_AT_MOST:
        rows = np.sort(np.random.default_rng(seed).choice(rows, TEXTS_AT_MOST, replace=False))
    counter = CountVectorizer(binary=True, token_pattern=r"(?u)\b[^\W\d_][\w'’-]*\w\b")
    try:
        has_word = counter.fit_transform([texts[row] for row in rows.tolist()]).tocsr()
    except ValueError:  # no words
        return names
    words = counter.get_feature_names_out()
    given = groups[rows]
    total = np.asarray(has_word.sum(axis=0), dtype=np.float64).ravel()
    prior = PRIOR_WORDS * total / total.sum()
    for group in range(n_groups):
        inside = np.asarray(has_word[given == group].sum(axis=0), dtype=np.float64).ravel()
        outside = total - inside
        odds = [
            np.log((count + prior) / (count.sum() + PRIOR_WORDS - count - prior)) if len(words) > 1 else prior * 0
            for count in (inside, outside)
        ]
        z = (odds[0] - odds[1]) / np.sqrt(1 / (inside + prior) + 1 / (outside + prior))
        best = np.argsort(-z, kind="stable")[:n_terms]
        names[group] = [str(words[place]) for place in best if z[place] >= LEAST_Z]
    return names
