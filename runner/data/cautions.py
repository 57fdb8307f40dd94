"""What a person should know about data that can be used all the same."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from runner.data.problems import listed, quoted
from runner.data.scan import same_hashes
from runner.data.splits import LEFT_OUT, TRAIN
from runner.data.tables import SPLITS


def class_warnings(targets: NDArray[np.int32], splits: NDArray[np.int8], label_names: Sequence[str]) -> Iterator[str]:
    """What is thin about the classes of train, although one can train on it."""
    counts = np.bincount(targets[splits == TRAIN], minlength=len(label_names))
    if len(single := np.flatnonzero(counts == 1).tolist()):
        yield f"Labels with a single training example: {listed([quoted([label_names[i]]) for i in single])}."
    if len(absent := np.flatnonzero(counts == 0).tolist()):
        yield (
            f"Labels without a training example, which the model cannot learn: "
            f"{listed([quoted([label_names[i]]) for i in absent])}."
        )


def duplicate_warnings(ids: NDArray[np.uint8], targets: NDArray[np.int32], splits: NDArray[np.int8]) -> Iterator[str]:
    """How many rows repeat an earlier text, and how many texts are in train and held out at once."""
    used = splits != LEFT_OUT
    inverse = same_hashes(ids[used]).group
    counts = np.bincount(inverse)
    n_texts = len(counts)
    n_repeats = len(inverse) - n_texts
    if not n_repeats:
        return
    lowest, highest = (
        np.full(n_texts, np.iinfo(np.int32).max, dtype=np.int32),
        np.full(n_texts, -1, dtype=np.int32),
    )
    np.minimum.at(lowest, inverse, targets[used])
    np.maximum.at(highest, inverse, targets[used])
    in_split = np.zeros((len(SPLITS), n_texts), dtype=np.bool_)
    in_split[splits[used], inverse] = True
    n_crossing = int((in_split.sum(axis=0) > 1).sum())
    rows = "row repeats" if n_repeats == 1 else "rows repeat"
    yield (
        f"{n_repeats:,} {rows} the text of another; of the {int((counts > 1).sum()):,} texts concerned, "
        f"{int((lowest != highest).sum()):,} have different labels and {n_crossing:,} are in more than one split"
        + (", where a model can know them by heart." if n_crossing else ".")
    )
