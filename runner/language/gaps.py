"""Gaps in texts: tokens that are hidden, to be found again."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from runner.encoding import NO_TARGET, EncodedSplit
from runner.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

EVALUATED_SHARE = 0.15
"""Of the tokens that evaluations hide, whatever training hides: so that runs can be compared."""


def mask_token(tokenizer: "PreTrainedTokenizerBase") -> int:
    """What hides a token. Raises ModelError where the tokenizer has no such token."""
    if tokenizer.mask_token_id is None:
        raise ModelError(
            'this tokenizer has no mask token, so there is nothing to hide a token behind: task = "causal-lm" goes on '
            "with a decoder's training; masked-lm needs an encoder such as BERT."
        )
    return int(tokenizer.mask_token_id)


def with_fixed_gaps(split: EncodedSplit, tokenizer: "PreTrainedTokenizerBase") -> EncodedSplit:
    """The split with EVALUATED_SHARE of each text's tokens hidden, one at least: the same ones every time."""
    assert split.targets is not None
    candidates = split.targets != NO_TARGET
    draws = np.random.RandomState(0).random_sample(split.n_tokens)
    owners = np.repeat(np.arange(len(split)), split.lengths)
    order = np.lexsort((draws, ~candidates, owners))  # of each text its candidates, in the order of their draws
    rank = np.empty(split.n_tokens, dtype=np.int64)
    rank[order] = np.arange(split.n_tokens) - np.repeat(split.offsets[:-1], split.lengths)
    count = np.bincount(owners[candidates], minlength=len(split))
    wanted = np.maximum(1, np.round(EVALUATED_SHARE * count))
    is_hidden = candidates & (rank < wanted[owners])
    return replace(
        split,
        ids=np.where(is_hidden, np.int32(mask_token(tokenizer)), split.ids),
        targets=np.where(is_hidden, split.targets, np.int32(NO_TARGET)),
    )
