"""Training the same recipe on the corrected version: its text, the job, and which run it is to be held against.

A retrained run has the tag `fixes:RUN_ID` of the run whose recipe it repeats.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dashboard.recipe_form import Form, beyond_defaults, kept_of, recipe_text, settings_of
from dashboard.tasks import CLASSIFICATION, Task
from store import Dataset, Job, Run, Store, job_device, queue_job

TAG = "fixes:"
MAX_ATTEMPTS = 3


def retrain_text(
    run: Run, dataset: Dataset, defaults: Mapping[str, Any], name: str, task: Task = CLASSIFICATION
) -> str:
    """The recipe of a run as TOML, with the data set in place of its data. `defaults`: of the run's method and task.

    Raises ValueError for a run without a recipe.
    """
    if not run.recipe:
        raise ValueError(f"run {run.name} has no recipe")
    own = beyond_defaults(run.recipe, defaults)
    model: Any = run.recipe.get("model") or {}
    kept = {part: value for part, value in kept_of(own).items() if part not in ("data", "tags", "notes")}
    form = Form(
        name,
        f"dataset:{dataset}",
        task=task,
        base=str(model.get("base") or "builtin:minilm"),
        method=str(model.get("method") or "head"),
        settings=settings_of(own),
        kept={**kept, "tags": [*(tag for tag in run.tags if not tag.startswith((TAG, "sweep:"))), f"{TAG}{run.id}"]},
    )
    return recipe_text(form)


def queue_retraining(store: Store, run: Run, name: str, text: str) -> Job:
    """Queue it."""
    training: Any = (run.recipe or {}).get("training") or {}
    device = job_device(str(training.get("device") or "auto"))
    arguments = {"recipe_text": text, "folder": str(Path(store.path).parent)}
    return queue_job(store, "train", name, arguments, device=device, max_attempts=MAX_ATTEMPTS)


def fixed_run(tags: tuple[str, ...]) -> str | None:
    """The id of the run that a retrained one is held against; None for any other run.

    >>> fixed_run(("a", "fixes:01ABC")), fixed_run(())
    ('01ABC', None)
    """
    return next((tag.removeprefix(TAG) for tag in tags if tag.startswith(TAG)), None)
