"""All folds that are missing, one after the other; each is in the store when it is done: any process goes on there."""

import traceback

from runner import reasons
from runner.beating import beating
from runner.causes import cause_of
from runner.crossval.fold import Bench, FoldResult, train_fold
from runner.crossval.plan import Plan
from runner.crossval.targets import width
from runner.interrupts import Interrupted, Interrupts, held_interrupts
from runner.progress import Progress, format_seconds
from runner.recipe import LoadedRecipe
from runner.shared import Shared
from store import (
    Dataset,
    Opinion,
    Status,
    Store,
    begin_opinion,
    delete_opinion,
    finished_parts,
    get_opinion,
    hold_opinion,
    record_opinion_part,
    release_opinion,
)
from store.opinions import beat_opinion


def cross_validate(loaded: LoadedRecipe, store: Store, dataset: Dataset, plan: Plan, progress: Progress) -> Opinion:
    """Carry out the folds that the opinion of this plan lacks. Returns the opinion, whatever became of it.

    Raises OpinionHeld where another process is at it; the error of bad input (ModelError, DataError, DeviceError, …)
    where not even the first fold could begin, and then nothing is left behind.
    """
    opinion = begin_opinion(
        store,
        dataset,
        kind="crossval",
        name=loaded.recipe.name,
        fingerprint=plan.fingerprint,
        n_classes=width(plan.targets.kind, len(dataset.label_names or ()), loaded.recipe.model.tag_scheme),
        recipe_hash=loaded.hash,
        n_folds=plan.n_folds,
        seed=plan.seed,
    )
    if opinion.is_complete and opinion.status == Status.FINISHED:
        return opinion
    with held_interrupts() as interrupts, progress:
        hold_opinion(store, opinion.key)
        with beating(lambda: beat_opinion(store, opinion.key)):
            status: Status = Status.FAILED
            cause: str | None = "it broke"
            try:
                status, cause = _fold_by_fold(
                    Bench(loaded, store, dataset, plan, progress, Shared()), opinion, interrupts
                )
            finally:
                release_opinion(store, opinion.key, status, cause)
                if status == Status.FAILED and not finished_parts(store, opinion.key):
                    delete_opinion(store, opinion.key)
    return get_opinion(store, opinion.key)


def _fold_by_fold(bench: Bench, opinion: Opinion, interrupts: Interrupts) -> tuple[Status, str | None]:
    """How it ended, and why."""
    done = finished_parts(bench.store, opinion.key)
    for fold in range(bench.plan.n_folds):
        if fold in done:
            continue
        try:
            result = train_fold(bench, fold, interrupts)
        except (Interrupted, KeyboardInterrupt) as interruption:
            return Status.KILLED, reasons.take(interruption)
        except Exception as error:
            if not finished_parts(bench.store, opinion.key):
                raise
            bench.progress.message("".join(traceback.format_exception(error)[-8:]))
            return Status.FAILED, f"fold {fold + 1}: {cause_of(error)}"
        cost = {name: getattr(result.cost, name) for name in _COSTS}
        said = result.said
        record_opinion_part(
            bench.store, opinion.key, said.rows, said.log_probs, part=fold, cost=cost, n_rows=said.n_rows
        )
        bench.progress.message(_said(bench.plan, fold, result))
    return Status.FINISHED, None


_COSTS = ("wall_seconds", "device_seconds", "energy_joules")


def _said(plan: Plan, fold: int, result: FoldResult) -> str:
    took = "" if result.cost.wall_seconds is None else f" in {format_seconds(result.cost.wall_seconds)}"
    return f"fold {fold + 1} of {plan.n_folds}: {result.n_examples:,} examples held out, {result.outcome}{took}"
