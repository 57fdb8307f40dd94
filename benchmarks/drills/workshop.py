"""What drills share: a tiny workshop, processes to kill, and the books they are held to."""

import contextlib
import os
import random
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks.tiny import BERT, rows, save_model, save_tokenizer
from store import check_store, list_runs, open_store, reconcile

TRUE_WITHIN_SECONDS = 30.0
"""So soon after the kill the run's status must say the truth."""


@dataclass
class Outcome:
    """What a drill saw. `problems` is empty when all is well."""

    n_kills: dict[str, int] = field(default_factory=dict)
    """Kills by what was killed: train, driver, trial worker, queue worker, job."""
    n_restarts: int = 0
    n_acknowledged: int = 0
    """Steps whose record had to be there after a kill, and were looked for."""
    problems: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        return sum(self.n_kills.values())

    def killed(self, what: str) -> None:
        self.n_kills[what] = self.n_kills.get(what, 0) + 1


class Workshop:
    """A folder with a tiny model, a little data and a recipe for each method; `python` there runs one thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
        tokenizer = save_tokenizer(folder / "tokenizer")
        save_model(folder / "bert", tokenizer, "bert", BERT)
        every = rows(420, seed=3)
        for split, part in (("train", every[:320]), ("validation", every[320:370]), ("test", every[370:])):
            lines = ["text,label", *(f"{text},{label}" for text, label in part)]
            (folder / f"{split}.csv").write_text("\n".join(lines) + "\n")

    def recipe(self, name: str, method: str = "full", extra: str = "") -> Path:
        """The file of a recipe: 2 epochs of 80 steps, evaluated and saved every 16 steps, everything recorded."""
        path = self.folder / f"{name}.toml"
        path.write_text(
            f"""
name = "{name}"
task = "text-classification"
[model]
base = "{self.folder / "bert"}"
method = "{method}"
max_length = 16
[data]
source = {{ train = "train.csv", validation = "validation.csv", test = "test.csv" }}
name = "drill"
[training]
epochs = 2
batch_size = 4
learning_rate = 5e-4
device = "cpu"
[evaluation]
every = 16
[recording]
log_every = 1
system_seconds = 0.5
{extra}
"""
        )
        return path


def look_over(path: Path, outcome: Outcome) -> None:
    """The store opens and is whole, and no run that nobody holds is called running."""
    began = time.monotonic()
    store = open_store(path, create=False)
    while True:
        reconcile(store)
        running = list(list_runs(store, status=["running"])["name"])
        if not running:
            break
        if time.monotonic() - began > TRUE_WITHIN_SECONDS:
            outcome.problems.append(f"still called running {TRUE_WITHIN_SECONDS:g} s after the kill: {running}")
            break
        time.sleep(0.1)
    outcome.problems += [f"the store is damaged: {problem}" for problem in check_store(store).problems]
    store.close()


def command(workshop: Workshop, *words: str | Path) -> subprocess.Popen[bytes]:
    """A `runner` command; the word that names a `.db` file is its store."""
    store = next(word for word in words if str(word).endswith(".db"))
    arguments = [str(word) for word in words if word is not store]
    return subprocess.Popen(
        [sys.executable, "-m", "runner", *arguments, "--store", str(store)],
        cwd=workshop.folder,
        env=workshop.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )


def kill_one(
    process: subprocess.Popen[bytes], after: float, names: tuple[str, str], rng: random.Random, outcome: Outcome
) -> bool:
    """Kill the process, or one below it, after so many seconds; then let it end. Whether it ended by itself.

    `names`: what the process is called among kills, and what those below it are.
    """
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(after)
        return True
    below: list[psutil.Process] = []
    with contextlib.suppress(psutil.NoSuchProcess):
        below = [child for child in psutil.Process(process.pid).children(recursive=True) if _does_work(child)]
    if below and rng.random() < 0.5:
        with contextlib.suppress(psutil.NoSuchProcess):
            rng.choice(below).kill()
            outcome.killed(names[1])
        process.wait()
        return True
    process.kill()
    process.wait()
    outcome.killed(names[0])
    return False


def _does_work(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return "resource_tracker" not in " ".join(process.cmdline())
    return False
