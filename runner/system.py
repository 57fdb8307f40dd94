"""What the machine is doing: CPU, memory, GPUs through NVML, and the kernel's out-of-memory kills.

Everything here is measured from outside the training, on a thread of its own, and never raises into it.
What cannot be measured is None.
"""

import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Self

import psutil

from store import SystemSample

_log = logging.getLogger(__name__)

MAX_SAMPLING_SHARE = 0.02
"""A sampler waits longer than asked when looking would take more than this share of one core."""

MIN_CPU_SECONDS = 0.05
"""CPU clocks tick a hundred times a second: over less time than this, CPU use is noise."""


class DeviceReading(NamedTuple):
    """One look at the GPUs; fields as in `SystemSample`."""

    utilisation: float | None
    used_bytes: int | None
    power_watts: float | None


class Gpus:
    """NVML's view of some CUDA devices. Without the library, the driver or the devices, every answer is None.

    Args:
        devices: CUDA indices as this process counts them (so after `CUDA_VISIBLE_DEVICES`).
    """

    def __init__(self, devices: Sequence[int]) -> None:
        self._nvml: Any = None
        self._handles: list[Any] = []
        if devices:
            with contextlib.suppress(Exception):  # no driver, no permission, a device that NVML doesn't know
                import pynvml

                pynvml.nvmlInit()
                self._nvml = pynvml
                self._handles = [_nvml_handle(pynvml, device) for device in devices]

    def close(self) -> None:
        """Let NVML go; later answers are None."""
        nvml, self._nvml, self._handles = self._nvml, None, []
        if nvml is not None:
            with contextlib.suppress(Exception):
                nvml.nvmlShutdown()

    def read(self) -> DeviceReading:
        """Return utilisation, memory and power now; a field that any of the GPUs refuses is None."""
        utilisation = self._each(lambda nvml, gpu: nvml.nvmlDeviceGetUtilizationRates(gpu).gpu / 100)
        used = self._each(lambda nvml, gpu: nvml.nvmlDeviceGetMemoryInfo(gpu).used)
        milliwatts = self._each(lambda nvml, gpu: nvml.nvmlDeviceGetPowerUsage(gpu))
        return DeviceReading(
            None if utilisation is None else sum(utilisation) / len(utilisation),
            None if used is None else int(sum(used)),
            None if milliwatts is None else sum(milliwatts) / 1000,
        )

    def energy_joules(self) -> float | None:
        """Return the energy that the GPUs used since their driver was loaded, summed (Volta and later)."""
        millijoules = self._each(lambda nvml, gpu: nvml.nvmlDeviceGetTotalEnergyConsumption(gpu))
        return None if millijoules is None else sum(millijoules) / 1000

    def driver(self) -> str | None:
        """Return the driver's version."""
        with contextlib.suppress(Exception):
            version = self._nvml.nvmlSystemGetDriverVersion()
            return version.decode() if isinstance(version, bytes) else str(version)
        return None

    def _each(self, ask: Callable[[Any, Any], float]) -> list[float] | None:
        try:
            return [ask(self._nvml, handle) for handle in self._handles] or None
        except Exception:  # NVML raises its own errors, and ctypes' when the driver is older than the library
            return None


def _nvml_handle(nvml: Any, device: int) -> Any:
    """Find NVML's handle by UUID: NVML counts all GPUs in bus order, CUDA the visible ones, fastest first."""
    torch = sys.modules.get("torch")
    uuid = None
    if torch is not None:
        with contextlib.suppress(Exception):
            uuid = torch.cuda.get_device_properties(device).uuid
    if uuid is None:
        return nvml.nvmlDeviceGetHandleByIndex(device)
    text = str(uuid)
    return nvml.nvmlDeviceGetHandleByUUID(text if text.startswith(("GPU-", "MIG-")) else f"GPU-{text}")


