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

from dashboard.tasks import CLASSIFICATION, Task, tasks_of

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

    no_answer: bool = False
    """Whether nothing is known of the recipe: asked again, the command line may say more."""


def check_recipe(text: str, longest: int | None = None) -> RecipeCheck:
    """Check a recipe's text; `longest` is the length of the longest text in tokens, where it is known.

    Relative paths in it would start from a temporary folder: write absolute ones. An answer is kept, none is not.
    """
    try:
        return _check(text, longest)
    except NoAnswer as error:
        text = f"`runner recipe check` gave no answer ({error}); run it in a terminal to see why"
        problem = {"path": "", "value": None, "message": text, "hint": "", "where": ""}
        return RecipeCheck((problem,), None, None, None, no_answer=True)


@st.cache_data(show_spinner=False, max_entries=256)
def _check(text: str, longest: int | None) -> RecipeCheck:
    with tempfile.TemporaryDirectory(prefix="assay-check-") as folder:
        file = Path(folder) / "recipe.toml"
        file.write_text(text, encoding="utf-8")
        answer = _ask("check", str(file), *([f"--longest={longest}"] if longest else []))
    return RecipeCheck(tuple(answer["problems"]), answer["resolved"], answer["hash"], answer["memory"])


def list_tasks(store_path: str | None = None, dataset: str | None = None) -> tuple[Task, ...]:
    """All tasks, or those that a stored dataset (NAME@VERSION) has rows for; where the command line does not answer,
    text classification."""
    try:
        return _tasks(store_path, dataset)
    except NoAnswer:
        return (CLASSIFICATION,)


def task_named(name: str | None) -> Task:
    """A task by its name; one that the command line does not know, or none, is text classification."""
    return next((task for task in list_tasks() if task.name == name), CLASSIFICATION)


@st.cache_data(show_spinner=False, max_entries=64)
def _tasks(store_path: str | None, dataset: str | None) -> tuple[Task, ...]:
    of = [] if dataset is None else ["--dataset", dataset, "--store", str(store_path)]
    return tasks_of(_ask("tasks", *of)["tasks"])


class NoAnswer(Exception):
    """The command line did not answer, or said something else than was asked; says why."""


def _ask(*words: str) -> Any:
    """What `runner recipe … --json` answers."""
    try:
        done = subprocess.run(
            [*RUNNER, "recipe", *words, "--json"], capture_output=True, text=True, timeout=_PATIENCE_SECONDS,
            check=False,
        )  # fmt: skip
        return json.loads(done.stdout)
    except (OSError, subprocess.TimeoutExpired, json.JSONDecodeError) as error:
        raise NoAnswer(str(error).strip() or type(error).__name__) from error


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
