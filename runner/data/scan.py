"""The first reading of the data: check every row and keep a few bytes about it, never its text."""

import json
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, time
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from runner.data.answers import chat_fault, chat_in
from runner.data.cleaning import Cleaner
from runner.data.labels import LabelCounts
from runner.data.problems import Problems
from runner.data.tables import CheckedRow, Columns, Row, Table, readable_text
from runner.data.targets import TargetReader, is_empty
from runner.data.words import is_empty_list, words_in
from runner.recipe.shapes import NOUNS
from store.ids import example_id

Progress = Callable[[str, int], None]
"""Called with what is being done and the rows so far."""
PROGRESS_ROWS = 10_000


@dataclass(frozen=True)
class Scan:
    """What the first reading kept of `n` usable rows, in the order of the tables: 36 bytes a row, 16 more each with
    extras, digests of targets and groups."""

    ids: NDArray[np.uint8]
    """(n, 16): example ids."""
    keys: NDArray[np.int32]
    """(n,): strata, of a label its index in `labels.keys`; -1 where the value is no target (a problem says so)."""
    tables: NDArray[np.int32]
    """(n,): which table a row is from."""
    numbers: NDArray[np.int64]
    """(n,): line or row in its table, from 1."""
    extras: NDArray[np.uint8]
    """(n, 16): hashes of what is kept beside text and label; (n, 0) where nothing is."""
    digests: NDArray[np.uint8] | None
    """(n, 16): hashes of the targets; None where strata say them."""
    groups: NDArray[np.uint8] | None
    """(n, 16): hashes of what is equal for rows that stay together; None where each stands for itself."""
    labels: LabelCounts | None
    n_dropped: Mapping[str, int]
    """Table title → rows left out because they have no text or no label."""
    hidden: NDArray[np.bool_]
    """(n,): rows of tables that turned out to be of no use."""

    def without_table(self, index: int, split: str) -> "Scan":
        """The same scan, with the rows of the only table of `split` hidden and its labels not counted."""
        labels = self.labels
        if labels is not None:
            labels = labels._replace(counts={name: count for name, count in labels.counts.items() if name != split})
        return replace(self, labels=labels, hidden=self.hidden | (self.tables == index))


def checked_rows(
    table: Table,
    columns: Columns,
    reader: TargetReader,
    on_empty: str,
    problems: Problems,
    dropped: list[int],
    cleaner: Cleaner,
) -> Iterator[CheckedRow]:
    """The rows of a table that have inputs and a target, cleaned; others become problems, or numbers in `dropped`."""
    drop = on_empty == "drop"
    advice = 'Fill it in, remove the rows, or set data.on_empty = "drop".'
    names, places = tuple(columns.inputs), {column: place for place, column in enumerate(columns.wanted)}
    of_inputs, of_extra = [places[each] for each in columns.inputs.values()], [places[each] for each in columns.extra]
    together, field = columns.together, "data.split.group" if columns.group else "data.columns.query_id"
    grouping = next((name for name, column in columns.inputs.items() if column == together), None)
    for number, values in _readable_rows(table, columns, problems):
        inputs, extra = [values[place] for place in of_inputs], tuple(values[place] for place in of_extra)
        target = values[places[columns.target]] if columns.target else None
        given = {
            name: value for name, value in zip(names, inputs, strict=True) if not _is_left_out(name, value, columns)
        }
        empty = [name for name, value in given.items() if is_nothing(value)]
        if reader.is_missing(target) and columns.target_field not in empty:
            empty.append(columns.target_field)
        is_alone = together is not None and grouping is None and is_empty(values[places[together]])
        if (empty or is_alone) and drop:
            dropped.append(number)
            continue
        place = table.place(number)
        for name in empty:
            column = columns.fields[f"data.columns.{name}"]
            problems.add_row(table.title, f'no {NOUNS[name]} in "{column}"', place, advice)
        if is_alone:
            problems.add_row(table.title, f'no value in "{together}" ({field})', place, advice)
        if empty or is_alone:
            continue
        read = {name: read_input(name, value) for name, value in given.items()}
        faults = [(name, fault) for name, (_, fault) in read.items() if fault]
        for name, fault in faults:
            problems.add_row(table.title, f'"{columns.inputs[name]}" {fault}', place, input_advice(name))
        if faults:
            continue
        cleaned = cleaner.inputs({name: value for name, (value, _) in read.items()})
        cleaned = {name: value for name, value in cleaned.items() if not _is_left_out(name, value, columns)}
        bare = [name for name, value in cleaned.items() if isinstance(value, str) and is_empty(value)]
        if bare and drop:
            dropped.append(number)
            continue
        for name in bare:
            what = f'no {NOUNS[name]} is left in "{columns.inputs[name]}" by data.clean'
            problems.add_row(table.title, what, place, advice)
        if bare:
            continue
        group = None
        if together is not None:  # by the text as it is stored, where it is an input
            own = {together: cleaned[grouping]} if grouping in cleaned else cleaned
            group = readable_text(own) if grouping else str(values[places[together]])
        yield CheckedRow(number, cleaned, target, extra, group)


