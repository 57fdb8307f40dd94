"""Spool files: rows on disk that wait for the store.

A file belongs to one recorder, is named `<run id>-<ULID>.spool` and is locked (flock) for as long as that recorder's
process lives. It is a sequence of frames, each one entry, or many points of curves:

    4 bytes  magic                          8  sequence number, one higher from frame to frame
    8        length of all that follows     8  rows, as they are counted among those pending
             the checksum                   4  length of the JSON header
    4        CRC-32 of all that follows it  …  JSON header: run, segment, store, kind, at, values, arrays
                                            …  the arrays' bytes, one after the other

Numbers are little-endian. A kill in the middle of a write leaves a torn last frame, which nobody had been promised; a
frame that is damaged anywhere else is skipped, and missed in the sequence.
"""

import fcntl
import json
import os
import struct
import weakref
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from store.batches import in_order
from store.entries import Entry, Item, Point
from store.ids import new_run_id
from store.metrics import StepRow

_MAGIC = b"\x93ASF"
_OUTER = struct.Struct("<4sQI")
_INNER = struct.Struct("<QQI")
_HEAD_BYTES = _OUTER.size + _INNER.size
_POINTS_A_FRAME = 2000
_SEARCH_BYTES = 1 << 20

_open_files: "weakref.WeakSet[SpoolFile]" = weakref.WeakSet()


class Source(NamedTuple):
    """Who made a frame; the same in every process and store."""

    run_id: str
    segment: int
    store: str
    """The store's path: a spool outside its files folder must find back to it."""


class Frame(NamedTuple):
    """A frame in its place; `is_sound` is False where its bytes are not what was written."""

    sequence: int
    n_rows: int
    offset: int
    end: int
    is_sound: bool


