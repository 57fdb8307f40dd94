"""Training beside the record: as any run is trained, in a store of its own that is thrown away."""

import shutil
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from runner.experiment import Experiment
from runner.inference import Vectors
from runner.interrupts import Interrupts
from runner.progress import Progress
from runner.recipe import LoadedRecipe
from runner.shared import Shared
from runner.train import Start, train_recorded
from store import NewRun, Recorder, Run, RunCost, Status, Store, get_cost, open_store, record_run


@dataclass(frozen=True)
class Aside:
    """A training that was carried through. `store` has its records, and is gone after the context."""

    store: Store
    run: Run
    cost: RunCost
    outcome: str
    """A sentence: the selecting metric."""


@contextmanager
def trained_aside(
    experiment: Experiment,
    features: Mapping[str, Vectors],
    folder: Path,
    progress: Progress,
    interrupts: Interrupts,
) -> Iterator[Aside]:
    """Train the experiment; its model then has the weights that a run would have ended with.

    features: of the experiment's splits, for method head; else {}. folder: for this training alone; what a killed
    process left there is removed. Raises what keeps the training from its end, Interrupted too.
    """
    name = experiment.loaded.recipe.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    store = open_store(folder / "aside.db")
    try:
        run = record_run(store, NewRun(name), status=Status.RUNNING)
        recorder = Recorder(store, run)
        try:
            end = train_recorded(
                experiment,
                recorder,
                progress,
                interrupts,
                Start(),
                None,
                _Features(dict(features)) if features else None,
            )
        finally:
            recorder.finish()
        yield Aside(store, run, get_cost(store, run.key), end.text)
    finally:
        store.close()
        shutil.rmtree(folder, ignore_errors=True)


def recipe_aside(loaded: LoadedRecipe, name: str, *, dynamics: bool = False) -> LoadedRecipe:
    """The recipe of a training of which only the best weights, or the dynamics, are wanted."""
    recipe = loaded.recipe
    nothing = {"dynamics": dynamics, "predictions": False, "embeddings": False}
    changes = {
        "name": name,
        "sweep": None,
        "recording": recipe.recording.model_copy(update=nothing),
        "checkpoints": recipe.checkpoints.model_copy(
            update={"keep": "none" if dynamics or recipe.checkpoints.keep == "none" else "best"}
        ),
    }
    return replace(loaded, recipe=recipe.model_copy(update=changes))


class _Features(Shared):
    """Hands out features that are there already."""

    def __init__(self, features: dict[str, Vectors]) -> None:
        super().__init__()
        self._there = features

    def features(
        self, key: Hashable, make: Callable[[], tuple[dict[str, Vectors], str]]
    ) -> tuple[dict[str, Vectors], str]:
        return self._there, ""
