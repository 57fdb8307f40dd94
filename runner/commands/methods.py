"""`runner methods RECIPE`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from runner.commands.options import UNKNOWN, duration, echo_json, open_or_make, size, store_option, table

if TYPE_CHECKING:
    from runner.methods import Outcome


@click.command("methods")
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option(
    "--methods",
    "names",
    default="full,head,lora,qlora",
    show_default=True,
    metavar="A,B",
    help="Methods to compare; peft:TYPE for other adapters.",
)
@click.option(
    "--set", "overrides", multiple=True, metavar="A.B=C", help="Override a value, for all methods that look at it."
)
@click.option(
    "--own-rates", is_flag=True, help="Each method's default epochs and learning rate instead of the recipe's."
)
@click.option("--quiet", is_flag=True, help="Show the table only.")
@click.option("--json", "as_json", is_flag=True, help="Print the table as JSON (and nothing else on stdout).")
@store_option
def command(
    recipe: Path,
    names: str,
    overrides: tuple[str, ...],
    own_rates: bool,
    quiet: bool,
    as_json: bool,
    store_path: Path | None,
) -> None:
    """Train RECIPE by several methods, and show what each came to: quality, size, memory, time.

    Each is an ordinary run; one of the same recipe on the same data that is there already is not done again. A method
    that fails is a line with its cause. See docs/methods.md.

    Exit codes: 0 all finished, 1 one or more did not.
    """
    from runner.data import check_data, prepare_data
    from runner.location import check_locations
    from runner.methods import compare_methods, plan_ways

    ways = plan_ways(recipe, overrides, [name.strip() for name in names.split(",")], own_rates=own_rates)
    first = next(way.loaded for way in ways if way.loaded is not None)
    check_locations(first.recipe)
    store = open_or_make(store_path, lambda: check_data(first.recipe))
    dataset = prepare_data(store, first.recipe).dataset

    def say(text: str) -> None:
        if not quiet:
            click.echo(text, err=True)

    outcomes = compare_methods(recipe, ways, store, dataset.key, say=say, quiet=quiet)
    if as_json:
        echo_json([outcome.as_dict() for outcome in outcomes])
    else:
        click.echo(describe(outcomes))
    sys.exit(int(any(outcome.status != "finished" for outcome in outcomes)))


def describe(outcomes: "list[Outcome]") -> str:
    """The table, and under it why a method has no numbers."""
    metric = next((outcome.metric for outcome in outcomes if outcome.metric), "")
    headers = [
        "method",
        f"validation {metric}",
        f"test {metric}",
        "trained",
        "of",
        "peak memory",
        "training",
        "checkpoint",
    ]
    rows = []
    for outcome in outcomes:
        cost = outcome.cost
        peak = cost.peak_host_bytes if cost.peak_device_bytes is None else cost.peak_device_bytes
        rows.append(
            [
                outcome.method,
                *(_score(outcome, split) for split in ("validation", "test")),
                _count(cost.trainable_parameters),
                _count(cost.total_parameters),
                size(peak),
                duration(cost.train_seconds),
                size(outcome.checkpoint_bytes),
            ]
        )
    lines = [table(headers, rows, right=range(3, 8))]
    lines += [
        f"{outcome.method} {outcome.status}: {outcome.cause or 'no reason is known'}"
        for outcome in outcomes
        if outcome.status != "finished"
    ]
    return "\n".join(lines)


def _score(outcome: "Outcome", split: str) -> str:
    if split not in outcome.scores:
        return UNKNOWN
    value, low, high = outcome.scores[split]
    return f"{value:.4f}" if low is None or high is None else f"{value:.4f} [{low:.4f}, {high:.4f}]"


def _count(n: int | None) -> str:
    return UNKNOWN if n is None else f"{n:,}"
