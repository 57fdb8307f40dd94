"""The tasks that a run may have, as the command line tells them: which columns each reads, and what its target is.

Nothing here knows a task by its name but the one that everybody begins with: a further task needs no code of a page.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Field:
    """One column that a task reads. name: in `data.columns`; noun: what a person calls what is in it; default: the
    column where a recipe names none, None = it must be named."""

    name: str
    noun: str
    default: str | None = None
    is_target: bool = False
    is_optional: bool = False
    stands_alone: bool = False
    """It holds inputs and target: where it has a column, no other is read."""
    may_be_empty: bool = False
    """A row need not have it although it has a column."""


@dataclass(frozen=True)
class Task:
    """kind: what the target is: label, labels, number, …; "none" where there is none. methods: those that can train it
    with no more said than their name."""

    name: str
    kind: str
    fields: tuple[Field, ...]
    methods: tuple[str, ...] = ()
    base: str = "builtin:minilm"
    """A model to begin with."""

    @property
    def words(self) -> str:
        """Its name as a person writes it.

        >>> CLASSIFICATION.words
        'text classification'
        """
        return self.name.replace("-", " ").replace("multi ", "multi-")

    @property
    def target(self) -> Field | None:
        """The field that is learnt; None where the inputs are all there is."""
        return next((field for field in self.fields if field.is_target), None)

    @property
    def inputs(self) -> tuple[Field, ...]:
        """The others, the one that a person reads first in front."""
        return tuple(field for field in self.fields if not field.is_target)

    def alone(self, columns: Mapping[str, str | None]) -> str | None:
        """The column that all is in, where there is one."""
        return next(
            (columns[field.name] for field in self.fields if field.stands_alone and columns.get(field.name)), None
        )

    def missing(self, columns: Mapping[str, str | None]) -> list[Field]:
        """Fields that it needs and that have no column; of inputs that may each be left out at least one.

        >>> [field.name for field in CLASSIFICATION.missing({"text": "tweet"})]
        ['label']
        """
        if self.alone(columns):
            return []
        lacking = [field for field in self.fields if not field.is_optional and not columns.get(field.name)]
        if not any(columns.get(field.name) for field in self.inputs if not field.may_be_empty):
            lacking = [self.inputs[0], *(field for field in lacking if field != self.inputs[0])]
        return lacking

    def of_stored(self) -> dict[str, str]:
        """What a recipe must say of the columns of a stored dataset: those that have no default."""
        needed = [field for field in self.fields if field.default is None and not field.is_optional]
        return {field.name: field.name for field in needed}

    def to_write(self, columns: Mapping[str, str | None]) -> dict[str, str]:
        """What a recipe says of these columns: those that are not what it takes anyway.

        >>> CLASSIFICATION.to_write({"text": "tweet", "label": "label", "other": "x"})
        {'text': 'tweet'}
        """
        fields = [field for field in self.fields if field.stands_alone] if self.alone(columns) else self.fields
        named = {field.name: columns.get(field.name) for field in fields}
        usual = {field.name: field.default for field in self.fields}
        return {name: column for name, column in named.items() if column and column != usual[name]}


CLASSIFICATION = Task(
    "text-classification",
    "label",
    (Field("text", "text", "text"), Field("label", "label", "label", is_target=True)),
    ("full", "top-layers", "lora", "qlora", "head"),
)
"""What there is where the command line does not answer."""


def tasks_of(answer: Sequence[Mapping[str, Any]]) -> tuple[Task, ...]:
    """What `runner recipe tasks --json` says.

    >>> field = {"name": "text", "noun": "text", "default": None}
    >>> field |= {"is_target": False, "is_optional": False, "stands_alone": False}
    >>> tasks_of([{"name": "masked-lm", "kind": "none", "methods": ["full"], "fields": [field]}])[0].target is None
    True
    """
    return tuple(
        Task(
            str(task["name"]),
            str(task["kind"]),
            tuple(
                Field(**{name: field[name] for name in Field.__dataclass_fields__ if name in field})
                for field in task["fields"]
            ),
            tuple(map(str, task["methods"])),
            str(task.get("base", CLASSIFICATION.base)),
        )
        for task in answer
    )
