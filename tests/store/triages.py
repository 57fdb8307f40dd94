"""A store with a finished triage of a made-up data set: everything that a page about it can show, in any size.

The texts are of classes with words of their own; one label in ten is wrong, and the scores know it more often than not.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from store import (
    Dataset,
    NewRow,
    Store,
    Triage,
    begin_triage,
    dataset_fingerprint,
    example_id,
    finish_triage,
    record_dataset,
    record_step,
)

WORDS = {
    "card_arrival": ("card", "arrive", "post", "waiting", "delivery", "week"),
    "card_delivery_estimate": ("card", "delivery", "long", "days", "estimate", "express"),
    "lost_or_stolen_card": ("lost", "stolen", "wallet", "block", "card", "thief"),
    "exchange_rate": ("rate", "exchange", "currency", "euro", "dollar", "today"),
    "top_up_failed": ("top", "failed", "money", "account", "declined", "again"),
    "verify_my_identity": ("identity", "passport", "verify", "photo", "selfie", "document"),
}
_COMMON = ("please", "my", "the", "when", "why", "is", "can", "you", "help", "still", "not", "did")
SCORES = ("consensus", "self_confidence", "area_under_margin@last")
RISKY = 0.5


@dataclass(frozen=True)
class Filled:
    """What `fill_triage` made. truth (n_train,): the right label of each training example."""

    dataset: Dataset
    triage: Triage
    truth: npt.NDArray[np.int64]


def fill_triage(
    store: Store, n: int = 300, *, name: str = "bank", noise: float = 0.1, seed: int = 0, findings: bool = True
) -> Filled:
    """A data set of n training examples (with n // 10 each for validation and test) and its finished triage."""
    dataset, truth = fill_dataset(store, n, name=name, noise=noise, seed=seed)
    return Filled(dataset, triage_of(store, dataset, truth, seed=seed, findings=findings), truth)


def fill_dataset(
    store: Store, n: int = 300, *, name: str = "bank", noise: float = 0.1, seed: int = 0
) -> tuple[Dataset, npt.NDArray[np.int64]]:
    """The data set, and the right labels of its training examples."""
    rng = np.random.default_rng(seed)
    labels = list(WORDS)
    sizes = {"train": n, "validation": max(n // 10, 2), "test": max(n // 10, 2)}
    total = sum(sizes.values())
    truth = rng.integers(len(labels), size=total)
    given = np.where(rng.random(total) < noise, (truth + rng.integers(1, len(labels), size=total)) % len(labels), truth)
    texts = _texts(rng, truth)
    sources = rng.choice(["web", "mail", "app"], size=total, p=[0.6, 0.3, 0.1]).tolist()
    splits = [split for split, size in sizes.items() for _ in range(size)]
    given[n:] = truth[n:]
    if n >= 20:  # what detectors find: a copy, the same text with another label, a leak, an empty text, a mail address
        texts[1], given[1] = texts[0], given[0]
        texts[3], given[3] = texts[2], (given[2] + 1) % len(labels)
        texts[4] = texts[n + 1]
        texts[5] = ""
        texts[6] += " write to anna@example.com"
    ids = np.frombuffer(b"".join(example_id({"text": text}) for text in texts), dtype=np.uint8).reshape(-1, 16)
    marks = np.array(splits)
    dataset = record_dataset(
        store,
        name,
        (
            NewRow(split, text, label, {"source": source, "number": number})
            for number, (split, text, label, source) in enumerate(
                zip(splits, texts, given.tolist(), sources, strict=True)
            )
        ),
        label_names=labels,
        source={"kind": "made up", "seed": seed},
        fingerprint=dataset_fingerprint(
            labels, {split: (ids[marks == split], given[marks == split]) for split in sizes}
        ),
    )
    return dataset, truth[:n]


def triage_of(
    store: Store, dataset: Dataset, truth: npt.NDArray[np.int64], *, seed: int = 0, findings: bool = True
) -> Triage:
    """A finished triage of a data set with six labels; truth (n_train,)."""
    rng = np.random.default_rng(seed + 1)
    n, n_labels = len(truth), len(dataset.label_names or ())
    rows = store.db.execute(
        "SELECT target FROM dataset_rows WHERE dataset_key = ? AND split = 'train' ORDER BY position", (dataset.key,)
    ).fetchall()
    given = np.array([target for (target,) in rows])
    is_wrong = given != truth
    risk = np.clip(np.where(is_wrong, rng.beta(5, 2, n), rng.beta(1.2, 8, n)), 0, 1)
    knows = rng.random(n) < 0.9
    other = (given + rng.integers(1, n_labels, size=n)) % n_labels
    suggested = np.where(is_wrong & knows, truth, np.where(risk > RISKY, other, given))
    n_voices = np.full(n, 8)
    n_doubting = rng.binomial(8, risk)
    probability = np.clip(0.4 + 0.6 * risk, 0, 1)

    triage = begin_triage(
        store,
        dataset,
        fingerprint=f"made up {seed}",
        versions={"label_error": 1, "outlier": 1},
        sources=[{"kind": "run", "id": "0" * 26, "name": "first", "in_sample": True}],
    )
    queue = pd.DataFrame(
        {
            "split": "train", "position": np.arange(n), "risk": risk, "suggested": suggested,
            "suggested_probability": probability, "n_doubting": n_doubting, "n_voices": n_voices,
        }
    )  # fmt: skip
    columns = _columns(rng, risk, given, suggested, probability, n_doubting, n_voices)
    record_step(store, triage.key, "labels", seconds=1.5, columns=columns, queue=queue)
    record_step(store, triage.key, "map", seconds=0.5, columns=_map(rng, dataset, truth, n_labels))
    if findings:
        found, groups = _findings(rng, dataset, risk, suggested), _groups(rng, dataset, given)
        record_step(store, triage.key, "findings", seconds=2.0, findings=found, groups=groups)
    return finish_triage(store, triage.key, _summary(dataset, is_wrong, given, truth, risk))


def _texts(rng: np.random.Generator, truth: npt.NDArray[np.int64]) -> list[str]:
    own = [list(words) for words in WORDS.values()]
    n_words = rng.integers(3, 9, size=len(truth)).tolist()
    chosen = rng.integers(6, size=(len(truth), 8)).tolist()
    common = rng.integers(len(_COMMON), size=(len(truth), 8)).tolist()
    return [
        " ".join(
            own[label][mine] if place % 2 else _COMMON[shared]
            for place, mine, shared in zip(range(n), chosen[number], common[number], strict=False)
        )
        + f" {number}"
        for number, (label, n) in enumerate(zip(truth.tolist(), n_words, strict=True))
    ]


def _columns(
    rng: np.random.Generator,
    risk: npt.NDArray[np.float64],
    given: npt.NDArray[np.int64],
    suggested: npt.NDArray[np.int64],
    probability: npt.NDArray[np.float64],
    n_doubting: npt.NDArray[np.int64],
    n_voices: npt.NDArray[np.int64],
) -> dict[tuple[str, str], npt.NDArray[Any]]:
    n = len(risk)
    columns: dict[str, npt.NDArray[Any]] = {
        "risk": risk.astype(np.float32),
        "chance": np.clip(risk - 0.1, 0.001, 0.99).astype(np.float32),
        "suggested": suggested.astype(np.int32),
        "suggested_probability": probability.astype(np.float32),
        "n_doubting": n_doubting.astype(np.int16),
        "n_voices": n_voices.astype(np.int16),
    }
    for score in SCORES:
        columns[f"score:{score}"] = np.clip(risk + rng.normal(0, 0.1, n), 0, 1).astype(np.float32)
    for voice in ("words", "head"):
        columns[f"voice:{voice}:p_given"] = (1 - np.clip(risk + rng.normal(0, 0.1, n), 0, 1)).astype(np.float16)
        columns[f"voice:{voice}:predicted"] = np.where(risk > RISKY, suggested, given).astype(np.int32)
    return {("train", name): array for name, array in columns.items()}


def _map(
    rng: np.random.Generator, dataset: Dataset, truth: npt.NDArray[np.int64], n_labels: int
) -> dict[tuple[str, str], npt.NDArray[Any]]:
    columns: dict[tuple[str, str], npt.NDArray[Any]] = {}
    for split, n in dataset.n_rows.items():
        labels = truth if split == "train" else rng.integers(n_labels, size=n)
        angle = 2 * np.pi * labels / n_labels
        points = np.stack([np.cos(angle), np.sin(angle)], axis=1) * 4 + rng.normal(0, 1, (n, 2))
        columns[split, "map"] = points.astype(np.float32)
        columns[split, "map_sampled"] = (rng.random(n) < min(1, 20_000 / n)).astype(np.uint8)
        near = rng.integers(dataset.n_rows["train"], size=(n, 10))
        columns[split, "neighbours"] = near.astype(np.int32)
        columns[split, "neighbour_similarity"] = -np.sort(-rng.random((n, 10)), axis=1).astype(np.float16)
        columns[split, "cluster"] = labels.astype(np.int16)
    return columns


def _findings(
    rng: np.random.Generator, dataset: Dataset, risk: npt.NDArray[np.float64], suggested: npt.NDArray[np.int64]
) -> pd.DataFrame:
    n, n_test = dataset.n_rows["train"], dataset.n_rows["test"]
    rows: list[tuple[str, str, int, float, object, dict[str, object]]] = [
        ("label_error", "train", at, float(risk[at]), int(suggested[at]), {"label": int(suggested[at]), "n_voices": 8})
        for at in np.flatnonzero(risk >= RISKY).tolist()
    ]
    for kind, split, size, share in (("outlier", "train", n, 0.02), ("near_duplicate", "train", n, 0.05),
                                     ("outlier", "test", n_test, 0.05)):  # fmt: skip
        rows += [
            (kind, split, at, float(rng.uniform(0.7, 1)), None, {"nearest": ["train", int(rng.integers(n))]})
            for at in np.flatnonzero(rng.random(size) < share).tolist()
        ]
    if n >= 20:
        rows += [
            ("exact_duplicate", "train", 1, 1.0, None, {"partner": ["train", 0], "n_copies": 2}),
            ("contradiction", "train", 3, 0.5, None, {"partner": ["train", 2], "similarity": 1.0}),
            ("split_leak", "train", 4, 1.0, None, {"partner": ["validation", 1], "similarity": 1.0}),
            ("empty", "train", 5, 1.0, None, {}),
            ("personal_data", "train", 6, 0.9, "write to [e-mail]", {"kinds": "e-mail", "masked": "write to [e-mail]"}),
        ]
    return pd.DataFrame(rows, columns=["kind", "split", "position", "risk", "suggested", "evidence"])


def _groups(rng: np.random.Generator, dataset: Dataset, given: npt.NDArray[np.int64]) -> pd.DataFrame:
    names = dataset.label_names or ()
    validation = dataset.n_rows["validation"]
    members = [
        {"train": np.flatnonzero(given < 2)},
        {"train": np.flatnonzero(rng.random(len(given)) < 0.1), "validation": np.arange(validation // 2)},
        {"validation": np.arange(validation)},
    ]
    return pd.DataFrame(
        {
            "kind": ["class_overlap", "weak_slice", "sparse_region"],
            "name": [f"{names[0]} and {names[1]}", "source = mail", "euro, dollar, today"],
            "risk": [0.7, 0.4, float("nan")],
            "evidence": [{"first": 0, "second": 1}, {"n_errors": 12, "error_rate": 0.3}, {"n_train": 4}],
            "members": members,
        }
    )


def _summary(
    dataset: Dataset,
    is_wrong: npt.NDArray[np.bool_],
    given: npt.NDArray[np.int64],
    truth: npt.NDArray[np.int64],
    risk: npt.NDArray[np.float64],
) -> dict[str, object]:
    """As the runner writes it."""
    n, names = len(given), dataset.label_names or ()
    n_errors = int(is_wrong.sum())
    reviewed = sorted({0, n // 100, n // 20, n // 10, n // 4, n // 2, n})
    found = np.append(0, np.cumsum(is_wrong[np.argsort(-risk, kind="stable")]))[reviewed]
    wrong_pairs, counts = np.unique(np.stack([given, truth])[:, is_wrong], axis=1, return_counts=True)
    worst = np.argsort(-counts, kind="stable")[:10]
    by_class = []
    for at, label in enumerate(names):
        rate = float(is_wrong[given == at].mean()) if (given == at).any() else float("nan")
        by_class.append(
            {"label": label, "n": int((given == at).sum()), "rate": rate, "low": rate * 0.7, "high": rate * 1.3}
        )
    return {
        "n": n,
        "labels": {
            "n_labelled": n,
            "noise": {"value": n_errors / n, "low": 0.8 * n_errors / n, "high": 1.2 * n_errors / n},
            "n_errors": {"value": n_errors, "low": 0.8 * n_errors, "high": 1.2 * n_errors},
            "by_class": by_class,
            "pairs": [
                {"given": names[wrong_pairs[0, at]], "likely": names[wrong_pairs[1, at]], "n": int(counts[at]),
                 "low": 0.7 * int(counts[at]), "high": 1.3 * int(counts[at])}
                for at in worst.tolist()
            ],
            "scores": [
                {"score": score, "average_precision": value, "low": value - 0.05, "high": value + 0.05,
                 "precision_at_100": value, "precision_at_errors": value - 0.1, "depth": 0.08,
                 "difference": value - 0.8, "difference_low": value - 0.85, "difference_high": value - 0.75,
                 "worst_difference": value - 0.9, "in_sample": "@" in score}
                for score, value in zip(SCORES, (0.8, 0.7, 0.6), strict=True)
            ],
            "default": SCORES[0],
            "yield": {"n_reviewed": reviewed, "n_found": found.tolist(), "low": (0.85 * found).tolist(),
                      "high": (1.15 * found).tolist()},
            "canaries": {"n": max(60, n // 66), "kinds": ["uniform", "confusable"], "seed": 0},
        },
        "findings": {"label_error": int((risk >= RISKY).sum())},
        "missing": {"truncated": ["n_tokens", "max_length"]},
        "versions": {"label_error": 1, "outlier": 1},
    }  # fmt: skip
