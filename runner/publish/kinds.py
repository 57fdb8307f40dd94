"""What the models of each task are to others: the class of transformers that holds them, what they say. No torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Says = Literal["class", "labels", "number", "relevance", "tags", "continuation", "gaps", "answer", "text"]
"""One of k labels; any of them; a number; how well a document answers a query; a tag for each word; how a text goes on;
hidden tokens; an answer to a prompt; a text made of a text."""

_LANGUAGE = ("continuation", "gaps", "answer", "text")


@dataclass(frozen=True)
class Kind:
    """A task's models."""

    auto_class: str
    """What others load it with, where that can hold it."""
    says: Says
    noun: str
    """What it is called in a model card."""
    pipeline: str
    """The task as model hubs call it."""

    @property
    def is_language(self) -> bool:
        """Whether it is a whole model of transformers, with no head of ours."""
        return self.says in _LANGUAGE

    @property
    def has_labels(self) -> bool:
        """Whether what it says are labels, or tags made of them."""
        return self.says in ("class", "labels", "tags")

    @property
    def writes(self) -> bool:
        """Whether it writes texts by itself."""
        return self.says in ("continuation", "answer", "text")

    @property
    def body(self) -> str:
        """The class that a run loads its base with: adapters of one class belong on no other."""
        return self.auto_class if self.is_language else "AutoModel"


_SEQUENCE = "AutoModelForSequenceClassification"

KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "text-classification": Kind(_SEQUENCE, "class", "text classifier", "text-classification"),
        "pair-classification": Kind(_SEQUENCE, "class", "classifier of pairs of texts", "text-classification"),
        "multi-label-classification": Kind(
            _SEQUENCE, "labels", "text classifier that gives any number of labels", "text-classification"
        ),
        "regression": Kind(_SEQUENCE, "number", "model that gives a number", "text-classification"),
        "rerank": Kind(_SEQUENCE, "relevance", "reranker of documents", "text-ranking"),
        "token-classification": Kind(
            "AutoModelForTokenClassification", "tags", "tagger of words", "token-classification"
        ),
        "causal-lm": Kind("AutoModelForCausalLM", "continuation", "language model", "text-generation"),
        "masked-lm": Kind("AutoModelForMaskedLM", "gaps", "masked language model", "fill-mask"),
        "instruction": Kind("AutoModelForCausalLM", "answer", "language model that answers", "text-generation"),
        "seq2seq": Kind("AutoModelForSeq2SeqLM", "text", "model that makes texts of texts", "text2text-generation"),
    }
)
"""Task → kind: every task whose models are exported and merged."""
