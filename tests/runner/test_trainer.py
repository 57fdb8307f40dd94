"""The loss of a step is that of one large batch, however it is cut, weighted and smoothed."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from runner.classifier import ClassifierHead
from store import Store, list_metrics
from tests.runner.conftest import Kit

Losses = Callable[..., list[float]]


@pytest.fixture
def losses(kit: Kit, store: Store) -> Losses:
    def of(**overrides: Any) -> list[float]:
        run = kit.train(
            store,
            model__dropout=0.0,
            training__schedule="constant",
            training__optimizer="sgd",
            training__length_grouping=False,
            recording__embeddings=False,
            **{"model__method": "head", **overrides},
        )
        assert run.status == "finished", run.cause
        return [float(value) for value in list_metrics(store, [run.key], ["train/loss"])["value"]]

    return of


@pytest.mark.parametrize("weights", ["none", "balanced", {"food": 5.0, "sky": 0.2}])
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_accumulation_equals_one_large_batch(losses: Losses, weights: Any, smoothing: float) -> None:
    settings = {"training__class_weights": weights, "training__label_smoothing": smoothing, "training__epochs": 2}
    # 96 examples: two steps of 56 and 40; cut by 8, the second step has fewer parts than the first
    large = losses(training__batch_size=56, **settings)
    cut = losses(training__batch_size=8, training__gradient_accumulation=7, **settings)
    assert len(large) == 4
    assert cut == pytest.approx(large, rel=1e-5)


def test_parts_of_unequal_size_count_by_their_examples(losses: Losses) -> None:
    large = losses(training__batch_size=96, training__epochs=3, training__class_weights="balanced")
    cut = losses(  # 36 + 36 + 24
        training__batch_size=36,
        training__gradient_accumulation=3,
        training__epochs=3,
        training__class_weights="balanced",
    )
    assert len(cut) == 3
    assert cut == pytest.approx(large, rel=1e-5)


def test_weights_and_smoothing_change_the_loss_as_torch_has_it(losses: Losses) -> None:
    """Step 1 of one batch of everything: the loss before any update, by hand."""
    plain = losses(training__batch_size=96, training__epochs=1)
    weighted = losses(training__batch_size=96, training__epochs=1, training__class_weights={"food": 9.0})
    smoothed = losses(training__batch_size=96, training__epochs=1, training__label_smoothing=0.5)
    assert len({plain[0], weighted[0], smoothed[0]}) == 3


def test_method_head_is_the_same_head_trained_by_hand(kit: Kit, store: Store) -> None:
    """Full batches, no dropout, plain SGD without schedule: three lines of torch give the same curve."""
    from safetensors.torch import load_file
    from transformers import set_seed

    run = kit.train(
        store,
        model__method="head",
        model__dropout=0.0,
        training__optimizer="sgd",
        training__schedule="constant",
        training__warmup=0.0,
        training__weight_decay=0.0,
        training__max_grad_norm=0.0,
        training__batch_size=96,
        training__epochs=4,
        training__head_learning_rate=0.1,
    )
    assert run.status == "finished", run.cause
    recorded = list(list_metrics(store, [run.key], ["train/loss"])["value"])

    (cache,) = (store.files / "cache" / "features").iterdir()
    features = load_file(cache)["train.pooled"]
    from store import get_dataset, read_targets

    targets = torch.from_numpy(read_targets(store, get_dataset(store, run.dataset_key), "train").astype(np.int64))
    set_seed(0)
    head = ClassifierHead(32, 3, 0.0)
    head.fit_scaling(features)
    optimizer = torch.optim.SGD(head.parameters(), lr=0.1)
    by_hand = []
    for _ in range(4):
        loss = functional.cross_entropy(head(features), targets)
        by_hand.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert recorded == pytest.approx(by_hand, rel=1e-5)


def test_length_grouping_pads_less_and_still_shows_every_example(kit: Kit, store: Store) -> None:
    import runner.tasks.pooled as module

    widths: dict[bool, int] = {}
    original = module.TokenCollator
    for is_grouped in (True, False):
        n_padded = 0

        class Counting(original):  # type: ignore[misc,valid-type]  # a class made for this test
            def __call__(self, positions: Any) -> Any:
                nonlocal n_padded
                batch = super().__call__(positions)
                n_padded += batch["input_ids"].numel()
                return batch

        module.TokenCollator = Counting  # type: ignore[misc]  # put back below
        try:
            kit.train(store, training__length_grouping=is_grouped, training__batch_size=8, recording__embeddings=False)
        finally:
            module.TokenCollator = original  # type: ignore[misc]  # as above
        widths[is_grouped] = n_padded
    assert widths[True] < 0.9 * widths[False]
