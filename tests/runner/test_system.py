"""Looking at the machine: NVML with and without a driver, the sampler's thread, out-of-memory kills."""

import logging
import subprocess
import sys
import threading
import time
import types

import pytest

from runner.system import (
    DeviceReading,
    Gpus,
    ProcessTree,
    SystemSampler,
    cuda_devices,
    max_rss_bytes,
)


class NVMLError(Exception):
    """As pynvml's."""


class FakeNvml(types.ModuleType):
    """As much of pynvml as we ask; a handle is the GPU's number in bus order, GPU i has the UUID `GPU-uuid-i`."""

    def __init__(self, n_gpus=1):
        super().__init__("pynvml")
        self.n_gpus, self.n_open, self.millijoules = n_gpus, 0, 1_000
        self.broken, self.asked = set(), []

    def __getattribute__(self, name):
        if name.startswith("nvml") and name in self.broken:
            raise NVMLError(name)
        return super().__getattribute__(name)

    def nvmlInit(self):
        self.n_open += 1

    def nvmlShutdown(self):
        self.n_open -= 1

    def nvmlDeviceGetHandleByIndex(self, index):
        if index >= self.n_gpus:
            raise NVMLError("invalid argument")
        self.asked.append(index)
        return index

    def nvmlDeviceGetHandleByUUID(self, uuid):
        return self.nvmlDeviceGetHandleByIndex(int(uuid.removeprefix("GPU-uuid-")))

    def nvmlDeviceGetUtilizationRates(self, handle):
        return types.SimpleNamespace(gpu=[60, 80][handle], memory=1)

    def nvmlDeviceGetMemoryInfo(self, handle):
        return types.SimpleNamespace(used=[10, 30][handle], total=100)

    def nvmlDeviceGetPowerUsage(self, handle):
        return 300_000

    def nvmlDeviceGetTotalEnergyConsumption(self, handle):
        return self.millijoules

    def nvmlSystemGetDriverVersion(self):
        return "580.1"


class FakeTorch(types.ModuleType):
    """As much of torch.cuda as we ask; CUDA counts the GPUs in the opposite order to the bus."""

    def __init__(self, n_gpus):
        super().__init__("torch")
        was_reset = []
        self.cuda = types.SimpleNamespace(
            is_available=lambda: n_gpus > 0,
            current_device=lambda: n_gpus - 1,
            get_device_properties=lambda device: types.SimpleNamespace(uuid=f"uuid-{n_gpus - 1 - device}"),
            reset_peak_memory_stats=was_reset.append,
            max_memory_allocated=lambda device: (device + 1) * 1_000,
            was_reset=was_reset,
        )


def test_gpus_are_found_by_uuid_because_cuda_and_nvml_count_differently(monkeypatch):
    nvml = FakeNvml(n_gpus=2)
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.setitem(sys.modules, "torch", FakeTorch(n_gpus=2))
    gpus = Gpus((1,))
    assert nvml.asked == [0]
    assert gpus.read() == DeviceReading(0.6, 10, 300.0)
    assert gpus.driver() == "580.1"
    assert gpus.energy_joules() == 1.0
    gpus.close()
    gpus.close()
    assert nvml.n_open == 0
    assert gpus.read() == DeviceReading(None, None, None)


