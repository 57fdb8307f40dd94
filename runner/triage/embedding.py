"""Vectors of the examples by an encoder that has seen no label: of a run with a frozen base, or made now.

What a fine-tuned model says of an example it was trained on knows the label; its base does not. `find_encoder` decides
without loading torch; `embed` makes what is not there, and keeps it for the next time.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from runner.builtin import builtin_folder
from runner.errors import UserError
from runner.location import model_location
from runner.recipe import Model, RecipeError, recipe_from_resolved
from runner.triage.rows import Rows
from runner.triage.sources import Sources
from store import Run, Store, count_embeddings, read_embeddings

if TYPE_CHECKING:
    from runner.backbone import Backbone
    from runner.encoding import EncodedSplit

BUILTIN = "builtin:minilm"
_BATCH = 64
_TOKENISED_AT_ONCE = 4096

Vectors = NDArray[np.float16]


@dataclass(frozen=True)
class Encoder:
    """Whose vectors are taken: those that a run with a frozen base recorded, or those of `spec`, which is loaded."""

    name: str
    run: Run | None = None
    spec: Model | None = None
    is_frozen: bool = True
    """False: it was fine-tuned on the labels, and only what does not judge labels may look at its vectors."""

    @property
    def identity(self) -> dict[str, object]:
        """What the vectors depend on."""
        spec = None if self.spec is None else self.spec.model_dump(mode="json")
        return {"run": self.run.id if self.run else None, "spec": spec}


def find_encoder(store: Store, sources: Sources, wanted: str | None = None) -> Encoder | None:
    """The encoder to take, None where there is none on this machine.

    `wanted` (a model as in a recipe's model.base) wins; then a run with a frozen base, the base of a run, the built-in
    encoder; at last the vectors of a fine-tuned run. Raises UserError where `wanted` cannot be had.
    """
    if wanted:
        model_location(wanted, None)
        return Encoder(wanted, spec=Model(base=wanted, method="head"))
    with_vectors = [run for run in sources.runs if count_embeddings(store, run.key) == dict(sources.dataset.n_rows)]
    for run in with_vectors:
        if run.method == "head":
            return Encoder(str(run.base_model), run=run)
    for run in sources.runs:
        spec = _spec(run)
        if spec is not None and not spec.base.startswith("scratch:"):
            with contextlib.suppress(UserError):
                model_location(spec.base, spec.revision)
                return Encoder(spec.base, spec=spec)
    if builtin_folder(BUILTIN.removeprefix("builtin:")) is not None:
        with contextlib.suppress(UserError):
            model_location(BUILTIN, None)
            return Encoder(BUILTIN, spec=Model(base=BUILTIN, method="head"))
    return Encoder(with_vectors[0].name, run=with_vectors[0], is_frozen=False) if with_vectors else None


def embed(store: Store, encoder: Encoder, rows: Rows, report: Callable[[str, int], None]) -> Vectors:
    """The vectors (n, d) in the order of the rows. Raises ModelError where the encoder cannot be loaded."""
    if encoder.run is not None:
        pieces = [read_embeddings(store, encoder.run.key, split) for split in rows.splits]
        return np.concatenate([piece for piece in pieces if piece is not None])
    assert encoder.spec is not None, "an encoder is a run's or a model's"
    return _embed(store, encoder.spec, rows, report)


def embed_relations(
    store: Store, encoder: Encoder, rows: Rows, report: Callable[[str, int], None]
) -> NDArray[np.float32] | None:
    """What the two texts of each pair have to do with each other, (n, 4 d): u, v, |u - v|, u * v of their vectors.

    The label of a pair lies between its texts, and the vector of both as one text says little of it (Conneau et al.,
    InferSent, EMNLP 2017, section 3.1). None where there is no model that reads them one by one. Raises ModelError
    where it cannot be loaded.
    """
    spec = encoder.spec or (_spec(encoder.run) if encoder.run else None)
    if spec is None:
        return None
    from runner.backbone import load_backbone
    from runner.encoding import encode_texts

    backbone = load_backbone(spec)
    splits = {
        f"part {i}": encode_texts([(text,) for text in part], backbone.tokenizer, backbone.max_length)
        for i, part in enumerate(rows.parts)
    }
    u, v = (vectors.astype(np.float32) for vectors in _features(store, spec, backbone, rows, splits, report).values())
    u, v = (each / np.maximum(np.linalg.norm(each, axis=1, keepdims=True), 1e-9) for each in (u, v))
    return np.concatenate([u, v, np.abs(u - v), u * v], axis=1)


def _embed(store: Store, spec: Model, rows: Rows, report: Callable[[str, int], None]) -> Vectors:
    from runner.backbone import load_backbone
    from runner.encoding import encode_split

    backbone = load_backbone(spec)
    splits = {
        split: encode_split(store, rows.dataset, split, backbone.tokenizer, backbone.max_length, report)
        for split in rows.splits
    }
    found = _features(store, spec, backbone, rows, splits, report)
    return np.concatenate([found[split] for split in rows.splits])


def _features(
    store: Store,
    spec: Model,
    backbone: "Backbone",
    rows: Rows,
    splits: "dict[str, EncodedSplit]",
    report: Callable[[str, int], None],
) -> dict[str, Vectors]:
    from runner.classifier import build_classifier
    from runner.devices import choose_device
    from runner.inference import cached_features
    from runner.recipe import Training

    n_classes = max(1, len(rows.dataset.label_names or ()))
    model = build_classifier(backbone, n_classes, spec).to(choose_device(Training()).type)
    folder = store.files / "cache" / "features"
    features, _ = cached_features(folder, backbone, model, splits, _BATCH, report=report)
    return {split: features[split].mean.numpy().astype(np.float16) for split in splits}


class TokenCounts(NamedTuple):
    """n_tokens (n,): of each text before anything is cut off. max_length: where the run's model cuts."""

    n_tokens: NDArray[np.int64]
    max_length: int


def count_tokens(sources: Sources, rows: Rows) -> TokenCounts | None:
    """By the tokenizer of the newest run whose tokenizer can be loaded; None without one. Of extremely long texts the
    beginning is counted, which is more than the model sees."""
    from runner.backbone import load_tokenizer
    from runner.encoding import CHARACTERS_PER_TOKEN

    for run in sources.runs:
        spec = _spec(run)
        if spec is None:
            continue
        with contextlib.suppress(UserError):
            tokenizer: Any = load_tokenizer(spec)
            max_length = min(spec.max_length, int(tokenizer.model_max_length))
            counts = np.empty(len(rows), dtype=np.int64)
            for first in range(0, len(rows), _TOKENISED_AT_ONCE):
                texts = rows.texts[first : first + _TOKENISED_AT_ONCE]
                beginnings = [text[: CHARACTERS_PER_TOKEN * max_length] for text in texts]
                ids = tokenizer(beginnings, truncation=False, return_attention_mask=False, verbose=False)["input_ids"]
                counts[first : first + len(ids)] = [len(each) for each in ids]
            return TokenCounts(counts, max_length)
    return None


def _spec(run: Run) -> Model | None:
    """The run's model as one with a frozen base; None for a run without a recipe of ours."""
    if run.recipe is None:
        return None
    try:
        return recipe_from_resolved(run.recipe).model.model_copy(update={"method": "head"})
    except RecipeError:
        return None
