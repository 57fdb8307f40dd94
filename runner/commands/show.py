"""`runner show RUN`."""

import time
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from store import Run, RunCost, Store


_MARKS = {"alert": "⚠ "}


@click.command("show")
@click.argument("run", metavar="RUN")
@click.option("--log", "part", flag_value="log", help="Print the console log that was kept with the run.")
@click.option("--recipe", "part", flag_value="recipe", help="Print the resolved recipe as TOML, ready to run again.")
@click.option("--recipe-text", "part", flag_value="text", help="Print the recipe as it was written.")
@json_option
@store_option
def command(run: str, part: str | None, as_json: bool, store_path: Path | None) -> None:
    """Show RUN: scores with intervals, cost, provenance, checkpoints and events."""
    from store import get_run, read_log

    store = open_reconciled(store_path)
    found = get_run(store, run)
    if part == "log":
        click.echo(read_log(store, found.key), nl=False)
    elif part == "recipe":
        from runner.recipe import toml_text

        click.echo(toml_text(found.recipe or {}), nl=False)
    elif part == "text":
        click.echo(found.recipe_text or "", nl=False)
    elif as_json:
        echo_json(as_dict(store, found))
    else:
        click.echo(describe(store, found))


def as_dict(store: "Store", run: "Run") -> dict[str, Any]:
    """Everything about a run that JSON can hold."""
    from store import (
        get_cost,
        list_checkpoints,
        list_events,
        list_flights,
        list_latest,
        list_scores,
        spool_status,
    )

    return {
        **{name: value for name, value in asdict(run).items() if name not in ("key", "version")},
        "scores": records(list_scores(store, [run.key]).drop(columns="run_key")),
        "metrics": records(list_latest(store, [run.key]).drop(columns="run_key")),
        "cost": asdict(get_cost(store, run.key)),
        "checkpoints": [asdict(checkpoint) for checkpoint in list_checkpoints(store, run.key)],
        "events": records(list_events(store, run.key)),
        "flights": records(list_flights(store, run.key).drop(columns="key")),
        "rows_pending": spool_status(store).rows_of(run.id),
    }


def describe(store: "Store", run: "Run") -> str:
    """A run as text, the outcome first."""
    from store import get_cost, get_lease, list_checkpoints, list_events, list_flights, list_scores, spool_status
    from store.leases import what_waits

    blocks = [f"{run.name}  {run.status}  {run.id}"]
    if run.cause:
        blocks.append(f"cause: {run.cause}")
    if run.status in ("failed", "killed", "pruned") and run.recipe is not None and not _merged(run):
        blocks.append(f"`runner resume {run.id}` goes on with it")
    if n_rows := spool_status(store).rows_of(run.id):
        what = "1 row waits" if n_rows == 1 else f"{n_rows:,} rows wait"
        blocks.append(f"{what} on disk to be written to the store; see `runner doctor`")
    if (lease := get_lease(store, run.key)) is not None and (waiting := what_waits(lease, time.time())):
        blocks.append(waiting)
    cost = get_cost(store, run.key)
    facts = [
        ("task", run.task),
        ("data", _data(store, run)),
        ("model", f"{run.base_model} · {run.method}" if run.method else run.base_model),
        ("base run", _base_run(run)),
        ("merged", _merged(run)),
        ("started", age(run.started_at)),
        ("wall", f"{duration(cost.wall_seconds)} (training {duration(cost.train_seconds)}){_prepared(cost)}"),
        ("memory", f"{size(cost.peak_host_bytes)} host, {size(cost.peak_device_bytes)} device"),
        ("parameters", f"{_count(cost.trainable_parameters)} trained of {_count(cost.total_parameters)}"),
        ("speed", f"{_count(cost.examples_per_second)} examples/s, {_count(cost.tokens_per_second)} tokens/s"),
        ("tags", ", ".join(run.tags) or None),
        ("note", run.note or None),
    ]
    blocks.append("\n".join(f"{name:<11} {value}" for name, value in facts if value))
    scores = list_scores(store, [run.key])
    if len(scores):
        shown = scores[(scores["is_best"] == 1) | (scores["step"] == 0)]
        blocks.append(
            table(
                ["split", "step", "metric", "value", "95 % interval", "n"],
                [
                    [
                        r.split,
                        str(r.step),
                        r.metric,
                        number(r.value, 4),
                        f"{number(r.low, 4)} to {number(r.high, 4)}",
                        str(r.n),
                    ]
                    for r in (SimpleNamespace(**row) for row in records(shown))
                ],
                right=(1, 3, 5),
            )
            + "\n(step 0 is the untrained model)"
        )
    if _merged(run):
        from runner.merge.scores import HEADERS, score_rows

        if rows := score_rows(store, [run]):
            blocks.append(table(HEADERS, rows, right=(3,)))
    checkpoints = list_checkpoints(store, run.key, existing=True)
    if checkpoints:
        blocks.append(
            table(
                ["checkpoint", "size", "sha256", ""],
                [
                    [str(store.files / c.path), size(c.size_bytes), c.sha256[:12], "best" if c.is_best else ""]
                    for c in checkpoints
                ],
                right=(1,),
            )
        )
    events = list_events(store, run.key)
    if len(events):
        blocks.append("\n".join(f"{_MARKS.get(str(e.kind), '')}{e.kind}: {e.message}" for e in events.itertuples()))
    flights = list_flights(store, run.key)
    if len(flights):
        kept = "\n".join(f"flight: the last {f.n_steps} steps before: {f.reason}" for f in flights.itertuples())
        blocks.append(f"{kept}\n(`runner dashboard` shows them, with the examples of each batch)")
    return "\n\n".join(blocks)


def _prepared(cost: "RunCost") -> str:
    """What was booked apart."""
    if cost.preparing_seconds is None:
        return ""
    return f"; before that {duration(cost.preparing_seconds)} for features, which later runs find ready"


def _base_run(run: "Run") -> str | None:
    """Whose model it went on from."""
    parent: Any = (run.provenance or {}).get("base_run")
    return f"{parent['name']} ({parent['id']}), {parent['task']}, step {parent['step']:,}" if parent else None


def _merged(run: "Run") -> str | None:
    """Of which runs, and how; None for a run that was trained."""
    merge: Any = (run.provenance or {}).get("merge")
    if not merge:
        return None
    density = "" if merge["density"] is None else f", density {merge['density']:g}"
    folded = ", folded" if merge["folded"] and merge["method"] != "fold" else ""
    parents = ", ".join(f"{each['name']} ({each['id']}) × {each['weight']:.3g}" for each in merge["parents"])
    head = f"; head, labels and data of {merge['head_of']['name']}" if merge.get("head_of") else ""
    return f"by {merge['method']}{density}{folded}: {parents}{head}"


def _count(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:,.0f}"


def _data(store: "Store", run: "Run") -> str | None:
    """The dataset version, and what was done to its texts before they were stored."""
    from store import get_dataset

    if run.dataset_key is None:
        return None
    dataset = get_dataset(store, run.dataset_key)
    return f"{dataset}{f', cleaned: {dataset.cleaning}' if dataset.cleaning else ''}"
