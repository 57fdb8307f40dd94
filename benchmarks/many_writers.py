"""Many writers at once: sixteen processes logging into one store, beside one process that logs the same rows."""

import multiprocessing
import tempfile
import threading
import time
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import NamedTuple

from benchmarks.measure import Figure, Report, Timing, against, arguments, finish, interleaved, rate, seconds
from store import NewRun, Recorder, open_store, record_run

N_METRICS = 5


class Size(NamedTuple):
    """How many processes call `log` how often, and how often that is repeated."""

    n_writers: int
    n_calls: int
    repetitions: int


FULL = Size(n_writers=16, n_calls=1000, repetitions=5)
SMALL = Size(n_writers=3, n_calls=50, repetitions=2)


def measure(size: Size, folder: Path) -> Report:
    """Everything, in new files below `folder`. Raises AssertionError where a row is lost or a writer fails."""
    n_calls = size.n_writers * size.n_calls
    times = interleaved(
        {
            "many": lambda: write(folder, size.n_writers, size.n_calls),
            "one": lambda: write(folder, 1, n_calls),
        },
        size.repetitions,
    )
    pairs = list(zip(times["many"], times["one"], strict=True))
    one = f"one writer, {n_calls:,} calls"
    many = f"{size.n_writers} writers, {size.n_calls:,} calls each"
    return Report(
        "Many writers",
        f"{n_calls:,} calls of {N_METRICS} values in all; from the first call until all runs have finished",
        [
            seconds(one, times["one"]),
            seconds(many, times["many"], baseline=against(seconds(one, times["one"]))),
            rate("values, many writers", n_calls * N_METRICS, "values/s", times["many"]),
            Figure(
                "time of many writers, in times of one",
                [many.wall / one.wall for many, one in pairs],
                "×",
                at_most=3,
                cpu_samples=[many.cpu / one.cpu for many, one in pairs],
            ),
        ],
        is_small=size == SMALL,
    )


def write(folder: Path, n_writers: int, n_calls: int) -> Timing:
    """The time in which processes write `n_calls` each; processor time is that of all of them."""
    path = Path(tempfile.mkdtemp(dir=folder)) / "benchmark.db"
    open_store(path).close()
    fork = multiprocessing.get_context("fork")
    ready, said = fork.Barrier(n_writers + 1), fork.SimpleQueue()
    processes = [fork.Process(target=_write, args=(path, n_calls, ready, said)) for _ in range(n_writers)]
    for process in processes:
        process.start()
    ready.wait()
    began = time.perf_counter()
    answers = [said.get() for _ in processes]
    wall = time.perf_counter() - began
    for process in processes:
        process.join()
    problems = [answer for answer in answers if isinstance(answer, str)]
    store = open_store(path)
    n_found, n_finished = store.db.execute(
        "SELECT (SELECT count(*) FROM metrics), (SELECT count(*) FROM runs WHERE status = 'finished')"
    ).fetchone()
    store.close()
    if problems or n_found != n_writers * n_calls * N_METRICS or n_finished != n_writers:
        raise AssertionError(f"{n_found:,} values and {n_finished} finished runs were found; {problems}")
    return Timing(wall, sum(answer for answer in answers if isinstance(answer, float)))


def _write(path: Path, n_calls: int, ready: threading.Barrier, said: "SimpleQueue[float | str]") -> None:
    """One process: says its processor seconds, or what went wrong."""
    try:
        store = open_store(path)
        recorder = Recorder(store, record_run(store, NewRun("benchmark")))
        ready.wait()
        began = time.process_time()
        for step in range(n_calls):
            recorder.log({f"train/m{i}": step / (i + 1) for i in range(N_METRICS)}, step)
        recorder.finish()
        store.close()
        said.put(time.process_time() - began)
    except BaseException as error:  # whatever it is, the parent has to hear of it
        said.put(f"{type(error).__name__}: {error}")


def main() -> None:
    options = arguments(__doc__).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        finish(measure(SMALL if options.small else FULL, Path(folder)))


if __name__ == "__main__":
    main()
