"""Ctrl-C and SIGTERM while a run is recorded: they end its work once, and never its record."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

_NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}
_SAID = b"ending: what was recorded is being written\n"


class Interrupted(BaseException):
    """Somebody asked the process to end (Ctrl-C, SIGTERM)."""


class Pruned(Interrupted):
    """What steers the run asked it to end at a rung."""


class Interrupts:
    """Signals wait; inside `let_through` they raise Interrupted at once, in the main thread."""

    def __init__(self) -> None:
        self._is_open = False
        self._waiting: str | None = None

    @contextlib.contextmanager
    def let_through(self) -> Iterator[None]:
        """The part of the work that may be broken off. A signal that came before ends it as it begins."""
        was_open, self._is_open = self._is_open, True
        try:
            if self._waiting is not None:
                raise Interrupted(self._waiting)
            yield
        finally:
            self._is_open = was_open

    def note(self, number: int, frame: FrameType | None) -> None:
        """A signal has come."""
        name = _NAMES[signal.Signals(number)]
        if self._is_open:
            raise Interrupted(name)
        if self._waiting is None:
            with contextlib.suppress(OSError):
                os.write(2, _SAID)  # not print: its lock may be held by what the signal broke into
        self._waiting = name


@contextlib.contextmanager
def held_interrupts() -> Iterator[Interrupts]:
    """From here to the end of the block signals wait, except where `let_through` says otherwise.

    In another thread than the main one, where Python lets nobody handle signals, it does nothing.
    """
    interrupts = Interrupts()
    if threading.current_thread() is not threading.main_thread():
        yield interrupts
        return
    previous = {number: signal.signal(number, interrupts.note) for number in _NAMES}
    try:
        yield interrupts
    finally:
        for number, handler in previous.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)  # None: not one of Python's own
