"""Adapters over a frozen base, through peft: making them, saving them, and putting them back.

A checkpoint's adapter always belongs on the base as its files have it. Starts that take a part of the base's weights
with them (PiSSA, OLoRA) are saved as what they add up to: W = W' + s·B₀A₀ when training starts, so that
W' + s·BA = W + s·[B | -B₀][A ; A₀], a plain LoRA of twice the rank (Meng et al. 2024, arXiv:2404.02948, appendix).

    adapter/adapter_config.json, adapter_model.safetensors   as peft writes them
    adapter/prompt_encoder.safetensors                       learnt tokens: what makes them, which peft leaves out
"""

import difflib
import math
from collections.abc import Mapping
from copy import copy
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from runner.backbone import Backbone
from runner.errors import ModelError
from runner.recipe.errors import Problem, RecipeError
from runner.recipe.methods import ADAPTERS, BASE_CHANGING, PROMPT_TYPES

if TYPE_CHECKING:
    from runner.recipe import Model, Peft

_INITIAL = "assay_initial"  # attribute of the model with adapters: A₀ and B₀ by their names, where the base was changed
_WEIGHTS = "adapter_model.safetensors"
_ENCODER = "prompt_encoder.safetensors"

# Settings of peft's configurations that are ours to make.
_OURS = {
    "task_type", "peft_type", "auto_mapping", "peft_version", "base_model_name_or_path", "revision", "inference_mode",
}  # fmt: skip


def takes_from_base(spec: "Model") -> bool:
    """Whether adapters start with a part of the base's weights, which the base then lacks."""
    return spec.method == "lora" and spec.lora.init in BASE_CHANGING


def changes_base(spec: "Model") -> bool:
    """Whether the base's weights may be others after a run than before."""
    return takes_from_base(spec) or spec.method in ("full", "top-layers", "peft")


def with_adapters(backbone: Backbone, spec: "Model") -> nn.Module:
    """The backbone (which is changed) with fresh adapters, and nothing else of it trainable.

    Raises ModelError, or RecipeError for settings that there are not.
    """
    if spec.method == "peft":
        return _with_peft(backbone, spec.peft)
    return _with_lora(backbone, spec)


def _with_lora(backbone: Backbone, spec: "Model") -> nn.Module:
    from peft import LoraConfig, get_peft_model

    lora, targets = spec.lora, spec.lora.target_modules
    init: Any = True if lora.init in ("default", "loftq") else lora.init
    config = LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=targets if isinstance(targets, str) else list(targets),
        use_dora=lora.use_dora,
        use_rslora=lora.use_rslora,
        init_lora_weights=init,
    )
    if takes_from_base(spec):
        _require_room(backbone.model, config, lora.init)
    try:
        model: Any = get_peft_model(backbone.model, config)
    except ValueError as error:
        if not (names := _linear_names(backbone.model)):
            raise ModelError(
                f"model.method = {spec.method!r}: none of the layers of {spec.base} is linear, so there is nothing to "
                'adapt. Use model.method = "full" or "head".'
            ) from error
        raise ModelError(
            f"model.lora.target_modules = {targets!r} fits no module of this model. "
            f'Use "all-linear", or some of: {names}.'
        ) from error
    if takes_from_base(spec):
        setattr(model, _INITIAL, _copied(_adapter_state(model)))
    if lora.init == "loftq":
        from runner.quantization import make_up_for_loss

        make_up_for_loss(model, backbone.location, spec.revision)
    made: nn.Module = model
    return made


def _require_room(model: nn.Module, config: Any, init: str) -> None:
    """Such starts cut a matrix into its main directions: no layer has more of them than its smaller side."""
    from peft.tuners.tuners_utils import check_target_module_exists
    from transformers.pytorch_utils import Conv1D

    is_all = config.target_modules == "all-linear"
    for name, module in model.named_modules():
        if not isinstance(module, nn.Linear | Conv1D) or not (is_all or check_target_module_exists(config, name)):
            continue
        if init == "olora" and isinstance(module, Conv1D):
            raise ModelError(
                f'model.lora.init = "olora": peft cannot start {name} so, whose weights lie transposed; use "pissa".'
            )
        if min(module.weight.shape) < config.r:
            raise ModelError(
                f"model.lora.r = {config.r}: the layer {name} has {min(module.weight.shape)} directions, and "
                f"init = {init!r} takes r of them; choose a lower rank."
            )


