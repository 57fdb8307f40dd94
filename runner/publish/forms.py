"""Our pooling and linear head in the words of `AutoModelForSequenceClassification`, where its classes have such words.

Those classes put layers of their own between the pooled vector and the last linear layer. Each form here sets these
layers so that they pass the vector on unchanged:

    tanh    dense = 2⁻¹² × identity, so that tanh(x) = x up to x³/3; the next layer is scaled by 2¹². For a value of
            10 that is off by 2e-6 of it.
    relu    dense = identity with a bias so large that nothing is cut off; the next layer's bias takes it back. After
            a layer norm over d values none is larger than √(d - 1) × gain + bias.
    score   decoders have a linear layer without a bias. Ours goes into the bias of the final layer norm, as the
            smallest shift of the vector that adds the same to every label's logit. Where that norm has none either,
            heads are trained without one (`runner.classifier`).

What comes out is compared with what the run's own model says before it is handed out (`runner.publish.export`).
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from runner.backbone import Pooling
from runner.classifier import CheckpointInfo, ClassifierHead, TextClassifier
from runner.publish.kinds import KINDS

_SMALL = 2.0**-12


class Linear(NamedTuple):
    """A linear layer: weight (k, d), bias (k,)."""

    weight: Tensor
    bias: Tensor


@dataclass(frozen=True)
class Form:
    """How the classes of some model types are set."""

    model_types: tuple[str, ...]
    pooling: Pooling
    put: Callable[[Any, Linear], None]
    """Sets the layers above the backbone of a sequence classifier."""
    note: str | None
    """What somebody who trains the exported model further should know, if anything."""


class NotExpressible(Exception):
    """No class of transformers says the same; the text says why."""


def folded_head(head: ClassifierHead) -> Linear:
    """The head without its scaling: W (x - mean) / deviation + b as one linear layer."""
    weight = head.linear.weight.detach().double() / head.deviation.double()
    bias = head.linear.bias.detach().double() - weight @ head.mean.double()
    return Linear(weight.float(), bias.float())


def find_form(model_type: str, pooling: Pooling) -> Form:
    """The form of a backbone's type and pooling. Raises NotExpressible."""
    forms = [form for form in FORMS if model_type in form.model_types]
    if not forms:
        raise NotExpressible(f"transformers' classifier for {model_type} cannot hold this linear layer")
    for form in forms:
        if form.pooling == pooling:
            return form
    raise NotExpressible(
        f"transformers' classifier for {model_type} takes {_POOLED[forms[0].pooling]}, this model {_POOLED[pooling]}"
    )


_POOLED = {
    "cls": "the first token's vector",
    "last": "the last token's vector",
    "mean": "the mean of all tokens' vectors",
}


_PROBLEMS = {
    "class": "single_label_classification",
    "labels": "multi_label_classification",
    "number": "regression",
    "relevance": "multi_label_classification",  # of one label: its loss is that of a sigmoid
}
"""What a model says → how transformers calls it."""


def as_sequence_classifier(model: TextClassifier, info: CheckpointInfo) -> nn.Module:
    """The same model as transformers' own class, in float32 on the CPU. Its backbone holds no adapters any more.

    A number comes out in its own unit. The thresholds of labels are in the configuration (`thresholds`).
    Raises NotExpressible.
    """
    from transformers import AutoModelForSequenceClassification

    body: Any = model.backbone
    form = find_form(body.config.model_type, model.pooling)
    config = copy.deepcopy(body.config)
    kind = KINDS[info.task]
    says, labels = kind.says, info.labels if kind.has_labels else ("score",)
    config.num_labels = len(labels)
    config.id2label, config.label2id = dict(enumerate(labels)), {label: i for i, label in enumerate(labels)}
    config.problem_type = _PROBLEMS[says]
    head = folded_head(model.head)
    if says == "labels":
        config.thresholds = list(info.settings.get("thresholds") or [0.5] * len(labels))
    elif says == "relevance":
        config.highest_relevance = float(info.settings["most"])
    elif says == "number":
        scale, centre = float(info.settings["scale"]), float(info.settings["centre"])
        head = Linear(head.weight * scale, head.bias * scale + centre)
    config.name_or_path = ""
    whole: Any = AutoModelForSequenceClassification.from_config(config).float()
    missing, unexpected = getattr(whole, whole.base_model_prefix).load_state_dict(body.state_dict(), strict=False)
    if unexpected or any(not name.startswith("pooler.") for name in missing):
        raise NotExpressible(f"the weights do not fit {type(whole).__name__}: {[*missing, *unexpected][:3]}")
    with torch.no_grad():
        form.put(whole, head)
    classifier: nn.Module = whole.eval()
    return classifier


