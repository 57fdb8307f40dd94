"""The merged model: the base, what the parents changed in it, and a head where the task has one."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import nn

from runner.adapters import fold
from runner.backbone import Backbone, load_backbone
from runner.base_runs import standing
from runner.classifier import CLASSIFIERS, ClassifierHead, TextClassifier, TextModel
from runner.errors import ModelError
from runner.language.model import LanguageModel
from runner.loading import load_model
from runner.merge.adapters import combine_adapters
from runner.merge.deltas import combine_deltas
from runner.merge.heads import in_units, merged_head
from runner.merge.parent import Parent
from runner.merge.plan import Merge
from runner.publish.kinds import KINDS
from store import Store

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Merged(NamedTuple):
    """A model on the CPU, and what its texts are encoded with."""

    model: TextModel
    backbone: Backbone
    labels: tuple[str, ...]

    @property
    def tokenizer(self) -> "PreTrainedTokenizerBase":
        return self.backbone.tokenizer


def combine(merge: Merge, store: Store) -> Backbone:
    """The base with what the parents changed in it, folded where asked for; no head.

    Raises ModelError where the parts do not fit each other.
    """
    parents = merge.parents
    spec = parents[0].recipe.model.model_copy(update={"max_length": max(p.recipe.model.max_length for p in parents)})
    backbone = load_backbone(standing(spec, store), KINDS[str(parents[0].run.task)].body)
    if backbone.pooling != parents[0].pooling and not KINDS[str(parents[0].run.task)].is_language:
        raise ModelError(  # it was picked for a base that has changed since
            f"the base now pools by {backbone.pooling}, and run {parents[0].title} by {parents[0].pooling}."
        )
    body: Any = backbone.model
    try:
        if parents[0].is_adapter:
            body = _with_adapter(merge, body)
        else:
            folders = [parent.folder / "backbone" for parent in parents]
            assert merge.way is not None  # one full fine-tune alone is refused
            combine_deltas(
                body, folders, way=merge.way, weights=_weights(merge), density=merge.density, seed=merge.seed
            )
    except (RuntimeError, ValueError, KeyError) as error:
        raise ModelError(f"the models of these runs do not fit each other: {error}") from error
    return replace(backbone, model=fold(body) if merge.is_folded else body)


def with_head(merge: Merge, combined: Backbone) -> Merged:
    """The model of one merge: under the combined weights that others may share, its own head and way of reading."""
    first = merge.first
    pooling: Any = first.pooling
    backbone = replace(combined, pooling=pooling, max_length=merge.max_length)
    body: Any = backbone.model
    if KINDS[str(first.run.task)].is_language:
        return Merged(LanguageModel(body).eval(), backbone, ())
    labels = tuple(merge.dataset.label_names or ())  # in the order in which predictions are kept
    parents = [merge.speaker] if merge.speaker else list(merge.parents)
    heads = [in_units(_head(parent), parent.settings) for parent in parents]
    head = merged_head(
        heads, [p.outputs(p.labels) for p in parents], [p.weight for p in parents], first.outputs(labels)
    )
    kind = CLASSIFIERS.get(str(first.run.task), TextClassifier)
    return Merged(kind(body, in_units(head, first.settings, back=True), pooling).eval(), backbone, labels)


def with_other_body(merged: Merged, other: Parent, store: Store) -> TextModel:
    """The head of a merged model above what another parent alone was trained to: what it says of a task that it was
    not trained for."""
    spec = standing(other.recipe.model, store)
    body = load_model(other.folder, spec)[0].backbone
    model = merged.model
    if isinstance(model, TextClassifier):
        return type(model)(body, model.head, model.pooling).eval()
    return LanguageModel(body).eval()


def _with_adapter(merge: Merge, body: nn.Module) -> nn.Module:
    from peft import PeftModel

    folders = [parent.folder / "adapter" for parent in merge.parents]
    if merge.way is None:
        loaded: nn.Module = PeftModel.from_pretrained(body, folders[0])
        return loaded
    return combine_adapters(
        body, folders, way=merge.way, weights=_weights(merge), density=merge.density, seed=merge.seed
    )


def _weights(merge: Merge) -> list[float]:
    return [parent.weight for parent in merge.parents]


def _head(parent: Parent) -> ClassifierHead:
    from safetensors.torch import load_file

    state = load_file(parent.folder / "head.safetensors")
    n_classes, n_dimensions = state["linear.weight"].shape
    head = ClassifierHead(n_dimensions, n_classes, 0.0)
    head.load_state_dict(state)
    return head
