"""Every kind of entry does the same to the store, whether it went there at once or waited in a spool file."""

from pathlib import Path

import numpy as np
import pytest

from store import (
    NewRun,
    Recorder,
    RunCost,
    ScoreRow,
    Status,
    Store,
    SystemSample,
    finish_run,
    fold_spools,
    get_run,
    open_store,
    record_run,
)
from store import entries as entries_module
from store.batches import write_items
from store.entries import KINDS, Entry, Item
from store.leases import take_lease
from store.ring import FlightRing
from store.spool import Source, SpoolFile
from store.target_tokens import TargetTokens
from tests.store.builders import make_dataset, predict

NOT_COMPARED = {"leases", "store_version", "spools", "runs", "_sqlite_migrations"}


class Kept(Recorder):
    """A recorder that keeps what it was told instead of writing it."""

    def __init__(self, store: Store) -> None:
        super().__init__(store, record_run(store, NewRun("x", dataset_key=1)))
        self.items: list[Item] = []
        self._writer.add = self.items.append  # type: ignore[method-assign]  # nothing else of it is used


def record_everything(recorder: Recorder) -> None:
    recorder.log({"a": 1.5, "b": float("nan"), "ü": float("-inf")}, 3, epoch=0.5, tokens=7)
    recorder.log({"a": np.float32(0.1)}, 4)
    recorder.log_columns({"curve": ([1, 2, 5], [1.0, 2.0, float("inf")]), "none": ([], [])})
    scores = [ScoreRow("accuracy", 0.5, 0.25, 0.75, 2), ScoreRow("loss", None, None, None, 0)]
    recorder.checkpoint(3, epoch=1.0, path="p", size_bytes=5, sha256="0", manifest={"f": "1"})
    recorder.checkpoint(4, epoch=None, path="q", size_bytes=5, sha256="0", manifest={})
    recorder.evaluation("test", 3, epoch=0.5, n_examples=2, scores=scores, predictions=predict([1, -1]))
    recorder.evaluation("train", 3, epoch=None, n_examples=9, scores=[])
    recorder.best(3)
    recorder.checkpoint_deleted(4)
    recorder.dynamics(1, 3, n_classes=2, words=np.arange(6, dtype=np.uint16).reshape(3, 2))
    splits = {"train": np.eye(3, 2, dtype=np.float16), "test": np.zeros((0, 2), np.float16)}
    recorder.embeddings(splits, dataset_key=1, fingerprint="f", pooling="mean")
    recorder.event("note", "a \ud7ff text", {"n": 1, "path": Path("p")})
    recorder.text("line\n")
    recorder.sample(SystemSample(1.5, 50.0, 10, None, None, None))
    recorder.cost(RunCost(wall_seconds=1.0, tokens_seen=5))
    ring = FlightRing(None, run_id=recorder.run.id, segment=1, n_positions=2)
    ring.end(ring.begin(1, np.array([4, 2])), 0.5, 1.0, 0.1, 0.2)
    halves = np.array([-1.0, -2.0], dtype=np.float16)
    recorder.target_tokens("train", TargetTokens(np.array([0, 2, 2]), halves, halves, halves))
    recorder.flight("nan", "the loss is nan", steps=ring.steps(), step=1)


def contents(store: Store) -> dict[str, list[tuple[object, ...]]]:
    tables = [name for (name,) in store.db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return {
        name: store.db.execute(f"SELECT * FROM {name} ORDER BY 1, 2").fetchall()
        for name in tables
        if name not in NOT_COMPARED and not name.startswith("examples_fts")
    }


def test_every_kind_comes_through_a_spool_file_unchanged(tmp_path: Path) -> None:
    at_once, later = (open_store(tmp_path / f"{name}.db") for name in ("once", "later"))
    for store in (at_once, later):
        make_dataset(store, "d", [("a", 0), ("b", 1)])
    recorder = Kept(at_once)
    record_everything(recorder)
    recorder.items.append(Entry("finish", 12.5, {"status": Status.KILLED, "cause": "Ctrl-C"}, {}, 1))
    kinds = {item.kind for item in recorder.items if isinstance(item, Entry)}
    assert kinds == set(KINDS)

    with at_once.write() as db:
        write_items(db, 1, 1, recorder.items)
    run = record_run(later, NewRun("x", dataset_key=1))
    folder = later.files / "spool"
    folder.mkdir(parents=True)
    file = SpoolFile.create(folder, run.id)
    file.append(recorder.items, Source(run.id, 1, str(later.path)))
    file.close()
    (folded,) = fold_spools(later)
    assert (folded.n_rows, folded.problem) == (sum(item.n_rows for item in recorder.items), None)

    now, then = contents(at_once), contents(later)
    assert then["run_events"].pop()[3] == "spool"
    for table in ("segments", "datasets"):  # made at their own times
        assert len(now.pop(table)) == len(then.pop(table))
    for (*event, data), (*same, same_data) in zip(now.pop("run_events"), then.pop("run_events"), strict=True):
        assert event == same
        assert data == same_data == '{"n": 1, "path": "p"}'
    assert now == then
    assert sum(map(len, now.values())) > 40
    ended = [get_run(store, 1) for store in (at_once, later)]
    assert [(run.status, run.cause, run.ended_at) for run in ended] == [(Status.KILLED, "Ctrl-C", 12.5)] * 2
    recorder.finish()
    for store in (at_once, later):
        store.close()


def test_the_end_of_an_earlier_segment_does_not_end_the_run(store: Store) -> None:
    run = record_run(store, NewRun("x"))
    finish_run(store, run.key, Status.FAILED, "killed")
    with store.write() as db:
        db.execute("INSERT INTO segments VALUES (?, 2, 5, NULL, 0)", (run.key,))
    take_lease(store, run)
    end = Entry("finish", 12.5, {"status": "finished", "cause": None}, {}, 1)
    with store.write() as db:
        write_items(db, run.key, 1, [end])
    assert get_run(store, run.key).status == Status.RUNNING
    with store.write() as db:
        write_items(db, run.key, 2, [end])
    assert get_run(store, run.key).status == Status.FINISHED


def test_a_kind_is_a_function_and_a_line(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def rename(db, run_key, segment, entry):  # type: ignore[no-untyped-def]  # as in `KINDS`
        db.execute("UPDATE runs SET name = ? WHERE key = ?", (entry.values["name"], run_key))

    run = record_run(store, NewRun("x"))
    monkeypatch.setitem(entries_module.KINDS, "rename", rename)  # type: ignore[arg-type]  # a Mapping to all but this test
    recorder = Recorder(store, run)
    recorder._add("rename", {"name": "y"})
    recorder.finish()
    assert get_run(store, run.key).name == "y"
