"""Recording any training loop:

from runner import start_run

with start_run("my loop", config={"lr": 0.1}) as run:
    for step in range(100):
        run.log({"train/loss": 1 / (step + 1)})
"""

import contextlib
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from runner.alerts import Alerts, LossWatch, record_alert
from runner.paths import default_store
from runner.provenance import collect_provenance
from store import NewRun, Recorder, Run, Status, Store, StoreUnreadable, open_store, reconcile, record_run


class ScriptRun:
    """A run that is being recorded. Use it as a context manager, or call `finish`."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self._next_step = 0
        self._losses = LossWatch(Alerts(partial(record_alert, recorder)))

    @property
    def run(self) -> Run:
        return self.recorder.run

    @property
    def id(self) -> str:
        return self.recorder.run.id

    def log(self, values: Mapping[str, float], step: int | None = None, *, epoch: float | None = None) -> None:
        """Record numbers of one step; without `step` each call is the next one. Raises TypeError for a non-number."""
        step = self._next_step if step is None else step
        self._next_step = step + 1
        self.recorder.log(values, step, epoch=epoch)
        self._losses.logged(step, values)

    def event(self, kind: str, message: str) -> None:
        """Note that something happened."""
        self.recorder.event(kind, message)

    def finish(self, status: str = "finished", cause: str | None = None) -> None:
        """End the run: finished, failed, killed or pruned."""
        self.recorder.finish(Status(status), cause)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.recorder.__exit__(kind, error, trace)


def start_run(
    name: str,
    *,
    store: str | Path | Store | None = None,
    config: Mapping[str, object] | None = None,
    tags: tuple[str, ...] = (),
    note: str = "",
) -> ScriptRun:
    """Begin recording a run of your own loop. `config` is anything JSON can hold; `store` defaults as everywhere."""
    opened = store if isinstance(store, Store) else open_store(default_store(store))
    with contextlib.suppress(StoreUnreadable):  # locked, or a full disk: the next start makes statuses true
        reconcile(opened)
    new = new_script_run(name, config=config, tags=tags, note=note)
    return ScriptRun(Recorder(opened, record_run(opened, new, status=Status.RUNNING)))


def new_script_run(
    name: str,
    *,
    config: Mapping[str, object] | None = None,
    base_model: str | None = None,
    tags: tuple[str, ...] = (),
    note: str = "",
) -> NewRun:
    """A run of a script of somebody's own, with where it came from."""
    provenance: dict[str, Any] = collect_provenance(
        Path.cwd(), command=[sys.executable, *sys.argv], seeds={}, determinism={}, include_torch="torch" in sys.modules
    )
    return NewRun(name=name, base_model=base_model, recipe=config, provenance=provenance, tags=tags, note=note)
