"""A triage from its sources to its end: the steps that are missing, each in the store when it is done."""

import time
import traceback

from runner import reasons
from runner.beating import beating
from runner.causes import cause_of
from runner.interrupts import Interrupted, Interrupts, held_interrupts
from runner.progress import Progress, format_seconds
from runner.triage.context import Context
from runner.triage.identity import Identity
from runner.triage.rows import unjudged
from runner.triage.steps import STEPS, Step
from store import (
    Status,
    Triage,
    begin_triage,
    fail_triage,
    finish_triage,
    finished_steps,
    record_step,
)
from store.triages import beat_triage


def carry_out(identity: Identity, progress: Progress, *, is_fresh: bool = False) -> Triage:
    """A triage carried to its end, whatever that is: one that was killed is taken up, unless `is_fresh`.

    One that has finished is not asked for here (`find_triage` finds it). Raises TriageHeld.
    """
    store = identity.store
    with held_interrupts() as interrupts, progress:
        triage = begin_triage(
            store,
            identity.dataset,
            fingerprint=identity.fingerprint,
            versions=identity.versions,
            sources=identity.source_list,
            fresh=is_fresh,
        )
        with beating(lambda: beat_triage(store, triage.key)):
            return _carry_on(Context(identity, progress, interrupts), triage, interrupts)


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
            return fail_triage(store, triage.key, Status.KILLED, reasons.take(interruption))
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
    n, targets = context.dataset.n_rows.get("train", 0), unjudged(context.store, context.dataset)
    return {"n": n, "versions": context.identity.versions, **({"unjudged": targets} if targets else {})}
