"""Backbones: finding, checking and loading a model and its tokenizer, and how its token vectors become one vector."""

import hashlib
import json
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from runner.errors import ModelError
from runner.location import folder_hint, model_location

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from runner.recipe import Model

Pooling = Literal["mean", "cls", "last"]

_NO_SETTINGS = {"_name_or_path", "transformers_version", "dtype", "torch_dtype", "architectures"}


@dataclass(frozen=True)
class Backbone:
    """A loaded encoder or decoder without its task head, in float32, and its tokenizer."""

    model: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerBase"
    pooling: Pooling
    max_length: int
    """Tokens: the recipe's limit, or less where the model has fewer positions."""
    location: str
    """Folder or hub name it was loaded from."""

    @property
    def n_dimensions(self) -> int:
        return int(self.model.config.hidden_size)


_MADE_FOR = {
    "AutoModelForCausalLM": ("goes on with a text", "a decoder such as gpt2"),
    "AutoModelForMaskedLM": ("fills gaps", "an encoder such as distilbert-base-uncased"),
    "AutoModelForSeq2SeqLM": ("reads one text and writes another", "one such as google-t5/t5-small"),
}
"""What models of these auto classes do, and an example."""


def load_backbone(spec: "Model", auto_class: str = "AutoModel", device: str = "cpu") -> Backbone:
    """Load what `[model]` names, by an auto class of transformers. Raises ModelError; a hub that cannot be reached is
    said at once.

    device: where it will train. A base of few bits is quantised there; any other is loaded on the CPU.
    """
    import transformers
    from transformers import AutoConfig

    name = model_location(spec.base, spec.revision)
    tokenizer = load_tokenizer(spec)
    if name.startswith("scratch:"):
        model_type = name.removeprefix("scratch:")
        ids = {f"{which}_token_id": getattr(tokenizer, f"{which}_token_id") for which in ("bos", "eos", "pad")}
        settings = {"vocab_size": len(tokenizer), **ids, **spec.config}
        try:
            config = AutoConfig.for_model(model_type, **settings)
            model = getattr(transformers, auto_class).from_config(config, **_attention(spec, device))
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError(f"model.base = {spec.base!r} with [model.config] {dict(spec.config)}: {error}") from error
    else:
        model = _pretrained(spec, name, auto_class, device)
    if isinstance(getattr(model, "pooler", None), nn.Module):
        model.pooler = None  # we pool ourselves; an unused layer would count as trained parameters
    if model.config.pad_token_id is None:
        model.config.pad_token_id = tokenizer.pad_token_id
    return as_backbone(spec, model, tokenizer, name)


def _pretrained(spec: "Model", name: str, auto_class: str, device: str) -> "PreTrainedModel":
    """The model with the weights of its folder. Raises ModelError where any would be left at random."""
    import transformers
    from safetensors import SafetensorError

    from runner.quantization import loading_arguments, require_quantized, set_compute

    _require_kind(spec, name, auto_class)
    settings = _attention(spec, device)
    if spec.method == "qlora":
        settings |= loading_arguments(spec.quantization, device)
    try:
        model, report = getattr(transformers, auto_class).from_pretrained(
            name,
            revision=spec.revision or "main",
            dtype=torch.float32,
            use_safetensors=True,
            trust_remote_code=spec.trust_remote_code,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are in the report, by name
            **settings,
        )
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        raise ModelError(f"model.base = {spec.base!r} cannot be loaded: {_first_lines(error)}") from error
    # a language model comes without the pooler, which we take off anyway
    missing = sorted(key for key in report["missing_keys"] if not key.startswith("pooler."))
    other = sorted(
        f"{key} {tuple(saved)}, not {tuple(wanted)}"
        for key, saved, wanted in report["mismatched_keys"]
        if not key.startswith("pooler.")
    )
    body = f"{model.base_model_prefix}."
    if auto_class in _MADE_FOR and missing and not other and not any(key.startswith(body) for key in missing):
        does, such_as = _MADE_FOR[auto_class]
        raise ModelError(
            f"model.base = {spec.base!r} lacks the layer that says tokens ({_listed(missing)}): it was saved without, "
            f"as classifiers and sentence encoders are. Take a model that {does}: {such_as}."
        )
    faults = [f"missing are {_listed(missing)}"] if missing else []
    faults += [f"of another shape are {_listed(other)}"] if other else []
    faults += [str(message) for message in report["error_msgs"]]
    if faults:
        raise ModelError(
            f"model.base = {spec.base!r}: the weights do not fit config.json; {'; '.join(faults)}. "
            "Random numbers would stand in their place: save the model again with `model.save_pretrained(folder)`, "
            "which writes both files."
        )
    if spec.method == "qlora":
        require_quantized(model, spec.base)
        set_compute(model, spec.quantization.compute, None)
    loaded: PreTrainedModel = model
    return loaded