def _is_left_out(name: str, value: object, columns: Columns) -> bool:
    """Whether a row does without that input."""
    return name in columns.shape.may_be_empty and is_nothing(value)


def what_rows_have(columns: Columns) -> str:
    """What every row needs, in words.

    >>> from runner.recipe.shapes import SHAPES
    >>> what_rows_have(Columns({"text": "tweet"}, "mood", SHAPES["text-classification"]))
    'a text or a label'
    """
    named = dict.fromkeys((*columns.inputs, columns.target_field))
    nouns = [NOUNS[name] for name in named if name and name not in ("labels", *columns.shape.may_be_empty)]
    return " or ".join(f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}" for noun in nouns)


def _readable_rows(table: Table, columns: Columns, problems: Problems) -> Iterator[Row]:
    try:
        yield from table.rows(columns.wanted, problems)
    except OSError as error:
        problems.add(f"{table.title} cannot be read: {error.strerror or error}.")


def scan_tables(
    tables: Sequence[Table],
    columns: Columns,
    reader: TargetReader,
    on_empty: str,
    problems: Problems,
    cleaner: Cleaner,
    progress: Progress | None = None,
) -> Scan:
    """Read all tables once. Faults of rows become problems; the arrays hold the rows without."""
    ids, keys, origins, numbers, extras = bytearray(), array("i"), array("i"), array("q"), bytearray()
    digests, groups = bytearray(), bytearray()
    own_ids = _OwnIds() if columns.id else None
    n_dropped: dict[str, int] = {}
    for index, table in enumerate(tables):
        dropped: list[int] = []
        n_before, n_problems = len(numbers), len(problems)
        for row in checked_rows(table, columns, reader, on_empty, problems, dropped, cleaner):
            ids += example_id(row.inputs)
            stratum = reader.read(row, table)
            keys.append(stratum)
            if stratum >= 0:
                digests += reader.digest(row.target)
            origins.append(index)
            numbers.append(row.number)
            if row.extra:
                extras += blake2b(json.dumps([plain(value) for value in row.extra]).encode(), digest_size=16).digest()
            if row.group is not None:
                groups += blake2b(row.group.encode("utf-8", "surrogatepass"), digest_size=16).digest()
            if own_ids is not None:
                own_ids.add(row.extra[0], table, row.number, problems)
            if progress and len(numbers) % PROGRESS_ROWS == 0:
                progress(f"reading {table.title}", len(numbers))
        if len(numbers) == n_before and len(problems) == n_problems:
            nothing = "it has a header but no rows below it" if table.unit == "line" else "it has no rows"
            why = f"every row lacks {what_rows_have(columns)}" if dropped else nothing
            problems.add(f"{table.title} has no rows to use: {why}.")
        if dropped:
            n_dropped[table.title] = len(dropped)
        if progress:
            progress(f"reading {table.title}", len(numbers))
    key_array, table_array = np.frombuffer(keys, dtype=np.int32), np.frombuffer(origins, dtype=np.int32)
    number_array = np.frombuffer(numbers, dtype=np.int64)
    if own_ids is not None:
        own_ids.report_duplicates(columns.id or "", tables, table_array, number_array, problems)
    return Scan(
        ids=np.frombuffer(ids, dtype=np.uint8).reshape(-1, 16),
        keys=key_array,
        tables=table_array,
        numbers=number_array,
        extras=np.frombuffer(extras, dtype=np.uint8).reshape(len(numbers), 16 if columns.extra else 0),
        digests=np.frombuffer(digests, dtype=np.uint8).reshape(-1, 16) if digests else None,
        groups=np.frombuffer(groups, dtype=np.uint8).reshape(-1, 16) if columns.together else None,
        labels=reader.label_counts(list(dict.fromkeys(table.split for table in tables))),
        n_dropped=n_dropped,
        hidden=np.zeros(len(numbers), dtype=np.bool_),
    )


def plain(value: object) -> object:
    """A value of a metadata column as JSON has it: nan and infinities become None, dates ISO text, half characters ?.

    >>> plain({"seen": [date(2024, 2, 29), float("nan")]})
    {'seen': ['2024-02-29', None]}
    >>> plain("half \\ud800")
    'half ?'
    """
    if isinstance(value, str):
        return value if value.isascii() else value.encode(errors="replace").decode()
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(plain(key)): plain(item) for key, item in value.items()}
    return value.isoformat() if isinstance(value, date | time) else str(value)


