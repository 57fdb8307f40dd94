"""Our head in transformers' classes: the same logits, for every form, whatever the head and its scaling are."""

from typing import Any

import pytest
import torch

from runner.classifier import CheckpointInfo, ClassifierHead, TextClassifier
from runner.publish.forms import FORMS, NotExpressible, as_sequence_classifier, find_form

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


def classifier(model_type: str, pooling: Any) -> TextClassifier:
    """Random weights, large and not centred, as training might leave them."""
    from transformers import AutoConfig, AutoModel

    torch.manual_seed(1)
    config = AutoConfig.for_model(model_type, vocab_size=50, pad_token_id=1, **SIZES.get(model_type, USUAL))
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
    [("bert", "mean", "takes the first token's vector"), ("llama", "last", "cannot hold this linear layer")],
)
def test_what_cannot_be_said_is_refused_with_the_reason(model_type: str, pooling: Any, why: str) -> None:
    with pytest.raises(NotExpressible, match=why):
        find_form(model_type, pooling)
