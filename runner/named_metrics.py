"""Metrics that a recipe names beside those of its task: modules of `evaluate`, ours, the user's or the hub's.

A module is given what the model said and what is right, all examples of a split at once:

    classes       their numbers            sets of labels   a 0 or 1 for each label
    numbers       numbers                  spans            the tags of each sentence's words
    texts         what was written, and the right text, of those examples that were answered

Each number that it gives is a metric `NAME.KEY`. Of a list with a number for each example it is the mean, with a
bootstrap interval; of one number for all the interval takes `resamples` calls more, and is unknown without.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evals.intervals import percentile_interval
from evals.metrics import Score
from evals.resampling import resampled_sums
from runner.encoding import EncodedSplit
from runner.errors import ModelError, UserError
from runner.metrics import load_metric
from runner.recipe import NamedMetric, Recipe
from runner.tasks.task import Examination, Examiner, Said

_SEED = 0


@dataclass(frozen=True)
class Loaded:
    """A module and how it is asked."""

    spec: NamedMetric
    module: Any

    @property
    def name(self) -> str:
        """What its values begin with in the store.

        >>> Loaded(NamedMetric(use="hub:someone/bertscore"), None).name
        'bertscore'
        """
        return self.spec.name or PurePath(self.spec.use.removeprefix("hub:")).stem

    def scores(self, said: Said) -> list[Score]:
        """Its values for a split; none where there are no examples. Raises UserError where it refuses them."""
        n = len(said.predictions)
        if not n:
            return []
        found = self._kept(self._ask(said), n)
        ends: dict[str, list[float]] = {key: [] for key, value in found.items() if isinstance(value, float)}
        rng = np.random.default_rng(_SEED)
        for _ in range(self.spec.resamples if ends and n > 1 else 0):
            drawn = rng.integers(n, size=n)
            again = _flat(self._ask(Said(*([column[i] for i in drawn] for column in said))), n)
            for key, draws in ends.items():
                value = again.get(key)
                draws.append(value if isinstance(value, float) else np.nan)
        return [self._score(key, value, ends.get(key, []), n) for key, value in found.items()]

    def _score(self, key: str, value: "float | NDArray[np.float64]", draws: list[float], n: int) -> Score:
        name = f"{self.name}.{key}"
        if not isinstance(value, float):
            mean = resampled_sums(value[:, None]).estimate(lambda sums: sums[..., 0] / n)
            return Score(name, *mean, n)
        low, high = percentile_interval(draws) if draws else (np.nan, np.nan)
        return Score(name, value, low, high, n)

    def _ask(self, said: Said) -> Mapping[str, Any]:
        try:
            found = self.module.compute(
                predictions=list(said.predictions), references=list(said.references), **self.spec.arguments
            )
        except Exception as error:  # code of others: whatever it raises is about what it was asked
            words = " ".join(str(error).split())[:500]
            raise UserError(f'evaluation.metrics: "{self.spec.use}" failed: {type(error).__name__}: {words}') from error
        if not isinstance(found, Mapping):
            raise UserError(
                f'evaluation.metrics: "{self.spec.use}" gave {type(found).__name__}, and no table of values.'
            )
        return found

    def _kept(self, found: Mapping[str, Any], n: int) -> dict[str, "float | NDArray[np.float64]"]:
        flat = _flat(found, n)
        if not self.spec.values:
            return {key: value for key, value in flat.items() if key in found}
        missing = [key for key in self.spec.values if key not in flat]
        if missing:
            there = ", ".join(flat) or "no numbers"
            raise UserError(
                f'evaluation.metrics: "{self.spec.use}" gave no number {missing[0]!r}; it gave {there}. '
                "Name some of these in its `values`."
            )
        return {key: flat[key] for key in self.spec.values}


def _flat(found: Mapping[str, Any], n: int, start: str = "") -> dict[str, "float | NDArray[np.float64]"]:
    """The numbers by their places, `PER.f1`; lists with a number for each of n examples stay whole.

    >>> _flat({"f1": [0.5, 1.0], "PER": {"f1": 1, "kind": "strict"}}, n=3)
    {'f1.0': 0.5, 'f1.1': 1.0, 'PER.f1': 1.0}
    """
    flat: dict[str, float | NDArray[np.float64]] = {}
    for key, value in found.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, n, f"{start}{key}.")
            continue
        try:
            numbers = np.asarray(value, dtype=np.float64)
        except (TypeError, ValueError):
            continue
        if numbers.ndim == 0:
            flat[f"{start}{key}"] = float(numbers)
        elif numbers.shape == (n,):
            flat[f"{start}{key}"] = numbers
        elif numbers.ndim == 1:
            flat |= {f"{start}{key}.{i}": float(number) for i, number in enumerate(numbers)}
    return flat


def load_named(recipe: Recipe) -> tuple[Loaded, ...]:
    """The modules that a recipe names. Raises ModelError with all that cannot be loaded."""
    loaded, problems = [], []
    for named in recipe.evaluation.metrics:
        spec = NamedMetric(use=named) if isinstance(named, str) else named
        try:
            loaded.append(Loaded(spec, load_metric(spec.use, spec.config)))
        except UserError as error:
            problems.append(f"evaluation.metrics: {error}")
    names = [each.name for each in loaded]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        problems.append(f'evaluation.metrics: two are called "{twice[0]}"; give one of them another `name`.')
    if problems:
        raise ModelError("\n".join(problems))
    return tuple(loaded)


class WithNamed:
    """An examiner that asks named metrics too (`runner.tasks.task.Examiner`)."""

    def __init__(self, examiner: Examiner, named: Sequence[Loaded]) -> None:
        self._examiner, self._named = examiner, named

    @property
    def settings(self) -> Mapping[str, Any]:
        return self._examiner.settings

    def examine(self, name: str, outputs: Any, split: EncodedSplit) -> Examination:
        found = self._examiner.examine(name, outputs, split)
        if not self._named or found.said is None:
            return found
        said = found.said()
        return found._replace(scores=[*found.scores, *(score for each in self._named for score in each.scores(said))])
