"""The demonstration: two small models on docstrings, with 8 % of the training labels flipped on purpose.

Because the flips are recorded, what the training dynamics find can be scored at once.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evals.dynamics import area_under_margin, decode
from runner.recipe import LoadedRecipe, parse_recipe
from store import Dataset, Run, Store, Triage, get_dataset, iter_dynamics, read_column, read_rows, read_targets

METHODS = ("head", "lora")

_RECIPE = """\
# Written by `runner demo`. Run it again with: runner train {method}.toml
name = "docstrings-{method}"
task = "text-classification"
tags = ["demo"]

[model]
base = "builtin:minilm"     # a sentence encoder of 22 million parameters, from a PyPI package
method = "{method}"
max_length = 64

[data]
source = "builtin:docstrings"   # real English that every machine has; 8 % of the training labels are flipped

[training]
epochs = {epochs}
"""
_EPOCHS = {"head": 15, "lora": 3}


def demo_recipe(method: str) -> LoadedRecipe:
    """The recipe of one of `METHODS`."""
    text = _RECIPE.format(method=method, epochs=_EPOCHS[method])
    return parse_recipe(text, folder=Path.cwd(), source=f"demo {method}")


@dataclass(frozen=True)
class Found:
    """How well a ranking finds the planted wrong labels: of the first `n_planted`, `n_found` are."""

    n_examples: int
    n_planted: int
    n_found: int

    @property
    def precision(self) -> float:
        return self.n_found / self.n_planted


def find_planted(store: Store, run: Run) -> Found:
    """Rank the training examples by their area under the margin, lowest first, and count the planted errors on top."""
    assert run.dataset_key is not None
    dataset = get_dataset(store, run.dataset_key)
    given = read_targets(store, dataset, "train")
    margins = np.stack([decode(row.words, row.n_classes, given).margin_logit for row in iter_dynamics(store, run.key)])
    return _found(store, dataset, -area_under_margin(margins))


def find_queued(store: Store, triage: Triage) -> Found:
    """Count the planted errors at the top of a triage's queue."""
    dataset = get_dataset(store, triage.dataset_key)
    risk = read_column(store, triage.key, "train", "risk")
    assert risk is not None, "a finished triage of labelled data has a queue"
    return _found(store, dataset, risk)


def _found(store: Store, dataset: Dataset, risk: NDArray[np.floating]) -> Found:
    given, names = read_targets(store, dataset, "train"), dataset.label_names or ()
    order = np.argsort(-risk, kind="stable")
    rows = read_rows(store, dataset, "train", limit=len(given))
    is_planted = np.array([m["true_label"] != names[t] for m, t in zip(rows["metadata"], given, strict=True)])
    n_planted = int(is_planted.sum())
    return Found(len(given), n_planted, int(is_planted[order[:n_planted]].sum()))


def found_text(found: Found) -> str:
    """One sentence of it."""
    share = found.n_planted / found.n_examples
    return (
        f"{found.n_planted} of {found.n_examples:,} training labels were flipped on purpose ({share:.0%}); of the "
        f"{found.n_planted} most suspicious by area under the margin, {found.n_found} are flipped "
        f"({found.precision:.0%}; chance would find {share:.0%})"
    )
