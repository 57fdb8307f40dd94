"""Configurations as samplers and pruners see them: a sweep's trials, those of one number taken together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from store import Status, Trial, TrialReport


@dataclass(frozen=True)
class Configuration:
    """All trials with one number: the first has the first seed, and it alone is ever pruned."""

    trials: tuple[Trial, ...]
    reports: Mapping[int, float]
    """Rung → value, of the first seed; nan where it was not measured."""

    @property
    def first(self) -> Trial:
        return self.trials[0]

    @property
    def number(self) -> int:
        return self.first.number

    @property
    def parameters(self) -> Mapping[str, Any]:
        return self.first.parameters

    @property
    def status(self) -> Status:
        """The first seed's: further seeds only make its values firmer."""
        return self.first.status

    @property
    def notes(self) -> Mapping[str, Any]:
        """What the pruner noted about it."""
        return self.first.sampler_state or {}

    @property
    def values(self) -> tuple[float, ...] | None:
        """Means over the finished seeds, in the order of the objectives; None while one is not measured at all."""
        found = [trial.objective_values for trial in self.trials if trial.status == Status.FINISHED]
        known = [[v for v in column if v is not None] for column in zip(*(f for f in found if f), strict=True)]
        return tuple(fmean(column) for column in known) if known and all(known) else None


def configurations(trials: Sequence[Trial], reports: Mapping[int, Sequence[TrialReport]]) -> list[Configuration]:
    """The configurations of a sweep by number; `trials` come as `store.read_trials` gives them."""
    grouped: dict[int, list[Trial]] = {}
    for trial in trials:
        grouped.setdefault(trial.number, []).append(trial)
    return [
        Configuration(
            tuple(group),
            {r.rung: float("nan") if r.value is None else r.value for r in reports.get(group[0].key, ())},
        )
        for _, group in sorted(grouped.items())
    ]
