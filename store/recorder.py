"""The recorder: the one way anything about a run is written while it runs.

Calls put rows into memory and return at once; one thread per recorder writes them, half a second at most behind, in
single transactions. Only that thread writes, so a Ctrl-C in the training thread never hits a row between memory and
file. A store that is locked or full makes rows wait in a file of their own (`store.folding`), where they outlive the
process; they are folded into the store by the recorder itself as soon as it can, or else by `reconcile`.
`rows_pending` says how many wait, `rows_lost` how many had to be given up, and everyone can see both
(`store.spools`, the run's lease and events).
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from store.connection import Store
from store.entries import Entry, Point, column
from store.errors import RowsLost
from store.evaluations import Predictions
from store.leases import take_lease
from store.metrics import StepRow
from store.plain import numbered, plain
from store.records import Run, RunCost, ScoreRow, Status, SystemSample
from store.ring import STEP, Steps
from store.target_tokens import TargetTokens
from store.writer import Writer


class Recorder:
    """Writes everything about one running run. Takes its lease; use it as a context manager or call `finish`.

    A `with` block that ends well finishes the run; one that raises fails it with the exception as its cause
    (KeyboardInterrupt: killed).
    """

    is_silent = False
    """Whether nothing that is recorded is kept (`store.silent`)."""

    def __init__(self, store: Store, run: Run, *, segment: int = 1, seconds: float | None = None) -> None:
        """`seconds` of work were done in earlier segments (None: count from the run's start).

        Raises RunHeld where another living process records this run.
        """
        self.store = store
        self.run = run
        self.segment = segment
        self._began = time.monotonic() - (time.time() - (run.started_at or time.time()) if seconds is None else seconds)
        take_lease(store, run)
        self._writer = Writer(store, run, segment)

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
        self._writer.add(Point(StepRow(int(step), self.seconds, epoch, tokens), numbers))

    def log_columns(self, columns: Mapping[str, tuple[ArrayLike, ArrayLike]]) -> None:
        """Record whole curves at once: metric name → (steps `(n,)`, values `(n,)`).

        Raises ValueError for lengths that differ and steps that are no whole numbers.
        """
        arrays: dict[str, NDArray[Any]] = {}
        for i, (name, (steps, values)) in enumerate(columns.items()):
            arrays[f"steps{i}"], arrays[f"values{i}"] = column(name, steps, values)
        n_rows = sum(map(len, arrays.values())) // 2
        self._add("curves", {"names": list(columns)}, arrays, n_rows=n_rows)

    def evaluation(
        self,
        split: str,
        step: int,
        *,
        epoch: float | None,
        n_examples: int,
        scores: Sequence[ScoreRow],
        predictions: Predictions | None = None,
        responses: Sequence[str] = (),
    ) -> None:
        """Record one pass over a split: its scores (also as metrics `split/name`) and what was said of each example.

        `responses`: JSON of each example in position order, for tasks whose predictions are no classes. Raises
        ValueError where `predictions` or `responses` are not of `n_examples`.
        """
        arrays: dict[str, NDArray[Any]] = {}
        if predictions is not None:
            arrays = {name: np.array(values) for name, values in predictions._asdict().items()}  # a copy: see `_add`
            lengths = {name: values.shape for name, values in arrays.items()}
            if set(lengths.values()) != {(n_examples,)}:
                raise ValueError(f"evaluation(): predictions of {n_examples} examples expected, got {lengths}.")
        if responses and len(responses) != n_examples:
            raise ValueError(f"evaluation(): responses of {n_examples} examples expected, got {len(responses)}.")
        values = {
            "split": split,
            "step": step,
            "epoch": epoch,
            "n_examples": n_examples,
            "scores": [tuple(score) for score in scores],
            **({"responses": list(responses)} if responses else {}),
        }
        n_rows = len(scores) + (n_examples if arrays else 0) + len(responses)
        self._add("evaluation", values, arrays, n_rows=n_rows)
        self.log({f"{split}/{s.metric}": s.value for s in scores if s.value is not None}, step, epoch=epoch)

    def best(self, step: int, *, segment: int | None = None) -> None:
        """The evaluations and checkpoint of this step are the best so far. `segment`: another than this recorder's."""
        self._add("best", {"step": step, "segment": segment})

    def dynamics(self, epoch: int, step: int, *, n_classes: int, words: NDArray[np.uint16]) -> None:
        """Record one epoch of training dynamics: words `(n_train, width)` uint16 as `evals.dynamics` encodes them.

        Raises ValueError for any other shape or type.
        """
        if words.ndim != 2 or words.dtype != np.uint16:
            raise ValueError(f"dynamics(): words must be (n_train, width) uint16, not {words.shape} {words.dtype}.")
        values = {"epoch": epoch, "step": step, "n_classes": n_classes}
        self._add("dynamics", values, {"words": words.copy()}, n_rows=len(words))

    def embeddings(
        self, splits: Mapping[str, NDArray[np.float16]], *, dataset_key: int, fingerprint: str, pooling: str
    ) -> None:
        """Record embeddings `(n, d)` of each split; runs with the same fingerprint share them.

        The arrays are handed over, not copied: do not write to them afterwards. Raises ValueError for other shapes.
        """
        shapes = {split: array.shape for split, array in splits.items()}
        if not shapes or any(len(shape) != 2 for shape in shapes.values()) or len({s[1] for s in shapes.values()}) > 1:
            raise ValueError(f"embeddings(): (n, d) of one d for every split expected, got {shapes}.")
        values = {"dataset_key": dataset_key, "fingerprint": fingerprint, "pooling": pooling}
        self._add("embeddings", values, splits, n_rows=sum(map(len, splits.values())))

    def target_tokens(self, split: str, tokens: TargetTokens) -> None:
        """Record what the best weights say of each target token of a split, in place of what there was.

        The arrays are handed over, not copied. Raises ValueError where they do not fit their offsets.
        """
        columns = {"log_probs": tokens.log_probs, "best_other": tokens.best_other}
        columns |= {} if tokens.alone is None else {"alone": tokens.alone}
        n_tokens = int(tokens.offsets[-1]) if len(tokens.offsets) else -1
        wrong = {name: column.shape for name, column in columns.items() if column.shape != (n_tokens,)}
        if wrong:
            raise ValueError(f"target_tokens(): ({n_tokens},) expected by the offsets, got {wrong}.")
        arrays: dict[str, NDArray[Any]] = {
            "offsets": tokens.offsets,
            **{name: column.astype(np.float16) for name, column in columns.items()},
        }
        self._add("target_tokens", {"split": split}, arrays, n_rows=len(tokens.offsets) - 1)

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
        values = {
            "step": step,
            "epoch": epoch,
            "path": path,
            "size_bytes": size_bytes,
            "sha256": sha256,
            "manifest": dict(manifest),
        }
        self._add("checkpoint", values)

    def checkpoint_deleted(self, step: int, *, segment: int | None = None) -> None:
        """The files of this step's checkpoint were removed to save space. `segment`: another than this recorder's."""
        self._add("checkpoint_deleted", {"step": step, "segment": segment})

    def event(self, kind: str, message: str, data: Mapping[str, object] | None = None) -> None:
        """Note that something happened (a warning, an early stop, an alert). `data`: anything (`store.plain`)."""
        self._add("event", {"kind": kind, "message": message, "data": None if data is None else plain(data)})

    def text(self, text: str) -> None:
        """Keep a piece of the console log."""
        self._add("text", {"text": text})

    def sample(self, sample: SystemSample) -> None:
        """Keep a reading of the machine."""
        self._add("sample", {"sample": tuple(sample)})

    def cost(self, cost: RunCost) -> None:
        """What the run took so far."""
        self._add("cost", asdict(cost))

    def flight(
        self, kind: str, reason: str, *, steps: Steps, step: int | None = None, segment: int | None = None
    ) -> None:
        """Keep the last steps before something went wrong (`store.flights`): why, in a sentence, and at which step.

        `segment`: of another segment of the run than this recorder's.
        """
        values = {"kind": str(kind), "reason": reason, "step": step, "segment": segment}
        rows = np.frombuffer(steps.rows.astype(STEP).tobytes(), dtype=np.uint8)
        self._add("flight", values, {"rows": rows, "positions": steps.positions}, n_rows=len(steps.rows))

    # the end -------------------------------------------------------------------------------------------------------

    @property
    def seconds(self) -> float:
        """Of work so far, in all segments: what stands beside the steps of metrics."""
        return time.monotonic() - self._began

    @property
    def rows_pending(self) -> int:
        """Rows that were accepted and are not in the store yet."""
        return self._writer.rows_pending

    @property
    def rows_lost(self) -> int:
        """Rows that had to be given up; the run's events say why."""
        return self._writer.rows_lost

    def flush(self, timeout: float = 60.0) -> None:
        """Return when everything accepted so far is in the store.

        Raises RowsLost when the store cannot be written for `timeout` seconds; the rows go on waiting.
        """
        self._writer.flush(timeout)

    def settle(self, timeout: float = 10.0) -> bool:
        """Wait until everything accepted so far would survive a kill: in the store, or on disk to be folded in.

        False where it has not come to that within `timeout` seconds.
        """
        return self._writer.settle(timeout)

    def finish(self, status: Status = Status.FINISHED, cause: str | None = None, *, timeout: float = 60.0) -> None:
        """Write what is pending, give the run its final status, let go of the lease. Later calls do nothing.

        Where the store cannot be written for `timeout` seconds, rows and status go on waiting for it: as long as the
        process lives, and then on disk for the next start of Assay, which a warning says; another call waits with
        them. Raises RowsLost when rows were lost, or when they could not be kept on disk either.
        """
        is_first = self._writer.close(Entry("finish", time.time(), {"status": status, "cause": cause}, {}, 1), timeout)
        if is_first and self.rows_lost:
            raise RowsLost(
                f"{numbered(self.rows_lost, 'row')} of run {self.run.id} could not be written; see its events."
            )

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

    def _add(
        self, kind: str, values: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]] | None = None, *, n_rows: int = 1
    ) -> None:
        """Hand over an entry (see `store.entries`); the caller must not write to `arrays` any more."""
        self._writer.add(Entry(kind, time.time(), values, arrays or {}, max(n_rows, 1)))
