"""The recorder: the one way anything about a run is written while it runs.

Calls put rows into memory and return at once; one thread per recorder writes them, half a second at most behind, in
single transactions. A store that is locked or full makes rows wait, never vanish: `rows_pending` says how many wait,
`rows_lost` how many had to be given up, and both are kept with the run's lease for everyone to see.
"""

import sqlite3
import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from store.blocks import write_dynamics, write_embeddings
from store.connection import Store
from store.errors import RowsLost
from store.evaluations import Predictions, mark_best, write_evaluation
from store.leases import beat, take_lease
from store.metrics import Column, StepRow, write_metrics, write_steps
from store.records import Run, RunCost, ScoreRow, Status, SystemSample
from store.runs import end_run, record_event, start_run, write_cost

FLUSH_SECONDS = 0.5
HEARTBEAT_SECONDS = 5.0
# More waiting rows than this and a caller waits for the writer, so memory stays bounded while the store is well.
_BACKPRESSURE_ROWS = 400_000
# While the store cannot be written to at all, this many rows wait in memory; later ones are counted as lost.
_CAPACITY_ROWS = 4_000_000

_Operation = tuple[int, Callable[[sqlite3.Connection], None]]  # (rows, what to do inside the transaction)
_Point = tuple[int, float, float | None, int | None, dict[str, float]]


