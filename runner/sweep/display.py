"""What a person sees of a sweep at work: a bar in a terminal, lines elsewhere."""

import sys
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any, Protocol, TextIO

from runner.progress import SEPARATOR, format_seconds, one_line
from store import Status, Trial

_LINE_SECONDS = 30.0
_ENDED = (Status.FINISHED, Status.PRUNED, Status.FAILED)


@dataclass(frozen=True)
class Snapshot:
    """How far a sweep is."""

    trials: tuple[Trial, ...]
    n_wanted: int | None
    """Configurations; None: not known yet."""
    at_work: tuple[int, ...]
    """Keys of the trials that run."""
    n_waiting: int
    """Trials that wait for a device, or were paused."""
    metric: str
    best: tuple[int, float] | None
    """Number of the best configuration, and its value."""
    worked_seconds: float
    device_seconds: float
    saved_share: float | None
    """Of the epochs of the sweep's own trials, what pruning saved, in [0, 1]."""

    @property
    def n_done(self) -> int:
        """Trials that need no more work, for now."""
        return sum(trial.status in _ENDED for trial in self.trials)

    def line(self) -> str:
        """All of it in one line."""
        counts = Counter(trial.status for trial in self.trials)
        wanted = "" if self.n_wanted is None else f" of {max(self.n_wanted, len({t.number for t in self.trials}))}"
        n_reused, n = sum(trial.is_reused for trial in self.trials), len({t.number for t in self.trials})
        parts = [
            f"{n}{wanted} configuration{'' if n == 1 and not wanted else 's'}",
            f"{counts[Status.FINISHED]} finished",
            f"{len(self.at_work)} running",
            f"{self.n_waiting} waiting in the queue" if self.n_waiting else "",
            f"{counts[Status.PRUNED]} stopped early" if counts[Status.PRUNED] else "",
            f"{counts[Status.FAILED]} failed" if counts[Status.FAILED] else "",
            f"{n_reused} reused" if n_reused else "",
            "" if self.best is None else f"best {self.metric} {self.best[1]:.4g} (trial {self.best[0]})",
            f"{format_seconds(self.worked_seconds)} so far, {format_seconds(self.device_seconds)} of devices",
            "" if not self.saved_share else f"{self.saved_share:.0%} of the epochs saved",
        ]
        return SEPARATOR.join(part for part in parts if part)


class Display(Protocol):
    """Where a driver shows what happens."""

    def say(self, text: str) -> None:
        """Something happened."""
        ...

    def update(self, snapshot: Snapshot) -> None:
        """This is how far it is now."""
        ...

    def close(self) -> None:
        """Take the display down; safe to call twice."""
        ...


class Lines:
    """A line for everything that happens, and now and then one for how far it is."""

    def __init__(self, stream: TextIO | None = None, *, seconds: float = _LINE_SECONDS, is_quiet: bool = False) -> None:
        self._given, self._seconds, self._is_quiet = stream, seconds, is_quiet
        self._shown_at = 0.0
        self._shown = ""

    def say(self, text: str) -> None:
        if not self._is_quiet:
            self._write(text)

    def update(self, snapshot: Snapshot) -> None:
        now, n_done = time.monotonic(), str(snapshot.n_done)
        if self._is_quiet or (n_done == self._shown and now - self._shown_at < self._seconds):
            return
        self._shown, self._shown_at = n_done, now
        self._write(snapshot.line())

    def close(self) -> None:
        """Nothing to take down."""

    def _write(self, text: str) -> None:
        stream = self._given if self._given is not None else sys.stderr
        stream.write(one_line(text) + "\n")
        stream.flush()


class Bar:
    """A bar with the latest figures below what has happened."""

    def __init__(self, stream: TextIO | None = None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self._console = Console(file=stream or sys.stderr)
        self._progress: Any = Progress(
            BarColumn(bar_width=24), TextColumn("{task.description}", markup=False), console=self._console
        )
        self._task = self._progress.add_task("", total=None)
        self._progress.start()

    def say(self, text: str) -> None:
        self._console.print(one_line(text), markup=False, highlight=False)

    def update(self, snapshot: Snapshot) -> None:
        self._progress.update(
            self._task,
            description=snapshot.line(),
            completed=snapshot.n_done,
            total=None if snapshot.n_wanted is None else max(snapshot.n_wanted, len(snapshot.trials)),
        )

    def close(self) -> None:
        self._progress.stop()


def make_display(*, is_quiet: bool = False, is_plain: bool = False) -> Display:
    """A bar in a terminal that can move its cursor, else lines."""
    from runner.progress import is_live_terminal

    if is_quiet or is_plain or not is_live_terminal(sys.stderr):
        return Lines(is_quiet=is_quiet)
    return Bar()
