"""Logging metrics: calls and values a second, bytes a value, reading curves; beside raw sqlite3, Trackio and MLflow."""

import json
import sqlite3
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.measure import Figure, Report, Stopwatch, Timing, against, arguments, finish, interleaved, rate, seconds
from store import NewRun, Recorder, list_metrics, open_readonly, open_store, record_run

NAMES = ("train/loss", "train/accuracy", "train/learning_rate", "train/grad_norm", "train/tokens")
_PEER_SECONDS = 600


class Size(NamedTuple):
    """How much is logged and read, and how often each is repeated."""

    n_calls: int
    n_bulk_steps: int
    n_runs: int
    n_steps: int
    n_peer_steps: int
    repetitions: int


FULL = Size(n_calls=100_000, n_bulk_steps=200_000, n_runs=20, n_steps=1000, n_peer_steps=2000, repetitions=5)
SMALL = Size(n_calls=500, n_bulk_steps=1000, n_runs=2, n_steps=50, n_peer_steps=20, repetitions=2)


def measure(size: Size, folder: Path, peers_python: str | None = None) -> Report:
    """Everything, in new files below `folder`."""
    logged: dict[str, list[float]] = {"ours": [], "sqlite": []}  # bytes a value
    times = interleaved(
        {
            "log": lambda: log_calls(_new(folder), size.n_calls, logged["ours"]),
            "sqlite": lambda: raw_sqlite(_new(folder), size.n_bulk_steps, logged["sqlite"]),
            "bulk": lambda: log_bulk(_new(folder), size.n_bulk_steps),
        },
        size.repetitions,
    )
    charted = folder / "charted.db"
    fill_charts(charted, size)
    reads = interleaved(
        {"ours": lambda: read_charts(charted, size), "sqlite": lambda: read_raw(charted)}, size.repetitions
    )
    peers = measure_peers(peers_python, folder, size.n_peer_steps)
    n_bulk = size.n_bulk_steps * len(NAMES)
    raw = against(rate("sqlite3 executemany", n_bulk, "values/s", times["sqlite"]))
    raw_bytes = against(Figure("sqlite3 executemany", logged["sqlite"], "B"))
    raw_read = against(seconds("sqlite3 fetchall", reads["sqlite"]))
    n_logged = size.n_calls * len(NAMES)
    chart = f"curves of {size.n_runs} runs × {size.n_steps:,} steps × {len(NAMES)} metrics, as a DataFrame"
    return Report(
        "Logging metrics",
        f"{size.n_calls:,} calls of {len(NAMES)} values, {n_bulk:,} values in bulk",
        [
            rate("log() calls, flushed", size.n_calls, "calls/s", times["log"], at_least=20_000),
            rate("values through log()", n_logged, "values/s", times["log"], baseline=raw),
            rate("values through log_columns()", n_bulk, "values/s", times["bulk"], at_least=300_000, baseline=raw),
            Figure(
                "bytes a value on disk, times and epochs included", logged["ours"], "B", at_most=40, baseline=raw_bytes
            ),
            seconds(chart, reads["ours"], at_most=0.25, baseline=raw_read),
            *_peer_figures(peers),
        ],
        is_small=size == SMALL,
    )


def _new(folder: Path) -> Path:
    return Path(tempfile.mkdtemp(dir=folder)) / "benchmark.db"


def log_calls(path: Path, n_calls: int, bytes_a_value: list[float]) -> Timing:
    """The time of `log` with five values, until all of them are in the store."""
    store = open_store(path)
    recorder = Recorder(store, record_run(store, NewRun("benchmark")))
    before = path.stat().st_size
    with Stopwatch() as watch:
        for step in range(n_calls):
            x = 1 / (step + 1)
            values = {NAMES[0]: x, NAMES[1]: 1 - x, NAMES[2]: x / 3, NAMES[3]: x / 7, NAMES[4]: 512.0 * step}
            recorder.log(values, step, epoch=step / 1000, tokens=512 * step)
        recorder.flush()
    recorder.finish()
    _expect(store.db, "SELECT count(*) FROM metrics", n_calls * len(NAMES))
    store.close()  # the last connection folds the write-ahead log into the file
    bytes_a_value.append((path.stat().st_size - before) / (n_calls * len(NAMES)))
    return watch.timing


