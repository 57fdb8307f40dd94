"""`runner backup FILE`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from runner.commands.options import echo_json, json_option, open_reconciled, size, store_option
from runner.commands.ticker import Ticker

if TYPE_CHECKING:
    from store import Store


@click.command("backup")
@click.argument("file", type=click.Path(path_type=Path), metavar="FILE")
@click.option("--with-files", is_flag=True, help="Copy the checkpoints too, into FILE's own -files folder.")
@click.option("--force", is_flag=True, help="Overwrite FILE; checkpoints that are there and right are kept.")
@json_option
@store_option
def command(file: Path, with_files: bool, force: bool, as_json: bool, store_path: Path | None) -> None:
    """Copy the store to FILE, whole and checked, while runs go on writing to it.

    Exit code 1 when the store is backed up and a checkpoint could not be copied.
    """
    from runner.copying import Copied, copy_all, saved_checkpoints
    from store import StoreUnreadable, backup_store, spool_status

    store = open_reconciled(store_path)
    target = file.expanduser().absolute()
    files = target.with_name(target.stem + "-files")
    if with_files and files.exists() and not force:
        raise StoreUnreadable(f"the folder {files} is there already. Name another file, or add --force to go on in it.")
    tick = Ticker()
    copied = Copied()

    def bring_files(copy: "Store") -> None:
        nonlocal copied
        copied = copy_all(store, copy, files, tick)

    backup = backup_store(
        store,
        target,
        force=force,
        extra_bytes=sum(checkpoint.size_bytes for _, checkpoint in saved_checkpoints(store)) if with_files else 0,
        report=lambda done, total: tick(f"copied {size(done)} of {size(total)}"),
        also=bring_files if with_files else None,
    )
    waiting = spool_status(store).rows_pending
    if as_json:
        echo_json(
            {
                "path": str(backup.path),
                "size_bytes": backup.size_bytes,
                "rows": backup.n_rows,
                "rows_pending": waiting,
                "checkpoints": copied.n_checkpoints,
                "checkpoint_bytes": copied.size_bytes,
                "problems": copied.problems,
            }
        )
    else:
        rows = sum(backup.n_rows.values())
        click.echo(
            f"{backup.path}: {backup.n_rows['runs']:,} runs, {rows:,} rows, {size(backup.size_bytes)}; checked, whole"
        )
        if with_files:
            click.echo(f"{files}: {copied.n_checkpoints:,} checkpoints, {size(copied.size_bytes)}; hashes checked")
        for problem in copied.problems:
            click.echo(f"not copied: {problem}", err=True)
        if waiting:
            click.echo(f"{waiting:,} rows still wait on disk for the store; they are not in the backup", err=True)
    if copied.problems:
        sys.exit(1)
