"""Steering a run from outside: at rungs of its training it says how good it is, and is told whether to stop there.

    class Halving:
        rungs = (0.25, 0.5)

        def report(self, report: Report) -> bool:
            return is_among_the_worst(report.rung, report.values["validation/macro_f1"])

    run = train(loaded, store, progress, control=Halving())     # run.status: finished, or pruned
    run = resume(store, run, progress, control=Halving())       # a pruned run goes on where it stopped

`runner.train.train(loaded, store, progress, *, command=None, dataset=None, control=None, shared=None) -> Run`:
`dataset` is the stored version to train on, instead of reading `data.source`; `shared` (`runner.shared.Shared`) keeps
between the runs of one process what they have in common.
`runner.resume.resume(store, run, progress, *, command=None, control=None, shared=None) -> Run`: for failed, killed and
pruned runs. Both raise the error of bad input before they have changed anything; afterwards what goes wrong is the
run's status and cause.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Protocol


@dataclass(frozen=True)
class Report:
    """How good a run is at a rung, on the validation split."""

    rung: int
    """Index into the control's `rungs`, from 0."""
    step: int
    """Optimizer steps done."""
    epoch: float
    values: Mapping[str, float | None]
    """Metric name as `validation/macro_f1` → value; None where it could not be measured."""


class Control(Protocol):
    """Decides at each rung whether the run goes on.

    The evaluation and a checkpoint that the run can go on from are in the store when `report` is called. A run that was
    killed between the two asks again when it is resumed, with the same report; one that was pruned does not.
    """

    @property
    def rungs(self) -> tuple[float, ...]:
        """Fractions of the run's optimizer steps, increasing, in (0, 1); () for none."""
        ...

    def report(self, report: Report) -> bool:
        """Whether to stop here: the run becomes `pruned` and can be resumed."""
        ...


def rung_steps(rungs: Sequence[float], n_steps: int) -> dict[int, int]:
    """Optimizer step → index of the rung there. Of rungs that fall on one step only the last is asked about.

    Raises ValueError for rungs that do not increase within (0, 1).

    >>> rung_steps((0.25, 0.5), 10)
    {3: 0, 5: 1}
    """
    if any(not 0 < rung < 1 for rung in rungs) or list(rungs) != sorted(set(rungs)):
        raise ValueError(f"rungs must be fractions that increase, each between 0 and 1, not {tuple(rungs)}.")
    steps = {ceil(rung * n_steps - 1e-9): index for index, rung in enumerate(rungs)}
    return {step: index for step, index in steps.items() if step < n_steps}
