"""Ctrl-C and SIGTERM at any moment: a run ends as killed with what was recorded, and never by a traceback."""

import os
import signal
import threading
from pathlib import Path

import pytest

from runner.interrupts import Interrupted, held_interrupts
from store import Store, get_cost, get_run, list_dynamics, list_evaluations, list_runs, open_store
from tests.runner.conftest import Kit
from tests.runner.processes import Process

SIGNALS = [(signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "SIGTERM")]


@pytest.mark.parametrize(("number", "name"), SIGNALS)
def test_let_through_it_is_raised(number: int, name: str) -> None:
    def work() -> None:
        with interrupts.let_through():
            os.kill(os.getpid(), number)
            raise AssertionError("not reached")

    with held_interrupts() as interrupts, pytest.raises(Interrupted, match=name):
        work()


@pytest.mark.parametrize(("number", "name"), SIGNALS)
def test_held_it_waits(number: int, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(number)
    with held_interrupts() as interrupts:
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)
        with pytest.raises(Interrupted, match=name), interrupts.let_through():
            raise AssertionError("not reached")
        os.kill(os.getpid(), number)
    assert capfd.readouterr().err == "ending: what was recorded is being written\n"
    assert signal.getsignal(number) == before


def test_a_second_one_within_the_work_is_raised_too() -> None:
    """The first may have been swallowed by a library."""
    raised = []

    def work() -> None:
        with interrupts.let_through():
            for _ in range(2):
                try:
                    os.kill(os.getpid(), signal.SIGINT)
                except Interrupted as interruption:
                    raised.append(interruption)

    with held_interrupts() as interrupts:
        work()
    assert len(raised) == 2


def test_in_another_thread_nothing_is_touched() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def look() -> None:
        with held_interrupts() as interrupts, interrupts.let_through():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [before]


# whole processes -----------------------------------------------------------------------------------------------------


def start(kit: Kit, folder: Path, patches: str) -> tuple[Process, Path]:
    recipe = folder / "recipe.toml"
    recipe.write_text(kit.text({"name": "long", "model.method": "head", "training.epochs": 200}))
    return Process(patches, "train", recipe, "--store", folder / "assay.db", "--plain"), folder / "assay.db"


def killed(path: Path) -> Store:
    store = open_store(path, create=False)
    run = get_run(store, "long")
    assert run.status == "killed"
    assert (run.cause or "").startswith("interrupted (")
    return store


def test_while_data_is_read_nothing_is_left(kit: Kit, tmp_path: Path) -> None:
    reading = "import runner.data.prepare as m; stop_in(m, 'scan_tables', 'reading', when=lambda _: True)"
    process, path = start(kit, tmp_path, reading)
    process.wait_for("reading")
    process.signal(signal.SIGINT)
    code, stderr = process.end()
    assert code == 130
    assert stderr.splitlines()[-1] == "interrupted"
    assert "Traceback" not in stderr
    assert len(list_runs(open_store(path))) == 0


FIRST_EVALUATION = "from runner.trainer import RecordingTrainer as T; stop_in(T, '_evaluate_split', 'evaluating')"


def test_in_the_first_evaluation(kit: Kit, tmp_path: Path) -> None:
    process, path = start(kit, tmp_path, FIRST_EVALUATION)
    process.wait_for("evaluating")
    process.signal(signal.SIGINT)
    code, stderr = process.end()
    assert (code, "Traceback" in stderr) == (130, False), stderr
    store = killed(path)
    assert list_evaluations(store, get_run(store, "long").key) == []
    assert get_cost(store, get_run(store, "long").key).wall_seconds is not None


ENDING = """
from runner.trainer import RecordingTrainer as T
from store import Recorder as R
stop_in(T, 'training_step', 'training', when=lambda self: self.state.global_step == 8)
stop_in(T, 'take_dynamics', 'taking', when=lambda self: self.state.global_step == 8, seconds=2)
stop_in(R, 'finish', 'finishing', seconds=2)
"""


def test_a_second_and_a_third_time(kit: Kit, tmp_path: Path) -> None:
    process, path = start(kit, tmp_path, ENDING)
    process.wait_for("training")
    process.signal(signal.SIGINT)
    process.wait_for("taking")
    process.signal(signal.SIGINT)
    process.wait_for("finishing")
    process.signal(signal.SIGINT)
    process.signal(signal.SIGTERM)
    code, stderr = process.end()
    assert (code, "Traceback" in stderr) == (130, False), stderr
    assert "ending: what was recorded is being written" in stderr
    store = killed(path)
    assert [epoch for epoch, _ in list_dynamics(store, get_run(store, "long").key)] == [1, 2, 3]
    assert get_cost(store, get_run(store, "long").key).wall_seconds is not None


@pytest.mark.slow  # a process more; `test_held_it_waits` has the heart of it
def test_before_the_work_has_begun(kit: Kit, tmp_path: Path) -> None:
    """The run is recorded, and its recorder is on its way."""
    opening = "from store import Recorder as R; stop_in(R, '__init__', 'opening', seconds=2)"
    process, path = start(kit, tmp_path, opening)
    process.wait_for("opening")
    process.signal(signal.SIGTERM)
    code, stderr = process.end()
    assert (code, "Traceback" in stderr) == (130, False), stderr
    killed(path)
