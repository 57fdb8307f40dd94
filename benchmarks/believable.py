"""Invented data with the structure of real data: texts by class, wrong labels, hard examples that models share.

Pure functions of a seed. `make_store` puts what they give into a store.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LABELS = ("billing", "delivery", "login", "outage", "praise", "refund", "security", "upgrade")
_OWN = {
    "billing": "invoice charged twice amount statement card monthly fee tax receipt overdue payment balance total",
    "delivery": "parcel courier late tracking doorstep box shipped address damaged waiting arrived missing depot",
    "login": "password reset locked username code expired two-factor browser session email verify account forgot link",
    "outage": "down offline error 503 timeout region since morning status slow unreachable again dashboard api",
    "praise": "thanks brilliant helpful quick love friendly excellent smooth recommend great kind perfect best happy",
    "refund": "money back return cancel within days policy voucher credit rejected request partial processed order",
    "security": "phishing suspicious strange device breach leaked fraud unknown stolen alert report access alarm",
    "upgrade": "plan seats premium trial discount annual feature limit storage switch team downgrade quote price",
}
_NEAR = {"billing": "refund", "delivery": "refund", "login": "security", "outage": "login", "upgrade": "billing"}
_COMMON_WORDS = (
    "i you we they it the a my our your this that is was has have had do did not never always please could would "
    "when after before again still now today yesterday week hour support agent team app website page customer "
    "just only very really about with from for on in at and but because since until then so what how why"
)
_SHARE_WRONG = 0.03


@dataclass(frozen=True)
class Examples:
    """Texts of one split with what is true of them and what they are labelled.

    truth, given (n,): class indices; they differ for the wrong labels. difficulty (n, k): what every model finds
    confusing about an example, added to its logits.
    """

    texts: Sequence[str]
    truth: NDArray[np.int64]
    given: NDArray[np.int64]
    difficulty: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.texts)


def make_examples(n: int, seed: int, prefix: str) -> Examples:
    """`n` different texts of 6 to 24 words; `prefix` begins the ticket number that makes each unique."""
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.full(len(LABELS), 12.0))
    truth = rng.choice(len(LABELS), size=n, p=shares)
    lengths = rng.integers(6, 25, size=n)
    own, common = [_OWN[label].split() for label in LABELS], _COMMON_WORDS.split()
    clarity = rng.beta(2.5, 2.0, size=n)
    texts = []
    for i in range(n):
        draws = rng.random((int(lengths[i]), 2))
        mine = own[int(truth[i])]
        words = [
            mine[int(b * len(mine))] if a < 0.5 * clarity[i] else common[int(b * b * len(common))] for a, b in draws
        ]
        texts.append(f"{' '.join(words).capitalize()}. ({prefix}{i:06d})")
    given = truth.copy()
    wrong = rng.random(n) < _SHARE_WRONG
    given[wrong] = (truth[wrong] + rng.integers(1, len(LABELS), size=int(wrong.sum()))) % len(LABELS)
    difficulty = rng.normal(0, 0.9, size=(n, len(LABELS))) - 2.0 * (clarity[:, None] - 0.55) * (
        rng.random((n, 1)) < 0.5
    )
    for label, other in _NEAR.items():
        rows = truth == LABELS.index(label)
        difficulty[rows, LABELS.index(other)] += 1.4 * (1 - clarity[rows])
    return Examples(texts, truth, given, difficulty.astype(np.float32))


def model_logits(examples: Examples, skill: float, progress: float, seed: int) -> NDArray[np.float32]:
    """What a model says, (n, k): `skill` around 2 (weak) to 5 (strong), `progress` in [0, 1] from untrained to trained.

    A model's own mistakes keep their place from epoch to epoch: they come from `seed`, which is the run's.
    """
    rng = np.random.default_rng(seed)
    own = rng.standard_normal((len(examples), len(LABELS)), dtype=np.float32)
    logits = examples.difficulty * np.float32(0.3 + 0.7 * progress) + own * np.float32(0.5)
    logits[np.arange(len(examples)), examples.truth] += np.float32(skill * progress)
    return logits


def log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Log probabilities (n, k)."""
    centred = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(centred - np.log(np.exp(centred).sum(axis=1, keepdims=True)), dtype=np.float32)


def curves(n_steps: int, skill: float, learning_rate: float, seed: int) -> dict[str, NDArray[np.float64]]:
    """What a training logs at each step, (n_steps,) a metric: it falls, it is noisy, it has a spike now and then."""
    rng = np.random.default_rng(seed)
    share = np.arange(1, n_steps + 1) / n_steps
    floor, speed = 1.6 / skill, 1.5 * skill
    noise = np.exp(rng.normal(0, 0.08, n_steps)) + (rng.random(n_steps) < 0.002) * rng.exponential(1.0, n_steps)
    loss = (floor + (np.log(len(LABELS)) - floor) * np.exp(-speed * share)) * noise
    warm = np.minimum(1.0, share / 0.06)
    return {
        "train/loss": loss,
        "train/accuracy": np.clip(1 - 0.36 * loss + rng.normal(0, 0.01, n_steps), 0, 1),
        "train/learning_rate": learning_rate * warm * (1 - share),
        "train/grad_norm": np.abs(rng.gamma(4.0, 0.3, n_steps) * (0.4 + loss)),
        "train/tokens_per_second": rng.normal(8200, 300, n_steps),
    }
