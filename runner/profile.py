"""What a recipe's data look like to its model, before anything is trained: measured with the task's own encoding.

The tokens are those that training would see, but whole: how many examples the recipe's length cuts is counted from
them. No weights are loaded.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from evals.profile import (
    Share,
    count_words,
    distribution,
    exact_copies,
    imbalance,
    label_counts,
    leaked,
    tokens_per_word,
)
from evals.triage.language import languages_of
from runner.backbone import Backbone, as_backbone, load_tokenizer
from runner.data.tables import readable_text
from runner.encoding import NO_TARGET, EncodedSplit
from runner.errors import ModelError
from runner.location import model_location
from runner.recipe.shapes import SHAPES
from runner.tasks import TASKS, Task
from store import Dataset, Store, iter_inputs, read_values
from store.ids import example_id
from store.plain import to_json, to_numbers
from store.profiles import record_profile

if TYPE_CHECKING:
    from runner.recipe import Model, Recipe

_WHOLE = 1_000_000
"""Tokens, and more than any example has."""
_MOST_LANGUAGES = 20_000
"""Texts of a split whose language is looked at, evenly spread over it."""
_SPLITS = ("train", "validation", "test")
_DIVIDED = ("causal-lm", "masked-lm")
"""Tasks that cut nothing off: a document that is too long becomes several rows."""
Say = Callable[[str, int], None]


@dataclass(frozen=True)
class _Split:
    """What is read of a split."""

    is_whole: bool
    """Whether nothing of it is cut off, however long it is: it is read in several stretches."""
    encoded: EncodedSplit
    texts: list[str]
    ids: list[bytes]
    targets: list[Any]


def profile_data(store: Store, dataset: Dataset, recipe: "Recipe", say: Say | None = None) -> dict[str, Any]:
    """Measure the dataset as the recipe would encode it, keep it in the store, and return it, plain values all.

    Raises ModelError, DataError.
    """
    task, backbone = TASKS[recipe.task], tokens_of(recipe.model, TASKS[recipe.task].auto_class)
    whole = replace(backbone, max_length=_WHOLE)
    uncut = recipe.model_copy(
        update={
            "seq2seq": recipe.seq2seq.model_copy(update={"max_target_length": _WHOLE}),
            "generation": recipe.generation.model_copy(update={"examples": 0}),
        }
    )
    splits = {
        name: _read(store, dataset, name, task, whole, uncut, say) for name in _SPLITS if dataset.n_rows.get(name)
    }
    rooms = (backbone.max_length, recipe.seq2seq.max_target_length)
    found = {
        "dataset": str(dataset),
        "task": recipe.task,
        "tokenizer": recipe.model.tokenizer or recipe.model.base,
        "max_length": backbone.max_length,
        "max_target_length": recipe.seq2seq.max_target_length if recipe.task == "seq2seq" else None,
        "splits": {
            name: _measured(split, dataset, recipe, backbone, rooms) for name, split in splits.items()
        },
        "leaks": [
            {"from": earlier, "in": later, **_share(share)}
            for (earlier, later), share in leaked({name: split.ids for name, split in splits.items()}).items()
        ],
    }  # fmt: skip
    record_profile(store, dataset.key, _fingerprint(recipe, backbone), found)
    plain: dict[str, Any] = to_numbers(found)
    return plain


def tokens_of(spec: "Model", auto_class: str) -> Backbone:
    """The backbone of a spec without its weights: tokenizer, and how many tokens it takes. Raises ModelError."""
    import transformers
    from transformers import AutoConfig

    name = model_location(spec.base, spec.revision)
    tokenizer = load_tokenizer(spec)
    trusted = spec.trust_remote_code
    try:
        if name.startswith("scratch:"):
            settings = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id, **spec.config}
            config = AutoConfig.for_model(name.removeprefix("scratch:"), **settings)
        else:
            config = AutoConfig.from_pretrained(name, revision=spec.revision or "main", trust_remote_code=trusted)
        with torch.device("meta"):
            model = getattr(transformers, auto_class).from_config(config, trust_remote_code=trusted)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"model.base = {spec.base!r} cannot be read: {str(error).splitlines()[0]}") from error
    return as_backbone(spec, model, tokenizer, name)


def _read(
    store: Store, dataset: Dataset, name: str, task: Task, whole: Backbone, recipe: "Recipe", say: Say | None
) -> _Split:
    texts, ids = [], []
    for batch in iter_inputs(store, dataset, name):
        texts += [readable_text(inputs) for inputs in batch]
        ids += [example_id(inputs) for inputs in batch]
    encoded = task.encode(store, dataset, name, whole, recipe, say)
    is_whole = recipe.task in _DIVIDED or (encoded.words is not None and name != "train")
    return _Split(is_whole, encoded, texts, ids, read_values(store, dataset, name))


def _measured(
    split: _Split, dataset: Dataset, recipe: "Recipe", backbone: Backbone, rooms: tuple[int, int]
) -> dict[str, Any]:
    """All there is to say of a split."""
    encoded, kind = split.encoded, SHAPES[recipe.task].kind
    answers = None if encoded.answers is None else np.diff(encoded.answers.offsets)
    ids = encoded.ids if encoded.answers is None else np.concatenate([encoded.ids, encoded.answers.ids])
    said = [each for each in split.targets if isinstance(each, str)] if kind == "text" else []
    n_words = count_words(split.texts) + count_words(said)
    n_of_words = int((~np.isin(ids, backbone.tokenizer.all_special_ids)).sum()) + _unknown(ids, backbone.tokenizer)
    return {
        "n_examples": len(split.texts),
        "tokens": asdict(distribution(encoded.lengths)),
        "answer_tokens": _answer_tokens(encoded, answers),
        "truncated": None if split.is_whole else _share(_truncated(encoded, answers, rooms)),
        "no_room": None if encoded.n_before is None else _share(_without_room(encoded, rooms[0])),
        "unknown_tokens": _unknown_share(ids, backbone.tokenizer),
        "n_words": n_words,
        "tokens_per_word": tokens_per_word(n_of_words, n_words),
        "labels": _labels(split, dataset, kind),
        "numbers": asdict(distribution([float(t) for t in split.targets if t is not None]))
        if kind == "number" or (kind == "relevance" and dataset.label_names is None)
        else None,
        "duplicates": asdict(exact_copies(split.ids, split.targets)),
        "languages": _languages(split.texts),
    }


def _answer_tokens(encoded: EncodedSplit, answers: Any) -> dict[str, Any] | None:
    """Tokens of what the model is to say, of all turns of a chat that are learnt; None where that is no text."""
    if answers is not None:
        return asdict(distribution(answers))
    if encoded.n_before is None or encoded.targets is None:
        return None
    learnt = np.concatenate([[0], np.cumsum(encoded.targets != NO_TARGET)])
    return asdict(distribution(learnt[encoded.offsets[1:]] - learnt[encoded.offsets[:-1]]))


def _truncated(encoded: EncodedSplit, answers: Any, rooms: tuple[int, int]) -> Share:
    is_cut = encoded.lengths > rooms[0]
    if answers is not None:
        is_cut = is_cut | (answers > rooms[1])
    return Share(int(is_cut.sum()), len(encoded))


def _without_room(encoded: EncodedSplit, room: int) -> Share:
    """Prompts that leave no room for an answer."""
    assert encoded.n_before is not None
    return Share(int((encoded.n_before >= room).sum()), len(encoded))


def _has_unknown(tokenizer: Any) -> bool:
    """Whether a token of its own stands for what it does not know: tokenizers of bytes know everything."""
    others = {tokenizer.eos_token_id, tokenizer.bos_token_id, tokenizer.pad_token_id}
    return tokenizer.unk_token_id is not None and tokenizer.unk_token_id not in others


def _unknown(ids: Any, tokenizer: Any) -> int:
    return int((ids == tokenizer.unk_token_id).sum()) if _has_unknown(tokenizer) else 0


def _unknown_share(ids: Any, tokenizer: Any) -> dict[str, Any] | None:
    return _share(Share(_unknown(ids, tokenizer), len(ids))) if _has_unknown(tokenizer) else None


def _labels(split: _Split, dataset: Dataset, kind: str) -> dict[str, Any] | None:
    if kind not in ("label", "labels", "spans", "relevance") or dataset.label_names is None:
        return None
    counts = label_counts(split.targets, dataset.label_names)
    n_without = sum(target is None or target in ("[]", -1) for target in split.targets)
    return {"counts": counts, "n_without": n_without, "imbalance": imbalance(counts)}


def _languages(texts: list[str]) -> dict[str, Any]:
    """Of at most so many texts; '' is what cannot be told."""
    chosen = texts
    if len(texts) > _MOST_LANGUAGES:
        chosen = [texts[i] for i in np.linspace(0, len(texts) - 1, _MOST_LANGUAGES).astype(int)]
    names, counts = np.unique(np.array(languages_of(chosen), dtype=object).astype(str), return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return {"n": len(chosen), "counts": {str(names[i]): int(counts[i]) for i in order}}


def _share(share: Share) -> dict[str, Any]:
    return {"n": share.n, "of": share.of, "share": share.share}


def _fingerprint(recipe: "Recipe", backbone: Backbone) -> str:
    """32 hex digits of what makes other tokens of the same rows."""
    parts: Mapping[str, Any] = {
        "task": recipe.task,
        "encoding": str(TASKS[recipe.task].encoding(recipe)),
        "tokenizer": recipe.model.tokenizer or recipe.model.base,
        "revision": recipe.model.revision,
        "max_length": backbone.max_length,
        "max_target_length": recipe.seq2seq.max_target_length,
    }
    return blake2b(to_json(parts).encode(), digest_size=16).hexdigest()
