from dataclasses import replace

import pytest

from evals.memory import ModelShape, training_memory

BERT_BASE = ModelShape(109_482_240, 109_482_240, 12, 12, 768, 3072, 12)


def estimate(shape: ModelShape = BERT_BASE, **options: object) -> object:
    return training_memory(shape, **{"method": "full", "n_classes": 2, "batch_size": 32, "length": 128, **options})  # type: ignore[arg-type]  # options of several types


def test_weights_gradients_and_moments_are_counted_exactly() -> None:
    took = estimate(n_classes=3)
    n = 109_482_240 + 3 * 769
    assert (took.weights, took.gradients, took.optimizer) == (4 * n, 4 * n, 8 * n)
    assert estimate(optimizer="sgd").optimizer == 0
    assert estimate(optimizer="adamw_8bit", n_classes=3).optimizer == 2 * n
    assert took.total == sum(took)


def test_activations_grow_with_batch_and_with_length_squared_on_a_cpu() -> None:
    at = {length: estimate(length=length).activations for length in (128, 256)}
    assert estimate(batch_size=64).activations == 2 * at[128]
    assert at[256] > 2 * at[128]
    on_gpu = {length: estimate(length=length, is_on_gpu=True).activations for length in (128, 256)}
    assert on_gpu[256] == 2 * on_gpu[128]  # attention keeps no scores there


def test_half_precision_halves_about_the_activations_but_adds_weights() -> None:
    whole, half = (estimate(is_on_gpu=True, is_half=is_half) for is_half in (False, True))
    assert 0.5 < half.activations / whole.activations < 0.75
    assert half.weights - whole.weights == 2 * BERT_BASE.n_parameters


def test_a_frozen_backbone_costs_its_weights_and_one_layer() -> None:
    frozen = replace(BERT_BASE, n_trained=0, n_trained_layers=0)
    took = estimate(frozen, method="head")
    assert took.gradients == 4 * 2 * 769
    assert took.activations < estimate().activations / 8
    top = replace(BERT_BASE, n_trained=14_000_000, n_trained_layers=2)
    assert took.activations < estimate(top, method="top-layers").activations < estimate().activations / 4


@pytest.mark.parametrize("is_on_gpu", [False, True])
def test_lora_saves_states_not_activations(is_on_gpu: bool) -> None:
    adapters = replace(BERT_BASE, n_trained=2_654_208)
    lora, full = estimate(adapters, method="lora", is_on_gpu=is_on_gpu), estimate(is_on_gpu=is_on_gpu)
    assert lora.optimizer < full.optimizer / 30
    assert lora.activations > full.activations


def test_recomputing_keeps_one_layer() -> None:
    assert estimate(recomputes=True).activations < estimate().activations / 5


def test_a_model_that_says_tokens_needs_room_for_what_it_says() -> None:
    gpt2 = ModelShape(124_439_808, 124_439_808, 12, 12, 768, 3072, 12)
    silent, speaking = (
        training_memory(
            gpt2, method="full", n_classes=0, batch_size=8, length=1024, is_half=True, is_on_gpu=True, vocabulary=n
        )
        for n in (0, 50_257)
    )
    assert speaking.activations - silent.activations == 8 * 1024 * 50_257 * (2 + 4 + 4)
