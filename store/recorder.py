"""The recorder: the one way anything about a run is written while it runs.

Calls put rows into memory and return at once; one thread per recorder writes them, half a second at most behind, in
single transactions. Only that thread writes, so a Ctrl-C in the training thread never hits a row between memory and
file. A store that is locked or full makes rows wait, never vanish: `rows_pending` says how many wait, `rows_lost` how
many had to be given up, and both are kept with the run's lease for everyone to see.
"""

import atexit
import contextlib
import json
import os
import sqlite3
import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from types import TracebackType
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from store.blocks import write_dynamics, write_embeddings
from store.connection import Store
from store.errors import RowsLost
from store.evaluations import Predictions, mark_best, write_evaluation
from store.leases import beat, take_lease
from store.metrics import Column, StepRow, write_metrics, write_steps
from store.records import Run, RunCost, ScoreRow, Status, SystemSample
from store.runs import end_run, record_event, write_cost

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


class _Point(NamedTuple):
    """The metrics of one call of `log`."""

    at: StepRow
    values: dict[str, float]

    @property
    def n_rows(self) -> int:
        return len(self.values) + 1


class _Curves(NamedTuple):
    """Whole curves of one call of `log_columns`."""

    columns: Mapping[str, Column]
    n_rows: int


class _Operation(NamedTuple):
    """Anything else: what to do inside the transaction."""

    do: Callable[[sqlite3.Connection], object]
    n_rows: int


_Item = _Point | _Curves | _Operation


