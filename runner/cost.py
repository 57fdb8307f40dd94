"""What a run cost: time, memory, throughput, energy."""

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Literal, Self, TypeVar

from runner.system import (
    Gpus,
    SystemSampler,
    cuda_devices,
    max_rss_bytes,
)
from store import RunCost, SystemSample

__all__ = ["CostMeter", "SystemSampler", "cuda_devices"]

PEAK_SAMPLE_SECONDS = 0.5
"""How often a meter looks at memory, utilisation and power."""

Phase = Literal["train", "evaluate"]


class CostMeter:
    """Measures one run in this process, from `start` to `stop` (or as a context manager).

    Args:
        device_type: where the model runs: "cpu", "cuda", "mps", ...
        n_devices: how many of them this process uses.
        trainable_parameters, total_parameters: of the model; may be set later as attributes.

    Call everything from one thread.

    >>> with CostMeter() as meter:
    ...     with meter.training():
    ...         with meter.waiting():
    ...             batch = ["one", "two"]
    ...         meter.add_batch(n_examples=2, n_tokens=2)
    >>> meter.result().examples_seen
    2
    """

    def __init__(
        self,
        *,
        device_type: str = "cpu",
        n_devices: int = 1,
        trainable_parameters: int | None = None,
        total_parameters: int | None = None,
        sample_seconds: float = PEAK_SAMPLE_SECONDS,
    ) -> None:
        if n_devices < 1:
            raise ValueError(f"n_devices is {n_devices}; it must be at least 1")
        self.trainable_parameters = trainable_parameters
        self.total_parameters = total_parameters
        self._device_type = device_type
        self._n_devices = n_devices
        self._cuda: tuple[int, ...] = ()
        self._sampler = SystemSampler(self._observe, seconds=sample_seconds)
        self._sample_seconds = sample_seconds
        self._samples = _Samples()
        self._gpus = Gpus(())
        self._start: _Clock | None = None
        self._stop: _Clock | None = None
        self._phases: list[Phase] = []
        self._phase_began = 0.0
        self._seconds: dict[Phase, float] = {}
        self._wait_seconds = 0.0
        self._preparing_seconds: float | None = None
        self._n_examples: int | None = None
        self._n_tokens: int | None = None

    def start(self) -> None:
        """Begin measuring.

        Raises:
            RuntimeError: it has been started before.
        """
        if self._start is not None:
            raise RuntimeError("this CostMeter has been started before; a run takes a new one")
        if self._device_type == "cuda":
            self._cuda = cuda_devices(self._n_devices)
        if self._cuda:
            import torch

            for device in self._cuda:
                torch.cuda.reset_peak_memory_stats(device)
        self._gpus = Gpus(self._cuda)
        self._sampler = SystemSampler(self._observe, seconds=self._sample_seconds, cuda_devices=self._cuda)
        self._start = _Clock.now(self._gpus)
        self._sampler.start()

    def stop(self) -> None:
        """End measuring; safe to call twice, and without `start` having been called."""
        if self._start is None or self._stop is not None:
            return
        self._sampler.stop()
        self._stop = _Clock.now(self._gpus)
        self._gpus.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @contextlib.contextmanager
    def training(self) -> Iterator[None]:
        """Time spent inside is training, apart from any `evaluating()` within it."""
        with self._phase("train"):
            yield

    @contextlib.contextmanager
    def evaluating(self) -> Iterator[None]:
        """Time spent inside is evaluation, also in the middle of `training()`."""
        with self._phase("evaluate"):
            yield

    @contextlib.contextmanager
    def preparing(self) -> Iterator[None]:
        """What is made inside is found ready by later runs: it is booked apart from time and energy, not from peaks.

        Raises:
            RuntimeError: the meter was never started.
        """
        if self._start is None:
            raise RuntimeError("this CostMeter was never started; call start() before the work")
        before, joules = _Clock.now(self._gpus), self._samples.joules
        try:
            yield
        finally:
            after = _Clock.now(self._gpus)
            self._start = self._start.later(before, after)
            self._samples.joules = joules
            self._preparing_seconds = (self._preparing_seconds or 0.0) + after.wall - before.wall

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Time spent inside is waiting for the next batch."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.add_wait(time.perf_counter() - began)

    def add_wait(self, seconds: float) -> None:
        """Add time spent waiting for a training batch; during an evaluation it isn't counted."""
        if not self._phases or self._phases[-1] == "train":
            self._wait_seconds += seconds

    def add_batch(self, *, n_examples: int, n_tokens: int | None = None) -> None:
        """Count a training batch."""
        self._n_examples = (self._n_examples or 0) + n_examples
        if n_tokens is not None:
            self._n_tokens = (self._n_tokens or 0) + n_tokens

    def result(self) -> RunCost:
        """Return the cost up to `stop`, or up to now.

        Raises:
            RuntimeError: the meter was never started.
        """
        if self._start is None:
            raise RuntimeError("this CostMeter was never started; call start() before the work")
        end = self._stop or _Clock.now(self._gpus)
        self._settle()
        wall = end.wall - self._start.wall
        train = self._seconds.get("train")
        is_cpu = self._device_type == "cpu"
        return RunCost(
            wall_seconds=wall,
            train_seconds=train,
            eval_seconds=self._seconds.get("evaluate"),
            device_seconds=end.cpu - self._start.cpu if is_cpu else wall * self._n_devices,
            peak_host_bytes=self._peak_host_bytes(self._start, end),
            peak_device_bytes=self._peak_device_bytes(),
            trainable_parameters=self.trainable_parameters,
            total_parameters=self.total_parameters,
            examples_seen=self._n_examples,
            tokens_seen=self._n_tokens,
            examples_per_second=_rate(self._n_examples, train),
            tokens_per_second=_rate(self._n_tokens, train),
            data_wait_share=min(1.0, self._wait_seconds / train) if train else None,
            device_utilisation=self._samples.mean_utilisation(),
            energy_joules=_difference(end.energy, self._start.energy, self._samples.joules),
            preparing_seconds=self._preparing_seconds,
        )

    @contextlib.contextmanager
    def _phase(self, phase: Phase) -> Iterator[None]:
        self._settle()
        self._phases.append(phase)
        self._seconds.setdefault(phase, 0.0)
        try:
            yield
        finally:
            self._settle()
            self._phases.pop()

    def _settle(self) -> None:
        """Give the time since the last change of phase to the innermost phase."""
        now = time.perf_counter()
        if self._phases:
            self._seconds[self._phases[-1]] += now - self._phase_began
        self._phase_began = now

    def _observe(self, sample: SystemSample) -> None:
        self._samples.add(sample)

    def _peak_host_bytes(self, start: "_Clock", end: "_Clock") -> int | None:
        """Return the sampled peak, raised to the kernel's own mark where that was set during the run."""
        peaks = [] if self._samples.peak_host_bytes is None else [self._samples.peak_host_bytes]
        if start.max_rss is not None and end.max_rss is not None and end.max_rss > start.max_rss:
            peaks.append(end.max_rss)
        return max(peaks, default=None)

    def _peak_device_bytes(self) -> int | None:
        if not self._cuda:
            return None
        import torch

        return max(int(torch.cuda.max_memory_allocated(device)) for device in self._cuda)