def as_token_classifier(model: TextClassifier, tags: tuple[str, ...]) -> nn.Module:
    """The same tagger as transformers' own class, in float32 on the CPU. Its backbone holds no adapters any more.

    Raises NotExpressible.
    """
    from transformers import AutoModelForTokenClassification

    body: Any = model.backbone
    config = copy.deepcopy(body.config)
    config.num_labels = len(tags)
    config.id2label, config.label2id = dict(enumerate(tags)), {tag: i for i, tag in enumerate(tags)}
    config.name_or_path = ""
    try:
        whole: Any = AutoModelForTokenClassification.from_config(config).float()
    except ValueError as error:
        raise NotExpressible(f"transformers has no tagger for {config.model_type}") from error
    layer = getattr(whole, "classifier", getattr(whole, "score", None))
    if not isinstance(layer, nn.Linear) or layer.bias is None or layer.in_features != model.head.linear.in_features:
        raise NotExpressible(f"transformers' tagger for {config.model_type} is no single linear layer")
    missing, unexpected = getattr(whole, whole.base_model_prefix).load_state_dict(body.state_dict(), strict=False)
    if unexpected or missing:
        raise NotExpressible(f"the weights do not fit {type(whole).__name__}: {[*missing, *unexpected][:3]}")
    with torch.no_grad():
        _set(layer, folded_head(model.head))
    tagger: nn.Module = whole.eval()
    return tagger


# the forms -----------------------------------------------------------------------------------------------------------


def _put_above_pooler(whole: Any, head: Linear) -> None:
    """BERT: pooler (dense, tanh), then the classifier."""
    _scale_down(getattr(whole, whole.base_model_prefix).pooler.dense)
    _set(whole.classifier, Linear(head.weight / _SMALL, head.bias))


def _put_in_head(whole: Any, head: Linear) -> None:
    """RoBERTa and its like: classifier (dense, tanh, out_proj)."""
    _scale_down(whole.classifier.dense)
    _set(whole.classifier.out_proj, Linear(head.weight / _SMALL, head.bias))


def _put_above_relu(whole: Any, head: Linear) -> None:
    """DistilBERT: pre_classifier, relu, classifier."""
    norm = getattr(whole, whole.base_model_prefix).transformer.layer[-1].output_layer_norm
    n_dimensions = len(norm.weight)
    largest = norm.weight.abs() * (n_dimensions - 1) ** 0.5 + norm.bias.abs()
    _set(whole.pre_classifier, Linear(torch.eye(n_dimensions), largest))
    _set(whole.classifier, Linear(head.weight, head.bias - head.weight @ largest))


def _put_below_score(whole: Any, head: Linear) -> None:
    """GPT-2: score has no bias; the last layer norm of the backbone takes it."""
    whole.score.weight.copy_(head.weight)
    shift = torch.linalg.pinv(head.weight.double()) @ head.bias.double()
    getattr(whole, whole.base_model_prefix).ln_f.bias.add_(shift.float())


def _put_without_bias(whole: Any, head: Linear) -> None:
    """Llama and its like: neither score nor the last norm of the backbone has a bias."""
    if head.bias.any():
        raise NotExpressible(f"the linear layer has a bias, which {type(whole).__name__} has no place for")
    whole.score.weight.copy_(head.weight)


def _scale_down(dense: Any) -> None:
    _set(dense, Linear(torch.eye(dense.in_features) * _SMALL, torch.zeros(dense.in_features)))


def _set(layer: Any, to: Linear) -> None:
    layer.weight.copy_(to.weight)
    layer.bias.copy_(to.bias)


_TANH = "its dense layer before tanh is a small multiple of the identity, so that tanh passes vectors on unchanged"
_RELU = "its dense layer before relu is the identity with a large bias, so that relu passes vectors on unchanged"
_SCORE = "the bias of its final layer norm holds the bias of the linear layer, which its own class has not"

FORMS: tuple[Form, ...] = (
    Form(("bert",), "cls", _put_above_pooler, _TANH),
    Form(("roberta", "xlm-roberta", "camembert", "mpnet"), "cls", _put_in_head, _TANH),
    Form(("distilbert",), "cls", _put_above_relu, _RELU),
    Form(("gpt2",), "last", _put_below_score, _SCORE),
    Form(("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "phi3", "smollm3"), "last", _put_without_bias, None),
)
"""Every class that can be set so; a model type that is not here, or pools in another way, is exported in parts."""
