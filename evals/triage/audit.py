"""Which labels are wrong: voices, their consensus, canaries that measure every score, and the one to sort by.

A voice is what something that has not seen an example's label thinks of it: a model trained on the other folds, the
nearest neighbours, the words. Those that need only texts or embeddings are made here; others are handed in, and so are
risks of models that were trained on the labels they are asked about (in-sample). Canaries measure what can be made
again on a copy: what is made here, and what `retrain` makes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from evals.intervals import Estimate, Floats, Ints
from evals.triage.canaries import Flips, choose_score, compare_scores, depths, flip, kinds_of_flips, plan_flips
from evals.triage.consensus import Consensus, count_doubts, fit_consensus, pool, risks
from evals.triage.folds import assign_folds, margin_risk, self_confidence_risk
from evals.triage.members import word_opinions
from evals.triage.neighbours import Neighbours, nearest, vote
from evals.triage.noise import NoiseRate, noise_by_class, noise_by_pair, noise_rate
from evals.triage.suggestions import Suggestions, suggest
from evals.triage.yields import chances, expected_yield

Numbers = npt.NDArray[np.float64]

DEFAULT = "consensus"
IN_SAMPLE_VOICE = "area_under_margin@"
"""In-sample risks whose name begins so are voices too: above 0.5 the run preferred another label."""
_N_FOLDS, _N_NEIGHBOURS = 5, 15


@dataclass(frozen=True)
class Voices:
    """opinions: log-probabilities (n, n_classes) out of fold, by name, a row with nan = not known. in_sample: risks
    (n,) in [0, 1] of models that saw the labels, by name, nan = not known; `area_under_margin@RUN` says above 0.5 that
    the run preferred another label."""

    opinions: Mapping[str, Floats] = field(default_factory=dict)
    in_sample: Mapping[str, Floats] = field(default_factory=dict)


Retrain = Callable[[npt.NDArray[np.int64]], Voices]
"""Makes again, on a copy of the labels with canaries in it, the voices that can be made again, under their names."""


@dataclass(frozen=True)
class LabelAudit:
    """What is known of n labels.

    risk (n,): of the score `default`, what the queue is sorted by. chance (n,): to be wrong; they sum to the errors
    expected. scores: every risk by name, in [0, 1], nan = not known. comparison: `canaries.compare_scores` with
    `in_sample` (bool); nan for what the canaries could not measure. noise, by_class, pairs: `evals.triage.noise`.
    suggestions: `evals.triage.suggestions`. n_doubting, n_voices (n,): how many voices prefer another label, of how
    many. voices_predicted: each opinion's likeliest label (n,), -1 = none; voices_p_given (n,): its probability of the
    given label. curve: `yields.expected_yield` of the queue. canaries: what was flipped in the copy.
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
    curve: pd.DataFrame
    canaries: Flips


class NothingToAudit(ValueError):
    """Neither texts nor embeddings nor opinions: there is no voice to ask."""


