"""Patches: decisions as lines that can be kept in a file, read, and done again on any dataset with the same examples.

A line names the example by the hash of its text, and labels by their names, so it means the same in every store.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from store.connection import Store
from store.decisions import Action, NewDecision, write_batch
from store.errors import DecisionRefused
from store.ids import example_id, new_run_id
from store.labelled import name_of
from store.records import Dataset
from store.standing import DECIDED, refresh_rows
from store.targets import Label, by_name, label_value

Places = dict[tuple[str, Label | None], list[int]]

_SHOWN = 20
_FIELDS: dict[str, tuple[type, ...]] = {
    "example_id": (str,), "split": (str,), "given": (str, int, float), "occurrence": (int,), "action": (str,),
    "label": (str, int, float), "text": (str,), "note": (str,), "author": (str,), "at": (int, float),
    "finding": (str,),
}  # fmt: skip
_REQUIRED = ("example_id", "split", "action", "author", "at")
_ACTIONS = (Action.RELABEL, Action.KEEP, Action.DROP, Action.EDIT)


@dataclass
class PatchReport:
    """What became of the lines of a patch."""

    n_lines: int = 0
    n_applied: int = 0
    n_already: int = 0
    """The author decided the same here already, or the example is here as the line wants it."""
    n_elsewhere: int = 0
    """Of the applied: the example is in another split here."""
    n_missing: int = 0
    """There is no such example."""
    n_other_label: int = 0
    """The example is here, with a label that is neither the one it had nor the one it was to get."""
    n_unknown_label: int = 0
    """This dataset has no label of that name."""
    n_newer: int = 0
    """The same author decided something else here since."""
    told: list[str] = field(default_factory=list)
    """The first lines that were not applied, each with the reason."""


def export_patch(store: Store, dataset: Dataset) -> Iterator[dict[str, Any]]:
    """One dict for each author's last word on each example of this version, in the order of split and position.

    Fields: example_id; split; given (label name); occurrence (0, or more where the split has the example with that
    label several times); action (relabel, keep, drop, edit); label (name of the new one, None: as it is); text (the new
    one, None: as it is); note; author; at (unix seconds); finding.
    """
    rows = store.db.execute(
        "WITH decided AS MATERIALIZED (SELECT DISTINCT e.example_key, e.split FROM standing_decisions s"
        "  CROSS JOIN decisions e ON e.key = s.decision_key AND e.dataset_key = s.dataset_key"
        f"  WHERE s.dataset_key = :dataset AND s.action IN ({DECIDED})),"
        " numbered AS MATERIALIZED (SELECT v.split, v.position,"
        "  row_number() OVER (PARTITION BY v.split, v.example_key, v.target ORDER BY v.position) AS nth"
        "  FROM decided y CROSS JOIN dataset_rows v ON v.example_key = y.example_key AND v.dataset_key = :dataset"
        "  AND v.split = y.split)"
        " SELECT lower(hex(x.id)), e.split,"
        f" {name_of('w.target')},"
        " o.nth - 1,"
        f" e.action, {name_of('w.target', 'e.label')}, e.text, e.note, e.author,"
        " e.at, e.finding"
        " FROM numbered o CROSS JOIN standing_decisions s ON s.dataset_key = :dataset AND s.split = o.split"
        f"  AND s.position = o.position AND s.action IN ({DECIDED})"
        " CROSS JOIN decisions e ON e.key = s.decision_key AND e.dataset_key = s.dataset_key"
        " CROSS JOIN datasets d ON d.key = e.dataset_key"
        " CROSS JOIN dataset_rows w ON w.dataset_key = e.dataset_key AND w.split = e.split AND w.position = e.position"
        " CROSS JOIN examples x ON x.key = w.example_key ORDER BY e.split, e.position, e.at, e.key",
        {"dataset": dataset.key},
    )
    names = (
        "example_id", "split", "given", "occurrence", "action", "label", "text", "note", "author", "at", "finding",
    )  # fmt: skip
    for row in rows:
        line = dict(zip(names, row, strict=True))
        yield line | {name: by_name(line[name], dataset.label_names) for name in ("given", "label")}


def apply_patch(store: Store, dataset: Dataset, lines: Iterable[Mapping[str, Any]]) -> PatchReport:
    """Decide again, on this dataset version, what the lines of a patch say. What does not fit is counted and told.

    A row fits where split, example and given label are the same; what is kept, relabelled or edited may be in another
    split here. Authors and times are those of the lines; one undo of an author takes back all that came with that
    author's lines. The same patch twice changes nothing the second time.

    Raises DecisionRefused, naming every line that is none, before anything is written.
    """
    lines = list(lines)
    problems = [f"line {number}: {text}" for number, line in enumerate(lines, 1) for text in _line_problems(line)]
    if problems:
        rest = len(problems) - _SHOWN
        raise DecisionRefused(" ".join(problems[:_SHOWN]) + (f" And {rest} more." if rest > 0 else ""))
    patch = _Patch(store, dataset)
    with store.write():
        for number, line in enumerate(lines, 1):
            patch.apply(number, line)
        patch.finish()
    return patch.report


class _Patch:
    """One patch that is being applied, within a transaction."""

    def __init__(self, store: Store, dataset: Dataset) -> None:
        self._db, self._dataset = store.db, dataset
        self._batches: dict[str, str] = {}
        self._known: dict[str, Places] = {}
        self._touched: set[tuple[str, int]] = set()
        self.report = PatchReport()

    def apply(self, number: int, line: Mapping[str, Any]) -> None:
        self.report.n_lines += 1
        dataset, action = self._dataset, Action(line["action"])
        try:
            given, label = label_value(dataset, line.get("given")), label_value(dataset, line.get("label"))
        except ValueError as error:
            return self._tell("n_unknown_label", number, str(error))
        places = self._places(line["example_id"])
        here, place = places.get((line["split"], given), []), line.get("occurrence") or 0
        elsewhere = next((split for split, target in places if target == given and split != line["split"]), None)
        if place < len(here):
            split, position = line["split"], here[place]
        elif not here and elsewhere is not None and action != Action.DROP:
            split, position = elsewhere, places[elsewhere, given][0]
        elif self._is_done(line, places, label):
            self.report.n_already += 1
            return None
        elif here or not places:
            return self._tell("n_missing", number, f"there is no example {line['example_id']} to {action.value} here.")
        else:
            return self._tell("n_other_label", number, f"example {line['example_id']} has another label here.")
        text, note, finding = (line.get(name) for name in ("text", "note", "finding"))
        return self._decide(number, line, NewDecision(split, position, action, label, text, note, finding))

    def finish(self) -> None:
        refresh_rows(self._db, self._dataset.key, self._touched)

    def _decide(self, number: int, line: Mapping[str, Any], new: NewDecision) -> None:
        author, at = line["author"].strip(), float(line["at"])
        before = self._db.execute(
            "SELECT e.action, e.label, e.text, e.at"
            " FROM standing_decisions s JOIN decisions e ON e.key = s.decision_key"
            f" WHERE s.dataset_key = ? AND s.split = ? AND s.position = ? AND s.author = ? AND s.action IN ({DECIDED})",
            (self._dataset.key, new.split, new.position, author),
        ).fetchone()
        if before is not None and before[:3] == (new.action, new.label, new.text):
            self.report.n_already += 1
            return
        if before is not None and before[3] > at:
            self._tell("n_newer", number, f"{author} decided otherwise about {new.split} {new.position} since.")
            return
        batch = self._batches.setdefault(author, new_run_id())
        write_batch(self._db, self._dataset, [new], batch=batch, author=author, at=at, identity=new_run_id())
        self._touched.add((new.split, new.position))
        self.report.n_applied += 1
        self.report.n_elsewhere += new.split != line["split"]

    def _places(self, identity: str) -> Places:
        """Where an example is in this version: (split, target) → positions, rising."""
        if identity not in self._known:
            rows = self._db.execute(
                "SELECT w.split, w.position, w.target FROM examples x"
                " CROSS JOIN dataset_rows w ON w.example_key = x.key AND w.dataset_key = ?"
                " WHERE x.id = ? ORDER BY w.split, w.position",
                (self._dataset.key, bytes.fromhex(identity)),
            )
            found: Places = {}
            for split, position, target in rows:
                found.setdefault((split, target), []).append(position)
            self._known[identity] = found
        return self._known[identity]

    def _is_done(self, line: Mapping[str, Any], places: Places, label: object) -> bool:
        """Whether the example is here as the line wants it, though it was not when the line was written."""
        wanted = label_value(self._dataset, line.get("given")) if label is None else label
        if line["action"] == Action.DROP:
            return not any(split == line["split"] for split, _ in places)
        if line.get("text"):
            places = self._places(example_id({"text": line["text"]}).hex())
        return any(target == wanted for _, target in places)

    def _tell(self, count: str, number: int, text: str) -> None:
        setattr(self.report, count, getattr(self.report, count) + 1)
        if len(self.report.told) < _SHOWN:
            self.report.told.append(f"line {number}: {text}")


def _line_problems(line: Mapping[str, Any]) -> Iterator[str]:
    for name in _REQUIRED:
        if line.get(name) in (None, ""):
            yield f"{name} is missing."
    for name, types in _FIELDS.items():
        value = line.get(name)
        if value is not None and (not isinstance(value, types) or isinstance(value, bool)):
            yield f"{name} is {value!r}; needed is {' or '.join(kind.__name__ for kind in types)}."
    identity, action = line.get("example_id"), line.get("action")
    if isinstance(identity, str) and identity and not (len(identity) == 32 and _is_hex(identity)):
        yield f"example_id is {identity!r}; needed are 32 hexadecimal digits."
    if isinstance(action, str) and action and action not in _ACTIONS:
        yield f"action is {action!r}; allowed are {', '.join(_ACTIONS)}."
    if action == Action.RELABEL and line.get("label") is None and line.get("text") is None:
        yield "label is missing, and relabel needs one."
    if action == Action.EDIT and not line.get("text") and line.get("label") is None:
        yield "text is missing, and edit needs one."


def _is_hex(text: str) -> bool:
    return not Counter(text.lower()).keys() - set("0123456789abcdef")
