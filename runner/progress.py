"""What a person sees while a run works: a live bar, plain lines, or next to nothing.

`make_progress` picks the display; all three answer the same calls, and whatever the display leaves out
(a quiet run's evaluations, a live bar's messages) still reaches a captured console log.
"""

import contextlib
import math
import os
import sys
import time
from collections import deque
from collections.abc import Mapping
from types import TracebackType
from typing import Literal, Self, TextIO, get_args

from runner.console import clean_text, keep_only

Mode = Literal["auto", "rich", "plain", "quiet"]

RATE_WINDOW_SECONDS = 30.0
"""Speed and time left are taken over this long a stretch, so that they follow what happens now."""

PLAIN_SECONDS = 5.0
"""The plain display writes at most one step line in this time."""

SEPARATOR = " · "


def format_metrics(metrics: Mapping[str, float | None]) -> str:
    """Return `metrics` as one line: four significant digits, `nan` as it is, a dash where unknown.

    >>> format_metrics({"loss": 0.69314, "lr": 2e-4, "perplexity": None})
    'loss 0.6931 · lr 0.0002 · perplexity —'
    """
    return SEPARATOR.join(f"{name} {_number(value)}" for name, value in metrics.items())


def format_seconds(seconds: float) -> str:
    """Return a duration as people write it.

    >>> format_seconds(75), format_seconds(3_725)
    ('1:15', '1:02:05')
    """
    whole = max(0, round(seconds))
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _number(value: float | None) -> str:
    if value is None:
        return "—"
    if math.isfinite(value) and value == int(value) and abs(value) >= 1000:
        return f"{int(value):,}"
    return f"{value:.4g}"


def one_line(text: str) -> str:
    """Return `text` on one line, without control characters."""
    return clean_text(" ".join(text.split()))


