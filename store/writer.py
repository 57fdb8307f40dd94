"""The recorder's writing: a queue in memory and the one thread that empties it into the store.

Only that thread writes, so a Ctrl-C in the training thread never hits a row between memory and file.
"""

import atexit
import contextlib
import os
import sqlite3
import threading
import time
import warnings

from store.connection import Store
from store.entries import Entry, Item, Loss, write_items, write_what_can_be
from store.errors import RowsLost, may_pass
from store.leases import beat
from store.records import Run
from store.runs import record_event

FLUSH_SECONDS = 0.5
HEARTBEAT_SECONDS = 5.0
# So long one attempt to write waits for a locked store, and so long the recorder rests before the next attempt.
LOCK_SECONDS = 5.0
RETRY_SECONDS = 0.2
AT_EXIT_SECONDS = 10.0
# More waiting rows than this and a caller waits for the writer, so memory stays bounded while the store is well.
_BACKPRESSURE_ROWS = 400_000
# While the store cannot be written to at all, this many rows wait in memory; later ones are counted as lost.
_CAPACITY_ROWS = 4_000_000


class Writer:
    """Takes items at once and writes them half a second later at most; see `store.recorder` for what it promises."""

    def __init__(self, store: Store, run: Run, segment: int) -> None:
        self.store = store
        self.run = run
        self.segment = segment
        self.rows_lost = 0
        self._changed = threading.Condition()  # guards all that follows
        self._queue: list[Item] = []
        self._n_accepted = 0  # rows, ever
        self._n_settled = 0  # of those, written or given up
        self._n_unreported = 0  # of the lost, not yet told in the run's events
        self._loss_reason = ""
        self._failing: str | None = None
        self._is_urgent = False
        self._is_closing = False
        self._beat_at = time.monotonic()
        self._pid = os.getpid()
        self._thread = threading.Thread(target=self._keep_writing, name=f"recorder-{run.id}", daemon=True)
        self._thread.start()
        atexit.register(self._flush_at_exit)

    @property
    def rows_pending(self) -> int:
        """Rows that were accepted and are not in the store yet."""
        return self._n_accepted - self._n_settled

    def flush(self, timeout: float) -> None:
        """Return when everything accepted so far is in the store.

        Raises RowsLost when the store cannot be written for `timeout` seconds; the rows go on waiting.
        """
        deadline = time.monotonic() + timeout
        with self._changed:
            target = self._n_accepted
            self._is_urgent = True
            self._changed.notify_all()
            while not self._changed.wait_for(lambda: self._n_settled >= target, min(1.0, max(timeout, 0.05))):
                if not self._thread.is_alive():  # after a fork the thread is with the parent
                    raise RowsLost(f"{self.rows_pending} rows of run {self.run.id} have no thread that writes them.")
                if self._failing and time.monotonic() >= deadline:
                    raise RowsLost(
                        f"{self.rows_pending} rows could not be written to {self.store.path}: {self._failing}."
                    )

    def close(self, last: Entry, timeout: float) -> bool:
        """Write what is pending and then `last`; whether this was the first call. Raises as `flush` does."""
        with self._changed:
            is_first = not self._is_closing
            if is_first:
                self._queue.append(last)
                self._n_accepted += last.n_rows
                self._is_closing = True
        self.flush(timeout)
        self._thread.join()
        atexit.unregister(self._flush_at_exit)
        return is_first

    def add(self, item: Item) -> None:
        """Let an item wait for the thread; a caller who is too fast waits himself."""
        with self._changed:
            if self._is_closing:
                self._give_up(item.n_rows, "they came after the run had ended")
                self._n_unreported = 0  # nobody is left to write an event
                is_late = True
            else:
                is_late = False
                self._enqueue(item)
                if self.rows_pending > _BACKPRESSURE_ROWS and not self._failing and self._thread.is_alive():
                    self._is_urgent = True
                    self._changed.notify_all()
                    self._changed.wait_for(lambda: self.rows_pending <= _BACKPRESSURE_ROWS or self._failing)
        if is_late:
            _warn(f"run {self.run.id} has ended: {item.n_rows} rows came too late and are lost.")

    def _enqueue(self, item: Item) -> None:
        if self._failing and self.rows_pending + item.n_rows > _CAPACITY_ROWS:
            self._give_up(item.n_rows, f"no room to let them wait: {self._failing}")
            return
        self._queue.append(item)
        self._n_accepted += item.n_rows

    def _give_up(self, n_rows: int, reason: str) -> None:
        self.rows_lost += n_rows
        self._n_unreported += n_rows
        self._loss_reason = reason

    def _keep_writing(self) -> None:
        while True:
            with self._changed:
                if self._failing:
                    self._changed.wait(RETRY_SECONDS)
                elif not self._is_closing:
                    self._changed.wait_for(lambda: self._is_urgent, FLUSH_SECONDS)
                self._is_urgent = False
                if self._is_closing and not self._queue:
                    return
                items, self._queue = self._queue, []
                accepted = self._n_accepted
            failing = None
            try:
                if items or time.monotonic() - self._beat_at > HEARTBEAT_SECONDS:
                    failing = self._write(items)
            except Exception as error:  # a mistake of ours must not end the thread: the rows wait
                failing = f"{type(error).__name__}: {error}"
            with self._changed:
                is_news = failing is not None and self._failing is None
                self._failing = failing
                if failing is None:
                    self._n_settled = accepted
                else:
                    self._queue = [*items, *self._queue]
                self._changed.notify_all()
            if is_news:
                _warn(f"the store {self.store.path} cannot be written ({failing}); rows wait.")

    def _write(self, items: list[Item]) -> str | None:
        """Write items in one transaction, without those that can never be written. Returns why all must wait, if so."""
        losses: list[Loss] = []
        try:
            try:
                with self.store.write(self.run.key, wait_seconds=LOCK_SECONDS) as db:
                    write_items(db, self.run.key, self.segment, items)
                    self._beat(db, items, losses)
            except Exception as error:
                if may_pass(error):
                    raise
                if self._is_gone():
                    losses.append(Loss(sum(item.n_rows for item in items), "the run was deleted"))
                else:
                    with self.store.write(self.run.key, wait_seconds=LOCK_SECONDS) as db:
                        losses += write_what_can_be(db, self.run.key, self.segment, items)
                        self._beat(db, items, losses)
        except Exception as error:
            if may_pass(error):
                return str(error)
            raise
        self._beat_at = time.monotonic()
        with self._changed:
            self._n_unreported = 0
            self.rows_lost += sum(loss.n_rows for loss in losses)
        for loss in losses:
            _warn(f"run {self.run.id}: {loss.n_rows} rows could not be written: {loss.reason}")
        return None

    def _beat(self, db: sqlite3.Connection, items: list[Item], losses: list[Loss]) -> None:
        """Inside the transaction that writes `items` without `losses`: the lease, and what was lost so far."""
        lost = sum(loss.n_rows for loss in losses)
        if self._n_unreported + lost:
            reason = losses[-1].reason if losses else self._loss_reason
            record_event(
                db, self.run.key, "rows lost", f"{self._n_unreported + lost} rows could not be written: {reason}"
            )
        beat(db, self.run.key, self.rows_pending - sum(item.n_rows for item in items), self.rows_lost + lost)

    def _is_gone(self) -> bool:
        with contextlib.suppress(sqlite3.Error):
            return self.store.db.execute("SELECT 1 FROM runs WHERE key = ?", (self.run.key,)).fetchone() is None
        return False

    def _flush_at_exit(self) -> None:
        """A script that ends without `finish` leaves its rows behind; what became of the run, `reconcile` will say."""
        if self._pid == os.getpid():
            try:
                self.flush(AT_EXIT_SECONDS)
            except RowsLost as lost:
                _warn(str(lost))


def _warn(text: str) -> None:
    with contextlib.suppress(Warning):  # under `-W error` a warning raises, and must not end the thread that writes
        warnings.warn(text, stacklevel=3)
