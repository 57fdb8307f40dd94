"""What the rows of each task are made of: which columns are read, and what kind of thing the target is."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

TargetKind = Literal["label", "labels", "number", "relevance", "spans", "none", "text"]


@dataclass(frozen=True)
class Shape:
    """The fields of `data.columns` that a task reads."""

    inputs: tuple[str, ...]
    """What the model gets, in order. The first one is what a person reads first."""
    target: str
    """Empty where the inputs are all there is."""
    kind: TargetKind
    optional: tuple[str, ...] = ()
    """Fields that may be left out."""
    group: str = ""
    """What says which rows belong to one thing, where the first input does not say it; kept beside the examples."""
    may_be_empty: tuple[str, ...] = ()
    """Inputs that a row need not have although their column is named."""

    def fits(self, inputs: Collection[str], targets: Collection[str], *, has_labels: bool) -> bool:
        """Whether stored rows can be read so: the names of their inputs, what SQLite calls their targets, and whether
        their dataset names labels."""
        needed = set(self.inputs) - set(self.optional)
        stored = {
            "label": {"integer"}, "labels": {"text"}, "number": {"real", "integer"}, "relevance": {"real", "integer"},
            "spans": {"text"}, "none": set(), "text": {"text"},
        }[self.kind]  # fmt: skip
        # relevance that is 0 or 1 throughout is stored as a label, graded relevance as a number
        is_of_labels = self.kind in ("label", "labels", "spans") or (self.kind == "relevance" and has_labels)
        return needed <= set(inputs) <= set(self.inputs) and set(targets) <= stored and has_labels == is_of_labels

    @property
    def fields(self) -> tuple[str, ...]:
        """All of them."""
        return tuple(filter(None, (*self.inputs, self.target, self.group)))


SHAPES: Mapping[str, Shape] = MappingProxyType(
    {
        "text-classification": Shape(("text",), "label", "label"),
        "pair-classification": Shape(("text", "text_pair"), "label", "label"),
        "multi-label-classification": Shape(("text",), "labels", "labels"),
        "regression": Shape(("text", "text_pair"), "score", "number", optional=("text_pair",)),
        "rerank": Shape(("query", "document"), "relevance", "relevance", optional=("query_id",), group="query_id"),
        "token-classification": Shape(("tokens",), "tags", "spans"),
        "causal-lm": Shape(("text",), "", "none"),
        "masked-lm": Shape(("text",), "", "none"),
        "instruction": Shape(
            ("prompt", "input", "messages"),
            "completion",
            "text",
            optional=("prompt", "input", "messages"),
            may_be_empty=("input",),
        ),
        "seq2seq": Shape(("text",), "target", "text"),
    }
)
"""Task → shape, in the order in which tasks are shown."""


def shape_of(task: object) -> Shape | None:
    """Of a task by its name; None for anything that names none."""
    return SHAPES.get(task) if isinstance(task, str) else None


NOUNS: Mapping[str, str] = MappingProxyType(
    {
        "text": "text",
        "text_pair": "second text",
        "label": "label",
        "labels": "labels",
        "score": "score",
        "query": "query",
        "document": "document",
        "relevance": "relevance",
        "query_id": "query id",
        "tokens": "words",
        "tags": "tags",
        "prompt": "prompt",
        "input": "input",
        "messages": "messages",
        "completion": "answer",
        "target": "target",
    }
)
"""Field of `data.columns` → what messages call its value."""
