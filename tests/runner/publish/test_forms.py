"""Our head in transformers' classes: the same logits, for every form, whatever the head and its scaling are."""

from typing import Any

import pytest
import torch

from runner.classifier import CheckpointInfo, ClassifierHead, TextClassifier, TokenClassifier
from runner.publish.forms import FORMS, NotExpressible, as_sequence_classifier, as_token_classifier, find_form

SIZES: dict[str, dict[str, Any]] = {
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64, "max_position_embeddings": 64},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64},
}
USUAL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
}
LABELS = ("no", "yes", "maybe")
KNOWN = [(model_type, form.pooling) for form in FORMS for model_type in form.model_types]
GROUPED = next(form.model_types for form in FORMS if "llama" in form.model_types)
"""Decoders whose queries share keys, and whose classes have no bias."""


def classifier(model_type: str, pooling: Any) -> TextClassifier:
    """Random weights, large and not centred, as training might leave them."""
    from transformers import AutoConfig, AutoModel

    torch.manual_seed(1)
    sizes = SIZES.get(model_type, USUAL) | ({"num_key_value_heads": 2, "head_dim": 16} if model_type in GROUPED else {})
    config = AutoConfig.for_model(model_type, vocab_size=50, pad_token_id=1, **sizes)
    backbone = AutoModel.from_config(config)
    for name, parameter in backbone.named_parameters():
        if "norm" in name.lower() or "ln_f" in name:
            parameter.data += torch.randn_like(parameter)
    if getattr(backbone, "pooler", None) is not None:
        backbone.pooler = None
    head = ClassifierHead(32, len(LABELS), 0.1)
    torch.nn.init.normal_(head.linear.weight)
    torch.nn.init.normal_(head.linear.bias, std=3)
    head.fit_scaling(torch.randn(200, 32) * torch.rand(32) * 3 + 1)
    if model_type in GROUPED:
        torch.nn.init.zeros_(head.linear.bias)
        head.mean.zero_()
    return TextClassifier(backbone, head, pooling).eval()


def info(pooling: Any) -> CheckpointInfo:
    return CheckpointInfo("run", "text-classification", "full", "base", LABELS, pooling, 64, step=1, epoch=None)


def test_every_form_is_tried() -> None:
    assert len(KNOWN) == len(set(KNOWN)) >= 7


@pytest.mark.parametrize(("model_type", "pooling"), KNOWN)
def test_the_class_of_transformers_says_the_same(model_type: str, pooling: str) -> None:
    model = classifier(model_type, pooling)
    ids = torch.randint(2, 50, (6, 11))
    mask = torch.ones_like(ids)
    for row, n in enumerate((11, 9, 7, 5, 3, 1)):
        mask[row, n:] = 0
        ids[row, n:] = 1
    with torch.inference_mode():
        expected = model(ids, mask).log_softmax(-1)
        whole: Any = as_sequence_classifier(model, info(pooling))
        found = whole(input_ids=ids, attention_mask=mask).logits.log_softmax(-1)
    assert expected.std() > 0.5  # there is something to get wrong
    assert torch.allclose(found, expected, atol=1e-4)
    assert whole.config.id2label == dict(enumerate(LABELS))


@pytest.mark.parametrize(
    ("model_type", "pooling", "why"),
    [("bert", "mean", "takes the first token's vector"), ("opt", "last", "cannot hold this linear layer")],
)
def test_what_cannot_be_said_is_refused_with_the_reason(model_type: str, pooling: Any, why: str) -> None:
    with pytest.raises(NotExpressible, match=why):
        find_form(model_type, pooling)


def test_a_bias_that_a_class_has_no_place_for_is_refused() -> None:
    model = classifier("qwen2", "last")
    model.head.linear.bias.data[0] = 0.5
    with pytest.raises(NotExpressible, match="Qwen2ForSequenceClassification has no place for"):
        as_sequence_classifier(model, info("last"))


@pytest.mark.parametrize("model_type", ["bert", "llama", "qwen2"])
def test_taggers_are_one_linear_layer_whatever_it_is_called(model_type: str) -> None:
    made = classifier(model_type, "last")
    torch.nn.init.normal_(made.head.linear.bias, std=3)
    tagger = TokenClassifier(made.backbone, made.head, "last").eval()
    ids = torch.randint(2, 50, (2, 9))
    with torch.inference_mode():
        expected = tagger(ids, torch.ones_like(ids))
        whole: Any = as_token_classifier(tagger, LABELS)
        assert torch.allclose(whole(input_ids=ids, attention_mask=torch.ones_like(ids)).logits, expected, atol=1e-4)
