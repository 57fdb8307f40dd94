"""What each token stands for in a text, so that a person can read what is said of it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from runner.language.likelihood import Likelihood

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SHOWN_EXAMPLES = 50
"""First examples of a split whose tokens are recorded one by one."""
SHOWN_TOKENS = 256
"""First tokens of each."""
_HALF = "\ufffd"
"""What half a character looks like."""

Told = list[tuple[str, float | None]]


def pieces_of_tokens(tokenizer: "PreTrainedTokenizerBase", ids: Sequence[int]) -> tuple[str, ...]:
    """What each of the first `SHOWN_TOKENS` tokens adds to the text, blanks included; together they are the text.

    A token that ends within a character adds nothing: the next one has it whole. What a token looks like depends on
    those before it (blanks, joined pieces of words), so each is read behind the stretch that was read before.
    """
    found: list[str] = []
    begin = read = 0
    shown = [int(each) for each in ids[:SHOWN_TOKENS]]

    def text(first: int, last: int) -> str:
        return str(tokenizer.decode(shown[first:last], clean_up_tokenization_spaces=False))

    for end in range(1, len(shown) + 1):
        before, whole = text(begin, read), text(begin, end)
        if whole.endswith(_HALF) and end < len(shown):
            found.append("")
            continue
        found.append(whole[len(before) :])
        begin, read = read, end
    return tuple(found)


def told_of(
    pieces: Sequence[str], likelihood: Likelihood, offsets: NDArray[np.int64], row: int, first: int = 0
) -> Told:
    """The pieces of an example with -ln p in nats, None where nothing is said of one; from its token `first` on."""
    begin = int(offsets[row]) + first
    nats = -likelihood.log_probs[begin : int(offsets[row + 1])]
    return [
        (piece, None if np.isnan(value) else round(max(0.0, float(value)), 3))
        for piece, value in zip(pieces, nats.tolist(), strict=False)
    ]


def counts_of(n_tokens: int, n_bytes: int | None, told: Told | None) -> dict[str, Any]:
    """What is recorded of an example beside its loss: how much it was measured on, and its tokens one by one."""
    found: dict[str, Any] = {"n_tokens": int(n_tokens)}
    if n_bytes is not None:
        found["n_bytes"] = int(n_bytes)
    return found if told is None else {**found, "tokens": told}
