"""The text classifier: a backbone, pooling, and one linear layer; how each method trains it; how it is saved.

A checkpoint folder holds
    assay.json          what it is: format, run id, task, method, base, labels, pooling, max length, step
    head.safetensors    the classification layer (and the feature scaling of method head)
    backbone/           full, top-layers: `save_pretrained` of the backbone
    adapter/            lora, qlora, peft: the adapter, as peft writes it (`runner.adapters`)
    tokenizer/          `save_pretrained` of the tokenizer
so that each part loads with the library that made it. Weights are safetensors only.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from runner.adapters import is_adapter, load_adapter, save_adapter, with_adapters
from runner.backbone import Backbone, Pooling, pool, transformer_layers
from runner.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from runner.recipe import Model

FORMAT = 1


@dataclass(frozen=True)
class CheckpointInfo:
    """What `assay.json` says of a checkpoint folder, wherever it is found."""

    run_id: str
    task: str
    method: str
    base: str
    labels: tuple[str, ...]
    pooling: Pooling
    max_length: int
    step: int
    epoch: float | None
    revision: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What predictions need beside the weights, by task: thresholds of labels, the scale of a number."""
    quantization: Mapping[str, Any] | None = None
    """`[model.quantization]` of the base that it belongs on; None: all its bits."""
    format: int = FORMAT


