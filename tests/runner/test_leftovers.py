"""What killed processes left is found, and what is certain is put right."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from runner.leftovers import Kind, Leftover, clear, find_leftovers
from store import NewRun, Recorder, Run, Store, list_checkpoints, record_run
from tests.runner.conftest import Trained
from tests.runner.rescue_kit import checkpoints, own_copy


@pytest.fixture
def home(trained: Callable[[str], Trained], tmp_path: Path) -> Iterator[tuple[Store, Run]]:
    store, run = own_copy(trained, tmp_path)
    assert find_leftovers(store) == []
    yield store, run
    store.close()


def only(store: Store, kind: Kind) -> Leftover:
    (found,) = find_leftovers(store)
    assert found.kind == kind
    return found


def make_old(path: Path, days: float) -> None:
    at = time.time() - days * 24 * 3600
    os.utime(path, (at, at))


def test_a_checkpoint_that_was_saved_and_never_noted_is_noted(home: tuple[Store, Run]) -> None:
    store, run = home
    before = checkpoints(store, run)[0]
    with store.write() as db:
        db.execute("DELETE FROM checkpoints WHERE key = ?", (before.key,))
        db.execute("INSERT INTO segments VALUES (?, 2, ?, NULL, 0)", (run.key, before.step))
        db.execute("INSERT INTO segments VALUES (?, 3, ?, NULL, 0)", (run.key, before.step + 1))
    found = only(store, "unrecorded")
    assert found.n_bytes >= before.size_bytes
    assert clear(store, found, remove_orphans=False)
    (after,) = [c for c in list_checkpoints(store, run.key) if c.step == before.step]
    same = {"key": after.key, "segment": 2, "is_best": False, "created_at": after.created_at}
    assert after == replace(before, **same)
    assert find_leftovers(store) == []


def test_one_whose_weights_are_cut_off_or_whose_name_is_another_run_s_is_not(home: tuple[Store, Run]) -> None:
    store, run = home
    before = checkpoints(store, run)[0]
    folder = store.files / before.path
    with store.write() as db:
        db.execute("DELETE FROM checkpoints WHERE key = ?", (before.key,))
    info, weights = (folder / "assay.json").read_text(), next(folder.rglob("*.safetensors"))
    (folder / "assay.json").write_text(info.replace(run.id, "0" * 26))
    only(store, "orphaned")
    (folder / "assay.json").write_text("no json")
    only(store, "orphaned")
    (folder / "assay.json").write_text(info)
    only(store, "unrecorded")
    weights.write_bytes(weights.read_bytes()[:-10])
    found = only(store, "orphaned")
    assert not clear(store, found, remove_orphans=False)
    assert clear(store, found, remove_orphans=True)
    assert not folder.exists()


def test_a_folder_that_the_store_counts_as_removed_and_one_of_no_run(home: tuple[Store, Run]) -> None:
    store, run = home
    n = len(checkpoints(store, run))
    with store.write() as db:
        db.execute("UPDATE checkpoints SET deleted_at = 1 WHERE run_key = ?", (run.key,))
    stray = store.files / "runs" / ("X" * 26)
    stray.mkdir()
    (stray / "file").write_bytes(b"x" * 100)
    found = {left.name: left for left in find_leftovers(store)}
    assert {left.kind for left in found.values()} == {"orphaned"}
    assert found[str(stray)].n_bytes == 100
    assert len(found) == n + 1
    for left in found.values():
        clear(store, left, remove_orphans=True)
    assert find_leftovers(store) == []
    assert (store.files / "runs" / run.id).is_dir()


def test_files_that_are_gone(home: tuple[Store, Run], tmp_path: Path) -> None:
    store, run = home
    checkpoint = checkpoints(store, run)[0]
    folder = store.files / checkpoint.path
    lost = next(iter(checkpoint.manifest))
    (folder / lost).rename(tmp_path / "lost")
    assert lost in only(store, "damaged").name
    assert not clear(store, only(store, "damaged"), remove_orphans=True)
    shutil.rmtree(folder)
    assert clear(store, only(store, "missing"), remove_orphans=False)
    assert checkpoint.step not in {c.step for c in list_checkpoints(store, run.key, existing=True)}
    assert find_leftovers(store) == []


def test_a_disk_that_is_not_mounted_loses_nothing(home: tuple[Store, Run], tmp_path: Path) -> None:
    store, run = home
    n = len(checkpoints(store, run))
    store.files.rename(tmp_path / "elsewhere")
    found = only(store, "unmounted")
    assert f"with {n} checkpoints" in found.name
    assert not clear(store, found, remove_orphans=True)
    (tmp_path / "elsewhere").rename(store.files)
    assert find_leftovers(store) == []


def test_what_was_half_written(home: tuple[Store, Run]) -> None:
    store, run = home
    partial = store.files / "runs" / run.id / "checkpoints" / "step-00000099.partial"
    partial.mkdir()
    cache = store.files / "cache" / "features"
    cache.mkdir(parents=True, exist_ok=True)
    for name, days in (("a.1-2.partial", 1), ("b.1-2.partial", 0), ("c.safetensors", 31), ("d.safetensors", 29)):
        (cache / name).write_text("x")
        make_old(cache / name, days)
    for name, days in (("repair-abc", 1.0), ("merge-abc", 0.0)):
        folder = store.path.with_name(f"{store.path.name}.{name}")
        folder.mkdir()
        make_old(folder, days)
    found = {left.name.rsplit("/", 1)[-1]: left for left in find_leftovers(store)}
    assert {name: left.kind for name, left in found.items()} == {
        "step-00000099.partial": "half-written",
        "a.1-2.partial": "half-written",
        "c.safetensors": "cache",
        "assay.db.repair-abc": "half-written",
    }
    assert all(clear(store, left, remove_orphans=False) for left in found.values())
    assert find_leftovers(store) == []
    assert (cache / "d.safetensors").exists()


def test_rows_that_nothing_will_finish(home: tuple[Store, Run]) -> None:
    store, run = home
    with store.write() as db:
        db.execute(
            "INSERT INTO leases (run_key, host, pid, process_started_at, heartbeat_at) VALUES (?, 'h', 1, 0, 0)",
            (run.key,),
        )
        db.execute(
            "INSERT INTO datasets (name, fingerprint, source, n_rows, created_at) VALUES ('d', '', '{}', '{}', 0)"
        )
    kinds = {left.kind: clear(store, left, remove_orphans=True) for left in find_leftovers(store)}
    assert kinds == {"lease": True, "draft": False}
    assert [left.kind for left in find_leftovers(store)] == ["draft"]


def test_a_run_at_work_is_not_looked_at(home: tuple[Store, Run]) -> None:
    store, _ = home
    with Recorder(store, record_run(store, NewRun("live"))) as recorder:
        folder = store.files / "runs" / recorder.run.id / "checkpoints" / "step-00000001.partial"
        folder.mkdir(parents=True)
        assert find_leftovers(store) == []
    only(store, "half-written")
