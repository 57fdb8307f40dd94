"""Tokens: packed, padded by batch, cut and counted."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from runner.batches import FeatureCollator, TokenCollator, batches_by_length, to_device
from runner.encoding import (
    EncodedSplit,
    encode_split,
)
from store import Dataset, Store
from tests.store.builders import make_dataset


@pytest.fixture
def load(tokenizer: Path, bare_tokenizer: Path) -> Any:
    from transformers import AutoTokenizer

    def get(is_bare: bool = False) -> Any:
        made = AutoTokenizer.from_pretrained(bare_tokenizer if is_bare else tokenizer)
        made.pad_token = made.pad_token or made.eos_token
        return made

    return get


class SlowTokenizer:
    """A tokenizer in Python: gives ids, and says nothing of what it left out."""

    pad_token_id = 0
    model_input_names = ("input_ids", "attention_mask")

    def __call__(self, texts: list[str], *, truncation: bool, max_length: int, **_: Any) -> Any:
        from transformers import BatchEncoding

        assert truncation
        return BatchEncoding({"input_ids": [[*[1, *map(len, text.split())][: max_length - 1], 2] for text in texts]})


def made(store: Store, texts: list[str]) -> Dataset:
    return make_dataset(store, "texts", [(text, i % 2) for i, text in enumerate(texts)], split="train")


def ids_of(split: EncodedSplit, i: int) -> list[int]:
    return list(split.ids[split.offsets[i] : split.offsets[i + 1]])


def test_tokens_end_to_end_with_their_labels(store: Store, load: Any) -> None:
    texts = ["the ball", "bread and soup", "moon"]
    tokenizer = load()
    split = encode_split(store, made(store, texts), "train", tokenizer, 8)
    assert [ids_of(split, i) for i in range(3)] == [tokenizer(text)["input_ids"] for text in texts]
    assert split.lengths.tolist() == [4, 5, 3]
    assert (split.n_tokens, len(split), split.n_truncated) == (12, 3, 0)
    assert split.labels.tolist() == [0, 1, 0]
    assert split.ids.dtype == np.int32


@pytest.mark.parametrize("n_words", [6, 7, 30])
def test_cut_texts_are_counted_exactly(store: Store, load: Any, n_words: int) -> None:
    texts = [" ".join(["the"] * n_words), "ball " * 6, "goal"]  # 6 words and two special tokens fill 8
    split = encode_split(store, made(store, texts), "train", load(), 8)
    assert split.n_truncated == (n_words > 6)
    assert split.lengths.tolist() == [8, 8, 3]
    assert ids_of(split, 0)[-1] == load().sep_token_id


@pytest.mark.parametrize("n_words", [6, 7, 30])
def test_cut_texts_are_counted_where_the_tokenizer_does_not_say(store: Store, n_words: int) -> None:
    texts = ["a " * n_words, "b " * 6, "c"]
    split = encode_split(store, made(store, texts), "train", SlowTokenizer(), 8)  # type: ignore[arg-type]  # stands for one
    assert split.n_truncated == (n_words > 6)
    assert split.lengths.tolist() == [8, 8, 3]


def test_a_text_of_100_kb_is_cut_and_counted(store: Store, load: Any) -> None:
    split = encode_split(store, made(store, ["star moon " * 10_000, "star"]), "train", load(), 8)
    assert (split.lengths.tolist(), split.n_truncated) == ([8, 3], 1)


def test_a_text_with_few_tokens_in_many_characters_is_not_cut(store: Store, load: Any) -> None:
    text = "x" * 3000 + " ball"  # a word that the tokenizer does not know is one token
    split = encode_split(store, made(store, [text, "goal"]), "train", load(), 16)
    assert ids_of(split, 0) == load()(text)["input_ids"]
    assert split.lengths[0] == 4
    assert split.n_truncated == 0


def test_a_text_without_any_token_becomes_one_pad_token(store: Store, load: Any) -> None:
    tokenizer = load(is_bare=True)
    split = encode_split(store, made(store, ["⁂ ⁂", "ball"]), "train", tokenizer, 8)
    assert ids_of(split, 0) == [tokenizer.pad_token_id]


def test_progress_counts_texts(store: Store, load: Any) -> None:
    calls: list[tuple[str, int]] = []
    encode_split(store, made(store, ["ball", "goal"]), "train", load(), 8, lambda *call: calls.append(call))
    assert calls[-1] == ("tokenising train", 2)


SPLIT = EncodedSplit(
    np.array([5, 6, 7, 8, 9, 10], dtype=np.int32), np.array([0, 1, 4, 6]), np.array([2, 0, 1], dtype=np.int64), 0
)


@pytest.mark.parametrize(("pad_left", "ids"), [(False, [[9, 10, 0], [6, 7, 8]]), (True, [[0, 9, 10], [6, 7, 8]])])
def test_a_batch_is_padded_to_its_longest_text(pad_left: bool, ids: list[list[int]]) -> None:
    collate = TokenCollator(SPLIT, 0, pad_left)
    batch = collate([2, 1])
    assert batch["input_ids"].tolist() == ids
    assert batch["attention_mask"].tolist() == [[int(i > 0) for i in row] for row in ids]
    assert (batch["labels"].tolist(), batch["positions"].tolist()) == ([1, 0], [2, 1])
    assert [(size.n_examples, size.n_tokens, size.positions.tolist()) for size in collate.sizes] == [(2, 5, [2, 1])]


def test_cached_features_are_taken_by_position() -> None:
    features = torch.arange(6.0).reshape(3, 2)
    batch = FeatureCollator(features, SPLIT)([2, 0])
    assert batch["features"].tolist() == [[4.0, 5.0], [0.0, 1.0]]
    assert (batch["labels"].tolist(), batch["positions"].tolist()) == ([1, 2], [2, 0])


def test_batches_by_length_begin_with_the_longest() -> None:
    batches = batches_by_length(np.array([1, 9, 3, 9, 2]), 2)
    assert [batch.tolist() for batch in batches] == [[1, 3], [2, 4], [0]]


def test_to_device_moves_every_tensor() -> None:
    assert all(t.device.type == "meta" for t in to_device(TokenCollator(SPLIT, 0)([0]), "meta").values())
