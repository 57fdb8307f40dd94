"""What watches one training: its flight recorder, its alerts and its watchdog, behind one narrow interface.

The trainer tells what happens (`waiting`, `begin`, `add_loss`, `end`, `evaluated`, `resting`, and `restore` where a run
goes on); everything else is here.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from evals.alerts import Alert, AlertKind
from runner.alerts import Alerts, LossWatch, record_alert
from runner.flight import FlightRecorder, Number
from runner.interrupts import Interrupted
from runner.watchdog import Watchdog
from store import FlightKind, Recorder, list_metrics, list_scores
from store.runs import run_files

_FLIGHTS = {AlertKind.SPIKE: FlightKind.SPIKE, AlertKind.NOT_FINITE: FlightKind.NOT_FINITE}


class Monitor:
    """Watches a training between entering and leaving the context.

    Left by an error, it keeps the last steps in the store; left at the end or by an interrupt, it leaves nothing.

    Args:
        warn: shows an alert to whoever looks at the console.
        n_positions: training examples of one step.
        group: steps between two times that numbers are fetched from the device; 1 on a CPU.
        checkpoint_bytes: what the next checkpoint takes, 0 where none is saved.
    """

    def __init__(
        self,
        recorder: Recorder,
        *,
        warn: Callable[[str], None],
        n_positions: int,
        group: int,
        checkpoint_bytes: int = 0,
    ) -> None:
        self._recorder, self._warn = recorder, warn
        self._n_positions, self._group = n_positions, group
        self._alerts = Alerts(self._tell)
        self._losses = LossWatch(self._alerts)
        self._flight: FlightRecorder | None = None
        folders = {
            path.resolve() for path in (recorder.store.path.parent, _existing(run_files(recorder.store, recorder.run)))
        }
        self._watchdog = Watchdog(
            self._alerts, folders=_of_different_disks(folders), checkpoint_bytes=lambda: checkpoint_bytes
        )

    # what the trainer tells ----------------------------------------------------------------------------------------

    def waiting(self) -> AbstractContextManager[None]:
        """Inside, the training waits for the batches of its next step."""
        return self._watchdog.waiting()

    def begin(self, step: int, positions: NDArray[np.int64]) -> None:
        """Step `step` (from 1) is about to train on these positions `(k,)`, all its batches together."""
        if self._flight is not None:
            self._flight.begin(step, positions)

    def again(self) -> None:
        """The step is trained on once more from its first batch: what it has cost so far does not count."""
        if self._flight is not None:
            self._flight.again()

    def add_loss(self, loss: Tensor) -> None:
        """One batch's part of the step's loss."""
        if self._flight is not None:
            self._flight.add_loss(loss)

    def end(self, step: int, gradient_norm: Number, learning_rate: float | None) -> None:
        """The step has ended; may be said twice."""
        if self._flight is not None and self._flight.end(step, gradient_norm, learning_rate):
            self._watchdog.step(step)

    def resting(self) -> AbstractContextManager[None]:
        """Inside there are no steps, and that is as it should be: an evaluation, a checkpoint."""
        return self._watchdog.resting()

    def evaluated(self, step: int, validation_loss: float | None) -> None:
        """The loss on validation data after a step; None: not measured."""
        if self._flight is not None:
            self._flight.flush()
        self._losses.evaluated(step, validation_loss)

    def restore(self, step: int) -> None:
        """The run goes on after this step: know of its losses up to there."""
        store, key = self._recorder.store, self._recorder.run.key
        losses, scores = list_metrics(store, [key], ["train/loss"]), list_scores(store, [key])
        losses = losses[losses["step"] <= step]
        scores = scores[(scores["split"] == "validation") & (scores["metric"] == "loss") & (scores["step"] <= step)]
        self._losses.restore(
            *(list(zip(f["step"].tolist(), f["value"].tolist(), strict=True)) for f in (losses, scores))
        )

    # its own doings ------------------------------------------------------------------------------------------------

    def _tell(self, alert: Alert) -> None:
        record_alert(self._recorder, alert)
        self._warn(alert.message)

    def _look(self, step: int, loss: float) -> None:
        alert = self._losses.loss(step, loss)
        if alert is not None and self._flight is not None:
            self._flight.save(_FLIGHTS[alert.kind], alert.message, alert.step)

    def __enter__(self) -> Self:
        if self._recorder.is_silent:
            return self
        self._flight = FlightRecorder(self._recorder, n_positions=self._n_positions, group=self._group, look=self._look)
        self._watchdog.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._recorder.is_silent:
            return
        self._watchdog.__exit__(kind, error, trace)
        flight, self._flight = self._flight, None
        if flight is not None:
            flight.finish(None if isinstance(error, Interrupted | KeyboardInterrupt) else error)


def _existing(path: Path) -> Path:
    """The nearest folder above that is there already."""
    return next(folder for folder in (path, *path.parents) if folder.is_dir())


def _of_different_disks(folders: set[Path]) -> list[Path]:
    """One folder a file system."""
    return list({folder.stat().st_dev: folder for folder in sorted(folders, reverse=True)}.values())
