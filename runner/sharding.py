"""FSDP: gradients, the optimizer's state and, between passes, the weights of one training split among its processes.

Accelerate splits (FSDP version 2), as its launcher was told. What it splits is a copy of the experiment's model, and
that model itself stays as it is, for all that wants weights whole: evaluations, checkpoints, embeddings. It holds
them only then (`Shards.whole`); the rest of the time it is empty.
"""

import contextlib
import copy
import os
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor, distribute_tensor

from runner.backbone import transformer_layers
from runner.devices import Device
from runner.errors import ModelError, NotTogether
from runner.launcher import asks_for
from runner.recipe.methods import PROMPT_TYPES

if TYPE_CHECKING:
    from runner.recipe import Recipe

OPTIMIZERS = ("adamw_torch", "adamw_torch_fused", "sgd")
"""Those whose steps are the same on a part of a tensor as on all of it."""

_LAYERS = "FSDP_TRANSFORMER_CLS_TO_WRAP"
_POLICY = "FSDP_AUTO_WRAP_POLICY"


def prepare_sharding(recipe: "Recipe", device: Device) -> bool:
    """Whether the launcher asked for FSDP; accelerate will read what this leaves in the environment.

    Raises NotTogether, naming all settings that do not go together with it.
    """
    if not asks_for("FSDP"):
        return False
    if problems := [*_recipe_problems(recipe, device), *_launch_problems()]:
        raise NotTogether("with FSDP this cannot be trained:\n" + "\n".join(f"  {text}" for text in problems))
    os.environ.setdefault(_POLICY, "TRANSFORMER_BASED_WRAP")
    os.environ["FSDP_CPU_RAM_EFFICIENT_LOADING"] = "false"  # each process loads, and evaluates before it splits
    _require_plugin()
    return True


def _recipe_problems(recipe: "Recipe", device: Device) -> list[str]:
    problems = []
    if recipe.model.method == "qlora":
        problems.append('model.method = "qlora": weights of few bits cannot be split; use "lora", or DDP')
    if recipe.model.method == "peft" and recipe.model.peft.type in PROMPT_TYPES:
        problems.append(
            f"model.peft.type = {recipe.model.peft.type!r}: learnt tokens cannot be split; use another type, or DDP"
        )
    if recipe.training.optimizer not in OPTIMIZERS:
        problems.append(
            f"training.optimizer = {recipe.training.optimizer!r} needs whole tensors; use {', '.join(OPTIMIZERS)}"
        )
    if recipe.training.compile:
        problems.append("training.compile = true: leave it out, or use DDP (`--multi_gpu`)")
    if device.type == "cpu" and torch.cuda.is_available():
        problems.append(
            'training.device = "cpu": accelerate splits among the GPUs that it sees; hide them, or use them'
        )
    return problems


def _launch_problems() -> list[str]:
    problems = []
    said = {name: os.environ.get(name, "").lower() for name in _REFUSED}
    problems += [f"{name} = {said[name]}: {advice}" for name, advice in _REFUSED.items() if said[name] in ("1", "true")]
    version = os.environ.get("FSDP_VERSION", "1")
    if version != "2":
        problems.append(f"FSDP_VERSION = {version}: only version 2; launch with `--fsdp_version 2`")
    if modules := os.environ.get("FSDP_IGNORED_MODULES"):
        problems.append(f"FSDP_IGNORED_MODULES = {modules}: every weight is split; leave `--fsdp_ignored_modules` out")
    return problems


_REFUSED: Mapping[str, str] = {
    "FSDP_OFFLOAD_PARAMS": "leave `--fsdp_offload_params` out",
    "FSDP_ACTIVATION_CHECKPOINTING": "leave it out and set training.gradient_checkpointing = true in the recipe",
    "ACCELERATE_USE_PARALLELISM_CONFIG": "leave `--use_parallelism_config` out",
}


def _require_plugin() -> None:
    """Have accelerate read its settings now, before there is a run."""
    from accelerate.utils import FullyShardedDataParallelPlugin

    try:
        FullyShardedDataParallelPlugin()
    except (ValueError, TypeError, ImportError, KeyError) as error:
        raise NotTogether(f"accelerate cannot use these settings of FSDP: {error}") from error


def have_accelerate_split(device: torch.device, precision: str) -> None:
    """Called before each accelerator is made. Of CPUs accelerate would train with DDP, though what it does for GPUs
    splits among CPUs just as well.
    """
    if device.type != "cpu":
        return
    from accelerate import DistributedType, PartialState
    from accelerate.state import AcceleratorState
    from accelerate.utils import FullyShardedDataParallelPlugin, TorchDynamoPlugin

    plugin = FullyShardedDataParallelPlugin()
    state = AcceleratorState(
        precision, cpu=True, dynamo_plugin=TorchDynamoPlugin(), fsdp_plugin=plugin, _from_accelerator=True
    )
    state.fsdp_plugin = plugin
    state.distributed_type = PartialState._shared_state["distributed_type"] = DistributedType.FSDP


