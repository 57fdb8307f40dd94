"""`runner rm RUN…`."""

import sys
from pathlib import Path

import click

from runner.commands.options import echo_json, json_option, open_reconciled, size, store_option, table


@click.command("rm")
@click.argument("runs", nargs=-1, required=True, metavar="RUN…")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Only show what would be freed.")
@json_option
@store_option
def command(runs: tuple[str, ...], yes: bool, dry_run: bool, as_json: bool, store_path: Path | None) -> None:
    """Remove runs with everything recorded about them and their files. Datasets stay."""
    from store import Status, delete_run, get_run, run_size

    store = open_reconciled(store_path)
    found = list({run.key: run for run in (get_run(store, selector) for selector in runs)}.values())
    live = [run for run in found if run.status == Status.RUNNING]
    if live:
        click.echo(
            f"error: {live[0].name} ({live[0].id}) is running; stop it first (Ctrl-C, or kill its process).", err=True
        )
        sys.exit(2)
    keys = [run.key for run in found]
    sizes = [run_size(store, run, after=keys[:place]) for place, run in enumerate(found)]
    on_disk, in_store = sum(each.on_disk for each in sizes), sum(each.in_store for each in sizes)
    answer = [
        {"id": run.id, "name": run.name, **_answer(each.on_disk, each.in_store)}
        for run, each in zip(found, sizes, strict=True)
    ]
    if not as_json:
        click.echo(
            table(
                ["id", "name", "status", "files", "in the store"],
                [
                    [run.id[:12], run.name, run.status, size(each.on_disk), size(each.in_store)]
                    for run, each in zip(found, sizes, strict=True)
                ],
                right=(3, 4),
            )
        )
        click.echo(
            f"{'1 run' if len(found) == 1 else f'{len(found)} runs'}: {size(on_disk)} of files go; about "
            f"{size(in_store)} inside {store.path.name} become free for later records (the file itself does not shrink)"
        )
    if dry_run:
        is_wanted = False
    elif as_json and not yes:
        raise click.UsageError("--json asks nothing: add --yes to remove, or --dry-run to look.")
    else:
        is_wanted = yes or click.confirm("Remove them?", err=True)
    for run in found if is_wanted else ():
        delete_run(store, run)
    if as_json:
        echo_json({"removed": is_wanted, "runs": answer, **_answer(on_disk, in_store)})
    else:
        click.echo("removed" if is_wanted else "nothing was removed")


def _answer(on_disk: int, in_store: int) -> dict[str, int]:
    return {"bytes": on_disk + in_store, "disk_bytes": on_disk, "store_bytes": in_store}