class Recorder:
    """Writes everything about one running run. Takes its lease; use it as a context manager or call `finish`.

    A `with` block that ends well finishes the run; one that raises fails it with the exception as its cause
    (KeyboardInterrupt: killed).
    """

    def __init__(self, store: Store, run: Run, *, segment: int = 1) -> None:
        self.store = store
        self.run = run
        self.segment = segment
        self.rows_lost = 0
        self._lock = threading.Lock()
        self._write_lock = threading.Lock()
        self._points: list[_Point] = []
        self._operations: list[_Operation] = []
        self._pending = 0
        self._log_chunks = 0
        self._failing: str | None = None
        self._began = time.monotonic() - (time.time() - (run.started_at or time.time()))
        self._wake = threading.Event()
        self._closing = False
        self._is_finished = False
        take_lease(store, run)
        start_run(store, run)
        self._beat_at = time.monotonic()
        self._thread = threading.Thread(target=self._keep_writing, name=f"recorder-{run.id}", daemon=True)
        self._thread.start()

    # what can be recorded ------------------------------------------------------------------------------------------

    def log(
        self, values: Mapping[str, float], step: int, *, epoch: float | None = None, tokens: int | None = None
    ) -> None:
        """Record metrics of one step. Names are paths such as `train/loss`; nan and inf are kept as what they are.

        Raises TypeError for a value that is not a number.
        """
        try:
            numbers = {name: float(value) for name, value in values.items()}
        except (TypeError, ValueError):
            wrong = {name: value for name, value in values.items() if not _is_number(value)}
            raise TypeError(f"log(): {wrong} is not a number; log text with event().") from None
        point = (int(step), time.monotonic() - self._began, epoch, tokens, numbers)
        self._add(len(numbers) + 1, point=point)

    def log_columns(self, columns: Mapping[str, tuple[ArrayLike, ArrayLike]]) -> None:
        """Record whole curves at once: metric name → (steps `(n,)`, values `(n,)`)."""
        prepared = {name: _column(steps, values) for name, (steps, values) in columns.items()}
        n = sum(len(column.steps) for column in prepared.values())
        segment = self.segment
        self._add(n, lambda db: write_metrics(db, self.run.key, segment, prepared))

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
        """Record one pass over a split: its scores (also as metrics `split/name`) and what was said of each example."""
        self._add(
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
        self._add(1, lambda db: mark_best(db, self.run.key, self.segment, step))

    def dynamics(self, epoch: int, step: int, *, n_classes: int, words: NDArray[np.uint16]) -> None:
        """Record one epoch of training dynamics: words `(n_train, width)` as `evals.dynamics` encodes them."""
        self._add(
            len(words),
            lambda db: write_dynamics(
                db, self.run.key, self.segment, epoch=epoch, step=step, n_classes=n_classes, words=words
            ),
        )

    def embeddings(
        self, splits: Mapping[str, NDArray[np.float16]], *, dataset_key: int, fingerprint: str, pooling: str
    ) -> None:
        """Record embeddings `(n, d)` of each split; runs with the same fingerprint share them."""
        self._add(
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
        import json

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
        self._add(
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
        self._add(
            1,
            lambda db: db.execute(
                "UPDATE checkpoints SET deleted_at = ? WHERE run_key = ? AND segment = ? AND step = ?",
                (time.time(), self.run.key, self.segment, step),
            ),
        )

    def event(self, kind: str, message: str, data: Mapping[str, object] | None = None) -> None:
        """Note that something happened (a warning, an early stop, an alert)."""
        self._add(1, lambda db: record_event(db, self.run.key, kind, message, data))

    def text(self, text: str) -> None:
        """Keep a piece of the console log."""
        with self._lock:
            self._log_chunks += 1
            number = self._log_chunks
        self._add(
            1,
            lambda db: db.execute(
                "INSERT OR REPLACE INTO run_logs (run_key, number, text) VALUES (?, ?, ?)",
                (self.run.key, self.segment * 1_000_000_000 + number, text),
            ),
        )

    def sample(self, sample: SystemSample) -> None:
        """Keep a reading of the machine."""
        self._add(
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
        self._add(1, lambda db: write_cost(db, self.run.key, cost))

    # the writing ---------------------------------------------------------------------------------------------------

    @property
    def rows_pending(self) -> int:
        """Rows that were accepted and are not in the store yet."""
        return self._pending

    def flush(self, timeout: float = 60.0) -> None:
        """Return when everything accepted so far is in the store. Raises RowsLost when it is not within `timeout`."""
        deadline = time.monotonic() + timeout
        while self._pending:
            self._write_pending()
            if self._pending and self._failing and time.monotonic() > deadline:
                raise RowsLost(f"{self._pending} rows could not be written to {self.store.path}: {self._failing}.")
            if self._pending and self._failing:
                time.sleep(0.2)

    def finish(self, status: Status = Status.FINISHED, cause: str | None = None, *, timeout: float = 60.0) -> None:
        """Write what is pending, give the run its final status, let go of the lease. Later calls do nothing."""
        if self._is_finished:
            return
        self._is_finished = True
        self._add(0, lambda db: end_run(db, self.run.key, status, cause))
        self._closing = True
        self._wake.set()
        self._thread.join()
        with self._lock:
            self._pending = max(self._pending, 1)  # the final status itself waits to be written
        self.flush(timeout)
        if self.rows_lost:
            raise RowsLost(f"{self.rows_lost} rows of run {self.run.id} could not be written; see its events.")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.finish()
        elif isinstance(error, KeyboardInterrupt):
            self.finish(Status.KILLED, "interrupted (Ctrl-C)")
        else:
            self.finish(Status.FAILED, f"{type(error).__name__}: {error}")

    def _add(
        self,
        n_rows: int,
        operation: Callable[[sqlite3.Connection], object] | None = None,
        *,
        point: _Point | None = None,
    ) -> None:
        with self._lock:
            if self._failing and self._pending + n_rows > _CAPACITY_ROWS:
                self.rows_lost += n_rows
                return
            if point is not None:
                self._points.append(point)
            if operation is not None:
                self._operations.append((n_rows, operation))  # type: ignore[arg-type]  # what it returns is not used
            self._pending += n_rows
            is_full = self._pending > _BACKPRESSURE_ROWS and not self._failing
        if is_full:
            self._write_pending()

    def _keep_writing(self) -> None:
        while not self._closing:
            self._wake.wait(FLUSH_SECONDS)
            self._write_pending()

    def _write_pending(self) -> None:
        """Write all that waits, in one transaction; on failure everything goes on waiting."""
        with self._write_lock:
            with self._lock:
                points, operations, n_rows = self._points, self._operations, self._pending
                is_due = time.monotonic() - self._beat_at > HEARTBEAT_SECONDS
                if not points and not operations and not is_due:
                    self._pending = 0
                    return
                self._points, self._operations = [], []
            try:
                with self.store.write(self.run.key) as db:
                    self._write_points(db, points)
                    for _, operation in operations:
                        operation(db)
                    beat(db, self.run.key, self._pending - n_rows, self.rows_lost)
            except sqlite3.OperationalError as error:  # locked, disk full, read-only: may pass
                if not self._failing:
                    warnings.warn(f"the store {self.store.path} cannot be written ({error}); rows wait.", stacklevel=2)
                with self._lock:
                    self._failing = str(error)
                    self._points, self._operations = points + self._points, operations + self._operations
                return
            except Exception as error:  # a row that can never be written must not hold up the others
                n_lost = self._write_one_by_one(points, operations, error)
                with self._lock:
                    self.rows_lost += n_lost
            self._beat_at = time.monotonic()
            with self._lock:
                self._failing = None
                self._pending -= n_rows

    def _write_points(self, db: sqlite3.Connection, points: Sequence[_Point]) -> None:
        if not points:
            return
        series: dict[str, tuple[list[int], list[float]]] = {}
        for step, _, _, _, numbers in points:
            for name, value in numbers.items():
                steps, values = series.setdefault(name, ([], []))
                steps.append(step)
                values.append(value)
        columns = {name: _column(steps, values) for name, (steps, values) in series.items()}
        write_metrics(db, self.run.key, self.segment, columns)
        write_steps(db, self.run.key, self.segment, [StepRow(*point[:4]) for point in points])

    def _write_one_by_one(
        self, points: Sequence[_Point], operations: Sequence[_Operation], first_error: Exception
    ) -> int:
        """After a transaction that can never succeed: write each piece alone, and say what had to be left out."""
        pieces: list[_Operation] = [
            (len(point[4]) + 1, lambda db, point=point: self._write_points(db, [point]))  # type: ignore[misc]  # mypy cannot type a default argument of a lambda
            for point in points
        ]
        n_lost = 0
        for n_rows, operation in (*pieces, *operations):
            try:
                with self.store.write(self.run.key) as db:
                    operation(db)
            except Exception as error:
                n_lost += max(n_rows, 1)
                first_error = error
        text = f"{n_lost} rows could not be written: {type(first_error).__name__}: {first_error}"
        warnings.warn(f"run {self.run.id}: {text}", stacklevel=2)
        with self.store.write(self.run.key) as db:
            record_event(db, self.run.key, "rows lost", text)
        return n_lost


def _column(steps: ArrayLike, values: ArrayLike) -> Column:
    """Steps strictly increasing; of values given twice for a step the later stays."""
    step_array = np.asarray(steps, dtype=np.int64)
    value_array = np.asarray(values, dtype=np.float64)
    if step_array.shape != value_array.shape or step_array.ndim != 1:
        raise ValueError(f"steps {step_array.shape} and values {value_array.shape} must be of one length.")
    if len(step_array) > 1 and not (np.diff(step_array) > 0).all():
        _, last = np.unique(step_array[::-1], return_index=True)
        keep = len(step_array) - 1 - last
        step_array, value_array = step_array[keep], value_array[keep]
    return Column(step_array, value_array)


def _is_number(value: object) -> bool:
    try:
        float(value)  # type: ignore[arg-type]  # that is the question
    except (TypeError, ValueError):
        return False
    return True
