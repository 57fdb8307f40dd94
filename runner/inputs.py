"""Rows to predict: from a file, from stdin or from a split of a stored dataset, streamed; and where the answers may go.

Loads no torch, so that a job can be checked before it is queued.
"""

import io
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from runner.data.answers import chat_in
from runner.data.cleaning import Cleaner, cleaner_of
from runner.data.problems import Problems, did_you_mean, quoted
from runner.data.scan import input_advice, is_nothing, read_input
from runner.data.sources import FileForm, open_file
from runner.data.tables import Columns, Row, Table, readable_text
from runner.data.text_files import json_objects
from runner.errors import UserError
from runner.recipe.shapes import SHAPES, Shape
from store import Checkpoint, Dataset, Run, Store, get_dataset, iter_inputs, list_checkpoints, read_queries, read_values

OUT_SUFFIXES = (".jsonl", ".csv", ".parquet")
STDIN = "-"
ANSWERED = tuple(SHAPES)
"""Tasks whose runs answer (`runner.answers`)."""


class InputRow(NamedTuple):
    """One row."""

    number: int
    """Line of a text file or row of a Parquet file, from 1; position in a stored split, from 0."""
    inputs: Mapping[str, Any] | None
    """Field of `data.columns` → what the model gets; None where there is nothing: then there is no answer either."""
    given: Any
    """The target in the store, by name; None where the row comes from a file."""
    group: str | None = None
    """What is equal for rows of one query, where it is not the query itself."""

    @property
    def text(self) -> str | None:
        """What a person reads."""
        if self.inputs is None:
            return None
        return readable_text(self.inputs)


@dataclass(frozen=True)
class Texts:
    """Rows that were found but not read."""

    title: str
    rows: Callable[[Problems], Iterator[InputRow]]
    """Reads them from the start; broken rows become problems. Of stdin once."""
    is_labelled: bool
    """Whether the rows have a given target."""


def open_texts(
    store: Store,
    run: Run,
    file: str | None,
    *,
    split: str | None = None,
    text_column: str | None = None,
    pair_column: str | None = None,
    encoding: str | None = None,
) -> Texts:
    """The rows of a file, of stdin (`-`), or of a split of `dataset:NAME@VERSION` (no file: of the run's own dataset).

    Columns and encoding are those of the run's recipe where they are not given. Raises DataError, UserError,
    DatasetNotFound.
    """
    if run.task not in (None, *ANSWERED):
        raise UserError(
            f"run {run.name} ({run.id}) is of task {run.task}, and `runner predict` answers for {', '.join(ANSWERED)}; "
            "what the run said of its own splits is in the store (`store.read_responses`)."
        )
    shape = SHAPES[run.task or "text-classification"]
    if file is not None and not file.startswith("dataset:"):
        if split is not None:
            raise UserError(f"--split {split} is of a stored dataset, and {file} is a file: name one of the two.")
        data: Any = (run.recipe or {}).get("data") or {}
        written = data.get("columns") or {}
        inputs = _named_columns(shape, written, text_column, pair_column)
        cleaner = cleaner_of(None if run.dataset_key is None else get_dataset(store, run.dataset_key))
        group = written.get(shape.group) if shape.group else None
        return _of_file(file, shape, inputs, encoding or data.get("encoding") or "utf-8", cleaner, group)
    if text_column is not None or pair_column is not None or encoding is not None:
        raise UserError("--text-column and --encoding are for a file; a stored dataset knows its texts.")
    if file is not None:
        dataset = get_dataset(store, file.removeprefix("dataset:"))
    elif run.dataset_key is not None:
        dataset = get_dataset(store, run.dataset_key)
    else:
        raise UserError(f"run {run.name} ({run.id}) has no dataset in the store: name a file.")
    return _of_split(store, dataset, split, shape)


def check_out(out: Path) -> None:
    """Raise UserError where answers cannot be written to that file."""
    if out.suffix.lower() not in OUT_SUFFIXES:
        raise UserError(
            f"--out {out}: the answers are written as {', '.join(OUT_SUFFIXES[:-1])} or {OUT_SUFFIXES[-1]}."
        )
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


def _named_columns(
    shape: Shape, written: Mapping[str, Any], text_column: str | None, pair_column: str | None
) -> dict[str, str]:
    """Field → column of what the model gets."""
    found = {name: written.get(name) or (None if name in shape.optional else name) for name in shape.inputs}
    if "messages" in shape.inputs:  # chats, or prompts
        field = "messages" if found["messages"] else "prompt"
        asked = {field: text_column or found[field] or field}
        return {**asked, "input": found["input"]} if found["input"] and field == "prompt" else asked
    found[shape.inputs[0]] = text_column or found[shape.inputs[0]]
    if pair_column is not None:
        if len(shape.inputs) < 2 or shape.kind == "text":
            raise UserError(f"--pair-column {pair_column}: this run reads one text.")
        found[shape.inputs[1]] = pair_column
    return {name: column for name, column in found.items() if column is not None}


