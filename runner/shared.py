"""What the runs of one process have in common and need make only once: base models, tokens, features.

    shared = Shared()
    for recipe in recipes:
        train(recipe, store, progress, shared=shared)

Each run gets everything as if it had made it itself: same numbers, bit for bit. One run at a time.
"""

import copy
import json
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from transformers import set_seed

from runner.adapters import changes_base
from runner.backbone import Backbone, as_backbone, load_backbone

if TYPE_CHECKING:
    from runner.encoding import EncodedSplit
    from runner.inference import Vectors
    from runner.recipe import Model

T = TypeVar("T")

_N_BACKBONES = 2
_N_SPLITS = 12  # four sets of three
_N_FEATURES = 2


class Shared:
    """Keeps the base models, token sets and features used last. Not for several threads."""

    def __init__(self) -> None:
        self._backbones: _Newest[_Kept] = _Newest(_N_BACKBONES)
        self._splits: _Newest[EncodedSplit] = _Newest(_N_SPLITS)
        self._features: _Newest[tuple[dict[str, Vectors], str]] = _Newest(_N_FEATURES)

    def backbone(self, spec: "Model", seed: int, auto_class: str = "AutoModel", device: str = "cpu") -> Backbone:
        """As `load_backbone` after `set_seed(seed)`: as loaded, whatever earlier runs did to the model.

        Raises what `load_backbone` raises.
        """
        key = (*_base_key(spec), auto_class)
        kept = self._backbones.get(key) or self._backbones.get((key, seed))
        if kept is None:
            set_seed(seed)
            before = torch.get_rng_state()
            loaded = load_backbone(spec, auto_class, device)
            is_drawn = not torch.equal(before, torch.get_rng_state())  # some weights are random: this seed's
            kept = self._backbones.put((key, seed) if is_drawn else key, _Kept(loaded))
        return kept.lend(spec)

    def split(self, key: Hashable, make: "Callable[[], EncodedSplit]") -> "EncodedSplit":
        """The tokens of a split; `key` says all that they depend on."""
        return self._splits.get(key) or self._splits.put(key, make())

    def features(
        self, key: Hashable, make: "Callable[[], tuple[dict[str, Vectors], str]]"
    ) -> "tuple[dict[str, Vectors], str]":
        """Features of a frozen base and their fingerprint; `key` says all that they depend on."""
        return self._features.get(key) or self._features.put(key, make())

    def identity(self, backbone: Backbone) -> Hashable:
        """What stands for a lent backbone in keys."""
        return next((key for key, kept in self._backbones.items() if kept.model is backbone.model), id(backbone))


def tokenizer_key(spec: "Model") -> Hashable:
    """What a tokenizer depends on."""
    return (spec.tokenizer or spec.base, None if spec.tokenizer else spec.revision, spec.trust_remote_code)


def _base_key(spec: "Model") -> tuple[Hashable, ...]:
    settings = json.dumps(spec.config, sort_keys=True, default=str)
    few_bits = spec.quantization if spec.method == "qlora" else None
    return (spec.base, spec.revision, spec.trust_remote_code, tokenizer_key(spec), settings, spec.attention, few_bits)


class _Kept:
    """A base model as it was loaded: its modules, and its weights once a run is about to change them."""

    def __init__(self, loaded: Backbone) -> None:
        self._loaded = loaded
        self.model: nn.Module = loaded.model
        self._modules = [(module, _shallow(module.__dict__)) for module in self.model.modules()]
        self._trains = [(parameter, parameter.requires_grad) for parameter in self.model.parameters()]
        self._weights: dict[str, Tensor] | None = None
        self._is_changed = False

    def lend(self, spec: "Model") -> Backbone:
        """The model as it was loaded, for a run of this spec."""
        self._clean()
        if changes_base(spec):
            if self._weights is None:
                self._weights = {name: tensor.to("cpu", copy=True) for name, tensor in _tensors(self.model).items()}
            self._is_changed = True
        return as_backbone(spec, self._loaded.model, self._loaded.tokenizer, self._loaded.location)

    def _clean(self) -> None:
        """Take off adapters, hooks, flags and gradients, and put the weights back."""
        for module, attributes in self._modules:
            module.__dict__.clear()
            module.__dict__.update(_shallow(attributes))
        for parameter, trains in self._trains:
            parameter.requires_grad_(trains)
            parameter.grad = None
        if self._is_changed and self._weights is not None:
            with torch.no_grad():
                for name, tensor in _tensors(self.model).items():
                    tensor.copy_(self._weights[name])
        self._is_changed = False


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach() for name, tensor in (*model.named_parameters(), *model.named_buffers())}


def _shallow(attributes: dict[str, Any]) -> dict[str, Any]:
    """A copy that later changes to the module (a child replaced, a hook added) do not reach."""
    return {
        name: copy.copy(value) if isinstance(value, dict | list | set) else value for name, value in attributes.items()
    }


class _Newest(Generic[T]):
    """The values used last, up to a number of them."""

    def __init__(self, n: int) -> None:
        self._n = n
        self._values: OrderedDict[Hashable, T] = OrderedDict()

    def get(self, key: Hashable) -> T | None:
        if key in self._values:
            self._values.move_to_end(key)
        return self._values.get(key)

    def put(self, key: Hashable, value: T) -> T:
        self._values[key] = value
        while len(self._values) > self._n:
            self._values.popitem(last=False)
        return value

    def items(self) -> list[tuple[Hashable, T]]:
        return list(self._values.items())
