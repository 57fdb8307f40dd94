"""Which labels are wrong: voices, their consensus, canaries that measure every score, and the one to sort by.

Voices that need only texts or embeddings are made here (`evals.triage.voices`); others are handed in, and so are risks
of models that were trained on the labels they are asked about (in-sample). Canaries measure every score whose models
have not seen the labels, and those in-sample ones that `retrain` makes again on a copy.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from evals.intervals import Estimate, Floats, Ints
from evals.triage.canaries import Flips, depths, flip, kinds_of_flips, no_flips, plan_flips
from evals.triage.comparison import choose_score, compare_scores
from evals.triage.consensus import count_doubts, wrong_risk
from evals.triage.folds import margin_risk, self_confidence_risk
from evals.triage.neighbours import Neighbours
from evals.triage.noise import NoiseRate, noise_by_class, noise_by_pair, noise_rate
from evals.triage.suggestions import Suggestions, suggest
from evals.triage.voices import Heard, Listener, NothingToAudit, Voices
from evals.triage.yields import believed_yield, centred, chances, expected_yield

__all__ = ["LabelAudit", "NothingToAudit", "Retrain", "Voices", "label_audit"]

Numbers = npt.NDArray[np.float64]

DEFAULT = "consensus"
IN_SAMPLE_VOICE = "area_under_margin@"
"""In-sample risks whose name begins so are voices too: above 0.5 the run preferred another label."""

Retrain = Callable[[npt.NDArray[np.int64]], Voices]
"""Makes again, on a copy of the labels with canaries in it, the in-sample risks that can be made again, under their
names. Opinions are not asked for: their models have not seen the labels, so they are asked about others as they are."""


@dataclass(frozen=True)
class LabelAudit:
    """What is known of n labels.

    risk (n,): what the queue is sorted by: the score `default`, so moved that 0.5 and more have as many labels as are
    expected to be wrong (`yields.centred`). chance (n,): to be wrong; they sum to the errors expected. scores: every
    risk by name, in [0, 1], nan = not known: `wrong` (the probability that the label is wrong, by what the voices think
    of the text and how labels go wrong), `consensus` (1 - the geometric mean of 1 - wrong and the probability that the
    voices give the label once they have heard each other), `self_confidence@VOICE` of single
    voices, and those handed in. comparison: `comparison.compare_scores` with
    `in_sample` (bool); nan for what the canaries could not measure. noise, by_class, pairs: `evals.triage.noise`.
    suggestions: `evals.triage.suggestions`. n_doubting, n_voices (n,): how many voices prefer another label, of how
    many. voices_predicted: each opinion's likeliest label (n,), -1 = none; voices_p_given (n,): its probability of the
    given label. opinions: what each voice thinks, log-probabilities (n, n_classes) as if all classes were equally
    common; pooled (n, n_classes): all together, once they have heard each other; both out of fold. curve:
    `yields.expected_yield` of the queue. canaries: what was flipped, or asked about.
    """

    risk: Numbers
    chance: Numbers
    default: str
    scores: Mapping[str, Numbers]
    comparison: pd.DataFrame
    noise: NoiseRate
    by_class: pd.DataFrame
    pairs: pd.DataFrame
    suggestions: Suggestions
    n_doubting: npt.NDArray[np.int64]
    n_voices: npt.NDArray[np.int64]
    voices_predicted: Mapping[str, npt.NDArray[np.int64]]
    voices_p_given: Mapping[str, Numbers]
    opinions: Mapping[str, Floats]
    pooled: npt.NDArray[np.float32]
    curve: pd.DataFrame
    canaries: Flips


def label_audit(
    given: Ints,
    n_classes: int,
    *,
    texts: Sequence[str] | None = None,
    embeddings: Floats | None = None,
    neighbours: Neighbours | None = None,
    groups: Ints | None = None,
    opinions: Mapping[str, Floats] | None = None,
    in_sample: Mapping[str, Floats] | None = None,
    retrain: Retrain | None = None,
    with_canaries: bool = True,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> LabelAudit:
    """Everything about the labels given (n,), -1 = none, of n_classes.

    texts (n,) and embeddings (n, d) of a model that did not see the labels give voices here; neighbours are those of
    the embeddings, if they were looked for already. groups (n,): examples of one group (copies of a text) are held out
    together. opinions and in_sample are further voices (`voices.Voices`). retrain makes the in-sample ones again on a
    copy with canaries; without it they are not measured. With with_canaries False nothing is measured, the default is
    the consensus, and the curve is what the consensus believes. Raises NothingToAudit without any voice.

    >>> rng = np.random.default_rng(0)
    >>> truth = np.arange(300) % 3
    >>> given = np.where(rng.random(300) < 0.1, (truth + 1) % 3, truth)
    >>> audit = label_audit(given, 3, embeddings=np.eye(3)[truth] + 0.2 * rng.normal(size=(300, 3)))
    >>> bool((audit.suggestions.label == truth).mean() > 0.95)
    True
    """
    tell = progress or (lambda _: None)
    handed = Voices(opinions or {}, in_sample or {})
    listener = Listener(
        given,
        n_classes,
        texts=texts,
        embeddings=embeddings,
        neighbours=neighbours,
        groups=groups,
        seed=seed,
        progress=progress,
    )
    first, second = listener.listen(handed.opinions)
    channel = first.consensus.channel
    rate = noise_rate(first.pooled, given, first.consensus)
    n_errors = Estimate(*(each * rate.n for each in rate[:3]))
    scores = _asked(first, second, given, slice(None))
    scores |= {name: np.asarray(risk, dtype=np.float64) for name, risk in handed.in_sample.items()}
    wrong = scores["wrong"]
    flips = plan_flips(given, kinds_of_flips(first.pooled, channel), seed=seed) if with_canaries else no_flips()
    deep = _own_depths(first, second, scores, flips)
    if retrain and handed.in_sample and flips.is_planted.any():
        tell("training on a copy with canaries")
        deep |= _depths_in_copy(retrain(flip(given, flips)).in_sample, handed.in_sample, flips, wrong)
    if len(flips.rows):
        tell("measuring every score on the canaries")
    unknown = np.full(len(flips.rows), np.nan)
    table, measured = pd.DataFrame(scores), pd.DataFrame({name: deep.get(name, unknown) for name in scores})
    comparison = compare_scores(table, measured, flips, n_errors, wrong, default=DEFAULT, seed=seed)
    comparison["in_sample"] = comparison["score"].isin(list(handed.in_sample))
    default = choose_score(comparison, DEFAULT)
    risk = centred(scores[default], n_errors.value)
    of_default = measured[default].to_numpy()
    curve = expected_yield(
        of_default[~np.isnan(of_default)], len(given), n_errors, believed=believed_yield(risk, wrong), seed=seed
    )
    doubts = count_doubts(
        [1 - 2 * margin_risk(each, given) for each in first.opinions.values()]
        + [1 - 2 * scores[name] for name in handed.in_sample if name.startswith(IN_SAMPLE_VOICE)]
    )
    return LabelAudit(
        risk=risk,
        chance=chances(risk, curve),
        default=default,
        scores=scores,
        comparison=comparison,
        noise=rate,
        by_class=noise_by_class(channel, rate),
        pairs=noise_by_pair(channel, rate),
        suggestions=suggest(first.pooled, given, channel),
        n_doubting=doubts.n_doubting,
        n_voices=doubts.n_voices,
        voices_predicted={name: _likeliest(each) for name, each in first.opinions.items()},
        voices_p_given={name: 1 - self_confidence_risk(each, given) for name, each in first.opinions.items()},
        opinions=first.opinions,
        pooled=second.pooled,
        curve=curve,
        canaries=flips,
    )


def _asked(first: Heard, second: Heard, labels: Ints, rows: npt.NDArray[np.int64] | slice) -> dict[str, Numbers]:
    """What the voices say of `labels` (m,), be they given or made up, for rows (m,)."""
    wrong = wrong_risk(first.pooled[rows], labels, first.consensus.channel)
    unlikely = self_confidence_risk(second.pooled[rows], labels)
    found = {DEFAULT: 1 - np.sqrt((1 - unlikely) * (1 - wrong)), "wrong": wrong}
    for name, opinion in first.opinions.items():
        found[f"self_confidence@{name}"] = self_confidence_risk(opinion[rows], labels)
    return found


def _own_depths(first: Heard, second: Heard, scores: Mapping[str, Numbers], flips: Flips) -> dict[str, Numbers]:
    """Where the canaries would lie by the scores that have not seen the labels."""
    asked = _asked(first, second, flips.labels, flips.rows)
    return {name: depths(scores[name], risk, flips, 1 - scores["wrong"]) for name, risk in asked.items()}


def _depths_in_copy(
    copied: Mapping[str, Floats], in_sample: Mapping[str, Floats], flips: Flips, wrong: Numbers
) -> dict[str, Numbers]:
    """Where the planted canaries lie by in-sample scores of the copy; nan for those that were not planted."""
    right = 1 - wrong
    right[flips.rows[flips.is_planted]] = 0
    found = {}
    for name in in_sample:
        if name in copied:
            risk = np.asarray(copied[name], dtype=np.float64)
            deep = depths(risk, risk[flips.rows], flips, right)
            found[name] = np.where(flips.is_planted, deep, np.nan)
    return found


def _likeliest(log_probs: Floats) -> npt.NDArray[np.int64]:
    known = ~np.isnan(log_probs).any(axis=1)
    return np.where(known, np.nan_to_num(log_probs, nan=-np.inf).argmax(axis=1), -1)
