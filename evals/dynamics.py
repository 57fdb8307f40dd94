"""How the logits seen in training are packed, and what a stack of epochs says of each example.

The format
    A block holds one epoch of n examples: (n, width) little-endian 16-bit words, `row_bytes` = 2 * width a
    row. Logits are *centred* first, in float32: the row's largest logit is subtracted (softmax and margins
    do not feel a shift), so every centred logit is <= 0 and the top one is exactly 0. Then they are clipped
    to >= -65504 and rounded to float16, to nearest even.

    Dense, n_classes <= DENSE_CLASSES (32): width = n_classes, word c is class c's centred logit.
    Top, above (up to 65,536 classes): width = 18, with float16 words but for the last eight:
        words 0-7     the 8 largest centred logits, descending (so word 0 is 0)
        word 8        the given label's centred logit; nan when there is no label
        word 9        log-sum-exp L of all centred logits, in [0, log n_classes]
        words 10-17   uint16 class index of each of the 8; equal logits in any order
    A row is unseen when its word 0 is nan. A writer sets every word of it to NAN_WORD (0x7e00, also the class
    words); so it does for logits with a nan or +inf, or all -inf: such a row was not measured.

What is lost
    Let d >= 0 be the negated centred logits and d' what is stored. Centring in float32 and rounding to
    float16 give |d' - d| <= u d + eta with u = 2^-11 + 2^-23 (both roundings) and eta = 2^-25 (half the
    smallest float16 step). Clipped classes have p = exp(-65504) = 0 before and after. Walk from d to d' on
    the straight line d(t) = d + t (d' - d): d(t) >= 0, and |d' - d| <= (u d(t) + eta) / (1 - u) at every t,
    so a bound on the slope that uses d(t) alone bounds the whole walk; nothing of second order is dropped.

    Dense. p_i = exp(-d_i) / sum_j exp(-d_j), renormalised on reading, with slope p_i (-e_i + sum_j p_j e_j),
    e = d' - d. p_i d_i <= d_i exp(-d_i) <= 1/e, and sum_j p_j d_j = entropy - L <= log k. Hence
        |p' - p| <= [u (1/e + log k) + 2 eta] / (1 - u).
    Top. p = exp(-(d + L)), both rounded: the slope is at most p (u (d + L) + 2 eta), and with s = d + L =
    -log p, p s <= 1/e. No renormalisation, so no term in k:
        |p' - p| <= [u / e + 2 eta] / (1 - u).
    Writer and reader compute in float32, which adds less than 2^-18. `probability_error` returns the sum:
    0.0019 at 32 classes, 0.00019 for the top form. A logit margin (one rounded number, the other being 0, or
    the second logit alone) keeps |margin' - margin| <= u |margin| + eta; a probability margin twice the
    bound of p.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from evals.intervals import Floats, Ints

DENSE_CLASSES = 32
TOP = 8
NAN_WORD = 0x7E00
MAX_CLASSES = 1 << 16
_FLOAT16_MAX = 65504.0
_WORD, _HALF = np.dtype("<u2"), np.dtype("<f2")

Words = npt.NDArray[np.uint16]
Singles = npt.NDArray[np.float32]


class Top(NamedTuple):
    """The largest centred logits (n, t), descending, and their classes (n, t), -1 where not seen."""

    logits: Singles
    classes: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Dynamics:
    """What the model said of n training examples in one epoch; nan (class -1) where it was not seen.

    given_logit (n,): the given label's centred logit. second_logit (n,): the second largest of the row.
    log_sum_exp (n,): of all centred logits. logits (n, n_classes), dense form only; packed_top, top form only.
    Everything else is computed when it is first asked for.
    """

    given_logit: Singles
    second_logit: Singles
    log_sum_exp: Singles
    logits: Singles | None
    packed_top: Top | None

    @cached_property
    def p_given(self) -> Singles:
        """Probability of the given label (n,), in [0, 1]; nan without a label."""
        return np.asarray(np.exp(self.given_logit - self.log_sum_exp))

    @cached_property
    def top(self) -> Top:
        """The t = min(8, n_classes) largest logits and their classes."""
        if self.packed_top is not None:
            return self.packed_top
        assert self.logits is not None, "decode() sets one of logits and packed_top"
        order = np.argsort(-self.logits, axis=1, kind="stable")[:, :TOP]
        is_seen = ~np.isnan(self.logits[:, :1])
        return Top(np.take_along_axis(self.logits, order, axis=1), np.where(is_seen, order, -1))

    @property
    def top_classes(self) -> npt.NDArray[np.int64]:
        """Most probable classes (n, t), descending; the first is the prediction."""
        return self.top.classes

    @cached_property
    def p_top(self) -> Singles:
        """Probabilities of the top classes (n, t), descending, in [0, 1]."""
        return np.asarray(np.exp(self.top.logits - self.log_sum_exp[:, None]))

    @cached_property
    def log_probs(self) -> Singles | None:
        """Natural log of every probability (n, n_classes); None in the top form, which does not hold them."""
        return None if self.logits is None else self.logits - self.log_sum_exp[:, None]

    @cached_property
    def other_logit(self) -> Singles:
        """Largest centred logit of any class but the given one (n,): the second if the given label is top.

        A given logit of 0 is the top one or ties with it, and then the second is 0 too: no class index needed.
        """
        other = np.where(self.given_logit < 0, np.float32(0), self.second_logit)
        return np.where(np.isnan(self.given_logit), np.float32(np.nan), other)

    @cached_property
    def margin_logit(self) -> Singles:
        """Given logit minus the largest other (n,); above 0 = the model agrees with the label."""
        return self.given_logit - self.other_logit

    @cached_property
    def margin_probability(self) -> Singles:
        """Probability of the given label minus the largest other (n,), in [-1, 1]."""
        return np.asarray(self.p_given - np.exp(self.other_logit - self.log_sum_exp))


class Forgetting(NamedTuple):
    """n_forgotten (n,): times right was followed by wrong, nan if never seen; is_learned (n,): ever right."""

    n_forgotten: npt.NDArray[np.float64]
    is_learned: npt.NDArray[np.bool_]


def row_bytes(n_classes: int) -> int:
    """Bytes of one example in one epoch; ValueError unless n_classes is in 2..65536.

    >>> row_bytes(3), row_bytes(77)
    (6, 36)
    """
    if not 2 <= n_classes <= MAX_CLASSES:
        raise ValueError(f"n_classes = {n_classes}; allowed: 2 to {MAX_CLASSES}")
    return 2 * (n_classes if n_classes <= DENSE_CLASSES else 2 * TOP + 2)


def probability_error(n_classes: int) -> float:
    """Largest error of a decoded probability, as derived above.

    >>> round(probability_error(3), 5), round(probability_error(77), 5)
    (0.00072, 0.00018)
    """
    u, eta, arithmetic = 2**-11 + 2**-23, 2**-25, 2**-18
    spread = float(np.log(n_classes)) if n_classes <= DENSE_CLASSES else 0.0
    return (u * (float(np.exp(-1)) + spread) + 2 * eta) / (1 - u) + arithmetic


def unseen(n: int, n_classes: int) -> Words:
    """A block of n examples that were not seen, (n, width): what a writer starts an epoch from.

    >>> bool(np.isnan(decode(unseen(2, 3), 3, np.array([0, 1])).p_given).all())
    True
    """
    return np.full((n, row_bytes(n_classes) // 2), NAN_WORD, dtype=_WORD)


def encode(logits: Floats, given: Ints) -> Words:
    """Pack logits (n, n_classes) and given labels (n,) (-1 = none) into a block (n, width) of 16-bit words.

    >>> encode(np.array([[1.0, 3.0]], dtype=np.float32), np.array([0])).view("<f2").tolist()
    [[-2.0, 0.0]]
    """
    _check_given(given, logits.shape[0], logits.shape[1])
    n, n_classes = logits.shape
    block = unseen(n, n_classes)
    with np.errstate(invalid="ignore", over="ignore"):
        highest = _row_max(logits)
        centred = (logits - highest[:, None]).astype(np.float32, copy=False)
        is_measured = np.isfinite(highest)  # max is nan for a row with nan, infinite for +inf or all -inf
    np.maximum(centred, np.float32(-_FLOAT16_MAX), out=centred)
    if n_classes <= DENSE_CLASSES:
        if is_measured.all():  # nearly always: spares two copies of everything
            return _words(centred)
        block[is_measured] = _words(centred[is_measured])
        return block
    centred, rows = centred[is_measured], np.arange(int(is_measured.sum()))
    labels = given[is_measured]
    top = np.sort(np.argpartition(centred, n_classes - TOP, axis=1)[:, -TOP:], axis=1)
    order = np.argsort(-np.take_along_axis(centred, top, axis=1), axis=1, kind="stable")
    top = np.take_along_axis(top, order, axis=1)
    log_sum_exp = np.log(np.exp(centred).sum(axis=1, dtype=np.float64)).astype(np.float32)
    given_logit = np.where(labels >= 0, centred[rows, labels], np.float32(np.nan))
    floats = np.column_stack([np.take_along_axis(centred, top, axis=1), given_logit, log_sum_exp])
    block[is_measured] = np.column_stack([_words(floats), top.astype(_WORD)])
    return block


def decode(block: npt.NDArray[Any], n_classes: int, given: Ints | None = None) -> Dynamics:
    """Unpack a block (n, width) of 16-bit words, or of float16 for dense ones; ValueError for another shape.

    given: the labels that training saw (n,), -1 = none. Dense blocks hold no label and need it; top blocks
    carry the given label's logit themselves and do not read it.

    >>> block = encode(np.array([[0.0, 2.0, 1.0]]), np.array([1]))
    >>> dynamics = decode(block, 3, np.array([1]))
    >>> dynamics.margin_logit.tolist(), dynamics.top_classes.tolist(), dynamics.p_given.round(3).tolist()
    ([1.0], [[1, 2, 0]], [0.6650000214576721])
    """
    width = row_bytes(n_classes) // 2
    if block.ndim != 2 or block.shape[1] != width or block.dtype.itemsize != 2:
        raise ValueError(
            f"block has shape {block.shape}, type {block.dtype}; needed: (n, {width}) 16-bit words "
            f"for {n_classes} classes"
        )
    words = np.ascontiguousarray(block).view(_WORD)
    if n_classes <= DENSE_CLASSES:
        if given is None:
            raise ValueError("given is missing: blocks of up to 32 classes hold no labels; pass those of training")
        _check_given(given, len(block), n_classes)
        return _decode_dense(words, given)
    floats = np.ascontiguousarray(words[:, : TOP + 2]).view(_HALF).astype(np.float32)
    is_seen = ~np.isnan(floats[:, :1])
    top = Top(floats[:, :TOP], np.where(is_seen, words[:, TOP + 2 :].astype(np.int64), -1))
    return Dynamics(floats[:, TOP], floats[:, 1], floats[:, TOP + 1], None, top)


def area_under_margin(margins: Floats) -> npt.NDArray[np.float64]:
    """Mean logit margin over the epochs an example was seen: (epochs, n) -> (n,).

    Low or negative = suspect label. nan = not seen; never seen gives nan.
    Source: Pleiss et al., Identifying Mislabeled Data using the Area Under the Margin Ranking (2020).

    >>> area_under_margin(np.array([[1.0, -2.0, np.nan], [3.0, np.nan, np.nan]])).tolist()
    [2.0, -2.0, nan]
    """
    return _mean_over_epochs(margins)


def confidence(p_given: Floats) -> npt.NDArray[np.float64]:
    """Mean probability of the given label over the epochs seen: (epochs, n) -> (n,) in [0, 1].

    Low = hard or mislabelled. Source: Swayamdipta et al., Dataset Cartography (2020), section 2.

    >>> confidence(np.array([[0.25, np.nan], [0.75, np.nan]])).tolist()
    [0.5, nan]
    """
    return _mean_over_epochs(p_given)


def variability(p_given: Floats) -> npt.NDArray[np.float64]:
    """Standard deviation of the given label's probability over epochs: (epochs, n) -> (n,) in [0, 0.5].

    High = ambiguous. Divides by the number of epochs seen, as Swayamdipta et al. (2020) do; seen once gives
    0.

    >>> variability(np.array([[0.25, np.nan], [0.75, np.nan]])).tolist()
    [0.25, nan]
    """
    return np.sqrt(_mean_over_epochs((p_given - _mean_over_epochs(p_given)) ** 2))


def correctness(margins: Floats) -> npt.NDArray[np.float64]:
    """Share of the epochs seen in which the model agreed with the label (margin > 0): (epochs, n) -> (n,).

    A margin of exactly 0 is a tie and no agreement. Source: Swayamdipta et al. (2020), section 2.

    >>> correctness(np.array([[1.0, -1.0, np.nan], [np.nan, 1.0, np.nan]])).tolist()
    [1.0, 0.5, nan]
    """
    return _mean_over_epochs(np.where(np.isnan(margins), np.nan, margins > 0))


def forgetting_events(margins: Floats) -> Forgetting:
    """How often an example was right (margin > 0) and wrong when seen next: margins (epochs, n).

    Rows in order of epochs; those in which it was not seen are passed over. An example that is never right has
    nothing to forget: read n_forgotten together with is_learned.
    Source: Toneva et al., An Empirical Study of Example Forgetting (2019).

    >>> forgetting_events(np.array([[1.0, -1.0], [np.nan, -1.0], [-1.0, -1.0]]))
    Forgetting(n_forgotten=array([1., 0.]), is_learned=array([ True, False]))
    """
    was_right = np.zeros(margins.shape[1], dtype=bool)
    is_learned = was_right.copy()
    n_forgotten = np.zeros(margins.shape[1])
    for margin in margins:
        is_seen, is_right = ~np.isnan(margin), margin > 0
        n_forgotten += is_seen & was_right & ~is_right
        is_learned |= is_right
        was_right = np.where(is_seen, is_right, was_right)
    return Forgetting(np.where(np.isnan(margins).all(axis=0), np.nan, n_forgotten), is_learned)


def _decode_dense(words: Words, given: Ints) -> Dynamics:
    # Column-major: the loops over the few classes then run along the examples, many times faster.
    logits = words.view(_HALF).astype(np.float32, order="F")
    first = second = np.full(len(logits), -np.inf, dtype=np.float32)
    total = np.zeros(len(logits), dtype=np.float32)
    for column in logits.T:
        second = np.maximum(second, np.minimum(first, column))
        first = np.maximum(first, column)
        total += np.exp(column)
    given_logit = np.where(given >= 0, logits[np.arange(len(logits)), given], np.float32(np.nan))
    return Dynamics(given_logit, second, np.log(total), logits, None)


def _row_max(logits: Floats) -> Floats:
    """Largest logit of each row (n,), nan where the row holds one. By columns: 20 times faster for few classes."""
    if logits.shape[1] > DENSE_CLASSES:
        return np.asarray(logits.max(axis=1, initial=-np.inf))
    highest: Floats = np.full(len(logits), -np.inf, dtype=logits.dtype)
    for column in logits.T:
        np.maximum(highest, column, out=highest)
    return highest


def _words(values: Singles) -> Words:
    return np.ascontiguousarray(values.astype(_HALF)).view(_WORD)


def _mean_over_epochs(values: Floats) -> npt.NDArray[np.float64]:
    """Mean along the first axis without nan; nan where there is nothing else."""
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        total = np.where(known, values, 0).sum(axis=0, dtype=np.float64)
        return np.asarray(total / known.sum(axis=0), dtype=np.float64)


def _check_given(given: Ints, n: int, n_classes: int) -> None:
    if given.shape != (n,):
        raise ValueError(f"given has shape {given.shape}; needed: one label a row, ({n},)")
    if n and not -1 <= given.min() <= given.max() < n_classes:
        raise ValueError(f"given holds {given.min()} to {given.max()}; allowed: -1 (no label) to {n_classes - 1}")
