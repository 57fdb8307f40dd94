"""The flight recorder: the last 200 steps of a training at full rate, kept in a ring until something goes wrong.

What goes into a step: `begin` when its batches are known, `add_loss` in the forward passes, `end` after the optimizer.
On a CPU every step is in the ring when it ends. On another device reading a loss makes the device wait, so losses and
gradient norms are left there as they are and fetched in groups; what the batches hold is in the ring at once.
"""

import contextlib
import math
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from runner.causes import cause_of, is_out_of_memory
from runner.errors import TrainingDiverged
from store import FlightKind, Recorder, RowsLost
from store.flights import find_rings, remove_rings, ring_path
from store.ring import FlightRing

MOST_GROUPED = 50
"""Steps whose numbers stay on the device at most: a kill loses those."""

MOST_SPIKES = 20
"""Flights kept of spikes in one run: 30 kB each at batches of 32."""

_FLUSH_SECONDS = 5.0  # so long the end of a failed run waits for its flight to be in the store

Number = Tensor | float | None
Look = Callable[[int, float], object]


class _Ended(NamedTuple):
    """A step whose numbers may still be on the device."""

    begun: int
    step: int
    loss: Number
    gradient_norm: Number
    learning_rate: float | None
    seconds: float


class FlightRecorder:
    """Keeps the flight of one training. `look` is shown each step's loss once it is known.

    Args:
        n_positions: training examples of one step, all its batches together.
        group: steps whose numbers are fetched from the device together; 1 on a CPU.
    """

    def __init__(
        self, recorder: Recorder, *, n_positions: int, group: int, look: Look = lambda step, loss: None
    ) -> None:
        self._recorder = recorder
        self._group = max(1, min(group, MOST_GROUPED))
        self._look = look
        self._ring = self._fresh(n_positions)
        self._begun, self._began = 0, time.perf_counter()
        self._loss: Number = None
        self._pending: list[_Ended] = []
        self._last_step = -1
        self._n_spikes = 0
        self._is_broken_kept = False

    def _fresh(self, n_positions: int) -> FlightRing:
        """A new ring; one that an earlier segment left behind goes into the store."""
        store, run, segment = self._recorder.store, self._recorder.run, self._recorder.segment
        rings = find_rings(store, run)
        for _, left, _ in rings:
            if left is not None and len(left.steps.rows):
                reason = run.cause or "its process ended without a word"
                self._recorder.flight(FlightKind.KILLED, reason, steps=left.steps, segment=left.segment)
        if rings:
            with contextlib.suppress(RowsLost):
                self._recorder.flush(_FLUSH_SECONDS)
                remove_rings(rings)
        path = ring_path(store, run, segment)
        ring = FlightRing(path, run_id=run.id, segment=segment, n_positions=n_positions)
        if ring.problem:
            self._recorder.event("warning", f"the last steps are kept in memory only: {ring.problem}")
        return ring

    # a step --------------------------------------------------------------------------------------------------------

    def begin(self, step: int, positions: NDArray[np.int64]) -> None:
        """Step `step` (from 1) is about to train on these positions `(k,)`, all its batches together."""
        self._began = time.perf_counter()
        self._loss = None
        self._begun = self._ring.begin(step, positions)

    def again(self) -> None:
        """The step is trained on once more from its first batch."""
        self._loss = None

    def add_loss(self, loss: Tensor) -> None:
        """One batch's part of the step's loss."""
        part = loss.detach()
        self._loss = part if self._loss is None else self._loss + part

    def end(self, step: int, gradient_norm: Number, learning_rate: float | None) -> bool:
        """The step has ended. Whether that is news: said twice, it counts once."""
        if step == self._last_step or not self._begun:
            return False
        self._last_step = step
        ended = _Ended(self._begun, step, self._loss, gradient_norm, learning_rate, time.perf_counter() - self._began)
        if self._group == 1:
            loss = number(self._loss)
            self._ring.end(ended.begun, loss, number(gradient_norm), learning_rate, ended.seconds)
            self._look(step, loss)
            return True
        self._pending.append(ended)
        if len(self._pending) >= self._group:
            self.flush()
        return True

    def flush(self) -> None:
        """Fetch what is still on the device, into the ring."""
        pending, self._pending = self._pending, []
        losses = numbers([ended.loss for ended in pending])
        norms = numbers([ended.gradient_norm for ended in pending])
        for ended, loss, norm in zip(pending, losses, norms, strict=True):
            self._ring.end(ended.begun, loss, norm, ended.learning_rate, ended.seconds)
        for ended, loss in zip(pending, losses, strict=True):  # what is kept for one of them holds them all
            self._look(ended.step, loss)

    # what is kept --------------------------------------------------------------------------------------------------

    def save(self, kind: FlightKind, reason: str, step: int | None = None) -> None:
        """Put the steps up to now into the store: why, in a sentence, and at which step it went wrong."""
        if kind is FlightKind.SPIKE:
            self._n_spikes += 1
            if self._n_spikes > MOST_SPIKES:
                return
        self._is_broken_kept |= kind is FlightKind.NOT_FINITE
        steps = self._ring.steps()
        if len(steps.rows):
            self._recorder.flight(kind, reason, step=step, steps=steps)

    def finish(self, error: BaseException | None) -> None:
        """The training has ended: well, or by an error; then the steps before it are kept. Removes the file."""
        with contextlib.suppress(Exception):  # a device that has failed gives nothing back
            self.flush()
        if error is not None and not (isinstance(error, TrainingDiverged) and self._is_broken_kept):
            self.save(_kind(error), cause_of(error))
        if error is not None:
            try:
                self._recorder.flush(_FLUSH_SECONDS)
            except RowsLost:
                return  # the file stays: what waits is in memory only, and the next start looks for it
        self._ring.close()


def _kind(error: BaseException) -> FlightKind:
    if isinstance(error, TrainingDiverged):
        return FlightKind.NOT_FINITE
    return FlightKind.OUT_OF_MEMORY if is_out_of_memory(error) else FlightKind.FAILED


def numbers(values: Sequence[Number]) -> list[float]:
    """As Python's numbers, with one transfer from the device; nan where there is none."""
    tensors = [value.detach().float().reshape(()) for value in values if isinstance(value, Tensor)]
    fetched = iter(torch.stack(tensors).tolist() if tensors else [])
    return [next(fetched) if isinstance(value, Tensor) else number(value) for value in values]


def number(value: Number) -> float:
    """As Python's number; nan where there is none."""
    if isinstance(value, Tensor):
        return float(value.item())
    return math.nan if value is None else float(value)
