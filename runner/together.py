"""A training in several processes: one records it, the others follow (`runner.distributed`: what they share)."""

import io
import sys
from collections.abc import Sequence
from dataclasses import replace

from runner.checkpoints import tidy_finished
from runner.data.problems import DataError
from runner.devices import choose_device
from runner.distributed import Group, join
from runner.experiment import Experiment, new_run, prepare
from runner.interrupts import Interrupted, held_interrupts
from runner.progress import Progress
from runner.recipe import LoadedRecipe
from runner.train import Start, carry_out, train_recorded
from store import Recorder, Run, Status, Store, get_dataset, get_run, record_run
from store.silent import SilentRecorder


def train_together(loaded: LoadedRecipe, store: Store, progress: Progress, command: Sequence[str]) -> Run:
    """As `runner.train.train`, in the process that records. The others leave from here, with an exit code.

    Raises NotTogether, or the error of bad input, before there is a run.
    """
    recipe = loaded.recipe
    group = join(recipe.model.method, choose_device(recipe.training))
    assert group is not None
    try:
        if group.records:
            return _record(group, loaded, store, progress, command)
        sys.exit(_follow(group, loaded, store))
    finally:
        group.leave()


def _record(group: Group, loaded: LoadedRecipe, store: Store, progress: Progress, command: Sequence[str]) -> Run:
    tidy_finished(store)
    try:
        experiment = _prepared(group, loaded, store, progress)
    except BaseException:
        group.tell(None)
        raise
    with held_interrupts() as interrupts:
        run = record_run(store, new_run(experiment, command), status=Status.RUNNING)
        group.tell((run.key, run.dataset_key))
        progress.message(f"{group.size} processes train together, {loaded.recipe.training.batch_size} examples each")
        return carry_out(experiment, Recorder(store, run), progress, interrupts, Start(), None, None)


def _prepared(
    group: Group, loaded: LoadedRecipe, store: Store, progress: Progress, dataset_key: int | None = None
) -> Experiment:
    dataset = None if dataset_key is None else get_dataset(store, dataset_key)
    experiment = replace(prepare(loaded, store, progress, dataset=dataset), group=group)
    n = len(experiment.splits["train"])
    if n < group.size:
        raise DataError([f"{n} training examples are fewer than the {group.size} processes that would share them."])
    return experiment


def _follow(group: Group, loaded: LoadedRecipe, store: Store) -> int:
    """An exit code: 0 all done, 2 there was no run to follow, 130 interrupted. Errors are raised."""
    told = group.tell()
    if told is None:
        return 2  # the process that records says why
    run_key, dataset_key = told
    silent = Progress(io.StringIO())
    experiment = _prepared(group, loaded, store, silent, dataset_key)
    recorder = SilentRecorder(store, get_run(store, run_key))
    with held_interrupts() as interrupts:
        try:
            train_recorded(experiment, recorder, silent, interrupts, Start(), None, None)
        except (Interrupted, KeyboardInterrupt):
            return 130
    return 0
