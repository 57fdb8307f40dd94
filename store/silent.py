"""A recorder that records nothing: for the processes of a training beside the one that records it."""

import time
from typing import Any

from store.connection import Store
from store.recorder import Recorder
from store.records import Run


class SilentRecorder(Recorder):
    """Takes what a Recorder takes, holds no lease and writes no row."""

    is_silent = True

    def __init__(self, store: Store, run: Run, segment: int = 1) -> None:
        self.store = store
        self.run = run
        self.segment = segment
        self._began = time.monotonic()
        self._writer: Any = _NoWriter()


class _NoWriter:
    rows_pending = rows_lost = 0

    def add(self, item: object) -> None:
        """Nothing is kept."""

    def flush(self, timeout: float) -> None:
        """Nothing waits."""

    def settle(self, timeout: float) -> bool:
        """Nothing could be lost."""
        return True

    def close(self, last: object, timeout: float) -> bool:
        """Nothing is open."""
        return False
