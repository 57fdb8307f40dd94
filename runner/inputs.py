"""Texts to predict: from a file or from a split of a stored dataset, streamed; and where the answers may go.

Loads no torch, so that a job can be checked before it is queued.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from runner.data.problems import Problems, did_you_mean, quoted
from runner.data.scan import text_fault
from runner.data.sources import FileForm, open_file
from runner.data.tables import Table
from runner.data.targets import is_empty
from runner.errors import UserError
from store import Checkpoint, Dataset, Run, Store, get_dataset, iter_texts, list_checkpoints, read_targets

OUT_SUFFIXES = (".jsonl", ".csv")


class TextRow(NamedTuple):
    """One text."""

    number: int
    """Line of a text file or row of a Parquet file, from 1; position in a stored split, from 0."""
    text: str | None
    """None where there is none: then there is no answer either."""
    given: str | None
    """The label in the store; None where the text comes from a file."""


@dataclass(frozen=True)
class Texts:
    """Texts that were found but not read."""

    title: str
    rows: Callable[[Problems], Iterator[TextRow]]
    """Reads them from the start; broken rows become problems."""
    is_labelled: bool
    """Whether the rows have a given label."""


def open_texts(
    store: Store,
    run: Run,
    file: str | None,
    *,
    split: str | None = None,
    text_column: str | None = None,
    encoding: str | None = None,
) -> Texts:
    """The texts of a file, or of a split of `dataset:NAME@VERSION` (no file: of the run's own dataset).

    Column and encoding are those of the run's recipe where they are not given. Raises DataError, UserError,
    DatasetNotFound.
    """
    if file is not None and not file.startswith("dataset:"):
        if split is not None:
            raise UserError(f"--split {split} is of a stored dataset, and {file} is a file: name one of the two.")
        data = _data(run)
        columns: Any = data.get("columns") or {}
        return _of_file(file, text_column or columns.get("text") or "text", encoding or data.get("encoding") or "utf-8")
    if text_column is not None or encoding is not None:
        raise UserError("--text-column and --encoding are for a file; a stored dataset knows its texts.")
    if file is not None:
        dataset = get_dataset(store, file.removeprefix("dataset:"))
    elif run.dataset_key is not None:
        dataset = get_dataset(store, run.dataset_key)
    else:
        raise UserError(f"run {run.name} ({run.id}) has no dataset in the store: name a file.")
    return _of_split(store, dataset, split)


def check_out(out: Path) -> None:
    """Raise UserError where answers cannot be written to that file."""
    if out.suffix.lower() not in OUT_SUFFIXES:
        raise UserError(f"--out {out}: the answers are written as {' or '.join(OUT_SUFFIXES)}.")
    folder = out.expanduser().absolute().parent
    if not folder.is_dir():
        raise UserError(f"--out {out}: there is no folder {folder}.")
    if out.expanduser().is_dir():
        raise UserError(f"--out {out}: that is a folder.")


def choose_checkpoint(store: Store, run: Run, step: int | None = None) -> Checkpoint:
    """The best checkpoint of a run, or of one that has not come so far its newest; with `step`, that one.

    Raises UserError when it is not kept.
    """
    kept = list_checkpoints(store, run.key, existing=True)
    title = f"run {run.name} ({run.id})"
    if not kept:
        setting: Any = (run.recipe or {}).get("checkpoints") or {}
        why = ' (its recipe says checkpoints.keep = "none")' if setting.get("keep") == "none" else ""
        raise UserError(f"{title} keeps no checkpoint{why}; train it again with one to predict with it.")
    if step is None:
        best = [checkpoint for checkpoint in kept if checkpoint.is_best]
        return (best or kept)[-1]
    named = [checkpoint for checkpoint in kept if checkpoint.step == step]
    if not named:
        steps = ", ".join(f"{checkpoint.step:,}" for checkpoint in kept)
        raise UserError(f"--checkpoint {step}: {title} keeps none of that step; it keeps: {steps}.")
    return named[-1]


def _of_file(file: str, column: str, encoding: str) -> Texts:
    problems = Problems()
    table = open_file(file, FileForm(encoding), problems, "FILE")
    if table is not None and table.columns.count(column) != 1:
        n = table.columns.count(column)
        how_many = f"{n} columns named" if n else "no column"
        near = did_you_mean(column, table.columns)
        problems.add(
            f'{table.title} has {how_many} "{column}". It has: {quoted(table.columns)}.{near} '
            "Name the column of the texts with --text-column."
        )
    problems.raise_if_any()
    assert table is not None
    return Texts(table.title, partial(_file_rows, table, column), is_labelled=False)


def _file_rows(table: Table, column: str, problems: Problems) -> Iterator[TextRow]:
    n = 0
    for number, (text,) in table.rows((column,), problems):
        n += 1
        if is_empty(text):
            yield TextRow(number, None, None)
        elif fault := text_fault(text):
            problems.add_row(table.title, f'"{column}" {fault}', f"{table.unit} {number}", "Convert it to text.")
        else:
            yield TextRow(number, str(text), None)
    if n == 0 and not problems:
        problems.add(f"{table.title} has no rows.")


def _of_split(store: Store, dataset: Dataset, split: str | None) -> Texts:
    there = [name for name, n in dataset.n_rows.items() if n]
    if split not in there:
        said = (
            f"--split {split}: dataset {dataset} has no such split" if split else f"which split of dataset {dataset}?"
        )
        raise UserError(f"{said}; it has: {', '.join(there) or 'none'}. Name one with --split, or name a file.")
    return Texts(f"{dataset} [{split}]", partial(_split_rows, store, dataset, split), is_labelled=True)


def _split_rows(store: Store, dataset: Dataset, split: str, problems: Problems) -> Iterator[TextRow]:
    names, targets = dataset.label_names or (), read_targets(store, dataset, split)
    position = 0
    for texts in iter_texts(store, dataset, split):
        for text in texts:
            target = int(targets[position])
            yield TextRow(position, text, names[target] if 0 <= target < len(names) else None)
            position += 1


def _data(run: Run) -> Mapping[str, Any]:
    data: Any = (run.recipe or {}).get("data")
    return data or {}
