"""Whole documents as tokens, for models that foretell text or fill gaps in it."""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from runner.encoding import NO_TARGET, EncodedSplit
from runner.language.pieces import pieces_of_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def encode_documents(
    batches: Iterable[Sequence[str]],
    tokenizer: "PreTrainedTokenizerBase",
    *,
    foretells: bool,
    ends: bool,
    n_pieces: int = 0,
) -> EncodedSplit:
    """All tokens of each text, however long it is; each token is its own target. `labels` (n,) are UTF-8 lengths.

    With `foretells` a token that opens a text stands before each, so that its first own token is foretold too; with
    `ends` also the one that says that it is over, which counts; the opening one does not. Of the first `n_pieces` texts
    it is said what each token stands for.
    """
    opening = [start_token(tokenizer)] if foretells and start_token(tokenizer) is not None else []
    closing = [tokenizer.eos_token_id] if ends and tokenizer.eos_token_id is not None else []
    ids: list[NDArray[np.int32]] = [np.zeros(0, dtype=np.int32)]
    targets = list(ids)
    lengths: list[int] = []
    n_bytes: list[int] = []
    pieces: list[tuple[str, ...]] = []
    for texts in batches:
        for text, own in zip(texts, plain_tokens(tokenizer, texts), strict=True):
            whole = [*opening, *own, *closing] or [tokenizer.pad_token_id]
            ids.append(np.array(whole, dtype=np.int32))
            targets.append(ids[-1].copy())
            targets[-1][: len(opening) if own or closing else 1] = NO_TARGET
            lengths.append(len(whole))
            n_bytes.append(len(text.encode()))
            if len(pieces) < n_pieces:
                pieces.append(("",) * len(opening) + pieces_of_tokens(tokenizer, whole[len(opening) :]))
    offsets = np.fromiter(chain([0], np.cumsum(lengths, dtype=np.int64)), dtype=np.int64, count=len(lengths) + 1)
    return EncodedSplit(
        np.concatenate(ids),
        offsets,
        np.array(n_bytes, dtype=np.int64),
        0,
        targets=np.concatenate(targets),
        pieces=tuple(pieces),
    )


def plain_tokens(tokenizer: "PreTrainedTokenizerBase", texts: Sequence[str]) -> list[list[int]]:
    """The tokens of texts as they stand, nothing put around them."""
    if not texts:
        return []
    found: list[list[int]] = tokenizer(
        list(texts), add_special_tokens=False, return_attention_mask=False, return_token_type_ids=False, verbose=False
    )["input_ids"]
    return found


def tokens_around(tokenizer: "PreTrainedTokenizerBase") -> tuple[list[int], list[int]]:
    """What the tokenizer puts before and after a text."""
    (own,) = plain_tokens(tokenizer, ["a"])
    whole: list[int] = tokenizer("a")["input_ids"]
    for at in range(len(whole) - len(own) + 1):
        if whole[at : at + len(own)] == own:
            return whole[:at], whole[at + len(own) :]
    return [], []


def start_token(tokenizer: "PreTrainedTokenizerBase") -> int | None:
    """What stands before a text: the token made for it, or the one that ends the text before."""
    opening: int | None = tokenizer.bos_token_id
    return opening if opening is not None else tokenizer.eos_token_id