class ClassifierHead(nn.Module):
    """Scaling, dropout, one linear layer: features (..., d) → logits (..., k).

    The scaling (x - mean) / deviation is the identity until `fit_scaling` sees the features of a frozen backbone.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, n_dimensions: int, n_classes: int, dropout: float) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_dimensions))
        self.register_buffer("deviation", torch.ones(n_dimensions))
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(n_dimensions, n_classes)
        nn.init.normal_(self.linear.weight, std=0.02)
        nn.init.zeros_(self.linear.bias)

    def fit_scaling(self, features: Tensor) -> None:
        """Centre and scale to the mean and deviation of training features `(n, d)`."""
        self.mean.copy_(features.mean(0))
        self.deviation.copy_(features.std(0).clamp(min=1e-6))

    def forward(self, features: Tensor) -> Tensor:
        return self.linear(self.dropout((features - self.mean) / self.deviation))  # type: ignore[no-any-return]  # torch types modules' calls as Any


class TextModel(nn.Module):
    """What a run trains: a backbone, and whatever a task puts above it."""

    def __init__(self, backbone: nn.Module, pooling: Pooling, head: "ClassifierHead | None" = None) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.pooling = pooling

    def hidden(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        """Last hidden state (batch, tokens, d) of the text's own tokens, without learnt ones before them.

        `token_type_ids` say which of two texts a token is of.
        """
        types = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        output = self.backbone(input_ids=input_ids, attention_mask=attention_mask, **types)
        return output.last_hidden_state[:, -input_ids.shape[1] :]  # type: ignore[no-any-return]  # transformers outputs are untyped here


class TextClassifier(TextModel):
    """Backbone → pooling → head. `forward` gives logits (batch, k)."""

    head: ClassifierHead

    def __init__(self, backbone: nn.Module, head: ClassifierHead, pooling: Pooling) -> None:
        super().__init__(backbone, pooling, head)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        hidden = self.hidden(input_ids, attention_mask, token_type_ids)
        return self.head(pool(hidden, attention_mask, self.pooling))  # type: ignore[no-any-return]  # torch types modules' calls as Any


class TokenClassifier(TextClassifier):
    """Backbone → head. `forward` gives logits (batch, tokens, k); pooled are vectors of whole texts only."""

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        return self.head(self.hidden(input_ids, attention_mask, token_type_ids))  # type: ignore[no-any-return]  # torch types modules' calls as Any


CLASSIFIERS: Mapping[str, type[TextClassifier]] = {"token-classification": TokenClassifier}
"""Task → what it puts above a backbone, where that is no TextClassifier."""


def build_classifier(
    backbone: Backbone,
    n_classes: int,
    spec: "Model",
    kind: type[TextClassifier] = TextClassifier,
    *,
    has_bias: bool = False,
) -> TextClassifier:
    """Put a fresh head on the backbone and let exactly those weights train that the method names.

    has_bias: whether the head learns a bias even where classifiers of the backbone's kind have none.
    """
    head = ClassifierHead(backbone.n_dimensions, n_classes, spec.dropout)
    head.linear.bias.requires_grad_(has_bias or not _has_none(backbone, spec))
    return kind(trained_body(backbone, spec), head, backbone.pooling)


def _has_none(backbone: Backbone, spec: "Model") -> bool:
    """Whether classifiers of the backbone's kind have no bias: decoders whose last norm has none (Llama, Qwen).

    Heads over cached features have one all the same: centring the features makes it.
    """
    norm = getattr(backbone.model, "norm", None)
    is_decoder = backbone.pooling == "last" and isinstance(norm, nn.Module)
    return is_decoder and getattr(norm, "bias", None) is None and spec.method != "head"


def trained_body(backbone: Backbone, spec: "Model") -> nn.Module:
    """The backbone, with adapters where the method has them; of it exactly those weights train that the method names.

    Raises ModelError where the model has no such layers.
    """
    body: nn.Module = backbone.model
    if is_adapter(spec.method):
        body = with_adapters(backbone, spec)
    elif spec.method in ("head", "top-layers"):
        body.requires_grad_(False)
        if spec.method == "top-layers":
            _unfreeze_top(body, spec.top_layers)
    return body


def _unfreeze_top(model: nn.Module, n_layers: int) -> None:
    layers = transformer_layers(model)
    if n_layers > len(layers):
        raise ModelError(
            f"model.top_layers = {n_layers}, but the model has {len(layers)} layers; choose 1 to {len(layers)}."
        )
    for layer in list(layers)[-n_layers:]:
        layer.requires_grad_(True)
    for name, module in model.named_children():  # the norm after the last layer belongs to the top
        if name in ("ln_f", "final_layer_norm", "norm", "final_norm"):
            module.requires_grad_(True)


def count_parameters(model: nn.Module) -> tuple[int, int]:
    """(trainable, total) parameters; of weights in few bits, how many numbers they stand for."""
    sizes = [(_numbers(p), p.requires_grad) for p in model.parameters()]
    return sum(n for n, trains in sizes if trains), sum(n for n, _ in sizes)


def _numbers(parameter: Any) -> int:
    packed = getattr(parameter, "quant_state", None)  # of 4 bits: two in a byte
    return int(parameter.numel() if packed is None else torch.Size(packed.shape).numel())


def save_model(folder: Path, model: nn.Module, tokenizer: "PreTrainedTokenizerBase", info: CheckpointInfo) -> None:
    """Write a checkpoint folder. `model` has a backbone, a head or both, or is the head alone (method head)."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True)
    body, head = _parts_of(model)
    if head is not None:
        save_file(
            {name: t.detach().cpu().contiguous() for name, t in head.state_dict().items()}, folder / "head.safetensors"
        )
    if body is not None:
        if is_adapter(info.method):
            save_adapter(folder / "adapter", body)
        else:
            body.save_pretrained(folder / "backbone", safe_serialization=True)
    tokenizer.save_pretrained(folder / "tokenizer")
    (folder / "assay.json").write_text(json.dumps(asdict(info), indent=2, ensure_ascii=False))


def read_info(folder: Path) -> CheckpointInfo:
    """Whose checkpoint a folder is. Raises ModelError when it is none."""
    path = folder / "assay.json"
    if not path.is_file():
        raise ModelError(f"{folder} is not an Assay checkpoint: it has no assay.json.")
    try:
        values: dict[str, Any] = json.loads(path.read_text())
        if values["format"] > FORMAT:
            raise ModelError(f"the checkpoint {folder} was written by a newer Assay (format {values['format']}).")
        return CheckpointInfo(**{**values, "labels": tuple(values["labels"])})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path} is damaged, or not of an Assay checkpoint: {error!r}.") from error