def test_readings_of_several_gpus_without_torch(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", FakeNvml(n_gpus=2))
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    gpus = Gpus((0, 1))
    assert gpus.read() == DeviceReading(pytest.approx(0.7), 40, 600.0)
    assert gpus.energy_joules() == 2.0


@pytest.mark.parametrize(
    ("broken", "reading"),
    [
        ("nvmlDeviceGetUtilizationRates", DeviceReading(None, 10, 300.0)),
        ("nvmlDeviceGetMemoryInfo", DeviceReading(0.6, None, 300.0)),
        ("nvmlDeviceGetPowerUsage", DeviceReading(0.6, 10, None)),
        ("nvmlInit", DeviceReading(None, None, None)),
        ("nvmlDeviceGetHandleByIndex", DeviceReading(None, None, None)),
    ],
)
def test_what_nvml_refuses_is_none_and_the_rest_is_known(monkeypatch, broken, reading):
    nvml = FakeNvml()
    nvml.broken.add(broken)
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    assert Gpus((0,)).read() == reading


def test_without_the_library_or_devices_nothing_is_known(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)  # importing it raises ImportError
    gpus = Gpus((0,))
    assert gpus.read() == DeviceReading(None, None, None)
    assert (gpus.energy_joules(), gpus.driver()) == (None, None)
    nvml = FakeNvml()
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    assert Gpus(()).read() == DeviceReading(None, None, None)
    assert nvml.n_open == 0  # a CPU run does not wake NVML


def test_the_real_library_without_a_driver_is_quiet():
    pytest.importorskip("pynvml")
    assert Gpus((63,)).read() == DeviceReading(None, None, None)


def test_cuda_devices(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", FakeTorch(n_gpus=4))
    assert (cuda_devices(1), cuda_devices(2), cuda_devices(0)) == ((3,), (0, 1), ())
    monkeypatch.setitem(sys.modules, "torch", FakeTorch(n_gpus=0))
    assert cuda_devices(2) == ()
    monkeypatch.delitem(sys.modules, "torch")
    assert cuda_devices(1) == ()


def test_cpu_percent_counts_this_process_and_new_children():
    tree = ProcessTree()
    assert tree.read()[0] is None  # too soon to tell
    time.sleep(0.3)
    idle, memory = tree.read()
    assert idle < 50
    assert memory > 1_000_000
    code = "import time; x = b'x' * 100_000_000; print(flush=True)\nwhile time.process_time() < 30: pass"
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    try:
        child.stdout.readline()
        tree.read()
        before = time.monotonic()
        while time.monotonic() - before < 0.5:
            time.sleep(0.05)
        busy, with_child = tree.read()
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
    assert busy > 15  # near 100 on an idle machine
    assert with_child - memory > 90_000_000
    assert tree.read()[1] < with_child - 90_000_000


def test_sampler_looks_at_once_and_on_stop_and_stops_promptly():
    samples = []
    sampler = SystemSampler(samples.append, seconds=3_600)
    began = time.time()
    with sampler:
        deadline = time.monotonic() + 10
        while not samples and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(samples) == 1
        stopping = time.monotonic()
    assert time.monotonic() - stopping < 2
    assert len(samples) == 2
    assert began <= samples[0].at <= samples[1].at <= time.time()
    assert samples[0].host_bytes > 1_000_000
    assert samples[0].power_watts is None
    sampler.stop()
    with pytest.raises(RuntimeError, match="started before"):
        sampler.start()


def test_sampler_repeats_on_its_own_thread():
    names = []
    with SystemSampler(lambda sample: names.append(threading.current_thread().name), seconds=0.01):
        deadline = time.monotonic() + 20
        while len(names) < 4 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert len(names) >= 4
    assert set(names) == {"system-sampler"}


def test_sampler_survives_its_sink_and_says_so_once(caplog):
    calls = []

    def sink(sample):
        calls.append(sample)
        raise OSError("store is locked")

    with caplog.at_level(logging.WARNING), SystemSampler(sink, seconds=0.01):
        deadline = time.monotonic() + 20
        while len(calls) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
    assert len(calls) >= 3
    assert [record.getMessage() for record in caplog.records] == [
        "system samples are missing: OSError: store is locked"
    ]


def test_sampler_may_be_stopped_from_its_sink_and_unstarted():
    sampler = SystemSampler(lambda sample: sampler.stop(), seconds=0.01)
    sampler.stop()
    sampler = SystemSampler(lambda sample: sampler.stop(), seconds=0.01)
    sampler.start()
    sampler._thread.join(10)
    assert not sampler._thread.is_alive()
    with pytest.raises(ValueError, match="seconds is 0; it must be greater than 0"):
        SystemSampler(print, seconds=0)


def test_a_look_that_comes_too_late_is_dropped(monkeypatch):
    """The run's record may have ended by then, and would count it as lost."""
    samples, looking, free = [], threading.Event(), threading.Event()

    def slow(gpus):
        looking.set()
        free.wait(20)
        return DeviceReading()

    monkeypatch.setattr(Gpus, "read", slow)
    sampler = SystemSampler(samples.append, seconds=3_600)
    sampler.start()
    assert looking.wait(20)
    sampler.stop(timeout_seconds=0.0)
    free.set()
    sampler._thread.join(20)
    assert not sampler._thread.is_alive()
    assert samples == []


def test_max_rss_is_in_bytes():
    assert 5_000_000 < max_rss_bytes() < 1_000_000_000_000
