"""Why a run ends before its time: interrupts, memory, mistakes, each in a sentence."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import torch

from runner.errors import UserError

_SMALLER = "try a smaller training.batch_size with more training.gradient_accumulation, or a shorter model.max_length"
_HOST_MEMORY = "DefaultCPUAllocator"  # torch says so where it cannot have memory of the host


class Interrupted(BaseException):
    """Somebody asked the process to end (Ctrl-C, SIGTERM)."""


def cause_of(error: BaseException) -> str:
    """Why a run failed, in a sentence."""
    if isinstance(error, torch.OutOfMemoryError):
        return f"out of memory on the device; {_SMALLER}. {' '.join(str(error).split())[:300]}"
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and _HOST_MEMORY in str(error)):
        return f"out of memory on the host; {_SMALLER}. {' '.join(str(error).split())[:300]}".rstrip()
    if isinstance(error, UserError):
        return str(error)
    return f"{type(error).__name__}: {error}"


@contextmanager
def interruptible() -> Iterator[None]:
    """Ctrl-C and SIGTERM end the training cleanly, with everything written so far."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise Interrupted({signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}[signal.Signals(number)])

    previous = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)  # None: not one of Python's own
