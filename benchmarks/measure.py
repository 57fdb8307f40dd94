"""What every benchmark shares: interleaved repetitions, figures with a goal, one Markdown table.

Machines differ and are shared, so a time alone says little: what is measured stands beside a baseline of the same run,
and repetitions alternate (A B, B A, A B ...), so that a slow minute falls on both.
"""

import argparse
import gc
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, NoReturn, Self, TypeVar

Verdict = Literal["PASS", "MISS", "STARVED", "not measured", ""]


class Timing(NamedTuple):
    """Seconds by the clock, and of processor time of this process with all its threads."""

    wall: float
    cpu: float


@dataclass(frozen=True)
class Baseline:
    """What a figure is held against: its name, and its median in the same unit and the same run."""

    name: str
    value: float
    cpu_value: float | None = None


@dataclass(frozen=True)
class Figure:
    """One measured number. `samples`: one value a repetition; none at all is "not measured", and `note` says why.

    `cpu_samples` are the same in processor time instead of wall time: what the machine would give if it were idle.
    """

    name: str
    samples: Sequence[float]
    unit: str
    at_least: float | None = None
    at_most: float | None = None
    baseline: Baseline | None = None
    note: str = ""
    cpu_samples: Sequence[float] = ()

    @property
    def value(self) -> float | None:
        """The median of the samples."""
        return statistics.median(self.samples) if self.samples else None

    @property
    def cpu_value(self) -> float | None:
        """The median of the samples in processor time."""
        return statistics.median(self.cpu_samples) if self.cpu_samples else None

    @property
    def ratio(self) -> float | None:
        """Value over baseline: in processor time where both have it, as other people's work disturbs that least."""
        if self.value is None or self.baseline is None:
            return None
        if self.cpu_value is not None and self.baseline.cpu_value:
            return self.cpu_value / self.baseline.cpu_value
        return self.value / self.baseline.value if self.baseline.value else None

    @property
    def verdict(self) -> Verdict:
        """Whether the goal is met; empty where there is none.

        STARVED: missed by the clock and met in processor time, so the machine was busy with other work.

        >>> Figure("rows", [2.0, 4.0, 9.0], "1/s", at_least=3.0).verdict
        'PASS'
        """
        if self.value is None:
            return "not measured"
        if self.at_least is None and self.at_most is None:
            return ""
        if self._meets(self.value):
            return "PASS"
        return "STARVED" if self.cpu_value is not None and self._meets(self.cpu_value) else "MISS"

    def _meets(self, value: float) -> bool:
        is_low = self.at_least is not None and value < self.at_least
        is_high = self.at_most is not None and value > self.at_most
        return not (is_low or is_high)


@dataclass(frozen=True)
class Report:
    """A benchmark's table: what it measured, of how much."""

    title: str
    size: str
    figures: Sequence[Figure]
    is_small: bool = False
    """Made with `--small`: goals are for the full size, so nothing is judged."""

    @property
    def is_missed(self) -> bool:
        """Whether a figure misses its goal."""
        return not self.is_small and any(figure.verdict == "MISS" for figure in self.figures)

    def __getitem__(self, name: str) -> Figure:
        """The figure of that name; KeyError where there is none."""
        return {figure.name: figure for figure in self.figures}[name]

    def markdown(self) -> str:
        """The table as it is printed."""
        rows = [
            ("figure", "median", "spread", "by CPU time", "goal", "against", "ratio", "verdict"),
            ("---", "---:", "---:", "---:", "---:", "---", "---:", "---"),
            *(_row(figure, is_judged=not self.is_small) for figure in self.figures),
        ]
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        lines = [
            "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
        ]
        notes = [f"- {figure.name}: {figure.note}" for figure in self.figures if figure.note]
        return "\n".join(
            [f"### {self.title}", "", f"{self.size}; {machine()}", "", *lines, *([""] if notes else []), *notes]
        )


