"""A data set as files to take away: CSV, JSONL, Parquet, or a folder that `datasets` loads. Frames in, bytes out.

rows: columns id (of the example), split, what a model gets and what it is to say (names and texts, or any JSON value;
None = none) under any names, and metadata (a mapping).
"""

import io
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dashboard.charts.palette import require


def to_csv(rows: pd.DataFrame) -> bytes:
    """One line a row, metadata as columns; UTF-8 with a mark that spreadsheets look for.

    >>> to_csv(_EXAMPLE).decode("utf-8-sig").splitlines()
    ['id,split,text,label,source', 'a1,train,"hello, you",yes,web']
    """
    buffer = io.BytesIO()
    flat(rows).to_csv(buffer, index=False, encoding="utf-8-sig", lineterminator="\n")
    return buffer.getvalue()


def to_jsonl(rows: pd.DataFrame) -> bytes:
    """One JSON object a line, metadata as fields of it.

    >>> to_jsonl(_EXAMPLE).decode()
    '{"id": "a1", "split": "train", "text": "hello, you", "label": "yes", "source": "web"}\\n'
    """
    own = _own(rows)
    lines = [json.dumps(_known(row, own), ensure_ascii=False, default=str) for row in _records(rows)]
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")


def to_parquet(rows: pd.DataFrame) -> bytes:
    """One table of all splits."""
    return _parquet(pa.Table.from_pylist(_uniform(_records(rows))))


def to_folder(
    rows: pd.DataFrame, label_names: Sequence[str] | None, *, title: str, label_column: str = "label"
) -> bytes:
    """A ZIP of a folder with a Parquet file a split, which `datasets.load_dataset(FOLDER)` reads, labels as classes."""
    buffer = io.BytesIO()
    splits = [str(split) for split in dict.fromkeys(rows["split"])]
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as folder:
        files = {split: f"data/{i:03d}.parquet" for i, split in enumerate(splits)}
        folder.writestr("README.md", _card(files, title))
        whole = pa.Table.from_pylist(_uniform(_records(rows)))  # at once: every split has the same columns and types
        for split, file in files.items():
            part = whole.filter(pc.equal(whole.column("split"), split)).drop_columns(["split"])
            folder.writestr(file, _parquet(_classes(part, label_names, label_column)))
    return buffer.getvalue()


Writer = Callable[[pd.DataFrame], bytes]
WRITERS: Mapping[str, tuple[Writer, str]] = MappingProxyType(
    {
        "csv": (to_csv, "text/csv"),
        "jsonl": (to_jsonl, "application/jsonl"),
        "parquet": (to_parquet, "application/vnd.apache.parquet"),
    }
)
"""Suffix → what writes it, and its media type."""


def flat(rows: pd.DataFrame) -> pd.DataFrame:
    """Metadata as columns of their own; a field that is called like another column gets `metadata_` before its name.

    Lists and mappings are JSON.
    """
    own = _own(rows)
    fields = dict.fromkeys(_field(name, own) for metadata in rows["metadata"] for name in metadata)
    cells = [{name: _cell(value) for name, value in record.items()} for record in _records(rows)]
    return pd.DataFrame(cells, columns=[*own, *fields])


def _own(rows: pd.DataFrame) -> list[str]:
    require(rows, "an export", "id", "split", "metadata")
    return [str(name) for name in rows.columns if name != "metadata"]


def _field(name: str, own: Sequence[str]) -> str:
    return f"metadata_{name}" if name in own else name


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, list | tuple | dict) else value


def _records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    own = _own(rows)
    found = rows[own].astype(object).where(rows[own].notna(), None).to_dict("records")
    return [
        {**{str(k): v for k, v in row.items()}, **{_field(name, own): value for name, value in metadata.items()}}
        for row, metadata in zip(found, rows["metadata"], strict=True)
    ]


def _known(record: dict[str, Any], own: Sequence[str]) -> dict[str, Any]:
    """Without the fields of other rows."""
    return {name: value for name, value in record.items() if value is not None or name in own}


def _uniform(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Arrow needs one type a column: fields whose values are of several become text."""
    kinds: dict[str, set[type]] = {}
    for record in records:
        for name, value in record.items():
            if value is not None:
                kinds.setdefault(name, set()).add(type(value))
    mixed = {name for name, types in kinds.items() if len(types) > 1 or types & {dict, list}}
    names = list(dict.fromkeys(name for record in records for name in record))

    def one_type(name: str, found: Any) -> Any:
        if found is None or name not in mixed:
            return found
        return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False, default=str)

    return [{name: one_type(name, record.get(name)) for name in names} for record in records]


def _classes(table: pa.Table, label_names: Sequence[str] | None, column: str) -> pa.Table:
    """Labels as class numbers, -1 = none, with their names where `datasets` looks for them."""
    if label_names is None:
        return table
    number = {name: i for i, name in enumerate(label_names)}
    numbers = pa.array([number.get(name, -1) for name in table.column(column).to_pylist()], pa.int64())
    table = table.set_column(table.column_names.index(column), column, numbers)
    types = {"string": "string", "int64": "int64", "double": "float64", "bool": "bool", "null": "null"}
    features: dict[str, Any] = {
        field.name: {"dtype": types.get(str(field.type), "string"), "_type": "Value"} for field in table.schema
    }
    features[column] = {"names": list(label_names), "_type": "ClassLabel"}
    return table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def _card(files: Mapping[str, str], title: str) -> str:
    """The folder's README: which file is which split (JSON is YAML too)."""
    data_files = [{"split": split, "path": file} for split, file in files.items()]
    configs = json.dumps([{"config_name": "default", "data_files": data_files}], ensure_ascii=False)
    return f"---\nconfigs: {configs}\n---\n\n{title}\n"


def _parquet(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


_EXAMPLE = pd.DataFrame(
    {"id": ["a1"], "split": ["train"], "text": ["hello, you"], "label": ["yes"], "metadata": [{"source": "web"}]}
)
