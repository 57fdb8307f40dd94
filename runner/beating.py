"""Saying that this process lives while it works at something that it holds: others may look from another machine."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from store.errors import may_pass

_SECONDS = 30.0


@contextmanager
def beating(beat: Callable[[], None], seconds: float = _SECONDS) -> Iterator[None]:
    """Inside, a thread calls `beat` every now and then; a store that cannot be written just now is tried again."""
    is_over = threading.Event()

    def work() -> None:
        while not is_over.wait(seconds):
            try:
                beat()
            except Exception as error:
                if not may_pass(error):
                    raise

    thread = threading.Thread(target=work, name="beating", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
