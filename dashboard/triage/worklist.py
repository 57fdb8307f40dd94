"""The examples of a review, in the order in which they are looked at: kept in the session, texts fetched a page ahead.

Which examples it has is settled when it is made for a filter and a budget. What is decided does not leave it, so that
one can go back.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

PAGE = 40
AHEAD = 12
"""So few examples before the end of what was fetched the next page is fetched."""

Place = tuple[str, int]
"""Split and position."""


@dataclass
class Worklist:
    """`of`: what it is a list of; another filter makes another list. `rows`: as `store.list_queue` gives them, those
    that were fetched. `done`: what was decided here, in words."""

    of: Hashable
    places: list[Place]
    rows: dict[Place, Mapping[str, Any]] = field(default_factory=dict)
    at: int = 0
    done: dict[Place, str] = field(default_factory=dict)

    @property
    def n(self) -> int:
        """How many examples it has."""
        return len(self.places)

    @property
    def place(self) -> Place | None:
        """The example that is looked at; None at the end."""
        return self.places[self.at] if self.at < len(self.places) else None

    @property
    def row(self) -> Mapping[str, Any] | None:
        """What is known of it."""
        return None if self.place is None else self.rows.get(self.place)

    @property
    def to_go(self) -> list[Place]:
        """What was not decided here yet."""
        return [place for place in self.places if place not in self.done]

    def ahead(self, n: int) -> list[Place]:
        """The examples after it."""
        return self.places[self.at + 1 : self.at + 1 + n]

    def missing(self, *, ahead: int = AHEAD) -> list[Place]:
        """Places to fetch now: a page, where one of the next `ahead` has not been fetched; else nothing.

        >>> Worklist("a", [("train", i) for i in range(100)]).missing()[-1]
        ('train', 39)
        """
        soon = self.places[self.at : self.at + ahead + 1]
        if all(place in self.rows for place in soon):
            return []
        return [place for place in self.places[self.at : self.at + PAGE] if place not in self.rows]

    def keep(self, frame: pd.DataFrame) -> None:
        """Remember fetched rows."""
        for row in records(frame):
            self.rows[place_of(row)] = row

    def widen(self, places: Sequence[Place]) -> None:
        """A larger budget: more examples come after those that are there."""
        known = set(self.places)
        self.places += [place for place in places if place not in known]

    def decide(self, words: str) -> None:
        """The example that is looked at was decided: on to the next."""
        if self.place is not None:
            self.done[self.place] = words
            self.step()

    def step(self, by: int = 1) -> None:
        """To the next or the one before."""
        self.at = min(max(0, self.at + by), len(self.places))

    def forget(self, place: Place) -> None:
        """What is known of it is old: it is to be fetched again."""
        self.rows.pop(place, None)

    def take_back(self, places: Sequence[Place]) -> None:
        """These are undecided again; the first of them that is on the list is looked at.

        >>> work = Worklist("a", [("train", 4), ("train", 2)])
        >>> work.decide("kept")
        >>> work.take_back([("train", 4)])
        >>> work.at, work.done
        (0, {})
        """
        for place in places:
            self.done.pop(place, None)
        at = [i for i, place in enumerate(self.places) if place in set(places)]
        if at:
            self.at = at[0]


def by_split(places: Sequence[Place]) -> dict[str, list[int]]:
    """Places as positions of each split.

    >>> by_split([("train", 4), ("test", 0), ("train", 2)])
    {'train': [4, 2], 'test': [0]}
    """
    found: dict[str, list[int]] = {}
    for split, position in places:
        found.setdefault(split, []).append(position)
    return found


def places_of(frame: pd.DataFrame) -> list[Place]:
    """The places of a frame with columns split and position, in its order."""
    return list(zip(frame["split"].astype(str).tolist(), frame["position"].astype(int).tolist(), strict=True))


def place_of(row: Mapping[str, Any]) -> Place:
    """Split and position of a row."""
    return str(row["split"]), int(row["position"])


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as dicts, missing values as None."""
    return [
        {str(name): None if _is_missing(value) else value for name, value in row.items()}
        for row in frame.to_dict("records")
    ]


def _is_missing(value: Any) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and value != value)