def _of_file(
    file: str, shape: Shape, inputs: Mapping[str, str], encoding: str, cleaner: Cleaner, group: str | None
) -> Texts:
    """As the run's own texts were, they are cleaned. `group`: a column of it tells queries apart, if it is there."""
    problems = Problems()
    columns = Columns(inputs, next(iter(inputs.values())), shape)
    tagged = columns if shape.kind == "spans" else None
    if file == STDIN:
        read = partial(_file_rows, _stdin(tuple(inputs), encoding), inputs, cleaner, group)
        return Texts("stdin", read, is_labelled=False)
    table = open_file(file, FileForm(encoding, tagged, needs_tags=False), problems, "FILE")
    if table is not None and inputs.get("input") not in table.columns:  # rows may be without one
        inputs = {name: column for name, column in inputs.items() if name != "input"}
    for name, column in inputs.items() if table is not None else ():
        n = table.columns.count(column) if table is not None else 0
        if table is None or n == 1:
            continue
        how_many = f"{n} columns named" if n else "no column"
        near = did_you_mean(column, table.columns)
        option = "--text-column" if name == next(iter(inputs)) else "--pair-column"
        problems.add(
            f'{table.title} has {how_many} "{column}". It has: {quoted(table.columns)}.{near} '
            f"Name the column of the texts with {option}."
        )
    problems.raise_if_any()
    assert table is not None, "else there was a problem"
    has_group = group is not None and table.columns.count(group) == 1
    read = partial(_file_rows, table, inputs, cleaner, group if has_group else None)
    return Texts(table.title, read, is_labelled=False)


def _file_rows(
    table: Table, inputs: Mapping[str, str], cleaner: Cleaner, group: str | None, problems: Problems
) -> Iterator[InputRow]:
    n = 0
    for number, row in table.rows((*inputs.values(), *([group] if group else [])), problems):
        n += 1
        values, own = row[: len(inputs)], row[len(inputs) :]
        given = {
            name: value for name, value in zip(inputs, values, strict=True) if name != "input" or not is_nothing(value)
        }
        if any(map(is_nothing, given.values())):
            yield InputRow(number, None, None)
            continue
        read = {name: _asked(value) if name == "messages" else read_input(name, value) for name, value in given.items()}
        faults = [(name, fault) for name, (_, fault) in read.items() if fault]
        for name, fault in faults:
            advice = input_advice(name).replace("Unicode text", "text")
            problems.add_row(table.title, f'"{inputs[name]}" {fault}', table.place(number), advice)
        if not faults:
            query = str(own[0]) if own and not is_nothing(own[0]) else None
            yield InputRow(number, cleaner.inputs({name: value for name, (value, _) in read.items()}), None, query)
    if n == 0 and not problems:
        problems.add(f"{table.title} has no rows.")


def _asked(value: object) -> tuple[Any, str | None]:
    """A chat to be answered: up to the user's last turn."""
    chat = chat_in(value)
    if chat and chat[-1].get("role") == "user":
        chat = [*chat, {"role": "assistant", "content": "-"}]
    return read_input("messages", chat or value)


def _stdin(names: tuple[str, ...], encoding: str) -> Table:
    """Lines of text, or JSON objects where the first line begins with one."""

    def rows(wanted: Sequence[str], problems: Problems) -> Iterator[Row]:
        lines = iter(io.TextIOWrapper(sys.stdin.buffer, encoding=encoding, errors="replace", newline="\n"))
        first = next((line for line in lines if line.strip()), "")
        lines = chain([first], lines)
        if first.lstrip().startswith("{"):
            for number, value in json_objects(lines, "stdin", problems):
                yield number, tuple(value.get(column) for column in wanted)
        elif len(wanted) > 1:
            problems.add(f"stdin: this run reads {' and '.join(names)}; write JSON objects with {quoted(wanted)}.")
        else:
            for number, line in enumerate(lines, start=1):
                yield number, (line.rstrip("\r\n"),)

    return Table("train", "stdin", names, rows, "line")


def _of_split(store: Store, dataset: Dataset, split: str | None, shape: Shape) -> Texts:
    there = [name for name, n in dataset.n_rows.items() if n]
    if split not in there:
        said = (
            f"--split {split}: dataset {dataset} has no such split" if split else f"which split of dataset {dataset}?"
        )
        raise UserError(f"{said}; it has: {', '.join(there) or 'none'}. Name one with --split, or name a file.")
    first = next(iter_inputs(store, dataset, split, 1))[0]
    needed = [name for name in shape.inputs if name not in shape.optional]
    if not set(needed) <= set(first) <= set(shape.inputs):
        raise UserError(f"dataset {dataset} has {' and '.join(first)}, and this run reads {' and '.join(needed)}.")
    read = partial(_split_rows, store, dataset, split, has_groups=bool(shape.group))
    return Texts(f"{dataset} [{split}]", read, is_labelled=True)


def _split_rows(
    store: Store, dataset: Dataset, split: str, problems: Problems, *, has_groups: bool
) -> Iterator[InputRow]:
    names, targets = dataset.label_names or (), iter(read_values(store, dataset, split))
    queries = read_queries(store, dataset, split) if has_groups else []
    position = 0
    for batch in iter_inputs(store, dataset, split):
        for inputs in batch:
            query = queries[position] if has_groups else None
            yield InputRow(position, inputs, given_words(next(targets), names), query)
            position += 1


def given_words(target: Any, names: Sequence[str]) -> Any:
    """A stored target as JSON that names labels.

    >>> given_words(1, ["a", "b"]), given_words("[0, 1]", ["a", "b"]), given_words(2.5, []), given_words(None, [])
    ('b', ['a', 'b'], 2.5, None)
    >>> given_words("[[0, 2, 1]]", ["a", "b"])
    [{'start': 0, 'end': 2, 'type': 'b'}]
    >>> given_words('"Paris"', [])
    'Paris'
    """
    if isinstance(target, str):
        items = json.loads(target)
        if isinstance(items, str):
            return items
        if any(isinstance(item, list) for item in items):
            return [{"start": start, "end": end, "type": names[at]} for start, end, at in items]
        return [names[at] for at in items]
    if isinstance(target, int):
        return names[target] if 0 <= target < len(names) else None if names else target
    return target
