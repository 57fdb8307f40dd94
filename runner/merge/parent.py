"""One of the models that are merged, and the ways to combine them. Loads no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from evals.tags import Scheme, scheme_tags
from runner.publish.kinds import KINDS
from runner.recipe import Recipe
from runner.recipe.methods import ADAPTERS
from store import Checkpoint, Dataset, Run

Way = Literal["linear", "cat", "ties", "dare-linear", "dare-ties", "magnitude-prune"]

WAYS: tuple[Way, ...] = ("linear", "cat", "ties", "dare-linear", "dare-ties", "magnitude-prune")
THINNING: tuple[Way, ...] = ("ties", "dare-linear", "dare-ties", "magnitude-prune")
"""Ways that drop a part of the changes: density is the share that stays."""
RANDOM: tuple[Way, ...] = ("dare-linear", "dare-ties")
AVERAGING: tuple[Way, ...] = ("ties", "dare-ties")
"""Ways that divide by how many agree on the sign: their weights need not sum to 1."""
DENSITY = 0.5


@dataclass(frozen=True)
class Parent:
    """One of the models that are merged."""

    run: Run
    recipe: Recipe
    checkpoint: Checkpoint
    folder: Path
    labels: tuple[str, ...]
    pooling: str
    max_length: int
    settings: Mapping[str, Any]
    """As its checkpoint has them: thresholds of labels, the scale of a number, how prompts are put."""
    dataset: Dataset | None
    weight: float

    @property
    def title(self) -> str:
        return f"{self.run.name} ({self.run.id})"

    @property
    def is_adapter(self) -> bool:
        return self.recipe.model.method in ADAPTERS

    def outputs(self, labels: Sequence[str]) -> tuple[str, ...]:
        """What its head says, of these labels: they themselves, of types of spans the tags, or one number."""
        if self.run.task == "token-classification":
            return scheme_tags(labels, Scheme(self.recipe.model.tag_scheme))
        return tuple(labels) if KINDS[str(self.run.task)].has_labels else ("score",)
