"""Passing a split through a model once, without gradients: logits, text vectors, and cached features."""

import contextlib
import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from runner.backbone import Backbone, fingerprint, pool
from runner.batches import TokenCollator, batches_by_length, to_device
from runner.classifier import TextModel
from runner.encoding import EncodedSplit
from runner.files import is_disk_full

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from runner.recipe.language import Generation

Report = Callable[[str, int], None]


@contextlib.contextmanager
def evaluating(model: nn.Module, dtype: torch.dtype | None = None) -> Iterator[torch.device]:
    """Evaluation mode, no gradients, autocast where the run trains in half precision; gives the model's device."""
    was_training = model.training
    device = next(model.parameters()).device
    autocast = torch.autocast(device.type, dtype) if dtype else contextlib.nullcontext()
    model.eval()
    try:
        with torch.inference_mode(), autocast:
            yield device
    finally:
        model.train(was_training)


class OutputsBroken(Exception):
    """A model's outputs stopped being finite numbers."""


class Passing(NamedTuple):
    """How a split goes through a model."""

    tokenizer: "PreTrainedTokenizerBase"
    max_length: int
    """Tokens that the model reads at once."""
    batch_size: int
    dtype: torch.dtype | None
    """Of autocast; None: none."""
    generation: "Generation | None" = None
    """What a task whose answers are texts writes by itself; None: nothing."""

    @property
    def pad_token_id(self) -> int:
        """What fills a batch."""
        return int(self.tokenizer.pad_token_id)


def predict_logits(
    model: TextModel, split: EncodedSplit, pad_token_id: int, batch_size: int, dtype: torch.dtype | None = None
) -> NDArray[np.float32]:
    """Logits `(n, k)` in position order."""
    rows: list[Tensor] = []
    order: list[NDArray[np.int64]] = []
    collate = TokenCollator(split, pad_token_id)
    with evaluating(model, dtype) as device:
        for positions in batches_by_length(split.lengths, batch_size):
            batch = to_device(collate(positions.tolist()), device)
            rows.append(model(batch["input_ids"], batch["attention_mask"], batch.get("token_type_ids")).float())
            order.append(positions)
        return _in_order(rows, order)


def predict_words(
    model: TextModel, split: EncodedSplit, pad_token_id: int, batch_size: int, dtype: torch.dtype | None = None
) -> NDArray[np.float32]:
    """Logits `(n_words, k)` of the words of a split, in their order; nan where no token answers for a word."""
    words = split.words
    assert words is not None, "only words are told apart"
    assert model.head is not None, "a head says something of them"
    found = np.full((len(words), model.head.linear.out_features), np.nan, dtype=np.float32)
    collate = TokenCollator(split, pad_token_id)
    with evaluating(model, dtype) as device:
        for positions in batches_by_length(split.lengths, batch_size):
            batch = to_device(collate(positions.tolist()), device)
            logits = model(batch["input_ids"], batch["attention_mask"], batch.get("token_type_ids")).float().cpu()
            numbers, sentence = words.of(positions)
            places = words.first[numbers]
            is_there = places >= 0
            found[numbers[is_there]] = logits.numpy()[sentence[is_there], places[is_there]]
    if words.windows is not None:
        behind = predict_words(model, words.windows.split, pad_token_id, batch_size, dtype)
        is_asked = words.windows.asked >= 0
        found[words.windows.asked[is_asked]] = behind[is_asked]
    return found


def predict_features(model: nn.Module, features: Tensor, batch_size: int = 65_536) -> NDArray[np.float32]:
    """Logits `(n, k)` of a head over features `(n, d)`."""
    starts = range(0, len(features), batch_size)
    with evaluating(model) as device:
        pieces = [model(features[i : i + batch_size].to(device)).float().cpu() for i in starts]
        return torch.cat(pieces).numpy()


class Vectors(NamedTuple):
    """Text vectors `(n, d)`: pooled as the classifier pools, and as the mean of the last hidden state."""

    pooled: Tensor
    mean: Tensor


def embed_split(
    model: TextModel,
    split: EncodedSplit,
    pad_token_id: int,
    batch_size: int,
    dtype: torch.dtype | None = None,
    report: Report | None = None,
) -> Vectors:
    """Both kinds of text vector of a split, float32, in position order."""
    pooled: list[Tensor] = []
    means: list[Tensor] = []
    order: list[NDArray[np.int64]] = []
    collate = TokenCollator(split, pad_token_id)
    n_done = 0
    with evaluating(model, dtype) as device:
        for positions in batches_by_length(split.lengths, batch_size):
            batch = to_device(collate(positions.tolist()), device)
            hidden = model.hidden(batch["input_ids"], batch["attention_mask"], batch.get("token_type_ids"))
            pooled.append(pool(hidden, batch["attention_mask"], model.pooling).float())
            if model.pooling != "mean":
                means.append(pool(hidden, batch["attention_mask"], "mean").float())
            order.append(positions)
            n_done += len(positions)
            if report:
                report("embedding", n_done)
        first = torch.from_numpy(_in_order(pooled, order))
        return Vectors(first, torch.from_numpy(_in_order(means, order)) if means else first)


def cached_features(
    folder: Path,
    backbone: Backbone,
    model: TextModel,
    splits: dict[str, EncodedSplit],
    batch_size: int,
    report: Report | None = None,
) -> tuple[dict[str, Vectors], str]:
    """Features of a frozen backbone for every split, computed once per backbone × data, and their fingerprint.

    Cached as safetensors under `folder`, named by a hash of the model, the tokens and the pooling: another
    label changes nothing.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file, save_file

    digest = hashlib.blake2b(digest_size=16)
    digest.update(f"{fingerprint(backbone.model)} {backbone.pooling}".encode())
    for name in sorted(splits):
        digest.update(name.encode() + splits[name].offsets.tobytes() + splits[name].ids.tobytes())
        if (types := splits[name].types) is not None:
            digest.update(types.tobytes())
    key = digest.hexdigest()
    path = folder / f"{key}.safetensors"
    if path.is_file():
        with contextlib.suppress(SafetensorError, OSError, KeyError):  # a damaged file is made again
            stored = load_file(path)
            return {
                name: Vectors(stored[f"{name}.pooled"], stored.get(f"{name}.mean", stored[f"{name}.pooled"]))
                for name in splits
            }, key
    vectors = {
        name: embed_split(model, split, backbone.tokenizer.pad_token_id, batch_size, report=report)
        for name, split in splits.items()
    }
    tensors = {f"{name}.pooled": v.pooled for name, v in vectors.items()}
    if backbone.pooling != "mean":
        tensors |= {f"{name}.mean": v.mean for name, v in vectors.items()}
    partial = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}.partial")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, partial)
        partial.replace(path)
    except Exception as error:
        if not is_disk_full(error):  # else they are made again the next time
            raise
    finally:
        partial.unlink(missing_ok=True)
    return vectors, key


def _in_order(rows: list[Tensor], order: list[NDArray[np.int64]]) -> NDArray[np.float32]:
    stacked = torch.cat(rows).cpu().numpy()
    result = np.empty_like(stacked)
    result[np.concatenate(order)] = stacked
    return result
