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
    """Column; empty where there is none."""
    shape: Shape
    id: str | None = None
    metadata: tuple[str, ...] = ()
    query_id: str | None = None
    """Column that tells queries apart, where it is not the query."""
    group: str | None = None
    """Column whose rows of one value stay in one split, where the recipe names one."""

    @property
    def extra(self) -> tuple[str, ...]:
        """What is kept beside inputs and target: the id first, where there is one."""
        return tuple(dict.fromkeys([*filter(None, (self.id, self.query_id)), *self.metadata]))

    @property
    def together(self) -> str | None:
        """Column whose rows of one value stay in one split; None where each row stands for itself."""
        return self.group or self.query_id or (self.inputs.get("query") if self.shape.group else None)

    @property
    def fields(self) -> dict[str, str]:
        """Field of the recipe → column, of inputs, target, ids and what is kept together."""
        named = {self.target_field: self.target, **self.inputs, "query_id": self.query_id, "id": self.id}
        found = {f"data.columns.{name}": column for name, column in named.items() if column}
        return found | ({"data.split.group": self.group} if self.group else {})

    @property
    def target_field(self) -> str:
        """The field of `data.columns` that names the target; of a chat it is the same as its input's."""
        return "messages" if "messages" in self.inputs else self.shape.target

    @property
    def wanted(self) -> tuple[str, ...]:
        """The order of the values in a row, each column once."""
        return tuple(dict.fromkeys(filter(None, (*self.inputs.values(), self.target, *self.extra, self.group))))


class CheckedRow(NamedTuple):
    """A row that can be used, as far as one row alone can tell."""

    number: int
    inputs: dict[str, Any]
    """Field of `data.columns` → value: a text, or of tokens a list of words."""
    target: object
    extra: tuple[object, ...]
    group: str | None = None
    """What is equal for rows that stay together; None where each stands for itself."""

    @property
    def text(self) -> str:
        """What a person reads and searches: the inputs, one below the other."""
        return readable_text(self.inputs)


def readable_text(inputs: Mapping[str, Any]) -> str:
    """The inputs of an example as a person reads them, one below the other.

    >>> readable_text({"tokens": ["in", "Paris"]})
    'in Paris'
    """
    return "\n".join(map(_readable, inputs.values()))


def _readable(value: Any) -> str:
    """A text as it is, words with blanks between, turns of a chat one below the other.

    >>> _readable(["in", "Paris"]), _readable([{"role": "user", "content": "Hi"}])
    ('in Paris', 'user: Hi')
    """
    if isinstance(value, str):
        return value
    if value and isinstance(value[0], Mapping):
        return "\n".join(f"{message['role']}: {message['content']}" for message in value)
    return " ".join(value)


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
