"""Reading CSV, TSV and JSONL row by row, saying which line is broken and how."""

import csv
import json
import re
from collections.abc import Iterator, Sequence
from operator import itemgetter
from pathlib import Path

from runner.data.problems import SHOWN, Problems, listed
from runner.data.tables import Row

MAX_FIELD_CHARACTERS = 2**26  # a quote that is never closed would otherwise read the whole file into one field

_ESCAPED = re.compile("[\udc80-\udcff]")  # how "surrogateescape" hands over a byte that is not in the encoding
_BYTE_ORDER_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


def csv_header(path: Path, title: str, encoding: str, delimiter: str, problems: Problems) -> tuple[str, ...] | None:
    """The first record of the file; None (and a problem) when there is none that can be read."""
    undecodable = Problems()  # reading the rows says it again, if it comes to that
    with decoded_lines(path, title, encoding, undecodable) as lines:
        try:
            header = next(filter(None, csv.reader(lines, delimiter=delimiter, strict=True)), None)
        except csv.Error as error:
            problems.add(f"{title}, line 1: the header cannot be read ({error}). {_QUOTING}")
            return None
    if header is None:
        for message in undecodable.messages() or (f"{title} has no rows: it holds nothing but blank lines.",):
            problems.add(message)
    return None if header is None else tuple(header)


def read_csv(
    path: Path, title: str, encoding: str, delimiter: str, wanted: Sequence[str], problems: Problems
) -> Iterator[Row]:
    """The records below the header; broken ones become problems and are left out. Blank lines are skipped."""
    csv.field_size_limit(max(csv.field_size_limit(), MAX_FIELD_CHARACTERS))
    with decoded_lines(path, title, encoding, problems) as lines:
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        header = next(filter(None, reader))
        places = [header.index(column) for column in wanted]
        pick = itemgetter(*places) if len(places) > 1 else lambda record: tuple(record[place] for place in places)
        while True:
            first_line = reader.line_num + 1
            try:
                record = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                _report_broken(title, first_line, reader.line_num, str(error), problems)
                continue
            if len(record) == len(header):
                yield first_line, pick(record)
            elif record:
                problems.add_row(
                    title,
                    f"the number of fields is not the header's {len(header)}",
                    f"line {first_line} ({len(record)} field{'s' if len(record) != 1 else ''})",
                    f'Put a text that contains {_DELIMITERS[delimiter]} or a line break between double quotes (").',
                )


_DELIMITERS = {",": "a comma", "\t": "a tab"}
_QUOTING = 'A quote (") inside a quoted text must be doubled ("").'


def _report_broken(title: str, first_line: int, last_line: int, error: str, problems: Problems) -> None:
    place = f"line {first_line}" + (f" (read up to line {last_line})" if last_line > first_line else "")
    if "unexpected end of data" in error:
        what = 'a quote (") is opened and never closed'
    elif "field larger than" in error:
        what = f"a field of more than {MAX_FIELD_CHARACTERS:,} characters; a quote is probably never closed"
    else:
        what = f"the quoting is broken ({error})"
    problems.add_row(title, what, place, _QUOTING)


def jsonl_columns(path: Path, title: str, encoding: str, problems: Problems) -> tuple[str, ...] | None:
    """The keys of the first object; None when no line is one (reading then says what is wrong)."""
    with decoded_lines(path, title, encoding, Problems()) as lines:
        if first := next(json_objects(lines, title, Problems()), None):
            return tuple(first[1])
    before = len(problems)
    for _ in read_jsonl(path, title, encoding, (), problems):
        pass
    if len(problems) == before:
        problems.add(f"{title} has no rows: it holds no JSON object.")
    return None


def read_jsonl(path: Path, title: str, encoding: str, wanted: Sequence[str], problems: Problems) -> Iterator[Row]:
    """One JSON object a line; a key that a line lacks reads as None. Blank lines are skipped."""
    with decoded_lines(path, title, encoding, problems) as lines:
        for number, value in json_objects(lines, title, problems):
            yield number, tuple(value.get(column) for column in wanted)


