"""Jobs that take no time, in real processes: a child with a table of kinds of its own, and a worker that starts it.

python fake_jobs.py child STORE JOB_KEY WORKER_PID WORKER_STARTED_AT
python fake_jobs.py worker STORE DEVICE [--once] [--idle-exit SECONDS]
"""

import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from runner import pauses
from runner.queue import attending, child
from runner.queue.attending import INTERRUPTED, Outcome
from runner.queue.kinds import Kind
from runner.queue.worker import JobWorker
from store import Job, Store, open_store

KINDS = {
    "note": Kind(("note", "{file}", "{word}")),
    "sleep": Kind(("sleep", "{file}", "{word}")),
    "fail": Kind(("fail",)),
    "crash": Kind(("crash",)),
    "die": Kind(("die",)),
    "stuck": Kind(("stuck", "{file}", "{word}")),
    "late": Kind(("late", "{file}", "{word}")),
    "heed": Kind(("heed", "{file}", "{word}")),
}


def launch(store: Store, job: Job) -> list[str]:
    assert job.holder is not None
    holder = (str(job.holder.pid), repr(job.holder.process_started_at))
    return [sys.executable, __file__, "child", str(store.path), str(job.key), *holder]


def execute(words: Sequence[str]) -> Outcome:
    kind, *rest = words
    if kind in ("note", "sleep", "stuck", "late", "heed"):
        with Path(rest[0]).open("a") as file:
            file.write(rest[1] + "\n")
    print("hello from", kind, flush=True)
    if kind == "fail":
        return Outcome(1, "it was not to be")
    if kind == "crash":
        raise ZeroDivisionError("our own mistake")
    if kind == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "stuck":
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    if kind == "heed":
        with pauses.heeding():
            while not pauses.is_asked():
                time.sleep(0.05)
        return Outcome(INTERRUPTED)
    if kind in ("sleep", "stuck", "late"):
        try:
            time.sleep(600)
        except KeyboardInterrupt:
            return Outcome(0 if kind == "late" else INTERRUPTED)
    return Outcome(0)


def main(role: str, path: str, *rest: str) -> int:
    attending.GRACE_SECONDS = 0.5
    store = open_store(path, create=False)
    if role == "child":
        key, pid, started_at = rest
        return child.carry_out(store, int(key), (int(pid), float(started_at)), kinds=KINDS, execute=execute)
    device, *options = rest
    idle = float(options[options.index("--idle-exit") + 1]) if "--idle-exit" in options else None
    return JobWorker(
        store,
        device,
        say=lambda text: print(text, flush=True),
        kinds=KINDS,
        launch=launch,
        once="--once" in options,
        idle_exit=idle,
    ).run()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
