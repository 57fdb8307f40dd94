"""The process that drives a sweep: asks for configurations, gives them to an engine, has written down what comes back.

All it knows is in the store: whenever it ends, by itself, by Ctrl-C or by kill -9, the next one goes on from the rows.
"""

import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import FrameType
from typing import TypeVar

from runner import reasons
from runner.commands.options import duration
from runner.sweep.configurations import Configuration, configurations
from runner.sweep.display import Display, Snapshot
from runner.sweep.engine import Answer, Asked, Ended, Engine, Event, Lost, Placed
from runner.sweep.failures import why_stop
from runner.sweep.ledger import Held, Ledger
from runner.sweep.occupancy import Occupancy
from runner.sweep.plan import next_step
from runner.sweep.rungs import count_epochs
from runner.sweep.samplers import ask
from runner.sweep.take_up import TakenUp
from store import Status, Store, Sweep, Trial, get_sweep, read_reports, reconcile
from store.errors import may_pass
from store.sweeps import beat_sweep, hold_sweep, release_sweep
from store.trials import sum_costs

_BEAT_SECONDS = 2.0
_EVENT_SECONDS = 0.5
_STOP_SECONDS = 120.0
_PATIENCE_SECONDS = 5.0
_LAST_SECONDS = 60.0
_SIGNALS = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}
_Done = TypeVar("_Done")


@dataclass(frozen=True)
class End:
    """How a sweep comes to its end."""

    status: Status
    cause: str | None


class Stopped(BaseException):
    """Ctrl-C for the second time: everything ends at once."""


