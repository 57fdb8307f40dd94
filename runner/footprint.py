"""How much memory a recipe will take, told from the headers of its model's files: neither torch nor weights load."""

import json
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from evals.memory import MemoryEstimate, ModelShape, training_memory
from runner.errors import UserError
from runner.recipe.spaces import WITHOUT_HEAD

if TYPE_CHECKING:
    from torch import nn

    from runner.recipe import Model, Recipe

Shapes = Mapping[str, tuple[int, ...]]
"""Tensor name → shape, of the tensors that count as parameters of the backbone."""

_HEADER_LIMIT = 100_000_000  # safetensors' own limit on a header, in bytes
_NOT_BACKBONE = re.compile(r"(^|\.)(pooler|lm_head|cls|classifier|score|qa_outputs)\.")
_LAYER = re.compile(r"^(.*?\.)??(\w+)\.(\d+)\.")
_LAST_NORMS = re.compile(r"(^|\.)(ln_f|final_layer_norm|norm|final_norm)\.(weight|bias)$")
_EMBEDDING = re.compile(r"(^|\.)(wte|wpe|\w*embed\w*)(\.|$)")


@dataclass(frozen=True)
class Footprint:
    """The memory that training would take, on what, and how much there is; `reason` where it cannot be told."""

    device: str
    """`cpu` or `gpu`."""
    available_bytes: int | None
    """Of the GPU in all; free now in the machine's memory where a CPU trains."""
    estimate: MemoryEstimate | None
    reason: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values for `--json`; bytes."""
        parts = None
        if self.estimate is not None:
            most = self.estimate.most_on_cpu if self.device == "cpu" else self.estimate.total
            parts = {**self.estimate._asdict(), "total": self.estimate.total, "most": most}
        return {
            "device": self.device, "available_bytes": self.available_bytes, "bytes": parts, "reason": self.reason
        }  # fmt: skip

    @property
    def needed_bytes(self) -> int | None:
        """None where it cannot be told."""
        return None if self.estimate is None else self.estimate.total

    @property
    def is_short(self) -> bool:
        """Whether more is needed than there is, as far as that is known."""
        needed, there = self.needed_bytes, self.available_bytes
        return needed is not None and there is not None and needed > there

    @property
    def sentence(self) -> str:
        """What it needs and what there is.

        >>> Footprint("cpu", None, None, "its files are not here").sentence
        'how much memory training needs is not known: its files are not here'
        """
        if self.needed_bytes is None:
            return f"how much memory training needs is not known: {self.reason}"
        where = "on the GPU" if self.device == "gpu" else "of the machine's memory"
        there = "" if self.available_bytes is None else f", {size(self.available_bytes)} there"
        return f"training needs about {size(self.needed_bytes)} {where}{there}"


def size(n_bytes: int) -> str:
    """
    >>> size(19_300_000_000), size(4_200_000)
    ('19.3 GB', '4.2 MB')
    """
    return f"{n_bytes / 1e9:,.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:,.1f} MB"


def footprint(
    recipe: "Recipe",
    longest: int | None = None,
    *,
    n_outputs: int | None = None,
    loaded: "nn.Module | None" = None,
    n_parts: int = 1,
) -> Footprint:
    """The estimate of `evals.memory` for a recipe on this machine.

    longest: length of the longest text in tokens; None: texts are as long as the recipe lets them be. n_outputs:
    numbers that the model gives for a text; None: as many as the recipe names labels. loaded: the model with what the
    method puts on it, where it is there already. n_parts: processes that gradients and the optimizer's state are split
    among; each needs the whole weights at times.
    """
    spec = recipe.training
    gpu_bytes = None if spec.device == "cpu" else _gpu_bytes()
    is_on_gpu = gpu_bytes is not None
    device, available = ("gpu", gpu_bytes) if is_on_gpu else ("cpu", host_bytes())
    folder = model_folder(recipe.model)
    if folder is None and loaded is None:
        return Footprint(device, available, None, f"the files of {recipe.model.base} are not on this machine yet")
    try:
        if folder is None:
            of_loaded: Any = loaded
            config: Mapping[str, Any] = of_loaded.config.to_dict()
            shape, positions = _shape_of(_shapes_of(loaded), config, recipe.model)
        else:
            config = json.loads((folder / "config.json").read_text())
            shape, positions = read_shape(folder, recipe.model)
        vocabulary = int(_first(config, "vocab_size")) if recipe.task in WITHOUT_HEAD else 0
    except (OSError, ValueError, KeyError, TypeError, struct.error) as error:
        return Footprint(device, available, None, f"{folder} does not say how large it is ({error})")
    estimate = training_memory(
        shape,
        method=recipe.model.method,
        n_classes=n_outputs or len(recipe.data.labels or ()) or 2,
        batch_size=spec.batch_size,
        length=min(filter(None, (recipe.model.max_length, positions, longest))),
        optimizer=spec.optimizer,
        is_half=spec.precision in ("bf16", "fp16") or (spec.precision == "auto" and is_on_gpu),
        is_on_gpu=is_on_gpu,
        recomputes=spec.gradient_checkpointing,
        vocabulary=vocabulary,
    )
    estimate = estimate._replace(gradients=estimate.gradients // n_parts, optimizer=estimate.optimizer // n_parts)
    return Footprint(device, available, estimate)


def model_folder(spec: "Model") -> Path | None:
    """Where the model's files are on this machine; None where they are not, or the weights are random. Asks no hub."""
    from runner.location import cached_folder

    if spec.base.startswith("builtin:"):
        from runner.builtin import builtin_folder

        return builtin_folder(spec.base.removeprefix("builtin:"))
    if spec.base.startswith(("scratch:", "run:")):
        return None
    if Path(spec.base).is_absolute():
        return Path(spec.base)
    try:
        cached = cached_folder(spec.base, spec.revision)
    except UserError:
        return None
    return Path(cached) if cached else None


