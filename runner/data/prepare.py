"""From `[data]` of a recipe to a dataset version in the store.

The source is read twice. The first reading checks every row and keeps its example id and its label; they decide
the label names, the splits and the fingerprint. Only when the store does not have that dataset yet is the source
read again, and its rows go straight into the store. So the texts are never held in memory, and every problem
is known before anything is written.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from runner.data.assignment import assign_splits
from runner.data.cautions import class_warnings, duplicate_warnings
from runner.data.cleaning import Cleaner
from runner.data.groups import crossing_warnings
from runner.data.labels import LabelCounts, LabelIndex, index_labels
from runner.data.problems import DataError, Problems, listed
from runner.data.readers import target_reader
from runner.data.relevance import BINARY, RelevanceReader, all_the_same, query_warnings, unanswered
from runner.data.scan import (
    PROGRESS_ROWS,
    Scan,
    checked_rows,
    plain,
    same_hashes,
    scan_tables,
    what_rows_have,
)
from runner.data.sources import Source, open_source, source_files
from runner.data.splits import LEFT_OUT
from runner.data.tables import SPLITS, CheckedRow, Columns, Table
from runner.data.tags import types_of
from runner.data.targets import LabelSetReader, Stored, TargetReader
from runner.recipe.shapes import SHAPES
from store.errors import DatasetNotFound
from store.ids import dataset_fingerprint
from store.records import Dataset, NewRow

if TYPE_CHECKING:
    from runner.recipe.data import Data
    from runner.recipe.models import Recipe
    from store.connection import Store


@dataclass(frozen=True)
class PreparedData:
    """A dataset version, ready to train on."""

    dataset: Dataset
    warnings: tuple[str, ...]
    """What a person should know about the data although it can be used."""
    reused: bool
    """Whether the store had exactly this dataset already."""


def prepare_data(
    store: "Store", recipe: "Recipe", *, progress: Callable[[str, int], None] | None = None
) -> PreparedData:
    """The dataset that the recipe's `[data]` means, recorded in the store unless it is there already.

    `progress(what, n_rows)` is called every 10,000 rows. Raises DataError with all problems that can be known
    together; then nothing was written.
    """
    # loads pandas: not for a mere import of this module
    from store.datasets import find_datasets, record_dataset

    if (selector := _stored_selector(recipe)) is not None:
        return _stored(store, selector, recipe)
    read = _read(recipe, progress)
    source, extras = read.source, read.extras
    if dataset := _with_extras(find_datasets(store, source.name, read.fingerprint), extras):
        return PreparedData(dataset, read.warnings, reused=True)
    dataset = record_dataset(
        store,
        source.name,
        _rows_again(read, recipe.data.on_empty, progress),
        label_names=read.label_names,
        source=_source_record(read, recipe),
        fingerprint=read.fingerprint,
    )
    return PreparedData(dataset, read.warnings, reused=False)


def find_data(store: "Store", recipe: "Recipe") -> Dataset | None:
    """The version that the recipe's `[data]` means, if the store has it; nothing is written. Raises DataError."""
    # loads pandas: not for a mere import of this module
    from store.datasets import find_datasets

    if (selector := _stored_selector(recipe)) is not None:
        return _stored(store, selector, recipe).dataset
    read = _read(recipe, None)
    return _with_extras(find_datasets(store, read.source.name, read.fingerprint), read.extras)


def check_data(recipe: "Recipe") -> None:
    """Read the data once as `prepare_data` would, where there is no store yet. Raises DataError with all problems."""
    if (selector := _stored_selector(recipe)) is not None:
        raise DataError([f'data.source = "dataset:{selector}": there is no store yet, so no dataset in it.'])
    _read(recipe, None)


def _stored_selector(recipe: "Recipe") -> str | None:
    """What stands behind `dataset:`; None for any other source."""
    (selector,) = source_files(recipe.data).get("", ("",))
    return selector.removeprefix("dataset:") if selector.startswith("dataset:") else None


