"""Collecting what is wrong with the data, so that a person hears all of it at once."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from runner.errors import UserError

SHOWN = 5  # examples named per problem; the rest are counted


class DataError(UserError):
    """The data cannot be used as the recipe says; `problems` has one statement for each thing to put right."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems: tuple[str, ...] = tuple(problems)
        super().__init__(*self.problems)

    def __str__(self) -> str:
        if len(self.problems) == 1:
            return self.problems[0]
        return "\n".join([f"{len(self.problems)} problems with the data:", *(f"  - {p}" for p in self.problems)])


class _RowFault:
    """One kind of fault in the rows of one file: the first places and how many there are in all."""

    def __init__(self, source: str, what: str, advice: str) -> None:
        self.source, self.what, self.advice = source, what, advice
        self.places: list[str] = []
        self.n = 0

    def __str__(self) -> str:
        if self.n == 1:
            return f"{self.source}, {self.places[0]}: {self.what}. {self.advice}".rstrip()
        places = listed(self.places, self.n)
        return f"{self.source}: {self.what}, in {self.n:,} rows: {places}. {self.advice}".rstrip()


class Problems:
    """Whole statements, and faults of rows grouped by what they are, in the order in which they were found."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], str | _RowFault] = {}

    def add(self, message: str) -> None:
        """Add a statement that stands for itself; the same statement twice counts once."""
        self._found[("", message)] = message

    def add_row(self, source: str, what: str, place: str, advice: str = "") -> None:
        """Add one more row of `source` (a file's name) that has the fault `what`; `place` is such as "line 7"."""
        self.add_rows(source, what, [place], 1, advice)

    def add_rows(self, source: str, what: str, places: Sequence[str], n: int, advice: str = "") -> None:
        """As `add_row`, of `n` rows at once; `places` are the first of them."""
        fault = self._found.setdefault((source, what), _RowFault(source, what, advice))
        assert isinstance(fault, _RowFault)
        fault.n += n
        fault.places += places[: SHOWN - len(fault.places)]

    def __bool__(self) -> bool:
        return bool(self._found)

    def __len__(self) -> int:
        return len(self._found)

    def messages(self) -> tuple[str, ...]:
        """One sentence or two for every problem."""
        return tuple(str(found) for found in self._found.values())

    def raise_if_any(self) -> None:
        """Raise a `DataError` that holds every problem, when there is one."""
        if self._found:
            raise DataError(self.messages())


def listed(items: Sequence[str], n: int | None = None) -> str:
    """The first few items as prose, and how many of the `n` (default: all of `items`) were left out.

    >>> listed(["a", "b"]), listed([str(i) for i in range(42)])
    ('a and b', '0, 1, 2, 3, 4 and 37 more')
    """
    n = len(items) if n is None else n
    shown = list(items[:SHOWN])
    if n > len(shown):
        return f"{', '.join(shown)} and {n - len(shown):,} more"
    return " and ".join(filter(None, [", ".join(shown[:-1]), *shown[-1:]]))


def quoted(names: Iterable[str]) -> str:
    """Names in quotes, commas between.

    >>> quoted(["a", "b"])
    '"a", "b"'
    """
    return ", ".join(f'"{name}"' for name in names)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A sentence (with a space before it) that names the nearest known name; empty when none is near.

    >>> did_you_mean("txt", ["text", "label"])
    ' Did you mean "text"?'
    """
    known = list(known)
    for candidate in known:  # a difference of case or of blanks only is the likeliest slip
        if candidate.strip().casefold() == name.strip().casefold():
            return f' Did you mean "{candidate}"?'
    near = get_close_matches(name, known, n=1, cutoff=0.75)
    return f' Did you mean "{near[0]}"?' if near else ""
