"""How long a trained model takes for one text, as it stands on disk."""

import time
from statistics import median
from typing import TYPE_CHECKING

import torch

from runner.base_runs import standing
from runner.devices import choose_device
from runner.inference import evaluating
from runner.language.model import LanguageModel
from runner.loading import load_model
from runner.recipe import recipe_from_resolved
from runner.sweep.engine import Latency
from store import Run, Store, get_dataset, iter_texts, list_checkpoints

if TYPE_CHECKING:
    from runner.recipe import Recipe

_WARM_UP, _TEXTS = 5, 25
_ROUNDS = 6
"""Of all texts, one after the other. The median that a machine settles at lies between the least and the largest of six
medians in 1 - 2 / 2**6 = 97 % of cases (the interval of the sign test)."""


def measure_latency(store: Store, run: Run) -> Latency | None:
    """Milliseconds from a text to what the model says of it, one at a time, over validation texts, tokens included.

    The median of the rounds' medians, with their range. Measured with the run's best checkpoint on the device that its
    recipe names, with the threads that this process has. None where the run keeps no checkpoint, or has no recipe or
    data.
    """
    checkpoints = list_checkpoints(store, run.key, existing=True)
    if run.recipe is None or run.dataset_key is None or not checkpoints:
        return None
    best = next((checkpoint for checkpoint in checkpoints if checkpoint.is_best), checkpoints[-1])
    recipe: Recipe = recipe_from_resolved(run.recipe)
    model, tokenizer, _ = load_model(store.files / best.path, standing(recipe.model, store))
    device = choose_device(recipe.training)
    model.to(device.type)
    dataset = get_dataset(store, run.dataset_key)
    texts = next(iter(iter_texts(store, dataset, "validation", _TEXTS)), [])

    def seconds_of(text: str, where: torch.device) -> float:
        began = time.perf_counter()
        tokens = tokenizer([text], truncation=True, max_length=recipe.model.max_length, return_tensors="pt")
        ids, mask = tokens["input_ids"].to(where), tokens["attention_mask"].to(where)
        if isinstance(model, LanguageModel):
            logits = model({"input_ids": ids, "attention_mask": mask, "targets": ids})
        else:
            logits = model(ids, mask)
        logits.sum().item()  # waits for the device
        return time.perf_counter() - began

    medians: list[float] = []
    with evaluating(model, device.dtype) as where:
        for text in texts[:_WARM_UP]:
            seconds_of(text, where)
        if texts:
            medians = [1000 * median(seconds_of(text, where) for text in texts) for _ in range(_ROUNDS)]
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return Latency(median(medians), min(medians), max(medians)) if medians else None
