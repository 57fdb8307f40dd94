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


def loading_example(
    form: Format,
    folder: str | Path,
    *,
    max_length: int,
    pooling: "Pooling",
    base: str | None = None,
    revision: str | None = None,
) -> str:
    """Python that defines `predict(texts)`; `base` and `revision` are those of an adapter."""
    if form == "transformers":
        return _TRANSFORMERS.format(folder=str(folder), max_length=max_length)
    backbone = 'AutoModel.from_pretrained(folder / "backbone")'
    if form == "adapter":
        at = f", revision={revision!r}" if revision else ""
        backbone = f'PeftModel.from_pretrained(AutoModel.from_pretrained({base!r}{at}), folder / "adapter")'
    return _PARTS.format(
        folder=str(folder),
        max_length=max_length,
        pooled=_POOLED[pooling],
        backbone=backbone,
        peft_import="from peft import PeftModel\n" if form == "adapter" else "",
    )
