"""Keep what a run printed, without changing what the terminal shows.

`ConsoleCapture` puts a tee in front of `sys.stdout` and `sys.stderr` and points existing `logging` handlers
at it, so prints, logging and `warnings` all reach a sink as clean lines of text. What bypasses Python's
streams (C libraries, child processes, `sys.stdout.buffer`) is shown but not kept.
"""

import contextlib
import logging
import os
import re
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TextIO, cast

MAX_CHARS = 2_000_000
"""Characters of one run's console that are kept by default."""

MAX_LINE_CHARS = 65_536
"""A line without an end is passed on in pieces of this many characters."""

_TAIL_SHARE = 0.25  # of `max_chars` is kept for the end of the log, where failures explain themselves
_DRAIN_SECONDS = 5.0

# CSI sequences (colours, cursor), OSC sequences (titles, links), other two-character escapes.
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_=>78])")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def clean_text(text: str) -> str:
    r"""Return `text` without ANSI escapes and control characters; tabs and line ends stay.

    >>> clean_text("\x1b[31mred\x1b[0m\a")
    'red'
    """
    return _CONTROL.sub("", _ANSI.sub("", text))


def final_state(line: str) -> str:
    r"""Return what a terminal line says in the end: the last state that a carriage return left standing.

    >>> final_state(" 10%|#   |\r 99%|### |\r100%|####|\r")
    '100%|####|'
    """
    states = [clean_text(state) for state in line.split("\r")]
    return next((state for state in reversed(states) if state.strip()), "")


class LineAssembler:
    """Turns written pieces into finished, clean lines. Not thread-safe: the capture holds the lock."""

    def __init__(self) -> None:
        self._pending = ""

    def feed(self, text: str) -> list[str]:
        """Add `text`; return the lines that it finished, without their line ends."""
        *finished, self._pending = (self._pending + text).split("\n")
        lines = [piece for line in finished for piece in _pieces(final_state(line))]
        if "\r" in self._pending:  # a progress bar may redraw for hours: keep its newest two states
            *past, last = self._pending.split("\r")  # the last may yet turn out to be an escape, no text
            self._pending = next((state for state in reversed(past) if final_state(state)), "") + "\r" + last
        if len(self._pending) > MAX_LINE_CHARS:
            *full, self._pending = _pieces(self._pending)
            lines += [final_state(piece) for piece in full]
        return lines

    @property
    def pending(self) -> str:
        """The clean state of the line that has not ended yet."""
        return final_state(self._pending)

    def flush(self) -> list[str]:
        """Return the unfinished line, if it says anything, and forget it."""
        pending, self._pending = self.pending, ""
        return [pending] if pending else []


def _pieces(line: str) -> list[str]:
    return [line[start : start + MAX_LINE_CHARS] for start in range(0, len(line), MAX_LINE_CHARS)] or [""]


class Tee:
    """Stands for a text stream: writes go to it first, then to the capture. All else is the stream's."""

    def __init__(self, stream: TextIO, capture: "ConsoleCapture") -> None:
        self.stream = stream
        self.lines = LineAssembler()
        self._capture = capture
        self._shown_by: TextIO | None = None

    def write(self, text: str) -> int:
        """Write to the terminal as if nothing stood between, and keep a copy."""
        written = (self._shown_by or self.stream).write(text)
        self._capture.keep(text, self.lines)
        return written

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each of `lines`."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Flush the stream; a line is kept once it has ended, flushed or not."""
        (self._shown_by or self.stream).flush()

    def keep_only(self, text: str) -> None:
        """Keep `text` as lines of their own in the log (of nested captures too) without showing it."""
        self._capture.keep(text + "\n", LineAssembler())
        if isinstance(self.stream, Tee):
            self.stream.keep_only(text)

    @contextlib.contextmanager
    def shown_by(self, display: TextIO) -> Iterator[None]:
        """While inside, what the terminal would show is written to `display` (a live progress bar)."""
        previous, self._shown_by = self._shown_by, display
        try:
            yield
        finally:
            self._shown_by = previous

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)  # isatty, fileno, encoding, errors, buffer, ...


def innermost_tee(stream: object) -> Tee | None:
    """Return the tee that writes to the real stream (captures nest), or None for an uncaptured stream."""
    tee = stream if isinstance(stream, Tee) else None
    while tee is not None and isinstance(tee.stream, Tee):
        tee = tee.stream
    return tee


def original_stream(stream: TextIO) -> TextIO:
    """Return the stream behind any number of captures."""
    tee = innermost_tee(stream)
    return stream if tee is None else tee.stream


def keep_only(stream: object, text: str) -> None:
    """Put `text` into the captured log of `stream` without showing it; an uncaptured stream has none."""
    if isinstance(stream, Tee):
        stream.keep_only(text)


@dataclass(slots=True)
class _Line:
    text: str
    is_sent: bool


