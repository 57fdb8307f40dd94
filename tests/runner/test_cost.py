"""What a run cost: phases, rates, peaks, and the difference between unknown and nothing."""

import contextlib
import dataclasses
import doctest
import mmap
import subprocess
import sys
import time
import types

import pytest

import runner.cost
from runner.cost import CostMeter, _Samples
from store import SystemSample
from tests.runner.test_system import FakeNvml, FakeTorch


def spend(seconds):
    """Keep one core busy."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_doctests():
    result = doctest.testmod(runner.cost)
    assert (result.failed, result.attempted >= 2) == (0, True)


def test_evaluation_inside_training_is_not_training_and_waits_count_in_training_only():
    with CostMeter(trainable_parameters=3, total_parameters=10) as meter:
        with meter.training():
            with meter.waiting():
                time.sleep(0.10)
            time.sleep(0.10)
            meter.add_batch(n_examples=8, n_tokens=100)
            with meter.evaluating():
                time.sleep(0.20)
                meter.add_wait(50.0)
            meter.add_batch(n_examples=8, n_tokens=60)
        with meter.evaluating():
            time.sleep(0.10)
    cost = meter.result()
    assert cost.train_seconds >= 0.20
    assert cost.eval_seconds >= 0.30
    assert cost.wall_seconds >= cost.train_seconds + cost.eval_seconds
    assert (cost.examples_seen, cost.tokens_seen) == (16, 160)
    assert cost.examples_per_second == 16 / cost.train_seconds
    assert cost.tokens_per_second == 160 / cost.train_seconds
    assert 0.10 / cost.train_seconds <= cost.data_wait_share <= 1 - 0.10 / cost.train_seconds
    assert (cost.trainable_parameters, cost.total_parameters) == (3, 10)
    assert meter.result() == cost


def test_what_later_runs_find_ready_is_booked_apart():
    began = time.process_time()
    with CostMeter() as meter:
        spend(0.05)
        with meter.preparing():
            spend(0.5)
        with meter.training():
            spend(0.05)
        with meter.preparing():
            time.sleep(0.01)
    cost = meter.result()
    assert cost.preparing_seconds >= 0.45
    # the clock of the processes ticks a hundred times a second, and other threads may be at work too
    assert 0.06 <= cost.device_seconds <= time.process_time() - began - 0.46
    assert cost.wall_seconds >= cost.train_seconds >= 0.04
    assert runner.cost.add_costs(cost, cost).preparing_seconds == 2 * cost.preparing_seconds
    with pytest.raises(RuntimeError, match="never started"), CostMeter().preparing():
        pass


def test_what_was_not_measured_is_none_not_zero():
    with CostMeter() as meter:
        pass
    cost = meter.result()
    measured = {"wall_seconds", "device_seconds", "peak_host_bytes"}
    for field in dataclasses.fields(cost):
        if field.name not in measured:
            assert getattr(cost, field.name) is None, field.name
    assert cost.peak_host_bytes > 1_000_000


def test_waits_longer_than_training_do_not_pass_one():
    with CostMeter() as meter, meter.training():
        meter.add_wait(1_000.0)
    assert meter.result().data_wait_share == 1.0


def test_device_seconds_on_cpu_are_cpu_seconds_with_those_of_ended_children():
    with CostMeter() as meter:
        time.sleep(0.3)
        spend(0.2)
    alone = meter.result()
    assert 0.18 <= alone.device_seconds < alone.wall_seconds - 0.2
    with CostMeter() as meter:
        code = "import time\nwhile time.process_time() < 0.4: pass"
        subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert meter.result().device_seconds >= 0.38


def test_the_peak_is_that_of_the_run_and_includes_children():
    n_bytes = 150_000_000

    def touch():
        with mmap.mmap(-1, n_bytes) as block:
            for start in range(0, n_bytes, mmap.PAGESIZE):
                block[start] = 1
            time.sleep(1.0)

    touch()  # before the run: not the run's peak
    with CostMeter(sample_seconds=0.02) as meter:
        time.sleep(0.1)
    before = meter.result().peak_host_bytes
    with CostMeter(sample_seconds=0.02) as meter:
        touch()
    assert meter.result().peak_host_bytes - before > 0.9 * n_bytes

    with CostMeter(sample_seconds=0.02) as meter:
        code = f"import time; block = b'x' * {n_bytes}; time.sleep(1.0)"
        subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert meter.result().peak_host_bytes - before > 0.9 * n_bytes


def test_misuse_is_refused():
    with pytest.raises(ValueError, match="n_devices is 0; it must be at least 1"):
        CostMeter(n_devices=0)
    meter = CostMeter()
    meter.stop()
    with pytest.raises(RuntimeError, match="never started"):
        meter.result()
    meter.start()
    with pytest.raises(RuntimeError, match="started before"):
        meter.start()
    assert meter.result().wall_seconds > 0
    meter.stop()
    meter.stop()


def test_an_exception_in_training_ends_the_measurement():
    meter = CostMeter()
    with contextlib.suppress(KeyError), meter, meter.training():
        time.sleep(0.02)
        raise KeyError("x")
    cost = meter.result()
    time.sleep(0.05)
    assert meter.result() == cost
    assert cost.train_seconds >= 0.02


def sample(at, *, watts=None, utilisation=None, host_bytes=None):
    return SystemSample(at, None, host_bytes, utilisation, None, watts)


def test_samples_add_up_exactly():
    samples = _Samples()
    assert (samples.joules, samples.mean_utilisation(), samples.peak_host_bytes) == (None, None, None)
    for one in (
        sample(0.0, watts=100.0, utilisation=0.5, host_bytes=7),
        sample(2.0, watts=200.0, utilisation=1.0, host_bytes=9),  # 2 s × 150 W
        sample(3.0, utilisation=None, host_bytes=8),  # power unknown: nothing is added on either side
        sample(4.0, watts=50.0, utilisation=0.0),
        sample(5.0, watts=50.0),  # 1 s × 50 W
        sample(4.5, watts=50.0),  # the clock was set back
    ):
        samples.add(one)
    assert (samples.joules, samples.mean_utilisation(), samples.peak_host_bytes) == (350.0, 0.5, 9)


@pytest.mark.parametrize("has_counter", [True, False])
def test_gpus_are_measured_through_nvml(monkeypatch, has_counter):
    nvml, torch = FakeNvml(n_gpus=2), FakeTorch(n_gpus=2)
    if not has_counter:
        nvml.broken.add("nvmlDeviceGetTotalEnergyConsumption")
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.setitem(sys.modules, "torch", torch)
    meter = CostMeter(device_type="cuda", n_devices=2, sample_seconds=0.02)
    meter.start()
    assert torch.cuda.was_reset == [0, 1]
    time.sleep(0.1)
    nvml.millijoules += 5_000
    meter.stop()
    cost = meter.result()
    assert cost.device_seconds == 2 * cost.wall_seconds
    assert cost.peak_device_bytes == 2_000
    assert cost.device_utilisation == pytest.approx(0.7)
    if has_counter:
        assert cost.energy_joules == 2 * 5.0
    else:  # 300 W + 300 W, from the first to the last sample
        assert 600 * 0.05 < cost.energy_joules <= 600 * cost.wall_seconds
    assert nvml.n_open == 0


def test_a_cuda_run_without_cuda_has_wall_seconds_but_no_device_memory(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", FakeTorch(n_gpus=0))
    monkeypatch.setitem(sys.modules, "pynvml", types.ModuleType("pynvml"))
    with CostMeter(device_type="cuda") as meter:
        pass
    cost = meter.result()
    assert (cost.peak_device_bytes, cost.device_utilisation, cost.energy_joules) == (None, None, None)
    assert cost.device_seconds == cost.wall_seconds
