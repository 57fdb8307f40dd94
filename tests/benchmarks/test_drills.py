"""What a drill allows for: time in which the machine had no core for its victim."""

import subprocess
import sys
from collections.abc import Callable

import pytest

from benchmarks.drills import trainings


class Victim:
    """A process as the drill sees it."""

    def __init__(self) -> None:
        self.process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        self.pid = self.process.pid

    def is_alive(self) -> bool:
        return self.process.poll() is None

    def join(self, seconds: float) -> None:
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return


def counted(values: list[float]) -> Callable[[int], float]:
    it = iter(values)
    return lambda pid: next(it, values[-1])


@pytest.mark.parametrize(
    ("values", "starved"),
    [([0.0], 0.0), ([0.1, 0.2, 0.9], 0.9), ([5.0] * 3 + [5.5], 5.5), ([0.3, 0.2, 0.1], 0.3)],
)
def test_the_time_without_a_core_is_that_of_the_last_seconds(
    values: list[float], starved: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainings, "_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(trainings, "_delayed", counted(values))
    victim = Victim()
    assert trainings._watch(victim, 0.06) == pytest.approx(starved)
    victim.process.kill()
    victim.process.wait()
    assert trainings._watch(victim, 10.0) == pytest.approx(values[-1]), "one that has ended is not waited for"


def test_the_kernel_is_asked() -> None:
    victim = Victim()
    assert 0 <= trainings._delayed(victim.pid) < 60
    victim.process.kill()
    victim.process.wait()
    assert trainings._delayed(victim.pid) == 0