@dataclass(frozen=True, slots=True)
class _Clock:
    """The counters whose differences are costs."""

    wall: float
    cpu: float
    max_rss: int | None
    energy: float | None

    @classmethod
    def now(cls, gpus: Gpus) -> Self:
        times = os.times()
        cpu = times.user + times.system + times.children_user + times.children_system
        return cls(time.perf_counter(), cpu, max_rss_bytes(), gpus.energy_joules())

    def later(self, before: Self, after: Self) -> Self:
        """As if what was between the two had not been, but for memory."""
        is_known = self.energy is not None and before.energy is not None and after.energy is not None
        return replace(
            self,
            wall=self.wall + after.wall - before.wall,
            cpu=self.cpu + after.cpu - before.cpu,
            energy=_sum(self.energy, _difference(after.energy, before.energy, None)) if is_known else self.energy,
        )


class _Samples:
    """What the samples of a run add up to."""

    def __init__(self) -> None:
        self.peak_host_bytes: int | None = None
        self.joules: float | None = None
        self._utilisation_sum = 0.0
        self._n_utilisation = 0
        self._last: SystemSample | None = None

    def add(self, sample: SystemSample) -> None:
        """Take in the next sample in time."""
        if sample.host_bytes is not None:
            self.peak_host_bytes = max(self.peak_host_bytes or 0, sample.host_bytes)
        if sample.device_utilisation is not None:
            self._utilisation_sum += sample.device_utilisation
            self._n_utilisation += 1
        last, self._last = self._last, sample
        if last is not None and last.power_watts is not None and sample.power_watts is not None:
            seconds = max(0.0, sample.at - last.at)
            self.joules = (self.joules or 0.0) + seconds * (last.power_watts + sample.power_watts) / 2

    def mean_utilisation(self) -> float | None:
        """Return the mean over the samples that have one."""
        return self._utilisation_sum / self._n_utilisation if self._n_utilisation else None


