import random
import sqlite3
import struct
from pathlib import Path

import pytest

from store import NewRun, open_store, record_run
from store.rescue.pages import PageFile, _checksum, copy_whole


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("n_bytes", [8, 24, 4104])
def test_the_checksum_of_the_log(n_bytes: int, order: str) -> None:
    """Against the format's own words: s0 += x[i] + s1; s1 += x[i+1] + s0."""
    dice = random.Random(n_bytes)
    data, sums = dice.randbytes(n_bytes), (dice.getrandbits(32), dice.getrandbits(32))
    s0, s1 = sums
    words = struct.unpack(f"{order}{n_bytes // 4}I", data)
    for first, second in zip(words[::2], words[1::2], strict=True):
        s0 = (s0 + first + s1) % 2**32
        s1 = (s1 + second + s0) % 2**32
    assert _checksum(order, data, sums) == (s0, s1)


def test_the_log_is_applied_up_to_the_last_whole_commit(tmp_path: Path) -> None:
    store = open_store(tmp_path / "assay.db")
    store.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store.db.execute("PRAGMA wal_autocheckpoint = 0")
    lengths = []
    for number in range(3):
        record_run(store, NewRun(f"run {number}"))
        lengths.append((tmp_path / "assay.db-wal").stat().st_size)
    log = (tmp_path / "assay.db-wal").read_bytes()
    altered = bytearray(log)
    altered[lengths[1] + 100] ^= 1
    copy, partial = tmp_path / "copy.db", tmp_path / "partial-wal"
    for frames, n_runs in ((log, 3), (log[:-10], 2), (bytes(altered), 2), (log[: lengths[0]], 1), (b"", 0)):
        partial.write_bytes(frames)
        with (tmp_path / "assay.db").open("rb") as source:
            copy_whole(source, partial, copy)
        db = sqlite3.connect(copy)
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("SELECT count(*) FROM runs").fetchone() == (n_runs,)
        db.close()
        assert not copy.with_name("copy.db-wal").exists()
    store.close()


def test_free_pages(tmp_path: Path) -> None:
    path = tmp_path / "any.db"
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE t (x)")
    db.executemany("INSERT INTO t VALUES (?)", [("x" * 3000,) for _ in range(2000)])
    db.execute("DELETE FROM t")
    db.commit()
    n_free = db.execute("PRAGMA freelist_count").fetchone()[0]
    db.close()
    with PageFile(path) as file:
        free, is_complete = file.free_pages()
        assert (len(free), is_complete) == (n_free, True)
        assert (file.read(0), file.read(file.n_pages + 1), file.first_byte(1)) == (None, None, 13)
    data = bytearray(path.read_bytes())
    trunk = struct.unpack_from(">I", data, 32)[0]
    data[(trunk - 1) * 4096 : trunk * 4096] = b"\xff" * 4096
    path.write_bytes(data)
    with PageFile(path) as file:
        assert not file.free_pages()[1]
