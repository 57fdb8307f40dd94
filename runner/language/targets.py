"""How likely a model finds every token that it was to learn, with what stands before it and without."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from runner.encoding import NO_TARGET, EncodedSplit
from runner.language.likelihood import Likelihood
from store import TargetTokens

Ints = NDArray[np.int64]


def target_tokens(split: EncodedSplit, found: Likelihood, alone: Likelihood | None) -> TargetTokens:
    """What was found of the targets only, end to end. `found` and `alone` are of all tokens of the split; `alone` knows
    nothing (nan) of answers before an example's last."""
    assert split.targets is not None
    return compact(split.offsets, split.targets != NO_TARGET, found, alone)


def compact(offsets: Ints, counted: NDArray[np.bool_], found: Likelihood, alone: Likelihood | None) -> TargetTokens:
    """The counted ones (t,) of all tokens; offsets (n + 1,) of all."""
    ends = np.concatenate([[0], np.cumsum(counted)]).astype(np.int64)
    return TargetTokens(
        ends[offsets],
        found.log_probs[counted].astype(np.float16),
        found.best_other[counted].astype(np.float16),
        None if alone is None else alone.log_probs[counted].astype(np.float16),
    )


def without_prompts(split: EncodedSplit, opening: int | None) -> tuple[EncodedSplit, Ints]:
    """The last answers alone, each after the token that opens a text; and where their tokens stand in the split."""
    assert split.n_before is not None
    assert split.targets is not None
    starts = split.offsets[:-1] + split.n_before
    lengths = split.offsets[1:] - starts
    places = np.arange(split.n_tokens)
    own = places >= np.repeat(starts, split.lengths)
    if opening is None:
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        alone = replace(split, ids=split.ids[own], targets=split.targets[own], offsets=offsets, n_before=None)
        return alone, places[own]
    offsets = np.concatenate([[0], np.cumsum(lengths + 1)]).astype(np.int64)
    is_opening = np.zeros(int(offsets[-1]), dtype=np.bool_)
    is_opening[offsets[:-1]] = True
    ids, targets = (np.full(len(is_opening), filler, dtype=np.int32) for filler in (opening, NO_TARGET))
    ids[~is_opening], targets[~is_opening] = split.ids[own], split.targets[own]
    stands = np.full(len(is_opening), -1, dtype=np.int64)
    stands[~is_opening] = places[own]
    return replace(split, ids=ids, targets=targets, offsets=offsets, n_before=None), stands
