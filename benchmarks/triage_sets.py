"""Data sets with known wrong labels: public ones with planted noise, one with real noise, and the demonstration's.

`Source.load` gives a set as one seed draws it. Frozen MiniLM embeddings are made once and kept in a folder.
"""

import csv
import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from evals.intervals import Floats, Ints
from evals.triage.folds import assign_folds

Vectors = npt.NDArray[np.float32]

NOISE = 0.10
_MAX_TOKENS, _BATCH = 64, 64


@dataclass(frozen=True)
class Labelled:
    """texts (n,), embeddings (n, d), given and truth (n,), class names in alphabetical order; and held-out texts with
    their true labels."""

    texts: Sequence[str]
    embeddings: Vectors
    given: Ints
    truth: Ints
    classes: Sequence[str]
    test_texts: Sequence[str]
    test_truth: Ints

    @property
    def is_wrong(self) -> npt.NDArray[np.bool_]:
        return np.asarray(self.given != self.truth)


@dataclass(frozen=True)
class Source:
    """A set: the environment variable that names its folder (None: it comes with Assay), and the function that reads
    it."""

    variable: str | None
    read: Callable[[Path, int, Path], Labelled]

    @property
    def missing(self) -> str:
        """Why it cannot be read; empty where it can."""
        is_there = self.variable is None or self.variable in os.environ
        return "" if is_there else f"set {self.variable} to the data's folder"

    def load(self, seed: int, cache: Path) -> Labelled:
        """The set with the noise, or the draw, of `seed`; embeddings are kept in `cache`."""
        return self.read(Path(os.environ[self.variable]) if self.variable else Path(), seed, cache)


def embed(texts: Sequence[str], cache: Path, name: str) -> Vectors:
    """Mean-pooled vectors (n, 384) of MiniLM as it comes; made once per name and texts."""
    digest = hashlib.blake2b("\0".join(texts).encode(), digest_size=8).hexdigest()
    path = cache / f"{name}-{digest}.npy"
    if path.is_file():
        return np.asarray(np.load(path))
    import torch

    from runner.backbone import load_backbone, pool
    from runner.recipe import Model

    backbone = load_backbone(Model(base="builtin:minilm", max_length=_MAX_TOKENS))
    backbone.model.eval()
    order = np.argsort([len(text) for text in texts], kind="stable")
    vectors = np.empty((len(texts), backbone.n_dimensions), dtype=np.float32)
    with torch.inference_mode():
        for first in range(0, len(order), _BATCH):
            rows = order[first : first + _BATCH]
            tokens = backbone.tokenizer(
                [texts[row] for row in rows],
                padding=True,
                truncation=True,
                max_length=backbone.max_length,
                return_tensors="pt",
            )
            hidden = backbone.model(**tokens).last_hidden_state
            vectors[rows] = pool(hidden, tokens["attention_mask"], backbone.pooling).numpy()
    cache.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial.npy")
    np.save(partial, vectors)
    partial.replace(path)
    return vectors


def plant_uniform(truth: Ints, n_classes: int, share: float, seed: int) -> Ints:
    """A copy in which `share` of the labels are another class, each as likely.

    >>> truth = np.arange(100) % 4
    >>> int((plant_uniform(truth, 4, 0.1, 0) != truth).sum())
    10
    """
    rng = np.random.default_rng(seed)
    rows = rng.choice(len(truth), round(share * len(truth)), replace=False)
    given = truth.copy()
    given[rows] = (truth[rows] + rng.integers(1, n_classes, size=len(rows))) % n_classes
    return given


def plant_confusable(truth: Ints, confusion: Floats, share: float, seed: int) -> Ints:
    """A copy in which `share` of the labels are a class that a model takes theirs for.

    confusion (n_classes, n_classes): how often a model that was trained on true labels says each class, held out, by
    true class. A flipped label is drawn from its row without the diagonal: pairs that are confused often are flipped
    often. Which examples are flipped is chance.

    >>> truth = np.arange(100) % 4
    >>> given = plant_confusable(truth, np.eye(4)[[1, 2, 3, 0]], 0.1, 0)
    >>> bool((given[given != truth] == (truth[given != truth] + 1) % 4).all())
    True
    """
    rng = np.random.default_rng(seed)
    rows = rng.choice(len(truth), round(share * len(truth)), replace=False)
    others = confusion * (1 - np.eye(len(confusion)))
    cumulative = (others / others.sum(axis=1, keepdims=True)).cumsum(axis=1)[truth[rows]]
    given = truth.copy()
    given[rows] = (cumulative > rng.random(len(rows))[:, None] * cumulative[:, -1:]).argmax(axis=1)
    return given


