"""One training in several processes: who is who, who waits for whom, and what each of them sees.

    accelerate launch --num_processes 2 -m runner train recipe.toml
    torchrun --nproc-per-node 2 -m runner train recipe.toml

The process of rank 0 is an ordinary training: it reads the data, makes the run, records, saves. The others follow: they
take the data from the store, compute their share of each batch and of each evaluation, and write nothing. Each has
the whole model (DDP), or a part of it while it trains (FSDP, `runner.sharding`).
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from evals.dynamics import NAN_WORD
from runner.devices import Device
from runner.encoding import EncodedSplit, take_rows
from runner.errors import NotTogether
from runner.launcher import asks_for, n_launched
from runner.order import TrainingOrder
from runner.sharding import prepare_sharding

if TYPE_CHECKING:
    from runner.recipe import Recipe


@dataclass(frozen=True)
class Group:
    """The processes of one training on one machine, as one of them sees it."""

    rank: int
    size: int
    shards: bool = False
    """Whether each has a part of the weights only while it trains (FSDP)."""

    @property
    def records(self) -> bool:
        """Whether this is the one that writes."""
        return self.rank == 0

    def tell(self, word: Any = None) -> Any:
        """What rank 0 says, in every process; what the others say is nothing. All have to come here."""
        import torch.distributed as dist

        said = [word if self.records else None]
        dist.broadcast_object_list(said, src=0)
        return said[0]

    def gather(self, part: Any) -> list[Any]:
        """What each process says, by rank, in every process."""
        import torch.distributed as dist

        parts: list[Any] = [None] * self.size
        dist.all_gather_object(parts, part)
        return parts

    def total(self, numbers: Tensor) -> Tensor:
        """The sum of each number over all processes."""
        import torch.distributed as dist

        dist.all_reduce(numbers)
        return numbers

    def leave(self) -> None:
        """Nothing more is done together."""
        import torch.distributed as dist

        if dist.is_initialized():
            dist.destroy_process_group()


def join(recipe: "Recipe", device: Device) -> Group | None:
    """Find the other processes; None where there are none. Raises NotTogether."""
    size, on_this_machine = n_launched(), int(os.environ.get("LOCAL_WORLD_SIZE", "0"))
    if size == 1:
        return None
    if asks_for("DEEPSPEED"):
        raise NotTogether(
            "DeepSpeed splits the weights in its own way, and checkpoints here are whole: launch with `--use_fsdp "
            "--fsdp_version 2`, which splits them too, or with `--multi_gpu` (DDP)."
        )
    if on_this_machine not in (0, size):
        raise NotTogether(
            f"{size} processes on several machines: all have to see one store; launch them on one machine."
        )
    if recipe.model.method == "head":
        raise NotTogether(
            "method head trains one layer on features made before, which several processes only wait for: "
            "start it without a launcher."
        )
    shards = prepare_sharding(recipe, device)
    from accelerate import PartialState

    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    state = PartialState(cpu=device.type == "cpu")
    return Group(int(state.process_index), int(state.num_processes), shards)


# the order of the examples --------------------------------------------------------------------------------------------


class Shares(Sampler[list[int]]):
    """The batches of one process: of each stretch of the order that all process together, every n-th example.

    Each example is in one batch of one process. What is left at the end of an epoch goes to the last batch where it is
    less than an example for each process.
    """

    def __init__(self, order: TrainingOrder, batch_size: int, rank: int, size: int) -> None:
        self._order, self._rank, self._size = order, rank, size
        self._ends = stretches(len(order), batch_size * size, size)

    def set_epoch(self, epoch: int) -> None:
        self._order.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self._ends)

    def __iter__(self) -> Iterator[list[int]]:
        order, start = list(self._order), 0
        for end in self._ends:
            yield order[start:end][self._rank :: self._size]
            start = end


def stretches(n: int, together: int, size: int) -> list[int]:
    """Where each batch of all processes together ends.

    >>> stretches(10, 4, 2), stretches(9, 4, 2)
    ([4, 8, 10], [4, 9])
    """
    ends = [*range(together, n, together), n]
    if len(ends) > 1 and n - ends[-2] < size:
        del ends[-2]
    return ends


class ShareLoader(DataLoader[Any]):
    """A loader that tells its batches which epoch it is."""

    def set_epoch(self, epoch: int) -> None:
        assert isinstance(self.batch_sampler, Shares)
        self.batch_sampler.set_epoch(epoch)


# what came out of it --------------------------------------------------------------------------------------------------


class StepSize(NamedTuple):
    """What a step held, in all processes."""

    n_examples: int
    n_tokens: int
    weight: Tensor | float


def step_size(group: Group, n_examples: int, n_tokens: int, weight: Tensor | int, device: torch.device) -> StepSize:
    """Of all processes together. The weight is divided by their number, as DDP divides the sum of their gradients."""
    own = torch.tensor([float(n_examples), float(n_tokens), 0.0], dtype=torch.float64, device=device)
    own[2] = weight
    examples, tokens, total = group.total(own).tolist()
    return StepSize(round(examples), round(tokens), total / group.size)


def share_of(split: EncodedSplit, group: Group) -> NDArray[np.int64]:
    """Rows of a split that this process answers for: the longest and the shortest fairly among all."""
    by_length = np.argsort(-split.lengths, kind="stable")
    return np.sort(by_length[group.rank :: group.size])


def put_together(
    split: EncodedSplit, rows: NDArray[np.int64], outputs: NDArray[np.float32], group: Group
) -> NDArray[np.float32]:
    """Outputs of a whole split, once each, from what every process has for its rows: (n, k), or (n_words, k)."""
    parts = group.gather((rows, outputs))
    n = len(split) if split.words is None else len(split.words)
    whole = np.full((n, *outputs.shape[1:]), np.nan, dtype=np.float32)
    for its_rows, its_outputs in parts:
        whole[its_rows if split.words is None else split.words.of(its_rows)[0]] = its_outputs
    return whole


def share_outputs(
    split: EncodedSplit, outputs_of: Callable[[EncodedSplit], NDArray[np.float32]], group: Group | None
) -> NDArray[np.float32]:
    """A model's outputs for a whole split, where every process answers for some of its rows."""
    if group is None or len(split) < group.size:
        return outputs_of(split)
    rows = share_of(split, group)
    return put_together(split, rows, outputs_of(take_rows(split, rows)), group)


def merged_words(words: Tensor, group: Group) -> Tensor:
    """Dynamics (n, width) int16 of all processes: of each example what the one says that saw it."""
    seen = (words != NAN_WORD).any(1)
    own = torch.where(seen[:, None], words.to(torch.int32), 0)
    anyone = group.total(seen.to(torch.int32)) > 0
    return torch.where(anyone[:, None], group.total(own), words.to(torch.int32)).to(torch.int16)
