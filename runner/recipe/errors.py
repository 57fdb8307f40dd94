"""What is wrong with a recipe: every problem at once, each with its path, value and next step.

Needs no pydantic, so that the command line can catch a `RecipeError` without loading it.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass

from runner.errors import UserError

Keys = tuple[str | int, ...]
"""Where a value stands: table names, keys and list positions."""

_LONGEST_VALUE = 60
_WIDEST_COLUMN = 56


def dotted(keys: Keys) -> str:
    """The path as a person writes it after `--set`; segments that are no bare TOML keys are quoted.

    >>> dotted(("sweep", "space", "training.epochs", 0))
    'sweep.space."training.epochs"[0]'
    """
    text = ""
    for key in keys:
        if isinstance(key, int):
            text += f"[{key}]"
        else:
            bare = re.fullmatch(r"[A-Za-z0-9_-]+", key)
            text += ("." if text else "") + (key if bare else json.dumps(key, ensure_ascii=False))
    return text


def shown(value: object) -> str:
    """The value in one short line, as TOML would write it, more or less."""
    match value:
        case dict():
            inside = ", ".join(f"{dotted((str(key),))} = {shown(item)}" for key, item in value.items())
            text = f"{{ {inside} }}" if value else "{}"
        case list() | tuple():
            text = f"[{', '.join(shown(item) for item in value)}]"
        case str() | bool():
            text = json.dumps(value, ensure_ascii=False)
        case _:
            text = str(value)
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 1]}…"


@dataclass(frozen=True)
class Problem:
    """One thing to mend.

    `value` is what was given, None when nothing was; `message` says what is wrong and what is allowed;
    `hint` is the next step, or ""; `where` names the file or `--set` that wrote the value when it was not
    the recipe itself.
    """

    keys: Keys
    value: object
    message: str
    hint: str = ""
    where: str = ""

    @property
    def path(self) -> str:
        """The dotted path, `training.learning_rate`; "" for the file as a whole."""
        return dotted(self.keys)

    def as_dict(self) -> dict[str, str | None]:
        """Plain strings for `--json`."""
        value = None if self.value is None else shown(self.value)
        return {
            "path": self.path,
            "value": value,
            "message": self.message,
            "hint": self.hint,
            "where": self.where,
        }


class RecipeError(UserError):
    """A recipe that cannot be run; `str()` is a neat list of all its problems."""

    def __init__(self, source: str, problems: Iterable[Problem]) -> None:
        self.source = source
        self.problems = tuple(problems)
        super().__init__(source, self.problems)

    def __str__(self) -> str:
        count = len(self.problems)
        lines = [f"{self.source}: {count} problem{'' if count == 1 else 's'}"]
        lefts = [_left(problem) for problem in self.problems]
        width = max((len(left) for left in lefts if len(left) <= _WIDEST_COLUMN), default=0)
        for left, problem in zip(lefts, self.problems, strict=True):
            right = _right(problem)
            if not left:
                lines.append(f"  {right}")
            elif len(left) <= width:
                lines.append(f"  {left:<{width}}   {right}")
            else:
                lines += [f"  {left}", f"  {'':<{width}}   {right}"]
        return "\n".join(lines)


def _left(problem: Problem) -> str:
    if problem.value is None or not problem.keys:
        return problem.path
    return f"{problem.path} = {shown(problem.value)}"


def _right(problem: Problem) -> str:
    text = f"{problem.message}; {problem.hint}" if problem.hint else problem.message
    return f"{text} (from {problem.where})" if problem.where else text