def confusion(embeddings: Vectors, truth: Ints, n_classes: int, cache: Path, name: str) -> npt.NDArray[np.float64]:
    """How often, out of fold, a logistic regression on true labels takes a class for another, (n_classes, n_classes):
    counts of the likeliest wrong class where it errs, with a hundredth of an example for every pair."""
    path = cache / f"{name}-confusion.npy"
    if path.is_file():
        return np.asarray(np.load(path))
    from sklearn.linear_model import LogisticRegression

    folds = assign_folds(truth, 5, seed=0)
    counts = np.full((n_classes, n_classes), 0.01)
    for fold in range(5):
        model = LogisticRegression(C=1.0, max_iter=200).fit(embeddings[folds != fold], truth[folds != fold])
        predicted = model.predict(embeddings[folds == fold])
        np.add.at(counts, (truth[folds == fold], predicted), 1)
    cache.mkdir(parents=True, exist_ok=True)
    np.save(path, counts)
    return counts


def _csv(path: Path, text: str, label: str) -> tuple[list[str], list[str]]:
    """Two columns of a file with commas, or of one with tabs and no quotes."""
    with path.open(newline="", encoding="utf-8") as file:
        if path.suffix == ".tsv":
            rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
        else:
            rows = list(csv.DictReader(file))
    return [row[text] for row in rows], [row[label] for row in rows]


def _classes(labels: Sequence[str], classes: Sequence[str]) -> Ints:
    number = {name: place for place, name in enumerate(classes)}
    return np.array([number[label] for label in labels])


def _planted(
    name: str, files: tuple[str, str], columns: tuple[str, str], kind: str
) -> Callable[[Path, int, Path], Labelled]:
    def read(folder: Path, seed: int, cache: Path) -> Labelled:
        texts, labels = _csv(folder / files[0], *columns)
        test_texts, test_labels = _csv(folder / files[1], *columns)
        classes = sorted(set(labels))
        truth = _classes(labels, classes)
        vectors = embed(texts, cache, name)
        if kind == "uniform":
            given = plant_uniform(truth, len(classes), NOISE, seed)
        else:
            confused = confusion(vectors, truth, len(classes), cache, name)
            given = plant_confusable(truth, confused, NOISE, seed)
        return Labelled(texts, vectors, given, truth, classes, test_texts, _classes(test_labels, classes))

    return read


def _hausa(folder: Path, seed: int, cache: Path) -> Labelled:
    """One noise, that of the data: the seed decides nothing here, only what the scores draw."""
    texts, true_labels = _csv(folder / "hausa_train_clean.tsv", "news_title", "label")
    same_texts, labels = _csv(folder / "hausa_train_clean_noisy_labels.tsv", "news_title", "label")
    if texts != same_texts:
        raise ValueError(f"{folder}: the rows of the clean and of the noisy file are not of the same titles")
    test_texts, test_labels = _csv(folder / "hausa_test.tsv", "news_title", "label")
    classes = sorted({*true_labels, *labels})
    given, truth = _classes(labels, classes), _classes(true_labels, classes)
    vectors = embed(texts, cache, "hausa")
    return Labelled(texts, vectors, given, truth, classes, test_texts, _classes(test_labels, classes))


def _docstrings(folder: Path, seed: int, cache: Path) -> Labelled:
    from runner.docstrings import docstring_dataset

    data = docstring_dataset(seed=13 + seed)  # seed 0 is the demonstration's own
    classes = data.label_names
    train, test = ([row for row in data.rows if row.split == split] for split in ("train", "test"))
    texts = [row.text for row in train]
    given, truth = (_classes([getattr(row, name) for row in train], classes) for name in ("label", "true_label"))
    vectors = embed(texts, cache, f"docstrings-{seed}")
    test_truth = _classes([row.true_label for row in test], classes)
    return Labelled(texts, vectors, given, truth, classes, [row.text for row in test], test_truth)


def _made_up(folder: Path, seed: int, cache: Path) -> Labelled:
    """Four classes of 100 texts each whose words and vectors tell them apart well enough."""
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.arange(4), 100)
    words = np.where(rng.random((400, 6)) < 0.4, rng.integers(15, size=(400, 6)) + 100 * (1 + truth[:, None]), 0)
    words = np.where(words > 0, words, rng.integers(90, size=(400, 6)))
    texts = [" ".join(f"w{word}" for word in row) for row in words]
    vectors = (rng.normal(size=(400, 12)) + 2 * np.eye(12)[truth]).astype(np.float32)
    return Labelled(texts, vectors, plant_uniform(truth, 4, NOISE, seed), truth, "abcd", texts[::4], truth[::4])


_BANKING = ("banking77", ("train.csv", "test.csv"), ("text", "category"))
_EMOTION = ("emotion", ("emotion/train.csv", "emotion/test.csv"), ("text", "label"))

SETS: Mapping[str, Source] = {
    "banking77-uniform": Source("BANKING77", _planted(*_BANKING, "uniform")),
    "banking77-confusable": Source("BANKING77", _planted(*_BANKING, "confusable")),
    "emotion-uniform": Source("TWEETEVAL", _planted(*_EMOTION, "uniform")),
    "emotion-confusable": Source("TWEETEVAL", _planted(*_EMOTION, "confusable")),
    "hausa": Source("HAUSA", _hausa),
    "docstrings": Source(None, _docstrings),
}
MADE_UP: Mapping[str, Source] = {"made-up": Source(None, _made_up)}
"""A small set for seeing that the benchmark works."""
