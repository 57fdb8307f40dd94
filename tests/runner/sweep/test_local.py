"""Real trainings in real worker processes: what a kill of worker or driver leaves, and how it goes on from there."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from runner.data import prepare_data
from runner.progress import make_progress
from runner.recipe import parse_recipe
from runner.sweep.driver import Driver
from runner.sweep.engine import Answer, Asked, Ended, Engine, Latency, Lost, Placed, Stop, Task, pack, unpack
from runner.sweep.local import LocalEngine, worker_environment
from runner.sweep.search import Search, read_search
from runner.sweep.take_up import take_up
from runner.sweep.trial_data import TrialData
from runner.train import train
from store import (
    Run,
    Status,
    Store,
    Sweep,
    Trial,
    get_run,
    get_sweep,
    list_checkpoints,
    list_evaluations,
    list_runs,
    list_scores,
    open_store,
    read_trials,
    reconcile,
)
from tests.runner.conftest import Kit
from tests.runner.sweep.engines import InlineEngine
from tests.runner.sweep.test_driver import Heard

pytestmark = pytest.mark.timeout(900)  # each worker loads torch
LINES = """
[sweep]
sampler = "grid"
[sweep.space]
"""


@pytest.mark.parametrize(
    "message",
    [
        Task(1, "train", {"name": "x"}, "name", None, 3, (0.25, 0.5), command=("runner", "sweep")),
        Placed(1, "here cuda:0"),
        Asked(1, 0, 5, 0.5, {"validation/loss": None}),
        Ended(1, "failed", "why", None, Latency(2.5, 2.0, 3.5), can_retry=False, was_alone=True),
        Lost(1, "gone"),
        Answer(1, stops=True),
        Stop("its sweep was stopped: asked to stop"),
    ],
)
def test_messages_travel(message: object) -> None:
    assert unpack(pack(message)) == message  # type: ignore[arg-type]  # one of them


def test_what_is_no_message_is_refused() -> None:
    with pytest.raises(ValueError, match="no message"):
        unpack(b'{"kind": "Order"}')


def test_a_worker_sees_its_device_and_its_share_of_the_cores() -> None:
    made = worker_environment({"PATH": "/bin"}, "3", 2)
    assert (made["CUDA_VISIBLE_DEVICES"], made["OMP_NUM_THREADS"], made["OMP_WAIT_POLICY"]) == ("3", "2", "PASSIVE")
    given = worker_environment({"OMP_NUM_THREADS": "5", "OMP_WAIT_POLICY": "ACTIVE"}, None, 2)
    assert (given["OMP_NUM_THREADS"], given["OMP_WAIT_POLICY"]) == ("5", "ACTIVE")
    assert "CUDA_VISIBLE_DEVICES" not in given


def search_in(kit: Kit, space: str, name: str, **overrides: object) -> tuple[str, Search]:
    text = kit.text({"name": name, "checkpoints.keep": "best+last", **overrides}) + LINES + space
    loaded = parse_recipe(text, folder=kit.folder)
    return text, read_search(loaded.recipe, loaded.written)


def swept(store: Store, kit: Kit, text: str, engine: Engine) -> tuple[Sweep, list[Trial], Heard]:
    loaded = parse_recipe(text, folder=kit.folder)
    search = read_search(loaded.recipe, loaded.written)
    taken = take_up(store, loaded, TrialData(store, search, prepare_data(store, loaded.recipe).dataset))
    heard = Heard()
    sweep = Driver(store, taken, engine, heard, command=("test",)).drive()
    return sweep, read_trials(store, sweep.key), heard


class KillsOnce(LocalEngine):
    """Kills its worker with -9 as soon as the run at work has a checkpoint."""

    opened: Store | None = None
    killed: int | None = None

    def next_event(self, timeout_seconds: float) -> Asked | Ended | Lost | None:
        assert self.opened is not None
        if self.killed is None and self.pids and self._has_checkpoint(self.opened):
            self.killed = self.pids[0]
            os.kill(self.killed, signal.SIGKILL)
        return super().next_event(min(timeout_seconds, 0.05))

    def _has_checkpoint(self, store: Store) -> bool:
        keys = [int(key) for key in list_runs(store, status=["running"])["key"]]
        return any(list_checkpoints(store, key, existing=True) for key in keys)


def test_trials_are_what_single_trainings_are_even_if_their_worker_is_killed(
    store: Store, kit: Kit, tmp_path: Path
) -> None:
    space = '"model.method" = ["full", "head", "lora"]\n"training.epochs" = [6]\n"training.learning_rate" = [3e-3]'
    text, search = search_in(kit, space, "killed", **{"training.epochs": None})
    engine = KillsOnce(store.path, [None], 1, tmp_path / "logs")
    engine.opened = store
    sweep, trials, heard = swept(store, kit, text, engine)
    assert sweep.status == Status.FINISHED
    assert engine.killed is not None
    assert [trial.status for trial in trials] == [Status.FINISHED] * 3
    assert [trial.n_attempts for trial in trials] == [2, 1, 1]
    assert any("killed: process" in said and "tried again" in said for said in heard.said)
    assert engine.pids == []
    with_store = open_store(tmp_path / "alone.db")
    for trial in trials:
        loaded = search.trial_recipe(trial.number, trial.seed, trial.parameters)
        alone = train(loaded, with_store, make_progress("quiet"), command=["test"])
        together = get_run(store, int(trial.run_key or 0))
        assert scores(with_store, alone) == scores(store, together), trial.parameters
        assert together.recipe_hash == alone.recipe_hash == trial.recipe_hash
    with_store.close()


def scores(store: Store, run: Run) -> list[tuple[str, int, float]]:
    found = list_scores(store, [run.key])
    found = found[found["metric"] == "loss"]
    return list(zip(found["split"], found["step"], found["value"], strict=True))


def test_a_search_with_rungs(store: Store, kit: Kit) -> None:
    space = '"training.head_learning_rate" = [3e-3, 3.0, 6.0]\n"model.method" = ["head"]'
    head = {"training.epochs": 8, "training.head_learning_rate": None, "evaluation.select": "validation/loss"}
    text, _ = search_in(kit, space, "rungs", **head)
    text = text.replace('sampler = "grid"', 'sampler = "grid"\npruner = "asha"\neta = 2\nfirst_rung = 0.25')
    sweep, trials, _ = swept(store, kit, text, InlineEngine(store))
    assert sweep.status == Status.FINISHED
    assert [trial.status for trial in trials].count(Status.FINISHED) == 1
    assert trials[0].status == Status.FINISHED, "the others take far too large steps"
    assert trials[0].n_promotions == 2, "it was stopped at each rung, for want of others"
    for trial in trials:
        steps = [e.step for e in list_evaluations(store, int(trial.run_key or 0)) if e.split == "validation"]
        assert len(steps) == len(set(steps)), "every step is there once"


# the command, killed -------------------------------------------------------------------------------------------------


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    """`runner sweep` as a process of its own that Ctrl-C reaches."""
    code = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    code += "from runner.cli import main; main(sys.argv[1:])"
    return subprocess.Popen(
        [sys.executable, "-c", code, "sweep", *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def test_a_driver_that_is_killed_or_interrupted_loses_nothing(kit: Kit, tmp_path: Path) -> None:
    space = '"training.learning_rate" = [1e-3, 3e-3]'
    long = {"training.epochs": 60, "training.learning_rate": None}
    text, _ = search_in(kit, space, "command", **long)
    (tmp_path / "sweep.toml").write_text(text)
    store = open_store(tmp_path / "assay.db")

    def has_checkpoint(number: int) -> bool:
        trials = [t for t in read_trials(store, 1) if t.number == number] if _exists(store) else []
        return bool(trials and trials[0].run_key and len(list_checkpoints(store, trials[0].run_key)) > 1)

    driver = start(tmp_path, "sweep.toml", "--plain")
    wait_for(lambda: has_checkpoint(0), "the first trial begins")
    workers = [child.pid for child in psutil.Process(driver.pid).children()]
    assert len(workers) == 1
    driver.kill()
    driver.wait()
    wait_for(lambda: not _alive(workers[0]), "the worker ends by itself when its driver is gone")
    first = get_run(store, 1)
    assert (first.status, first.cause) == (Status.KILLED, "its sweep's driver was gone")
    reconcile(store)
    assert get_sweep(store, 1).status == Status.FAILED
    assert "ended without a word" in str(get_sweep(store, 1).cause)

    driver = start(tmp_path, "sweep.toml", "--plain")
    wait_for(lambda: has_checkpoint(1), "the second trial begins")
    assert get_run(store, 1).status == Status.FINISHED
    driver.send_signal(signal.SIGINT)
    output, _ = driver.communicate(timeout=240)
    assert driver.returncode == 130, output
    assert "stopping: interrupted (Ctrl-C)" in output
    assert get_sweep(store, 1).status == Status.KILLED
    second = get_run(store, 2)
    assert (second.status, second.cause) == (Status.KILLED, "its sweep was stopped: interrupted (Ctrl-C)")

    sweep, _, _ = swept(store, kit, text, InlineEngine(store))
    assert (sweep.key, sweep.status) == (1, Status.FINISHED)
    runs = list_runs(store)
    assert runs["status"].tolist() == ["finished", "finished"], "no run was begun twice"
    for trial in read_trials(store, 1):
        steps = [e.step for e in list_evaluations(store, int(trial.run_key or 0)) if e.split == "validation"]
        assert steps == sorted({*steps}), "one visible evaluation a step"
        assert len(steps) == 61
    store.close()


def _exists(store: Store) -> bool:
    return bool(store.db.execute("SELECT count(*) FROM sweeps").fetchone()[0])


def _alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
