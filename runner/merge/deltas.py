"""Full fine-tunes of one base: what each changed, tensor by tensor, combined and put back on the base.

With deltas d_i = W_i - W, the result is W + combination of d_i:
    linear           Σ w_i d_i
    magnitude-prune  the same, of each only the largest by amount: a share `density` of each tensor
    dare-linear      the same, each value dropped with probability p = 1 - density, the rest divided by 1 - p
                     (Yu et al. 2023, arXiv:2311.03099)
    ties             trimmed as magnitude-prune, then per value the mean of those that agree with the larger sign
                     (Yadav et al. 2023, arXiv:2306.01708); dare-ties trims as dare-linear
One tensor of every model is in memory at a time.
"""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from runner.errors import ModelError
from runner.merge.parent import Way


def combine_deltas(
    base: nn.Module,
    folders: Sequence[Path],
    *,
    way: Way,
    weights: Sequence[float],
    density: float | None,
    seed: int | None,
) -> None:
    """Change the base into the combination of the fine-tunes whose `backbone/` folders are given."""
    shares = torch.tensor(list(weights))
    with contextlib.ExitStack() as stack, torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed or 0)
        files = [stack.enter_context(_opened(folder)) for folder in folders]
        for name, tensor in base.named_parameters():  # in the model's order: the same draws for the same seed
            deltas = [file.get(name).to(tensor.dtype) - tensor for file in files]
            if any(bool(delta.any()) for delta in deltas):
                tensor.add_(combined(deltas, way=way, weights=shares, density=density))


def combined(deltas: list[Tensor], *, way: Way, weights: Tensor, density: float | None) -> Tensor:
    """Deltas of one shape as one; draws from torch's global state where the way is random."""
    from peft.utils import merge_utils

    if way == "linear" or (density == 1 and way in ("dare-linear", "magnitude-prune")):
        summed: Tensor = merge_utils.task_arithmetic(deltas, weights)
        return summed
    with_density = {
        "ties": merge_utils.ties,
        "dare-linear": merge_utils.dare_linear,
        "dare-ties": merge_utils.dare_ties,
        "magnitude-prune": merge_utils.magnitude_prune,
    }
    result: Tensor = with_density[way](deltas, weights, density)
    return result


class _Weights:
    """The tensors of a folder of safetensors, read one by one."""

    def __init__(self, folder: Path, stack: contextlib.ExitStack) -> None:
        from safetensors import safe_open

        self._folder = folder
        files = [stack.enter_context(safe_open(path, "pt")) for path in sorted(folder.glob("*.safetensors"))]
        self._files = {name: file for file in files for name in file.keys()}  # noqa: SIM118  # no mapping, only keys()

    def get(self, name: str) -> Tensor:
        if name not in self._files:
            raise ModelError(f"{self._folder} has no weights {name}, which the base has: they are not of one base.")
        tensor: Tensor = self._files[name].get_tensor(name)
        return tensor


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[_Weights]:
    with contextlib.ExitStack() as stack:
        yield _Weights(folder, stack)
