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
    sizes = [run_size(store, run) for run in found]
    answer = [{"id": run.id, "name": run.name, "bytes": n} for run, n in zip(found, sizes, strict=True)]
    if not as_json:
        click.echo(
            table(
                ["id", "name", "status", "frees"],
                [[run.id[:12], run.name, run.status, size(n)] for run, n in zip(found, sizes, strict=True)],
                right=(3,),
            )
        )
        click.echo(f"{len(found)} runs, {size(sum(sizes))} in all")
    if dry_run:
        is_wanted = False
    elif as_json and not yes:
        raise click.UsageError("--json asks nothing: add --yes to remove, or --dry-run to look.")
    else:
        is_wanted = yes or click.confirm("Remove them?", err=True)
    for run in found if is_wanted else ():
        delete_run(store, run)
    if as_json:
        echo_json({"removed": is_wanted, "runs": answer, "bytes": sum(sizes)})
    else:
        click.echo("removed" if is_wanted else "nothing was removed")