def read_shape(folder: Path, spec: "Model") -> tuple[ModelShape, int | None]:
    """The shape of the model in a folder under a method, and how many positions it has.

    Raises OSError, ValueError, KeyError or struct.error where its files are not there or say something else.
    """
    config: dict[str, Any] = json.loads((folder / "config.json").read_text())
    return _shape_of(_read_shapes(folder), config, spec)


def _shape_of(every: Shapes, config: Mapping[str, Any], spec: "Model") -> tuple[ModelShape, int | None]:
    shapes = {name: shape for name, shape in every.items() if not _NOT_BACKBONE.search(name)}
    hidden = int(_first(config, "hidden_size", "n_embd", "d_model", "dim"))
    layers = _layers(shapes)
    n_layers = len(layers)
    n_trained_layers = {"head": 0, "top-layers": min(spec.top_layers, n_layers)}.get(spec.method, n_layers)
    shape = ModelShape(
        n_parameters=_count(shapes),
        n_trained=_trained(shapes, layers, n_trained_layers, spec),
        n_layers=n_layers,
        n_trained_layers=n_trained_layers,
        hidden=hidden,
        intermediate=int(_first(config, "intermediate_size", "n_inner", "hidden_dim", "ffn_dim", default=4 * hidden)),
        n_heads=int(_first(config, "num_attention_heads", "n_head", "n_heads")),
        n_quantized=_count({n: s for n, s in shapes.items() if _is_linear(n, s)}) if spec.method == "qlora" else 0,
        bits=spec.quantization.bits,
    )
    positions = _first(config, "max_position_embeddings", "n_positions", default=0)
    return shape, int(positions) or None


def _first(config: Mapping[str, Any], *names: str, default: int | None = None) -> Any:
    found = next((config[name] for name in names if config.get(name)), default)
    if found is None:
        raise ValueError(f"its config.json has no {names[0]}")
    return found


def _read_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise ValueError("it has no .safetensors file")
    shapes: dict[str, tuple[int, ...]] = {}
    for path in files:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > _HEADER_LIMIT:
                raise ValueError(f"{path.name} is no safetensors file")
            header: dict[str, Any] = json.loads(file.read(length))
        header.pop("__metadata__", None)
        shapes |= {name: tuple(entry["shape"]) for name, entry in header.items() if entry["dtype"][0] in "FB"}
    return shapes


def _shapes_of(model: Any) -> Shapes:
    """Of a model in memory, without what peft has put on it."""
    named = ((name.removeprefix("base_model.model."), p) for name, p in model.named_parameters())
    return {name.replace(".base_layer.", "."): tuple(p.shape) for name, p in named if "lora_" not in name}


def _layers(shapes: Shapes) -> dict[int, dict[str, tuple[int, ...]]]:
    """The tensors of each layer of the longest stack: `encoder.layer.3.…`, `h.3.…`."""
    stacks: dict[str, dict[int, dict[str, tuple[int, ...]]]] = {}
    for name, shape in shapes.items():
        if found := _LAYER.match(name):
            stack = stacks.setdefault(f"{found[1] or ''}{found[2]}", {})
            stack.setdefault(int(found[3]), {})[name] = shape
    return max(stacks.values(), key=len, default={})


def _trained(shapes: Shapes, layers: Mapping[int, Shapes], n_trained_layers: int, spec: "Model") -> int:
    """Parameters that a method trains below the classification layer."""
    match spec.method:
        case "full":
            return _count(shapes)
        case "head" | "peft":  # of an adapter that only peft knows: far less than a hundredth of the base
            return 0
        case "top-layers":
            top = sorted(layers)[len(layers) - n_trained_layers :]
            norms = {name: shape for name, shape in shapes.items() if _LAST_NORMS.search(name)}
            inside = {name for layer in layers.values() for name in layer}
            return sum(_count(layers[i]) for i in top) + _count({n: s for n, s in norms.items() if n not in inside})
        case "lora" | "qlora":
            return spec.lora.r * sum(sum(shape) for name, shape in shapes.items() if _is_adapted(name, shape, spec))


def _is_adapted(name: str, shape: tuple[int, ...], spec: "Model") -> bool:
    """Whether a tensor is the weight of a linear layer that gets an adapter, by the rules of peft."""
    if not _is_linear(name, shape):
        return False
    module, targets = name.removesuffix(".weight"), spec.lora.target_modules
    if targets == "all-linear":
        return True
    if isinstance(targets, str):
        return re.fullmatch(targets, module) is not None
    return any(module == target or module.endswith(f".{target}") for target in targets)


def _is_linear(name: str, shape: tuple[int, ...]) -> bool:
    return name.endswith(".weight") and len(shape) == 2 and not _EMBEDDING.search(name)


def _count(shapes: Shapes) -> int:
    total = 0
    for shape in shapes.values():
        size = 1
        for width in shape:
            size *= width
        total += size
    return total


def host_bytes() -> int:
    """Memory of the machine that is free now."""
    return psutil.virtual_memory().available


def _gpu_bytes() -> int | None:
    """Memory of the first GPU that the driver sees; None where there is none."""
    try:
        import pynvml

        pynvml.nvmlInit()
        try:
            return int(pynvml.nvmlDeviceGetMemoryInfo(pynvml.nvmlDeviceGetHandleByIndex(0)).total)
        finally:
            pynvml.nvmlShutdown()
    except Exception:  # no library, no driver, no device: the same news
        return None
