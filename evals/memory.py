"""How much memory fine-tuning will take: weights, gradients, optimizer states and activations, before anything runs."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

Method = Literal["full", "top-layers", "lora", "qlora", "peft", "head"]

_OPTIMIZER_BYTES = {
    "adamw_torch": 8, "adamw_torch_fused": 8, "adamw_8bit": 2, "paged_adamw_8bit": 2, "adafactor": 0, "sgd": 0
}  # fmt: skip
"""Bytes of optimizer state for each trained parameter: two float32 moments, two of 8 bits, rows and columns, none."""

_ADAPTERS = ("lora", "qlora", "peft")
_SCALE_BITS = 0.127  # of the quantised scales, for each weight: Dettmers et al. 2023, arXiv:2305.14314, section 3


@dataclass(frozen=True)
class ModelShape:
    """What of a transformer decides how much memory it takes.

    n_parameters: of the backbone. n_trained: of the backbone or its adapters, under a method; the classification layer
    is added by `training_memory`. hidden, intermediate: widths of the residual stream and inside a feed-forward layer.
    n_trained_layers: how many layers, from the top, gradients go through.
    """

    n_parameters: int
    n_trained: int
    n_layers: int
    n_trained_layers: int
    hidden: int
    intermediate: int
    n_heads: int
    n_quantized: int = 0
    """How many of n_parameters are kept in few bits."""
    bits: int = 4


class MemoryEstimate(NamedTuple):
    """Bytes at the peak of a training step."""

    weights: int
    gradients: int
    optimizer: int
    activations: int

    @property
    def total(self) -> int:
        """All of them; without what Python, its libraries and the driver take for themselves."""
        return sum(self)

    @property
    def most_on_cpu(self) -> int:
        """What a process on a CPU may hold at most: the C library gives freed memory back late.

        Measured after three steps of MiniLM (32 texts of 128 tokens, glibc): 1.5 times the activations for all weights,
        2.0 times for LoRA. A GPU's allocator uses freed memory again.
        """
        return self.total + self.activations


def training_memory(
    shape: ModelShape,
    *,
    method: Method,
    n_classes: int,
    batch_size: int,
    length: int,
    optimizer: str = "adamw_torch_fused",
    is_half: bool = False,
    is_on_gpu: bool = False,
    recomputes: bool = False,
    vocabulary: int = 0,
) -> MemoryEstimate:
    """Memory of a step on `batch_size` texts of `length` tokens each, which is the most that a batch can be.

    Weights, gradients and moments are float32; `is_half` (autocast) adds a 16-bit copy of the weights and halves most
    activations. `recomputes`: gradient checkpointing. Method head trains on cached features: of the backbone, only one
    layer's forward pass counts. Weights of few bits are unpacked a layer at a time, and keep no copy. A model that says
    tokens gives `vocabulary` numbers for each of them: as they come, in float32 for the loss, and their gradient.

    Activations per layer follow Korthikanti et al. 2022 (arXiv:2205.05198, section 4.1): 6h + 2f values that linear
    layers and attention keep, 2h inputs of norms (float32 always), 2h entries of dropout masks, where h and f are the
    widths. On a GPU attention keeps no scores; on a CPU it keeps three (heads, length, length) arrays a text. LoRA
    keeps a dropped-out copy and a mask of the input of each linear layer instead of the shared inputs: 7h + f more.

    >>> minilm = ModelShape(22_565_376, 22_565_376, 6, 6, 384, 1536, 12)
    >>> took = training_memory(minilm, method="full", n_classes=5, batch_size=8, length=64)
    >>> [round(part / 1e6) for part in (*took, took.total)]
    [90, 90, 181, 120, 481]
    """
    n_head = (shape.hidden + 1) * n_classes
    n_trained = n_head + (0 if method == "head" else shape.n_trained)
    adapters = shape.n_trained if method in _ADAPTERS else 0
    n_whole = shape.n_parameters - shape.n_quantized
    weights = 4 * (n_whole + adapters + n_head) + (2 * n_whole if is_half else 0)
    weights += round(shape.n_quantized * (shape.bits + (_SCALE_BITS if shape.bits == 4 else 0)) / 8)
    tokens = batch_size * length
    layer = tokens * _layer_bytes(shape, method, length, is_half=is_half, is_on_gpu=is_on_gpu)
    if method == "head":
        kept = layer
    elif recomputes:
        kept = shape.n_trained_layers * tokens * shape.hidden * 4 + layer
    else:
        kept = shape.n_trained_layers * layer
    passing = 2 * tokens * shape.intermediate * (2 if is_half else 4)  # gradients of the widest layer, on their way
    said = tokens * vocabulary * ((2 if is_half else 4) + 4 + 4)
    state = _OPTIMIZER_BYTES.get(optimizer, 8) * n_trained
    return MemoryEstimate(weights, 4 * n_trained, state, kept + passing + said)


def _layer_bytes(shape: ModelShape, method: Method, length: int, *, is_half: bool, is_on_gpu: bool) -> int:
    """Bytes of activations that one layer keeps for one token."""
    h, f = shape.hidden, shape.intermediate
    value, mask = 2 if is_half else 4, 1 if is_on_gpu else 4
    kept = value * (6 * h + 2 * f) + 4 * 2 * h + mask * 2 * h
    if method in _ADAPTERS:
        kept += value * 2 * h + mask * (5 * h + f)
    if not is_on_gpu:
        kept += 4 * 3 * shape.n_heads * length
    return kept
