"""A triage from its sources to its end: the steps that are missing, each in the store when it is done."""

import time
import traceback
from dataclasses import dataclass

from runner.beating import beating
from runner.causes import Interrupted, cause_of
from runner.interrupts import Interrupts, held_interrupts
from runner.progress import Progress, format_seconds
from runner.triage.context import Context, Options
from runner.triage.sources import Sources
from runner.triage.steps import STEPS, Step
from store import (
    Status,
    Store,
    Triage,
    begin_triage,
    fail_triage,
    find_triage,
    finish_triage,
    finished_steps,
    record_step,
)
from store.triages import beat_triage


@dataclass(frozen=True)
class Ended:
    """A triage as it ended; `is_new` is False where it was there already."""

    triage: Triage
    is_new: bool


def carry_out(store: Store, sources: Sources, options: Options, progress: Progress, *, is_fresh: bool = False) -> Ended:
    """The finished triage of these sources, or one that is taken up where it was killed, or (`is_fresh`: always) a new
    one, carried to its end, whatever that is.

    Raises TriageHeld, and UserError about what is asked for, before anything is written.
    """
    with held_interrupts() as interrupts, progress:
        context = Context(store, sources, options, progress, interrupts)
        with interrupts.let_through():
            fingerprint = context.fingerprint
        known = None if is_fresh else find_triage(store, sources.dataset.key, fingerprint)
        if known is not None:
            return Ended(known, is_new=False)
        triage = begin_triage(
            store,
            sources.dataset,
            fingerprint=fingerprint,
            versions=context.versions,
            sources=context.source_list,
            fresh=is_fresh,
        )
        with beating(lambda: beat_triage(store, triage.key)):
            return Ended(_carry_on(context, triage, interrupts), is_new=True)


def _carry_on(context: Context, triage: Triage, interrupts: Interrupts) -> Triage:
    store, progress = context.store, context.progress
    done = finished_steps(store, triage.key)
    if done:
        progress.message(f"triage {triage.id} goes on after {', '.join(done)}")
    for number, step in enumerate(STEPS, 1):
        if step.name in done:
            continue
        progress.message(f"{number} of {len(STEPS)}: {step.title}")
        try:
            _do(context, triage.key, step, interrupts)
        except (Interrupted, KeyboardInterrupt) as interruption:
            return fail_triage(store, triage.key, Status.KILLED, f"interrupted ({interruption})")
        except Exception as error:
            progress.message("".join(traceback.format_exception(error)[-8:]))
            return fail_triage(store, triage.key, Status.FAILED, f"{step.name}: {cause_of(error)}")
    return finish_triage(store, triage.key, _whole(context))


def _do(context: Context, triage_key: int, step: Step, interrupts: Interrupts) -> None:
    began = time.monotonic()
    with interrupts.let_through():
        written = step.work(context, triage_key)
    seconds = time.monotonic() - began
    record_step(
        context.store,
        triage_key,
        step.name,
        seconds=seconds,
        columns=written.columns,
        findings=written.findings,
        groups=written.groups,
        queue=written.queue,
        summary=written.summary,
    )
    context.progress.message(f"{step.name}: {format_seconds(seconds)}")


def _whole(context: Context) -> dict[str, object]:
    """What the summary says beside what the steps found."""
    return {"n": context.dataset.n_rows.get("train", 0), "versions": context.versions}
