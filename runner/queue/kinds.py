"""The kinds of job: how a job's arguments become a command line of ours. A new kind is one more line of the table."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from runner.errors import UserError
from store.jobs import TRIAL

MAX_ATTEMPTS = 3
"""How often a job is begun at most when its process dies."""


@dataclass(frozen=True)
class Wishes:
    """What any job can be given. None: what follows from the job itself."""

    priority: int = 0
    device: str | None = None
    attempts: int = MAX_ATTEMPTS
    name: str | None = None


class JobError(UserError):
    """The job cannot be carried out; its text says why."""


@dataclass(frozen=True)
class Kind:
    """`{name}` in a command line stands for the job's argument of that name (a list: for several words), `{recipe}` for
    the file of its recipe."""

    command: tuple[str, ...]
    """(): it is no command of its own, see `runner.sweep.leased`."""
    options: tuple[str, ...] = ()
    """Which `--name`s the job may set, in its argument `options`; those without a value by true."""
    again: tuple[str, ...] | None = None
    """The command line once the job's run is there; `{run}` is the run. None: the same as the first time."""


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "train": Kind(("train", "{recipe}"), again=("resume", "{run}")),
        "sweep": Kind(("sweep", "{recipe}"), ("trials", "seeds", "max-hours", "max-gpu-hours", "parallel", "retry")),
        TRIAL: Kind(()),
        "resume": Kind(("resume", "{run}")),
        "reproduce": Kind(("reproduce", "{run}")),
        "crossval": Kind(("crossval", "{recipe}", "{run}"), ("folds", "seed")),
        "triage": Kind(("triage", "{runs}", "--dataset={dataset}"), ("fresh", "no-canaries", "model", "seed")),
        "predict": Kind(
            ("predict", "{run}", "{file}"), ("out", "split", "text-column", "encoding", "batch-size", "checkpoint")
        ),
    }
)


def command_line(name: str, kind: Kind, arguments: Mapping[str, Any], *, is_again: bool = False) -> list[str]:
    """The words after `runner` that carry a job out. An argument that is None or missing leaves its word out.

    Raises JobError for an option that the kind does not take: a job may come from anybody's store.

    >>> command_line("predict", KINDS["predict"], {"run": "01AB", "file": "/data/new.csv", "options": {"out": "o.csv"}})
    ['predict', '01AB', '/data/new.csv', '--out=o.csv']
    >>> command_line("triage", KINDS["triage"], {"dataset": "tweets@2", "options": {"fresh": True}})
    ['triage', '--dataset=tweets@2', '--fresh']
    """
    options: Mapping[str, Any] = arguments.get("options") or {}
    if unknown := sorted(set(options) - set(kind.options)):
        allowed = ", ".join(kind.options) or "none"
        raise JobError(f"a {name} job takes no option {unknown[0]!r}; it takes: {allowed}.")
    words = kind.again if is_again and kind.again is not None else kind.command
    filled = [each for word in words for each in _fill(word, arguments)]
    given = [
        f"--{option}" if value is True else f"--{option}={value}"
        for option, value in options.items()
        if value is not None and value is not False
    ]
    return [*filled, *given]


def _fill(word: str, arguments: Mapping[str, Any]) -> list[str]:
    """A word of a command line, with the argument that it stands for; [] where the job has none."""
    before, brace, name = word.removesuffix("}").partition("{")
    if not brace:
        return [word]
    value = arguments.get(name)
    values = value if isinstance(value, list | tuple) else [value]
    return [f"{before}{each}" for each in values if each is not None]