def _row(figure: Figure, *, is_judged: bool) -> tuple[str, ...]:
    goal = [f"≥ {number(figure.at_least)}"] if figure.at_least is not None else []
    goal += [f"≤ {number(figure.at_most)}"] if figure.at_most is not None else []
    spread = f"{number(min(figure.samples))} to {number(max(figure.samples))}" if len(figure.samples) > 1 else ""
    return (
        figure.name,
        f"{number(figure.value)} {figure.unit}" if figure.value is not None else "",
        spread,
        number(figure.cpu_value),
        " ".join(goal),
        f"{figure.baseline.name}: {number(figure.baseline.value)}" if figure.baseline else "",
        f"{figure.ratio:.3g}" if figure.ratio is not None else "",
        figure.verdict if is_judged or figure.value is None else "",
    )


def number(value: float | None) -> str:
    """A number as people read it: three significant digits, thousands apart.

    >>> number(1234567.0), number(0.04567), number(None)
    ('1,230,000', '0.0457', '')
    """
    if value is None:
        return ""
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f}" if abs(rounded) >= 100 else f"{rounded:g}"


def machine() -> str:
    """Where this was measured, and how busy it was."""
    busy = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return f"{platform.machine()}, {os.cpu_count()} cores{busy}, Python {platform.python_version()}"


class Stopwatch:
    """Times a block; `timing` is there when it has ended. Garbage is collected before and not inside.

    >>> with Stopwatch() as watch:
    ...     _ = sum(range(10))
    >>> watch.timing.wall > 0
    True
    """

    timing: Timing

    def __enter__(self) -> Self:
        gc.collect()
        self._was_collecting = gc.isenabled()
        gc.disable()
        self._began = Timing(time.perf_counter(), time.process_time())
        return self

    def __exit__(self, *_: object) -> None:
        self.timing = Timing(time.perf_counter() - self._began.wall, time.process_time() - self._began.cpu)
        if self._was_collecting:
            gc.enable()


T = TypeVar("T")


def interleaved(measures: Mapping[str, Callable[[], T]], repetitions: int) -> dict[str, list[T]]:
    """Call each `repetitions` times, forwards and backwards in turn; what they return, by name."""
    found: dict[str, list[T]] = {name: [] for name in measures}
    for turn in range(repetitions):
        for name in list(measures)[:: 1 if turn % 2 == 0 else -1]:
            found[name].append(measures[name]())
    return found


def seconds(name: str, timings: Sequence[Timing], **more: Any) -> Figure:
    """A figure in seconds; `more` are fields of Figure."""
    return Figure(name, [t.wall for t in timings], "s", cpu_samples=[t.cpu for t in timings], **more)


def rate(name: str, n: int, unit: str, timings: Sequence[Timing], **more: Any) -> Figure:
    """A figure in things a second: `n` of them in each timing; `more` are fields of Figure."""
    return Figure(
        name, [n / t.wall for t in timings], unit, cpu_samples=[n / max(t.cpu, 1e-9) for t in timings], **more
    )


def against(figure: Figure) -> Baseline | None:
    """A figure as the baseline of others."""
    return None if figure.value is None else Baseline(figure.name, figure.value, figure.cpu_value)


def percentile(samples: Sequence[float], share: float) -> float:
    """The smallest sample that at least `share` of the samples do not exceed.

    >>> percentile([4.0, 1.0, 3.0, 2.0], 0.5), percentile([1.0, 2.0], 0.95)
    (2.0, 2.0)
    """
    return sorted(samples)[max(0, -(-int(share * 1000 * len(samples)) // 1000) - 1)]


def arguments(doc: str | None) -> argparse.ArgumentParser:
    """A parser that knows `--small`."""
    parser = argparse.ArgumentParser(description=(doc or "").strip().splitlines()[0])
    parser.add_argument("--small", action="store_true", help="a size that takes seconds: to see that it works")
    return parser


def finish(report: Report) -> NoReturn:
    """Print the table and leave: 1 where a goal is missed, else 0."""
    print(report.markdown())
    sys.exit(report.is_missed)
