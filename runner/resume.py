"""Going on with a run that ended before its time, from its newest intact checkpoint, as if it had never stopped.

The dataset version and the resolved recipe are those in the store: the source file may be gone.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runner.errors import ModelError, UserError
from runner.launcher import n_launched
from runner.recipe import LoadedRecipe, RecipeError, recipe_from_resolved
from store import (
    Dataset,
    DatasetNotFound,
    Run,
    Status,
    Store,
    get_cost,
    get_dataset,
    get_lease,
    get_run,
    open_segment,
    spool_status,
)
from store.segments import RESUMABLE

if TYPE_CHECKING:
    from runner.control import Control
    from runner.distributed import Group
    from runner.progress import Progress
    from runner.shared import Shared
    from runner.train import Start


_MOST_CHANGES = 5  # that are named


class NotResumable(UserError):
    """The run cannot go on; its text says why and what can be done."""


@dataclass(frozen=True)
class Recorded:
    """What the store has of a run that it takes to run it again."""

    loaded: LoadedRecipe
    dataset: Dataset


def resume(
    store: Store,
    run: Run,
    progress: "Progress",
    *,
    command: Sequence[str] | None = None,
    control: "Control | None" = None,
    shared: "Shared | None" = None,
    from_start: bool = False,
) -> Run:
    """Go on with a failed, killed or pruned run. Returns it, whatever became of it this time.

    It goes on from the newest checkpoint whose every file is intact, in a new segment; what was recorded of later steps
    is hidden. Where the run saved none yet, or with `from_start`, it starts again from the untrained model.

    Raises NotResumable, RunHeld, or the error of bad input (as `runner.train.train` does) before anything has changed.
    """
    if n_launched() > 1:
        from runner.together import resume_together

        return resume_together(store, run, progress, command or sys.argv, from_start=from_start)
    return go_on(store, run, progress, command or sys.argv, control=control, shared=shared, from_start=from_start)


def go_on(
    store: Store,
    run: Run,
    progress: "Progress",
    command: Sequence[str],
    *,
    control: "Control | None" = None,
    shared: "Shared | None" = None,
    from_start: bool = False,
    group: "Group | None" = None,
    begins: "Callable[[int, Start], None]" = lambda segment, start: None,
) -> Run:
    """As `resume`, in the process that records. `begins` is told the segment and its start."""
    run = require_resumable(store, run)
    recorded = read_recorded(store, run)
    from runner.checkpoints import find_intact, remove_strays
    from runner.experiment import base_mark, new_run, prepare
    from runner.interrupts import held_interrupts
    from runner.train import Start, carry_out
    from store import Recorder

    require_processes(run, "resume")
    intact, wrong = (None, []) if from_start else find_intact(store, run)
    if intact is None and wrong:
        raise NotResumable(
            f"run {run.name} ({run.id}) has no intact checkpoint to go on from:\n"
            + "\n".join(f"  {text}" for text in wrong)
            + "\nPut the files back (from a backup), or start the run again with `--from-start`."
        )
    experiment = prepare(recorded.loaded, store, progress, dataset=recorded.dataset, shared=shared, group=group)
    if intact is not None and intact.state.parts["base"] != base_mark(experiment):
        raise ModelError(
            f"model.base = {recorded.loaded.recipe.model.base!r} is not the model that run {run.name} ({run.id}) was "
            "trained on: its weights differ. Bring the old one back (model.revision names one of a hub's), or start "
            "the run again with `--from-start`."
        )
    with held_interrupts() as interrupts:
        step, counters = None, None
        if intact is not None:
            step, counters = intact.checkpoint.step, intact.state.counters
        number = open_segment(
            store,
            run,
            step,
            n_epochs=counters.n_epochs if counters else 0,
            best_step=counters.best_step if counters else None,
        )
        remove_strays(store, run)
        seconds = counters.seconds if counters else 0.0
        recorder = Recorder(store, get_run(store, run.key), segment=number, seconds=seconds)
        where = "from the start" if step is None else f"from step {step:,}"
        for text in wrong:
            progress.warning(f"not intact: {text}")
            recorder.event("warning", f"checkpoint not intact: {text}")
        progress.message(f"{run.name} ({run.id}) goes on {where}; it was {run.status}: {run.cause}")
        changed = _changes(run, new_run(experiment, command).provenance or {})
        if changed:
            text = f"goes on with other code, packages or device than it began with: {', '.join(changed)}"
            progress.message(text)
            recorder.event("changed", text)
        start = Start(intact, was_pruned=run.status == Status.PRUNED, spent=get_cost(store, run.key))
        begins(number, start)
        return carry_out(experiment, recorder, progress, interrupts, start, control, shared)


def _changes(run: Run, now: Mapping[str, object]) -> list[str]:
    """What is not as it was when the run began and can move its numbers, in words; five things at most."""
    from runner.provenance import diff_provenance

    found = [
        f"{path} {a} → {b}"
        for path, a, b in diff_provenance(run.provenance or {}, now)
        if path.split(".")[0] in ("git", "packages", "python", "device", "determinism")
    ]
    return found if len(found) <= _MOST_CHANGES else [*found[:_MOST_CHANGES], f"and {len(found) - _MOST_CHANGES} more"]


def require_resumable(store: Store, run: Run) -> Run:
    """The run as it is now. Raises NotResumable, naming the next step, unless it failed or was killed or pruned."""
    run = get_run(store, run.key)
    name = f"run {run.name} ({run.id})"
    if run.status in RESUMABLE:
        waiting = spool_status(store).rows_of(run.id)
        if waiting:
            raise NotResumable(
                f"{waiting:,} rows of {name} wait on disk to be written to {store.path}: without them it is not known "
                "how far it came. `runner doctor` says what holds them up."
            )
        return run
    if run.status == Status.FINISHED:
        raise NotResumable(
            f"{name} is finished: there is nothing to go on with. `runner reproduce {run.id}` runs it again, "
            f"`runner show {run.id} --recipe` prints its recipe."
        )
    if run.status == Status.QUEUED:
        raise NotResumable(f"{name} is queued: it has not begun, so there is nothing to go on with.")
    lease = get_lease(store, run.key)
    where = f" in process {lease.pid} on {lease.host}" if lease else ""
    raise NotResumable(f"{name} is running{where}; stop it first (Ctrl-C there, or kill {lease.pid if lease else ''}).")


def require_processes(run: Run, command: str) -> None:
    """Raise NotResumable where a run was trained by another number of processes: their order of examples is another."""
    trained_by, now = int(str((run.provenance or {}).get("processes", 1))), n_launched()
    if trained_by == now:
        return
    name = f"run {run.name} ({run.id})"
    if trained_by == 1:
        raise NotResumable(f"{name} was trained by one process: start `runner {command} {run.id}` without a launcher.")
    again = f"torchrun --nproc-per-node {trained_by} -m runner"
    advice = (
        f"`{again} resume {run.id}` goes on with it."
        if command == "resume"
        else f"train its recipe again (`{again} train`, `runner show {run.id} --recipe`)."
    )
    lacks = "one does" if now == 1 else f"{now} do"
    raise NotResumable(
        f"{name} was trained by {trained_by} processes together, whose order of examples {lacks} not have: {advice}"
    )


def read_recorded(store: Store, run: Run) -> Recorded:
    """Recipe and dataset of a run. Raises NotResumable where they are not there or not understood."""
    name = f"run {run.name} ({run.id})"
    if (run.provenance or {}).get("merge"):
        raise NotResumable(f"{name} was merged of other runs, not trained: `runner merge` makes such a run again.")
    if run.recipe is None:
        raise NotResumable(
            f"{name} was recorded by a script: only its own script can run it again. "
            "Runs of `runner train` can be resumed and reproduced."
        )
    try:
        recipe = recipe_from_resolved(run.recipe)
    except RecipeError as error:
        raise NotResumable(
            f"{name} was recorded by another version of Assay, whose recipe this one does not understand:\n{error}\n"
            f"Use that version{_version(run)}, or train a changed recipe (`runner show {run.id} --recipe`)."
        ) from error
    try:
        if run.dataset_key is None:
            raise DatasetNotFound("it names none")
        dataset = get_dataset(store, run.dataset_key)
    except DatasetNotFound as error:
        wanted = ((run.provenance or {}).get("data") or {}).get("dataset", "")  # type: ignore[attr-defined]  # JSON
        raise NotResumable(
            f"{name} was trained on the dataset {wanted or 'of another store'}, which is not in {store.path} any more "
            f"({error}). Bring it back with `runner merge-store`, or train the recipe anew "
            f"(`runner show {run.id} --recipe`)."
        ) from error
    loaded = LoadedRecipe(run.recipe_text or "", recipe, dict(run.recipe), run.recipe_hash or "", None, ())
    return Recorded(loaded, dataset)


def _version(run: Run) -> str:
    packages = (run.provenance or {}).get("packages")
    version = packages.get("assay") if isinstance(packages, dict) else None
    return f" ({version})" if version else ""
