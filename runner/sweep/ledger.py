"""The rows of one sweep: what its trials are to do, and what they have become. Whoever drives works with this alone."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from numpy import float64
from numpy.typing import NDArray

from runner.recipe import RecipeError
from runner.recipe.objectives import LATENCY
from runner.sweep.configurations import Configuration, configurations
from runner.sweep.engine import Asked, Ended, Latency, Lost, Task
from runner.sweep.failures import is_certain
from runner.sweep.leaders import leaders_of
from runner.sweep.measures import last_report, losses_at, measure
from runner.sweep.pruning import decide, notes_before
from runner.sweep.search import Search
from runner.sweep.space import described
from runner.sweep.trial_data import TrialData
from store import (
    NewTrial,
    Run,
    Status,
    Store,
    Sweep,
    Trial,
    TrialReport,
    get_run,
    list_checkpoints,
    read_reports,
    read_trials,
    reconcile,
    reconcile_jobs,
)
from store.trial_jobs import is_in_hand
from store.trials import (
    end_trial,
    find_finished_run,
    find_trial_run,
    get_trial,
    record_report,
    record_trial,
    set_trial_run,
    start_trial,
)

NO_RECIPE = "none"
"""In place of a hash, for parameters that make no recipe together."""


class Held(Exception):
    """Another process still has the trial's run in hand; it is about to end."""


