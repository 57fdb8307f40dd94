"""What the dashboard asks of the command line: whether a recipe is good, and a worker that stays when the page goes.

The command line is a program of its own, called by its name: training code is never loaded here.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

# -P: a folder that is called like one of our packages must not stand in for it.
RUNNER = (sys.executable, "-P", "-m", "runner")
_PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class RecipeCheck:
    """What `runner recipe check --json` says of a recipe: everything wrong with it, or what it means and takes."""

    problems: tuple[Mapping[str, str | None], ...]
    """path, value, message, hint, where; all as text."""
    resolved: Mapping[str, Any] | None
    hash: str | None
    memory: Mapping[str, Any] | None
    """device, available_bytes, bytes (weights, gradients, optimizer, activations, total, most; or None), reason."""


@st.cache_data(show_spinner=False, max_entries=256)
def check_recipe(text: str, longest: int | None = None) -> RecipeCheck:
    """Check a recipe's text; `longest` is the length of the longest text in tokens, where it is known.

    Relative paths in it would start from a temporary folder: write absolute ones.
    """
    with tempfile.TemporaryDirectory(prefix="assay-check-") as folder:
        file = Path(folder) / "recipe.toml"
        file.write_text(text, encoding="utf-8")
        command = [*RUNNER, "recipe", "check", str(file), "--json", *([f"--longest={longest}"] if longest else [])]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE_SECONDS, check=False)
            answer = json.loads(done.stdout)
        except (subprocess.TimeoutExpired, json.JSONDecodeError) as error:
            return _broken(str(error).strip() or type(error).__name__)
    return RecipeCheck(tuple(answer["problems"]), answer["resolved"], answer["hash"], answer["memory"])


def _broken(reason: str) -> RecipeCheck:
    text = f"`runner recipe check` gave no answer ({reason}); run it in a terminal to see why"
    return RecipeCheck(({"path": "", "value": None, "message": text, "hint": "", "where": ""},), None, None, None)


def start_worker(store_path: str) -> Path:
    """Start `runner worker` for the best device here, in a session of its own; returns the file it writes to.

    It outlives the dashboard, and ends by itself when another worker has the device.
    """
    store = Path(store_path)
    log = store.with_name(f"{store.stem}-files") / "jobs" / "worker.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        subprocess.Popen(
            [*RUNNER, "worker", "--store", store_path], cwd=store.parent, stdin=subprocess.DEVNULL, stdout=file,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    return log
