"""What several commands share: the store option, opening it, and printing."""

import json
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from runner.paths import default_store

if TYPE_CHECKING:
    from store import Store

F = TypeVar("F", bound=Callable[..., Any])

UNKNOWN = "–"


def store_option(function: F) -> F:
    """`--store FILE`."""
    return click.option(
        "--store",
        "store_path",
        type=click.Path(dir_okay=False, path_type=Path),
        help="The store file. Default: ASSAY_STORE, else assay.db in this folder.",
    )(function)


def json_option(function: F) -> F:
    """`--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")(function)


def open_reconciled(path: Path | None, *, create: bool = False) -> "Store":
    """Open the store and make statuses true. What SQLite cannot read in the rest of the command is told in words."""
    from store import open_store
    from store.connection import explained

    store = open_store(default_store(path), create=create)
    context = click.get_current_context(silent=True)
    if context is not None:
        context.with_resource(explained(store.path))
    return reconciled(store)


def open_or_make(path: Path | None, check: Callable[[], object]) -> "Store":
    """Open the store, or make it once `check` has raised nothing: a command that is refused leaves no store behind."""
    if not default_store(path).exists():
        check()
    return open_reconciled(path, create=True)


def reconciled(store: "Store") -> "Store":
    """Make the statuses of an open store true; says which runs and jobs were found dead."""
    from store import StoreUnreadable, reconcile, reconcile_jobs

    try:
        for run in reconcile(store):
            click.echo(f"run {run.name} ({run.id}) was not alive any more: {run.cause}", err=True)
        for job in reconcile_jobs(store):
            click.echo(f"job {job.name} ({job.id}) was not alive any more: {job.cause or job.status}", err=True)
    except StoreUnreadable as error:  # locked, or a full disk: it can be read all the same
        click.echo(f"statuses could not be brought up to date: {error}", err=True)
    return store


def echo_json(value: object) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def records(frame: Any) -> list[dict[str, Any]]:
    """A frame as JSON-able rows, with None for what is not measured."""
    rows: list[dict[str, Any]] = json.loads(frame.to_json(orient="records", date_format="iso", double_precision=15))
    return rows


def table(headers: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[int] = ()) -> str:
    """Columns of text; the ones named in `right` are right-aligned."""
    lines = [list(headers), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(headers))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def age(at: float | None) -> str:
    """How long ago, for people."""
    if at is None:
        return UNKNOWN
    return duration(time.time() - at) + " ago"


def duration(seconds: float | None) -> str:
    """Seconds for people: 42 s, 12 min, 3.5 h, 2 d."""
    if seconds is None or seconds != seconds:
        return UNKNOWN
    for limit, unit, text in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / unit:.3g} {text}"
    return f"{seconds / 86_400:.3g} d"


def size(n_bytes: float | None) -> str:
    """Bytes for people, in powers of 1000."""
    if n_bytes is None or n_bytes != n_bytes:
        return UNKNOWN
    for unit in ("B", "kB", "MB", "GB"):
        if n_bytes < 1000:
            return f"{n_bytes:.3g} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.3g} TB"


def number(value: float | None, digits: int = 3) -> str:
    return UNKNOWN if value is None or value != value else f"{value:.{digits}f}"


def what_is_written(command: F) -> F:
    """Options of a command that hands out a model: `wanted`, `extras` and `step`."""
    formats, extras = ["auto", "transformers", "parts", "adapter"], ["training-text", "optimizer-state"]
    added = (
        click.option("--checkpoint", "step", type=click.IntRange(0), metavar="STEP", help="Instead of the best one."),
        click.option(
            "--with",
            "extras",
            multiple=True,
            type=click.Choice(extras),
            help="Also hand out this; left out unless asked for.",
        ),
        click.option(
            "--format",
            "wanted",
            type=click.Choice(formats),
            default="auto",
            show_default=True,
            help="How the model is written.",
        ),
    )
    for option in added:
        command = option(command)
    return command
