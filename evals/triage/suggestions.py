"""Which label an example should have, and how sure that is."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from evals.intervals import Floats, Ints
from evals.triage.channel import Channel, judge
from evals.triage.rows import blocks, check

Singles = npt.NDArray[np.float32]


class Suggestions(NamedTuple):
    """label (n,): the likeliest true label, which may be the given one: then keep it; -1 = no opinion. probability
    (n,): of that label. other (n,), other_probability (n,): the likeliest label but the given one. Probabilities are
    in [0, 1], nan = no opinion."""

    label: npt.NDArray[np.int64]
    probability: Singles
    other: npt.NDArray[np.int64]
    other_probability: Singles


def suggest(log_probs: Floats, given: Ints, channel: Channel) -> Suggestions:
    """Suggestions by the pooled opinion log_probs (n, n_classes), the given labels (n,) and how labels go wrong.

    The probability weighs the opinion against the label: log p(c | x) + log T(given | c). Without a label it is the
    opinion alone. With one class there is no other label: -1.

    >>> channel = Channel(np.array([[90.0, 10.0], [10.0, 90.0]]), 1.0)
    >>> suggested = suggest(np.log([[0.99, 0.01], [0.6, 0.4]]), np.array([1, 1]), channel)
    >>> suggested.label.tolist(), suggested.other.tolist(), suggested.probability.round(2)
    ([0, 1], [0, 0], array([0.91, 0.86], dtype=float32))
    """
    check(log_probs, given)
    n, n_classes = log_probs.shape
    label, other = np.full(n, -1, dtype=np.int64), np.full(n, -1, dtype=np.int64)
    probability, other_probability = (np.full(n, np.nan, dtype=np.float32) for _ in range(2))
    for part in blocks(n, n_classes):
        labels, rows = given[part], np.arange(part.stop - part.start)
        judged = judge(log_probs[part], labels, channel)[0]
        judged = np.where((labels < 0)[:, None], np.exp(log_probs[part]), judged)
        is_known = ~np.isnan(judged).any(axis=1)
        judged[~is_known] = 0
        best = judged.argmax(axis=1)
        label[part] = np.where(is_known, best, -1)
        probability[part] = np.where(is_known, judged[rows, best], np.nan)
        if n_classes > 1:
            has_label = labels >= 0
            judged[rows[has_label], labels[has_label]] = -1
            second = judged.argmax(axis=1)
            other[part] = np.where(is_known, second, -1)
            other_probability[part] = np.where(is_known, judged[rows, second], np.nan)
    return Suggestions(label, probability, other, other_probability)