def _require_kind(spec: "Model", name: str, auto_class: str) -> None:
    """Raises ModelError where transformers knows this type of model, and it does not do what the task needs."""
    from transformers import AutoConfig
    from transformers.models.auto import modeling_auto

    kinds = {
        "AutoModelForCausalLM": modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        "AutoModelForMaskedLM": modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES,
        "AutoModelForSeq2SeqLM": modeling_auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
    }
    if auto_class not in kinds or spec.trust_remote_code:
        return
    try:
        kind = AutoConfig.from_pretrained(name, revision=spec.revision or "main").model_type
    except (OSError, ValueError, KeyError):  # loading it says what is wrong
        return
    if kind in modeling_auto.MODEL_MAPPING_NAMES and kind not in kinds[auto_class]:
        does, such_as = _MADE_FOR[auto_class]
        raise ModelError(
            f"model.base = {spec.base!r} is a model of type {kind}, and the task needs one that {does}: {such_as}."
        )


def _attention(spec: "Model", device: str) -> dict[str, Any]:
    """What from_pretrained takes for `model.attention`. Raises ModelError for one that cannot be had here."""
    if spec.attention == "auto":
        return {}
    if spec.attention == "flash_attention_2":
        lacks = [] if find_spec("flash_attn") else ["the package flash-attn is not installed"]
        lacks += [] if device.startswith("cuda") else [f"it needs a CUDA device, and this trains on {device}"]
        if lacks:
            raise ModelError(f'model.attention = "flash_attention_2": {"; ".join(lacks)}. Use "sdpa" or "auto".')
    return {"attn_implementation": spec.attention}


def _listed(tensors: list[str]) -> str:
    """How many, and the first three."""
    shown = ", ".join(tensors[:3]) + (", …" if len(tensors) > 3 else "")
    return f"{len(tensors):,} {'tensor' if len(tensors) == 1 else 'tensors'} ({shown})"


def as_backbone(
    spec: "Model", model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", location: str
) -> Backbone:
    """A loaded model and tokenizer, pooled and cut as the spec says."""
    from runner.adapters import virtual_tokens

    pooling = spec.pooling if spec.pooling != "auto" else natural_pooling(model.config, location, spec.revision)
    length = _usable_length(model.config, tokenizer, spec.max_length, virtual_tokens(spec))
    return Backbone(model, tokenizer, pooling, length, location)


def load_tokenizer(spec: "Model") -> "PreTrainedTokenizerBase":
    """The tokenizer, with a pad token: where it has none, its end-of-sequence token pads."""
    from transformers import AutoTokenizer

    revision = None if spec.tokenizer else spec.revision  # a revision of the model is none of another repository
    name = model_location(spec.tokenizer or spec.base, revision)
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            name,
            revision=revision or "main",
            trust_remote_code=spec.trust_remote_code,
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"no tokenizer can be loaded from {name!r}: {_first_lines(error)}{folder_hint(name)}"
        ) from error
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token_id is None:
            raise ModelError(
                f"the tokenizer of {name!r} has neither a pad token nor an end-of-sequence token to pad with. Name one "
                "that has in model.tokenizer, or set pad_token in its tokenizer_config.json."
            )
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def natural_pooling(config: Any, location: str, revision: str | None = None) -> Pooling:
    """What the backbone was made for: the mode that a sentence encoder states, the last token of a decoder, or CLS.

    Raises ModelError where a sentence encoder's own statement cannot be read.
    """
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    )

    stated = _sentence_encoder_pooling(location, revision)
    if stated:
        return stated
    kind = config.model_type
    is_decoder = kind in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and kind not in MODEL_FOR_MASKED_LM_MAPPING_NAMES
    return "last" if is_decoder or getattr(config, "is_decoder", False) else "cls"


