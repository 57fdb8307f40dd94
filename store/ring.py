"""The flight ring: a file of fixed size with the last steps of a training, whole after kill -9.

Every step is written twice into its slot: when its batch is known, before the forward pass (so the step that a process
dies in says which examples it held), and when it has ended. Both parts carry a checksum, so that a part that was being
written at the kill is recognised and left out.

The file has its size from the first and is written with pwrite, not through a memory map: what is written survives the
process all the same, and a disk that fails is an error that can be caught instead of a signal that ends the training.
The same bytes are kept in memory: where the file cannot be made or written, the flight is lost only with the process.

Format, little-endian: a header (`_HEADER`: magic, format, crc32 of the rest, slots, positions a slot, segment, run id),
then the slots, each: the end of the step (crc32, sequence, seconds, loss, gradient norm, learning rate), its beginning
(crc32, sequence, step, unix time, examples, positions kept), the positions as uint32. Sequence numbers count from 1;
sequence s is in slot (s - 1) modulo the number of slots.
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    import pandas as pd

N_STEPS = 200
"""Steps that a ring holds."""

MAX_POSITIONS = 16_384
"""Positions kept of one step at most: 13 MB for a ring of them. `n_examples` says how many there were."""

_MAGIC = b"ASSAYRNG"
_FORMAT = 1
_HEADER = struct.Struct("<8sIIIIi26s")
_HEADER_BYTES = 64
_ENDED = struct.Struct("<IQdddd")
_BEGUN = struct.Struct("<IQqdII")
_CRC = struct.Struct("<I")
_FIXED_BYTES = _ENDED.size + _BEGUN.size
_MOST_SLOTS = 100_000  # a file that says more was not written by us

STEP = np.dtype(
    [
        ("step", "<i8"),
        ("at", "<f8"),
        ("seconds", "<f8"),
        ("loss", "<f8"),
        ("gradient_norm", "<f8"),
        ("learning_rate", "<f8"),
        ("n_examples", "<u4"),
        ("n_positions", "<u4"),
        ("has_ended", "<u4"),
    ]
)
"""One step as the store keeps it; what a step that has not ended lacks is nan."""


class Steps(NamedTuple):
    """Steps in order: `rows` `(n,)` of STEP, and the training positions of all of them, one step after the other."""

    rows: NDArray[np.void]
    positions: NDArray[np.uint32]

    def of(self, step: int) -> NDArray[np.int64]:
        """The positions `(k,)` of one step, in the order of its batches; empty where the step is not there."""
        found = np.flatnonzero(self.rows["step"] == step)
        if not len(found):
            return np.zeros(0, dtype=np.int64)
        ends = np.cumsum(self.rows["n_positions"].astype(np.int64))
        last = found[-1]
        return self.positions[ends[last] - self.rows["n_positions"][last] : ends[last]].astype(np.int64)

    def frame(self) -> pd.DataFrame:
        """Columns step, at (unix time its batch was taken), seconds, loss, gradient_norm, learning_rate, n_examples,
        n_positions, has_ended. nan in a step that has ended is what was measured; in one that has not, nothing was."""
        import pandas as pd  # here: a training does without

        columns = {name: self.rows[name].astype(STEP[name].newbyteorder("=")) for name in STEP.names or ()}
        return pd.DataFrame(columns | {"has_ended": columns["has_ended"].astype(bool)})


class RingFile(NamedTuple):
    """What a ring's file says."""

    run_id: str
    segment: int
    steps: Steps