class Ledger:
    """The trials of a sweep.

    Args:
        data: what the trials train on.
        command: what the user typed, for the runs' provenance.
        say: hears what happens, a sentence at a time.
    """

    def __init__(
        self,
        store: Store,
        sweep: Sweep,
        search: Search,
        data: TrialData,
        *,
        command: tuple[str, ...],
        say: Callable[[str], None],
    ) -> None:
        self._store, self._sweep, self._search, self._data = store, sweep, search, data
        self._command, self._say = command, say
        self._placing: dict[int, Callable[[], None]] = {}  # what is written as soon as a trial has its device
        self._needs_latency = any(objective.metric == LATENCY for objective in search.objectives)

    def trials(self) -> list[Trial]:
        """All trials as they are now."""
        return read_trials(self._store, self._sweep.key)

    def known(self) -> list[Configuration]:
        """All configurations as they are now."""
        return configurations(self.trials(), read_reports(self._store, self._sweep.key))

    # what is to be done --------------------------------------------------------------------------------------------

    def recover(self, *, retries_failed: bool = False, why: str | None = None) -> None:
        """Trials that nobody works on any more can be taken up again, failed ones if that is asked for.

        `why` is what ended the sweep before them.
        """
        for trial in self.trials():
            if trial.status == Status.RUNNING:
                cause = "the sweep ended before it" + ("" if why is None else f": {why}")
                end_trial(self._store, trial, Status.KILLED, cause)
            elif trial.status == Status.FAILED and retries_failed and trial.recipe_hash != NO_RECIPE:
                end_trial(self._store, trial, Status.QUEUED, trial.cause)

    def record(self, number: int, seed: int, parameters: Mapping[str, Any]) -> None:
        """Write a trial: to be run, or with the finished run that the store has of it."""
        try:
            loaded = self._search.trial_recipe(number, seed, parameters)
        except RecipeError as error:
            cause = "; ".join(f"{problem.path}: {problem.message}" for problem in error.problems)
            new = NewTrial(number, seed, parameters, NO_RECIPE, status=Status.FAILED, cause=cause)
            record_trial(self._store, self._sweep.key, new)
            self._say(f"trial {number} failed: {cause}")
            return
        dataset_key = None if self._sweep.is_fresh else self._data.of(loaded.recipe)
        run = None if dataset_key is None else find_finished_run(self._store, loaded.hash, dataset_key)
        if run is None:
            record_trial(self._store, self._sweep.key, NewTrial(number, seed, parameters, loaded.hash))
            return
        new = NewTrial(number, seed, parameters, loaded.hash, run_key=run.key, is_reused=True)
        trial = record_trial(self._store, self._sweep.key, new)
        self._say(f"{self._called(trial)} reuses run {run.name} ({run.id})")
        if not self._needs_latency:
            self._finish(trial, run, None)

    def add_seeds(self) -> bool:
        """Further seeds for the configurations that are to have them; False where all have theirs.

        Contenders get one at a time, for with each there are fewer of them; where all get them, all at once.
        """
        spec, known = self._search.spec, self.known()
        if spec.seeds == 1:
            return False
        if spec.seeds_for == "all":
            chosen, at_once = [each.number for each in known if each.status == Status.FINISHED], spec.seeds
        else:
            leaders = leaders_of(self._store, self._search, self._sweep.key)
            chosen, at_once = ([] if leaders is None else list(leaders.contenders)), 1
        lacking = [each for each in known if each.number in chosen and len(each.trials) < spec.seeds]
        for configuration in lacking:
            n = len(configuration.trials)
            for place in range(n, min(n + at_once, spec.seeds)):
                self.record(configuration.number, self._search.seed(place), configuration.parameters)
        return bool(lacking)

    def run_of(self, trial: Trial) -> Run | None:
        """The trial's run, also where a driver died before it could write down which it is."""
        if trial.run_key is not None:
            return get_run(self._store, trial.run_key)
        name = self._search.trial_name(trial.number, trial.seed)
        run = find_trial_run(self._store, name, trial.recipe_hash, trial.created_at)
        if run is not None:
            set_trial_run(self._store, trial, run.key)
        return run

    def begin(self, trial: Trial, *, is_promotion: bool) -> Task | None:
        """The task of a trial, which runs as soon as it has a place (`placed`); None where nothing was left to do.

        Raises Held where its run is not free yet.
        """
        if is_in_hand(self._store, trial.key):  # of a driver that is gone
            reconcile(self._store)
            reconcile_jobs(self._store)
            if is_in_hand(self._store, trial.key):
                raise Held
        run = self.run_of(trial)
        if run is not None and run.status == Status.RUNNING:
            reconcile(self._store)
            run = get_run(self._store, run.key)
            if run.status == Status.RUNNING:
                raise Held
        if run is not None and run.status == Status.PRUNED and not is_promotion:
            end_trial(self._store, trial, Status.PRUNED, run.cause)  # a driver died before it could write that down
            return None
        is_finished = run is not None and run.status == Status.FINISHED
        if run is not None and is_finished and not self._needs_latency:
            self._finish(trial, run, None)
            return None
        loaded = self._search.trial_recipe(trial.number, trial.seed, trial.parameters)
        is_first = trial.seed == self._search.seed(0)
        said = self._beginning(trial, run, is_promotion=is_promotion)

        def begins() -> None:
            start_trial(self._store, trial, is_promotion=is_promotion, is_trained=not is_finished)
            self._say(said)

        self._placing[trial.key] = begins
        return Task(
            trial=trial.key,
            mode="train" if run is None else "measure" if is_finished else "resume",
            recipe=loaded.resolved,
            text=loaded.text,
            run_id=None if run is None else run.id,
            dataset_key=self._data.of(loaded.recipe),
            rungs=self._search.rungs if is_first else (),
            measures_latency=self._needs_latency,
            command=self._command,
        )

    def placed(self, key: int) -> None:
        """The trial has its device, and runs: for the first time, or after it had to wait again (`waits`)."""
        begins = self._placing.get(key)
        if begins is not None:
            begins()
        else:
            trial = get_trial(self._store, key)
            start_trial(self._store, trial)
            self._say(f"{self._called(trial)} goes on")
        self._placing.pop(key, None)

    def waits(self, key: int, cause: str | None) -> None:
        """The trial has lost its device for now."""
        trial = get_trial(self._store, key)
        if trial.status == Status.RUNNING:
            end_trial(self._store, trial, Status.KILLED, cause)
            self._say(f"{self._called(trial)} waits{f': {cause}' if cause else ''}")

    def _beginning(self, trial: Trial, run: Run | None, *, is_promotion: bool) -> str:
        """What is said of a trial as it begins, or goes on."""
        called = self._called(trial)
        if run is not None and run.status == Status.FINISHED:
            return f"{called}: only its latency is left to be measured"
        if run is None:
            return f"{called} begins: {described(trial.parameters)}"
        steps = [checkpoint.step for checkpoint in list_checkpoints(self._store, run.key, existing=True)]
        at = f"at step {max(steps):,}" if steps else "from its beginning: it has no checkpoint"
        why = " (it is among the best of its rung now)" if is_promotion else ""
        return f"going on with {called} {at}{why}"

    def find_runs(self, at_work: Collection[int]) -> None:
        """Note which runs the trials at work are, so that whoever looks sees them."""
        for trial in self.trials():
            if trial.key in at_work and trial.run_key is None:
                self.run_of(trial)

    # what has become of it -----------------------------------------------------------------------------------------

    def stops_at(self, asked: Asked) -> bool:
        """Write down what a trial says at a rung; whether it stops there."""
        trial = get_trial(self._store, asked.trial)
        self.run_of(trial)
        value = asked.values.get(self._search.objectives[0].metric)
        report = TrialReport(asked.rung, asked.step, asked.epoch, value)
        before = next(each for each in self.known() if each.number == trial.number)
        record_report(self._store, trial, report, notes_before(before, asked.rung))
        decision = decide(self._search, self.known(), trial.number, self._losses)
        record_report(self._store, trial, report, decision.notes)
        return decision.stops

    def _losses(self, number: int, rung: int) -> NDArray[float64] | None:
        trial = next(trial for trial in self.trials() if trial.number == number)
        reports = read_reports(self._store, self._sweep.key).get(trial.key, [])
        step = next((report.step for report in reports if report.rung == rung), None)
        return None if step is None or trial.run_key is None else losses_at(self._store, trial.run_key, step)

    def ended(self, ended: Ended) -> None:
        """Write down how a trial ended."""
        self._placing.pop(ended.trial, None)
        trial = get_trial(self._store, ended.trial)
        run = None if ended.run_id is None else get_run(self._store, ended.run_id)
        if run is not None and run.key != trial.run_key:
            set_trial_run(self._store, trial, run.key)
        if ended.status == "finished" and run is not None:
            self._finish(trial, run, ended.latency)
        elif ended.status == "pruned":
            end_trial(self._store, trial, Status.PRUNED, ended.cause)
            self._say(f"{self._called(trial)} {ended.cause}")
        elif ended.status == "killed":
            if trial.status == Status.RUNNING:  # else it never had a device, and is what it was
                end_trial(self._store, trial, Status.KILLED, ended.cause)
        else:
            self._fail(trial, ended.cause, can_retry=ended.can_retry, was_alone=ended.was_alone)

    def lost(self, lost: Lost, *, is_ending: bool) -> None:
        """What carried a trial out is gone. Its run may have come to an end before, or says why it did not."""
        self._placing.pop(lost.trial, None)
        reconcile(self._store)
        trial = get_trial(self._store, lost.trial)
        run = self.run_of(trial)
        if run is not None and run.status == Status.FINISHED and trial.n_attempts <= self._search.spec.retries:
            end_trial(self._store, trial, Status.QUEUED)  # what is left to measure is measured
        elif run is not None and run.status == Status.FINISHED:
            self._finish(trial, run, None)
        elif run is not None and run.status == Status.PRUNED:
            end_trial(self._store, trial, Status.PRUNED, run.cause)
        elif is_ending:
            end_trial(self._store, trial, Status.KILLED, lost.cause)
        else:
            cause = lost.cause if run is None or not run.cause else run.cause
            self._fail(trial, cause, can_retry=True, was_alone=lost.was_alone)

    def _finish(self, trial: Trial, run: Run, latency: Latency | None) -> None:
        values = measure(self._store, run, self._search.objectives, None if latency is None else latency.median)
        report = last_report(self._store, run, len(self._search.rungs), values[0])
        if report is not None:
            record_report(self._store, trial, report)
        interval = None if latency is None else (latency.low, latency.high)
        end_trial(self._store, trial, Status.FINISHED, None, values, interval)
        shown = ", ".join(
            f"{objective.metric} {'not measured' if value is None else f'{value:.4g}'}"
            for objective, value in zip(self._search.objectives, values, strict=True)
        )
        self._say(f"{self._called(trial)} finished: {shown}")

    def _fail(self, trial: Trial, cause: str | None, *, can_retry: bool, was_alone: bool) -> None:
        has_attempts = can_retry and trial.n_attempts <= self._search.spec.retries
        again = has_attempts and not is_certain(cause, was_alone=was_alone)
        end_trial(self._store, trial, Status.QUEUED if again else Status.FAILED, cause)
        what_then = "; it is tried again" if again else ""
        if has_attempts and not again:
            what_then = "; it is not tried again, for it would end in the same way"
        self._say(f"{self._called(trial)} failed: {cause}{what_then}")

    def _called(self, trial: Trial) -> str:
        is_first = trial.seed == self._search.seed(0)
        return f"trial {trial.number}" if is_first else f"trial {trial.number} with seed {trial.seed}"
