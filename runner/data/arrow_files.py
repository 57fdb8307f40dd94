"""Reading Parquet files, folders written by `datasets.save_to_disk`, and sets from the hub, batch by batch."""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq

from runner.data.problems import Problems
from runner.data.tables import Row, Table
from runner.hub import HubUnreachable, require_hub

BATCH_ROWS = 1_000  # rows held at a time


def open_parquet(path: Path, title: str, problems: Problems) -> Table | None:
    """The file as a table; None (and a problem) when it is not a Parquet file."""
    try:
        schema = pq.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        problems.add(f"{title} is not a Parquet file that can be read: {_first_line(error)}.")
        return None
    return Table(
        "train", title, tuple(schema.names), partial(_read_parquet, path, title), path=path,
        class_names=_class_names_in(schema.metadata or {}),
    )  # fmt: skip


def _read_parquet(path: Path, title: str, wanted: Sequence[str], problems: Problems) -> Iterator[Row]:
    n_read = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=list(dict.fromkeys(wanted))):
                yield from _numbered(batch, wanted, n_read)
                n_read += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        problems.add(f"{title}, after row {n_read}: the file is damaged: {_first_line(error)}.")


def _class_names_in(metadata: Mapping[bytes, bytes]) -> dict[str, tuple[str, ...]]:
    """The names of `datasets.ClassLabel` columns, or of lists of them, which `datasets` writes into the schema of a
    Parquet file."""
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        return {
            column: tuple(item["names"])
            for column, feature in features.items()
            if isinstance(feature, dict)
            and isinstance(item := feature.get("feature", feature), dict)
            and item.get("_type") == "ClassLabel"
        }
    except (
        KeyError,
        TypeError,
        ValueError,
    ):  # written by something else, or by a version with another layout
        return {}


def load_folder(path: Path, title: str, problems: Problems) -> "datasets.Dataset | datasets.DatasetDict | None":
    """What `save_to_disk` wrote, memory-mapped; None (and a problem) when it is damaged."""
    try:
        return datasets.load_from_disk(str(path))
    except Exception as error:  # the library raises whatever its files make it trip over
        problems.add(f'"{title}" cannot be read as a folder of datasets.save_to_disk: {_first_line(error)}.')
        return None


def load_hub(name: str, config: str | None, problems: Problems) -> tuple[Any, tuple[str, ...]]:
    """The set from the hub, or from the local cache when the hub cannot be asked; None (and a problem) without both.

    Code that a hub set may bring along is never run.
    """
    title = f"hub:{name}" + (f":{config}" if config else "")
    try:
        require_hub(name, "dataset")
    except HubUnreachable as unreachable:
        if (cached := _load_cached(name, config)) is not None:
            return cached, (f"{title}: the hub was not reached; the copy in the local cache is used.",)
        problems.add(f'data.source = "{title}": {unreachable}')
        return None, ()
    try:
        return datasets.load_dataset(name, config), ()
    except Exception as error:  # not found, gated, no such config, unknown format: the library's words say which
        problems.add(
            f'data.source = "{title}" cannot be loaded: {_first_line(error, 400)}. Check the name and the config.'
        )
        return None, ()


def require_hub_set(source: str) -> None:
    """Return when `hub:NAME[:config]` can be had, from the hub or from the local cache; else raise HubUnreachable."""
    name, _, config = source.removeprefix("hub:").partition(":")
    try:
        require_hub(name, "dataset")
    except HubUnreachable:
        if _load_cached(name, config or None) is None:
            raise


def _load_cached(name: str, config: str | None) -> Any:
    """What an earlier `load_dataset` left in the cache; None when there is nothing (or not this config)."""
    from datasets.packaged_modules.cache.cache import Cache

    try:
        builder = Cache(dataset_name=name.split("/")[-1], repo_id=name, config_name=config, version="auto", hash="auto")
        builder.download_and_prepare()
        return builder.as_dataset()
    except Exception:  # whatever is wrong with a cache entry, the news is that it cannot stand in for the hub
        return None


def tables_of(loaded: Any, title: str) -> dict[str, Table]:
    """Split name → table of a `Dataset` (then its own split name, or "train") or a `DatasetDict`."""
    if isinstance(loaded, datasets.Dataset):
        return {"train": _table(loaded, title)}
    return {str(split): _table(dataset, f"{title} [{split}]") for split, dataset in loaded.items()}


def _table(dataset: Any, title: str) -> Table:
    class_names = {
        column: tuple(item.names)
        for column, feature in dataset.features.items()
        if isinstance(item := getattr(feature, "feature", feature), datasets.ClassLabel)
    }
    return Table("train", title, tuple(dataset.column_names), partial(_read_dataset, dataset), class_names=class_names)


def _read_dataset(dataset: Any, wanted: Sequence[str], problems: Problems) -> Iterator[Row]:
    n_read = 0
    for batch in dataset.select_columns(list(dict.fromkeys(wanted))).with_format("arrow").iter(BATCH_ROWS):
        yield from _numbered(batch, wanted, n_read)
        n_read += batch.num_rows


def _numbered(batch: Any, wanted: Sequence[str], n_before: int) -> Iterator[Row]:
    values = zip(*(batch.column(column).to_pylist() for column in wanted), strict=True)
    return enumerate(values, start=n_before + 1)


def _first_line(error: BaseException, limit: int = 200) -> str:
    text = (str(error) or type(error).__name__).strip().splitlines()[0].rstrip(".")
    return text if len(text) <= limit else text[:limit] + "…"