class FlightRing:
    """Writes a ring. `path`: its file, made anew; None keeps it in memory only."""

    def __init__(
        self, path: Path | None, *, run_id: str, segment: int, n_positions: int, n_steps: int = N_STEPS
    ) -> None:
        """`n_positions`: the examples of one step. `problem` says why the file could not be made; the ring works on."""
        self.n_positions = max(1, min(n_positions, MAX_POSITIONS))
        self.problem: str | None = None
        """Why the file is not written (any more), or None."""
        self._path = path
        self._n_steps = n_steps
        self._sequence = 0
        self._slot_bytes = _FIXED_BYTES + 4 * self.n_positions
        header = _HEADER.pack(_MAGIC, _FORMAT, 0, n_steps, self.n_positions, segment, run_id.encode())
        header = header[:12] + _CRC.pack(zlib.crc32(header[16:])) + header[16:]
        self._buffer = bytearray(_HEADER_BYTES + n_steps * self._slot_bytes)
        self._buffer[: len(header)] = header
        self._file = -1 if path is None else self._open(path)

    def _open(self, path: Path) -> int:
        file = -1
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(path.name + ".partial")  # what is in place has a header
            file = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            if os.pwrite(file, self._buffer, 0) != len(self._buffer):  # all of it: the space is ours from now on
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.replace(partial, path)
        except OSError as error:
            self._fail(error, file)
            return -1
        return file

    def begin(self, step: int, positions: ArrayLike) -> int:
        """The step's batches are known: training positions `(k,)` of all of them. Returns what `end` wants to know."""
        index = np.asarray(positions)
        kept = index[: self.n_positions].astype("<u4")
        self._sequence += 1
        rest = _BEGUN.pack(0, self._sequence, step, time.time(), len(index), len(kept))[4:] + kept.tobytes()
        self._write(self._sequence, _ENDED.size, _CRC.pack(zlib.crc32(rest)) + rest)
        return self._sequence

    def end(
        self, begun: int, loss: float, gradient_norm: float | None, learning_rate: float | None, seconds: float
    ) -> None:
        """The step of that `begin` took `seconds`; None is written as nan. Nothing where a later step has its place."""
        if self._sequence - begun >= self._n_steps:
            return
        numbers = (float("nan") if value is None else value for value in (loss, gradient_norm, learning_rate))
        rest = _ENDED.pack(0, begun, seconds, *numbers)[4:]
        self._write(begun, 0, _CRC.pack(zlib.crc32(rest)) + rest)

    def _write(self, sequence: int, offset: int, data: bytes) -> None:
        start = _HEADER_BYTES + (sequence - 1) % self._n_steps * self._slot_bytes + offset
        self._buffer[start : start + len(data)] = data
        if self._file >= 0:
            try:
                if os.pwrite(self._file, data, start) != len(data):
                    raise OSError(errno.EIO, "only a part of a step could be written")
            except OSError as error:
                self._fail(error, self._file)
                self._file = -1

    def _fail(self, error: OSError, file: int) -> None:
        """Go on in memory. A file that tells old steps as if they were the last would be worse than none."""
        self.problem = f"{error.strerror or error} ({self._path})"
        with contextlib.suppress(OSError):
            if file >= 0:
                os.close(file)
            if self._path is not None:
                self._path.unlink(missing_ok=True)
                self._path.with_name(self._path.name + ".partial").unlink(missing_ok=True)

    def steps(self) -> Steps:
        """What the ring holds now."""
        return parse_ring(bytes(self._buffer)).steps

    def close(self) -> None:
        """Remove the file: nothing went wrong, or it is in the store."""
        file, self._file = self._file, -1
        with contextlib.suppress(OSError):
            if file >= 0:
                os.close(file)
                if self._path is not None:
                    self._path.unlink(missing_ok=True)


def read_ring(path: Path) -> RingFile:
    """Read a ring's file, whoever left it. Raises OSError, or ValueError for a file that is no ring."""
    return parse_ring(path.read_bytes())


def parse_ring(data: bytes) -> RingFile:
    """As `read_ring`, from its bytes. Parts that are torn or damaged are left out."""
    if len(data) < _HEADER_BYTES:
        raise ValueError(f"a flight ring has a header of {_HEADER_BYTES} bytes; the file has {len(data)}")
    magic, version, crc, n_steps, n_positions, segment, run_id = _HEADER.unpack_from(data)
    if magic != _MAGIC or zlib.crc32(data[16 : _HEADER.size]) != crc:
        raise ValueError("not a flight ring, or its header is damaged")
    if version != _FORMAT:
        raise ValueError(f"a flight ring of format {version}; this version reads {_FORMAT}")
    slot_bytes = _FIXED_BYTES + 4 * n_positions
    if n_steps > _MOST_SLOTS or len(data) != _HEADER_BYTES + n_steps * slot_bytes:
        raise ValueError(f"a flight ring of {n_steps} steps of {n_positions} positions does not have {len(data)} bytes")
    found = [_slot(data, _HEADER_BYTES + i * slot_bytes, n_positions) for i in range(n_steps)]
    slots = sorted((slot for slot in found if slot is not None), key=lambda slot: slot[0])
    rows = np.array([row for _, row, _ in slots], dtype=STEP)
    empty = [np.zeros(0, dtype=np.uint32)]
    steps = Steps(rows, np.concatenate([*empty, *(positions for _, _, positions in slots)]))
    return RingFile(run_id.decode("ascii", "replace"), segment, steps)


def _slot(data: bytes, start: int, n_positions: int) -> tuple[int, tuple[float, ...], NDArray[np.uint32]] | None:
    """(sequence, values of a row, positions) of one slot; None where no step is in it, or a torn one."""
    begun = start + _ENDED.size
    crc, sequence, step, at, n_examples, n_kept = _BEGUN.unpack_from(data, begun)
    end = begun + _BEGUN.size + 4 * n_kept
    if not sequence or n_kept > n_positions or zlib.crc32(data[begun + 4 : end]) != crc:
        return None
    positions = np.frombuffer(data, dtype="<u4", count=n_kept, offset=begun + _BEGUN.size)
    crc, ended_sequence, *numbers = _ENDED.unpack_from(data, start)
    has_ended = ended_sequence == sequence and zlib.crc32(data[start + 4 : begun]) == crc
    if not has_ended:
        numbers = [float("nan")] * 4
    return sequence, (step, at, *numbers, n_examples, n_kept, has_ended), positions
