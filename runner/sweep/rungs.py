"""Rungs: where pruners look at a trial, as fractions of its own optimizer steps; and the epochs that this saves."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from runner.recipe.search import Sweep as SweepSpec
from store import Status, Trial, TrialReport

HALVING = ("asha", "hyperband")
_FIRST_HALVING, _FIRST_OTHER = 1 / 16, 1 / 8


def rungs_of(spec: SweepSpec) -> tuple[float, ...]:
    """Fractions in (0, 1), increasing: eta apart for asha and hyperband, multiples of the first for the others.

    >>> rungs_of(SweepSpec(pruner="asha", space={"training.epochs": [1]}))
    (0.0625, 0.25)
    """
    if spec.pruner == "none":
        return ()
    rungs: list[float] = []
    if spec.pruner in HALVING:
        rung = spec.first_rung or _FIRST_HALVING
        while rung < 1 - 1e-9:
            rungs.append(rung)
            rung *= spec.eta
        return tuple(rungs)
    first = spec.first_rung or _FIRST_OTHER
    return tuple(first * i for i in range(1, 10_000) if first * i < 1 - 1e-9)


class Epochs(NamedTuple):
    """Epochs of the trials that a sweep ran itself: what they took, and what they would take without a pruner."""

    trained: float
    planned: float

    @property
    def saved_share(self) -> float | None:
        """In [0, 1]; None where no trial has reported yet."""
        return 1 - self.trained / self.planned if self.planned else None


def count_epochs(
    trials: Sequence[Trial], reports: Mapping[int, Sequence[TrialReport]], rungs: Sequence[float]
) -> Epochs:
    """Over finished and pruned trials that reported where they are; reused runs cost nothing and save nothing here."""
    trained = planned = 0.0
    for trial in trials:
        said = [report for report in reports.get(trial.key, ()) if report.epoch is not None]
        if trial.is_reused or trial.status not in (Status.FINISHED, Status.PRUNED) or not said:
            continue
        last = max(said, key=lambda report: report.rung)
        epoch = last.epoch or 0.0
        trained += epoch
        planned += epoch / rungs[last.rung] if last.rung < len(rungs) else epoch
    return Epochs(trained, planned)
