"""The command line. Each command loads what it needs when it runs, so `runner --help` loads next to nothing.

Exit codes: 0 done · 1 the run failed, or doctor found a problem · 2 bad input or usage · 130 interrupted.
"""

import importlib
import os
import sys
from typing import NamedTuple, NoReturn

import click

from runner.errors import UserError
from runner.launcher import n_launched

# Commands in the order of --help: name, module under runner.commands, one line of help.
COMMANDS: tuple[tuple[str, str, str], ...] = (
    ("train", "train", "Fine-tune what a recipe says and record it."),
    ("profile", "profile", "Show what a recipe's data look like to its model, before training."),
    ("sweep", "sweep", "Search for the best recipe; again and again, it runs only what is missing."),
    ("methods", "methods", "Train a recipe by several methods, and compare what each came to."),
    ("crossval", "crossval", "Ask a recipe's model about every training example that it was not trained on."),
    ("triage", "triage", "Find the training examples that hurt: wrong labels, duplicates, leaks, gaps."),
    ("resume", "resume", "Go on with a run that was killed, failed or pruned."),
    ("reproduce", "reproduce", "Run a recorded run again and say whether the same came out."),
    ("ls", "ls", "List runs."),
    ("show", "show", "Show one run: scores, cost, provenance, checkpoints, log."),
    ("diff", "diff", "What differs between two runs: recipe, code, environment, data."),
    ("rm", "rm", "Remove runs and their files (shows the bytes first)."),
    ("predict", "predict", "Say what a run's model predicts for a file or a split."),
    ("merge", "merge", "Make one model of several runs' models, and evaluate it as a run of its own."),
    ("export", "export", "Write a run's model and its model card to a folder that loads without Assay."),
    ("push", "push", "Put a run's model and its model card on a model hub."),
    ("queue", "queue", "List, add, order, pause and cancel queued jobs."),
    ("worker", "worker", "Take jobs from the queue and carry them out, one process a device."),
    ("recipe", "recipe", "Check a recipe, or print the schema for editors."),
    ("doctor", "doctor", "Look over machine and store, and repair it: what is broken, what will be slow."),
    ("backup", "backup", "Copy the store to a file, checked, while runs go on writing."),
    ("merge-store", "merge_store", "Bring everything of another store into this one, once."),
    ("dashboard", "dashboard", "Open the dashboard in the browser."),
    ("demo", "demo", "Train two small models on built-in data and fill a store."),
)

_ALONE = ("sweep", "methods", "crossval", "reproduce", "worker", "demo", "merge")
"""Commands that train or evaluate, and would do it as often as a launcher starts them."""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called; its help needs none of them."""

    def list_commands(self, context: click.Context) -> list[str]:
        return [name for name, _, _ in COMMANDS]

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        for known, module, _ in COMMANDS:
            if known == name:
                command: click.Command = importlib.import_module(f"runner.commands.{module}").command
                return command
        return None

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, _, text in COMMANDS])


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="assay", prog_name="runner")
def cli() -> None:
    """Assay: fine-tune transformers, and keep every number about every run in one SQLite store.

    RUN may be a run's id, a prefix of it (4 characters or more), a name (the newest run of that name) or @latest.
    The store is --store FILE, else ASSAY_STORE, else assay.db in this folder.

    Exit codes: 0 done, 1 the run failed or doctor found a problem, 2 bad input or usage, 130 interrupted.
    """


class Ended(NamedTuple):
    """How a command ended: its exit code and, where it was an error that the user can mend, the text of it."""

    code: int
    error: str | None = None


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line; what the user can mend is shown as text, without a traceback."""
    sys.exit(run(arguments).code)


def run(arguments: list[str] | None = None) -> Ended:
    """As `main`, for a caller that goes on: a worker's job. Only errors of our own code are raised."""
    # Waiting threads must sleep, not spin: on a shared machine that is 5 to 8 times faster. Read when torch loads.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    words = sys.argv[1:] if arguments is None else arguments
    if words and words[0] in _ALONE and "RANK" in os.environ and n_launched() > 1:
        said = f"`runner {words[0]}` is for one process, and a launcher started {n_launched()}"
        click.echo(f"error: {said}; `runner train` and `runner resume` are for several.", err=True)
        return Ended(2, said)
    try:
        return Ended(cli.main(arguments, standalone_mode=False) or 0)
    except SystemExit as ended:
        return Ended(ended.code if isinstance(ended.code, int) else int(ended.code is not None))
    except click.ClickException as error:
        error.show()
        return Ended(error.exit_code, error.format_message())
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return Ended(130)
    except BrokenPipeError:
        sys.stderr.close()
        return Ended(0)
    except Exception as error:
        if not _is_for_the_user(error):
            raise
        click.echo(f"error: {error}", err=True)
        return Ended(2, str(error))


def _is_for_the_user(error: Exception) -> bool:
    store_errors = sys.modules.get("store.errors")  # if it was never loaded, this is not one of its errors
    return isinstance(error, UserError) or (store_errors is not None and isinstance(error, store_errors.StoreError))