def text_fault(text: object) -> str | None:
    """Why a value is no text that can be used, in words that follow the column's name; None when it is one."""
    if not isinstance(text, str):
        kinds = {
            bool: "true or false",
            int: "a number",
            float: "a number",
            bytes: "bytes",
            list: "a list",
            dict: "an object",
        }
        return f"holds {kinds.get(type(text), type(text).__name__)} instead of a text"
    if "\0" in text:
        return "holds a NUL character"
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return "holds half a character (a lone surrogate)"
    return None


def is_nothing(value: object) -> bool:
    """Whether a row has no input there: no value, blanks, or no words."""
    return is_empty(value) or is_empty_list(value)


def read_input(name: str, value: object) -> tuple[Any, str | None]:
    """The value of a field of `data.columns` as a model gets it, and why it is none that can be used."""
    return _READERS[name](value) if name in _READERS else (str(value), text_fault(value))


def input_advice(name: str) -> str:
    """What to do about a value that is none."""
    return _ADVICE.get(name, "Convert it to Unicode text.")


def _read_words(value: object) -> tuple[Any, str | None]:
    words = words_in(value)
    if words is None:
        return None, "holds no list of words"
    return words, next(filter(None, map(_word_fault, words)), None)


def _word_fault(word: object) -> str | None:
    if not isinstance(word, str):
        return "has a word that is no text"
    return text_fault(word) if word.strip() else "has an empty word"


def _read_chat(value: object) -> tuple[Any, str | None]:
    """What was said before the last turn, which is the answer."""
    if fault := chat_fault(value):
        return None, fault
    chat = chat_in(value) or []
    faults = (text_fault(text) for message in chat for text in message.values() if isinstance(text, str))
    return [plain(message) for message in chat[:-1]], next(filter(None, faults), None)


_READERS: Mapping[str, Callable[[object], tuple[Any, str | None]]] = {"tokens": _read_words, "messages": _read_chat}
_ADVICE = {
    "tokens": "A sentence is a list of words, or a text with blanks between them.",
    "messages": 'A chat is a list of {"role": …, "content": …}: users and the assistant in turn, the assistant last.',
}


class _OwnIds:
    """The user's own ids, hashed: two rows with one id would make it useless for finding a row again."""

    def __init__(self) -> None:
        self._hashes = bytearray()

    def add(self, value: object, table: Table, number: int, problems: Problems) -> None:
        if is_empty(value):
            problems.add_row(
                table.title, "no id", f"{table.unit} {number}", "Fill it in, or leave out data.columns.id."
            )
            value = f"\0{table.title}\0{number}"
        self._hashes += blake2b(str(value).encode("utf-8", "surrogatepass"), digest_size=16).digest()

    def report_duplicates(
        self,
        column: str,
        tables: Sequence[Table],
        origins: NDArray[np.int32],
        numbers: NDArray[np.int64],
        problems: Problems,
    ) -> None:
        group, first = same_hashes(np.frombuffer(self._hashes, dtype=np.uint8).reshape(-1, 16))
        for row in np.flatnonzero(first[group] != np.arange(len(group))).tolist():
            original = int(first[group[row]])
            table, other = tables[origins[row]], tables[origins[original]]
            also = (
                f"{other.title} {other.unit} {numbers[original]}"
                if other is not table
                else f"{other.unit} {numbers[original]}"
            )
            problems.add_row(
                table.title,
                f'an id in "{column}" that an earlier row has already',
                f"{table.unit} {numbers[row]} (as {also})",
                "Ids must be unique; correct them, or leave out data.columns.id.",
            )


class HashGroups(NamedTuple):
    """Which rows have the same hash."""

    group: NDArray[np.int64]
    """(n,): the group of each row, 0 to n_groups - 1."""
    first: NDArray[np.int64]
    """(n_groups,): the first row of each group."""


def same_hashes(hashes: NDArray[np.uint8]) -> HashGroups:
    """Group the rows of `hashes` (n, 16) by value."""
    words = np.ascontiguousarray(hashes).view("<u8").reshape(-1, 2)
    order = np.lexsort((words[:, 1], words[:, 0]))  # stable: rows of a group stay in order
    is_new = np.zeros(len(words), dtype=np.bool_)
    is_new[:1] = True
    for half in (0, 1):  # one after the other: a million rows are not held twice here either
        ordered = words[order, half]
        is_new[1:] |= ordered[1:] != ordered[:-1]
    group = np.empty(len(words), dtype=np.int64)
    group[order] = np.cumsum(is_new) - 1
    return HashGroups(group, order[is_new])
