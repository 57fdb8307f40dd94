"""Drift between splits: whether validation and test are drawn from what the model was trained on.

Each other split is compared with "train" (where there is none, with the largest split) in four ways, each with a
distance in [0, 1]: 0 = the same distribution. What chance alone would give is taken off or is 0 on average.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from evals.intervals import Floats, Ints
from evals.paired import ALPHA, holm
from evals.triage.found import Evidence, Found, Group, of_groups
from evals.triage.regions import directions
from evals.triage.terms import distinctive_terms

LEAST_DISTANCE = 0.1
LEAST_EXAMPLES = 20
MOST_EXAMPLES = 5_000
"""Of a split that a classifier looks at."""
N_FOLDS = 4
COLUMNS = ("split", "against", "what", "distance", "n", "n_against", "p", "p_holm", "detail")


class Distance(NamedTuple):
    """distance in [0, 1] and p in [0, 1], nan where too little is known; detail says what differs."""

    distance: float
    p: float
    detail: list[str]


UNKNOWN = Distance(np.nan, np.nan, [])


def label_distance(a: Ints, b: Ints, label_names: Sequence[str]) -> Distance:
    """How many labels would have to change for two samples to have the same shares: a (n,), b (m,), -1 = none.

    Total variation distance, less what chance gives samples of these sizes (the sum of the mean absolute deviations of
    the shares, halved); p: chi-squared test. detail: the classes that differ most.

    >>> found = label_distance(np.repeat([0, 1], 50), np.repeat([0, 1], [90, 10]), ["no", "yes"])
    >>> round(found.distance, 2), found.detail
    (0.35, ['no 50 % → 90 %', 'yes 50 % → 10 %'])
    """
    a, b = a[a >= 0], b[b >= 0]
    if min(len(a), len(b)) < LEAST_EXAMPLES:
        return UNKNOWN
    counts = np.array([np.bincount(each, minlength=len(label_names)) for each in (a, b)])
    used = counts.sum(axis=0) > 0
    shares = counts / counts.sum(axis=1, keepdims=True)
    both = counts.sum(axis=0) / counts.sum()
    by_chance = np.sqrt(2 / np.pi * both * (1 - both) * (1 / len(a) + 1 / len(b))).sum() / 2
    difference = shares[1] - shares[0]
    p = float(stats.chi2_contingency(counts[:, used], correction=False).pvalue) if used.sum() > 1 else 1.0
    most = [place for place in np.argsort(-np.abs(difference), kind="stable")[:3].tolist() if difference[place]]
    detail = [f"{label_names[at]} {100 * shares[0, at]:.3g} % → {100 * shares[1, at]:.3g} %" for at in most]
    return Distance(float(max(0.0, np.abs(difference).sum() / 2 - by_chance)), p, detail)


def number_distance(a: Floats, b: Floats) -> Distance:
    """How far two samples of a number differ: a (n,), b (m,), nan is left out.

    The Kolmogorov-Smirnov distance, less its mean under chance, 0.8687 sqrt((n + m) / (n m)); p: its asymptotic test.
    detail: the medians.

    >>> found = number_distance(np.arange(100.0), np.arange(100.0) + 50)
    >>> round(found.distance, 2), found.detail
    (0.38, ['median 49.5 → 99.5'])
    """
    a, b = a[~np.isnan(a)], b[~np.isnan(b)]
    if min(len(a), len(b)) < LEAST_EXAMPLES:
        return UNKNOWN
    test = stats.ks_2samp(a, b, method="asymp")
    by_chance = 0.8687 * np.sqrt((len(a) + len(b)) / (len(a) * len(b)))
    detail = [f"median {np.median(a):,.6g} → {np.median(b):,.6g}"]
    return Distance(float(max(0.0, test.statistic - by_chance)), float(test.pvalue), detail)


def told_apart(features: Any, is_b: npt.NDArray[np.bool_], *, seed: int = 0) -> Distance:
    """How well a linear classifier tells two samples apart that it has not seen: features (n, d), is_b (n,).

    distance: 2 AUC - 1 of logistic regression, out of N_FOLDS folds, where it is positive; p: one-sided rank test of
    the same. A classifier two-sample test: Lopez-Paz & Oquab, Revisiting Classifier Two-Sample Tests (2017),
    arXiv:1610.06545.

    >>> rng = np.random.default_rng(0)
    >>> features, is_b = rng.normal(size=(200, 3)), np.arange(200) < 100
    >>> round(told_apart(features, is_b).distance, 1), round(told_apart(features + 3 * is_b[:, None], is_b).distance, 1)
    (0.0, 1.0)
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold

    n_b = int(is_b.sum())
    if min(n_b, len(is_b) - n_b) < LEAST_EXAMPLES:
        return UNKNOWN
    above, pairs, variance = 0.0, 0.0, 0.0
    for fitted, held in StratifiedKFold(N_FOLDS, shuffle=True, random_state=seed).split(np.zeros(len(is_b)), is_b):
        model = LogisticRegression(solver="liblinear", class_weight="balanced")
        scores = model.fit(features[fitted], is_b[fitted]).decision_function(features[held])
        ranks, inside = stats.rankdata(scores), is_b[held]
        m, k = float(inside.sum()), float((~inside).sum())
        above += float(ranks[inside].sum()) - m * (m + 1) / 2
        pairs += m * k
        variance += m * k * (m + k + 1) / 12  # of the Mann-Whitney count, where nothing differs
    p = float(stats.norm.sf((above - pairs / 2) / np.sqrt(variance)))
    return Distance(float(np.clip(2 * above / pairs - 1, 0, 1)), p, [])


