"""A pause, asked by one thread of a process and heeded by the training in another: at its next step, with a checkpoint.

The two know nothing of each other but that they share the process, so what was asked is the process's.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_asked = threading.Event()
_heard = threading.Event()


@contextmanager
def heeding() -> Iterator[None]:
    """The training in this block looks at `is_asked` after each step."""
    _asked.clear()
    _heard.set()
    try:
        yield
    finally:
        _heard.clear()


def ask() -> bool:
    """Ask for a pause. False: nobody here would heed it, so it has to be an interrupt."""
    if not _heard.is_set():
        return False
    _asked.set()
    return True


def is_asked() -> bool:
    """Whether the training should save a checkpoint and end here."""
    return _asked.is_set()
