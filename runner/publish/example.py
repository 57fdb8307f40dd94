"""The lines that load an exported folder without Assay. They stand in its README, and its check runs exactly them.

Loads no torch.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from runner.backbone import Pooling

Format = Literal["transformers", "parts", "adapter"]

_POOLED: "dict[Pooling, str]" = {
    "mean": "(hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)",
    "cls": "hidden[:, 0]",
    "last": "hidden[torch.arange(len(mask)), mask.sum(1) - 1]",
}

_TRANSFORMERS = """\
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

folder = {folder!r}
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForSequenceClassification.from_pretrained(folder).eval()


def predict(texts):
    \"\"\"Probabilities (texts, labels), in the order of model.config.id2label.\"\"\"
    inputs = tokenizer(texts, truncation=True, max_length={max_length}, padding=True, return_tensors="pt")
    with torch.inference_mode():
        logits = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).logits
    return logits.softmax(-1)
"""

_PARTS = """\
import json
from pathlib import Path

import torch
{peft_import}from safetensors.torch import load_file
from transformers import AutoModel, AutoTokenizer

folder = Path({folder!r})
labels = json.loads((folder / "assay.json").read_text(encoding="utf-8"))["labels"]
head = load_file(folder / "head.safetensors")
tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer")
backbone = {backbone}.eval()


def predict(texts):
    \"\"\"Probabilities (texts, labels), in the order of `labels`.\"\"\"
    inputs = tokenizer(texts, truncation=True, max_length={max_length}, padding=True, return_tensors="pt")
    mask = inputs["attention_mask"]
    with torch.inference_mode():
        hidden = backbone(input_ids=inputs["input_ids"], attention_mask=mask).last_hidden_state
        pooled = {pooled}
        scaled = (pooled - head["mean"]) / head["deviation"]
        return (scaled @ head["linear.weight"].T + head["linear.bias"]).softmax(-1)
"""


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

_TAGGER = """\
import torch
from transformers import AutoModelForTokenClassification, AutoTokenizer

folder = {folder!r}
tokenizer = AutoTokenizer.from_pretrained(folder{prefix})
model = AutoModelForTokenClassification.from_pretrained(folder).eval()


"""

_TAGGER_LOGITS = """\
        logits = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).logits[0]"""

_PARTS_LOGITS = """\
        hidden = backbone(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).last_hidden_state[0]
        scaled = (hidden - head["mean"]) / head["deviation"]
        logits = scaled @ head["linear.weight"].T + head["linear.bias"]"""


def loading_example(
    form: Format,
    folder: str | Path,
    *,
    task: str = "text-classification",
    prefix_space: bool = False,
    max_length: int,
    pooling: "Pooling",
    base: str | None = None,
    revision: str | None = None,
) -> str:
    """Python that defines `predict(texts)`, or of a tagger `predict(words)`; `base` and `revision` are those of an
    adapter. `prefix_space`: a tokenizer that tells words within a text by the blank before them."""
    is_tagger = task == "token-classification"
    prefix = ", add_prefix_space=True" if prefix_space and is_tagger else ""
    if form == "transformers" and is_tagger:
        words = _WORDS.format(order="model.config.id2label", max_length=max_length, logits=_TAGGER_LOGITS)
        return _TAGGER.format(folder=str(folder), prefix=prefix) + words
    if form == "transformers":
        return _TRANSFORMERS.format(folder=str(folder), max_length=max_length)
    backbone = 'AutoModel.from_pretrained(folder / "backbone")'
    if form == "adapter":
        at = f", revision={revision!r}" if revision else ""
        backbone = f'PeftModel.from_pretrained(AutoModel.from_pretrained({base!r}{at}), folder / "adapter")'
    whole = _PARTS.format(
        folder=str(folder),
        max_length=max_length,
        pooled=_POOLED[pooling],
        backbone=backbone,
        peft_import="from peft import PeftModel\n" if form == "adapter" else "",
    )
    if not is_tagger:
        return whole
    loading = whole[: whole.index("def predict")].replace('folder / "tokenizer")', f'folder / "tokenizer"{prefix})')
    order = "the types in `labels`, after O: by settings.scheme of assay.json"
    return loading + _WORDS.format(order=order, max_length=max_length, logits=_PARTS_LOGITS)