class _Read(NamedTuple):
    """What the first reading found and decided; n rows in the order of the tables."""

    source: Source
    cleaner: Cleaner
    stamps: Sequence[tuple[int, int] | None]
    scan: Scan
    reader: TargetReader
    labels: LabelIndex | None
    """None where targets are no labels."""
    strata: NDArray[np.int32]
    """(n,) label indices; of other targets 0."""
    splits: NDArray[np.int8]
    warnings: tuple[str, ...]

    @property
    def label_names(self) -> tuple[str, ...] | None:
        return None if self.labels is None else self.labels.names

    @property
    def fingerprint(self) -> str:
        """Of the dataset that this is."""
        targets = self.strata if self.scan.digests is None else self.scan.digests
        masks = {split: self.splits == index for index, split in enumerate(SPLITS)}
        content = dataset_fingerprint(
            self.label_names, {s: (self.scan.ids[mask], targets[mask]) for s, mask in masks.items() if mask.any()}
        )
        if not self.cleaner.steps:
            return content
        # Other steps make another version, also where these texts come out the same.
        steps = json.dumps([content, self.cleaner.steps], sort_keys=True)
        return blake2b(steps.encode(), digest_size=16).hexdigest()

    @property
    def extras(self) -> str | None:
        """Hex blake2b-128 of what the stored rows have beside inputs and target; None where they have nothing.

        The fingerprint says nothing of it: metadata are no part of what a model learns.
        """
        if not self.source.columns.extra:
            return None
        digest = blake2b(json.dumps(self.source.columns.extra).encode(), digest_size=16)
        for index in range(len(SPLITS)):
            digest.update(self.scan.extras[self.splits == index].tobytes())
        return digest.hexdigest()


def _read(recipe: "Recipe", progress: Callable[[str, int], None] | None) -> _Read:
    """The first reading. Raises DataError."""
    data = recipe.data
    cleaner = Cleaner(data.clean)
    problems = Problems()
    source = open_source(data, recipe.task, problems)
    stamps = [table.stamp() for table in source.tables]
    reader = target_reader(source, data, problems)
    scan = scan_tables(source.tables, source.columns, reader, data.on_empty, problems, cleaner, progress)
    scan, unlabelled = _without_unlabelled(scan, source)
    labels = None if scan.labels is None else _label_index(source, scan, scan.labels, data, problems)
    problems.raise_if_any()

    is_label = labels is not None and source.columns.shape.kind == "label"
    strata = labels.positions[scan.keys] if is_label and labels is not None else scan.keys
    given = _given_splits(scan, source)
    names = labels.names if is_label and labels is not None else None
    splits, cut_warnings = assign_splits(scan.ids, strata, given, data, names, problems, groups=scan.groups)
    if scan.groups is not None:
        cut_warnings += tuple(crossing_warnings(scan.groups, splits, str(source.columns.together)))
    if isinstance(reader, RelevanceReader) and not problems:
        cut_warnings += _of_queries(scan, reader.values, splits, source.columns.target, problems)
    problems.raise_if_any()
    repeated = reader.warnings() if isinstance(reader, LabelSetReader) else ()
    warnings = (*source.warnings, *unlabelled, *repeated, *_dropped(scan, source.columns), *cut_warnings)
    if is_label and labels is not None:
        warnings += tuple(class_warnings(strata, splits, labels.names))
    told_apart = strata if scan.digests is None else same_hashes(scan.digests).group.astype(np.int32)
    warnings += tuple(duplicate_warnings(scan.ids, told_apart, splits))
    return _Read(source, cleaner, stamps, scan, reader, labels, strata, splits, warnings)


def _stored(store: "Store", selector: str, recipe: "Recipe") -> PreparedData:
    from store.datasets import get_dataset

    data = recipe.data
    try:
        dataset = get_dataset(store, selector)
    except DatasetNotFound as error:
        raise DataError([f'data.source = "dataset:{selector}": {error}']) from error
    _require_fit(store, dataset, recipe.task)
    ignored = [
        field
        for field, given in (
            ("data.max_examples", data.max_examples),
            ("data.labels", data.labels),
            ("data.name", data.name),
            ("data.clean", Cleaner(data.clean).steps or None),
        )
        if given is not None
    ]
    warning = f"A stored dataset is used as it is; left alone: {', '.join(ignored)}."
    return PreparedData(dataset, (warning,) if ignored else (), reused=True)


