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
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from store.connection import Store
from store.errors import RowsLost
from store.leases import beat
from store.metrics import Column, StepRow, write_metrics, write_steps
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

# What an attempt fails of when it is the file that cannot be written, rather than this row that is wrong.
_PASSING = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_NOTADB,
}


class Point(NamedTuple):
    """The metrics of one call of `log`."""

    at: StepRow
    values: dict[str, float]

    @property
    def n_rows(self) -> int:
        return len(self.values) + 1


class Curves(NamedTuple):
    """Whole curves of one call of `log_columns`."""

    columns: Mapping[str, Column]
    n_rows: int


class Operation(NamedTuple):
    """Anything else: what to do inside the transaction."""

    do: Callable[[sqlite3.Connection], object]
    n_rows: int


Item = Point | Curves | Operation


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

    def close(self, last: Callable[[sqlite3.Connection], object], timeout: float) -> bool:
        """Write what is pending and then `last`; whether this was the first call. Raises as `flush` does."""
        with self._changed:
            is_first = not self._is_closing
            if is_first:
                self._queue.append(Operation(last, 1))
                self._n_accepted += 1
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
            waiting, failing = items, None
            try:
                if items or time.monotonic() - self._beat_at > HEARTBEAT_SECONDS:
                    waiting, failing = self._write(items)
            except Exception as error:  # a mistake of ours must not end the thread: the rows wait
                failing = f"{type(error).__name__}: {error}"
            with self._changed:
                is_news = failing is not None and self._failing is None
                self._queue = [*waiting, *self._queue]
                self._failing = failing
                self._n_settled = accepted - sum(item.n_rows for item in waiting)
                self._changed.notify_all()
            if is_news:
                _warn(f"the store {self.store.path} cannot be written ({failing}); rows wait.")

    def _write(self, items: list[Item]) -> tuple[list[Item], str | None]:
        """Write items in one transaction; where one of them can never be written, in ever smaller ones around it.

        Returns those that must go on waiting, and what for.
        """
        stretches = [items]
        while stretches:
            stretch = stretches[0]
            try:
                with self.store.write(self.run.key, wait_seconds=LOCK_SECONDS) as db:
                    self._write_items(db, stretch)
                    beat(db, self.run.key, self.rows_pending - sum(item.n_rows for item in items), self.rows_lost)
            except Exception as error:
                if _may_pass(error):
                    return [item for rest in stretches for item in rest], str(error)
                reason = f"{type(error).__name__}: {error}"
                if self._is_gone():
                    stretches, reason = [[item for rest in stretches for item in rest]], "the run was deleted"
                elif len(stretch) > 1:
                    half = len(stretch) // 2
                    stretches[:1] = [stretch[:half], stretch[half:]]
                    continue
                n_rows = sum(item.n_rows for item in stretches.pop(0))
                with self._changed:
                    self._give_up(n_rows, reason)
                _warn(f"run {self.run.id}: {n_rows} rows could not be written: {reason}")
            else:
                stretches.pop(0)
                self._beat_at = time.monotonic()
        if self._n_unreported:
            self._report_loss()
        return [], None

    def _write_items(self, db: sqlite3.Connection, items: Sequence[Item]) -> None:
        for is_points, group in groupby((i for i in items if not isinstance(i, Operation)), _is_point):
            if is_points:
                self._write_points(db, list(group))  # type: ignore[arg-type]  # groupby does not narrow
            else:
                for curves in group:
                    write_metrics(db, self.run.key, self.segment, curves.columns)  # type: ignore[union-attr]  # as above
        for item in items:
            if isinstance(item, Operation):
                item.do(db)

    def _write_points(self, db: sqlite3.Connection, points: Sequence[Point]) -> None:
        series: dict[str, tuple[list[int], list[float]]] = {}
        for at, numbers in points:
            for name, value in numbers.items():
                steps, values = series.setdefault(name, ([], []))
                steps.append(at.step)
                values.append(value)
        columns = {name: column(name, steps, values) for name, (steps, values) in series.items()}
        write_metrics(db, self.run.key, self.segment, columns)
        write_steps(db, self.run.key, self.segment, [point.at for point in points])

    def _report_loss(self) -> None:
        text = f"{self._n_unreported} rows could not be written: {self._loss_reason}"
        try:
            with self.store.write(self.run.key, wait_seconds=LOCK_SECONDS) as db:
                record_event(db, self.run.key, "rows lost", text)
        except Exception as error:
            if _may_pass(error):
                return  # told with the next rows
        self._n_unreported = 0

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


def _is_point(item: object) -> bool:
    return isinstance(item, Point)


def _may_pass(error: Exception) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    return isinstance(error, sqlite3.OperationalError) if code is None else (code & 0xFF) in _PASSING


def _warn(text: str) -> None:
    with contextlib.suppress(Warning):  # under `-W error` a warning raises, and must not end the thread that writes
        warnings.warn(text, stacklevel=3)


def column(name: str, steps: ArrayLike, values: ArrayLike) -> Column:
    """Steps strictly increasing; of values given twice for a step the later stays."""
    given = np.asarray(steps)
    if given.dtype.kind not in "iu" and given.size and not (given == np.floor(given)).all():
        raise ValueError(f"{name!r}: steps must be whole numbers.")
    step_array = given.astype(np.int64)
    value_array = np.array(values, dtype=np.float64)
    if step_array.shape != value_array.shape or step_array.ndim != 1:
        raise ValueError(f"{name!r}: steps {step_array.shape} and values {value_array.shape} must be of one length.")
    if len(step_array) > 1 and not (np.diff(step_array) > 0).all():
        _, last = np.unique(step_array[::-1], return_index=True)
        keep = len(step_array) - 1 - last
        step_array, value_array = step_array[keep], value_array[keep]
    return Column(step_array, value_array)
