"""`runner merge-store OTHER`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from runner.commands.options import echo_json, json_option, open_reconciled, size, store_option, table
from runner.commands.ticker import Ticker

if TYPE_CHECKING:
    from store import Merged


@click.command("merge-store")
@click.argument("other", type=click.Path(path_type=Path), metavar="OTHER")
@click.option("--dry-run", is_flag=True, help="Only say what would be merged.")
@json_option
@store_option
def command(other: Path, dry_run: bool, as_json: bool, store_path: Path | None) -> None:
    """Bring everything that the store OTHER holds into this one; OTHER itself is only read.

    Doing it again adds nothing. A run that went on in OTHER since is replaced. Runs and sweeps that are at work there
    are left out, and the queue stays there.
    """
    from runner.copying import copy_checkpoint
    from store import merge_store

    store = open_reconciled(store_path)
    tick = Ticker()
    merged = merge_store(store, other.expanduser(), copy_checkpoint, dry_run=dry_run, report=tick)
    if as_json:
        _echo_json(merged)
    else:
        _echo(merged)


def _echo_json(merged: "Merged") -> None:
    plan = merged.plan
    echo_json(
        {
            "dry_run": merged.is_dry,
            "rows": dict(plan.n_rows),
            "datasets": [
                {"theirs": d.theirs, "ours": d.ours, "is_new": d.our_key is None, "is_healed": d.is_healed}
                for d in plan.datasets
            ],
            **{
                name: [{"id": c.id, "name": c.name, "step": c.step, "reason": c.reason} for c in candidates]
                for name, candidates in (
                    ("runs", plan.runs),
                    ("sweeps", plan.sweeps),
                    ("triages", plan.triages),
                    ("opinions", plan.opinions),
                )
            },
            "jobs_left": plan.n_jobs,
            "checkpoints": merged.n_files,
            "problems": merged.problems,
            "texts_found_again": merged.n_healed,
        }
    )


def _echo(merged: "Merged") -> None:
    plan = merged.plan
    kinds = (("run", plan.runs), ("sweep", plan.sweeps), ("triage", plan.triages), ("opinion", plan.opinions))
    for word, candidates in kinds:
        counts = [
            f"{n} {step}" for step in ("added", "replaced", "kept") if (n := sum(c.step == step for c in candidates))
        ]
        if counts:
            click.echo(f"{word}s: {', '.join(counts)}")
        for candidate in candidates:
            if candidate.reason:
                what = "left out" if candidate.step == "left out" else "kept as it is here"
                hint = "; `runner ls` on that store makes its statuses true" if candidate.step == "left out" else ""
                click.echo(f"  {word} {candidate.name} ({candidate.id}) {what}: {candidate.reason}{hint}")
    for dataset in plan.datasets:
        if dataset.is_healed:
            click.echo(f"dataset {dataset.ours} had lost rows here; it is whole again")
        elif dataset.our_key is None and dataset.theirs != dataset.ours:
            click.echo(f"dataset {dataset.theirs} has other content than here; it becomes {dataset.ours}")
        elif dataset.theirs != dataset.ours:
            click.echo(f"dataset {dataset.theirs} has the content of {dataset.ours} here, and is the same")
    if plan.n_jobs:
        click.echo(f"{plan.n_jobs} queued or running jobs stay there: a queue belongs to its store's workers")
    if plan.n_rows:
        rows = [[name, f"{n:,}"] for name, n in sorted(plan.n_rows.items())]
        click.echo(table(["table", "rows to write" if merged.is_dry else "rows written"], rows, right=(1,)))
    if merged.is_dry:
        click.echo(f"checkpoints: {size(plan.file_bytes)} to copy; nothing was written")
        return
    if merged.n_files:
        click.echo(f"{merged.n_files:,} checkpoints came with their files; hashes checked")
    if merged.n_healed:
        click.echo(f"{merged.n_healed:,} texts that had been lost here were found there")
    for problem in merged.problems:
        click.echo(f"without files: {problem}", err=True)
    if not plan.n_rows:
        click.echo("nothing to add: everything is here already")