def _linear_names(model: nn.Module) -> str:
    from transformers.pytorch_utils import Conv1D

    return ", ".join(
        sorted({n.rsplit(".", 1)[-1] for n, m in model.named_modules() if isinstance(m, nn.Linear | Conv1D)})
    )


def _norm_names(model: nn.Module) -> list[str]:
    """Layers of norms, whatever a model's own class for them is called, such as LlamaRMSNorm."""
    return [name for name, module in model.named_modules() if type(module).__name__.lower().endswith("norm")]


# any other adapter of peft -------------------------------------------------------------------------------------------


def peft_problems(spec: "Peft") -> list[Problem]:
    """The settings that the configuration of this type does not have."""
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    config = {str(kind.value): made for kind, made in PEFT_TYPE_TO_CONFIG_MAPPING.items()}.get(spec.type)
    if config is None:
        return [Problem(("model", "peft", "type"), spec.type, "is no type of the peft that is installed", "update it")]
    known = [field.name for field in fields(config) if field.init and field.name not in _OURS]
    found = []
    for name, value in (spec.model_extra or {}).items():
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
            found.append(Problem(("model", "peft", name), value, f"is no setting of {spec.type}", hint))
    return found


def virtual_tokens(spec: "Model") -> int:
    """How many learnt tokens stand before each text."""
    if spec.method != "peft" or spec.peft.type not in PROMPT_TYPES:
        return 0
    n = (spec.peft.model_extra or {}).get("num_virtual_tokens", 20)
    if not isinstance(n, int) or isinstance(n, bool) or n < 1:
        raise ModelError(f"model.peft.num_virtual_tokens = {n!r}: must be an integer ≥ 1.")
    return n


def _with_peft(backbone: Backbone, spec: "Peft") -> nn.Module:
    from peft import get_peft_config, get_peft_model

    if problems := peft_problems(spec):
        raise RecipeError("recipe", problems)
    settings = {**(spec.model_extra or {}), "peft_type": spec.type, "inference_mode": False}
    if spec.type == "LN_TUNING":  # of which peft knows the norms of a few models only
        settings = {"target_modules": _norm_names(backbone.model), **settings}
    if spec.type in PROMPT_TYPES:
        settings = {"num_virtual_tokens": 20, **settings, "task_type": _work_of(backbone.model)}
    try:
        model: nn.Module = get_peft_model(backbone.model, get_peft_config(settings))
    except (ValueError, TypeError, KeyError, NotImplementedError, AttributeError, RuntimeError) as error:
        raise ModelError(
            f"model.peft: {spec.type} cannot be put on this model: {' '.join(str(error).split())[:400]}. "
            f"Settings of its configuration go into [model.peft]; linear layers are {_linear_names(backbone.model)}."
        ) from error
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ModelError(f"model.peft: {spec.type} finds nothing in this model to train; set target_modules.")
    return model


def _work_of(model: Any) -> str:
    """What a model is for, in peft's words: learnt tokens stand before what it reads, and while it writes too."""
    if not model.can_generate():
        return "FEATURE_EXTRACTION"
    return "SEQ_2_SEQ_LM" if model.config.is_encoder_decoder else "CAUSAL_LM"


# on disk -------------------------------------------------------------------------------------------------------------


def is_adapter(method: str) -> bool:
    """Whether checkpoints of a method hold an adapter, and not the base below it."""
    return method in ADAPTERS


def save_adapter(folder: Path, body: Any) -> None:
    """Write the adapter so that it belongs on the base as its files have it."""
    from safetensors.torch import save_file

    initial: dict[str, Tensor] | None = getattr(body, _INITIAL, None)
    if initial is None:
        body.save_pretrained(folder, safe_serialization=True)
    else:
        folder.mkdir(parents=True)
        save_file(_as_difference(_adapter_state(body), initial), folder / _WEIGHTS)
        _plain_config(body).save_pretrained(folder)
    encoder = getattr(body, "prompt_encoder", None)
    if encoder:
        state = {name: tensor.detach().cpu().contiguous() for name, tensor in encoder["default"].state_dict().items()}
        save_file(state, folder / _ENCODER)