def json_objects(lines: Iterator[str], title: str, problems: Problems) -> Iterator[tuple[int, dict[str, object]]]:
    for number, line in enumerate(lines, start=1):
        if not (line := line.strip()):
            continue
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            problems.add_row(
                title,
                "not valid JSON",
                f"line {number} ({error.msg} at character {error.colno})",
                "A .jsonl file has one complete JSON object on each line.",
            )
            continue
        except RecursionError:
            problems.add_row(title, "JSON nested too deeply", f"line {number}")
            continue
        except ValueError:  # the one other that there is: Python reads no integer of more digits than a limit
            problems.add_row(
                title, "a number of thousands of digits", f"line {number}", "Shorten it, or put it in double quotes."
            )
            continue
        if isinstance(value, dict):
            yield number, value
        else:
            kind = {list: "a list", str: "a text", type(None): "null", bool: "true or false"}.get(
                type(value), "a number"
            )
            problems.add_row(
                title,
                "not a JSON object",
                f"line {number} ({kind})",
                'Write one object such as {"text": "…", "label": "…"} on each line.',
            )


class decoded_lines:  # noqa: N801 - used like a function: `with decoded_lines(...) as lines`
    """The decoded lines of a file, ends kept; bytes outside the encoding and NUL characters become problems."""

    def __init__(self, path: Path, title: str, encoding: str, problems: Problems) -> None:
        self._title, self._encoding, self._problems = title, encoding, problems
        # "utf-8-sig" is utf-8 that also accepts the byte order mark which Excel writes.
        codec = "utf-8-sig" if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else encoding
        self._stream = open(  # noqa: SIM115 - closed by our own __exit__
            path, encoding=codec, errors="surrogateescape", newline=""
        )

    def __enter__(self) -> Iterator[str]:
        return self._decoded()

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def _decoded(self) -> Iterator[str]:
        undecodable = _Undecodable()
        number = 0
        try:
            for number, line in enumerate(self._stream, start=1):
                if not line.isascii():
                    if bad := _ESCAPED.search(line):
                        undecodable.add(number, line, bad.start(), self._encoding)
                        line = _ESCAPED.sub("\ufffd", line)
                    else:
                        undecodable.n_good += 1
                if "\0" in line:
                    self._problems.add_row(
                        self._title,
                        "a NUL character",
                        f"line {number}",
                        "Remove it; texts may not contain it.",
                    )
                    line = line.replace("\0", "")
                yield line
        except UnicodeError as error:  # codecs of more than one byte a character cannot step over a fault
            self._problems.add(
                f"{self._title}, after line {number}: not valid {self._encoding} ({error}). "
                "Set data.encoding to the file's encoding, or convert the file to UTF-8."
            )
        undecodable.report(self._title, self._encoding, self._problems)


class _Undecodable:
    """Lines with bytes that the encoding does not have, beside the count of those with proper non-ASCII text."""

    def __init__(self) -> None:
        self.places: list[str] = []
        self.n_bad = 0
        self.n_good = 0
        self.suggestion = "latin-1"

    def add(self, number: int, line: str, start: int, encoding: str) -> None:
        self.n_bad += 1
        byte = ord(line[start]) - 0xDC00
        if 0x80 <= byte < 0xA0:  # control characters in latin-1; quotes, dashes and the euro on Windows
            self.suggestion = "cp1252"
        if len(self.places) < SHOWN:
            column = len(line[:start].encode(encoding, "surrogateescape")) + 1
            self.places.append(f"line {number} (byte {column} is 0x{byte:02x})")

    def report(self, title: str, encoding: str, problems: Problems) -> None:
        if not self.n_bad:
            return
        lines = "line" if self.n_bad == 1 else "lines"
        fault = f"{title}: {self.n_bad:,} {lines} not valid {encoding}: {listed(self.places, self.n_bad)}."
        if self.n_good:
            problems.add(
                f"{fault} {self.n_good:,} other lines are valid {encoding} beyond ASCII, so the file mixes encodings: "
                "convert those lines to UTF-8; no single data.encoding reads it."
            )
        else:
            problems.add(f'{fault} Set data.encoding = "{self.suggestion}", or convert the file to UTF-8.')


def byte_order_problem(path: Path, title: str, encoding: str) -> str | None:
    """What to say when the file begins with the mark of another encoding than the declared one."""
    with open(path, "rb") as file:
        actual = _BYTE_ORDER_MARKS.get(file.read(2))
    if actual is None or encoding.lower().replace("_", "-").startswith(("utf-16", "utf-32", "utf16", "utf32")):
        return None
    return (
        f"{title} is not {encoding}: it begins with the mark of {actual}. "
        f'Set data.encoding = "{actual}", or convert the file.'
    )