class SpoolFile:
    """One open, locked spool file. Only its owner appends; whoever holds the lock reads."""

    def __init__(self, descriptor: int, path: Path) -> None:
        self.path = path
        self.size = os.fstat(descriptor).st_size
        self.next_sequence = 0  # of the next frame to be appended
        self._descriptor = descriptor
        _open_files.add(self)

    @property
    def id(self) -> str:
        """`<run id>-<ULID>`: unique, and in the order of their making within a run."""
        return self.path.stem

    @classmethod
    def create(cls, folder: Path, run_id: str) -> Self:
        """A new, empty file. Raises OSError where it cannot be made."""
        path = folder / f"{run_id}-{new_run_id()}.spool"
        unlocked = path.with_suffix(".new")  # nobody may find it before it is locked
        descriptor = os.open(unlocked, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            unlocked.rename(path)
        except OSError:
            os.close(descriptor)
            unlocked.unlink(missing_ok=True)
            raise
        return cls(descriptor, path)

    @classmethod
    def adopt(cls, path: Path) -> Self | None:
        """A file whose owner is gone; None where it lives (or another process has adopted it). Raises OSError."""
        descriptor = os.open(path, os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_there = path.exists() and os.path.samestat(os.fstat(descriptor), path.stat())
        except OSError:
            is_there = False
        if is_there:
            return cls(descriptor, path)
        os.close(descriptor)
        return None

    def append(self, items: Sequence[Item], source: Source) -> None:
        """Write items at the end; now they outlive the process. Raises OSError, and then none of them is there."""
        at, sequence = self.size, self.next_sequence
        try:
            for group in in_order(items):
                for entry in [group] if isinstance(group, Entry) else _entries(group):
                    for part in _pack(entry, sequence, source):
                        at += self._write(part, at)
                    sequence += 1
        except BaseException:
            os.ftruncate(self._descriptor, self.size)
            raise
        self.size, self.next_sequence = at, sequence

    def empty(self) -> None:
        """Everything in it is in the store: begin again, with the sequence going on."""
        os.ftruncate(self._descriptor, 0)
        self.size = 0

    def frames(self, offset: int = 0, *, is_checked: bool = True) -> Iterator[Frame]:
        """The frames from `offset` on. See `frames`."""
        return frames(self._descriptor, offset, is_checked=is_checked)

    def read(self, frame: Frame) -> tuple[Source, list[Item]]:
        """What a sound frame holds."""
        return read_frame(self._descriptor, frame)

    def remove(self) -> None:
        """Delete the file and let go of it."""
        self.path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Let go of the file; what is in it stays."""
        if self in _open_files:
            _open_files.discard(self)
            os.close(self._descriptor)

    def _write(self, data: bytes | memoryview, at: int) -> int:
        view = memoryview(data)
        done = 0
        while done < len(view):
            done += os.pwrite(self._descriptor, view[done:], at + done)
        return done


def _close_inherited() -> None:
    """A forked child must not keep its parent's files locked after the parent's death."""
    for file in list(_open_files):
        file.close()


os.register_at_fork(after_in_child=_close_inherited)


def is_locked(path: Path) -> bool:
    """Whether a living process owns the file. Raises OSError where it cannot be opened."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def frames(descriptor: int, offset: int = 0, *, is_checked: bool = True) -> Iterator[Frame]:
    """The frames of an open file, without a torn one at its end; `is_checked` compares the checksums.

    What is damaged is skipped up to the next sound frame. If there is none, it is one frame that is not sound, unless
    the file simply ends in it.
    """
    size = os.fstat(descriptor).st_size
    while offset < size:
        frame = _frame_at(descriptor, offset, size, is_checked=is_checked)
        if frame is not None and frame.is_sound:
            yield frame
            offset = frame.end
            continue
        after = _find_sound(descriptor, offset + 1, size)
        if after is None:
            if frame is None and os.pread(descriptor, _SEARCH_BYTES, offset).strip(b"\0"):  # zeros: a power cut
                yield Frame(0, 0, offset, size, is_sound=False)
            elif frame is not None and frame.end <= size:
                yield frame
            return
        offset = after


def read_frame(descriptor: int, frame: Frame) -> tuple[Source, list[Item]]:
    """What a sound frame of an open file holds."""
    return _unpack(_read(descriptor, frame.offset, frame.end))


def _frame_at(descriptor: int, offset: int, size: int, *, is_checked: bool) -> Frame | None:
    """The frame that begins here; None where none can: its end may lie beyond the file's."""
    head = os.pread(descriptor, _HEAD_BYTES, offset)
    if not head.startswith(_MAGIC[: len(head)]):
        return None
    if len(head) < _HEAD_BYTES:
        return Frame(0, 0, offset, offset + _HEAD_BYTES, is_sound=False)
    _, length, checksum = _OUTER.unpack_from(head)
    sequence, n_rows, header_bytes = _INNER.unpack_from(head, _OUTER.size)
    end = offset + _OUTER.size + length
    is_sound = end <= size and header_bytes + _INNER.size <= length
    if is_sound and is_checked:
        is_sound = _checksum(descriptor, offset + _OUTER.size, end) == checksum
    return Frame(sequence, n_rows, offset, end, is_sound)


def _find_sound(descriptor: int, offset: int, size: int) -> int | None:
    while offset < size:
        data = os.pread(descriptor, _SEARCH_BYTES, offset)
        at = data.find(_MAGIC)
        while at >= 0:
            frame = _frame_at(descriptor, offset + at, size, is_checked=True)
            if frame is not None and frame.is_sound:
                return offset + at
            at = data.find(_MAGIC, at + 1)
        offset += max(len(data) - len(_MAGIC) + 1, 1)
    return None


def _checksum(descriptor: int, start: int, end: int) -> int:
    checksum = 0
    while start < end:
        data = os.pread(descriptor, min(_SEARCH_BYTES, end - start), start)
        if not data:
            return -1  # it was cut off while we read
        checksum = zlib.crc32(data, checksum)
        start += len(data)
    return checksum


def _read(descriptor: int, start: int, end: int) -> bytes:
    parts = []
    while start < end:  # one call gives 2 GB at most
        parts.append(os.pread(descriptor, end - start, start))
        if not parts[-1]:
            raise OSError("the spool file was cut off while it was read")
        start += len(parts[-1])
    return b"".join(parts)


def _entries(points: Sequence[Point]) -> Iterator[Entry]:
    """Points as entries of a kind that only spool files know."""
    for first in range(0, len(points), _POINTS_A_FRAME):
        some = points[first : first + _POINTS_A_FRAME]
        values = [(*point.at, point.values) for point in some]
        yield Entry("points", 0.0, {"points": values}, {}, sum(point.n_rows for point in some))


def _pack(entry: Entry, sequence: int, source: Source) -> list[bytes | memoryview]:
    """A frame, in parts so that large arrays are not copied."""
    arrays = {name: _little_endian(array) for name, array in entry.arrays.items()}
    header = {
        "run": source.run_id,
        "segment": source.segment,
        "store": source.store,
        "kind": entry.kind,
        "at": entry.at,
        "values": entry.values,
        "arrays": [[name, array.dtype.str, array.shape] for name, array in arrays.items()],
    }
    text = json.dumps(header, separators=(",", ":"), default=_plain).encode()
    parts: list[bytes | memoryview] = [text, *(array.reshape(-1).view(np.uint8).data for array in arrays.values())]
    inner = _INNER.pack(sequence, entry.n_rows, len(text))
    checksum = zlib.crc32(inner)
    for part in parts:
        checksum = zlib.crc32(part, checksum)
    return [_OUTER.pack(_MAGIC, len(inner) + sum(map(len, parts)), checksum) + inner, *parts]


def _unpack(data: bytes) -> tuple[Source, list[Item]]:
    _, n_rows, header_bytes = _INNER.unpack_from(data, _OUTER.size)
    header: Mapping[str, Any] = json.loads(data[_HEAD_BYTES : _HEAD_BYTES + header_bytes])
    at = _HEAD_BYTES + header_bytes
    arrays = {}
    for name, dtype, shape in header["arrays"]:
        array = np.frombuffer(data, dtype, count=int(np.prod(shape)), offset=at).reshape(shape)
        at += array.nbytes
        arrays[name] = array
    source = Source(header["run"], header["segment"], header["store"])
    if header["kind"] == "points":
        return source, [Point(StepRow(*place), values) for *place, values in header["values"]["points"]]
    return source, [Entry(header["kind"], header["at"], header["values"], arrays, n_rows)]


def _little_endian(array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype.kind not in "iufb":
        raise TypeError(f"an entry cannot hold an array of {array.dtype}")
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))


def _plain(value: object) -> object:
    """What JSON does not know, as `store.runs` would write it."""
    return value.item() if isinstance(value, np.generic) else str(value)
