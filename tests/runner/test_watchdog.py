"""The watchdog: what it says of a training that stands still, told by looks and not by the clock."""

import threading
from collections import namedtuple
from pathlib import Path

import pytest

from evals.alerts import Alert, AlertKind
from runner import watchdog as module
from runner.alerts import Alerts
from runner.watchdog import Watchdog

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def told() -> list[Alert]:
    return []


@pytest.fixture
def watchdog(told: list[Alert]) -> Watchdog:
    return Watchdog(Alerts(told.append))


def test_a_stall_is_told_once_and_again_after_the_next(watchdog: Watchdog, told: list[Alert]) -> None:
    watchdog.step(1)
    watchdog.step(2)
    watchdog.look(2.0)  # it has moved
    for _ in range(30):
        watchdog.look(2.0)
    assert told == []
    watchdog.look(2.0)
    watchdog.look(2.0)
    assert [(alert.kind, alert.step, alert.evidence["seconds"]) for alert in told] == [(AlertKind.STALL, 2, 62.0)]
    watchdog.step(3)
    watchdog.look(2.0)
    for _ in range(32):
        watchdog.look(2.0)
    assert [alert.step for alert in told] == [2, 3]


def test_waiting_for_a_batch_is_the_loaders_fault(watchdog: Watchdog, told: list[Alert]) -> None:
    watchdog.step(1)
    watchdog.step(2)
    with watchdog.waiting():
        watchdog.look(2.0)
        watchdog.look(61.0)
    assert [alert.kind for alert in told] == [AlertKind.DATA_LOADER]


def test_an_evaluation_is_no_stall_however_long(watchdog: Watchdog, told: list[Alert]) -> None:
    watchdog.step(1)
    watchdog.step(2)
    watchdog.look(2.0)
    with watchdog.resting(), watchdog.resting():
        for _ in range(100):
            watchdog.look(60.0)
    watchdog.look(59.0)  # since its end
    assert told == []
    watchdog.look(59.0)
    watchdog.look(2.0)
    assert [alert.kind for alert in told] == [AlertKind.STALL]


def test_before_the_first_steps_there_is_more_time(watchdog: Watchdog, told: list[Alert]) -> None:
    watchdog.look(500.0)
    assert told == []
    watchdog.look(200.0)
    assert [(alert.kind, alert.step) for alert in told] == [(AlertKind.STALL, None)]


def test_the_place_in_the_code_is_said(told: list[Alert]) -> None:
    watchdog = Watchdog(Alerts(told.append))
    entered, leave = threading.Event(), threading.Event()

    def train() -> None:
        watchdog._watched = threading.get_ident()
        watchdog.step(1)
        watchdog.step(2)
        entered.set()
        leave.wait()

    thread = threading.Thread(target=train)
    thread.start()
    entered.wait()
    watchdog.look(2.0)
    watchdog.look(70.0)
    leave.set()
    thread.join()
    assert "threading.py" in str(told[0].evidence["where"])


def test_a_slow_loader(watchdog: Watchdog, told: list[Alert]) -> None:
    for _ in range(20):
        watchdog.step(1)
        watchdog._waited, watchdog._worked = 1.9, 2.0
        watchdog.look(2.0)
    assert [alert.kind for alert in told] == [AlertKind.DATA_LOADER]
    assert told[0].evidence["wait_share"] == 0.95


def test_a_disk_that_fills_up(tmp_path: Path, told: list[Alert], monkeypatch: pytest.MonkeyPatch) -> None:
    free = [10_000_000_000]
    monkeypatch.setattr(module.shutil, "disk_usage", lambda folder: Usage(0, 0, free[0]))
    watchdog = Watchdog(Alerts(told.append), folders=[tmp_path], checkpoint_bytes=lambda: 1_000_000_000)
    watchdog.step(1)
    for amount, n_told in ((10_000_000_000, 0), (1_100_000_000, 1), (900_000_000, 1), (5_000_000_000, 1), (0, 2)):
        free[0] = amount
        watchdog.step(1)
        watchdog.look(module.DISK_SECONDS)
        assert len(told) == n_told
    assert told[0].kind is AlertKind.DISK_LOW
    assert str(tmp_path) in told[0].message


def test_a_folder_that_is_gone_is_left_out(tmp_path: Path, told: list[Alert]) -> None:
    watchdog = Watchdog(Alerts(told.append), folders=[tmp_path / "no"])
    watchdog.look(0.0)
    assert told == []


def test_its_thread_sees_a_training_that_hangs(told: list[Alert]) -> None:
    seen = threading.Event()

    def tell(alert: Alert) -> None:
        told.append(alert)
        seen.set()

    with Watchdog(Alerts(tell), poll_seconds=0.01, stall_seconds=0.0) as watchdog:
        watchdog.step(1)
        watchdog.step(2)
        assert seen.wait(60)
        thread = watchdog._thread
    thread.join(60)
    assert not thread.is_alive()
    assert told[0].kind is AlertKind.STALL
    assert Path(__file__).name in str(told[0].evidence["where"]) or "threading.py" in str(told[0].evidence["where"])


def test_a_mistake_in_a_rule_does_not_end_it(told: list[Alert], monkeypatch: pytest.MonkeyPatch) -> None:
    looked = threading.Event()
    n_looks = 0

    def look(self: Watchdog, elapsed: float) -> None:
        nonlocal n_looks
        n_looks += 1
        if n_looks > 2:
            looked.set()
        raise RuntimeError("a mistake")

    monkeypatch.setattr(Watchdog, "look", look)
    with Watchdog(Alerts(told.append), poll_seconds=0.01):
        assert looked.wait(60)


def test_what_it_sees_after_the_end_is_not_told(watchdog: Watchdog, told: list[Alert]) -> None:
    with watchdog:
        watchdog.step(1)
        watchdog.step(2)
        watchdog.look(2.0)
    for _ in range(40):
        watchdog.look(2.0)
    assert told == []