class ConsoleCapture:
    """Tees the console to `sink`, one clean line (no line end) a call, from entering to leaving the context.

    Args:
        sink: called outside every lock, one call at a time, from whichever thread printed. What it raises is
            kept in `problem` and never reaches the code that printed; what it prints is shown, not captured.
        max_chars: the cap (> 0). The first three quarters go to the sink at once; then one line says so, and
            on leaving, the count of what was left out and the last quarter follow.

    Leaving with an exception also keeps its traceback. Forked children print as usual and are not captured.

    >>> kept = []
    >>> with ConsoleCapture(kept.append):
    ...     print("epoch 1\\repoch 2 done")  # doctest: +ELLIPSIS
    epoch 1...epoch 2 done
    >>> kept
    ['epoch 2 done']
    """

    def __init__(self, sink: Callable[[str], None], *, max_chars: int = MAX_CHARS) -> None:
        if max_chars <= 0:
            raise ValueError(f"max_chars is {max_chars}; it must be greater than 0")
        self._sink = sink
        self._tail_chars = max(1, int(max_chars * _TAIL_SHARE))
        self._head_chars = max_chars - self._tail_chars
        self._sent_chars = 0
        self._is_full = False
        self._ring: deque[_Line] = deque()
        self._ring_chars = 0
        self._left_out = [0, 0]  # lines, characters
        self._outbox: deque[str] = deque()
        self._drainer: int | None = None
        # Reentrant: a signal handler may print while this very thread holds it.
        self._changed = threading.Condition(threading.RLock())
        self._pid = os.getpid()
        self._is_open = False
        self._tees: list[tuple[str, Tee]] = []
        self._handlers: list[tuple[logging.StreamHandler[Any], Any, Tee]] = []
        self.problem: BaseException | None = None
        """The last exception that the sink raised, or None."""

    def __enter__(self) -> Self:
        if self._is_open or self._tees:
            raise RuntimeError("a ConsoleCapture captures once; make a new one")
        self._is_open = True
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if stream is not None:  # None where the program has no console at all
                tee = Tee(stream, self)
                self._tees.append((name, tee))
                setattr(sys, name, cast(TextIO, tee))
        for handler in _stream_handlers():
            for _, tee in self._tees:
                if handler.stream is tee.stream:
                    self._handlers.append((handler, tee.stream, tee))
                    handler.setStream(tee)
                    break
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handler, stream, tee in self._handlers:
            if handler.stream is tee:
                handler.setStream(stream)
        for name, tee in self._tees:
            if getattr(sys, name) is tee:  # a capture that was opened later and is still open keeps its place
                setattr(sys, name, tee.stream)
        if os.getpid() != self._pid:  # a forked child: the sink and the lock belong to the parent
            return
        with self._changed:
            for _, tee in self._tees:
                self._add(tee.lines.flush())
            if isinstance(error, Exception):
                text = "".join(traceback.format_exception(kind, error, trace))
                self._add([clean_text(line) for line in text.splitlines()])
            self._is_open = False
            self._add_end()
        self._drain()
        with self._changed:
            self._changed.wait_for(lambda: self._drainer is None and not self._outbox, timeout=_DRAIN_SECONDS)

    def tail(self, n_lines: int) -> str:
        """Return the last `n_lines` (>= 0) lines, the unfinished one included, joined by line ends."""
        if n_lines <= 0:
            return ""
        with self._changed:
            lines = [line.text for line in self._ring]
            lines += [tee.lines.pending for _, tee in self._tees if tee.lines.pending]
        return "\n".join(lines[-n_lines:])

    def keep(self, text: str, lines: LineAssembler) -> None:
        """Add `text` to the lines that `lines` assembles; does nothing once the capture has ended."""
        if not self._is_open or os.getpid() != self._pid or self._drainer == threading.get_ident():
            return
        with self._changed:
            self._add(lines.feed(text))
        self._drain()

    def _add(self, lines: Iterable[str]) -> None:
        """Put finished lines into the outbox (while there is room) and the ring. Call with the lock held."""
        for text in lines:
            n_chars = len(text) + 1
            fits = not self._is_full and self._sent_chars + n_chars <= self._head_chars
            if fits:
                self._sent_chars += n_chars
                self._outbox.append(text)
            elif not self._is_full:
                self._is_full = True
                self._outbox.append(
                    f"… {self._sent_chars:,} characters of console output kept; "
                    "from here only the last lines are, and they follow when the capture ends"
                )
            self._ring.append(_Line(text, fits))
            self._ring_chars += n_chars
            while self._ring_chars > self._tail_chars and len(self._ring) > 1:
                dropped = self._ring.popleft()
                self._ring_chars -= len(dropped.text) + 1
                if not dropped.is_sent:
                    self._left_out[0] += 1
                    self._left_out[1] += len(dropped.text) + 1

    def _add_end(self) -> None:
        """Queue what was left out and the kept end. Call with the lock held."""
        n_lines, n_chars = self._left_out
        if n_lines:
            self._outbox.append(f"… {n_lines:,} lines ({n_chars:,} characters) left out …")
        self._outbox.extend(line.text for line in self._ring if not line.is_sent)

    def _drain(self) -> None:
        """Hand the outbox to the sink. One thread at a time does; the others leave their lines and go on.

        The sink runs without the lock: it may wait for a lock (a store's) whose holder is printing.
        """
        while True:
            with self._changed:
                if self._drainer is not None or not self._outbox:
                    return
                self._drainer = threading.get_ident()
            try:
                while self._outbox:
                    self._send(self._outbox.popleft())
            finally:
                with self._changed:
                    self._drainer = None
                    self._changed.notify_all()

    def _send(self, text: str) -> None:
        try:
            self._sink(text)
        except Exception as error:  # printing must not fail because keeping did
            self.problem = error


def _stream_handlers() -> list[logging.StreamHandler[Any]]:
    """Every handler that writes to a stream, of every logger (libraries bind theirs on import)."""
    loggers = [logging.root, *logging.root.manager.loggerDict.values()]
    handlers = {
        id(handler): handler
        for logger in loggers
        if isinstance(logger, logging.Logger)  # the rest are placeholders
        for handler in logger.handlers
        if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler)
    }
    return list(handlers.values())
