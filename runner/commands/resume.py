"""`runner resume RUN`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from runner.commands.options import echo_json, open_reconciled, store_option

if TYPE_CHECKING:
    from store import Run, Store


@click.command("resume")
@click.argument("run", metavar="RUN")
@click.option("--from-start", is_flag=True, help="Leave the checkpoints alone and start the run again.")
@click.option("--quiet", is_flag=True, help="Show warnings and the last line only.")
@click.option("--plain", is_flag=True, help="Lines instead of a progress bar (the default when not a terminal).")
@click.option("--json", "as_json", is_flag=True, help="Print the run as JSON at the end (and nothing else on stdout).")
@store_option
def command(run: str, from_start: bool, quiet: bool, plain: bool, as_json: bool, store_path: Path | None) -> None:
    """Go on with RUN, which failed or was killed or pruned, from its newest intact checkpoint.

    RUN may also be a checkpoint's folder: the run id inside says whose it is. See docs/recovery.md.
    """
    store = open_reconciled(store_path)
    from runner.launcher import follows
    from runner.location import model_location
    from runner.resume import read_recorded, require_processes, require_resumable, resume

    found = find_run(store, run)
    if not follows():  # else the process that records says it
        found = require_resumable(store, found)
        require_processes(found, "resume")
    recorded = read_recorded(store, found)
    model = recorded.loaded.recipe.model
    model_location(model.base, model.revision)  # all this before torch is loaded
    from runner.progress import make_progress
    from runner.quiet import quiet_libraries

    quiet_libraries()
    mode: Literal["auto", "plain", "quiet"] = "quiet" if quiet else "plain" if plain else "auto"
    ended = resume(store, found, make_progress(mode), from_start=from_start)
    if as_json:
        from runner.commands.show import as_dict

        echo_json(as_dict(store, ended))
    if ended.status == "killed":
        sys.exit(130)
    if ended.status != "finished":
        sys.exit(1)
    if recorded.loaded.recipe.triage.after_training:
        from runner.commands.train import look_at_data

        sys.exit(look_at_data(store, ended, mode, as_json=as_json))


def find_run(store: "Store", selector: str) -> "Run":
    """The run of a selector, or of a checkpoint's folder. Raises RunNotFound, UserError."""
    from store import RunNotFound, get_run

    folder = Path(selector)
    if not folder.is_dir():
        return get_run(store, selector)
    from runner.classifier import read_info

    info = read_info(folder)
    try:
        return get_run(store, info.run_id)
    except RunNotFound as error:
        raise RunNotFound(
            f"{folder} is a checkpoint of run {info.run_id} (step {info.step:,}), which is not in {store.path}. "
            "Name the store that has it with --store."
        ) from error
