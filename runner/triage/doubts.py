"""How doubtful the target of each training example is, where that is no single label. Loads no torch."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evals.triage.multilabel import class_risks, worst_weighs_most
from evals.triage.numbers import number_errors
from evals.triage.tokens import token_label_errors
from runner.triage.context import Context
from runner.triage.dynamics import has_dynamics, run_risks

IN_SAMPLE = "area_under_margin"
"""Of a run's scores the one that sentences with spans are sorted by, where no cross-validation has judged them: the
margin of the least likely tag against everything else, over the epochs."""


class Doubts(NamedTuple):
    """A risk for each of n training examples."""

    risk: NDArray[np.float64]
    """(n,) in [0, 1], nan = not known."""
    score: str
    """Its name, such as least_token@ID."""
    name: str
    """Of the recipe or run whose models were asked."""
    in_sample: bool
    """Whether they were trained on these targets."""


def doubts_of(context: Context) -> Doubts | None:
    """By the newest cross-validation; of spans without one by the newest run that kept its dynamics. None: by nothing.

    Sentences with spans: 1 - the smallest probability of a given tag. Sets of labels: each label by itself, the worst
    weighing most. Numbers: `evals.triage.numbers`.
    """
    opinion = next(iter(context.identity.opinions), None)
    if opinion is None:
        return _of_training(context) if context.kind == "spans" else None
    n = context.rows.n_train
    if context.kind == "spans" and (said := context.sentences) is not None:
        risk = token_label_errors(said.p_given, said.offsets).risk[:n]
        return Doubts(risk, f"least_token@{opinion.id}", opinion.name, False)
    if (sets := context.label_sets) is not None:
        risk = worst_weighs_most(class_risks(sets.given[:n], sets.probs[:n]))
        return Doubts(risk, f"worst_label@{opinion.id}", opinion.name, False)
    if (numbers := context.numbers) is not None:
        risk = number_errors(numbers.given[:n], numbers.predicted[:n]).risk
        return Doubts(risk, f"residual@{opinion.id}", opinion.name, False)
    return None


def _of_training(context: Context) -> Doubts | None:
    n = context.rows.n_train
    for run in context.sources.runs:
        if has_dynamics(context.store, run, n, 2):
            risk = run_risks(context.store, run.key, np.zeros(n, dtype=np.int64))[IN_SAMPLE].astype(np.float64)
            return Doubts(risk, f"{IN_SAMPLE}@{run.id}", run.name, True)
    return None
