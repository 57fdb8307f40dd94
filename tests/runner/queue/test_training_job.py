"""A real training as a job: killed in the middle, and still one run."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from store import (
    Job,
    Store,
    cancel_job,
    get_job,
    get_run,
    job_log,
    list_checkpoints,
    list_jobs,
    list_metrics,
    list_runs,
    list_segments,
)
from tests.runner.conftest import Kit
from tests.runner.queue.test_worker import pid_of, until


def at_step(store: Store, job: Job, step: int) -> bool:
    """Whether the job's run has a checkpoint of that step or a later one."""
    now = get_job(store, job.key)
    assert now.status in ("queued", "running"), job_log(store, now).read_text()
    return now.run_key is not None and any(c.step >= step for c in list_checkpoints(store, now.run_key))


@pytest.mark.timeout(900)
def test_a_killed_training_goes_on_as_one_run(store: Store, kit: Kit, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("# by hand\n" + kit.text({"training.epochs": 12, "recording.embeddings": False}))
    command = [sys.executable, "-m", "runner"]
    environment = {**os.environ, "ASSAY_STORE": str(store.path), "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, "queue", "add", "train", str(recipe), "--name", "job"], env=environment, check=True)
    recipe.unlink()  # the job has all it needs
    job = get_job(store, "job")
    with (tmp_path / "worker.log").open("wb") as out:
        worker = subprocess.Popen([*command, "worker", "--device", "cpu"], env=environment, stdout=out, stderr=out)
    try:
        until(lambda: at_step(store, job, 3), 200)
        os.kill(pid_of(get_job(store, job.key)), signal.SIGKILL)
        until(lambda: get_job(store, job.key).status not in ("queued", "running"), 300)
    finally:
        worker.terminate()
        worker.wait()
    log = job_log(store, job).read_text()
    ended = get_job(store, job.key)
    assert (ended.status, ended.n_attempts) == ("finished", 2), log
    assert len(list_runs(store)) == 1
    run = get_run(store, "tiny")
    assert (run.status, run.key) == ("finished", ended.run_key)
    assert str(run.recipe_text).startswith("# by hand\n")
    assert len(list_segments(store, run.key)) == 2
    steps = list_metrics(store, [run.key], ["train/loss"])["step"].tolist()
    assert steps == list(range(1, 37))
    row = list_jobs(store).iloc[0]
    assert (row["step"], row["n_steps"], row["run_status"]) == (36, 36, "finished")
    assert log.count("runner resume") == 1


@pytest.mark.timeout(900)
def test_a_cancelled_training_says_what_ended_it(store: Store, kit: Kit, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(kit.text({"training.epochs": 10_000, "recording.embeddings": False}))
    command = [sys.executable, "-m", "runner"]
    environment = {**os.environ, "ASSAY_STORE": str(store.path), "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, "queue", "add", "train", str(recipe), "--name", "job"], env=environment, check=True)
    job = get_job(store, "job")
    with (tmp_path / "worker.log").open("wb") as out:
        worker = subprocess.Popen([*command, "worker", "--device", "cpu"], env=environment, stdout=out, stderr=out)
    try:
        until(lambda: at_step(store, job, 3), 200)
        cancel_job(store, job.key)
        until(lambda: get_job(store, job.key).status != "running", 200)
    finally:
        worker.terminate()
        worker.wait()
    run = get_run(store, "tiny")
    assert (run.status, run.cause) == ("killed", "its job was cancelled")
    assert (get_job(store, job.key).status, get_job(store, job.key).cause) == ("killed", "cancelled")
