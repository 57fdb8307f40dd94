"""Classification layers of several runs as one: their weighted mean, label by label."""

from collections.abc import Sequence

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
