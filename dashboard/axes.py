"""The parameters of a search as axes: where a value stands between the ends, linear, logarithmic or one of a few."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dashboard.formats import is_known

Scale = Literal["linear", "log", "choice"]

ABSENT_PLACE = -0.09
"""Where a trial stands that does not have the parameter: below the axis."""
ABSENT_WORD = "not used"
_MOST_CHOICES = 12  # more numbers than that are a scale


@dataclass(frozen=True)
class Axis:
    """One axis. `low` and `high` are its ends; a choice has its values in order instead."""

    path: str
    """The parameter's path in the recipe, or the objective's name."""
    label: str
    scale: Scale
    low: float = 0.0
    high: float = 1.0
    choices: tuple[str, ...] = ()
    has_absent: bool = False

    def places(self, values: "pd.Series[Any]") -> NDArray[np.float64]:
        """Values (n,) → places (n,) in [0, 1], nan for those that are missing."""
        if self.scale == "choice":
            index = {choice: i for i, choice in enumerate(self.choices)}
            found = [index.get(written(value), np.nan) for value in values]
            return (np.array(found, dtype=np.float64) + 0.5) / max(1, len(self.choices))
        numbers = pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            if self.scale == "log":
                return _between(np.log10(numbers), math.log10(self.low), math.log10(self.high))
            return _between(numbers, self.low, self.high)

    def ticks(self) -> list[tuple[float, str]]:
        """(place, text) of what is written beside the axis.

        >>> Axis("lr", "lr", "log", 1e-5, 1e-3).ticks()
        [(0.0, '1e-5'), (0.5, '1e-4'), (1.0, '0.001')]
        """
        ticks = self._ticks()
        return [(ABSENT_PLACE, ABSENT_WORD), *ticks] if self.has_absent else ticks

    def _ticks(self) -> list[tuple[float, str]]:
        if self.scale == "choice":
            n = len(self.choices)
            kept = [i * (n - 1) // 11 for i in range(12)] if n > 12 else range(n)
            return [((i + 0.5) / n, self.choices[i]) for i in kept]
        if self.scale == "log":
            first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
            values = [10.0**power for power in range(first, last + 1)]
            if len(values) < 2:
                values = [self.low, self.high]
        else:
            values = _round_numbers(self.low, self.high)
        places = self.places(pd.Series(values, dtype="float64"))
        return [(float(place), tick_text(value)) for place, value in zip(places, values, strict=True)]


def written(value: object) -> str:
    """A value as it is written on an axis and in a table: text without quotes, all else as JSON.

    >>> written("lora"), written(True), written(["q", "v"]), written(0.0001), written(None)
    ('lora', 'true', '["q", "v"]', '0.0001', 'not used')
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ABSENT_WORD
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def tick_text(value: float) -> str:
    """A round number, short.

    >>> tick_text(1e-4), tick_text(0.25), tick_text(12000.0)
    ('1e-4', '0.25', '12k')
    """
    if value != 0 and not 1e-3 <= abs(value) < 1e5:
        mantissa, _, power = f"{value:.1e}".partition("e")
        return f"{mantissa.removesuffix('.0')}e{int(power)}"
    return f"{value / 1000:g}k" if abs(value) >= 1e4 else f"{value:.6g}"


def axes_of(parameters: pd.DataFrame, space: Mapping[str, Any]) -> list[Axis]:
    """An axis for each column of `parameters` (path → values over the trials) that has a value at all.

    `space` is the recipe's `[sweep.space]`: it says which are logarithmic, and the order of choices. A parameter that
    is not in it, or whose values are no numbers, is a choice of the values that occur.
    """
    labels = short_names([str(name) for name in parameters])
    axes = []
    for path, label in zip(parameters, labels, strict=True):
        values = parameters[path]
        if values.notna().any():
            axes.append(_axis(str(path), label, values, space.get(str(path))))
    return axes


def _axis(path: str, label: str, values: "pd.Series[Any]", given: object) -> Axis:
    known = values[values.notna()]
    has_absent = bool(values.isna().any())
    numbers = [float(v) for v in known if is_number(v)]
    ranges = [part for part in _parts(given) if is_number(part.get("low")) and is_number(part.get("high"))]
    if len(numbers) == len(known) and (ranges or len(set(numbers)) > _MOST_CHOICES):
        is_log = any(part.get("log") for part in ranges) and min(numbers) > 0
        low = min(*numbers, *(float(part["low"]) for part in ranges), math.inf)
        high = max(*numbers, *(float(part["high"]) for part in ranges), -math.inf)
        return Axis(path, label, "log" if is_log else "linear", low, high, has_absent=has_absent)
    return Axis(path, label, "choice", choices=_choices(known, given), has_absent=has_absent)


def _parts(given: object) -> list[Mapping[str, Any]]:
    """What the space says of one path: a table, or one for each of its alternatives."""
    listed = given if isinstance(given, list | tuple) else [given]
    return [part for part in listed if isinstance(part, Mapping)]


def _choices(known: "pd.Series[Any]", given: object) -> tuple[str, ...]:
    """What occurs: numbers by size, all else as the recipe lists it, then as it came."""
    values = {written(value): value for value in known}
    if all(is_number(value) for value in values.values()):
        return tuple(sorted(values, key=lambda text: float(values[text])))
    listed = [value for part in _parts(given) for value in part.get("values") or ()]
    listed += [value for value in given if not isinstance(value, Mapping)] if isinstance(given, list | tuple) else []
    order = [written(value) for value in listed]
    return tuple(sorted(values, key=lambda text: order.index(text) if text in order else len(order)))


def is_number(value: object) -> bool:
    """Whether a value is a number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def objective_axis(name: str, label: str, values: "pd.Series[float]") -> Axis:
    """The objective, from its lowest to its highest value, with a little air."""
    known = values[np.isfinite(values.to_numpy(dtype=np.float64))]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    air = (high - low) * 0.04 or max(abs(high) * 0.01, 1e-9)
    return Axis(name, label, "linear", low - air, high + air)


def short_names(paths: Sequence[str]) -> list[str]:
    """The last part of each path, with as much before it as tells them apart, and says something.

    >>> short_names(["training.learning_rate", "model.lora.dropout", "model.dropout", "model.lora.r"])
    ['learning_rate', 'lora.dropout', 'model.dropout', 'lora.r']
    """
    parts = [path.split(".") for path in paths]
    names = []
    for own in parts:
        n = 1 if len(own[-1]) > 2 else 2
        while n < len(own) and sum(other[-n:] == own[-n:] for other in parts) > 1:
            n += 1
        names.append(".".join(own[-n:]))
    return names


def _between(values: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    return np.clip((values - low) / (high - low), 0, 1) if high > low else np.where(np.isnan(values), np.nan, 0.5)


def _round_numbers(low: float, high: float, about: int = 5) -> list[float]:
    """Three to seven round numbers between two."""
    if not is_known(low) or not high > low:
        return [low]
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]
