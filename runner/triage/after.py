"""A triage by itself after a training. A finished training never fails because of it."""

import traceback
from typing import Literal

from runner.errors import UserError
from runner.paths import on_store
from runner.triage.identity import Identity, Options
from runner.triage.sentences import sentences
from runner.triage.sources import Sources, runs_of
from store import Dataset, Run, Status, Store, StoreError, Triage, find_triage, get_dataset

Mode = Literal["auto", "plain", "quiet"]


def triage_after(store: Store, run: Run, mode: Mode) -> tuple[str, Triage | None]:
    """What all finished runs on the data of a run that has just finished say of it: sentences, and the triage.

    Whatever goes wrong is said, and what to do then. Ctrl-C ends the triage alone: it is `killed`.
    """
    again = f"`{on_store(f'runner triage {run.id}', store.path)}` looks again"
    try:
        if run.dataset_key is None:
            return "", None
        triage = _triage(store, get_dataset(store, run.dataset_key), mode)
    except (UserError, StoreError) as problem:
        return f"the training examples were not looked at: {problem}\n{again}; the run itself is finished.", None
    except Exception as error:
        traceback.print_exc()
        said = f"looking at the training examples failed: {type(error).__name__}: {error}"
        return f"{said}\n{again}; the run itself is finished.", None
    if triage.status != Status.FINISHED:
        said = f"looking at the training examples was {triage.status}: {triage.cause}"
        return f"{said}\n{again}; the run itself is finished.", triage
    return "\n".join([*sentences(triage.summary), _next(store, run)]), triage


def _triage(store: Store, dataset: Dataset, mode: Mode) -> Triage:
    identity = Identity(store, Sources(dataset, runs_of(store, dataset)), Options())
    known = find_triage(store, dataset.key, identity.fingerprint)
    if known is not None:
        return known
    from runner.progress import make_progress
    from runner.triage.carry_out import carry_out

    return carry_out(identity, make_progress(mode))


def _next(store: Store, run: Run) -> str:
    look, list_all = (on_store(command, store.path) for command in ("runner dashboard", f"runner triage {run.id}"))
    return f"Next: `{look}`, page Triage, or `{list_all}` for everything that was found."
