"""How well a language model foresees text: loss a token, perplexity, bits a byte.

Each from sums over the tokens of an example: nats (n,), -ln p of its tokens; n_tokens (n,), how many these are;
n_bytes (n,), the UTF-8 length of the text that they stand for. The value is a ratio of totals, so that long examples
count by their length: loss = Σ nats / Σ tokens; perplexity = e^loss; bits per byte = Σ nats / (ln 2 · Σ bytes), the one
of the three that models with different tokenizers can be compared by. Source: Gao et al., The Pile (2020),
arXiv:2101.00027, section 3.1, for bits per byte. The intervals are bootstraps over examples.
"""

import numpy as np

from evals.intervals import Floats, Ints
from evals.metrics import Score
from evals.resampling import resampled_sums


def score_loss(nats: Floats, counts: Ints | Floats, *, n_boot: int = 1000, seed: int = 0) -> Score:
    """Mean loss, of any task whose examples have several predictions each: nats (n,) / counts (n,).

    Examples with a count of 0 have no loss and are left out; one nan makes the loss nan.

    >>> score_loss(np.array([2.0, 1.0, 0.0]), np.array([2, 4, 0]), n_boot=0)
    Score(metric='loss', value=0.5, low=nan, high=nan, n=2)
    """
    return score_language(nats, counts, n_boot=n_boot, seed=seed)[0]


def score_language(
    nats: Floats,
    n_tokens: Ints | Floats,
    n_bytes: Ints | Floats | None = None,
    *,
    n_boot: int = 1000,
    seed: int = 0,
) -> tuple[Score, ...]:
    """Loss, perplexity and, with `n_bytes`, bits per byte: one Score each, over the examples that have a token.

    One nan in `nats` makes every value nan, an infinite one infinite without interval. ValueError for shapes that
    differ and for counts below 0.

    >>> scores = score_language(np.array([6.931, 6.931]), np.array([5, 5]), np.array([20, 20]), n_boot=0)
    >>> [(score.metric, round(score.value, 3)) for score in scores]
    [('loss', 1.386), ('perplexity', 4.0), ('bits_per_byte', 0.5)]
    """
    columns = {"nats": nats, "n_tokens": n_tokens, **({} if n_bytes is None else {"n_bytes": n_bytes})}
    problems = [f"{name} has shape {column.shape}" for name, column in columns.items() if column.shape != (len(nats),)]
    problems += [f"{name} holds {np.nanmin(column)}" for name, column in columns.items() if (column < 0).any()]
    if problems:
        raise ValueError(f"{'; '.join(problems)}; needed: {', '.join(columns)}, each ({len(nats)},) and 0 or above")
    given = np.stack([np.asarray(column, dtype=np.float64) for column in columns.values()], axis=1)
    given = given[given[:, 1] != 0]
    is_finite = bool(np.isfinite(given).all())
    sums = resampled_sums(given, n_boot=n_boot if is_finite else 0, seed=seed)
    found = {
        "loss": sums.estimate(lambda total: total[..., 0] / total[..., 1]),
        "perplexity": sums.estimate(lambda total: np.exp(total[..., 0] / total[..., 1])),
    }
    if n_bytes is not None:
        found["bits_per_byte"] = sums.estimate(lambda total: total[..., 0] / (np.log(2) * total[..., 2]))
    return tuple(Score(name, *estimate, len(given)) for name, estimate in found.items())
