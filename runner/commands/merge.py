"""`runner merge RUN…`."""

import sys
from pathlib import Path
from typing import Any

import click

from runner.commands.options import echo_json, open_reconciled, store_option, table


@click.command("merge")
@click.argument("runs", nargs=-1, required=True, metavar="RUN…")
@click.option(
    "--by",
    "way",
    type=click.Choice(["linear", "cat", "ties", "dare-linear", "dare-ties", "magnitude-prune"]),
    help="How the changes are combined (default: linear).",
)
@click.option("--weights", "weights_text", metavar="A,B,…", help="A weight above 0 for each run, in their order.")
@click.option("--density", type=float, help="Share of the changes that stays, above 0 to 1 (default: 0.5).")
@click.option("--seed", type=click.IntRange(0), help="Of what dare drops (default: 0).")
@click.option("--fold", is_flag=True, help="Put the adapter into the weights of its base; one RUN alone will do.")
@click.option("--each", is_flag=True, help="A merged run for each RUN: the same weights, that run's head and data.")
@click.option("--name", help="Of the merged run (default: the first run's, and the way).")
@click.option("--dataset", "dataset_name", metavar="NAME@VERSION", help="Evaluate on this instead of the first run's.")
@click.option("--quiet", is_flag=True, help="Show warnings and the last line only.")
@click.option("--plain", is_flag=True, help="Lines instead of a progress bar (the default when not a terminal).")
@click.option("--json", "as_json", is_flag=True, help="Print the run as JSON at the end (and nothing else on stdout).")
@store_option
def command(
    runs: tuple[str, ...],
    way: Any,
    weights_text: str | None,
    density: float | None,
    seed: int | None,
    fold: bool,
    each: bool,
    name: str | None,
    dataset_name: str | None,
    quiet: bool,
    plain: bool,
    as_json: bool,
    store_path: Path | None,
) -> None:
    """Make one model of the best checkpoints of several RUNs of one base: adapters of LoRA, or full fine-tunes.

    The result is a run of its own, evaluated on every split but train; its parents are kept with it. Weights are 1/n by
    default, 1 for ties and dare-ties. Heads are averaged by the weights; --each merges models of several tasks, and
    every task keeps its own. See docs/merge.md.
    """
    from runner.merge.plan import plan_merge
    from store import get_dataset, get_run

    store = open_reconciled(store_path)
    merges = plan_merge(
        store,
        [get_run(store, run) for run in runs],
        way=way,
        weights=_weights(weights_text),
        density=density,
        seed=seed,
        fold=fold,
        each=each,
        name=name,
        dataset=None if dataset_name is None else get_dataset(store, dataset_name.removeprefix("dataset:")),
    )
    from runner.location import model_location

    model = merges[0].parents[0].recipe.model
    model_location(model.base, model.revision)  # all this before torch is loaded
    from runner.progress import make_progress
    from runner.quiet import quiet_libraries

    quiet_libraries()
    from runner.merge.run import merge_runs

    made = merge_runs(merges, store, make_progress("quiet" if quiet else "plain" if plain else "auto"))
    if as_json:
        from runner.commands.show import as_dict

        shown = [as_dict(store, run) for run in made]
        echo_json(shown if each else shown[0])
    elif each and not quiet:
        from runner.merge.scores import HEADERS, score_rows

        click.echo(table(HEADERS, score_rows(store, made), right=(3,)))
    if unfinished := [run for run in made if run.status != "finished"]:
        sys.exit(130 if unfinished[0].status == "killed" else 1)


def _weights(text: str | None) -> list[float] | None:
    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError as error:
        raise click.BadParameter(f"{text!r}: numbers with commas between them, such as 0.7,0.3.") from error