class Progress:
    """The quiet display, and the bookkeeping that the other two share.

    Use it as a context manager, so that an exception never leaves a bar (or a hidden cursor) behind. Calls in
    order: any `reading`, `start`, then `step` / `evaluation` / `message` / `warning`, at last `finish`.

    Quiet shows warnings and the final line; evaluations and messages go to the captured log only.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._given_stream = stream
        self._total_steps: int | None = None
        self._title = ""
        self._live = ""
        self._reading_name: str | None = None
        self._n_rows_read = 0
        self._marks: deque[tuple[float, int, int | None]] = deque()  # (seconds, step, examples seen)

    @property
    def stream(self) -> TextIO:
        """Where the lines go: the given stream, else what `sys.stderr` is right now (maybe a capture)."""
        return self._given_stream if self._given_stream is not None else sys.stderr

    def start(self, total_steps: int | None, title: str, *, first_step: int = 0) -> None:
        """Begin training: `total_steps` optimizer steps (None: unknown), `first_step` of them done before."""
        self._end_reading()
        self._total_steps, self._title = total_steps, one_line(title)
        self._marks.clear()
        self._marks.append((time.monotonic(), first_step, None))

    def step(
        self,
        step: int,
        epoch: float,
        metrics: Mapping[str, float | None] | None = None,
        *,
        examples_seen: int | None = None,
    ) -> None:
        """Report step `step` (1-based, counted from the run's beginning) at `epoch` (0.5: half of the first).

        Args:
            metrics: the newest training metrics; None leaves the ones shown before.
            examples_seen: training examples seen by this process so far, for the speed; None: not shown.
        """
        now = time.monotonic()
        # A mark a second is enough, and keeps the window at some thirty entries.
        if len(self._marks) > 1 and now - self._marks[-2][0] < 1.0:
            self._marks.pop()
        self._marks.append((now, step, examples_seen))
        while len(self._marks) > 2 and now - self._marks[0][0] > RATE_WINDOW_SECONDS:
            self._marks.popleft()
        if metrics:
            self._live = clean_text(format_metrics(metrics))

    def evaluation(self, split: str, metrics: Mapping[str, float | None], *, step: int | None = None) -> None:
        """Report an evaluation of `split` after `step`."""
        where = "" if step is None else f" at step {step:,}"
        self._line(one_line(f"{split}{where}{SEPARATOR}{format_metrics(metrics)}"))

    def message(self, text: str) -> None:
        """Say something that is good to know."""
        self._line(one_line(text))

    def warning(self, text: str) -> None:
        """Say something that a person must see, in every mode."""
        self._important(f"warning: {one_line(text)}")

    def reading(self, name: str, n_rows: int) -> None:
        """Report that `n_rows` rows of `name` have been read so far. Call it as often as you like."""
        if name != self._reading_name:
            self._end_reading()
            self._reading_name = name
        self._n_rows_read = n_rows

    def finish(self, summary: str) -> None:
        """End the display with one last line, shown in every mode."""
        self.close()
        self._important(one_line(summary))

    def close(self) -> None:
        """Take the display down; safe to call twice."""
        self._end_reading()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _end_reading(self) -> None:
        name, self._reading_name = self._reading_name, None
        if name is not None:
            self._line(f"{one_line(name)}: {self._n_rows_read:,} rows")

    def _line(self, text: str) -> None:
        keep_only(self.stream, text)

    def _important(self, text: str) -> None:
        # A closed pipe must not end the training that it watched.
        with contextlib.suppress(OSError, ValueError):
            self.stream.write(text + "\n")
            self.stream.flush()

    def _speed(self) -> list[str]:
        """Return examples/s and the time left as text, each only where it can be told."""
        per_second, left = self._rates()
        parts = [] if per_second is None else [f"{per_second:,.0f} examples/s"]
        return parts if left is None else [*parts, f"{format_seconds(left)} left"]

    def _rates(self) -> tuple[float | None, float | None]:
        """Return (examples per second, seconds left), None where they cannot be told yet."""
        if len(self._marks) < 2:
            return None, None
        (began, first_step, _), (now, step, examples) = self._marks[0], self._marks[-1]
        left: float | None = None
        if self._total_steps is not None and first_step < step < self._total_steps and now > began:
            left = (self._total_steps - step) * (now - began) / (step - first_step)
        counted = [(at, seen) for at, _, seen in self._marks if seen is not None]
        if examples is None or len(counted) < 2 or counted[-1][0] <= counted[0][0]:
            return None, left
        return (examples - counted[0][1]) / (now - counted[0][0]), left


class PlainProgress(Progress):
    """One line of text at a time, for files, pipes and CI: no colour, no cursor movement."""

    def __init__(self, stream: TextIO | None = None, *, seconds: float = PLAIN_SECONDS) -> None:
        super().__init__(stream)
        self._seconds = seconds
        self._shown_at = -math.inf

    def start(self, total_steps: int | None, title: str, *, first_step: int = 0) -> None:
        super().start(total_steps, title, first_step=first_step)
        self._shown_at = time.monotonic()
        steps = "" if total_steps is None else f"{SEPARATOR}{total_steps:,} steps"
        since = f", from step {first_step:,}" if first_step else ""
        self._line(f"{self._title}{steps}{since}")

    def step(
        self,
        step: int,
        epoch: float,
        metrics: Mapping[str, float | None] | None = None,
        *,
        examples_seen: int | None = None,
    ) -> None:
        super().step(step, epoch, metrics, examples_seen=examples_seen)
        is_last = step == self._total_steps
        if not is_last and not self._is_due():
            return
        of = f"/{self._total_steps:,} ({step / self._total_steps:.0%})" if self._total_steps else ""
        parts = [self._title, f"step {step:,}{of}", f"epoch {epoch:.2f}", *self._speed(), self._live]
        self._line(SEPARATOR.join(part for part in parts if part))

    def reading(self, name: str, n_rows: int) -> None:
        if name != self._reading_name:
            self._shown_at = time.monotonic()  # a file that is read at once gets one line, at its end
        super().reading(name, n_rows)
        if self._is_due():
            self._line(f"{one_line(name)}: {n_rows:,} rows")

    def _is_due(self) -> bool:
        now = time.monotonic()
        is_due = now - self._shown_at >= self._seconds
        if is_due:
            self._shown_at = now
        return is_due

    def _line(self, text: str) -> None:
        self._important(text)


def make_progress(mode: Mode = "auto", stream: TextIO | None = None) -> Progress:
    """Return the display for `mode`, writing to `stream` (default: `sys.stderr`, captured or not).

    "auto" is "rich" on a terminal that can move its cursor, else "plain". Asking for "rich" by name gives the
    bar even where no terminal is seen.

    Raises:
        ValueError: `mode` is none of the four.
    """
    if mode not in get_args(Mode):
        raise ValueError(f"progress mode is {mode!r}; it must be one of {', '.join(get_args(Mode))}")
    if mode == "quiet":
        return Progress(stream)
    if mode == "plain" or (mode == "auto" and not is_live_terminal(stream or sys.stderr)):
        return PlainProgress(stream)
    from runner.progress_bar import RichProgress  # rich takes 0.1 s to import; only this display needs it

    return RichProgress(stream)


def is_live_terminal(stream: TextIO) -> bool:
    """Whether a display can move the cursor there."""
    try:
        return stream.isatty() and os.environ.get("TERM", "") not in ("dumb", "unknown")
    except (AttributeError, ValueError):  # not a real stream, or a closed one
        return False