class Recorder:
    """Writes everything about one running run. Takes its lease; use it as a context manager or call `finish`.

    A `with` block that ends well finishes the run; one that raises fails it with the exception as its cause
    (KeyboardInterrupt: killed).
    """

    def __init__(self, store: Store, run: Run, *, segment: int = 1) -> None:
        """Raises RunHeld where another living process records this run."""
        self.store = store
        self.run = run
        self.segment = segment
        self.rows_lost = 0
        self._changed = threading.Condition()  # guards all that follows
        self._queue: list[_Item] = []
        self._n_accepted = 0  # rows, ever
        self._n_settled = 0  # of those, written or given up
        self._n_unreported = 0  # of the lost, not yet told in the run's events
        self._loss_reason = ""
        self._failing: str | None = None
        self._is_urgent = False
        self._is_closing = False
        self._began = time.monotonic() - (time.time() - (run.started_at or time.time()))
        take_lease(store, run)
        self._beat_at = time.monotonic()
        self._pid = os.getpid()
        self._thread = threading.Thread(target=self._keep_writing, name=f"recorder-{run.id}", daemon=True)
        self._thread.start()
        atexit.register(self._flush_at_exit)

    # what can be recorded ------------------------------------------------------------------------------------------

    def log(
        self, values: Mapping[str, float], step: int, *, epoch: float | None = None, tokens: int | None = None
    ) -> None:
        """Record metrics of one step. Names are paths such as `train/loss`; nan and inf are kept as what they are.

        Raises TypeError for a value that is not a number.
        """
        numbers: dict[str, float] = {}
        wrong: dict[str, object] = {}
        for name, value in values.items():
            given: object = value
            try:
                if isinstance(given, str | bytes):  # float("1.5") would take it
                    raise TypeError
                numbers[name] = float(value)
            except (TypeError, ValueError, OverflowError, RuntimeError):  # RuntimeError: a tensor of many elements
                wrong[name] = value
        if wrong:
            raise TypeError(f"log(): {wrong} is not a number; log text with event().")
        self._add(_Point(StepRow(int(step), time.monotonic() - self._began, epoch, tokens), numbers))

    def log_columns(self, columns: Mapping[str, tuple[ArrayLike, ArrayLike]]) -> None:
        """Record whole curves at once: metric name → (steps `(n,)`, values `(n,)`).

        Raises ValueError for lengths that differ and steps that are no whole numbers.
        """
        prepared = {name: _column(name, steps, values) for name, (steps, values) in columns.items()}
        self._add(_Curves(prepared, sum(len(column.steps) for column in prepared.values())))

    def evaluation(
        self,
        split: str,
        step: int,
        *,
        epoch: float | None,
        n_examples: int,
        scores: Sequence[ScoreRow],
        predictions: Predictions | None = None,
    ) -> None:
        """Record one pass over a split: its scores (also as metrics `split/name`) and what was said of each example.

        Raises ValueError where `predictions` are not of `n_examples`.
        """
        if predictions is not None:
            predictions = Predictions(*(np.array(column) for column in predictions))  # the caller may go on with his
            lengths = {name: column.shape for name, column in predictions._asdict().items()}
            if set(lengths.values()) != {(n_examples,)}:
                raise ValueError(f"evaluation(): predictions of {n_examples} examples expected, got {lengths}.")
        self._do(
            len(scores) + (n_examples if predictions else 0),
            lambda db: write_evaluation(
                db,
                self.run.key,
                self.segment,
                split=split,
                step=step,
                epoch=epoch,
                n_examples=n_examples,
                scores=scores,
                predictions=predictions,
            ),
        )
        self.log({f"{split}/{s.metric}": s.value for s in scores if s.value is not None}, step, epoch=epoch)

    def best(self, step: int) -> None:
        """The evaluations and checkpoint of this step are the best so far."""
        self._do(1, lambda db: mark_best(db, self.run.key, self.segment, step))

    def dynamics(self, epoch: int, step: int, *, n_classes: int, words: NDArray[np.uint16]) -> None:
        """Record one epoch of training dynamics: words `(n_train, width)` uint16 as `evals.dynamics` encodes them.

        Raises ValueError for any other shape or type.
        """
        if words.ndim != 2 or words.dtype != np.uint16:
            raise ValueError(f"dynamics(): words must be (n_train, width) uint16, not {words.shape} {words.dtype}.")
        words = words.copy()  # the trainer fills the same buffer again in the next epoch
        self._do(
            len(words),
            lambda db: write_dynamics(
                db, self.run.key, self.segment, epoch=epoch, step=step, n_classes=n_classes, words=words
            ),
        )

    def embeddings(
        self, splits: Mapping[str, NDArray[np.float16]], *, dataset_key: int, fingerprint: str, pooling: str
    ) -> None:
        """Record embeddings `(n, d)` of each split; runs with the same fingerprint share them.

        The arrays are handed over, not copied: do not write to them afterwards. Raises ValueError for other shapes.
        """
        shapes = {split: array.shape for split, array in splits.items()}
        if not shapes or any(len(shape) != 2 for shape in shapes.values()) or len({s[1] for s in shapes.values()}) > 1:
            raise ValueError(f"embeddings(): (n, d) of one d for every split expected, got {shapes}.")
        self._do(
            sum(len(array) for array in splits.values()),
            lambda db: write_embeddings(
                db,
                self.run.key,
                dataset_key=dataset_key,
                fingerprint=fingerprint,
                pooling=pooling,
                splits=splits,
            ),
        )

    def checkpoint(
        self,
        step: int,
        *,
        epoch: float | None,
        path: str,
        size_bytes: int,
        sha256: str,
        manifest: Mapping[str, str],
    ) -> None:
        """Record a saved checkpoint; `path` is relative to the store's files folder, or a URL."""
        values = (
            self.run.key,
            self.segment,
            step,
            epoch,
            path,
            size_bytes,
            sha256,
            json.dumps(manifest),
            time.time(),
        )
        self._do(
            1,
            lambda db: db.execute(
                "INSERT OR REPLACE INTO checkpoints"
                " (run_key, segment, step, epoch, path, size_bytes, sha256, manifest, created_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                values,
            ),
        )

    def checkpoint_deleted(self, step: int) -> None:
        """The files of this step's checkpoint were removed to save space."""
        self._do(
            1,
            lambda db: db.execute(
                "UPDATE checkpoints SET deleted_at = ? WHERE run_key = ? AND segment = ? AND step = ?",
                (time.time(), self.run.key, self.segment, step),
            ),
        )

    def event(self, kind: str, message: str, data: Mapping[str, object] | None = None) -> None:
        """Note that something happened (a warning, an early stop, an alert)."""
        self._do(1, lambda db: record_event(db, self.run.key, kind, message, data))

    def text(self, text: str) -> None:
        """Keep a piece of the console log."""
        self._do(
            1,
            lambda db: db.execute(
                "INSERT INTO run_logs (run_key, number, text)"
                " SELECT ?1, coalesce(max(number), 0) + 1, ?2 FROM run_logs WHERE run_key = ?1",
                (self.run.key, text),
            ),
        )

    def sample(self, sample: SystemSample) -> None:
        """Keep a reading of the machine."""
        self._do(
            1,
            lambda db: db.execute(
                "INSERT OR REPLACE INTO system_samples"
                " (run_key, at, cpu_percent, host_bytes, device_utilisation, device_bytes, power_watts)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (self.run.key, *sample),
            ),
        )

    def cost(self, cost: RunCost) -> None:
        """What the run took so far."""
        self._do(1, lambda db: write_cost(db, self.run.key, cost))

    # the writing ---------------------------------------------------------------------------------------------------

    @property
    def rows_pending(self) -> int:
        """Rows that were accepted and are not in the store yet."""
        return self._n_accepted - self._n_settled

    def flush(self, timeout: float = 60.0) -> None:
        """Return when everything accepted so far is in the store.

        Raises RowsLost when the store cannot be written for `timeout` seconds; the rows go on waiting.
        """
        deadline = time.monotonic() + timeout
        with self._changed:
            target = self._n_accepted
            self._is_urgent = True
            self._changed.notify_all()
            while not self._changed.wait_for(lambda: self._n_settled >= target, min(1.0, timeout)):
                if not self._thread.is_alive():  # after a fork the thread is with the parent
                    raise RowsLost(f"{self.rows_pending} rows of run {self.run.id} have no thread that writes them.")
                if self._failing and time.monotonic() >= deadline:
                    raise RowsLost(
                        f"{self.rows_pending} rows could not be written to {self.store.path}: {self._failing}."
                    )

    def finish(self, status: Status = Status.FINISHED, cause: str | None = None, *, timeout: float = 60.0) -> None:
        """Write what is pending, give the run its final status, let go of the lease. Later calls do nothing.

        Raises RowsLost when rows were lost, or when the store cannot be written for `timeout` seconds: while the
        process lives rows and status go on waiting for the store, and another call waits with them.
        """
        with self._changed:
            is_first = not self._is_closing
            if is_first:
                self._enqueue(_Operation(lambda db: end_run(db, self.run.key, status, cause), 1))
                self._is_closing = True
        self.flush(timeout)
        self._thread.join()
        atexit.unregister(self._flush_at_exit)
        if is_first and self.rows_lost:
            raise RowsLost(f"{self.rows_lost} rows of run {self.run.id} could not be written; see its events.")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.finish()
            return
        is_interrupt = isinstance(error, KeyboardInterrupt)
        try:
            if is_interrupt:
                self.finish(Status.KILLED, "interrupted (Ctrl-C)")
            else:
                self.finish(Status.FAILED, f"{type(error).__name__}: {error}")
        except RowsLost as lost:  # must not hide what went wrong first
            error.add_note(str(lost))

    def _do(self, n_rows: int, operation: Callable[[sqlite3.Connection], object]) -> None:
        self._add(_Operation(operation, max(n_rows, 1)))

    def _add(self, item: _Item) -> None:
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

    def _enqueue(self, item: _Item) -> None:
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

    def _write(self, items: list[_Item]) -> tuple[list[_Item], str | None]:
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

    def _write_items(self, db: sqlite3.Connection, items: Sequence[_Item]) -> None:
        for is_points, group in groupby((i for i in items if not isinstance(i, _Operation)), _is_point):
            if is_points:
                self._write_points(db, list(group))  # type: ignore[arg-type]  # groupby does not narrow
            else:
                for curves in group:
                    write_metrics(db, self.run.key, self.segment, curves.columns)  # type: ignore[union-attr]  # as above
        for item in items:
            if isinstance(item, _Operation):
                item.do(db)

    def _write_points(self, db: sqlite3.Connection, points: Sequence[_Point]) -> None:
        series: dict[str, tuple[list[int], list[float]]] = {}
        for at, numbers in points:
            for name, value in numbers.items():
                steps, values = series.setdefault(name, ([], []))
                steps.append(at.step)
                values.append(value)
        columns = {name: _column(name, steps, values) for name, (steps, values) in series.items()}
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
    return isinstance(item, _Point)


def _may_pass(error: Exception) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    return isinstance(error, sqlite3.OperationalError) if code is None else (code & 0xFF) in _PASSING


def _warn(text: str) -> None:
    with contextlib.suppress(Warning):  # under `-W error` a warning raises, and must not end the thread that writes
        warnings.warn(text, stacklevel=3)


def _column(name: str, steps: ArrayLike, values: ArrayLike) -> Column:
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
