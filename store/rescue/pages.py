"""The pages of a SQLite file, read without SQLite: what a damaged file still says.

Format: https://www.sqlite.org/fileformat2.html, whose section numbers the comments name. The file that is read is never
written to.
"""

import mmap
import shutil
import struct
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np

_MAGIC = b"SQLite format 3\x00"
_HEADER_BYTES = 100
_USUAL_PAGE_BYTES = 4096  # of every store that Assay makes; taken where the header is lost
_PAGE_SIZES = {2**n for n in range(9, 17)}
_LOG_HEADER_BYTES, _FRAME_HEADER_BYTES = 32, 24


class PageFile:
    """A SQLite file as numbered pages, from 1. Use it as a context manager, or close it."""

    def __init__(self, path: Path) -> None:
        """Raises ValueError for a file that is too short to hold a page."""
        with path.open("rb") as file:
            if path.stat().st_size < 512:
                raise ValueError(f"{path} holds no page.")
            self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        header = self._data[:_HEADER_BYTES]
        size = _page_bytes(header)
        self.has_header = header[:16] == _MAGIC and size is not None
        """Whether the first page begins as it should; without it neither versions nor free pages are known."""
        self.page_bytes = size if self.has_header and size is not None else _USUAL_PAGE_BYTES
        self.usable_bytes = self.page_bytes - (header[20] if self.has_header else 0)
        self.n_pages = len(self._data) // self.page_bytes
        self.user_version = _number(header, 60) if self.has_header else None
        self.application_id = _number(header, 68) if self.has_header else None

    def read(self, number: int) -> bytes | None:
        """One page, or None where the file has no such page."""
        if not 1 <= number <= self.n_pages:
            return None
        return self._data[(number - 1) * self.page_bytes : number * self.page_bytes]

    def first_byte(self, number: int) -> int | None:
        """What kind of b-tree page it would be (1.6); 0 for most others. None where the file has no such page."""
        if not 1 <= number <= self.n_pages:
            return None
        return self._data[_HEADER_BYTES if number == 1 else (number - 1) * self.page_bytes]

    def free_pages(self) -> tuple[set[int], bool]:
        """The pages that hold nothing any more, and whether that list could be read to its end (1.5)."""
        free: set[int] = set()
        if not self.has_header:
            return free, False
        trunk, n_expected = _number(self._data[:_HEADER_BYTES], 32), _number(self._data[:_HEADER_BYTES], 36)
        while trunk and trunk not in free:
            page = self.read(trunk)
            if page is None:
                break
            free.add(trunk)
            trunk, n_leaves = _number(page, 0), _number(page, 4)
            if n_leaves > self.usable_bytes // 4 - 2:
                return free, False
            free.update(struct.unpack_from(f">{n_leaves}I", page, 8))
        is_complete = trunk == 0 and len(free) == n_expected and all(1 < page <= self.n_pages for page in free)
        return free, is_complete

    def close(self) -> None:
        self._data.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def copy_whole(source: BinaryIO, log: Path, target: Path) -> None:
    """Copy a store's file with what its write-ahead log holds, as one file that needs no log.

    The log is read as SQLite reads it (4.1 to 4.4): frame by frame up to the last commit whose checksums are right.
    """
    source.seek(0)
    with target.open("w+b") as file:
        shutil.copyfileobj(source, file, 1 << 20)
        if log.exists():
            with log.open("rb") as frames:
                _apply_log(frames, file)
        file.seek(0)
        if file.read(16) == _MAGIC:
            file.seek(18)
            file.write(b"\x01\x01")  # "no write-ahead log", so that SQLite reads the copy without making one


def _apply_log(log: BinaryIO, target: BinaryIO) -> None:
    header = log.read(_LOG_HEADER_BYTES)
    if len(header) < _LOG_HEADER_BYTES:
        return
    magic, _, page_bytes, _, *salts = struct.unpack(">6I", header[:24])
    if magic not in (0x377F0682, 0x377F0683) or page_bytes not in _PAGE_SIZES:
        return
    order = ">" if magic & 1 else "<"
    sums = _checksum(order, header[:24], (0, 0))
    if sums != struct.unpack(">2I", header[24:]):
        return
    waiting: dict[int, int] = {}  # page → where it lies in the log, of the transaction being read
    committed: dict[int, int] = {}
    n_pages = 0
    while len(frame := log.read(_FRAME_HEADER_BYTES)) == _FRAME_HEADER_BYTES:
        place = log.tell()
        page = log.read(page_bytes)
        number, n_after, *rest = struct.unpack(">6I", frame)
        if len(page) < page_bytes or rest[:2] != salts:
            break
        sums = _checksum(order, frame[:8] + page, sums)
        if list(sums) != rest[2:]:
            break
        waiting[number] = place
        if n_after:
            committed |= waiting
            waiting, n_pages = {}, n_after
    for number, place in committed.items():
        log.seek(place)
        target.seek((number - 1) * page_bytes)
        target.write(log.read(page_bytes))
    if n_pages:
        target.truncate(n_pages * page_bytes)


_weights: dict[int, tuple[tuple[int, int, int, int], "np.ndarray[tuple[int, int], np.dtype[np.uint64]]"]] = {}


def _checksum(order: str, data: bytes, sums: tuple[int, int]) -> tuple[int, int]:
    """The log's running checksum (4.2) over `data`, whose length is a multiple of eight.

    Each pair of words (a, b) turns sums (s, t) into (s + t + a, s + 2t + a + b): linear in everything, so a page is one
    product with weights that depend on its length alone.
    """
    words = np.frombuffer(data, dtype=f"{order}u4").astype(np.uint64)
    if len(words) not in _weights:
        power = (1, 0, 0, 1)
        columns = []
        for _ in range(len(words) // 2):
            p, q, r, s = power
            columns += [(p + q, r + s), (q, s)]  # of a and of b, the last pair first
            power = ((p + q) % 2**32, (p + 2 * q) % 2**32, (r + s) % 2**32, (r + 2 * s) % 2**32)
        flipped = [column for i in range(len(columns) - 2, -1, -2) for column in columns[i : i + 2]]
        _weights[len(words)] = power, np.array(flipped, dtype=np.uint64).T % 2**32
    (p, q, r, s), weights = _weights[len(words)]
    added = (weights * words).sum(axis=1, dtype=np.uint64)  # modulo 2**64, which leaves it right modulo 2**32
    return (p * sums[0] + q * sums[1] + int(added[0])) % 2**32, (r * sums[0] + s * sums[1] + int(added[1])) % 2**32


def _number(data: bytes, offset: int) -> int:
    return int.from_bytes(data[offset : offset + 4], "big")


def _page_bytes(header: bytes) -> int | None:
    size = int.from_bytes(header[16:18], "big")
    size = 65536 if size == 1 else size
    return size if size in _PAGE_SIZES else None
