"""`runner export RUN DIR`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runner.commands.options import echo_json, json_option, open_reconciled, size, store_option, what_is_written

if TYPE_CHECKING:
    from runner.publish.export import Done


@click.command("export")
@click.argument("run", metavar="RUN")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@what_is_written
@json_option
@store_option
def command(
    run: str,
    folder: Path,
    wanted: Any,
    extras: tuple[str, ...],
    step: int | None,
    as_json: bool,
    store_path: Path | None,
) -> None:
    """Write RUN's best checkpoint to the new folder DIR, with its model card, so that it loads without Assay.

    transformers: what an auto class of transformers loads: a classifier, a tagger, a language model. parts: backbone,
    head and tokenizer, each loaded by the library that made it, for models that those classes cannot hold. adapter: of
    a LoRA or another adapter only that, and its head. auto: transformers where it can be, else parts. The folder's
    answers are compared with the run's own before it is in its place. See docs/publish.md.
    """
    from runner.publish.plan import check_target, plan_export
    from store import get_run

    store = open_reconciled(store_path)
    plan = plan_export(store, get_run(store, run), step=step, wanted=wanted, extras=extras)
    check_target(folder)  # all this before torch is loaded
    from runner.quiet import quiet_libraries

    quiet_libraries()
    from runner.interrupts import Interrupted, held_interrupts
    from runner.publish.export import export

    try:
        with held_interrupts() as interrupts, interrupts.let_through():
            done = export(plan, folder)
    except Interrupted:
        click.echo("interrupted: nothing was written", err=True)
        sys.exit(130)
    if as_json:
        echo_json(as_dict(done))
        return
    click.echo(f"{plan.run.name} ({plan.run.id}), step {plan.checkpoint.step:,}, {size(done.n_bytes)}: {done.folder}")
    click.echo(said(done))


def as_dict(done: "Done") -> dict[str, Any]:
    exported, checked = done.exported, done.exported.checked
    return {
        "folder": str(done.folder),
        "format": exported.loading.form,
        "reason": exported.reason,
        "bytes": done.n_bytes,
        "n_compared": checked.n_compared,
        "largest_difference": checked.difference,
        "n_written_alike": checked.n_written,
    }


def said(done: "Done") -> str:
    """How it was written, why so, and how it was checked."""
    from runner.publish.card import at_most

    exported, checked = done.exported, done.exported.checked
    why = f" ({exported.reason})" if exported.reason else ""
    writes = "" if checked.n_written is None else f", what it writes to {checked.n_written} is the same"
    return (
        f"written as {exported.loading.form}{why}; its answers to {checked.n_compared} texts differ by at most "
        f"{at_most(checked.difference)} from the run's own{writes}. README.md says how to load it."
    )
