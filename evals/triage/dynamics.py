"""What one training run says of each training example for free, epoch by epoch: scores, and risks from them.

The scores are in-sample: the model was trained on the very labels it is asked about. They are taken over the epochs in
which an example was seen; n_seen = 0 leaves every score nan. Epochs come one at a time, as the store hands them out, so
a million examples need a dozen numbers each, not an epoch's logits each.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from evals.dynamics import Dynamics
from evals.intervals import Floats, Ints

Numbers = npt.NDArray[np.float64]


class TrainingScores(NamedTuple):
    """What the epochs say of n examples, each column (n,); nan where an example was never seen or has no label.

    area_under_margin: mean over epochs of z_given - max z_other, in logits; low or negative = suspect (Pleiss et al.,
        Identifying Mislabeled Data using the Area Under the Margin Ranking, NeurIPS 2020).
    error_potential: 1 - mean over epochs of ((p_given - max p_other) + 1) / 2, in [0, 1]; high = the model kept
        preferring another label ("data error potential" of Galileo's console).
    confidence: mean p_given, in [0, 1]; low = hard or mislabelled. variability: its standard deviation over epochs, in
        [0, 0.5]; high = ambiguous. correctness: share of the epochs in which the label won (a tie is no win), in
        [0, 1] (Swayamdipta et al., Dataset Cartography, EMNLP 2020, section 2).
    n_forgotten: times a win was followed by a loss; n_learned: epochs won, 0 = never learned and nothing to forget
        (Toneva et al., An Empirical Study of Example Forgetting, ICLR 2019).
    last_loss: -log p_given in the last epoch seen, nats, >= 0. n_seen: epochs seen with a label.
    """

    area_under_margin: Numbers
    error_potential: Numbers
    confidence: Numbers
    variability: Numbers
    correctness: Numbers
    n_forgotten: Numbers
    n_learned: Numbers
    last_loss: Numbers
    n_seen: npt.NDArray[np.int64]


def from_logits(logits: Floats, given: Ints) -> Dynamics:
    """One epoch of plain logits (n, n_classes), given (n,), -1 = none: as the stored form, without its rounding.

    A row with nan was not seen.

    >>> from_logits(np.array([[0.0, 2.0, 1.0]]), np.array([1])).margin_logit.tolist()
    [1.0]
    """
    n, n_classes = logits.shape
    if given.shape != (n,) or (n and not -1 <= given.min() <= given.max() < n_classes):
        raise ValueError(f"given must hold one class a row, -1 (no label) to {n_classes - 1}: got {given.shape}")
    with np.errstate(invalid="ignore"):
        centred = (logits - logits.max(axis=1, initial=-np.inf, keepdims=True)).astype(np.float32)
    centred[~np.isfinite(logits.max(axis=1, initial=-np.inf))] = np.nan
    second = (
        np.partition(centred, n_classes - 2, axis=1)[:, n_classes - 2]
        if n_classes > 1
        else np.where(np.isnan(centred[:, 0]), np.float32(np.nan), np.float32(-np.inf))
    )
    second = np.where(np.isnan(centred[:, 0]), np.float32(np.nan), second)
    given_logit = np.where(given >= 0, centred[np.arange(n), given], np.float32(np.nan))
    return Dynamics(given_logit, second, np.log(np.exp(centred).sum(axis=1)), centred, None)


def summarise(epochs: Iterable[Dynamics]) -> TrainingScores:
    """The scores of a run from its epochs in order, each of the same n examples; no epoch at all is n = 0.

    `evals.dynamics.decode` makes an epoch from what the store holds, `from_logits` from plain logits.

    >>> logits, given = np.array([[[2.0, 0.0]], [[0.0, 1.0]]]), np.array([1])
    >>> scores = summarise(from_logits(epoch, given) for epoch in logits)
    >>> scores.area_under_margin.tolist(), scores.correctness.tolist(), scores.n_forgotten.tolist()
    ([-0.5], [0.5], [0.0])
    """
    totals: _Totals | None = None
    for epoch in epochs:
        totals = totals or _Totals(len(epoch.given_logit))
        totals.add(epoch)
    return (totals or _Totals(0)).scores()


def risks(scores: TrainingScores) -> pd.DataFrame:
    """The scores as risks in [0, 1], a row an example, higher = look here first, nan = never seen.

    area_under_margin: 1 / (1 + exp(AUM)), what a softmax of two classes at the mean margin gives the strongest other
    label. error_potential: as it is. confidence, correctness: 1 - score. last_loss: 1 - p_given in the last epoch.
    forgetting: 1 for the never learned, else times forgotten over one more than is possible, so always below 1.
    variability: twice the score; high means ambiguous, not wrong, and it ranks wrong labels worse than chance does.

    >>> epoch = from_logits(np.array([[3.0, 0.0], [0.0, 3.0]]), np.array([0, 0]))
    >>> risks(summarise([epoch]))["confidence"].round(2).tolist()
    [0.05, 0.95]
    """
    is_known = scores.n_seen > 0
    with np.errstate(over="ignore"):
        margin_risk = 1 / (1 + np.exp(scores.area_under_margin))
    forgetting = np.where(scores.n_learned > 0, scores.n_forgotten / (scores.n_seen // 2 + 1), 1.0)
    return pd.DataFrame(
        {
            "area_under_margin": margin_risk,
            "error_potential": scores.error_potential,
            "confidence": 1 - scores.confidence,
            "correctness": 1 - scores.correctness,
            "forgetting": np.where(is_known, forgetting, np.nan),
            "last_loss": -np.expm1(-scores.last_loss),
            "variability": 2 * scores.variability,
        }
    )


class _Totals:
    """Running sums over the epochs, each (n,)."""

    def __init__(self, n: int) -> None:
        self.n_seen = np.zeros(n, dtype=np.int64)
        self.margin, self.potential, self.p, self.p_squared = (np.zeros(n) for _ in range(4))
        self.n_right, self.n_forgotten = np.zeros(n), np.zeros(n)
        self.last_loss = np.full(n, np.nan)
        self.was_right = np.zeros(n, dtype=bool)

    def add(self, epoch: Dynamics) -> None:
        margin, p = epoch.margin_logit, epoch.p_given.astype(np.float64)
        if margin.shape != self.n_seen.shape:
            raise ValueError(
                f"an epoch holds {len(margin)} examples, the one before {len(self.n_seen)}; needed: the same"
            )
        is_seen, is_right = ~np.isnan(margin), margin > 0
        self.n_seen += is_seen
        self.margin += np.where(is_seen, margin, 0)
        self.potential += np.where(is_seen, (1 - epoch.margin_probability.astype(np.float64)) / 2, 0)
        self.p += np.where(is_seen, p, 0)
        self.p_squared += np.where(is_seen, p**2, 0)
        self.n_right += is_right
        self.n_forgotten += is_seen & self.was_right & ~is_right
        self.was_right = np.where(is_seen, is_right, self.was_right)
        loss = np.maximum(epoch.log_sum_exp - epoch.given_logit, 0)
        self.last_loss = np.where(is_seen, loss, self.last_loss)

    def scores(self) -> TrainingScores:
        known = np.where(self.n_seen > 0, self.n_seen, np.nan)
        confidence = self.p / known
        return TrainingScores(
            area_under_margin=self.margin / known,
            error_potential=np.clip(self.potential / known, 0, 1),
            confidence=np.clip(confidence, 0, 1),
            variability=np.sqrt(np.maximum(self.p_squared / known - confidence**2, 0)),
            correctness=self.n_right / known,
            n_forgotten=np.where(self.n_seen > 0, self.n_forgotten, np.nan),
            n_learned=np.where(self.n_seen > 0, self.n_right, np.nan),
            last_loss=self.last_loss,
            n_seen=self.n_seen,
        )
