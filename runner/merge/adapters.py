"""LoRA adapters of one base as one adapter, through peft.

linear, ties, dare-linear, dare-ties and magnitude-prune work on the factors A and B by themselves, each scaled by the
root of its weight: the product of the sums has cross terms, so that even two equal adapters with weights of ½ come out
twice as strong. cat puts the factors side by side: the change is exactly the weighted sum, its rank the sum of ranks.

TIES: Yadav et al. 2023, arXiv:2306.01708. DARE: Yu et al. 2023, arXiv:2311.03099.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from runner.merge.parent import Way

MERGED = "default"
"""The name that peft saves without a folder of its own."""


def combine_adapters(
    base: nn.Module,
    folders: Sequence[Path],
    *,
    way: Way,
    weights: Sequence[float],
    density: float | None,
    seed: int | None,
) -> nn.Module:
    """The base (which is changed) with one adapter made of those in `folders`."""
    from peft import PeftModel

    names = [f"parent{i}" for i in range(len(folders))]
    model: Any = PeftModel.from_pretrained(base, folders[0], adapter_name=names[0])
    for name, folder in zip(names[1:], folders[1:], strict=True):
        model.load_adapter(folder, adapter_name=name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed or 0)
        model.add_weighted_adapter(
            names, list(weights), MERGED, combination_type=way.replace("-", "_"), density=density
        )
    model.set_adapter(MERGED)
    for name in names:
        model.delete_adapter(name)
    combined: nn.Module = model
    return combined
