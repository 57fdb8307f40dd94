"""What every source turns into: one table of rows for each split."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from runner.data.problems import Problems
from runner.recipe.shapes import Shape

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")

Row = tuple[int, tuple[object, ...]]
"""The line (or row) number, from 1, and the wanted columns' values."""


@dataclass(frozen=True)
class Columns:
    """Which columns of the tables mean what."""

    inputs: Mapping[str, str]
    """Field of `data.columns` → column, of what the model gets."""
    target: str
    """Column."""
    shape: Shape
    id: str | None = None
    metadata: tuple[str, ...] = ()

    @property
    def extra(self) -> tuple[str, ...]:
        """What is kept beside inputs and target: the id first, where there is one."""
        return tuple(dict.fromkeys([*([self.id] if self.id else []), *self.metadata]))

    @property
    def fields(self) -> dict[str, str]:
        """Field of the recipe → column, of inputs, target and id."""
        named = {**self.inputs, self.shape.target: self.target, **({"id": self.id} if self.id else {})}
        return {f"data.columns.{name}": column for name, column in named.items()}

    @property
    def wanted(self) -> tuple[str, ...]:
        """The order of the values in a row: inputs, target, extra."""
        return (*self.inputs.values(), self.target, *self.extra)


class CheckedRow(NamedTuple):
    """A row that can be used, as far as one row alone can tell."""

    number: int
    inputs: dict[str, Any]
    """Field of `data.columns` → value: a text, or of tokens a list of words."""
    target: object
    extra: tuple[object, ...]

    @property
    def text(self) -> str:
        """What a person reads and searches: the inputs, one below the other, words with blanks between."""
        return "\n".join(value if isinstance(value, str) else " ".join(value) for value in self.inputs.values())


@dataclass(frozen=True)
class Table:
    """The rows of one split, opened but not read; they can be read as often as wanted."""

    split: Split
    title: str
    """How messages name it: a path as the recipe gives it, or "hub:NAME [split]"."""
    columns: tuple[str, ...]
    rows: Callable[[Sequence[str], Problems], Iterator[Row]]
    """Reads from the start: wanted columns → numbered rows; broken rows become problems."""
    unit: Literal["line", "row"] = "row"
    path: Path | None = None
    """The file behind the table, where it is one file."""
    class_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Column → names, where the column holds the indices of a `datasets.ClassLabel`, or lists of them."""
    is_by_word: bool = False
    """Whether each line is a word, and the number of a row the line of its first one."""

    def place(self, number: int) -> str:
        """A row in words, such as "line 7"."""
        return f"{self.unit} {number}"

    def word_place(self, number: int, word: int) -> str:
        """A word of a row, counted from 0, in words."""
        return f"{self.unit} {number + word}" if self.is_by_word else f"{self.unit} {number}, word {word + 1}"

    def stamp(self) -> tuple[int, int] | None:
        """Size and time of change of the file, to notice that it changed; None where there is no file."""
        if self.path is None:
            return None
        try:
            status = self.path.stat()
        except OSError:  # gone: that differs from any stamp
            return (-1, -1)
        return status.st_size, status.st_mtime_ns
