"""The ways to write a model with a head for others.

transformers   config.json, model.safetensors, tokenizer files: what AutoModelForSequenceClassification loads, or
               AutoModelForTokenClassification
parts          backbone/, head.safetensors, tokenizer/, assay.json: an Assay checkpoint that brings its base along
adapter        adapter/ in its place of backbone/, where others can load the base by its name
"""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from evals.tags import Scheme, scheme_tags
from runner.adapters import fold
from runner.classifier import CheckpointInfo, TextClassifier, TextModel
from runner.publish.forms import as_sequence_classifier, as_token_classifier

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def write_transformers(
    folder: Path, model: TextClassifier, tokenizer: "PreTrainedTokenizerBase", info: CheckpointInfo
) -> None:
    """Raises NotExpressible where no class of transformers says the same. Folds adapters into the model's backbone."""
    fold_adapters(model)
    whole: Any = (
        as_token_classifier(model, tags_of_model(info))
        if info.task == "token-classification"
        else as_sequence_classifier(model, info)
    )
    whole.save_pretrained(folder)
    save_tokenizer(folder, tokenizer, info)


def tags_of_model(info: CheckpointInfo) -> tuple[str, ...]:
    """What the outputs of a tagger are, in their order."""
    return scheme_tags(info.labels, Scheme(info.settings.get("scheme", "BIO")))


def write_parts(
    folder: Path, model: TextClassifier, tokenizer: "PreTrainedTokenizerBase", info: CheckpointInfo, base: str
) -> None:
    """Folds adapters into the model's backbone. `base`: what to call the base; a local path is nobody's business."""
    fold_adapters(model)
    body: Any = model.backbone
    body.config.name_or_path = ""
    body.save_pretrained(folder / "backbone")
    _write_rest(folder, model, tokenizer, replace(info, method="full", base=base))


def write_adapter(
    folder: Path, model: TextClassifier, tokenizer: "PreTrainedTokenizerBase", info: CheckpointInfo, base: str
) -> None:
    """The adapter as peft writes it, naming its base as others find it."""
    save_adapter_for(folder / "adapter", model.backbone, base, info.revision)
    _write_rest(folder, model, tokenizer, replace(info, base=base))


def save_adapter_for(folder: Path, body: Any, base: str, revision: str | None) -> None:
    """An adapter that names its base as others find it."""
    for settings in body.peft_config.values():
        settings.base_model_name_or_path, settings.revision = base, revision
    body.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)  # peft's empty card; ours is written later


def fold_adapters(model: TextModel) -> None:
    """Put the weights of an adapter into those of its base; nothing where there is none. Raises ModelError."""
    from peft import PeftModel

    if isinstance(model.backbone, PeftModel):
        model.backbone = fold(model.backbone)


def _write_rest(
    folder: Path, model: TextClassifier, tokenizer: "PreTrainedTokenizerBase", info: CheckpointInfo
) -> None:
    from safetensors.torch import save_file

    head = {name: tensor.detach().cpu().contiguous() for name, tensor in model.head.state_dict().items()}
    save_file(head, folder / "head.safetensors")
    save_tokenizer(folder / "tokenizer", tokenizer, info)
    (folder / "assay.json").write_text(json.dumps(asdict(info), indent=2, ensure_ascii=False), encoding="utf-8")


def save_tokenizer(
    folder: Path,
    tokenizer: "PreTrainedTokenizerBase",
    info: CheckpointInfo,
    padding_side: Literal["left", "right"] = "right",
) -> None:
    """Padding on the side that the model needs and cutting where training cut, for whoever does not say it."""
    tokenizer.padding_side = tokenizer.init_kwargs["padding_side"] = padding_side
    tokenizer.model_max_length = info.max_length
    for name in ("name_or_path", "_name_or_path"):
        tokenizer.init_kwargs.pop(name, None)
    tokenizer.save_pretrained(folder)