def half_precision(device: torch.device, dtype: torch.dtype | None) -> contextlib.AbstractContextManager[Any]:
    """That of a training's forward pass, as one process has it: of the arithmetic, over weights of float32.

    Copies in 16 bits of a layer's weights are not kept: they would add up to the whole model.
    """
    return torch.autocast(device.type, dtype, cache_enabled=False) if dtype else contextlib.nullcontext()


def layer_names(model: nn.Module) -> list[str]:
    """Classes of the modules that are split, and put together for a pass, one by one: the launcher's, or the model's.

    Raises NotTogether where the launcher names one that the model does not have.
    """
    there = {type(module).__name__ for module in model.modules()}
    if named := os.environ.get(_LAYERS):
        missing = [name for name in named.split(",") if name not in there]
        if missing:
            known = ", ".join(_own_layers(model, there)) or "none that is known of"
            raise NotTogether(
                f"{_LAYERS} = {named}: this model has no layer of class {missing[0]}; its layers are {known}. "
                "Leave `--fsdp_transformer_layer_cls_to_wrap` out, and those are taken."
            )
        return named.split(",")
    return _own_layers(model, there)


def _own_layers(model: nn.Module, there: Collection[str]) -> list[str]:
    """As its library names them, else the class of its longest list of modules."""
    for module in model.modules():
        names = sorted({*(getattr(module, "_no_split_modules", None) or ())} & {*there})
        if names:
            return names
    with contextlib.suppress(ModelError):
        return sorted({type(layer).__name__ for layer in transformer_layers(model)})
    return []


class Shards:
    """A model that is whole at times, and a copy of it that is trained in parts."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        """The plain one."""
        of: dict[int, Any] = {
            id(p): nn.Parameter(p.data, requires_grad=p.requires_grad) for p in model.parameters()
        }  # the copy has parameters of its own on the same memory
        self.trained: nn.Module = copy.deepcopy(model, of)
        """What accelerate splits."""
        names: Any = layer_names(model)
        self.trained._no_split_modules = names
        self._is_split = False

    def begin(self) -> int:
        """Accelerate has split the trained copy: from here on the plain model is empty. All have to come here.

        Returns how many of the weights are this process's own. Raises NotTogether where it has not split them.
        """
        if not isinstance(self.trained, FSDPModule):
            raise NotTogether("accelerate was told to use FSDP and has not split the model; launch with `--multi_gpu`.")
        self._is_split = True
        self._empty()
        local = (p.to_local() if isinstance(p, DTensor) else p for p in self.trained.parameters())
        return sum(part.numel() for part in local)

    @contextlib.contextmanager
    def whole(self) -> Iterator[None]:
        """Inside, the plain model has the weights of now. All processes have to come here."""
        if not self._is_split:
            yield
            return
        self._fill()
        try:
            yield
        finally:
            self._empty()

    def end(self) -> None:
        """Training is done: the plain model has the weights of now, and keeps them. All have to come here."""
        if self._is_split:
            self._fill()
            self._is_split = False

    def _fill(self) -> None:
        now = dict(self.trained.named_parameters())
        for name, parameter in self.model.named_parameters():
            parameter.data = whole_tensor(now[name].detach())

    def _empty(self) -> None:
        for parameter in self.model.parameters():
            parameter.data = torch.empty(0, dtype=parameter.dtype, device=parameter.device)


# tensors of which each process has a part ----------------------------------------------------------------------------


def whole_tensor(tensor: Tensor) -> Tensor:
    """All of a tensor, where this process has a part of it; the others have to ask too."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def whole_state(state: Mapping[str, Any], *, keeps: bool) -> dict[str, Any]:
    """An optimizer's state with whole tensors, on the CPU; `keeps` is False for who only helps to put them together."""

    def whole(value: Any) -> Any:
        if not isinstance(value, DTensor):
            return value
        found = whole_tensor(value)
        return found.cpu() if keeps else None

    of_parameters = {i: {name: whole(v) for name, v in each.items()} for i, each in state["state"].items()}
    return {**state, "state": of_parameters}


def split_state(state: Mapping[str, Any], optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """An optimizer's state with whole tensors, as this process keeps it: of a split parameter, its part."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]

    def part(value: Any, of: Tensor) -> Any:
        if not isinstance(of, DTensor) or not isinstance(value, Tensor) or value.shape != of.shape:
            return value
        return distribute_tensor(value.to(of.device), of.device_mesh, of.placements, src_data_rank=None)

    of_parameters = {
        i: {name: part(v, parameters[i]) for name, v in each.items()} for i, each in state["state"].items()
    }
    return {**state, "state": of_parameters}
