"""The table of metrics: what each is called, its unit, its direction and its ends. `TASKS` says which task has which.

Nothing is computed here: the scores come from `classification`, `entities`, `multilabel`, `regression`, `ranking`,
`language`, `answers` and `generated`, whose tests hold that they give exactly the names of their task.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import inf
from types import MappingProxyType
from typing import NamedTuple


class Score(NamedTuple):
    """One metric of one model on one split: value and 95 % interval over `n` labelled examples."""

    metric: str
    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Metric:
    """A row of the table. `unit` "fraction" is shown in points of a hundred; `range` are the ends of the values."""

    name: str
    title: str
    unit: str
    higher_is_better: bool
    range: tuple[float, float]

    @property
    def title_inside(self) -> str:
        """The title within a sentence: its first letter small, unless its first word is an abbreviation."""
        first, _, _ = self.title.partition(" ")
        is_abbreviation = len(first) < 3 or first[1:] != first[1:].lower()
        return self.title if is_abbreviation else self.title[0].lower() + self.title[1:]


_UNIT = (0.0, 1.0)
_POSITIVE = (0.0, inf)

METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        metric.name: metric
        for metric in (
            Metric("accuracy", "Accuracy", "fraction", True, _UNIT),
            Metric("macro_f1", "Macro F1", "fraction", True, _UNIT),
            Metric("weighted_f1", "Weighted F1", "fraction", True, _UNIT),
            Metric("loss", "Loss", "nats", False, _POSITIVE),
            Metric("ece", "Calibration error", "fraction", False, _UNIT),
            Metric("entity_f1", "Entity F1", "fraction", True, _UNIT),
            Metric("entity_precision", "Entity precision", "fraction", True, _UNIT),
            Metric("entity_recall", "Entity recall", "fraction", True, _UNIT),
            Metric("entity_macro_f1", "Macro entity F1", "fraction", True, _UNIT),
            Metric("entity_macro_precision", "Macro entity precision", "fraction", True, _UNIT),
            Metric("entity_macro_recall", "Macro entity recall", "fraction", True, _UNIT),
            Metric("tag_accuracy", "Tag accuracy", "fraction", True, _UNIT),
            Metric("micro_f1", "Micro F1", "fraction", True, _UNIT),
            Metric("macro_ap", "Mean average precision over labels", "fraction", True, _UNIT),
            Metric("exact_match", "Exact match", "fraction", True, _UNIT),
            Metric("hamming_loss", "Hamming loss", "fraction", False, _UNIT),
            Metric("spearman", "Spearman correlation", "correlation", True, (-1.0, 1.0)),
            Metric("pearson", "Pearson correlation", "correlation", True, (-1.0, 1.0)),
            Metric("r2", "R²", "fraction", True, (-inf, 1.0)),
            Metric("mae", "Mean absolute error", "units of the target", False, _POSITIVE),
            Metric("rmse", "Root mean squared error", "units of the target", False, _POSITIVE),
            Metric("mse", "Mean squared error", "squared units of the target", False, _POSITIVE),
            Metric("mrr", "Mean reciprocal rank", "fraction", True, _UNIT),
            Metric("ndcg", "nDCG", "fraction", True, _UNIT),
            Metric("map", "Mean average precision over queries", "fraction", True, _UNIT),
            Metric("recall", "Recall", "fraction", True, _UNIT),
            Metric("hit", "Hits", "fraction", True, _UNIT),
            Metric("perplexity", "Perplexity", "equally likely tokens", False, (1.0, inf)),
            Metric("bits_per_byte", "Bits per byte", "bits", False, _POSITIVE),
            Metric("token_f1", "Token F1", "fraction", True, _UNIT),
            Metric("rouge1", "ROUGE-1", "fraction", True, _UNIT),
            Metric("rouge2", "ROUGE-2", "fraction", True, _UNIT),
            Metric("rougeL", "ROUGE-L", "fraction", True, _UNIT),
            Metric("bleu", "BLEU", "points", True, (0.0, 100.0)),
            Metric("chrf", "chrF", "points", True, (0.0, 100.0)),
        )
    }
)
"""Every metric, by name; for those of `CUT_OFF` also as `NAME@K`, see `find_metric`."""

CUT_OFF = ("mrr", "ndcg", "map", "recall", "hit")
"""The metrics of rankings, which may look at the first K places only."""

_CLASSES = ("accuracy", "macro_f1", "weighted_f1", "loss", "ece")
_LANGUAGE = ("loss", "perplexity", "bits_per_byte")
_ANSWERS = ("exact_match", "token_f1")
_GENERATED = ("rouge1", "rouge2", "rougeL", "bleu", "chrf")

TASKS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "text-classification": _CLASSES,
        "pair-classification": _CLASSES,
        "token-classification": (
            "entity_f1", "entity_precision", "entity_recall",
            "entity_macro_f1", "entity_macro_precision", "entity_macro_recall", "tag_accuracy", "loss",
        ),
        "multi-label-classification": (
            "micro_f1", "macro_f1", "weighted_f1", "macro_ap", "exact_match", "hamming_loss", "loss",
        ),
        "regression": ("spearman", "pearson", "r2", "mae", "rmse", "mse", "loss"),
        "rerank": ("ndcg@10", "mrr@10", "map", "recall@10", "hit@1", "loss"),
        "causal-lm": _LANGUAGE,
        "masked-lm": ("loss", "perplexity"),
        "instruction": (*_LANGUAGE, *_ANSWERS, *_GENERATED),
        "seq2seq": (*_LANGUAGE, *_ANSWERS, *_GENERATED),
        "extractive-qa": (*_ANSWERS, "loss"),
    }
)  # fmt: skip
"""The metrics that a task can be measured by, the one to look at first ahead."""


def metrics_of(task: str) -> Mapping[str, Metric]:
    """The rows of a task's metrics, by name, in the order of `TASKS`. KeyError for a task that is not there.

    >>> list(metrics_of("masked-lm"))
    ['loss', 'perplexity']
    """
    found = {name: find_metric(name) for name in TASKS[task]}
    return MappingProxyType({name: metric for name, metric in found.items() if metric is not None})


def find_metric(name: str) -> Metric | None:
    """The row of a metric, also behind the name of a split and with a cut-off; None for one that the table lacks.

    >>> find_metric("validation/ndcg@5").title, find_metric("test/loss").higher_is_better, find_metric("loss@5")
    ('nDCG@5', False, None)
    """
    short = name.rpartition("/")[2]
    if short in METRICS:
        return METRICS[short]
    base, _, places = short.partition("@")
    if base in CUT_OFF and places.isdecimal() and places.isascii() and int(places) > 0:
        found = METRICS[base]
        return replace(found, name=short, title=f"{found.title}@{places}")
    return None


def get_metric(name: str) -> Metric:
    """As `find_metric`. KeyError for a metric that the table lacks.

    >>> get_metric("validation/ndcg@10").higher_is_better
    True
    """
    found = find_metric(name)
    if found is None:
        raise KeyError(name)
    return found
