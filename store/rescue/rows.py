"""How SQLite writes rows: records of typed columns (sections 2.1 and 2.2 of https://www.sqlite.org/fileformat2.html)."""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

_PLANS = 20_000  # different record headers remembered

Key = Any
"""What a tree is sorted by. Of a table: the row id; of an index: a tuple that sorts as SQLite sorts."""


@dataclass(frozen=True)
class Shape:
    """What the records of one b-tree look like.

    `columns` says of each stored column which storage classes it may have: letters of n(ull), i(nteger), r(eal),
    t(ext), b(lob). A record may end early, after `n_required` columns: the others were added to the table later.
    """

    name: str
    is_index: bool
    """An index, or a table WITHOUT ROWID: kept by key instead of by row id."""
    columns: tuple[str, ...]
    n_required: int
    n_key: int = 0
    """So many leading columns are the key; 0 for row ids, and where SQLite sorts in a way that is not known here."""


class Row(NamedTuple):
    """One row: `values` as stored (None in place of the row id's own column), and the pages that it lies on."""

    rowid: int | None
    values: tuple[Any, ...]
    pages: tuple[int, ...]

    def key(self, shape: Shape) -> Key | None:
        """Where the row belongs in its tree; None where that is not known here."""
        if not shape.is_index:
            return self.rowid
        if not shape.n_key:
            return None
        return tuple(
            (_RANKS[type(value).__name__], value.encode() if isinstance(value, str) else value)
            for value in self.values[: shape.n_key]
        )


class Records:
    """Reads records; remembers how, because most rows of a table share a few headers."""

    def __init__(self) -> None:
        self._plans: dict[bytes, _Plan | None] = {}

    def read(self, payload: bytes, shape: Shape) -> tuple[Any, ...] | None:
        """The values of a record, or None where it contradicts itself or cannot be of that shape."""
        try:
            length, start = varint(payload, 0)
        except IndexError:
            return None
        header = payload[start:length]
        if header not in self._plans:
            if len(self._plans) >= _PLANS:
                self._plans.clear()
            self._plans[header] = _plan(header)
        plan = self._plans[header]
        if plan is None or length + plan.body.size != len(payload):
            return None
        if not shape.n_required <= len(plan.classes) <= len(shape.columns):
            return None
        if not all(has in may for has, may in zip(plan.classes, shape.columns, strict=False)):
            return None
        values = list(plan.body.unpack_from(payload, length))
        try:
            for i, convert in plan.conversions:
                values[i] = convert(values[i])
        except UnicodeDecodeError:
            return None
        return tuple(values)


class _Plan(NamedTuple):
    """How to read the records of one header."""

    classes: str
    body: struct.Struct
    conversions: tuple[tuple[int, Callable[[Any], Any]], ...]


def _big_endian(data: bytes) -> int:
    return int.from_bytes(data, "big", signed=True)


_RANKS = {"NoneType": 0, "int": 1, "float": 1, "str": 2, "bytes": 3}  # numbers before text before blobs

# Serial type → class, format, conversion. Constants take no room in the record.
_FIXED: dict[int, tuple[str, str, Callable[[Any], Any] | None]] = {
    0: ("n", "0s", lambda _: None),
    1: ("i", "b", None),
    2: ("i", "h", None),
    3: ("i", "3s", _big_endian),
    4: ("i", "i", None),
    5: ("i", "6s", _big_endian),
    6: ("i", "q", None),
    7: ("r", "d", None),
    8: ("i", "0s", lambda _: 0),
    9: ("i", "0s", lambda _: 1),
}


def _plan(header: bytes) -> _Plan | None:
    classes, formats = "", ">"
    conversions: list[tuple[int, Callable[[Any], Any]]] = []
    position = 0
    while position < len(header):
        try:
            serial, position = varint(header, position)
        except IndexError:
            return None
        if serial in _FIXED:
            letter, code, convert = _FIXED[serial]
        elif serial >= 12:
            n_bytes, is_text = divmod(serial - 12, 2)
            if n_bytes > 2**31:
                return None
            letter, code, convert = ("t", f"{n_bytes}s", bytes.decode) if is_text else ("b", f"{n_bytes}s", None)
        else:
            return None  # 10 and 11 are for SQLite's own use and never in a file
        if convert is not None:
            conversions.append((len(classes), convert))
        classes += letter
        formats += code
    return _Plan(classes, struct.Struct(formats), tuple(conversions))


def varint(data: bytes, position: int) -> tuple[int, int]:
    """An integer of one to nine bytes, and where the next thing begins. Raises IndexError at the end of the data."""
    first = data[position]
    if first < 0x80:
        return first, position + 1
    value = first & 0x7F
    for i in range(1, 8):
        byte = data[position + i]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, position + i + 1
    return value << 8 | data[position + 8], position + 9


def signed(number: int) -> int:
    return number - 2**64 if number >= 2**63 else number