def _parts_of(model: nn.Module) -> tuple[Any, nn.Module | None]:
    """The backbone and the head; what is no TextModel is a head alone."""
    return (model.backbone, model.head) if isinstance(model, TextModel) else (None, model)


def load_weights(folder: Path, model: nn.Module) -> None:
    """Put a checkpoint's weights into the model it was saved from."""
    from safetensors.torch import load_file

    body, head = _parts_of(model)
    if head is not None:
        head.load_state_dict(load_file(folder / "head.safetensors"))
        bias = head.get_parameter("linear.bias")
        if bias.any():
            bias.requires_grad_()  # it was learnt, though a new head of this kind may have none
    if body is None:
        return
    if (folder / "adapter").is_dir():
        load_adapter(folder / "adapter", body)
    elif (folder / "backbone").is_dir():  # a head alone leaves the backbone that is there
        state: dict[str, Tensor] = {}
        for file in sorted((folder / "backbone").glob("*.safetensors")):
            state |= load_file(file)
        missing, unexpected = body.load_state_dict(state, strict=False)
        tied = {name for name in missing if name not in dict(body.named_parameters())}
        if unexpected or set(missing) - tied:
            raise ModelError(f"the weights in {folder} do not fit the model: {[*missing, *unexpected][:3]}.")


def load_classifier(
    folder: Path, spec: "Model | None" = None
) -> tuple[TextClassifier, "PreTrainedTokenizerBase", CheckpointInfo]:
    """Rebuild a classifier from its checkpoint folder alone (and its base, for head and lora), ready to predict."""
    from transformers import AutoTokenizer

    info = read_info(folder)
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(folder / "tokenizer")
    body = load_body(folder, info, spec)
    head = ClassifierHead(int(body.config.hidden_size), n_outputs(folder), 0.0)
    model = CLASSIFIERS.get(info.task, TextClassifier)(body, head, info.pooling)
    load_weights(folder, model)
    return model.eval(), tokenizer, info


def load_body(folder: Path, info: CheckpointInfo, spec: "Model | None", auto_class: str = "AutoModel") -> Any:
    """The backbone of a checkpoint with its adapters, by an auto class of transformers."""
    import transformers

    if (folder / "backbone").is_dir():
        body: Any = getattr(transformers, auto_class).from_pretrained(folder / "backbone", use_safetensors=True)
        if isinstance(getattr(body, "pooler", None), nn.Module):
            body.pooler = None
        return body
    body = _load_base(folder, info, spec, auto_class)
    if (folder / "adapter").is_dir():
        from peft import PeftModel

        body = PeftModel.from_pretrained(body, folder / "adapter")
    return body


def n_outputs(folder: Path) -> int:
    """Numbers that the head of a checkpoint gives."""
    from safetensors import safe_open

    with safe_open(folder / "head.safetensors", "pt") as file:
        return int(file.get_slice("linear.bias").get_shape()[0])


def _load_base(folder: Path, info: CheckpointInfo, spec: "Model | None", auto_class: str) -> nn.Module:
    """The frozen model under a head or an adapter. `spec` says more of it than its name, such as a revision."""
    from runner.backbone import load_backbone
    from runner.recipe import Model, Quantization

    if info.base.startswith("scratch:"):
        raise ModelError(
            f"{folder} holds only what was trained above {info.base}, whose random weights are nowhere to be had; "
            'train with model.method = "full" to keep them.'
        )
    spec = spec or Model(base=info.base, revision=info.revision, pooling=info.pooling)
    if info.quantization is None:
        method: Literal["full", "qlora"] = "full"
        few_bits = Quantization()
    else:
        method, few_bits = "qlora", Quantization(**info.quantization)
    # How attention is computed is no part of what was learnt, and another machine may not have that way.
    update = {"method": method, "quantization": few_bits, "attention": "auto"}
    body: nn.Module = load_backbone(spec.model_copy(update=update), auto_class).model
    return body
