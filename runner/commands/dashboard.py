"""`runner dashboard`."""

import os
import subprocess
import sys
from pathlib import Path

import click

from runner.commands.options import open_reconciled, store_option
from runner.opening import has_screen
from runner.paths import default_store


@click.command("dashboard")
@click.option("--port", type=click.IntRange(1, 65_535), default=8501, show_default=True, help="Port to listen on.")
@click.option("--host", default="localhost", show_default=True, help="Address to listen on; others can reach 0.0.0.0.")
@click.option("--open/--no-open", "opens", default=True, help="Open a browser window.")
@store_option
def command(port: int, host: str, opens: bool, store_path: Path | None) -> None:
    """Open the dashboard on the store. It reads; it never trains."""
    from importlib.util import find_spec

    spec = find_spec("dashboard")
    assert spec is not None
    assert spec.origin is not None
    app = Path(spec.origin).with_name("app.py")
    path = default_store(store_path).expanduser().absolute()
    if path.exists():
        open_reconciled(path).close()
    os.environ["ASSAY_STORE"] = str(path)
    if opens and has_screen():
        address = f"http://{'localhost' if host == '0.0.0.0' else host}:{port}"
        subprocess.Popen([sys.executable, "-P", "-m", "runner.opening", address])
    arguments = [sys.executable, "-m", "streamlit", "run", str(app)]
    settings = {
        "server.port": port,
        "server.address": host,
        "server.headless": "true",  # else it asks for an e-mail address first, and advertises on the pages
        "browser.gatherUsageStats": "false",
    }
    os.execv(sys.executable, [*arguments, *(f"--{name}={value}" for name, value in settings.items())])
