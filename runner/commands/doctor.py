"""`runner doctor`."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runner.commands.options import UNKNOWN, echo_json, json_option, reconciled, size, store_option, table
from runner.commands.ticker import Ticker
from runner.paths import default_store

if TYPE_CHECKING:
    from runner.doctor import Finding
    from runner.leftovers import Leftover
    from runner.repair import Repair, Sizes
    from store import SavedTable

_SHOWN = 10  # leftovers of one kind that are named


@click.command("doctor")
@click.option("--quick", is_flag=True, help="Skip reading every page of the store and every checkpoint.")
@click.option("--repair", is_flag=True, help="Put right what is wrong with the store; a damaged file is kept.")
@click.option("--remove-orphans", is_flag=True, help="With --repair: remove folders that belong to nothing.")
@json_option
@store_option
def command(quick: bool, repair: bool, remove_orphans: bool, as_json: bool, store_path: Path | None) -> None:
    """Look over machine and store. Exit code 1 when something is broken; advice on speed alone is no failure.

    --repair saves every row that can be read of a damaged store into a new one, writes what waits on disk, makes
    statuses true, and clears what killed processes left. Without it nothing is changed but statuses.
    """
    from runner.doctor import examine_machine

    if remove_orphans and not repair:
        raise click.UsageError("--remove-orphans goes with --repair; `runner doctor` alone lists them.")
    path = default_store(store_path)
    done = _repair(path, remove_orphans=remove_orphans, as_json=as_json) if repair else None
    findings = examine_machine(path.expanduser().absolute().parent) + _examine(
        path, thorough=not quick and not repair, reads_checkpoints=not quick
    )
    if as_json:
        listed = [asdict(finding) for finding in findings]
        echo_json({"repair": _as_json(done), "findings": listed} if done else listed)
    else:
        marks = {"good": "✓", "note": "·", "slow": "!", "broken": "✕"}
        for finding in findings:
            click.echo(f"{marks[finding.level]} {finding.subject:<12} {finding.text}")
        counts = {level: sum(f.level == level for f in findings) for level in ("broken", "slow")}
        click.echo(f"\n{counts['broken']} broken, {counts['slow']} slow" if any(counts.values()) else "\nall good")
    if any(finding.level == "broken" for finding in findings):
        sys.exit(1)


def _examine(path: Path, *, thorough: bool, reads_checkpoints: bool) -> list["Finding"]:
    """What there is to say of the store. One that is damaged is not written to."""
    from runner.doctor import DAMAGE, Finding, examine_checkpoints, examine_leftovers, examine_store
    from store import StoreError, open_store

    if not path.expanduser().exists():
        return [Finding("store", "note", f"there is no store at {path} yet; `runner train` or `runner demo` makes it")]
    try:
        store = open_store(path, create=False)
        findings = examine_store(store, thorough=thorough)
        if any(finding.subject == DAMAGE for finding in findings):
            return findings
        findings = examine_store(reconciled(store), thorough=False)
        return findings + examine_checkpoints(store, thorough=reads_checkpoints) + examine_leftovers(store)
    except StoreError as error:  # that it cannot be opened is what one asks a doctor for
        return [Finding("store", "broken", str(error))]


# --repair ------------------------------------------------------------------------------------------------------------


def _repair(path: Path, *, remove_orphans: bool, as_json: bool) -> "Repair":
    from runner.repair import repair_store

    tick = Ticker()
    done = repair_store(
        path, remove_orphans=remove_orphans, report=lambda table, n_rows: tick(f"{n_rows:,} rows of {table} read")
    )
    if not as_json:
        _echo(done)
    return done


def _echo(done: "Repair") -> None:
    if done.rescue is not None:
        salvaged = done.rescue.salvaged
        click.echo(f"the store was damaged: {done.problems[0]}")
        of_pages = f"of its {salvaged.n_pages:,} pages"
        if salvaged.n_damaged_pages:
            click.echo(f"{salvaged.n_damaged_pages:,} {of_pages} were found to hold something else than they should")
        else:
            click.echo(f"{of_pages} none shows by itself that it holds something else than it should")
        click.echo(f"{done.rescue.n_kept:,} rows were saved into a new one, which was checked and put in its place")
        click.echo(f"the damaged file is {done.rescue.damaged_path}")
        if done.rescue.harmed:
            headers = ["table", "kept", "of those rebuilt", "of those doubtful", "dropped", "lost"]
            click.echo(table(headers, [_cells(saved) for saved in done.rescue.harmed], right=range(1, 6)))
            click.echo("docs/rescue.md says what the columns mean")
        else:
            click.echo("no row was lost")
    for run in done.died:
        click.echo(f"run {run.name} ({run.id}) was not alive any more: {run.cause}")
    for word, leftovers in (("done", done.cleared), ("left", done.left)):
        for kind in dict.fromkeys(leftover.kind for leftover in leftovers):
            _echo_kind(word, [leftover for leftover in leftovers if leftover.kind == kind])
    click.echo(table(["", "before", "after"], _sizes(done.before, done.after), right=(1, 2)))
    if done.rescue is None and not done.died and not done.cleared:
        click.echo("nothing had to be repaired")
    click.echo()


def _echo_kind(word: str, leftovers: "list[Leftover]") -> None:
    n_bytes = sum(leftover.n_bytes for leftover in leftovers)
    taking = f", {size(n_bytes)}" if n_bytes else ""
    click.echo(f"{word}: {len(leftovers):,} × {leftovers[0].what}{taking}; a repair {leftovers[0].remedy}")
    for leftover in leftovers[:_SHOWN]:
        click.echo(f"  {leftover.name}" + (f" ({size(leftover.n_bytes)})" if leftover.n_bytes else ""))
    if len(leftovers) > _SHOWN:
        click.echo(f"  and {len(leftovers) - _SHOWN:,} more; --json names all")


def _cells(saved: "SavedTable") -> list[str]:
    lost = "not known" if saved.n_lost is None else f"{saved.n_lost:,}"
    counts = (saved.n_kept, saved.n_rebuilt, saved.n_doubtful, saved.n_dropped)
    return [saved.table, *(f"{n:,}" for n in counts), lost]


def _sizes(before: "Sizes", after: "Sizes") -> list[list[str]]:
    rows = [
        ["store", size(before.store_bytes), size(after.store_bytes)],
        ["files", size(before.files_bytes), size(after.files_bytes)],
    ]
    for name in ("n_runs", "n_examples", "n_metric_values", "rows_pending"):
        values = [getattr(sizes, name) for sizes in (before, after)]
        label = name.removeprefix("n_").replace("_", " ")
        rows.append([label, *(UNKNOWN if value is None else f"{value:,}" for value in values)])
    return rows


def _as_json(done: "Repair") -> dict[str, Any]:
    rescue = done.rescue
    return {
        "rescued": None
        if rescue is None
        else {
            "damaged_path": str(rescue.damaged_path),
            "pages": rescue.salvaged.n_pages,
            "damaged_pages": rescue.salvaged.n_damaged_pages,
            "tables": [asdict(saved) for saved in rescue.salvaged.tables],
        },
        "died": [{"id": run.id, "name": run.name, "cause": run.cause} for run in done.died],
        **{
            word: [{"kind": left.kind, "name": left.name, "bytes": left.n_bytes} for left in leftovers]
            for word, leftovers in (("cleared", done.cleared), ("left", done.left))
        },
        "before": asdict(done.before),
        "after": asdict(done.after),
    }
