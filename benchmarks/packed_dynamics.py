"""Training dynamics: encoding and storing (example, epoch) records, and reading them all for triage."""

import sqlite3
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import Figure, Report, Stopwatch, Timing, against, arguments, finish, interleaved, rate, seconds
from evals.dynamics import area_under_margin, confidence, decode, encode, probability_error
from store import NewRun, Recorder, iter_dynamics, open_readonly, open_store, record_run

N_CLASSES = 3
_BLOCK = 4096


class Size(NamedTuple):
    """How many examples and epochs, and how often each measurement is repeated."""

    n_examples: int
    n_epochs: int
    repetitions: int


FULL = Size(1_000_000, 10, 3)
SMALL = Size(10_000, 3, 2)


class Data(NamedTuple):
    """What a training would say: logits (epochs, n, k) float32 and given labels (n,)."""

    logits: list[NDArray[np.float32]]
    given: NDArray[np.int64]


def measure(size: Size, folder: Path) -> Report:
    """Write and read as much as `size` says, in new files below `folder`."""
    data = make_data(size)
    stores: list[Path] = []
    sizes: dict[str, list[float]] = {"ours": [], "raw": []}
    times = interleaved(
        {
            "ours": lambda: write(_new(folder), data, sizes["ours"], stores),
            "raw": lambda: write_raw(_new(folder), data, sizes["raw"]),
        },
        size.repetitions,
    )
    reads = interleaved(
        {"triage": lambda: read(stores[0], data), "raw": lambda: read_blocks(stores[0], size)}, size.repetitions
    )
    n = size.n_examples * size.n_epochs
    raw = against(rate("raw float16 blocks into sqlite3", n, "records/s", times["raw"]))
    raw_bytes = against(Figure("raw", sizes["raw"], "B"))
    blocks = against(seconds("blocks read, not decoded", reads["raw"]))
    triage = "triage read: all epochs to margins, probabilities, area under the margin"
    return Report(
        "Packed dynamics",
        f"{size.n_examples:,} examples × {size.n_epochs} epochs, {N_CLASSES} classes",
        [
            rate("records encoded and stored", n, "records/s", times["ours"], at_least=5_000_000, baseline=raw),
            Figure("bytes a record on disk", sizes["ours"], "B", baseline=raw_bytes),
            seconds(triage, reads["triage"], at_most=2.0, baseline=blocks),
        ],
        is_small=size == SMALL,
    )


def make_data(size: Size) -> Data:
    """Logits whose given label wins more often from epoch to epoch."""
    rng = np.random.default_rng(0)
    given = rng.integers(N_CLASSES, size=size.n_examples)
    base = rng.normal(size=(size.n_examples, N_CLASSES)).astype(np.float32)
    is_given = np.eye(N_CLASSES, dtype=np.float32)[given]
    return Data([base + np.float32(epoch / 3) * is_given for epoch in range(size.n_epochs)], given)


def write(path: Path, data: Data, bytes_a_record: list[float], written: list[Path]) -> Timing:
    """The time to encode logits and record them, until all are in the store."""
    store = open_store(path)
    recorder = Recorder(store, record_run(store, NewRun("benchmark")))
    with Stopwatch() as watch:
        for epoch, logits in enumerate(data.logits, start=1):
            recorder.dynamics(epoch, epoch * 100, n_classes=N_CLASSES, words=encode(logits, data.given))
        recorder.flush()
    recorder.finish()
    store.close()
    n = len(data.logits) * len(data.given)
    bytes_a_record.append(path.stat().st_size / n)
    written.append(path)
    return watch.timing


def write_raw(path: Path, data: Data, bytes_a_record: list[float]) -> Timing:
    """The time of float16 logits, neither centred nor checked, put into a bare table in blocks."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute("CREATE TABLE blocks (epoch INTEGER, first INTEGER, block BLOB, PRIMARY KEY (epoch, first)) STRICT")
    with Stopwatch() as watch:
        for epoch, logits in enumerate(data.logits):
            halves = logits.astype("<f2")
            db.execute("BEGIN IMMEDIATE")
            db.executemany(
                "INSERT INTO blocks VALUES (?, ?, ?)",
                ((epoch, i, halves[i : i + _BLOCK].tobytes()) for i in range(0, len(halves), _BLOCK)),
            )
            db.execute("COMMIT")
    db.close()
    n = len(data.logits) * len(data.given)
    bytes_a_record.append(path.stat().st_size / n)
    return watch.timing


def read(path: Path, data: Data) -> Timing:
    """The time from opening the store to the area under the margin and the confidence of every example."""
    with Stopwatch() as watch:
        store = open_readonly(path)
        margins = np.empty((len(data.logits), len(data.given)), dtype=np.float32)
        p_given = np.empty_like(margins)
        n_epochs = 0
        for epoch, row in enumerate(iter_dynamics(store, 1)):
            dynamics = decode(row.words, row.n_classes, data.given)
            margins[epoch], p_given[epoch] = dynamics.margin_logit, dynamics.p_given
            n_epochs += 1
        area, sure = area_under_margin(margins), confidence(p_given)
    store.close()
    _check(data, n_epochs, p_given, area, sure)
    return watch.timing


def read_blocks(path: Path, size: Size) -> Timing:
    """The time to read the same words and do nothing with them."""
    with Stopwatch() as watch:
        store = open_readonly(path)
        n = sum(len(row.words) for row in iter_dynamics(store, 1))
    store.close()
    if n != size.n_examples * size.n_epochs:
        raise AssertionError(f"{n:,} records were read, {size.n_examples * size.n_epochs:,} written")
    return watch.timing


def _check(data: Data, n_epochs: int, p_given: NDArray[np.float32], *reduced: NDArray[np.float64]) -> None:
    """What was read must be what was written, within the error that the encoding states."""
    if n_epochs != len(data.logits) or any(np.isnan(column).any() for column in reduced):
        raise AssertionError(f"{n_epochs} epochs were read, {len(data.logits)} written, or examples are missing")
    exact = np.exp(data.logits[-1][:1000].astype(np.float64))
    exact = (exact / exact.sum(axis=1, keepdims=True))[np.arange(len(exact)), data.given[:1000]]
    error = float(np.abs(p_given[-1][:1000] - exact).max())
    if error > probability_error(N_CLASSES):
        raise AssertionError(f"a probability came back {error} off; {probability_error(N_CLASSES)} is the bound")


def _new(folder: Path) -> Path:
    return Path(tempfile.mkdtemp(dir=folder)) / "benchmark.db"


def main() -> None:
    options = arguments(__doc__).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        finish(measure(SMALL if options.small else FULL, Path(folder)))


if __name__ == "__main__":
    main()
