"""What a triage looks at: a dataset version and the runs that were trained on it. Loads no torch."""

from collections.abc import Sequence
from dataclasses import dataclass

from runner.errors import UserError
from store import Dataset, DatasetNotFound, Run, Status, Store, get_dataset, get_run, list_runs

MOST_RUNS = 8
"""Runs that are listened to where none are named: the newest that finished."""


class SourceError(UserError):
    """What was named cannot be looked at together; all that is wrong."""


@dataclass(frozen=True)
class Sources:
    """A dataset version and the runs trained on its rows, the newest first; there may be none."""

    dataset: Dataset
    runs: tuple[Run, ...]


def find_sources(store: Store, runs: Sequence[str] = (), dataset: str | None = None) -> Sources:
    """The runs that are named, or all finished ones of the dataset (`MOST_RUNS`).

    Raises RunNotFound, RunAmbiguous, DatasetNotFound; SourceError where runs are of different data sets or have none.
    """
    if runs and dataset:
        raise SourceError("name runs, or a data set with --dataset, not both: a run knows its data set.")
    if dataset:
        found = get_dataset(store, dataset.removeprefix("dataset:"))
        return Sources(found, runs_of(store, found))
    if not runs:
        raise SourceError("name one or more runs (`runner ls` lists them), or a data set with --dataset NAME.")
    named = list({run.key: run for run in (get_run(store, each) for each in runs)}.values())
    datasets = [_dataset_of(store, run) for run in named]
    problems = [
        f"run {run.name} ({run.id}) was trained on no dataset of this store, so there is nothing to look at."
        for run, each in zip(named, datasets, strict=True)
        if each is None
    ]
    known = [(run, each) for run, each in zip(named, datasets, strict=True) if each is not None]
    if len({each.fingerprint for _, each in known}) > 1:
        listed = "; ".join(f"{run.name} ({run.id}): {each}" for run, each in known)
        problems.append(f"these runs were trained on different data sets ({listed}). Look at those of one at a time.")
    problems += [
        f"run {run.name} ({run.id}) is {run.status}: wait for its end."
        for run in named
        if run.status in (Status.RUNNING, Status.QUEUED)
    ]
    if problems:
        raise SourceError("\n".join(problems))
    newest = max((each for _, each in known), key=lambda each: each.key)  # of equal rows, the latest metadata
    return Sources(newest, tuple(sorted(named, key=lambda run: -run.key)))


def _dataset_of(store: Store, run: Run) -> Dataset | None:
    try:
        return None if run.dataset_key is None else get_dataset(store, run.dataset_key)
    except DatasetNotFound:
        return None


def runs_of(store: Store, dataset: Dataset) -> tuple[Run, ...]:
    """Finished runs on the rows of a dataset version, the newest first, at most MOST_RUNS."""
    finished = list_runs(store, status=[Status.FINISHED], dataset=str(dataset), limit=MOST_RUNS)
    return tuple(get_run(store, int(key)) for key in finished["key"])