def drift_table(
    splits: npt.NDArray[Any],
    *,
    labels: Ints | None = None,
    label_names: Sequence[str] | None = None,
    texts: Sequence[str | None] | None = None,
    embeddings: Floats | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Every other split against "train", by labels, length, words and meaning (embeddings), as far as they are known.

    Columns `COLUMNS`; p_holm over all rows, detail a list of what differs. The largest distance first.

    >>> splits = np.repeat(["train", "test"], 100)
    >>> table = drift_table(splits, texts=["my card"] * 50 + ["a card"] * 50 + ["a visa abroad"] * 100)
    >>> table[["what", "distance"]].round(1).values.tolist(), table["detail"][0]
    ([['words', 1.0], ['length', 0.9]], ['more: abroad, visa', 'less: card, my'])
    """
    names, sizes = np.unique(splits, return_counts=True)
    if len(names) < 2:
        return pd.DataFrame(columns=list(COLUMNS))
    against = "train" if "train" in names else names[sizes.argmax()]
    rng = np.random.default_rng(seed)
    lengths = None if texts is None else np.array([np.nan if text is None else len(text) for text in texts])
    found: list[tuple[Any, ...]] = []
    for split in names[names != against].tolist():
        a, b = np.flatnonzero(splits == against), np.flatnonzero(splits == split)
        sides = (split, str(against))
        sizes_of = (len(b), len(a))
        if labels is not None and label_names is not None:
            found.append((*sides, "labels", *sizes_of, label_distance(labels[a], labels[b], label_names)))
        if lengths is not None:
            found.append((*sides, "length", *sizes_of, number_distance(lengths[a], lengths[b])))
        few = [rng.permutation(rows)[:MOST_EXAMPLES] for rows in (a, b)]
        rows, is_b = np.concatenate(few), np.repeat([False, True], [len(few[0]), len(few[1])])
        if texts is not None:
            found.append(
                (*sides, "words", *sizes_of, _words_distance([texts[row] for row in rows.tolist()], is_b, seed))
            )
        if embeddings is not None:
            unit, known = directions(embeddings[rows])
            scaled = unit[known] * np.sqrt(unit.shape[1])  # so that the classifier's own scale fits
            found.append((*sides, "meaning", *sizes_of, told_apart(scaled, is_b[known], seed=seed)))
    rows_of = [(s, r, what, each.distance, n, m, each.p, np.nan, each.detail) for s, r, what, n, m, each in found]
    table = pd.DataFrame(rows_of, columns=list(COLUMNS))
    table["p_holm"] = holm(table["p"].astype(np.float64))
    return table.sort_values("distance", ascending=False, kind="stable", ignore_index=True)


def split_drift(
    splits: npt.NDArray[Any],
    *,
    labels: Ints | None = None,
    label_names: Sequence[str] | None = None,
    texts: Sequence[str | None] | None = None,
    embeddings: Floats | None = None,
    seed: int = 0,
) -> Found:
    """Splits that differ from the training split (p_holm below 0.05 and a distance of LEAST_DISTANCE or more).

    Groups only, named "words: test against train", rows: those of the split. risk: the distance. evidence: distance,
    p_holm, detail.

    >>> splits, labels = np.repeat(["train", "test"], 100), np.repeat([0, 1, 0], [50, 50, 100])
    >>> [group.name for group in split_drift(splits, labels=labels, label_names=["no", "yes"]).groups]
    ['labels: test against train']
    """
    table = drift_table(
        splits, labels=labels, label_names=label_names, texts=texts, embeddings=embeddings, seed=seed
    )  # fmt: skip
    groups = []
    for row in table[(table["p_holm"] < ALPHA) & (table["distance"] >= LEAST_DISTANCE)].to_dict("records"):
        evidence: dict[str, Evidence] = {str(name): row[name] for name in ("distance", "p_holm", "detail")}
        rows = np.flatnonzero(splits == row["split"])
        groups.append(Group(f"{row['what']}: {row['split']} against {row['against']}", row["distance"], rows, evidence))
    return of_groups(len(splits), groups)


def _words_distance(texts: list[str | None], is_b: npt.NDArray[np.bool_], seed: int) -> Distance:
    from sklearn.feature_extraction.text import TfidfVectorizer

    known = np.array([bool(text) for text in texts], dtype=bool)
    is_b = is_b[known]
    kept = [text for text in texts if text]
    if min(int(is_b.sum()), int((~is_b).sum())) < LEAST_EXAMPLES:
        return UNKNOWN
    try:
        features = TfidfVectorizer(token_pattern=r"(?u)\b\w+\b", sublinear_tf=True, min_df=2).fit_transform(kept)
    except ValueError:  # no word comes twice
        return UNKNOWN
    found = told_apart(features, is_b, seed=seed)
    less, more = distinctive_terms(kept, is_b.astype(np.int64), 2, seed=seed)
    detail = [f"{word}: {', '.join(terms)}" for word, terms in (("more", more), ("less", less)) if terms]
    return Distance(found.distance, found.p, detail)
