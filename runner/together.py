"""A training in several processes: one records it, the others follow (`runner.distributed`: what they share)."""

import io
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from runner.checkpoints import Intact, tidy_finished
from runner.data.problems import DataError
from runner.devices import choose_device
from runner.distributed import Group, join
from runner.errors import NotTogether
from runner.experiment import Experiment, new_run, prepare
from runner.interrupts import Interrupted, held_interrupts
from runner.launcher import follows
from runner.progress import Progress
from runner.recipe import LoadedRecipe
from runner.resume import go_on, read_recorded
from runner.train import Start, carry_out, train_recorded
from runner.training_state import FOLDER, read_training_state
from store import Checkpoint, Recorder, Run, Status, Store, get_dataset, get_run, record_run
from store.silent import SilentRecorder


@dataclass(frozen=True)
class Told:
    """What the process that records tells the others as training begins."""

    run_key: int
    dataset_key: int
    segment: int = 1
    folder: Path | None = None
    """Of the checkpoint to go on from; None: from the untrained model."""
    checkpoint: Checkpoint | None = None

    def start(self) -> Start:
        if self.folder is None or self.checkpoint is None:
            return Start()
        return Start(Intact(self.folder, self.checkpoint, read_training_state(self.folder / FOLDER)))


Tell = Callable[[Told], None]


def train_together(loaded: LoadedRecipe, store: Store, progress: Progress, command: Sequence[str]) -> Run:
    """As `runner.train.train`, in the process that records. The others leave from here, with an exit code.

    Raises NotTogether, or the error of bad input, before there is a run.
    """

    def record(group: Group, tell: Tell) -> Run:
        tidy_finished(store)
        experiment = _prepared(group, loaded, store, progress)
        with held_interrupts() as interrupts:
            run = record_run(store, new_run(experiment, command), status=Status.RUNNING)
            assert run.dataset_key is not None
            tell(Told(run.key, run.dataset_key))
            progress.message(
                f"{group.size} processes train together, {loaded.recipe.training.batch_size} examples each"
            )
            return carry_out(experiment, Recorder(store, run), progress, interrupts, Start(), None, None)

    return _together(loaded, store, record)


def resume_together(
    store: Store, run: Run, progress: Progress, command: Sequence[str], *, from_start: bool = False
) -> Run:
    """As `runner.resume.resume`, in the process that records. The others leave from here, with an exit code."""
    recorded = read_recorded(store, run)

    def record(group: Group, tell: Tell) -> Run:
        def begins(segment: int, start: Start) -> None:
            intact = start.intact
            place = (None, None) if intact is None else (intact.folder, intact.checkpoint)
            tell(Told(run.key, recorded.dataset.key, segment, *place))

        return go_on(store, run, progress, command, from_start=from_start, group=group, begins=begins)

    return _together(recorded.loaded, store, record)


def _together(loaded: LoadedRecipe, store: Store, record: Callable[[Group, Tell], Run]) -> Run:
    """`record` in the process that records; it tells the others what to do, once, and they leave from here."""
    try:
        group = join(loaded.recipe, choose_device(loaded.recipe.training))
    except NotTogether:
        if follows():
            sys.exit(2)  # the process that records says why
        raise
    assert group is not None
    try:
        if not group.records:
            sys.exit(_follow(group, loaded, store))
        return _recorded(group, record)
    finally:
        group.leave()


def _recorded(group: Group, record: Callable[[Group, Tell], Run]) -> Run:
    said: list[Told] = []

    def tell(word: Told) -> None:
        said.append(word)
        group.tell(word)

    try:
        return record(group, tell)
    except BaseException:
        if not said:
            group.tell(None)
        raise


def _prepared(
    group: Group, loaded: LoadedRecipe, store: Store, progress: Progress, dataset_key: int | None = None
) -> Experiment:
    dataset = None if dataset_key is None else get_dataset(store, dataset_key)
    experiment = prepare(loaded, store, progress, dataset=dataset, group=group)
    n = len(experiment.splits["train"])
    if n < group.size:
        raise DataError([f"{n} training examples are fewer than the {group.size} processes that would share them."])
    return experiment


def _follow(group: Group, loaded: LoadedRecipe, store: Store) -> int:
    """An exit code: 0 all done, 2 there was no run to follow, 130 interrupted. Errors are raised."""
    told: Told | None = group.tell()
    if told is None:
        return 2  # the process that records says why
    silent = Progress(io.StringIO())
    experiment = _prepared(group, loaded, store, silent, told.dataset_key)
    recorder = SilentRecorder(store, get_run(store, told.run_key), told.segment)
    with held_interrupts() as interrupts:
        try:
            train_recorded(experiment, recorder, silent, interrupts, told.start(), None, None)
        except (Interrupted, KeyboardInterrupt):
            return 130
    return 0