def label_audit(
    given: Ints,
    n_classes: int,
    *,
    texts: Sequence[str] | None = None,
    embeddings: Floats | None = None,
    opinions: Mapping[str, Floats] | None = None,
    in_sample: Mapping[str, Floats] | None = None,
    retrain: Retrain | None = None,
    with_canaries: bool = True,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> LabelAudit:
    """Everything about the labels given (n,), -1 = none, of n_classes.

    texts (n,) and embeddings (n, d) of a model that did not see the labels give voices here; opinions and in_sample are
    further ones (`Voices`). retrain makes those again on a copy with canaries; without it they are not measured. With
    with_canaries False nothing is measured and the default is the consensus. Raises NothingToAudit without any voice.

    >>> rng = np.random.default_rng(0)
    >>> truth = np.arange(300) % 3
    >>> given = np.where(rng.random(300) < 0.1, (truth + 1) % 3, truth)
    >>> audit = label_audit(given, 3, embeddings=np.eye(3)[truth] + 0.2 * rng.normal(size=(300, 3)))
    >>> bool((audit.suggestions.label == truth).mean() > 0.95)
    True
    """
    tell = progress or (lambda _: None)
    handed = Voices(opinions or {}, in_sample or {})
    tools = _Tools(given, n_classes, texts, embeddings, seed)
    tell("listening to the voices")
    heard = _listen(tools, handed, given)
    first = _first_scores(heard, seed)
    rate = noise_rate(first.pooled, given, first.consensus)
    n_errors = Estimate(*(each * rate.n for each in rate[:3]))
    flips = _plan(first, given, seed) if with_canaries else _no_flips()
    names = list(first.risks)
    comparison = _not_measured(names)
    default = DEFAULT
    measured: Mapping[str, Numbers] = {}
    if len(flips.rows):
        tell("training on a copy with canaries")
        labels = flip(given, flips)
        again = retrain(labels) if retrain else Voices()
        tell("measuring every score on the canaries")
        measured = _first_scores(_listen(tools, again, labels), seed).risks
        table = pd.DataFrame({name: measured[name] for name in names if name in measured})
        compared = compare_scores(table, flips, n_errors, default=DEFAULT, seed=seed)
        default = choose_score(compared, DEFAULT)
        unmeasured = _not_measured([name for name in names if name not in measured])
        comparison = pd.concat([compared, unmeasured], ignore_index=True) if len(unmeasured) else compared
    comparison["in_sample"] = comparison["score"].isin(list(handed.in_sample))
    tell("reckoning what the queue will yield")
    risk = first.risks[default]
    order = np.argsort(-np.where(np.isnan(risk), -np.inf, risk), kind="stable")
    wrong = first.risks["wrong"][order]
    curve = expected_yield(
        depths(measured[default], flips) if measured else np.zeros(0), len(given), n_errors, wrong=wrong, seed=seed
    )
    doubts = count_doubts(
        [1 - 2 * margin_risk(each, given) for each in heard.opinions.values()]
        + [1 - 2 * np.asarray(risk) for name, risk in handed.in_sample.items() if name.startswith(IN_SAMPLE_VOICE)]
    )
    return LabelAudit(
        risk=risk,
        chance=chances(risk, curve),
        default=default,
        scores=first.risks,
        comparison=comparison,
        noise=rate,
        by_class=noise_by_class(first.consensus.channel, rate),
        pairs=noise_by_pair(first.consensus.channel, rate),
        suggestions=suggest(first.pooled, given, first.consensus.channel),
        n_doubting=doubts.n_doubting,
        n_voices=doubts.n_voices,
        voices_predicted={name: _likeliest(each) for name, each in heard.opinions.items()},
        voices_p_given={name: 1 - self_confidence_risk(each, given) for name, each in heard.opinions.items()},
        curve=curve,
        canaries=flips,
    )


class _Tools:
    """What voices are made from, and what does not depend on labels."""

    def __init__(
        self, given: Ints, n_classes: int, texts: Sequence[str] | None, embeddings: Floats | None, seed: int
    ) -> None:
        for name, values in (("texts", texts), ("embeddings", embeddings)):
            if values is not None and len(values) != len(given):
                raise ValueError(f"{name} has {len(values)} rows; needed: one an example, {len(given)}")
        self.n_classes, self.texts, self.seed = n_classes, texts, seed
        self.embeddings = embeddings
        self.neighbours: Neighbours | None = None if embeddings is None else nearest(embeddings, _N_NEIGHBOURS)


@dataclass(frozen=True)
class _Heard:
    given: Ints
    opinions: Mapping[str, Floats]
    in_sample: Mapping[str, Floats]


@dataclass(frozen=True)
class _Scores:
    consensus: Consensus
    pooled: npt.NDArray[np.float32]
    risks: Mapping[str, Numbers]


def _listen(tools: _Tools, handed: Voices, given: Ints) -> _Heard:
    """Every voice about these labels: those made here, and those handed in."""
    opinions: dict[str, Floats] = {}
    if tools.texts is not None:
        folds = assign_folds(given, _N_FOLDS, seed=tools.seed)
        opinions |= word_opinions(tools.texts, given, folds, tools.n_classes, seed=tools.seed)
    if tools.neighbours is not None:
        opinions["neighbours"] = vote(tools.neighbours, given, tools.n_classes)
    opinions |= handed.opinions
    if not opinions:
        raise NothingToAudit("no texts, no embeddings and no out-of-fold opinions: there is no voice to ask")
    return _Heard(given, opinions, handed.in_sample)


def _first_scores(heard: _Heard, seed: int) -> _Scores:
    voices = list(heard.opinions.values())
    consensus = fit_consensus(voices, heard.given, seed=seed)
    pooled = pool(voices, consensus.weights)
    table = risks(pooled, heard.given, consensus.channel)
    found: dict[str, Numbers] = {str(name): table[name].to_numpy(dtype=np.float64) for name in table}
    found |= {
        f"self_confidence@{name}": self_confidence_risk(each, heard.given) for name, each in heard.opinions.items()
    }
    found |= {name: np.asarray(risk, dtype=np.float64) for name, risk in heard.in_sample.items()}
    return _Scores(consensus, pooled, found)


def _plan(first: _Scores, given: Ints, seed: int) -> Flips:
    return plan_flips(given, kinds_of_flips(first.pooled, first.consensus.channel), seed=seed)


def _no_flips() -> Flips:
    none = np.empty(0, dtype=np.int64)
    return Flips(none, none, none, ())


def _not_measured(names: Sequence[str]) -> pd.DataFrame:
    none = _no_flips()
    unknown = Estimate(np.nan, np.nan, np.nan)
    return compare_scores(pd.DataFrame({name: np.zeros(0) for name in names}), none, unknown, n_boot=0)


def _likeliest(log_probs: Floats) -> npt.NDArray[np.int64]:
    known = ~np.isnan(log_probs).any(axis=1)
    return np.where(known, np.nan_to_num(log_probs, nan=-np.inf).argmax(axis=1), -1)
