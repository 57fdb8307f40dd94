"""Rows read from the b-trees of a `PageFile`, around whatever is damaged.

A page is believed only if it is what its place asks for: a b-tree page of the right kind, at the right depth, whose
records have the columns of its table and whose keys lie between those of its neighbours, in order. Any other page is a
**hole**. What hung below a hole is found among the pages that nothing refers to, and taken where its keys fit.
Sections refer to https://www.sqlite.org/fileformat2.html.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from store.rescue.cells import Cells
from store.rescue.pages import PageFile
from store.rescue.rows import Key, Row, Shape, signed, varint

_INTERIOR_INDEX, _INTERIOR_TABLE, _LEAF_INDEX, _LEAF_TABLE = 2, 5, 10, 13
_LEAVES = (_LEAF_INDEX, _LEAF_TABLE)
_INDEXES = (_INTERIOR_INDEX, _LEAF_INDEX)
_KINDS = (_INTERIOR_INDEX, _INTERIOR_TABLE, *_LEAVES)
_TRIED = 4  # children of a page of keys that are looked at, in case some are damaged

Low = Key | None
High = Key | None


@dataclass(frozen=True)
class Hole:
    """A page that is not what it should be, and the keys that were below it: after `low`, up to `high`."""

    number: int
    low: Low
    high: High


@dataclass
class Tree:
    """One b-tree of the file; `holes` fills while it is read. `root` is None where nothing tells it."""

    shape: Shape
    root: int | None
    holes: list[Hole] = field(default_factory=list)


class _Node(NamedTuple):
    number: int
    page: bytes
    is_leaf: bool
    is_index: bool
    offsets: tuple[int, ...]
    right: int


class _Cell(NamedTuple):
    child: int
    row: Row | None
    key: Key


class Reader:
    """Reads trees one after the other; a page belongs to the first that proves to own it."""

    def __init__(self, file: PageFile) -> None:
        self.file = file
        self.claimed: set[int] = set()
        self.cells = Cells(file)

    def rows(self, tree: Tree) -> Iterator[list[Row]]:
        """The rows of the tree, page by page in key order."""
        if tree.root is None:
            tree.holes.append(Hole(0, None, None))
            return
        yield from self._descend(tree, tree.root, None, None)

    def pages_of(self, root: int) -> set[int] | None:
        """The pages of a tree whose structure is known to be sound, to be claimed when its rows are taken.

        None where a row that goes on in overflow pages does not end where it should, which SQLite does not look at.
        """
        taken, waiting = set[int](), [root]
        while waiting:
            number = waiting.pop()
            taken.add(number)
            node = self._node(number)
            if node is None:
                return None
            if not node.is_leaf:
                waiting += [_child(node.page, offset) for offset in node.offsets] + [node.right]
            skipped = 0 if node.is_leaf else 4  # the child's number
            has_rows = node.is_leaf or node.is_index
            for offset in node.offsets if has_rows else ():
                if not self._is_whole(node, offset + skipped):
                    return None
        return taken

    def unclaimed(self, free: set[int], damaged: set[int]) -> list[int]:
        """The topmost pages of trees that nothing refers to. What a damaged page says of its children means nothing."""
        pages = [
            number
            for number in range(2, self.file.n_pages + 1)
            if number not in self.claimed
            and number not in free
            and number not in damaged
            and self.file.first_byte(number) in _KINDS
        ]
        below: set[int] = set()
        for number in pages:
            node = self._node(number)
            if node is not None and not node.is_leaf:
                below |= {_child(node.page, offset) for offset in node.offsets} | {node.right}
        return [number for number in pages if number not in below]

    def adopt(self, tree: Tree, number: int, low: Low, high: High) -> Iterator[list[Row]]:
        """The rows below a page that nothing refers to, where they fit into the tree between two keys. Else none."""
        if number not in self.claimed and self.fits(tree.shape, number, low, high) and not self._is_empty(number):
            yield from self._descend(tree, number, low, high)

    def fits(self, shape: Shape, number: int, low: Low = None, high: High = None, *, n_levels: int = 20) -> bool:
        """Whether a page could be one of this tree's: its keys between the two, rows on it or below of its shape."""
        node = self._node(number)
        if node is None or node.is_index != shape.is_index:
            return False
        if node.is_leaf:
            return bool(self._leaf(shape, node, low, high)) or not node.offsets
        cells = self._interior(shape, node, low, high)
        if cells is None or not n_levels:
            return False
        if shape.is_index:  # it holds rows itself
            return True
        bounds = [low, *(cell.key for cell in cells[:-1]), high]
        below = list(zip(cells, bounds[:-1], bounds[1:], strict=True))[:_TRIED]
        return any(self.fits(shape, cell.child, *between, n_levels=n_levels - 1) for cell, *between in below)

    def _is_empty(self, number: int) -> bool:
        """Where an empty table begins; it fits everywhere."""
        node = self._node(number)
        return node is not None and node.is_leaf and not node.offsets

    # one page after the other ----------------------------------------------------------------------------------------

    def _descend(self, tree: Tree, number: int, low: Low, high: High) -> Iterator[list[Row]]:
        node = self._node(number)
        if node is None or number in self.claimed or node.is_index != tree.shape.is_index:
            tree.holes.append(Hole(number, low, high))
            return
        if node.is_leaf:
            rows = self._leaf(tree.shape, node, low, high)
            is_whole = rows is not None and len(rows) == len(node.offsets)
            if not is_whole or (not rows and number != tree.root):
                tree.holes.append(Hole(number, low, high))
            if rows is not None and (rows or is_whole):
                self.claimed.add(number)
                yield rows
            return
        cells = self._interior(tree.shape, node, low, high)
        if cells is None:
            tree.holes.append(Hole(number, low, high))
            return
        self.claimed.add(number)
        if tree.shape.is_index and any(cell.row is None for cell in cells[:-1]):
            tree.holes.append(Hole(number, low, high))
        bounds = [low, *(cell.key for cell in cells[:-1]), high]
        is_above_leaves = self._is_above_leaves(tree.shape, cells, bounds)
        for cell, after, until in zip(cells, bounds[:-1], bounds[1:], strict=True):
            if (self.file.first_byte(cell.child) in _LEAVES) == is_above_leaves:
                yield from self._descend(tree, cell.child, after, until)
            else:
                tree.holes.append(Hole(cell.child, after, until))
            if cell.row is not None:
                yield [cell.row]

    def _is_above_leaves(self, shape: Shape, cells: Sequence[_Cell], bounds: Sequence[Key]) -> bool:
        """All leaves of a tree are at one depth. Where children disagree, those whose keys fit say which."""
        kinds = [self.file.first_byte(cell.child) for cell in cells]
        seen = {kind in _LEAVES for kind in kinds if kind in _KINDS}
        if len(seen) < 2:
            return seen != {False}
        votes = {True: 0, False: 0}
        for cell, kind, low, high in zip(cells, kinds, bounds[:-1], bounds[1:], strict=True):
            if kind in _KINDS and cell.child not in self.claimed and self.fits(shape, cell.child, low, high):
                votes[kind in _LEAVES] += 1
        return votes[True] > votes[False]

    def _node(self, number: int) -> _Node | None:
        """The b-tree page (1.6), or None where the page is no such thing."""
        page = self.file.read(number)
        if page is None:
            return None
        start = 100 if number == 1 else 0
        kind = page[start]
        if kind not in _KINDS:
            return None
        is_leaf = kind in _LEAVES
        _, n_cells, content = struct.unpack_from(">HHH", page, start + 1)
        first = start + (8 if is_leaf else 12)
        end = first + 2 * n_cells
        if end > self.file.usable_bytes or not end <= (content or 65536) <= self.file.usable_bytes:
            return None
        offsets = tuple(
            offset
            for offset in struct.unpack_from(f">{n_cells}H", page, first)
            if end <= offset <= self.file.usable_bytes - 4
        )
        if not is_leaf and len(offsets) < n_cells:
            return None
        right = 0 if is_leaf else int.from_bytes(page[start + 8 : start + 12], "big")
        # An offset that leads nowhere is dropped above; it must still be missed by whoever counts the rows.
        missing = (0,) * (n_cells - len(offsets))
        return _Node(number, page, is_leaf, kind in _INDEXES, offsets + missing, right)

    def _leaf(self, shape: Shape, node: _Node, low: Low, high: High) -> list[Row] | None:
        """The readable rows of a leaf; None where they are not in order and between the keys, or are the fewer part."""
        rows: list[Row] = []
        last, n_foreign = low, 0
        for offset in node.offsets:
            row = self.cells.row(shape, node.number, node.page, offset) if offset else None
            if row is None:
                n_foreign += self._is_whole(node, offset)
                continue
            key = row.key(shape)
            if key is not None:
                if (last is not None and not last < key) or (high is not None and high < key):
                    return None
                last = key
            rows.append(row)
        return rows if len(rows) >= n_foreign else None  # else it is another table's page, and some fit by chance

    def _is_whole(self, node: _Node, offset: int) -> bool:
        """Whether a cell that is no row of this table can be read all the same."""
        try:
            return self.cells.is_whole(node.number, node.page, offset, is_index=node.is_index)
        except IndexError:  # it would go on beyond its page
            return True

    def _interior(self, shape: Shape, node: _Node, low: Low, high: High) -> list[_Cell] | None:
        """Children in order, the last with no key; None where keys are out of order or most cells cannot be read.

        A row of an index may go on in a page that is damaged: then its key is not known, and neither is where it lay.
        """
        cells: list[_Cell] = []
        last = low
        for offset in node.offsets:
            child = _child(node.page, offset)
            row = self.cells.row(shape, node.number, node.page, offset + 4) if shape.is_index else None
            if shape.is_index:
                key = None if row is None else row.key(shape)
            else:
                try:
                    key = signed(varint(node.page, offset + 4)[0])
                except IndexError:  # a cell that would go on beyond its page
                    return None
            if key is not None:
                if (last is not None and not last < key) or (high is not None and high < key):
                    return None
                last = key
            cells.append(_Cell(child, row, key))
        if shape.is_index and 2 * sum(cell.row is not None for cell in cells) < len(cells):
            return None
        cells.append(_Cell(node.right, None, None))
        return cells


def _child(page: bytes, offset: int) -> int:
    return int.from_bytes(page[offset : offset + 4], "big")