def fitting_tasks(store: "Store", dataset: Dataset) -> list[str]:
    """The tasks that a stored dataset has rows for, in the order in which tasks are shown; all, where it has none."""
    from store.datasets import iter_inputs, target_types

    first = next((batch[0] for split in dataset.n_rows for batch in iter_inputs(store, dataset, split, 1)), None)
    if first is None:
        return [*SHAPES]
    targets, has_labels = target_types(store, dataset), dataset.label_names is not None
    return [name for name, shape in SHAPES.items() if shape.fits(tuple(first), targets, has_labels=has_labels)]


def _require_fit(store: "Store", dataset: Dataset, task: str) -> None:
    """Raise DataError where the rows of a stored dataset are those of another task."""
    fitting = fitting_tasks(store, dataset)
    if task not in fitting:
        instead = f"Its rows are those of {' or '.join(fitting)}" if fitting else "Its rows are those of no task here"
        raise DataError([f'dataset {dataset} is none for task = "{task}". {instead}: name another task or dataset.'])


def _without_unlabelled(scan: Scan, source: Source) -> tuple[Scan, tuple[str, ...]]:
    """Hide held-out tables that have no labels at all: hub sets mark those of a competition's test set as -1."""
    warnings = []
    for index, table in enumerate(source.tables):
        keys = np.unique(scan.keys[scan.tables == index])
        if table.split == "train" or source.columns.target not in table.class_names or scan.labels is None:
            continue
        if source.columns.shape.kind != "label":
            continue
        if len(keys) and all(key >= 0 and scan.labels.keys[key] == "-1" for key in keys):
            scan = scan.without_table(index, table.split)
            warnings.append(
                f"{table.title} has no labels (all are -1): it is left out, and {table.split} is cut from train."
            )
    return scan, tuple(warnings)


def _label_index(source: Source, scan: Scan, found: LabelCounts, data: "Data", problems: Problems) -> LabelIndex:
    """The label names and what each value of the label column means; doubts become problems."""
    columns = source.columns
    named = {table.class_names.get(columns.target) for table in source.tables} - {None}
    if len(named) > 1:
        problems.add(
            f'the files disagree about the class names of "{columns.target}": '
            f"{' / '.join(f'({listed(names or ())})' for names in named)}. Write them with the same names."
        )
    n_before = len(problems)
    is_of_tags = columns.shape.kind == "spans"
    class_names, declared = next(iter(named), None), data.labels or source.label_names
    if is_of_tags:
        declared = types_of(declared or class_names or ()) or None
    labels = index_labels(
        found,
        problems,
        column=columns.target,
        field=f"data.columns.{columns.shape.target}",
        declared=declared if columns.shape.kind != "relevance" else BINARY,
        class_names=class_names if columns.shape.kind in ("label", "labels") else None,
        train_complete="train" in found.counts,
    )
    if is_of_tags and "train" in found.counts and not problems and not found.counts["train"].sum():
        problems.add(
            f'data.columns.tags: no training sentence has a span: every tag in "{columns.target}" is O. Is that the '
            "right column?"
        )
    in_train = found.counts.get("train") if columns.shape.kind == "label" else None
    if in_train is not None and len(problems) == n_before and (not problems or in_train.sum() > 1):
        present = {int(label) for label, n in zip(labels.positions, in_train, strict=True) if n}
        if len(present) == 1:
            (only,) = present
            problems.add(
                f"data.columns.{columns.shape.target}: all {int(in_train.sum()):,} training examples have the label "
                f'"{labels.names[only]}". Classification needs at least two labels; is '
                f'"{columns.target}" the right column?'
            )
    return labels


def _of_queries(
    scan: Scan, values: NDArray[np.float64], splits: NDArray[np.int8], column: str, problems: Problems
) -> tuple[str, ...]:
    """What a person should know of relevance (n,) by query; what cannot be trained on becomes a problem."""
    assert scan.groups is not None, "rows of a query stay together"
    query = same_hashes(scan.groups).group
    for problem in (
        all_the_same(values[splits == SPLITS.index("train")], column), unanswered(query, values, splits)
    ):  # fmt: skip
        if problem:
            problems.add(problem)
    return tuple(query_warnings(query, values, splits))


