"""What a data set looks like before anything is trained on it: lengths, words, targets, copies.

Counts are whole numbers, shares lie in [0, 1]; what could not be measured is None.
"""

import json
import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

QUANTILES: Mapping[str, float] = {
    "min": 0.0, "p5": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95, "p99": 0.99, "max": 1.0
}  # fmt: skip
_BINS = 24


@dataclass(frozen=True)
class Distribution:
    """Numbers of n examples. A quantile is one of the numbers: the smallest that so many do not exceed."""

    n: int
    total: float
    mean: float | None
    """None where there are no examples."""
    quantiles: Mapping[str, float]
    edges: tuple[float, ...]
    """Of the histogram: bin i goes from edges[i] up to, without it, edges[i + 1]; the last bin holds its upper edge."""
    counts: tuple[int, ...]


def distribution(values: npt.ArrayLike) -> Distribution:
    """Quantiles and histogram of (n,) finite numbers. Of whole numbers the bins have whole edges.

    >>> found = distribution([3, 1, 2, 10])
    >>> found.quantiles["p50"], found.quantiles["max"], found.mean, sum(found.counts)
    (2.0, 10.0, 4.0, 4)
    """
    numbers = np.asarray(values)
    if not len(numbers):
        return Distribution(0, 0.0, None, {}, (), ())
    low, high = float(numbers.min()), float(numbers.max())
    edges = np.linspace(low, high, _BINS + 1) if high > low else np.array([low, low + 1])
    if np.issubdtype(numbers.dtype, np.integer):
        width = max(1, math.ceil((high - low + 1) / _BINS))
        edges = np.arange(low, high + 1 + width, width)
    counts, _ = np.histogram(numbers, edges)
    quantiles = np.quantile(numbers, list(QUANTILES.values()), method="inverted_cdf")
    return Distribution(
        len(numbers),
        float(numbers.sum()),
        float(numbers.mean()),
        dict(zip(QUANTILES, map(float, quantiles), strict=True)),
        tuple(map(float, edges)),
        tuple(map(int, counts)),
    )


@dataclass(frozen=True)
class Share:
    """n of so many."""

    n: int
    of: int

    @property
    def share(self) -> float | None:
        """None of nothing."""
        return self.n / self.of if self.of else None


def count_words(texts: Sequence[str]) -> int:
    """Words of the texts: what blanks separate. Languages that write without blanks have hardly any.

    >>> count_words(["a fine day", "", " rain\\nagain "])
    5
    """
    return sum(len(text.split()) for text in texts)


def tokens_per_word(n_tokens: int, n_words: int) -> float | None:
    """Fertility: how many tokens a word becomes on average; 1 is a tokenizer that knows each word. None without words.

    As in Rust et al. 2021, How Good is Your Tokenizer? (arXiv:2012.15613), with words as blanks separate them.

    >>> tokens_per_word(6, 4), tokens_per_word(0, 0)
    (1.5, None)
    """
    return n_tokens / n_words if n_words else None


@dataclass(frozen=True)
class Copies:
    """Exact copies within a split."""

    n: int
    """Examples that have the same inputs as an earlier one."""
    n_conflicting: int
    """Of those the ones with another target than the first of their kind."""


def exact_copies(inputs: Sequence[Hashable], targets: Sequence[Hashable]) -> Copies:
    """Examples of one split, in order: (n,) what stands for their inputs, (n,) targets.

    >>> exact_copies(["a", "b", "a", "a"], [0, 0, 1, 0])
    Copies(n=2, n_conflicting=1)
    """
    first: dict[Hashable, Hashable] = {}
    n = n_conflicting = 0
    for each, target in zip(inputs, targets, strict=True):
        if each in first:
            n += 1
            n_conflicting += first[each] != target
        else:
            first[each] = target
    return Copies(n, n_conflicting)


def leaked(inputs: Mapping[str, Sequence[Hashable]]) -> dict[tuple[str, str], Share]:
    """(earlier split, later split) → how many examples of the later one are in the earlier one too; splits in the
    order of the mapping. Pairs without any are left out.

    >>> leaked({"train": ["a", "b"], "test": ["b", "b", "c"]})
    {('train', 'test'): Share(n=2, of=3)}
    """
    sets = {split: set(each) for split, each in inputs.items()}
    splits = list(inputs)
    found = {}
    for i, earlier in enumerate(splits):
        for later in splits[i + 1 :]:
            n = sum(each in sets[earlier] for each in inputs[later])
            if n:
                found[earlier, later] = Share(n, len(inputs[later]))
    return found


def label_counts(targets: Sequence[int | str | None], names: Sequence[str]) -> dict[str, int]:
    """How often each label is given, in the order of `names`: of indices, of sets of labels, of spans (both as JSON).

    A span is counted by its type, `[first word, behind the last, type]`.

    >>> label_counts([0, 1, 1], ["no", "yes"]), label_counts(["[0, 1]", "[]"], ["a", "b"])
    ({'no': 1, 'yes': 2}, {'a': 1, 'b': 1})
    >>> label_counts(["[[0, 2, 1]]"], ["LOC", "PER"])
    {'LOC': 0, 'PER': 1}
    """
    counts: Counter[int] = Counter()
    for target in targets:
        if isinstance(target, int):
            counts[target] += 1
        elif isinstance(target, str):
            counts.update(each[-1] if isinstance(each, list) else each for each in json.loads(target))
    return {name: counts[index] for index, name in enumerate(names)}


def imbalance(counts: Mapping[str, int]) -> float | None:
    """The commonest label over the rarest that occurs; 1 is balanced. None where fewer than two occur.

    >>> imbalance({"no": 90, "yes": 10}), imbalance({"no": 3})
    (9.0, None)
    """
    there = [n for n in counts.values() if n]
    return max(there) / min(there) if len(there) > 1 else None
