"""The recorder's writing: a queue in memory and the one thread that empties it into the store.

Only that thread writes, so a Ctrl-C in the training thread never hits a row between memory and file. While the store
cannot be written, rows go to a spool file, so that they outlive the process; once it can, they are folded in first.
"""

import atexit
import contextlib
import os
import sqlite3
import threading
import time
import warnings
from collections.abc import Callable, Sequence

from store.batches import Loss, write_batch
from store.connection import Store
from store.entries import Entry, Item
from store.errors import RowsLost, may_pass
from store.folding import Spool
from store.leases import beat
from store.plain import numbered
from store.records import Run
from store.runs import record_event

# Rows are half a second in memory at most: so long until they are taken, and so long for a lock until they are spooled.
FLUSH_SECONDS = 0.25
LOCK_SECONDS = 0.2
HEARTBEAT_SECONDS = 5.0
# While the store cannot be written: so often rows are spooled, and so seldom at last a full disk is tried again.
RETRY_SECONDS = 0.2
REST_SECONDS = 2.0
# A store that is locked for longer than this is worth a warning; it is no news among many writers.
LOCKED_SECONDS = 5.0
AT_EXIT_SECONDS = 10.0
# Rows folded at once; more where more come in meanwhile.
_CHUNK_ROWS = 50_000
# More rows than this in memory and a caller waits for the writer, so memory stays bounded.
_BACKPRESSURE_ROWS = 400_000
# Where neither store nor spool can be written this many rows wait in memory; later ones are counted as lost.
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
        self._n_spooled = 0  # of those not settled, on disk
        self._n_unreported = 0  # of the lost, not yet told in the run's events
        self._loss_reason = ""
        self._failing: str | None = None  # why the store cannot be written
        self._stuck: str | None = None  # why the spool cannot be written either
        self._is_urgent = False
        self._is_closing = False
        self._spool = Spool(store, run, segment)  # the thread's own, as is all that follows
        self._n_reporting = 0  # of those not yet told, told in the transaction that is under way
        self._failing_since: float | None = None
        self._is_told = False  # that the store cannot be written
        self._attempt_at = 0.0  # not before then
        self._rest_seconds = RETRY_SECONDS
        self._beat_at = time.monotonic()
        self._pid = os.getpid()
        self._thread = threading.Thread(target=self._keep_writing, name=f"recorder-{run.id}", daemon=True)
        self._thread.start()
        atexit.register(self._flush_at_exit)

    @property
    def rows_pending(self) -> int:
        """Rows that were accepted and are not in the store yet."""
        return self._n_accepted - self._n_settled

    @property
    def _n_in_memory(self) -> int:
        return self.rows_pending - self._n_spooled

    def flush(self, timeout: float, *, is_ending: bool = False) -> None:
        """Return when everything accepted so far is in the store.

        Raises RowsLost when the store cannot be written for `timeout` seconds; the rows go on waiting. To a process
        that `is_ending` it raises as soon as it can: when all that waits is on disk.
        """
        deadline = time.monotonic() + timeout
        with self._changed:
            target = self._n_accepted
            self._is_urgent = True
            self._changed.notify_all()
            look = 0.1 if is_ending else min(1.0, max(timeout, 0.05))
            while not self._changed.wait_for(lambda: self._n_settled >= target, look):
                if not self._thread.is_alive():  # after a fork the thread is with the parent
                    raise RowsLost(f"no thread writes {numbered(self.rows_pending, 'row')} of run {self.run.id}.")
                is_safe = is_ending and not self._n_in_memory
                if self._failing and (is_safe or time.monotonic() >= deadline):
                    raise RowsLost(
                        f"{numbered(self.rows_pending, 'row')} could not be written to {self.store.path}:"
                        f" {self._failing}."
                        f" They wait {self._place()}."
                    )

    def settle(self, timeout: float) -> bool:
        """Wait until everything accepted so far would survive a kill: in the store, or on disk. False: it would not."""
        try:
            self.flush(timeout, is_ending=True)
        except RowsLost:
            return not self._n_in_memory
        return True

    def close(self, last: Entry, timeout: float) -> bool:
        """Write what is pending and then `last`; whether this was the first call.

        Where the store cannot be written for `timeout` seconds and everything is safe on disk, says so and returns;
        raises as `flush` does where rows are in memory only.
        """
        with self._changed:
            is_first = not self._is_closing
            if is_first:
                self._queue.append(last)
                self._n_accepted += last.n_rows
                self._is_closing = True
        try:
            self.flush(timeout)
        except RowsLost as error:
            if self._n_in_memory:
                raise
            atexit.unregister(self._flush_at_exit)
            _warn(f"{error} The next start of Assay on this store writes them, and then run {self.run.id} has ended.")
            return is_first
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
                # written out, because of the many calls
                n_in_memory = self._n_accepted - self._n_settled - self._n_spooled
                if n_in_memory > _BACKPRESSURE_ROWS and not self._stuck and self._thread.is_alive():
                    self._is_urgent = True
                    self._changed.notify_all()
                    self._changed.wait_for(lambda: self._n_in_memory <= _BACKPRESSURE_ROWS or self._stuck)
        if is_late:
            _warn(f"run {self.run.id} has ended: {item.n_rows} rows came too late and are lost.")

    def _enqueue(self, item: Item) -> None:
        if self._stuck and self._n_in_memory + item.n_rows > _CAPACITY_ROWS:
            self._give_up(item.n_rows, f"no room to let them wait: {self._failing}; {self._stuck}")
            return
        self._queue.append(item)
        self._n_accepted += item.n_rows

    def _give_up(self, n_rows: int, reason: str) -> None:
        self.rows_lost += n_rows
        self._n_unreported += n_rows
        self._loss_reason = reason

    def _keep_writing(self) -> None:
        began = time.monotonic()
        while True:
            with self._changed:
                if self._failing:
                    self._changed.wait(max(began + RETRY_SECONDS - time.monotonic(), 0.001))
                elif not self._is_closing and not self._n_spooled:
                    self._changed.wait_for(lambda: self._is_urgent, FLUSH_SECONDS)
                self._is_urgent = False
                if self._is_closing and not self._queue and not self._n_spooled:
                    self._spool.close()
                    return
                items, self._queue = self._queue, []
                accepted = self._n_accepted
            began = time.monotonic()
            failing, stuck, waiting = self._bring(items)
            with self._changed:
                self._queue = [*waiting, *self._queue]
                self._failing, self._stuck = failing, stuck
                self._n_spooled = self._spool.n_rows
                self._n_settled = accepted - self._n_spooled - sum(item.n_rows for item in waiting)
                self._changed.notify_all()
            self._tell_failure()

    def _bring(self, items: list[Item]) -> tuple[str | None, str | None, list[Item]]:
        """Write items to the store or else to the spool; and what the spool holds to the store.

        Returns why the store cannot be written, why the spool cannot, and the items that wait in memory.
        """
        failing, stuck = self._failing, self._stuck
        n_before = self._spool.n_rows
        is_time = time.monotonic() >= self._attempt_at
        if not n_before and is_time:
            failing = self._attempt(lambda: self._write(items))
            if failing is None:
                return None, None, []
        if items and (is_time or not stuck):
            stuck = _problem(lambda: self._spool.append(items))
            with self._changed:
                self._n_spooled = self._spool.n_rows
        if n_before and is_time:
            n_rows = max(_CHUNK_ROWS, 2 * (self._spool.n_rows - n_before))
            failing = self._attempt(lambda: self._fold(n_rows))
        return failing, stuck, items if stuck else []

    def _attempt(self, action: Callable[[], None]) -> str | None:
        """Why the store cannot be written; then it is left alone for a while, unless it is only locked."""
        failing = _problem(action)
        self._rest_seconds = min(2 * self._rest_seconds, REST_SECONDS) if failing else RETRY_SECONDS
        if failing and "locked" not in failing:
            self._attempt_at = time.monotonic() + self._rest_seconds
        return failing

    def _write(self, items: list[Item]) -> None:
        if items or time.monotonic() - self._beat_at > HEARTBEAT_SECONDS:
            n_rows = sum(item.n_rows for item in items)
            self._note(
                write_batch(
                    self.store,
                    self.run.key,
                    self.segment,
                    items,
                    wait_seconds=LOCK_SECONDS,
                    also=lambda db, losses: self._beat(db, n_rows, losses),
                )
            )

    def _fold(self, n_rows: int) -> None:
        self._note(
            self._spool.fold(n_rows, wait_seconds=LOCK_SECONDS, also=lambda db, losses: self._beat(db, 0, losses))
        )

    def _beat(self, db: sqlite3.Connection, n_rows: int, losses: Sequence[Loss]) -> None:
        """Inside a transaction that writes `n_rows` from memory without `losses`: the lease, and what was lost."""
        lost = sum(loss.n_rows for loss in losses)
        self._n_reporting = self._n_unreported
        if n_lost := self._n_reporting + lost:
            reason = losses[-1].reason if losses else self._loss_reason
            record_event(db, self.run.key, "rows lost", f"{numbered(n_lost, 'row')} could not be written: {reason}")
        beat(db, self.run.key, self._n_in_memory - n_rows, self.rows_lost + lost)

    def _note(self, losses: Sequence[Loss]) -> None:
        """After that transaction."""
        self._beat_at = time.monotonic()
        with self._changed:
            self._n_unreported -= self._n_reporting
            self._n_reporting = 0
            self.rows_lost += sum(loss.n_rows for loss in losses)
        for loss in losses:
            _warn(f"run {self.run.id}: {loss.n_rows} rows could not be written: {loss.reason}")

    def _tell_failure(self) -> None:
        """Warn once while the store cannot be written: at once, or after a while where it is only locked."""
        if self._failing is None:
            self._failing_since, self._is_told = None, False
            return
        now = time.monotonic()
        self._failing_since = self._failing_since or now
        is_long = "locked" not in self._failing or now - self._failing_since > LOCKED_SECONDS
        if is_long and not self._is_told and self.rows_pending:
            self._is_told = True
            _warn(f"the store {self.store.path} cannot be written ({self._failing}); rows wait {self._place()}.")

    def _place(self) -> str:
        if self._stuck:
            return f"in memory, as no spool file can be written ({self._stuck})"
        return f"in {self._spool.path}"

    def _flush_at_exit(self) -> None:
        """A script that ends without `finish` leaves its rows behind; what became of the run, `reconcile` will say."""
        if self._pid == os.getpid():
            try:
                self.flush(AT_EXIT_SECONDS, is_ending=True)
            except RowsLost as lost:
                _warn(str(lost))


def _problem(action: Callable[[], None]) -> str | None:
    """What an action fails of; whatever it is, it must not end the thread: the rows wait."""
    try:
        action()
    except Exception as error:
        return str(error) if may_pass(error) or isinstance(error, OSError) else f"{type(error).__name__}: {error}"
    return None


def _warn(text: str) -> None:
    with contextlib.suppress(Warning):  # under `-W error` a warning raises, and must not end the thread that writes
        warnings.warn(text, stacklevel=3)
