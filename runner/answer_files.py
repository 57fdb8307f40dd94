"""Files of answers: JSON lines, CSV, Parquet; and a dataset whose targets are answers.

A file is written beside its place and moved there whole.
"""

import csv
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np

from runner.answers import Answer, Answers
from runner.inputs import InputRow, Texts
from store import Dataset, NewRow, Run, Store, record_dataset
from store.ids import dataset_fingerprint, example_id


class AnswerWriter(Protocol):
    """Takes answers one after the other."""

    def write(self, row: InputRow, answer: Answer) -> None:
        """One row with its answer."""


class Writers:
    """Where answers go: a file, stdout, a dataset, or several of them."""

    def __init__(self, to: Sequence[AnswerWriter], dataset: "DatasetWriter | None") -> None:
        self._to, self._dataset = to, dataset

    def write(self, row: InputRow, answer: Answer) -> None:
        for writer in self._to:
            writer.write(row, answer)

    def record(self, store: Store, name: str, run: Run, step: int, of: str) -> Dataset:
        """The dataset version whose targets are the answers."""
        assert self._dataset is not None, "a folder was given"
        return self._dataset.record(store, name, run, step, of)


@contextmanager
def writers(out: Path | None, folder: Path | None, answers: Answers, texts: Texts, split: str) -> Iterator[Writers]:
    """To `out` (.jsonl, .csv or .parquet; the file is there when all is written), to a dataset by way of `folder`, or,
    where neither is wanted, JSON lines to stdout. `split`: of the dataset."""
    with ExitStack() as stack:
        to: list[AnswerWriter] = []
        if out is not None:
            to.append(stack.enter_context(_file_writer(out, answers, texts.is_labelled)))
        dataset = None
        if folder is not None:
            dataset = DatasetWriter(folder, answers, split)
            stack.callback(dataset.close)
            to.append(dataset)
        yield Writers(to or [JsonWriter(sys.stdout, answers, texts.is_labelled)], dataset)


@contextmanager
def _file_writer(out: Path, answers: Answers, is_labelled: bool) -> Iterator[AnswerWriter]:
    suffix = out.suffix.lower()
    with _in_place(out) as partial:
        if suffix == ".parquet":
            parquet = ParquetWriter(partial, answers, is_labelled)
            yield parquet
            parquet.close()
            return
        with partial.open("w", encoding="utf-8", newline="") as file:
            yield CsvWriter(file, answers, is_labelled) if suffix == ".csv" else JsonWriter(file, answers, is_labelled)
            file.flush()
            os.fsync(file.fileno())


@contextmanager
def _in_place(out: Path) -> Iterator[Path]:
    out = out.expanduser().absolute()
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    try:
        yield partial
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)


class JsonWriter:
    """One object a line: row, the inputs, given (stored splits), and the answer."""

    def __init__(self, file: IO[str], answers: Answers, is_labelled: bool) -> None:
        self._file, self._answers, self._is_labelled = file, answers, is_labelled

    def write(self, row: InputRow, answer: Answer) -> None:
        given = {"given": row.given} if self._is_labelled else {}
        inputs = row.inputs if row.inputs is not None else dict.fromkeys(self._answers.inputs)
        self._file.write(json.dumps({"row": row.number, **inputs, **given, **answer}, ensure_ascii=False) + "\n")


class CsvWriter:
    """Columns row, text, given (stored splits), and those of the answer."""

    def __init__(self, file: IO[str], answers: Answers, is_labelled: bool) -> None:
        self._csv, self._answers, self._is_labelled = csv.writer(file), answers, is_labelled
        self._csv.writerow(["row", "text", *(["given"] if is_labelled else []), *answers.columns])

    def write(self, row: InputRow, answer: Answer) -> None:
        given = [_plain(row.given)] if self._is_labelled else []
        self._csv.writerow([row.number, row.text, *given, *self._answers.cells(answer)])


class ParquetWriter:
    """The same columns, some thousand rows at a time."""

    _ROWS = 4096

    def __init__(self, path: Path, answers: Answers, is_labelled: bool) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._answers, self._is_labelled = answers, is_labelled
        numbers = {"row": pa.int64(), "rank": pa.int64()}
        numbers |= dict.fromkeys(("probability", "score", "logit"), pa.float64())
        names = ["row", "text", *(["given"] if is_labelled else []), *answers.columns]
        kinds = [pa.float64() if name.startswith(("p:", "p ")) else numbers.get(name, pa.string()) for name in names]
        self._schema = pa.schema(list(zip(names, kinds, strict=True)))
        self._file, self._rows = pq.ParquetWriter(path, self._schema), list[list[Any]]()

    def write(self, row: InputRow, answer: Answer) -> None:
        given = [None if row.given is None else str(_plain(row.given))] if self._is_labelled else []
        self._rows.append([row.number, row.text, *given, *self._answers.cells(answer)])
        if len(self._rows) >= self._ROWS:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        columns = list(zip(*self._rows, strict=True)) or [()] * len(self._schema)
        arrays = [pa.array(column, field.type) for column, field in zip(columns, self._schema, strict=True)]
        self._file.write_table(pa.table(arrays, schema=self._schema))
        self._rows = []

    def close(self) -> None:
        """Write what is left."""
        self._flush()
        self._file.close()


def _plain(given: Any) -> Any:
    """A given target as a cell: sets of labels as files have them, spans as JSON."""
    if isinstance(given, list):
        are_labels = all(isinstance(item, str) for item in given)
        return " | ".join(given) if are_labels else json.dumps(given, ensure_ascii=False)
    return given


class DatasetWriter:
    """Rows with their answers as targets, kept on disk until all are known; those without an answer are left out."""

    def __init__(self, folder: Path, answers: Answers, split: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / f"answers-{os.getpid()}.jsonl"
        self._file = self._path.open("w", encoding="utf-8", errors="surrogatepass")
        self._answers, self._split = answers, split
        self._ids, self._targets = bytearray(), list[int | float | str]()

    def write(self, row: InputRow, answer: Answer) -> None:
        if row.inputs is None:
            return
        target = self._answers.target(answer)
        self._ids += example_id(row.inputs)
        self._targets.append(target)
        kept = {name: answer[name] for name in ("probability",) if name in answer}
        self._file.write(json.dumps([row.text, row.inputs, target, kept | {"row": row.number}]) + "\n")

    def record(self, store: Store, name: str, run: Run, step: int, of: str) -> Dataset:
        """The new version, or the one that is there already."""
        self._file.close()
        ids = np.frombuffer(bytes(self._ids), dtype=np.uint8).reshape(-1, 16)
        fingerprint = dataset_fingerprint(self._answers.label_names, {self._split: (ids, self._targets)})
        source = {"kind": "predictions", "task": run.task, "run": run.id, "step": step, "of": of}
        return record_dataset(
            store, name, self._rows(), label_names=self._answers.label_names, source=source, fingerprint=fingerprint
        )

    def _rows(self) -> Iterator[NewRow]:
        with self._path.open(encoding="utf-8", errors="surrogatepass") as file:
            for line in file:
                text, inputs, target, metadata = json.loads(line)
                yield NewRow(self._split, text, target, metadata, None if tuple(inputs) == ("text",) else inputs)

    def close(self) -> None:
        """Remove what was kept."""
        self._file.close()
        self._path.unlink(missing_ok=True)