def _sentence_encoder_pooling(location: str, revision: str | None) -> Pooling | None:
    """The pooling of a model saved by sentence-transformers (`modules.json` and `1_Pooling/config.json`)."""
    from transformers.utils import cached_file

    def read(name: str) -> Any:
        path = Path(location) / name
        if not Path(location).is_dir():
            if location.startswith("scratch:"):
                return None
            found = cached_file(
                location, name, revision=revision or "main", _raise_exceptions_for_missing_entries=False
            )
            path = Path(found) if found else path
        if not path.is_file():
            return None
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:  # no JSON, no Unicode
            raise ModelError(
                f"{path} cannot be read ({error}), and it says how the texts' vectors are made. "
                "Download or save the model again, or set model.pooling."
            ) from error

    if read("modules.json") is None:
        return None
    config = read("1_Pooling/config.json") or {}
    if not isinstance(config, dict):
        raise ModelError(f"{location}: 1_Pooling/config.json holds no JSON object. Save the model again.")
    if config.get("pooling_mode_cls_token"):
        return "cls"
    return "last" if config.get("pooling_mode_lasttoken") else "mean"


def pool(hidden: Tensor, mask: Tensor, pooling: Pooling) -> Tensor:
    """Token vectors (batch, tokens, d) and mask (batch, tokens) → text vectors (batch, d), whatever side is padded."""
    if pooling == "mean":
        weights = mask.unsqueeze(-1).to(hidden.dtype)
        return (hidden * weights).sum(1) / weights.sum(1).clamp(min=1)
    positions = torch.arange(mask.shape[1], device=mask.device)
    if pooling == "cls":
        chosen = torch.where(mask.bool(), positions, mask.shape[1]).amin(1).clamp(max=mask.shape[1] - 1)
    else:
        chosen = torch.where(mask.bool(), positions, -1).amax(1).clamp(min=0)
    return hidden[torch.arange(len(hidden), device=hidden.device), chosen]


def fingerprint(model: nn.Module) -> str:
    """Hex blake2b-128 of all weights and settings: the same backbone under any name gives the same."""
    digest = hashlib.blake2b(digest_size=16)
    config: Any = getattr(model, "config", None)
    settings = config.to_dict() if config is not None else {}  # equal weights with other settings: another model
    kept = {key: value for key, value in settings.items() if key not in _NO_SETTINGS}
    digest.update(f"{type(model).__name__}{json.dumps(kept, sort_keys=True, default=str)}".encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def transformer_layers(model: nn.Module) -> nn.ModuleList:
    """The stack of transformer blocks: the longest list of modules there is. Raises ModelError if there is none."""
    stacks = [module for module in model.modules() if isinstance(module, nn.ModuleList)]
    if not stacks:
        raise ModelError(f"{type(model).__name__} has no list of layers; method top-layers cannot tell the last ones.")
    return max(stacks, key=len)


def _usable_length(config: Any, tokenizer: "PreTrainedTokenizerBase", wanted: int, n_virtual: int) -> int:
    """Tokens that fit: RoBERTa-like models reserve the positions up to their pad token; learnt tokens take some."""
    positions = getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None)
    if not positions:
        return wanted
    if config.model_type in {"roberta", "xlm-roberta", "camembert", "longformer", "mpnet"}:
        positions -= (tokenizer.pad_token_id or 0) + 1
    if positions <= n_virtual:
        raise ModelError(f"model.peft.num_virtual_tokens = {n_virtual}: the model has {positions} positions in all.")
    return min(wanted, int(positions) - n_virtual)


def _first_lines(error: BaseException) -> str:
    return " ".join(str(error).split("\n\n")[0].split())[:600]
