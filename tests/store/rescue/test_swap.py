"""The new store is put in place whole, and only where nobody is in the way."""

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

import pytest

from store import StoreNotFound, StoreUnreadable, check_store, open_store
from store.rescue import rescue_store
from tests.store.rescue.damage import Sound, blank, missing

HOLD = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
print(db.execute('SELECT count(*) FROM runs').fetchone(), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def broken(sound: Sound, tmp_path: Path) -> Path:
    path = tmp_path / "assay.db"
    path.write_bytes(blank(sound, sound.inner["run_events"][0]))
    return path


def test_the_damaged_file_is_kept(broken: Path) -> None:
    before = broken.read_bytes()
    saved = rescue_store(broken)
    assert saved.damaged_path.read_bytes() == before
    assert saved.damaged_path.name.startswith("assay.db.damaged-")
    assert saved.bytes_before == len(before)
    assert sorted(path.name for path in broken.parent.iterdir()) == ["assay.db", saved.damaged_path.name]
    assert saved.bytes_after == broken.stat().st_size
    store = open_store(broken, create=False)
    assert check_store(store).problems == ()
    assert store.db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    store.close()


def test_a_store_that_is_open_elsewhere_is_left_alone(broken: Path) -> None:
    before = broken.read_bytes()
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(broken)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(StoreUnreadable, match=rf"open elsewhere: process {other.pid} \("):
            rescue_store(broken)
        other.kill()
    assert broken.read_bytes() == before
    rescue_store(broken)


def test_nobody_writes_while_it_is_repaired(broken: Path) -> None:
    write = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('BEGIN IMMEDIATE')"
    said = []

    def look(table: str, n_rows: int) -> None:
        if not said:
            other = subprocess.run(
                [sys.executable, "-c", write, str(broken)], capture_output=True, text=True, check=False
            )
            said.append(other.stderr)

    rescue_store(broken, look)
    assert "database is locked" in said[0]


def test_no_room(broken: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, 10**6))
    with pytest.raises(StoreUnreadable, match=r"a repair needs .* MB .* where 1 MB are free"):
        rescue_store(broken)
    assert [path.name for path in broken.parent.iterdir()] == ["assay.db"]


def test_what_does_not_make_a_sound_store_is_not_put_in_place(broken: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = broken.read_bytes()
    sound = check_store(open_store(broken.with_name("sound.db")))
    monkeypatch.setattr("store.rescue.swap.check_store", lambda _: sound.__class__(*[0] * 8, problems=("row 7",)))
    with pytest.raises(StoreUnreadable, match=r"row 7.*Nothing was changed"):
        rescue_store(broken)
    assert broken.read_bytes() == before


def test_a_repair_that_was_killed_while_it_swapped_is_done_again(tmp_path: Path, sound: Sound) -> None:
    """The log was moved away already, the new file was not in place yet."""
    path = tmp_path / "assay.db"
    path.write_bytes(sound.data)
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("UPDATE runs SET note = 'in the log alone'")
    data, log = path.read_bytes(), Path(f"{path}-wal").read_bytes()
    db.close()
    path.write_bytes(data)
    damaged = tmp_path / "assay.db.damaged-20260101-000000"
    os.link(path, damaged)
    Path(f"{damaged}-wal").write_bytes(log)
    saved = rescue_store(path)
    assert saved.damaged_path != damaged
    assert not damaged.exists()
    store = open_store(path)
    assert store.db.execute("SELECT DISTINCT note FROM runs").fetchall() == [("in the log alone",)]
    store.close()


def test_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFound, match="no store at"):
        rescue_store(tmp_path / "none.db")


@pytest.mark.slow
def test_a_repair_that_is_killed_leaves_a_store_to_repair(broken: Path, sound: Sound) -> None:
    """Killed (-9) at eight moments: the store is the old one or the new one, and the next repair saves everything."""
    code = "import sys; from pathlib import Path; from store import rescue_store; rescue_store(Path(sys.argv[1]))"
    before = broken.read_bytes()
    n_killed = 0
    for number in range(8):
        with subprocess.Popen([sys.executable, "-c", code, str(broken)], cwd=Path(__file__).parents[3]) as repair:
            while repair.poll() is None and not list(broken.parent.glob("assay.db.repair-*")):
                time.sleep(0.01)  # the imports take longer than the repair
            time.sleep(0.15 * number)
            n_killed += repair.poll() is None
            repair.kill()
        is_old = broken.read_bytes() == before
        if is_old:
            rescue_store(broken)
        assert missing(sound, broken, {sound.inner["run_events"][0]}) == {}
        for path in broken.parent.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        broken.write_bytes(before)
    assert n_killed > 3