def load_adapter(folder: Path, body: Any) -> None:
    """Put a saved adapter into the model with adapters that it was saved from."""
    from peft import set_peft_model_state_dict
    from safetensors.torch import load_file

    if (folder / _ENCODER).is_file() and not body.peft_config["default"].inference_mode:
        body.prompt_encoder["default"].load_state_dict(load_file(folder / _ENCODER))
        return
    state = load_file(folder / _WEIGHTS)
    if getattr(body, _INITIAL, None) is not None:
        state = _take_apart(state, body)
    set_peft_model_state_dict(body, state)


def fold(body: Any) -> nn.Module:
    """The base with the adapter's change in its weights, of full bits where it had few. Raises ModelError."""
    from peft import get_peft_model, set_peft_model_state_dict

    from runner.quantization import dequantize, is_quantized

    config = body.peft_config["default"]
    if config.is_prompt_learning:
        raise ModelError(
            f"an adapter of type {config.peft_type.value} puts learnt tokens before each text: there are no weights "
            "that it could be folded into."
        )
    if is_quantized(body):
        state, init = _adapter_state(body), config.init_lora_weights
        base = dequantize(body.unload())
        config.init_lora_weights, config.inference_mode = True, True
        body = get_peft_model(base, config)
        set_peft_model_state_dict(body, state)
        config.init_lora_weights = init
    try:
        folded: nn.Module = body.merge_and_unload()
    except (AttributeError, NotImplementedError, ValueError) as error:
        raise ModelError(f"an adapter of type {config.peft_type.value} cannot be folded: {error}.") from error
    return folded


def _adapter_state(body: Any) -> dict[str, Tensor]:
    from peft import get_peft_model_state_dict

    state: dict[str, Tensor] = get_peft_model_state_dict(body)
    return state


def _copied(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in state.items()}


def _as_difference(state: Mapping[str, Tensor], initial: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """[A ; A₀] and [B | -B₀] of each layer."""
    joined = {}
    for name, tensor in state.items():
        now, then = tensor.detach().cpu(), initial[name]
        joined[name] = torch.cat([now, then]) if ".lora_A." in name else torch.cat([now, -then], dim=1)
    return joined


def _plain_config(body: Any) -> Any:
    """Of an adapter of twice the rank and the same scale, started as any other."""
    config = copy(body.peft_config["default"])
    scale = config.lora_alpha / (math.sqrt(config.r) if config.use_rslora else config.r)
    config.r, config.lora_alpha, config.use_rslora = 2 * config.r, scale * 2 * config.r, False
    config.init_lora_weights, config.inference_mode = True, True
    return config


def _take_apart(state: Mapping[str, Tensor], body: Any) -> dict[str, Tensor]:
    """A and B out of what `_as_difference` made; the base and the model's A₀, B₀ become those of the checkpoint."""
    current, initial = {}, {}
    for name, tensor in state.items():
        if ".lora_A." in name:
            current[name], initial[name] = (part.contiguous() for part in tensor.chunk(2))
        else:
            current[name], first = (part.contiguous() for part in tensor.chunk(2, dim=1))
            initial[name] = -first
    own: dict[str, Tensor] = getattr(body, _INITIAL)
    for name in (name for name in initial if ".lora_A." in name):
        pair = name.replace(".lora_A.", ".lora_B.")
        if torch.equal(own[name], initial[name]) and torch.equal(own[pair], initial[pair]):
            continue  # the same machine cuts the weights in the same way; another may not
        layer = body.get_submodule(name.partition(".lora_A.")[0])
        change = layer.scaling["default"] * (own[pair] @ own[name] - initial[pair] @ initial[name])
        weight = layer.get_base_layer().weight
        with torch.no_grad():
            weight += (change.T if layer.fan_in_fan_out else change).to(weight)
    setattr(body, _INITIAL, initial)
    return current
