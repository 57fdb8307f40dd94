"""Where trials are carried out: "run this trial there, stream its records back". The one interface of sweep and place.

Messages are frozen records of plain values, and travel as JSON. A driver gives an engine tasks, asks it for the next
event, and answers at rungs. Everything else a trial has to say is in the store: an engine that runs elsewhere brings
the records there before it hands out the event that speaks of them.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple, Protocol

Mode = Literal["train", "resume", "measure"]
End = Literal["finished", "pruned", "failed", "killed"]


@dataclass(frozen=True)
class Task:
    """A trial to carry out."""

    trial: int
    """Its key in the store: what events call it."""
    mode: Mode
    """train: a new run. resume: go on with `run_id`. measure: only measure the latency of that finished run."""
    recipe: Mapping[str, Any]
    """Resolved, complete in itself."""
    text: str
    """The same as TOML, to be kept with the run."""
    run_id: str | None = None
    dataset_key: int | None = None
    """The stored version to train on; None: read the recipe's own source."""
    rungs: tuple[float, ...] = ()
    """Where to ask, as fractions of the trial's own optimizer steps."""
    measures_latency: bool = False
    command: tuple[str, ...] = ()
    """What the user typed, for the run's provenance."""


class Latency(NamedTuple):
    """Milliseconds for one text: the median, and the interval that it is known to lie in."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Asked:
    """A trial is at a rung and waits for the answer. Its evaluation and checkpoint are in the store."""

    trial: int
    rung: int
    step: int
    epoch: float
    values: Mapping[str, float | None]


@dataclass(frozen=True)
class Ended:
    """A trial has come to an end, for now."""

    trial: int
    status: End
    cause: str | None
    run_id: str | None
    """None where there is no run: bad input is found before there is one."""
    latency: Latency | None = None
    can_retry: bool = True
    """False where another attempt would end in the same way, as with bad input."""
    was_alone: bool = False
    """Whether it had all the memory that its place has: a process that had carried out nothing before, and no other
    trial's process beside it."""


@dataclass(frozen=True)
class Lost:
    """What carried out the trial is gone (killed, crashed); a run of it may be left in the store."""

    trial: int
    cause: str
    was_alone: bool = False
    """As in Ended."""


@dataclass(frozen=True)
class Placed:
    """Where a trial is from now on, in an engine that has to find a place for it first."""

    trial: int
    device: str | None
    """The name of the device that it holds, as `Engine.start` returns it; None: it waits for one."""
    cause: str | None = None
    """Why it waits again, as a trial's cause says it."""


Event = Placed | Asked | Ended | Lost


@dataclass(frozen=True)
class Answer:
    """Whether a trial that asked stops at this rung."""

    trial: int
    stops: bool


@dataclass(frozen=True)
class Stop:
    """Every trial is to end now, in a way that it can be taken up again."""

    reason: str
    """Why, as a trial's cause says it."""


class Answering(Protocol):
    """Who answers a trial at its rungs, as whoever carries it out sees it."""

    def ask(self, asked: Asked) -> bool:
        """Wait for the answer: whether the trial stops here. Where nobody can answer any more, it is interrupted."""
        ...


class Engine(Protocol):
    """A place with slots, each for one trial at a time."""

    @property
    def n_slots(self) -> int:
        """How many trials it carries out at once, as things are now."""
        ...

    def start(self, task: Task) -> str | None:
        """Begin a trial in a free slot. Returns the name of the device that it holds from now on: trials that hold one
        of the same name at once share it. None: it waits for a device, and Placed will say which it has. Raises
        RuntimeError where all slots are taken."""
        ...

    def next_event(self, timeout_seconds: float) -> Event | None:
        """What happened next; None where nothing did in that time. An Ended or Lost frees the trial's slot."""
        ...

    def answer(self, answer: Answer) -> None:
        """Tell a trial that asked. One that is gone is not told."""
        ...

    def stop(self, reason: str) -> None:
        """End all trials cleanly; each says Ended (killed) with that reason, or whatever it came to before."""
        ...

    def close(self, *, at_once: bool = False) -> None:
        """Give everything back: what still runs is ended cleanly, or at once. Safe to call twice."""
        ...


_MESSAGES: Mapping[str, type[Any]] = {kind.__name__: kind for kind in (Task, Placed, Asked, Ended, Lost, Answer, Stop)}


def pack(message: Task | Event | Answer | Stop) -> bytes:
    """A message as JSON."""
    return json.dumps({"kind": type(message).__name__, **asdict(message)}, ensure_ascii=False).encode()


def unpack(data: bytes) -> Any:
    """The message of `pack`. Raises ValueError for what is none.

    >>> unpack(pack(Answer(3, stops=True)))
    Answer(trial=3, stops=True)
    """
    values = json.loads(data)
    kind = _MESSAGES.get(values.pop("kind", ""))
    if kind is None:
        raise ValueError(f"no message: {data[:80]!r}")
    if values.get("latency") is not None:
        values["latency"] = Latency(*values["latency"])
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})
