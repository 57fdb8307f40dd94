"""Targets that are texts, chats whose last turn is the target, and rows without a target."""

import json
from collections.abc import Sequence
from hashlib import blake2b
from itertools import pairwise
from typing import Any

from runner.data.labels import LabelIndex
from runner.data.problems import Problems
from runner.data.tables import CheckedRow, Columns, Table
from runner.data.targets import Stored, is_empty

_OTHER_NAMES = ("human", "gpt", "bot", "model", "ai")
"""What other collections of chats call the user and the assistant."""


class AnswerReader:
    """One text a row, or the last turn of a chat. Stored as JSON."""

    def __init__(self, columns: Columns, problems: Problems) -> None:
        self._column, self._problems = columns.target, problems

    def is_missing(self, value: object) -> bool:
        return is_empty(value)

    def read(self, row: CheckedRow, table: Table) -> int:
        """Rows are not told apart: 0."""
        if answer_in(row.target) is not None:
            return 0
        what = f'"{self._column}" holds {type(row.target).__name__} instead of a text'
        self._problems.add_row(table.title, what, table.place(row.number), "An answer is a text: convert it.")
        return -1

    def digest(self, value: object) -> bytes:
        return blake2b(self.stored(value, None).encode(), digest_size=16).digest()

    def label_counts(self, splits: Sequence[str]) -> None:
        return None

    def stored(self, value: object, labels: LabelIndex | None) -> str:
        return json.dumps(answer_in(value), ensure_ascii=False)


class NothingReader:
    """Rows of which the inputs are all there is."""

    def is_missing(self, value: object) -> bool:
        return False

    def read(self, row: CheckedRow, table: Table) -> int:
        """Rows are not told apart: 0."""
        return 0

    def digest(self, value: object) -> bytes:
        return bytes(16)

    def label_counts(self, splits: Sequence[str]) -> None:
        return None

    def stored(self, value: object, labels: LabelIndex | None) -> Stored | None:
        return None


def answer_in(value: object) -> str | None:
    """A text, or what the last turn of a chat says; None for anything else.

    >>> answer_in("Paris"), answer_in([{"role": "user", "content": "?"}, {"role": "assistant", "content": "Paris"}])
    ('Paris', 'Paris')
    """
    if isinstance(value, str) and not value.lstrip().startswith('[{"'):
        return value
    chat = chat_in(value)
    return str(chat[-1]["content"]) if chat else value if isinstance(value, str) else None


def chat_in(value: object) -> list[dict[str, Any]] | None:
    """The messages of a chat, as a list or as a text that is JSON; None for anything else.

    >>> chat_in('[{"role": "user", "content": "Hi"}]')
    [{'role': 'user', 'content': 'Hi'}]
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return None
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        return None
    return [dict(each) for each in value] if all(isinstance(each, dict) for each in value) else None


def chat_fault(messages: object) -> str | None:
    """Why a value is no chat to learn from, in words that follow the column's name; None where it is one.

    A chat is a list of messages with a role and a content, users and the assistant in turn, a system message first if
    any, the assistant's last.

    >>> chat_fault([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}])
    >>> chat_fault([{"role": "user", "content": "Hi"}, {"role": "user", "content": "Hello?"}])
    'has two turns of the user in a row'
    """
    chat = chat_in(messages)
    if not chat:
        return "holds no list of messages"
    if any(not isinstance(message.get("role"), str) for message in chat):
        return "has a message without a role"
    if any(not isinstance(message.get("content"), str) for message in chat):
        return "has a message whose content is no text"
    roles = [message["role"] for message in chat]
    if "user" not in roles:
        other = [name for name in _OTHER_NAMES if name in roles]
        return "has no turn of the user" + (f" but roles named {' and '.join(other)}: rename them" if other else "")
    for first, second in pairwise(roles):
        if first == second and first in ("user", "assistant"):
            return f"has two turns of the {first} in a row"
    if roles[-1] != "assistant":
        return "does not end with a turn of the assistant, so there is nothing to learn"
    if not chat[-1]["content"].strip():
        return "ends with an empty answer"
    if any(turn["role"] == "assistant" and not turn["content"].strip() and not turn.get("tool_calls") for turn in chat):
        return "has an empty answer"
    return None
