"""Trainings that are killed and resumed until they have come through."""

import contextlib
import multiprocessing
import os
import random
import signal
import struct
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.drills.records import compare, finished, record_of
from benchmarks.drills.workshop import Outcome, Workshop, look_over
from store import Run, Status, Store, get_run, list_runs, open_store

ACKNOWLEDGED_SECONDS = 0.5
"""What was acknowledged longer than this before the kill must be in the store. Time does not count in which the process
was ready to go on and the machine had no core for it."""

_WINDOW_SECONDS = 2.0  # before the kill, in which that time is looked at
_LOOK_SECONDS = 0.25

METHODS = ("full", "head", "lora")
_ACK = struct.Struct("<qd")  # step, unix time


def drill_training(workshop: Workshop, store: Store, n_kills: int, rng: random.Random, outcome: Outcome) -> None:
    """Kill trainings of all methods in turn, until `n_kills` kills have hit."""
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload(["torch", "transformers", "peft", "runner.train", "runner.resume"])
    acknowledged = workshop.folder / "acknowledged"

    def start(recipe: Path, run_id: str | None) -> Any:
        process = forks.Process(target=_train, args=(store.path, recipe, acknowledged, run_id))
        process.start()
        return process

    seconds: dict[str, float] = {}
    start(workshop.recipe("warm-up"), None).join()  # the first one pays for what the others find loaded
    n_before, number = outcome.total, 0
    while outcome.total - n_before < n_kills:
        method = METHODS[number % len(METHODS)]
        if method not in seconds:
            began = time.monotonic()
            start(workshop.recipe(f"reference-{method}", method), None).join()
            seconds[method] = time.monotonic() - began
        reference = record_of(store, finished(store, f"reference-{method}"))
        name = f"victim-{number}"
        recipe, run_id = workshop.recipe(name, method), None
        while True:
            n_runs = len(list_runs(store))
            process = start(recipe, run_id)
            starved = _watch(process, rng.uniform(0.0, 1.1 * seconds[method]))
            is_killed = process.is_alive()
            at = time.time() - starved
            if is_killed:
                process.kill()
                outcome.killed("train")
            process.join()
            outcome.n_restarts += 1
            look_over(store.path, outcome)
            if run_id is None:
                if len(list_runs(store)) == n_runs:
                    continue  # killed before there was a run: nothing to resume, nothing left behind
                run_id = get_run(store, name).id
            run = get_run(store, run_id)
            _look_for_acknowledged(store, run, acknowledged, at, outcome)
            if not is_killed or run.status == Status.FINISHED:
                break
        if run.status != Status.FINISHED:
            outcome.problems.append(f"{name} ({method}) was not killed any more and is {run.status}: {run.cause}")
            number += 1
            continue
        try:
            compare(name, record_of(store, run), reference, outcome)
        except ValueError as error:
            outcome.problems.append(f"{name} ({method}): {error}")
        number += 1


def _watch(process: Any, seconds: float) -> float:
    """Wait so long, or until the process has ended; how much of the last seconds it was kept waiting for a core."""
    ends_at = time.monotonic() + seconds
    seen: deque[float] = deque([0.0], maxlen=1 + round(_WINDOW_SECONDS / _LOOK_SECONDS))
    while process.is_alive() and (left := ends_at - time.monotonic()) > 0:
        seen.append(max(seen[-1], _delayed(process.pid)))
        process.join(min(left, _LOOK_SECONDS))
    return max(seen[-1], _delayed(process.pid)) - seen[0]


def _delayed(pid: int) -> float:
    """Seconds that the threads of a process were ready to run and had no core, all together; 0 where nobody counts."""
    delayed = 0
    with contextlib.suppress(OSError, IndexError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):  # a thread that has just ended
                delayed += int((task / "schedstat").read_text().split()[1])
    return delayed / 1e9


def _train(store_path: Path, recipe: Path, acknowledged: Path, run_id: str | None) -> None:
    """In a process of its own: train, or resume, noting when each `log` had returned."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    import torch

    from runner.progress import make_progress
    from runner.quiet import quiet_libraries
    from runner.recipe import load_recipe
    from runner.resume import resume
    from runner.train import train
    from store import Recorder

    torch.set_num_threads(1)
    quiet_libraries()
    log, acks = Recorder.log, os.open(acknowledged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)

    def noted(self: Recorder, values: Mapping[str, float], step: int, **more: Any) -> None:
        log(self, values, step, **more)
        os.write(acks, _ACK.pack(step, time.time()))

    Recorder.log = noted  # type: ignore[method-assign]  # this process exists to be watched
    store = open_store(store_path)
    if run_id is None:
        train(load_recipe(recipe), store, make_progress("quiet"), command=["drill"])
    else:
        resume(store, get_run(store, run_id), make_progress("quiet"), command=["drill"])


def _look_for_acknowledged(store: Store, run: Run, file: Path, killed_at: float, outcome: Outcome) -> None:
    """Every step whose `log` had returned half a second before the kill is in the store."""
    data = file.read_bytes() if file.exists() else b""
    data = data[: len(data) // _ACK.size * _ACK.size]
    wanted = {step for step, at in _ACK.iter_unpack(data) if at < killed_at - ACKNOWLEDGED_SECONDS}
    there = {step for (step,) in store.db.execute("SELECT DISTINCT step FROM metrics WHERE run_key = ?", (run.key,))}
    outcome.n_acknowledged += len(wanted)
    if lost := sorted(wanted - there):
        outcome.problems.append(f"{run.name}: {len(lost)} acknowledged steps are lost, the first {lost[0]}")
    file.unlink(missing_ok=True)