def log_bulk(path: Path, n_steps: int) -> Timing:
    """The time of `log_columns`, until all of them are in the store."""
    store = open_store(path)
    recorder = Recorder(store, record_run(store, NewRun("benchmark")))
    steps = np.arange(n_steps)
    columns = {name: (steps, np.random.default_rng(i).normal(size=n_steps)) for i, name in enumerate(NAMES)}
    with Stopwatch() as watch:
        recorder.log_columns(columns)
        recorder.flush()
    recorder.finish()
    _expect(store.db, "SELECT count(*) FROM metrics", n_steps * len(NAMES))
    store.close()
    return watch.timing


def raw_sqlite(path: Path, n_steps: int, bytes_a_value: list[float]) -> Timing:
    """The time of one `executemany` into a bare table of the same key: what SQLite itself can do."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute(
        "CREATE TABLE metrics (run INTEGER NOT NULL, metric INTEGER NOT NULL, step INTEGER NOT NULL, value REAL,"
        " PRIMARY KEY (run, metric, step)) STRICT, WITHOUT ROWID"
    )
    values = np.random.default_rng(0).normal(size=n_steps).tolist()
    with Stopwatch() as watch:
        db.execute("BEGIN IMMEDIATE")
        for metric in range(len(NAMES)):
            db.executemany(f"INSERT INTO metrics VALUES (1, {metric}, ?, ?)", zip(range(n_steps), values, strict=True))
        db.execute("COMMIT")
    _expect(db, "SELECT count(*) FROM metrics", n_steps * len(NAMES))
    db.close()
    bytes_a_value.append(path.stat().st_size / (n_steps * len(NAMES)))
    return watch.timing


def fill_charts(path: Path, size: Size) -> None:
    """A store of `n_runs` runs, logged step by step, so that every step has its epoch, time and tokens."""
    store = open_store(path)
    for number in range(size.n_runs):
        with Recorder(store, record_run(store, NewRun(f"run {number}"))) as recorder:
            for step in range(size.n_steps):
                values = {name: (i + 1) / (step + 1) for i, name in enumerate(NAMES)}
                recorder.log(values, step, epoch=step / 100, tokens=step * 512)
    store.close()


def read_charts(path: Path, size: Size) -> Timing:
    """The time to open the store and have every curve of every run in a frame."""
    with Stopwatch() as watch:
        store = open_readonly(path)
        frame = list_metrics(store, list(range(1, size.n_runs + 1)), NAMES)
    store.close()
    if len(frame) != size.n_runs * size.n_steps * len(NAMES) or frame[["value", "epoch"]].isna().any(axis=None):
        raise AssertionError(f"{len(frame):,} rows were read; every value of every run was expected")
    return watch.timing


def read_raw(path: Path) -> Timing:
    """The time to fetch the same rows as tuples, without a frame and without the other axes."""
    with Stopwatch() as watch:
        db = sqlite3.connect(path)
        db.execute("SELECT run_key, metric_key, step, value FROM metrics").fetchall()
    db.close()
    return watch.timing


def measure_peers(python: str | None, folder: Path, n_steps: int) -> Mapping[str, dict[str, float] | str]:
    """What `peers.py` measured under another interpreter: numbers by peer, or in words why there are none."""
    if python is None:
        reason = "name an interpreter that has it with --peers-python"
        return {"Trackio": reason, "MLflow": reason}
    place = Path(tempfile.mkdtemp(dir=folder))
    command = [python, str(Path(__file__).with_name("peers.py")), str(place), str(n_steps)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PEER_SECONDS, check=True)
        found: dict[str, dict[str, float] | str] = json.loads(done.stdout.splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
        said = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
        return dict.fromkeys(("Trackio", "MLflow"), said[-1] if said else type(error).__name__)
    return found


def _peer_figures(peers: Mapping[str, dict[str, float] | str]) -> list[Figure]:
    kinds = (
        ("calls_per_second", "log calls of 5 values", "calls/s"),
        ("bulk_values_per_second", "values in batches", "values/s"),
        ("bytes_per_value", "bytes a value on disk", "B"),
    )
    figures = []
    for peer, found in peers.items():
        if isinstance(found, str):
            figures.append(Figure(peer, [], "", note=found))
        else:
            figures += [Figure(f"{peer}: {name}", [found[kind]], unit) for kind, name, unit in kinds if kind in found]
    return figures


def _expect(db: sqlite3.Connection, query: str, n: int) -> None:
    (found,) = db.execute(query).fetchone()
    if found != n:
        raise AssertionError(f"{query}: {found:,} found, {n:,} written")


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--peers-python", metavar="PATH", help="an interpreter that has trackio and mlflow")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        finish(measure(SMALL if options.small else FULL, Path(folder), options.peers_python))


if __name__ == "__main__":
    main()
