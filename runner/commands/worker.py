"""`runner worker`."""

import contextlib
import sys
import time
from pathlib import Path

import click

from runner.commands.options import open_reconciled, store_option


@click.command("worker")
@click.option("--device", help="cpu, cuda:0, cuda:1, … (default: the best there is). One worker a device.")
@click.option(
    "--once", is_flag=True, help="Take one job, if there is one, and end. Exit code 1 when it did not finish."
)
@click.option("--idle-exit", type=click.FloatRange(0), metavar="SECONDS", help="End after so long without a job.")
@store_option
def command(device: str | None, once: bool, idle_exit: float | None, store_path: Path | None) -> None:
    """Take jobs from the queue, one after the other, and carry each out in a process of its own.

    Closing the terminal touches neither the worker nor its job. Ctrl-C: the worker stops when its job has ended; once
    more: the job is cancelled, and can be taken up again with `runner queue retry`. SIGTERM: the worker ends and its
    job goes on by itself. See docs/queue.md.
    """
    from runner.queue.devices import choose_worker_device
    from runner.queue.worker import JobWorker

    chosen = choose_worker_device(device)
    store = open_reconciled(store_path)
    sys.exit(JobWorker(store, chosen, say=_say, once=once, idle_exit=idle_exit).run())


def _say(text: str) -> None:
    with contextlib.suppress(OSError, ValueError):  # the terminal may be gone: that is no reason to stop
        click.echo(f"{time.strftime('%H:%M:%S')} {text}")
