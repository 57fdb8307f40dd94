"""Opening what `data.source` names: files, folders, hub sets; nothing is read yet beyond headers.

A source becomes one `Table` for every split that it has. A table can be read as often as wanted.
"""

import hashlib
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from runner.data import column_files
from runner.data.problems import Problems, did_you_mean, listed, quoted
from runner.data.tables import SPLITS, Columns, Row, Split, Table
from runner.data.text_files import byte_order_problem, csv_header, jsonl_columns, read_csv, read_jsonl
from runner.recipe.shapes import SHAPES, Shape

if TYPE_CHECKING:
    from runner.recipe.data import Data

SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")

_PREFIXES = ("hub:", "dataset:", "builtin:")
_SPLIT_NAMES: Mapping[str, Split] = {
    "train": "train", "training": "train",
    "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip
_INSTEAD = {
    **dict.fromkeys(column_files.SUFFIXES, 'Words in columns are for task = "token-classification".'),
    ".json": "Write one JSON object per line and name it .jsonl.",
    ".ndjson": "Rename it to .jsonl.",
    ".txt": 'Name it .csv or .tsv if it has a header; words in columns are for task = "token-classification".',
    ".xlsx": "Save the sheet as CSV (UTF-8).",
    ".xls": "Save the sheet as CSV (UTF-8).",
    ".gz": "Unpack it first.",
    ".zip": "Unpack it first.",
    ".arrow": "Name the folder that datasets.save_to_disk wrote, not a file in it.",
}


@dataclass(frozen=True)
class Source:
    """Everything that `data.source` gave: the tables that could be opened, and facts about them."""

    name: str
    columns: Columns
    tables: tuple[Table, ...]
    warnings: tuple[str, ...] = ()
    label_names: tuple[str, ...] | None = None
    """Names in index order, where the source itself fixes them."""

    def record(self) -> list[dict[str, object]]:
        """What the store keeps about where the rows came from: title, split, and of files size and sha256."""
        return [_table_record(table) for table in self.tables]


def open_source(data: "Data", task: str, problems: Problems) -> Source:
    """Open every table that the recipe's `[data]` names. What cannot be opened becomes a problem."""
    columns = columns_of(data, SHAPES[task])
    try:
        io.TextIOWrapper(io.BytesIO(), encoding=data.encoding)
    except LookupError:
        problems.add(f'data.encoding = "{data.encoding}" is no text encoding. Use "utf-8", "cp1252", "latin-1", …')
        return Source("", columns, ())
    if data.name and not re.fullmatch(r"[A-Za-z0-9._-]{1,100}", data.name):
        problems.add(f'data.name = "{data.name}": use up to 100 letters, digits, ".", "_" and "-", and no others.')
    files = source_files(data)
    whole = files.get("")
    if whole == ("builtin:docstrings",):
        if task != "text-classification":
            problems.add(f'data.source = "builtin:docstrings" is for task = "text-classification", not "{task}".')
            return Source("", columns, ())
        return _open_docstrings(data, problems)
    form = FileForm(data.encoding, columns if columns.shape.kind == "spans" else None)
    opened = _open_files(files, form, problems) if whole is None else _open_whole(whole[0], form, problems)
    tables = tuple(table for table in opened.tables if _has_columns(table, columns, problems))
    return Source(dataset_name(data), columns, tables, opened.warnings)


def columns_of(data: "Data", shape: Shape) -> Columns:
    """Which columns the recipe names for what the task reads."""
    named = data.columns.model_dump()
    inputs = {name: named[name] for name in shape.inputs if named[name] is not None}
    target = named.get(shape.target, "")
    if "messages" in inputs:
        inputs, target = {"messages": inputs["messages"]}, inputs["messages"]
    query_id = named[shape.group] if shape.group else None
    return Columns(inputs, target, shape, data.columns.id, tuple(data.metadata), query_id, data.split.group)


class FileForm(NamedTuple):
    """How text files are to be read."""

    encoding: str
    tagged: Columns | None = None
    """Where sentences of words are wanted: their columns. Then files may have words in columns (`column_files`)."""
    needs_tags: bool = True


def open_file(text: str, form: FileForm, problems: Problems, where: str) -> Table | None:
    """One file, or folder of one split, whatever its columns; None (and a problem) when it cannot be opened."""
    opened = _open_path(text, form, problems, where, single=True)
    return opened.tables[0] if opened.tables else None


class _Opened(NamedTuple):
    tables: Sequence[Table] = ()
    warnings: tuple[str, ...] = ()


def _open_files(files: Mapping[Split | Literal[""], Sequence[str]], form: FileForm, problems: Problems) -> _Opened:
    """The files (or folders of one split) of each split, in their order."""
    tables: list[Table] = []
    for split in SPLITS:
        for text in files.get(split, ()):
            if text.startswith(_PREFIXES):
                problems.add(
                    f'data.source.{split} = "{text}": a table of sources takes files only. '
                    f'Write data.source = "{text}"; it brings its own splits.'
                )
                continue
            opened = _open_path(text, form, problems, f"data.source.{split}", single=True)
            tables += [replace(table, split=split) for table in opened.tables]
    return _Opened(tables)


def _open_whole(source: str, form: FileForm, problems: Problems) -> _Opened:
    """A source that may have several splits of its own."""
    if source.startswith("hub:"):
        return _open_hub(source, problems)
    if source.startswith("builtin:"):
        problems.add(f'data.source = "{source}" is not known. There is builtin:docstrings.')
        return _Opened()
    return _open_path(source, form, problems, "data.source", single=False)


def source_files(data: "Data") -> dict[Split | Literal[""], tuple[str, ...]]:
    """Split → sources, read one after the other; a source that is one string has the empty split name."""
    if isinstance(data.source, str):
        return {"": (data.source,)}
    given = {split: getattr(data.source, split) for split in SPLITS}
    return {split: (parts,) if isinstance(parts, str) else parts for split, parts in given.items() if parts}


def dataset_name(data: "Data") -> str:
    """`data.name`, or a name made from the source, of a-z, 0-9, ".", "_" and "-" only."""
    if data.name:
        return data.name
    files = source_files(data)
    source = (files.get("") or files["train"])[0]
    if source.startswith(("hub:", "builtin:")):
        stem = source.split(":", 1)[1].replace(":", "-").replace("/", "-")
    else:
        path = Path(source)
        stem = path.stem if path.suffix.lower() in (*SUFFIXES, *column_files.SUFFIXES) else path.name
        if stem.lower() in _SPLIT_NAMES:  # banking77/train.csv is banking77
            stem = path.resolve().parent.name or stem
    return re.sub(r"[^a-z0-9._]+", "-", stem.lower()).strip("-.") or "data"


def _has_columns(table: Table, columns: Columns, problems: Problems) -> bool:
    """Whether the wanted columns are there, once each."""
    before = len(problems)
    for name, column in [*columns.fields.items(), *(("data.metadata", column) for column in columns.metadata)]:
        n = table.columns.count(column)
        if n == 0:
            problems.add(
                f'{table.title} has no column "{column}" ({name}). It has: {quoted(table.columns)}.'
                f"{did_you_mean(column, table.columns)} Set {name} to one of them."
            )
        elif n > 1:
            problems.add(f'{table.title} has {n} columns named "{column}" ({name}). Rename all but one.')
    return len(problems) == before


def _open_path(text: str, form: FileForm, problems: Problems, where: str, *, single: bool) -> _Opened:
    path = Path(text).expanduser()
    if path.is_dir():
        return _open_folder(path, text, problems, where, single=single)
    if not path.exists():
        near = did_you_mean(path.name, [p.name for p in path.parent.iterdir()]) if path.parent.is_dir() else ""
        problems.add(
            f'{where} = "{text}": there is no such file or folder.{near} A source is a file '
            f"({', '.join(SUFFIXES)}), a folder written by datasets.save_to_disk, hub:NAME, dataset:NAME@VERSION "
            "or builtin:docstrings."
        )
        return _Opened()
    try:
        table = _open_file(path, text, form, problems, where)
    except OSError as error:
        problems.add(f'{where} = "{text}" cannot be read: {error.strerror or error}.')
        return _Opened()
    return _Opened([table] if table else [])


def _open_file(path: Path, title: str, form: FileForm, problems: Problems, where: str) -> Table | None:
    suffix, encoding = path.suffix.lower(), form.encoding
    known = SUFFIXES if form.tagged is None else (*SUFFIXES, *column_files.SUFFIXES)
    if suffix not in known:
        instead = _INSTEAD.get(suffix, "Convert it to one of these.")
        problems.add(f'{where} = "{title}": files may end in {", ".join(known)}. {instead}')
        return None
    if path.stat().st_size == 0:
        problems.add(f'{where} = "{title}" is empty (0 bytes).')
        return None
    if suffix == ".parquet":
        from runner.data.arrow_files import open_parquet

        return open_parquet(path, title, problems)
    if problem := byte_order_problem(path, title, encoding):
        problems.add(problem)
        return None
    if form.tagged is not None and (suffix in column_files.SUFFIXES or suffix == ".tsv"):
        header = csv_header(path, title, encoding, "\t", Problems()) or () if suffix == ".tsv" else ()
        if not {*form.tagged.inputs.values(), form.tagged.target} <= set(header):
            return _open_words(path, title, form, problems)
    if suffix == ".jsonl":
        columns = jsonl_columns(path, title, encoding, problems)
        read = partial(read_jsonl, path, title, encoding)
    else:
        delimiter = "\t" if suffix == ".tsv" else ","
        columns = csv_header(path, title, encoding, delimiter, problems)
        read = partial(read_csv, path, title, encoding, delimiter)
    return None if columns is None else Table("train", title, columns, read, "line", path)


def _open_words(path: Path, title: str, form: FileForm, problems: Problems) -> Table | None:
    columns = column_files.column_names(path, title, form.encoding, problems, least=2 if form.needs_tags else 1)
    if columns is None:
        return None
    read = partial(column_files.read_columns, path, title, form.encoding)
    return Table("train", title, columns, read, "line", path, is_by_word=True)


def _open_folder(path: Path, title: str, problems: Problems, where: str, *, single: bool) -> _Opened:
    if not ((path / "dataset_dict.json").is_file() or (path / "state.json").is_file()):
        files = sorted(p.name for p in path.iterdir() if p.suffix.lower() in SUFFIXES)
        instead = (
            f'It holds {listed(files)}: name the files, as in data.source = {{ train = "{path / files[0]}" }}.'
            if files
            else f"Name a file ({', '.join(SUFFIXES)}) or such a folder."
        )
        problems.add(f'{where} = "{title}" is a folder, but none that datasets.save_to_disk wrote. {instead}')
        return _Opened()
    from runner.data.arrow_files import load_folder, tables_of

    loaded = load_folder(path, title, problems)
    if loaded is None:
        return _Opened()
    if single and isinstance(loaded, dict):
        problems.add(
            f'{where} = "{title}" has several splits ({listed(list(loaded))}). '
            f'Write data.source = "{title}", or name the folder of one split.'
        )
        return _Opened()
    return _known_splits(tables_of(loaded, title), title, problems)


def _open_hub(text: str, problems: Problems) -> _Opened:
    name, _, config = text.removeprefix("hub:").partition(":")
    from runner.data.arrow_files import load_hub, tables_of

    loaded, warnings = load_hub(name, config or None, problems)
    if loaded is None:
        return _Opened((), warnings)
    opened = _known_splits(tables_of(loaded, text), text, problems)
    return _Opened(opened.tables, warnings + opened.warnings)


def _known_splits(found: Mapping[str, Table], title: str, problems: Problems) -> _Opened:
    """The tables under their proper split; splits of other names are left out with a warning."""
    tables: dict[Split, Table] = {}
    ignored: list[str] = []
    for name, table in found.items():
        split = _SPLIT_NAMES.get(name.lower())
        if split is None or split in tables:
            ignored.append(name)
        else:
            tables[split] = replace(table, split=split)
    if "train" in tables:
        warnings = (f"{title}: left out the splits {quoted(ignored)}.",) if ignored else ()
        return _Opened(list(tables.values()), warnings)
    if len(found) == 1:
        ((name, table),) = found.items()
        warning = f'{title} has only the split "{name}": it is used as train, and the other splits are cut from it.'
        return _Opened([replace(table, split="train")], (warning,) if name.lower() != "train" else ())
    problems.add(
        f'{title} has no split "train"; it has {quoted(found)}. Save it with one, or name the files one by one.'
    )
    return _Opened()


def _open_docstrings(data: "Data", problems: Problems) -> Source:
    from runner.docstrings import DocstringsMissing, docstring_dataset

    name, shape = dataset_name(data), SHAPES["text-classification"]
    try:
        drawn = docstring_dataset()
    except DocstringsMissing as error:
        problems.add(str(error))
        return Source(name, Columns({"text": "text"}, "label", shape), ())
    columns = Columns({"text": "text"}, "label", shape, None, ("true_label", "library"))

    def rows_of(split: str, wanted: Sequence[str], problems: Problems) -> Iterator[Row]:
        rows = (row for row in drawn.rows if row.split == split)
        for number, row in enumerate(rows, start=1):
            yield number, tuple(getattr(row, column) for column in wanted)

    present = {row.split for row in drawn.rows}
    tables = tuple(
        Table(split, f"builtin:docstrings [{split}]", columns.wanted, partial(rows_of, split))
        for split in SPLITS
        if split in present
    )
    return Source(name, columns, tables, label_names=tuple(drawn.label_names))


def _table_record(table: Table) -> dict[str, object]:
    record: dict[str, object] = {"split": table.split, "source": table.title}
    if table.path is not None:
        with open(table.path, "rb") as file:
            record["size_bytes"] = table.path.stat().st_size
            record["sha256"] = hashlib.file_digest(file, "sha256").hexdigest()
    return record