def _given_splits(scan: Scan, source: Source) -> NDArray[np.int8]:
    """(n,) indices into `SPLITS`, -1 for rows of a table that is left out."""
    by_table = np.array([SPLITS.index(table.split) for table in source.tables], dtype=np.int8)
    return np.where(scan.hidden, LEFT_OUT, by_table[scan.tables]).astype(np.int8)


def _dropped(scan: Scan, columns: Columns) -> Iterator[str]:
    for title, n in scan.n_dropped.items():
        rows = "1 row" if n == 1 else f"{n:,} rows"
        yield f'{title}: left out {rows} without {what_rows_have(columns)} (data.on_empty = "drop").'


def _with_extras(versions: Sequence[Dataset], extras: str | None) -> Dataset | None:
    """Which of the versions of one content, newest first, has these extras; where none are wanted any will do."""
    fitting = [dataset for dataset in versions if dataset.source.get("extras") == extras]
    return next(iter(fitting or (versions if extras is None else ())), None)


def _rows_again(read: _Read, on_empty: str, progress: Callable[[str, int], None] | None) -> Iterator[NewRow]:
    """The second reading: every row with what the first one decided. Raises DataError when a file has changed."""
    source, scan, reader = read.source, read.scan, read.reader
    # `.data` gives Python numbers one by one, where tolist() would make millions at once
    decided = zip(scan.numbers.data, read.splits.data, read.strata.data, strict=True)
    n_by_table = np.bincount(scan.tables, minlength=len(source.tables)).tolist()
    names, is_one_text = source.columns.extra, tuple(source.columns.inputs) == ("text",)
    n = 0
    for table, stamp, n_rows in zip(source.tables, read.stamps, n_by_table, strict=True):
        if table.stamp() != stamp:
            raise _changed(table.title)
        problems = Problems()
        rows = checked_rows(table, source.columns, reader, on_empty, problems, dropped=[], cleaner=read.cleaner)
        # `decided` comes second: zip must not take its next item when the rows of this table have ended
        for row, (number, split, stratum) in zip(rows, islice(decided, n_rows), strict=False):
            if row.number != number:
                raise _changed(table.title)
            n += 1
            if split != LEFT_OUT:
                extra = {name: plain(value) for name, value in zip(names, row.extra, strict=True)}
                target = stratum if scan.digests is None else _stored_again(read, row, table)
                yield NewRow(SPLITS[split], row.text, target, extra or None, None if is_one_text else row.inputs)
            if progress and n % PROGRESS_ROWS == 0:
                progress("storing", n)
        if problems or table.stamp() != stamp:
            raise _changed(table.title)
    if n != len(read.splits):
        raise _changed(source.tables[-1].title)
    if progress:
        progress("storing", n)


def _stored_again(read: _Read, row: CheckedRow, table: Table) -> Stored | None:
    try:
        return read.reader.stored(row.target, read.labels)
    except KeyError as error:  # a label that was not there a moment ago
        raise _changed(table.title) from error


def _changed(title: str) -> DataError:
    return DataError([f"{title} changed while it was being read; nothing was stored. Try again when it is complete."])


def _source_record(read: _Read, recipe: "Recipe") -> dict[str, object]:
    """What the store keeps about where the rows came from."""
    settings = recipe.data.model_dump(mode="json", exclude={"name", "columns", "clean"})
    source, extras = read.source, read.extras
    named = source.columns
    columns = {**named.inputs, named.target_field: named.target or None, "id": named.id}
    try:
        return {
            **settings,
            "task": recipe.task,
            "columns": columns,
            **({"clean": read.cleaner.steps} if read.cleaner.steps else {}),
            **({"extras": extras} if extras else {}),
            **({"query_id": named.query_id} if named.query_id else {}),
            "tables": source.record(),
        }
    except OSError as error:  # it was there a moment ago
        raise _changed(str(error.filename)) from error