def add_costs(before: RunCost, now: RunCost) -> RunCost:
    """What a run took over its segments: sums of times and counts, peaks of memory, rates over the sums.

    Work that was lost and done again was done twice, and counts twice. A sum with a part that was not measured is the
    sum of the others.
    """
    train = _sum(before.train_seconds, now.train_seconds)
    examples, tokens = _sum(before.examples_seen, now.examples_seen), _sum(before.tokens_seen, now.tokens_seen)
    return RunCost(
        wall_seconds=_sum(before.wall_seconds, now.wall_seconds),
        train_seconds=train,
        eval_seconds=_sum(before.eval_seconds, now.eval_seconds),
        device_seconds=_sum(before.device_seconds, now.device_seconds),
        peak_host_bytes=_largest(before.peak_host_bytes, now.peak_host_bytes),
        peak_device_bytes=_largest(before.peak_device_bytes, now.peak_device_bytes),
        trainable_parameters=now.trainable_parameters,
        total_parameters=now.total_parameters,
        examples_seen=examples,
        tokens_seen=tokens,
        examples_per_second=_rate(examples, train),
        tokens_per_second=_rate(tokens, train),
        data_wait_share=_mean((before.data_wait_share, before.train_seconds), (now.data_wait_share, now.train_seconds)),
        device_utilisation=_mean(
            (before.device_utilisation, before.wall_seconds), (now.device_utilisation, now.wall_seconds)
        ),
        energy_joules=_sum(before.energy_joules, now.energy_joules),
        preparing_seconds=_sum(before.preparing_seconds, now.preparing_seconds),
    )


N = TypeVar("N", int, float)


def _sum(a: N | None, b: N | None) -> N | None:
    return b if a is None else a if b is None else a + b


def _largest(a: int | None, b: int | None) -> int | None:
    return max((n for n in (a, b) if n is not None), default=None)


def _mean(*parts: tuple[float | None, float | None]) -> float | None:
    """Weighted mean of (value, weight); None where neither part has both."""
    known = [(value, weight) for value, weight in parts if value is not None and weight]
    total = sum(weight for _, weight in known)
    return sum(value * weight for value, weight in known) / total if total else None


def _rate(count: int | None, seconds: float | None) -> float | None:
    return count / seconds if count is not None and seconds else None


def _difference(end: float | None, start: float | None, otherwise: float | None) -> float | None:
    return end - start if end is not None and start is not None else otherwise
