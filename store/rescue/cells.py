"""The cells of b-tree pages: rows, with what of them goes on in overflow pages.

Sections 1.6 and 1.7 of https://www.sqlite.org/fileformat2.html.
"""

from collections.abc import Sequence

from store.rescue.pages import PageFile
from store.rescue.rows import Records, Row, Shape, signed, varint


class Cells:
    """Reads rows from places in pages."""

    def __init__(self, file: PageFile) -> None:
        self._file = file
        self._records = Records()
        self._owners: dict[int, tuple[int, int]] = {}  # overflow page → (page, offset) of the row that goes on in it
        self.doubtful: set[tuple[str, int, int]] = set()
        """Rows (tree, page, offset) that were read, though a page that they go on in is blank or another row's too."""

    def row(self, shape: Shape, number: int, page: bytes, offset: int) -> Row | None:
        """The row at an offset of page `number`, or None where it cannot be one of this shape."""
        rowid = None
        try:
            size, position = varint(page, offset)
            if not shape.is_index:
                unsigned, position = varint(page, position)
                rowid = signed(unsigned)
            payload, overflow = self._payload(page, position, size, is_index=shape.is_index)
        except IndexError:  # a cell that would go on beyond its page
            return None
        values = None if payload is None else self._records.read(payload, shape)
        if values is None:
            return None
        if overflow and self._is_doubtful(overflow, (number, offset)):
            if any(isinstance(value, str) and "\0" in value for value in values):
                return None  # a page of the text is gone
            self.doubtful.add((shape.name, number, offset))
        return Row(rowid, values, (number, *overflow))

    def is_whole(self, number: int, page: bytes, offset: int, *, is_index: bool) -> bool:
        """Whether the overflow pages of a cell, if it has any, end where they should and are its own."""
        size, position = varint(page, offset)
        if size <= self._largest_local(is_index=is_index):
            return True
        if not is_index:
            _, position = varint(page, position)
        payload, overflow = self._payload(page, position, size, is_index=is_index)
        return payload is not None and not self._is_doubtful(overflow, (number, offset))

    def _payload(self, page: bytes, position: int, size: int, *, is_index: bool) -> tuple[bytes | None, list[int]]:
        """A cell's whole payload, None where it cannot be had, and the overflow pages that it goes on in."""
        usable, largest = self._file.usable_bytes, self._largest_local(is_index=is_index)
        if size <= largest:
            return (page[position : position + size], []) if position + size <= usable else (None, [])
        smallest = (usable - 12) * 32 // 255 - 23
        local = smallest + (size - smallest) % (usable - 4)
        local = local if local <= largest else smallest
        if position + local + 4 > usable or size > self._file.n_pages * usable:
            return None, []
        parts, left = [page[position : position + local]], size - local
        number = int.from_bytes(page[position + local : position + local + 4], "big")
        pages: list[int] = []
        while left > 0:
            following = self._file.read(number) if number not in pages else None
            if following is None:
                return None, pages
            pages.append(number)
            parts.append(following[4 : 4 + min(left, usable - 4)])
            left -= usable - 4
            number = int.from_bytes(following[:4], "big")
        return (b"".join(parts), pages) if number == 0 else (None, pages)

    def _largest_local(self, *, is_index: bool) -> int:
        """Bytes of a row that fit on a page with others; a longer one goes on elsewhere."""
        usable = self._file.usable_bytes
        return (usable - 12) * 64 // 255 - 23 if is_index else usable - 35

    def _is_doubtful(self, overflow: Sequence[int], place: tuple[int, int]) -> bool:
        """Whether what a row goes on in may not be its own. SQLite keeps no checksums: more cannot be told."""
        owners = {self._owners.setdefault(page, place) for page in overflow}
        return owners != {place} or any(
            page is not None and page.count(0) == len(page) for page in map(self._file.read, overflow)
        )
