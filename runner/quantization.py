"""A base in few bits, through bitsandbytes: loading it, making up for what it lost, and giving it back its bits."""

import contextlib
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from runner.errors import ModelError

if TYPE_CHECKING:
    from runner.recipe import Quantization

_COMPUTE = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def loading_arguments(spec: "Quantization", device: str) -> dict[str, Any]:
    """What `from_pretrained` takes to quantise while it loads, on the device where the model will be."""
    from transformers import BitsAndBytesConfig

    config = BitsAndBytesConfig(
        load_in_4bit=spec.bits == 4,
        load_in_8bit=spec.bits == 8,
        bnb_4bit_quant_type=spec.type,
        bnb_4bit_use_double_quant=spec.double,
        bnb_4bit_compute_dtype=_COMPUTE.get(spec.compute, torch.float32),
    )
    return {"quantization_config": config, **({} if device == "cpu" else {"device_map": {"": device}})}


def is_quantized(model: nn.Module) -> bool:
    """Whether any layer is in few bits."""
    return any(True for _ in _layers(model))


def _layers(model: nn.Module) -> Any:
    """(name, layer) of each quantised layer."""
    from bitsandbytes.nn import Linear4bit, Linear8bitLt

    return ((name, module) for name, module in model.named_modules() if isinstance(module, Linear4bit | Linear8bitLt))


def require_quantized(model: nn.Module, base: str) -> None:
    """Raises ModelError for a model without a layer that could be quantised."""
    if all(name.startswith("pooler.") for name, _ in _layers(model)):  # which is taken off
        raise ModelError(
            f"model.base = {base!r} has no linear layer to quantise, so method qlora would save nothing. "
            'Use model.method = "full" or "head".'
        )


def set_compute(model: nn.Module, compute: str, autocast: torch.dtype | None) -> None:
    """In which format 4-bit layers compute: `compute` as the recipe says it, `auto` as the rest of the model.

    On some processors bitsandbytes would repack weights with rounded scales at the first evaluation, so that training
    went on with others than it began with; it is told not to.
    """
    from bitsandbytes.nn import Linear4bit

    dtype = _COMPUTE.get(compute, autocast or torch.float32)
    for _, layer in _layers(model):
        if isinstance(layer, Linear4bit):
            layer.compute_dtype, layer.compute_type_is_set = dtype, True
            layer.support_avx512bf16_for_cpu = False


def full_weight(layer: Any) -> Tensor:
    """(out, in) float32 that a quantised layer stands for."""
    from bitsandbytes import functional
    from bitsandbytes.nn import Linear4bit

    if isinstance(layer, Linear4bit):
        weight: Tensor = functional.dequantize_4bit(layer.weight.data, layer.weight.quant_state)
        return weight.float()
    scale = layer.state.SCB if layer.state.SCB is not None else layer.weight.SCB
    whole: Tensor = functional.int8_vectorwise_dequant(layer.weight.data, scale)
    return whole.float()


def _lies_transposed(layer: Any) -> bool:
    """Whether a quantised layer stands for one whose weights are (in, out)."""
    from transformers.pytorch_utils import Conv1D

    return issubclass(getattr(layer, "source_cls", nn.Linear), Conv1D)


def dequantize(model: nn.Module) -> nn.Module:
    """The model with layers of float32 in place of quantised ones, as its own class writes and reads them."""
    from transformers.pytorch_utils import Conv1D

    for name, layer in list(_layers(model)):
        weight, bias = full_weight(layer), layer.bias
        if _lies_transposed(layer):
            made: Any = Conv1D(weight.shape[0], weight.shape[1])
            weight = weight.T.contiguous()
        else:
            made = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
        made.weight = nn.Parameter(weight, requires_grad=False)
        if bias is not None:
            made.bias = nn.Parameter(bias.detach().float(), requires_grad=False)
        model.set_submodule(name, made.to(layer.weight.device))
    config: Any = getattr(model, "config", None)
    if config is not None:
        with contextlib.suppress(AttributeError):
            del config.quantization_config
    for name in ("is_quantized", "is_loaded_in_4bit", "is_loaded_in_8bit"):
        if hasattr(model, name):
            setattr(model, name, False)
    with contextlib.suppress(AttributeError):
        del model.hf_quantizer
    return model


def make_up_for_loss(model: nn.Module, location: str, revision: str | None) -> None:
    """Start adapters with the best that their rank can say of what quantising lost: W - Q(W) ≈ s·BA.

    LoftQ with one step (Li et al. 2023, arXiv:2310.08659); the base stays as it is. Raises ModelError where the files
    of the full weights are not there.
    """
    from bitsandbytes.nn import Linear4bit

    files = _Weights(location, revision)
    for name, module in model.named_modules():
        layer: Any = module
        if not (hasattr(layer, "lora_A") and isinstance(layer.get_base_layer(), Linear4bit)):
            continue
        kept = full_weight(layer.get_base_layer())
        whole = files.read(name.removeprefix("base_model.model.")).to(kept)
        whole = whole.T if _lies_transposed(layer.get_base_layer()) else whole
        left, values, right = torch.linalg.svd(whole - kept, full_matrices=False)
        down, up = layer.lora_A["default"].weight, layer.lora_B["default"].weight
        rank = min(down.shape[0], len(values))
        root = (values[:rank] / layer.scaling["default"]).sqrt()
        with torch.no_grad():
            down.zero_(), up.zero_()
            down[:rank], up[:, :rank] = root[:, None] * right[:rank], left[:, :rank] * root


class _Weights:
    """The tensors of a model's files, by the names that its modules have; a class may put a prefix before them."""

    def __init__(self, location: str, revision: str | None) -> None:
        from pathlib import Path

        from safetensors import safe_open

        from runner.location import cached_folder

        folder = Path(location) if Path(location).is_dir() else Path(cached_folder(location, revision) or location)
        self._files: dict[str, Any] = {}
        for path in sorted(folder.glob("*.safetensors")):
            file: Any = safe_open(path, "pt")
            self._files |= dict.fromkeys(file.keys(), file)
        if not self._files:
            raise ModelError(f'model.lora.init = "loftq" needs the full weights: {folder} has no .safetensors file.')

    def read(self, module: str) -> Tensor:
        """A module's weight as its class has it."""
        wanted = f"{module}.weight"
        found = [name for name in self._files if name == wanted or name.endswith(f".{wanted}")]
        found = found or [name for name in self._files if wanted.endswith(f".{name}")]
        if len(found) != 1:
            raise ModelError(f'model.lora.init = "loftq": the files of the base have no weights of {module}.')
        tensor: Tensor = self._files[found[0]].get_tensor(found[0])
        return tensor
