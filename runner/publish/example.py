"""The lines that load an exported folder without Assay. They stand in its README, and its check runs exactly them.

Loads no torch. Those of language models are in `runner.publish.example_language`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from runner.publish.example_language import Prompting, language_example
from runner.publish.kinds import KINDS, Kind

if TYPE_CHECKING:
    from runner.backbone import Pooling

Format = Literal["transformers", "parts", "adapter"]


@dataclass(frozen=True)
class Loading:
    """What the lines that load an exported model depend on."""

    form: Format
    task: str
    max_length: int
    pooling: "Pooling"
    base: str | None = None
    """The public name of the base; None where it has none."""
    revision: str | None = None
    prefix_space: bool = False
    """Of a tagger: its tokenizer tells words within a text by the blank before them."""
    is_pair: bool = False
    """It reads two texts together."""
    prompting: Prompting | None = None
    """Of a language model."""

    @property
    def kind(self) -> Kind:
        return KINDS[self.task]

    def example(self, folder: str | Path) -> str:
        """Python that defines `predict`, or of a language model `encode` and what it writes."""
        if self.prompting is not None:
            base = f"{self.base!r}{_at(self.revision)}" if self.form == "adapter" else None
            return language_example(self.kind, str(folder), self.prompting, self.max_length, base)
        loading = _whole(self, str(folder)) if self.form == "transformers" else _parts(self, str(folder))
        return f"{loading}\n\n{_words(self) if self.kind.says == 'tags' else _texts(self)}"


def _at(revision: str | None) -> str:
    return f", revision={revision!r}" if revision else ""


# loading -------------------------------------------------------------------------------------------------------------

_WHOLE = """\
import torch
from transformers import {auto_class}, AutoTokenizer

folder = {folder!r}
tokenizer = AutoTokenizer.from_pretrained(folder{prefix})
model = {auto_class}.from_pretrained(folder).eval()
"""

_PARTS = """\
import json
from pathlib import Path

import torch
{peft_import}from safetensors.torch import load_file
from transformers import AutoModel, AutoTokenizer

folder = Path({folder!r})
about = json.loads((folder / "assay.json").read_text(encoding="utf-8"))
labels, settings = about["labels"], about["settings"]
head = load_file(folder / "head.safetensors")
tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer"{prefix})
backbone = {backbone}.eval()
"""


def _prefix(loading: Loading) -> str:
    return ", add_prefix_space=True" if loading.prefix_space and loading.kind.says == "tags" else ""


def _whole(loading: Loading, folder: str) -> str:
    return _WHOLE.format(folder=folder, auto_class=loading.kind.auto_class, prefix=_prefix(loading))


def _parts(loading: Loading, folder: str) -> str:
    backbone = 'AutoModel.from_pretrained(folder / "backbone")'
    if loading.form == "adapter":
        base = f"AutoModel.from_pretrained({loading.base!r}{_at(loading.revision)})"
        backbone = f'PeftModel.from_pretrained({base}, folder / "adapter")'
    return _PARTS.format(
        folder=folder,
        backbone=backbone,
        prefix=_prefix(loading),
        peft_import="from peft import PeftModel\n" if loading.form == "adapter" else "",
    )


# of whole texts ------------------------------------------------------------------------------------------------------

_POOLED: "dict[Pooling, str]" = {
    "mean": "(hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)",
    "cls": "hidden[:, 0]",
    "last": "hidden[torch.arange(len(mask)), mask.sum(1) - 1]",
}

_PREDICT = """\
def predict({what}):
    \"\"\"{doc}\"\"\"
    inputs = tokenizer({given}, truncation=True, max_length={max_length}, padding=True, return_tensors="pt")
{logits}
    return {reading}
"""

_WHOLE_LOGITS = """\
    with torch.inference_mode():
        logits = model({inputs}).logits"""

_PARTS_LOGITS = """\
    mask = inputs["attention_mask"]
    with torch.inference_mode():
        hidden = backbone({inputs}).last_hidden_state
    pooled = {pooled}
    logits = (pooled - head["mean"]) / head["deviation"] @ head["linear.weight"].T + head["linear.bias"]"""

_RELEVANCE = "logits[:, 0].sigmoid() * {most}"

_SETS = """

def labels_of({what}):
    \"\"\"The labels of each: those whose probability reaches the label's threshold.\"\"\"
    thresholds, names = {thresholds}, {names}
    return [[name for name, p, t in zip(names, row, thresholds) if p >= t] for row in predict({what}).tolist()]
"""


def _texts(loading: Loading) -> str:
    is_whole, says = loading.form == "transformers", loading.kind.says
    what = "pairs" if loading.is_pair else "texts"
    order = "model.config.id2label" if is_whole else "`labels`"
    doc, reading = {
        "class": (f"Probabilities ({what}, labels), in the order of {order}.", "logits.softmax(-1)"),
        "labels": (f"Probabilities ({what}, labels), each by itself, in the order of {order}.", "logits.sigmoid()"),
        "number": (f"A number for each of the {what}.", "logits[:, 0]"),
        "relevance": (f"How relevant the second text of each of the {what} is to the first.", _RELEVANCE),
    }[says]
    if says == "number" and not is_whole:
        reading = 'logits[:, 0] * settings["scale"] + settings["centre"]'
    elif says == "relevance":
        reading = reading.format(most="model.config.highest_relevance" if is_whole else 'settings["most"]')
    inputs = "**inputs" if loading.is_pair else 'input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]'
    logits = _WHOLE_LOGITS if is_whole else _PARTS_LOGITS
    written = _PREDICT.format(
        what=what,
        doc=doc,
        given="*map(list, zip(*pairs))" if loading.is_pair else "texts",
        max_length=loading.max_length,
        logits=logits.format(inputs=inputs, pooled=_POOLED[loading.pooling]),
        reading=reading,
    )
    if says != "labels":
        return written
    if is_whole:
        thresholds, names = "model.config.thresholds", "model.config.id2label.values()"
    else:
        thresholds, names = 'settings.get("thresholds", [0.5] * len(labels))', "labels"
    return written + _SETS.format(what=what, thresholds=thresholds, names=names)


# of words ------------------------------------------------------------------------------------------------------------

_WORDS = """\
def predict(words):
    \"\"\"Number of a word → probabilities of its tags, in the order of {order}. Words that are cut off have none.\"\"\"
    inputs = tokenizer(words, is_split_into_words=True, truncation=True, max_length={max_length}, return_tensors="pt")
    with torch.inference_mode():
{logits}
    first = {{}}
    for place, word in enumerate(inputs.word_ids()):
        if word is not None:
            first.setdefault(word, place)
    return {{word: logits[place].softmax(-1) for word, place in first.items()}}
"""

_TAGS = """\
        logits = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).logits[0]"""

_TAGS_OF_PARTS = """\
        hidden = backbone(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).last_hidden_state[0]
        scaled = (hidden - head["mean"]) / head["deviation"]
        logits = scaled @ head["linear.weight"].T + head["linear.bias"]"""


def _words(loading: Loading) -> str:
    if loading.form == "transformers":
        return _WORDS.format(order="model.config.id2label", max_length=loading.max_length, logits=_TAGS)
    order = 'the types in `labels`, after O: by settings["scheme"]'
    return _WORDS.format(order=order, max_length=loading.max_length, logits=_TAGS_OF_PARTS)
