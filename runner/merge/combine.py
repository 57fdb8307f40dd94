"""The merged model: the base, what the parents changed in it, and one head."""

from typing import TYPE_CHECKING, NamedTuple

from torch import nn

from runner.backbone import Backbone, load_backbone
from runner.base_runs import standing
from runner.classifier import CLASSIFIERS, ClassifierHead, TextClassifier
from runner.errors import ModelError
from runner.merge.adapters import combine_adapters
from runner.merge.deltas import combine_deltas
from runner.merge.heads import merged_head
from runner.merge.plan import Merge, Parent
from runner.publish.formats import fold_adapters
from store import Store

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Merged(NamedTuple):
    """A classifier on the CPU, and what its texts are encoded with."""

    model: TextClassifier
    backbone: Backbone
    labels: tuple[str, ...]

    @property
    def tokenizer(self) -> "PreTrainedTokenizerBase":
        return self.backbone.tokenizer


def combine(merge: Merge, store: Store) -> Merged:
    """Load, combine and, where asked for, fold. Raises ModelError where the parts do not fit each other."""
    parents = merge.parents
    spec = parents[0].recipe.model.model_copy(update={"max_length": max(p.recipe.model.max_length for p in parents)})
    backbone = load_backbone(standing(spec, store))
    if backbone.pooling != parents[0].pooling:  # it was picked for a base that has changed since
        raise ModelError(
            f"the base now pools by {backbone.pooling}, and run {parents[0].title} by {parents[0].pooling}."
        )
    body: nn.Module = backbone.model
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
    labels = tuple(merge.dataset.label_names or ())  # in the order in which predictions are kept
    said, order = [parent.outputs(parent.labels) for parent in parents], parents[0].outputs(labels)
    head = merged_head([_head(p) for p in parents], said, _weights(merge), order)
    kind = CLASSIFIERS.get(str(parents[0].run.task), TextClassifier)
    model = kind(body, head, backbone.pooling)
    if merge.is_folded:
        fold_adapters(model)
    return Merged(model.eval(), backbone, labels)


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
