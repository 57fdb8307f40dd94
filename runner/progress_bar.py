"""The live progress bar. The only module that imports rich for it, and only a terminal loads it."""

import contextlib
import io
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from typing import TextIO, cast

from rich.console import Console, RenderableType
from rich.progress import BarColumn, TaskID, TaskProgressColumn, TextColumn
from rich.progress import Progress as RichBar
from rich.table import Column
from rich.text import Text

from runner.console import innermost_tee, keep_only, original_stream
from runner.progress import SEPARATOR, Progress, one_line

REFRESH_SECONDS = 0.1
"""The bar takes up new numbers at most this often: a training step may take a millisecond."""


class RichProgress(Progress):
    """A live bar with time left and examples/s, the newest metrics below it; lines scroll by above it.

    It draws on the original stream behind any capture, and hands its lines (never the bar) to the log itself.
    While it is up, whatever else writes to a terminal is printed above the bar.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        super().__init__(stream)
        self._console = Console(
            file=original_stream(self.stream), force_terminal=True, markup=False, highlight=False, emoji=False
        )
        self._bar: _Bar | None = None
        self._task: TaskID | None = None
        self._reading_task: TaskID | None = None
        self._shown_at = 0.0
        self._redirects = contextlib.ExitStack()

    def start(self, total_steps: int | None, title: str, *, first_step: int = 0) -> None:
        super().start(total_steps, title, first_step=first_step)
        bar = self._open()
        if self._task is not None:
            bar.remove_task(self._task)
        self._task = bar.add_task(self._title, total=total_steps, completed=first_step, status="")

    def step(
        self,
        step: int,
        epoch: float,
        metrics: Mapping[str, float | None] | None = None,
        *,
        examples_seen: int | None = None,
    ) -> None:
        super().step(step, epoch, metrics, examples_seen=examples_seen)
        now = time.monotonic()
        if self._bar is None or self._task is None:
            return
        if now - self._shown_at < REFRESH_SECONDS and step != self._total_steps:
            return
        self._shown_at = now
        of = "" if self._total_steps is None else f"/{self._total_steps:,}"
        status = SEPARATOR.join([f"{step:,}{of}", f"epoch {epoch:.2f}", *self._speed()])
        self._bar.metrics = self._live
        self._bar.update(self._task, completed=step, status=status)

    def reading(self, name: str, n_rows: int) -> None:
        super().reading(name, n_rows)
        now = time.monotonic()
        if self._reading_task is not None and now - self._shown_at < REFRESH_SECONDS:
            return
        self._shown_at = now
        bar = self._open()
        if self._reading_task is None:
            self._reading_task = bar.add_task(one_line(name), total=None, status="")
        bar.update(self._reading_task, status=f"{n_rows:,} rows")

    def close(self) -> None:
        super().close()
        bar, self._bar, self._task = self._bar, None, None
        if bar is not None:
            self._redirects.close()
            bar.stop()

    def _end_reading(self) -> None:
        if self._bar is not None and self._reading_task is not None:
            self._bar.remove_task(self._reading_task)
        self._reading_task = None
        super()._end_reading()

    def _line(self, text: str) -> None:
        self._print(text, style="")

    def _important(self, text: str) -> None:
        self._print(text, style="yellow" if text.startswith("warning: ") else "bold")

    def _print(self, text: str, style: str) -> None:
        keep_only(self.stream, text)
        with contextlib.suppress(OSError, ValueError):  # a closed terminal must not end the training
            self._console.print(Text(text, style=style), soft_wrap=True)

    def _open(self) -> "_Bar":
        if self._bar is None:
            self._bar = _Bar(self._console)
            self._bar.start()
            for name in ("stdout", "stderr"):
                self._show_above(name)
        return self._bar

    def _show_above(self, name: str) -> None:
        """Send what is written to the terminal through `sys.<name>` above the bar while it is up."""
        stream: TextIO = getattr(sys, name)
        tee, target = innermost_tee(stream), original_stream(stream)
        if target is not self._console.file and not target.isatty():
            return  # it goes to a file or a pipe, where no bar is in the way
        display = _AboveBar(self._console, target)
        self._redirects.callback(display.end)
        if tee is not None:
            self._redirects.enter_context(tee.shown_by(cast(TextIO, display)))
        elif name == "stdout":
            self._redirects.enter_context(contextlib.redirect_stdout(cast(TextIO, display)))
        else:
            # Our own lines look `sys.stderr` up when they are written; the console holds the real stream.
            self._redirects.enter_context(contextlib.redirect_stderr(cast(TextIO, display)))


class _Bar(RichBar):
    """A bar line for each task, and one line of metrics below."""

    def __init__(self, console: Console) -> None:
        self.metrics = ""
        super().__init__(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TextColumn("{task.fields[status]}", markup=False, table_column=Column(no_wrap=True)),
            console=console,
            refresh_per_second=4,
            redirect_stdout=False,  # RichProgress does it, in a way that leaves the captured log whole
            redirect_stderr=False,
        )

    def get_renderables(self) -> Iterable[RenderableType]:
        yield self.make_tasks_table(self.tasks)
        if self.metrics:
            yield Text(self.metrics, style="dim", no_wrap=True, overflow="ellipsis")


class _AboveBar(io.TextIOBase):
    """Prints finished lines above the live bar, in their colours."""

    def __init__(self, console: Console, stream: TextIO) -> None:
        self._console = console
        self._stream = stream
        self._pending = ""
        self._lock = threading.RLock()

    def write(self, text: str) -> int:
        with self._lock:
            *lines, self._pending = (self._pending + text).split("\n")
            if "\r" in self._pending:  # another tool's bar: only its last state is worth a line
                self._pending = "\r" + self._pending.rstrip("\r").rpartition("\r")[2]
        for line in lines:
            self._console.print(Text.from_ansi(line.rstrip("\r").rpartition("\r")[2]), soft_wrap=True)
        return len(text)

    def end(self) -> None:
        """Print the line that was not ended."""
        if self._pending.strip():
            self.write("\n")

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override] # typeshed makes it an attribute; ours is the stream's
        return self._stream.encoding
