"""The first rows of a data file, as text: enough to see what is in it, whatever its size."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

COLUMN_SUFFIXES = (".conll", ".bio", ".iob", ".iob2")
"""Files with a word and its tag on each line, a blank line between sentences."""
SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet", *COLUMN_SUFFIXES)
MOST_ROWS = 100_000
MOST_CHARACTERS = 50_000_000
_PART_ROWS = 5_000


@dataclass(frozen=True)
class Sample:
    """The first rows of a file; every value is text, "" where there is none.

    rows: a column a column of the file. is_whole: there are no others. problem: why nothing could be read, or None.
    """

    rows: pd.DataFrame
    is_whole: bool
    size_bytes: int
    problem: str | None = None


def read_sample(path: str) -> Sample:
    """At most `MOST_ROWS` rows and about `MOST_CHARACTERS` of a file, read once for each state that it is in."""
    file = Path(path)
    try:
        state = file.stat()
    except OSError as error:
        return _failed(f"{path}: {error.strerror or error}")
    if file.is_dir():
        return _failed(f"{path} is a folder: name a file in it ({', '.join(SUFFIXES)})")
    if file.suffix.lower() not in SUFFIXES:
        return _failed(f"{file.name} ends in {file.suffix or 'nothing'}; files end in {', '.join(SUFFIXES)}")
    if state.st_size == 0:
        return _failed(f"{file.name} is empty (0 bytes)")
    return _read(path, state.st_size, state.st_mtime_ns)


def _failed(problem: str) -> Sample:
    return Sample(pd.DataFrame(), True, 0, problem)


@st.cache_resource(show_spinner="Reading the first rows …", max_entries=4)  # shared, not copied: nobody changes it
def _read(path: str, size_bytes: int, changed_ns: int) -> Sample:
    parts, n_rows, n_characters = [], 0, 0
    is_whole = True
    try:
        for part in _parts(Path(path)):
            parts.append(part[: MOST_ROWS - n_rows])
            n_rows += len(part)
            n_characters += int(sum(part[column].str.len().sum() for column in part))
            if n_rows >= MOST_ROWS or n_characters >= MOST_CHARACTERS:
                is_whole = False
                break
    except (OSError, ValueError, KeyError, pd.errors.ParserError) as error:
        return _failed(f"{Path(path).name} cannot be read: {' '.join(str(error).split())[:300]}")
    rows = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()
    if rows.empty:
        return _failed(f"{Path(path).name} has no rows")
    return Sample(rows.fillna(""), is_whole, size_bytes)


def _parts(path: Path) -> Iterator[pd.DataFrame]:
    """The rows a few thousand at a time, all as text."""
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        yield from _parquet(path)
    elif suffix == ".jsonl":
        yield from _jsonl(path)
    elif suffix in COLUMN_SUFFIXES:
        yield from _sentences(path)
    else:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            reader = pd.read_csv(
                file, sep="\t" if suffix == ".tsv" else ",", dtype=str, keep_default_na=False, chunksize=_PART_ROWS
            )
            yield from reader


def _parquet(path: Path) -> Iterator[pd.DataFrame]:
    from pyarrow.parquet import ParquetFile

    with ParquetFile(path) as file:
        for batch in file.iter_batches(batch_size=_PART_ROWS):
            yield batch.to_pandas().map(_text)


def _jsonl(path: Path) -> Iterator[pd.DataFrame]:
    rows: list[dict[str, str]] = []
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            value = json.loads(line)
            if not isinstance(value, dict):
                raise ValueError(f"line {number} is no JSON object")
            rows.append({str(key): _text(item) for key, item in value.items()})
            if len(rows) == _PART_ROWS:
                yield pd.DataFrame(rows).fillna("")
                rows = []
    if rows:
        yield pd.DataFrame(rows).fillna("")


def _sentences(path: Path) -> Iterator[pd.DataFrame]:
    """Words in columns as the runner reads them: tokens are the first column and tags the last, lists of a sentence."""
    rows: list[dict[str, str]] = []
    words: list[list[str]] = []
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        for line in chain(file, [""]):
            columns = line.split("\t") if "\t" in line else line.split()
            is_comment = not words and line.startswith("#")
            if columns and line.strip() and not line.startswith("-DOCSTART-") and not is_comment:
                words.append([column.strip() for column in columns])
            elif words:
                rows.append({"tokens": _text([w[0] for w in words]), "tags": _text([w[-1] for w in words])})
                words = []
            if len(rows) == _PART_ROWS:
                yield pd.DataFrame(rows)
                rows = []
    if rows:
        yield pd.DataFrame(rows)


def _text(value: Any) -> str:
    if value is None or value != value:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
