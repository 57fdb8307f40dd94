"""Every score of one set with known errors: ours, cleanlab's, those of a training run, and two that know nothing."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score, roc_auc_score

from benchmarks.triage_sets import Labelled
from evals.intervals import Floats, Ints
from evals.triage.audit import LabelAudit, Voices, label_audit
from evals.triage.dynamics import risks
from evals.triage.folds import assign_folds
from evals.triage.voices import N_FOLDS

Numbers = npt.NDArray[np.float64]

_RIDGES = (0.3, 0.1, 0.03, 0.01)

DEFAULT = "ours: the default"
RANKS = "mean of the voices' ranks"
RUNS = ("logistic regression", "tuned logistic regression", "naive_bayes", "letters", "neighbours", "linear")
"""What a user of cleanlab could cross-validate on the same texts and embeddings; "its best run" is one of these."""


class Quality(NamedTuple):
    """How a ranking finds the wrong labels; each in [0, 1]."""

    average_precision: float
    precision_at_100: float
    precision_at_errors: float
    auroc: float


class Judged(NamedTuple):
    """A set, the audit of it, and every score (n,) by name, higher = more suspicious."""

    data: Labelled
    audit: LabelAudit
    scores: Mapping[str, Numbers]


def judge(data: Labelled, seed: int, cache: Path) -> Judged:
    """Audit a set as the product does, and score it in every other way."""
    n_classes = len(data.classes)

    def in_sample(given: Ints) -> dict[str, Numbers]:
        return run_scores(data.embeddings, given.astype(np.int64), n_classes, seed)

    audit = label_audit(
        data.given,
        n_classes,
        texts=data.texts,
        embeddings=data.embeddings,
        in_sample=in_sample(data.given),
        retrain=lambda copy: Voices(in_sample=in_sample(copy)),
        seed=seed,
    )
    scores = {DEFAULT: audit.risk} | {f"ours: {name}": audit.scores[name] for name in ("consensus", "wrong")}
    scores |= {f"run: {name}": risk for name, risk in audit.scores.items() if name.endswith("@head")}
    voices = {name.partition("@")[2]: 1 - r for name, r in audit.scores.items() if name.startswith("self_confidence@")}
    scores[RANKS] = np.mean([rankdata(-p_given) for p_given in voices.values()], axis=0)
    scores |= cleanlab_scores(data, audit, seed, cache)
    rng = np.random.default_rng(seed)
    scores["random"] = rng.random(len(data.given))
    scores["text length"] = np.array([len(text) for text in data.texts], dtype=np.float64)
    return Judged(data, audit, scores)


def run_scores(embeddings: Floats, given: npt.NDArray[np.int64], n_classes: int, seed: int) -> dict[str, Numbers]:
    """What the epochs of one head trained on all these labels say of them: in-sample."""
    from runner.triage.heads import head_dynamics
    from runner.triage.voices import listened_to, named

    table = risks(head_dynamics(embeddings, given, n_classes, seed=seed))
    found = listened_to(named({str(name): table[name].to_numpy(dtype=np.float32) for name in table}, "head"))
    return {name: np.asarray(risk, dtype=np.float64) for name, risk in found.items()}


def cleanlab_scores(data: Labelled, audit: LabelAudit, seed: int, cache: Path) -> dict[str, Numbers]:
    """Label quality by cleanlab, turned round: its default and its other ways on each run, and all runs together."""
    from cleanlab.rank import (  # type: ignore[import-untyped]  # it ships no type information
        get_label_quality_ensemble_scores,
        get_label_quality_scores,
    )

    given = data.given
    probabilities = out_of_fold(data, seed, cache) | {
        name: np.exp(log_probs, dtype=np.float64) for name, log_probs in audit.opinions.items()
    }
    probabilities |= {"our consensus": np.exp(audit.pooled, dtype=np.float64)}
    probabilities = {name: p / p.sum(axis=1, keepdims=True) for name, p in probabilities.items()}
    found = {
        f"cleanlab: self-confidence, {name}": 1 - get_label_quality_scores(given, each)
        for name, each in probabilities.items()
    }
    for name in RUNS:
        for method in ("normalized_margin", "confidence_weighted_entropy"):
            ways = get_label_quality_scores(given, probabilities[name], method=method)
            found[f"cleanlab: {method.replace('_', ' ')}, {name}"] = 1 - ways
    ensemble = get_label_quality_ensemble_scores(given, [probabilities[name] for name in RUNS], verbose=False)
    found["cleanlab: ensemble of all runs"] = 1 - np.asarray(ensemble)
    return {name: np.asarray(risk, dtype=np.float64) for name, risk in found.items()}


def out_of_fold(data: Labelled, seed: int, cache: Path) -> dict[str, Numbers]:
    """Probabilities (n, n_classes) of two logistic regressions on the embeddings, cross-validated: as scikit-learn has
    it, and on scaled embeddings with the regularisation under which the first fold's labels are likeliest."""
    digest = hashlib.blake2b(data.given.tobytes() + data.embeddings.tobytes(), digest_size=8).hexdigest()
    folds = assign_folds(data.given, N_FOLDS, seed=seed)
    found = {}
    for name, make in (("logistic regression", _plain), ("tuned logistic regression", _tuned)):
        path = cache / f"{name.replace(' ', '-')}-{digest}-{seed}.npy"
        if not path.is_file():
            probabilities = np.zeros((len(data.given), len(data.classes)), dtype=np.float32)
            model = make(data, folds)
            for fold in range(N_FOLDS):
                inside = folds == fold
                model.fit(data.embeddings[~inside], data.given[~inside])
                probabilities[np.ix_(inside, model.classes_)] = model.predict_proba(data.embeddings[inside])
            cache.mkdir(parents=True, exist_ok=True)
            np.save(path, probabilities)
        found[name] = np.asarray(np.load(path), dtype=np.float64)
    return found


def _plain(data: Labelled, folds: Ints) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=1000)


def _tuned(data: Labelled, folds: Ints) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    inside = folds == 0

    def made(ridge: float) -> Any:
        model = LogisticRegression(C=1 / (ridge * (~inside).sum()), max_iter=200)
        return make_pipeline(StandardScaler(), model)

    def likelihood(ridge: float) -> float:
        model = made(ridge).fit(data.embeddings[~inside], data.given[~inside])
        said = model.predict_proba(data.embeddings[inside])
        place = np.searchsorted(model.classes_, data.given[inside])
        return float(np.log(said[np.arange(len(said)), place]).mean())

    return made(max(_RIDGES, key=likelihood))


def quality(risk: Floats, is_wrong: npt.NDArray[np.bool_]) -> Quality:
    """How well a risk (n,) ranks the wrong labels (n,) first; unknown risks come last, ties in the order of the file.

    >>> quality(np.array([0.9, 0.1, 0.8]), np.array([True, False, True]))
    Quality(average_precision=1.0, precision_at_100=0.6666666666666666, precision_at_errors=1.0, auroc=1.0)
    """
    known = np.where(np.isnan(risk), -np.inf, risk)
    finite = np.where(np.isfinite(known), known, np.nanmin(risk) - 1)
    order = np.argsort(-finite, kind="stable")
    return Quality(
        float(average_precision_score(is_wrong, finite)),
        float(is_wrong[order[:100]].mean()),
        float(is_wrong[order[: is_wrong.sum()]].mean()),
        float(roc_auc_score(is_wrong, finite)),
    )
