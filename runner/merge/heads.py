"""Classification layers of several runs as one: their weighted mean, label by label."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from runner.classifier import ClassifierHead
from runner.publish.forms import folded_head


def merged_head(
    heads: Sequence[ClassifierHead],
    labels: Sequence[tuple[str, ...]],
    weights: Sequence[float],
    order: Sequence[str],
) -> ClassifierHead:
    """A head (k, d) with the labels in that order; the weights count as shares of their sum.

    Each head may have its own labels in another order. Feature scalings are folded in first.
    """
    shares = torch.tensor(list(weights), dtype=torch.float64)
    shares /= shares.sum()
    linears = [folded_head(head) for head in heads]
    rows = [[own.index(label) for label in order] for own in labels]
    merged = ClassifierHead(linears[0].weight.shape[1], len(order), 0.0)
    with torch.no_grad():
        for part in ("weight", "bias"):
            stacked = torch.stack([getattr(each, part).double()[row] for each, row in zip(linears, rows, strict=True)])
            mean = torch.tensordot(shares, stacked, dims=1)
            getattr(merged.linear, part).copy_(mean.float())
    return merged


def in_units(head: ClassifierHead, settings: Mapping[str, Any], *, back: bool = False) -> ClassifierHead:
    """A head that says its number in the unit of the targets, as one linear layer; `back`: from there to what
    `settings` stand for, deviations (`scale`) from a mean (`centre`). Without such settings the head itself."""
    if "scale" not in settings:
        return head
    scale, centre = float(settings["scale"]), float(settings["centre"])
    weight, bias = folded_head(head)
    changed = ClassifierHead(weight.shape[1], len(bias), 0.0)
    with torch.no_grad():
        changed.linear.weight.copy_(weight / scale if back else weight * scale)
        changed.linear.bias.copy_((bias - centre) / scale if back else bias * scale + centre)
    return changed