class Driver:
    """Drives one sweep once.

    Args:
        taken: the sweep, its search and its data.
        retries_failed: try again what failed before.
        command: what the user typed, for the runs' provenance; by default this process's.
    """

    def __init__(
        self,
        store: Store,
        taken: TakenUp,
        engine: Engine,
        display: Display,
        *,
        retries_failed: bool = False,
        command: tuple[str, ...] | None = None,
    ) -> None:
        sweep, search = taken.sweep, taken.search
        self._store, self._key, self._search = store, sweep.key, search
        self._engine, self._display, self._retries_failed = engine, display, retries_failed
        typed = tuple(sys.argv) if command is None else command
        self._ledger = Ledger(store, sweep, search, taken.data, command=typed, say=display.say)
        self._is_exhausted = False
        self._at_work = Occupancy()
        self._held: set[int] = set()
        self._told: set[int] = set()
        self._end: End | None = None
        self._ending_since: float | None = None
        self._signals: list[str] = []
        self._worked_before = sweep.wall_seconds
        self._began_at = time.time()
        self._began = self._beaten = time.monotonic()

    def drive(self) -> Sweep:
        """From here to the end. Returns the sweep as it then is. Raises SweepHeld where another process drives it."""
        hold_sweep(self._store, self._key)
        self._began = self._beaten = time.monotonic()
        end = End(Status.FAILED, "the driver broke")
        try:
            with self._heard():
                self._patiently(partial(self._ledger.recover, retries_failed=self._retries_failed))
                self._end = self._over_budget()  # the same command again
                end = self._loop()
        except Stopped:
            first, second = self._signals[:2]
            signals = f"{first} twice" if first == second else f"{first}, then {second}"
            end = End(Status.KILLED, f"interrupted at once ({signals})")
            self._engine.close(at_once=True)
        except BaseException as error:
            end = End(Status.FAILED, f"{type(error).__name__}: {error}")
            raise
        finally:
            try:
                self._engine.close()
            finally:
                self._at_work.end_all()
                try:
                    self._let_go(end)
                finally:
                    self._display.close()
        return get_sweep(self._store, self._key)

    def _loop(self) -> End:
        while True:
            self._patiently(self._look_around)
            if self._end is None:
                self._patiently(self._fill)
            if self._end is not None and self._ending_since is None:
                self._stop(self._end)
            if not self._at_work.trials and (self._end is not None or not self._held):
                return self._end or self._natural_end()
            event = self._engine.next_event(_EVENT_SECONDS)
            if event is not None:
                self._patiently(partial(self._take, event))
            elif self._ending_since is not None and time.monotonic() - self._ending_since > _STOP_SECONDS:
                n = len(self._at_work.trials)
                what = "1 trial does not stop: it is" if n == 1 else f"{n} trials do not stop: they are"
                self._display.say(f"{what} ended at once")
                self._engine.close(at_once=True)
                self._at_work.end_all()

    def _fill(self) -> None:
        """Give every free slot something to do, until there is nothing."""
        while self._end is None and len(self._at_work.trials) < self._engine.n_slots:
            known = self._ledger.known()
            wanted = self._search.spec.trials if self._search.spec.trials is not None else len(known) + 1
            wanted_now = None if self._is_exhausted else wanted
            step = next_step(self._search, known, at_work=self._at_work.trials, held=self._held, wanted=wanted_now)
            match step.kind:
                case "run" | "promote":
                    assert step.trial is not None
                    self._start(step.trial, is_promotion=step.kind == "promote")
                case "ask":
                    self._ask(known)
                case "over" if self._ledger.add_seeds():
                    pass
                case _:
                    return

    def _start(self, trial: Trial, *, is_promotion: bool) -> None:
        try:
            task = self._ledger.begin(trial, is_promotion=is_promotion)
        except Held:
            if trial.key not in self._told:
                self._told.add(trial.key)
                self._display.say(
                    f"trial {trial.number}: another process still has its run in hand; waiting for its end"
                )
            self._held.add(trial.key)
            return
        if task is not None:
            device = self._patiently(partial(self._engine.start, task))
            self._at_work.begin(trial.key, device)
            if device is not None:
                self._patiently(partial(self._ledger.placed, trial.key))

    def _ask(self, known: list[Configuration]) -> None:
        parameters = ask(self._search, known)
        if parameters is not None:
            self._ledger.record(len(known), self._search.seed(0), parameters)
            self._check_failures()
            return
        self._is_exhausted = True
        if self._search.spec.trials is not None:
            these = "this 1 configuration" if len(known) == 1 else f"these {len(known)} configurations"
            self._display.say(f"the space has no more than {these}")

    def _take(self, event: Event) -> None:
        match event:
            case Placed():
                self._at_work.begin(event.trial, event.device)
                if event.device is None:
                    self._ledger.waits(event.trial, event.cause)
                else:
                    self._ledger.placed(event.trial)
            case Asked():
                self._engine.answer(Answer(event.trial, self._ledger.stops_at(event)))
            case Ended():
                self._at_work.end(event.trial)
                self._ledger.ended(event)
            case Lost():
                self._at_work.end(event.trial)
                self._ledger.lost(event, is_ending=self._end is not None)
        self._check_failures()
        self._show()

    def _patiently(self, work: Callable[[], _Done], *, seconds: float = math.inf) -> _Done:
        """Do it; while the store cannot be written (locked, disk full) again and again. Trials go on meanwhile.

        Returns what it returns. Raises what it fails of where that does not pass, or not within `seconds`.
        """
        until = time.monotonic() + seconds
        while True:
            try:
                return work()
            except Exception as error:
                if not may_pass(error) or time.monotonic() > until:
                    raise
                self._display.say(f"the store cannot be written now ({error}); trying again")
                time.sleep(_PATIENCE_SECONDS)

    def _let_go(self, end: End) -> None:
        """Have it written down how the sweep ended, each part whatever became of the others.

        What a locked store or a full disk keeps us from saying the next start of Assay says.
        """
        last_words: tuple[Callable[[], object], ...] = (
            partial(reconcile, self._store),
            partial(self._ledger.recover, why=end.cause),
            self._beat,
            partial(release_sweep, self._store, self._key, end.status, end.cause),
        )
        mistakes: list[Exception] = []
        for say in last_words:
            try:
                self._patiently(say, seconds=_LAST_SECONDS)
            except Exception as error:
                self._display.say(f"the end of the sweep is not wholly written down: {error}")
                mistakes += [] if may_pass(error) else [error]
        if mistakes:
            raise mistakes[0]

    # when it ends --------------------------------------------------------------------------------------------------

    def _stop(self, end: End) -> None:
        self._ending_since = time.monotonic()
        if self._at_work.trials:
            self._display.say(f"stopping: {end.cause}; what is running can be taken up again")
        self._engine.stop(f"its sweep was stopped: {end.cause}")

    def _check_failures(self) -> None:
        reason = why_stop(self._ledger.trials(), self._search.spec.stop_after, since=self._began_at)
        if reason is not None and self._end is None:
            self._end = End(Status.FAILED, reason)

    def _natural_end(self) -> End:
        trials = self._ledger.trials()
        if any(trial.status == Status.FINISHED for trial in trials):
            return End(Status.FINISHED, None)
        causes = [trial.cause for trial in trials if trial.cause]
        return End(Status.FAILED, f"no trial finished; the last one: {causes[-1]}" if causes else "no trial finished")

    def _look_around(self) -> None:
        """Every now and then: say that we live, hear what is asked, keep to the budget, show how far it is."""
        if self._end is None and self._signals:
            self._end = End(Status.KILLED, reasons.take(KeyboardInterrupt(self._signals[0])))
        if time.monotonic() - self._beaten < _BEAT_SECONDS:
            return
        request = self._beat()
        self._held.clear()
        if self._end is None and request == "stop":
            self._end = End(Status.KILLED, "asked to stop")
        self._ledger.find_runs(self._at_work.trials)
        if self._end is None:
            self._end = self._over_budget()
        self._show()

    def _beat(self) -> str | None:
        """Write down that we live and what trials took until now; returns what is asked of the sweep."""
        now, held = time.monotonic(), self._at_work.unbooked()
        request = beat_sweep(self._store, self._key, now - self._beaten, held)
        self._beaten = now
        self._at_work.booked(held)
        return request

    def _over_budget(self) -> End | None:
        """The end of a sweep that has used its hours up."""
        spec = self._search.spec
        limits = (
            ("max_hours", "hours", spec.max_hours, self._worked_seconds),
            ("max_gpu_hours", "hours of devices", spec.max_gpu_hours, self._device_seconds),
        )
        for field, what, hours, spent_seconds in limits:
            if hours is None or (spent := spent_seconds()) < 3600 * hours:
                continue
            start = f"its {hours:g} {what} ({duration(3600 * hours)}) are over ({field})"
            trials = self._ledger.trials()
            if not trials or any(trial.run_key is not None for trial in trials):
                return End(Status.FINISHED, f"{start}; raise them to go on")
            too_few = f"before a trial could begin to train: what comes before took {duration(spent)}"
            return End(Status.FAILED, f"{start} {too_few}; raise them well above that")
        return None

    def _worked_seconds(self) -> float:
        return self._worked_before + time.monotonic() - self._began

    def _device_seconds(self) -> float:
        """That trials held devices, of what is written down and of what is not yet."""
        return sum_costs(self._store, self._key).device_seconds + sum(self._at_work.unbooked().values())

    def _show(self) -> None:
        trials, reports = self._ledger.trials(), read_reports(self._store, self._key)
        sign = 1 if self._search.objectives[0].direction == "maximize" else -1
        valued = [(each.number, each.values[0]) for each in configurations(trials, reports) if each.values]
        self._display.update(
            Snapshot(
                trials=tuple(trials),
                n_wanted=self._n_wanted(),
                at_work=tuple(key for key in self._at_work.trials if key not in self._at_work.waiting),
                n_waiting=len(self._at_work.waiting),
                metric=self._search.objectives[0].metric,
                best=max(valued, key=lambda each: sign * each[1], default=None),
                worked_seconds=self._worked_seconds(),
                device_seconds=self._device_seconds(),
                saved_share=count_epochs(trials, reports, self._search.rungs).saved_share,
            )
        )

    def _n_wanted(self) -> int | None:
        """Configurations; None: as many as the sampler finds."""
        wanted, size = self._search.spec.trials, self._search.space.size()
        return wanted if size is None else min(wanted or size, size)

    @contextmanager
    def _heard(self) -> Iterator[None]:
        """Ctrl-C and SIGTERM: the first time trials stop cleanly, the second time everything ends at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        previous = {number: signal.signal(number, self._hear) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)  # None: not one of Python's own

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self._signals.append(_SIGNALS[signal.Signals(number)])
        if len(self._signals) > 1:
            raise Stopped
