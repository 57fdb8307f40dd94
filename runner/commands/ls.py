"""`runner ls`."""

import time
from pathlib import Path

import click

from runner.commands.options import (
    UNKNOWN,
    age,
    duration,
    echo_json,
    json_option,
    number,
    open_reconciled,
    records,
    size,
    store_option,
    table,
)

_MARKS = {"running": "◐", "finished": "✓", "failed": "✕", "killed": "■", "pruned": "✂", "queued": "…"}


@click.command("ls")
@click.argument("search", required=False)
@click.option("--status", type=click.Choice(list(_MARKS)), multiple=True, help="Only these; may be given repeatedly.")
@click.option("--task", multiple=True, help="Only these tasks.")
@click.option("--method", multiple=True, help="Only these methods: full, head, top-layers, lora.")
@click.option("--dataset", help="Only runs on this dataset: a name, or name@version.")
@click.option("--tag", help="Only runs with this tag.")
@click.option(
    "--sort",
    type=click.Choice(["created_at", "name", "status", "method", "value", "wall_seconds", "examples_per_second"]),
    default="created_at",
    show_default=True,
    help="What to sort by, largest or newest first; `value` is the metric that picks checkpoints.",
)
@click.option("--ascending", is_flag=True, help="Smallest or oldest first.")
@click.option("--limit", type=click.IntRange(1), default=30, show_default=True, help="How many runs.")
@json_option
@store_option
def command(
    search: str | None,
    status: tuple[str, ...],
    task: tuple[str, ...],
    method: tuple[str, ...],
    dataset: str | None,
    tag: str | None,
    sort: str,
    ascending: bool,
    limit: int,
    as_json: bool,
    store_path: Path | None,
) -> None:
    """List runs, newest first. SEARCH is looked for in names, notes, tags, models, datasets and recipes."""
    from store import count_runs, get_lease, list_alerts, list_runs, spool_status
    from store.leases import QUIET_SECONDS, what_waits

    store = open_reconciled(store_path)
    frame = list_runs(
        store,
        search=search,
        status=status,
        task=task,
        method=method,
        dataset=dataset,
        tag=tag,
        sort=sort,
        descending=not ascending,
        limit=limit,
    )
    rows = records(frame)
    waiting = spool_status(store)
    for row in rows:
        if n_rows := waiting.rows_of(row["id"]):
            row["rows_pending"] = n_rows + (row["rows_pending"] or 0)
    if as_json:
        echo_json(rows)
        return
    click.echo(
        table(
            [
                "",
                "id",
                "name",
                "method",
                "metric",
                "value",
                "vs base",
                "wall",
                "examples/s",
                "memory",
                "alerts",
                "started",
            ],
            [_cells(row) for row in rows],
            right=(5, 6, 7, 8, 9, 10),
        )
        if rows
        else "no run fits. `runner train RECIPE` makes one, `runner demo` makes two."
    )
    total = sum(count_runs(store).values())
    if len(rows) < total:
        click.echo(f"{len(rows)} of {total} runs")
    for row in rows:
        lease = get_lease(store, row["key"]) if row["status"] == "running" else None
        if lease is not None and time.time() - lease.heartbeat_at > QUIET_SECONDS:
            click.echo(f"{row['id'][:12]} {what_waits(lease, time.time())}")
        if row["cause"]:
            click.echo(f"{row['id'][:12]} {row['status']}: {row['cause']}")
        elif row["n_alerts"] and row["status"] == "running":
            newest = list_alerts(store, row["key"]).iloc[-1]
            click.echo(f"{row['id'][:12]} alert {age(newest['at'])}: {newest['message']}")
    if waiting.files:
        n, of = waiting.rows_pending, size(waiting.size_bytes)
        what = f"1 row ({of}) waits" if n == 1 else f"{n:,} rows ({of}) wait"
        click.echo(f"{what} on disk to be written to the store; `runner doctor` says where and why")


def _cells(row: dict[str, object]) -> list[str]:
    value, low, high = (row[name] for name in ("value", "low", "high"))
    shown = number(value)  # type: ignore[arg-type]  # JSON rows are untyped; these columns hold numbers or None
    if isinstance(low, float) and isinstance(high, float):
        shown += f" ±{(high - low) / 2:.3f}"
    base = row["base_value"]
    gain = f"{value - base:+.3f}" if isinstance(value, float) and isinstance(base, float) else UNKNOWN
    speed = row["examples_per_second"]
    return [
        _MARKS.get(str(row["status"]), "?"),
        str(row["id"])[:12],
        str(row["name"]),
        str(row["method"] or UNKNOWN),
        str(row["select_metric"] or UNKNOWN),
        shown,
        gain,
        duration(row["wall_seconds"]),  # type: ignore[arg-type]  # as above
        f"{speed:,.0f}" if isinstance(speed, (int, float)) else UNKNOWN,
        size(row["peak_host_bytes"]),  # type: ignore[arg-type]  # as above
        f"⚠ {row['n_alerts']}" if row["n_alerts"] else "",
        age(row["started_at"]),  # type: ignore[arg-type]  # as above
    ]
