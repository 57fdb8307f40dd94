"""Which parameters an optimizer trains together."""

from collections.abc import Callable, Collection
from typing import Any

from torch import nn


def parameter_groups(
    model: nn.Module,
    decayed: Collection[str],
    *,
    is_head: Callable[[str], bool],
    learning_rates: tuple[float, float],
    weight_decay: float,
) -> list[dict[str, Any]]:
    """The trainable parameters as an optimizer takes them: weights that decay or not, of the backbone or the head.

    `learning_rates` are those of the backbone and of the head; `decayed` names what `weight_decay` pulls on.
    """
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((is_head(name), name in decayed), []).append(parameter)
    return [
        {
            "params": parameters,
            "weight_decay": weight_decay if is_decayed else 0.0,
            "lr": learning_rates[of_head],
        }
        for (of_head, is_decayed), parameters in groups.items()
    ]