class ProcessTree:
    """CPU use and memory of this process and its children (data loader workers)."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._cpu_seconds = {process.pid: seconds for process, seconds, _ in self._look()}
        self._looked_at = time.monotonic()

    def read(self) -> tuple[float | None, int | None]:
        """Return (CPU percent since the last look, 100 = one core; resident bytes)."""
        now = time.monotonic()
        seen = list(self._look())
        memory = sum(rss for *_, rss in seen) if seen else None
        passed = now - self._looked_at
        if passed < MIN_CPU_SECONDS or not seen:
            return None, memory
        busy = sum(seconds - self._cpu_seconds.get(process.pid, 0.0) for process, seconds, _ in seen)
        self._looked_at = now
        self._cpu_seconds = {process.pid: seconds for process, seconds, _ in seen}
        return 100 * max(0.0, busy) / passed, memory

    def _look(self) -> Iterator[tuple[psutil.Process, float, int]]:
        processes = [self._process]
        with contextlib.suppress(psutil.Error):
            processes += self._process.children(recursive=True)
        for process in processes:
            with contextlib.suppress(psutil.Error, OSError), process.oneshot():  # it may end while we look
                times = process.cpu_times()
                yield process, times.user + times.system, process.memory_info().rss


class SystemSampler:
    """A thread that looks at the machine every `seconds` and hands each `SystemSample` to `sink`.

    The first look is taken at once, the last one on `stop`; a look that takes longer than `stop` waits is dropped.
    What the sink raises is logged once and dropped.

    Args:
        sink: called on the sampler's thread.
        seconds: time between looks (> 0); longer when looking is slow (see `MAX_SAMPLING_SHARE`).
        cuda_devices: the GPUs to watch, as this process counts them; empty: none.
    """

    def __init__(
        self,
        sink: Callable[[SystemSample], None],
        *,
        seconds: float = 10.0,
        cuda_devices: Sequence[int] = (),
    ) -> None:
        if not seconds > 0:
            raise ValueError(f"seconds is {seconds}; it must be greater than 0")
        self._sink = sink
        self._seconds = seconds
        self._cuda_devices = tuple(cuda_devices)
        self._stopping = threading.Event()
        self._is_over = False
        self._handing_over = threading.Lock()
        self._thread: threading.Thread | None = None
        self._has_warned = False

    def start(self) -> None:
        """Begin; a sampler runs once."""
        if self._thread is not None:
            raise RuntimeError("this SystemSampler has been started before; make a new one")
        self._thread = threading.Thread(target=self._run, name="system-sampler", daemon=True)
        self._thread.start()

    def stop(self, timeout_seconds: float = 5.0) -> None:
        """Take the last sample and end; returns at once when it never ran. Safe to call twice."""
        self._stopping.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout_seconds)
            with self._handing_over:
                self._is_over = True

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            tree, gpus = ProcessTree(), Gpus(self._cuda_devices)
        except Exception as error:
            self._warn(error)
            return
        try:
            is_last = False
            while True:
                began = time.thread_time()
                self._look(tree, gpus)
                if is_last:
                    return
                took = time.thread_time() - began
                is_last = self._stopping.wait(max(self._seconds, took / MAX_SAMPLING_SHARE))
        finally:
            gpus.close()

    def _look(self, tree: ProcessTree, gpus: Gpus) -> None:
        try:
            cpu_percent, host_bytes = tree.read()
            sample = SystemSample(time.time(), cpu_percent, host_bytes, *gpus.read())
            with self._handing_over:
                if not self._is_over:
                    self._sink(sample)
        except Exception as error:  # watching must never end what it watches
            self._warn(error)

    def _warn(self, error: Exception) -> None:
        if not self._has_warned:
            self._has_warned = True
            _log.warning("system samples are missing: %s: %s", type(error).__name__, error)


def cuda_devices(n_devices: int) -> tuple[int, ...]:
    """Return the CUDA indices that a process working on `n_devices` GPUs uses; () without CUDA.

    One device is torch's current one (under torchrun each process sets its own), more are the first ones.
    """
    torch = sys.modules.get("torch")
    if torch is None or n_devices < 1 or not torch.cuda.is_available():
        return ()
    return (torch.cuda.current_device(),) if n_devices == 1 else tuple(range(n_devices))


def max_rss_bytes() -> int | None:
    """Return the largest resident size that this process ever had; None where the system doesn't say."""
    if os.name != "posix":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # kibibytes on Linux and the BSDs
