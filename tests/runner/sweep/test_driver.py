"""Sweeps driven to their end over an engine of formulas: what is run, what is not run again, how it ends."""

import signal
from dataclasses import replace
from typing import Any

import pytest

from runner import reasons
from runner.sweep.display import Snapshot
from runner.sweep.driver import Driver
from runner.sweep.engine import Ended, Event, Task
from runner.sweep.summary import summarise, text
from runner.sweep.take_up import TakenUp, take_up
from runner.sweep.trial_data import TrialData
from store import (
    Dataset,
    NewRun,
    Status,
    Store,
    Sweep,
    get_run,
    get_sweep,
    list_trials,
    read_reports,
    read_trials,
    record_run,
    request_stop,
)
from store.leases import take_lease
from store.trials import sum_costs
from tests.runner.sweep.engines import FormulaEngine, make_dataset
from tests.runner.sweep.recipes import HEAD, load, search_of

PATIENT = 'sampler = "random"\npruner = "patience"\ntrials = 6'
RATES = '"training.learning_rate" = { low = 1e-5, high = 1e-1, log = true }'
SEED_HEAD = HEAD.replace("search", "tiny")


class Heard:
    """A display that remembers."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.last: Snapshot | None = None
        self.device_seconds: list[float] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def update(self, snapshot: Snapshot) -> None:
        self.last = snapshot
        self.device_seconds.append(snapshot.device_seconds)
        assert snapshot.line()

    def close(self) -> None:
        pass


class Swept:
    """A sweep that was driven once."""

    def __init__(self, store: Store, text: str, dataset: Dataset | None, *overrides: str, **options: Any) -> None:
        loaded = load(text, f"evaluation.select={options.pop('select', 'validation/accuracy')}", *overrides)
        search = search_of(text, f"evaluation.select={loaded.recipe.evaluation.select}", *overrides)
        data = TrialData(store, search, dataset)
        if dataset is None:
            data.read_first(lambda text: None)
        self.taken: TakenUp = take_up(store, loaded, data, is_fresh=options.pop("is_fresh", False))
        self.engine: FormulaEngine = options.pop("engine", None) or FormulaEngine(store)
        self.heard = Heard()
        driver = Driver(store, self.taken, self.engine, self.heard, command=("test",), **options)
        self.sweep: Sweep = driver.drive()
        self.trials = read_trials(store, self.sweep.key)

    @property
    def ran(self) -> list[Task]:
        return self.engine.tasks


def sweep_text(lines: str = 'sampler = "random"\ntrials = 6', space: str = RATES) -> str:
    return f"[sweep]\n{lines}\n[sweep.space]\n{space}\n"


def test_a_sweep_runs_what_is_wanted_and_knows_the_best(store: Store, dataset: Dataset) -> None:
    swept = Swept(store, sweep_text(), dataset)
    assert (swept.sweep.status, swept.sweep.cause, swept.sweep.holder) == (Status.FINISHED, None, None)
    assert [trial.number for trial in swept.trials] == list(range(6))
    frame = list_trials(store, swept.sweep.key)
    assert (frame["validation/accuracy"] == frame["value"]).all()
    assert frame["run_name"].tolist() == [f"search-{i}" for i in range(6)]
    run = get_run(store, str(frame["run_id"][0]))
    assert "sweep:search" in run.tags
    assert run.dataset_key == dataset.key
    assert swept.heard.last is not None
    assert swept.heard.last.n_done == 6
    assert max(report.rung for report in read_reports(store, swept.sweep.key)[swept.trials[0].key]) == 0, "its end"
    assert swept.sweep.wall_seconds > 0


def test_the_same_command_again_runs_nothing_and_more_trials_only_the_new(store: Store, dataset: Dataset) -> None:
    first = Swept(store, sweep_text(), dataset)
    again = Swept(store, sweep_text(), dataset)
    assert again.sweep.key == first.sweep.key
    assert again.ran == []
    assert "goes on: 6 configurations (6 are wanted), 6 trials have ended; it finished before" in again.taken.said[0]
    more = Swept(store, sweep_text(), dataset, "sweep.trials=8")
    assert [task.mode for task in more.ran] == ["train", "train"]
    assert (more.sweep.key, more.sweep.n_trials) == (first.sweep.key, 8)
    assert [t.parameters for t in more.trials[:6]] == [t.parameters for t in first.trials]


@pytest.mark.parametrize("n_slots", [1, 3])
def test_a_sweep_that_is_stopped_anywhere_goes_on_without_repeating(
    store: Store, dataset: Dataset, n_slots: int
) -> None:
    text = sweep_text('sampler = "tpe"\npruner = "asha"\ntrials = 12')
    engine = FormulaEngine(store, n_slots)
    whole = Swept(store, text, dataset, "name=whole", "training.weight_decay=0.02", engine=engine).trials
    rounds, steps = 0, 0
    status = Status.RUNNING
    while status != Status.FINISHED:
        rounds += 1
        n_events = 0

        def stop_soon(engine: FormulaEngine) -> None:
            nonlocal n_events
            n_events += 1
            if n_events == 5:
                signal.raise_signal(signal.SIGINT)

        engine = FormulaEngine(store, n_slots, on_event=stop_soon)
        part = Swept(store, text, dataset, "name=parts", engine=engine, is_fresh=False)
        status, steps = part.sweep.status, steps + engine.n_steps
        assert status in (Status.FINISHED, Status.KILLED)
        assert rounds < 30
    assert rounds > 2
    assert "interrupted (Ctrl-C)" in (part.taken.said[0])
    assert {t.status for t in part.trials} <= {Status.FINISHED, Status.PRUNED}
    if n_slots == 1:
        # One after the other, the same questions are asked in the same order, whoever asks them.
        assert [(t.number, t.parameters, t.status) for t in part.trials] == [
            (t.number, t.parameters, t.status) for t in whole
        ]
        assert steps == sum(_steps(store, trial.run_key) for trial in part.trials), "no step is made twice"


def _steps(store: Store, run_key: int | None) -> int:
    from store import list_evaluations

    return max((evaluation.step for evaluation in list_evaluations(store, int(run_key or 0))), default=0)


def test_runs_of_the_same_recipe_are_reused_unless_they_shall_not_be(store: Store, dataset: Dataset) -> None:
    grid = sweep_text('sampler = "grid"', '"training.learning_rate" = [1e-4, 1e-3]')
    first = Swept(store, grid, dataset)
    renamed = Swept(store, grid, dataset, "name=other")
    assert renamed.ran == []
    assert [trial.is_reused for trial in renamed.trials] == [True, True]
    assert [t.objective_values for t in renamed.trials] == [t.objective_values for t in first.trials]
    assert renamed.heard.said[0].startswith("trial 0 reuses run search-0")
    other_data = make_dataset(store, "other")
    assert len(Swept(store, grid, other_data, "name=elsewhere").ran) == 2
    fresh = Swept(store, grid, dataset, is_fresh=True)
    assert fresh.sweep.key != first.sweep.key
    assert len(fresh.ran) == 2


def test_an_edited_sweep_says_what_changed_and_keeps_what_is_the_same(store: Store, dataset: Dataset) -> None:
    first = Swept(store, sweep_text('sampler = "grid"', '"training.learning_rate" = [1e-4, 1e-3, 1e-2]'), dataset)
    edited = Swept(store, sweep_text('sampler = "grid"', '"training.learning_rate" = [1e-3, 1e-2, 3e-3]'), dataset)
    assert edited.sweep.parent_key == first.sweep.key
    said = f"search is not the search it was ({first.sweep.id}), so this is a new sweep ({edited.sweep.id})"
    assert edited.taken.said == (
        f"{said}. What changed:",
        '  sweep.space."training.learning_rate": [0.0001, 0.001, 0.01] → [0.001, 0.01, 0.003]',
        "2 of its 3 configurations are kept: the same in the new search",
    )
    assert [trial.is_reused for trial in edited.trials] == [True, True, False]
    assert len(edited.ran) == 1
    moved = Swept(store, sweep_text('sampler = "grid"', '"training.learning_rate" = [1e-3]'), make_dataset(store, "b"))
    assert "  the data: toy@1 → b@1" in moved.taken.said
    assert len(moved.ran) == 1
    changed = Swept(store, sweep_text('sampler = "grid"', '"training.learning_rate" = [1e-3]'), dataset,
                    "training.weight_decay=0.5")  # fmt: skip
    assert len(changed.ran) == 1, "another experiment"


def test_trials_that_were_stopped_are_kept_with_their_rungs(store: Store, dataset: Dataset) -> None:
    lines = 'sampler = "grid"\npruner = "asha"\neta = 2\nfirst_rung = 0.25'
    rates = "[1e-3, 1e-4, 3e-2, 1e-5, 1e-1, 1e-2]"
    first = Swept(store, sweep_text(lines, f'"training.learning_rate" = {rates}'), dataset)
    assert sum(trial.status == Status.PRUNED for trial in first.trials) >= 3
    edited = Swept(store, sweep_text(lines, f'"training.learning_rate" = {rates[:-1]}, 2e-3]'), dataset)
    assert len([task for task in edited.ran if task.mode == "train"]) == 1
    assert edited.heard.last is not None


def test_asha_spends_a_part_of_the_epochs_and_finds_the_best(store: Store, dataset: Dataset) -> None:
    lines = 'sampler = "random"\npruner = "asha"\ntrials = 16'
    whole = Swept(store, sweep_text('sampler = "random"\ntrials = 16'), dataset, "name=whole")
    halved = Swept(store, sweep_text(lines), dataset, "name=halved", "training.weight_decay=0.02")
    assert halved.engine.n_steps < 0.4 * whole.engine.n_steps
    assert halved.heard.last is not None
    saved = halved.heard.last.saved_share
    assert saved is not None
    assert saved == pytest.approx(1 - halved.engine.n_steps / whole.engine.n_steps, abs=0.01)
    finished = [trial for trial in halved.trials if trial.status == Status.FINISHED]
    best = max(whole.trials, key=lambda trial: (trial.objective_values or (0,))[0] or 0)
    assert best.parameters in [trial.parameters for trial in finished]
    promoted = [trial for trial in halved.trials if trial.n_promotions]
    assert promoted, "some were stopped first and went on later"
    assert [task.mode for task in halved.ran].count("train") == 16


def test_failures_are_tried_again_a_bounded_number_of_times(store: Store, dataset: Dataset) -> None:
    n_failures = 0

    def fails_at_first(recipe: Any) -> str | None:
        nonlocal n_failures
        n_failures += 1
        return "RuntimeError: the machine was tired" if n_failures == 1 else None

    swept = Swept(store, sweep_text(), dataset, engine=FormulaEngine(store, fails=fails_at_first))
    assert {trial.status for trial in swept.trials} == {Status.FINISHED}
    assert swept.trials[0].n_attempts == 2
    assert [task.mode for task in swept.ran[:2]] == ["train", "resume"]
    assert swept.heard.said[0].startswith("trial 0 begins: training.learning_rate = ")
    assert "it is tried again" in swept.heard.said[1]
    assert swept.heard.said[2] == "going on with trial 0 from its beginning: it has no checkpoint"


def test_the_same_failure_over_and_over_ends_the_sweep(store: Store, dataset: Dataset) -> None:
    def fails(recipe: Any) -> str | None:
        size = recipe["training"]["batch_size"]
        return f"out of memory on the device; tried to allocate {size} GB" if size > 16 else None

    text = sweep_text(
        'sampler = "grid"\nretries = 0\nstop_after = 4', '"training.batch_size" = [8, 16, 32, 64, 128, 256, 512, 1024]'
    )
    swept = Swept(store, text, dataset, engine=FormulaEngine(store, fails=fails))
    assert swept.sweep.status == Status.FAILED
    assert swept.sweep.cause == (
        "4 of 6 trials failed for the same reason, the last 4 of them in a row: out of memory. "
        "The largest training.batch_size that worked was 16; sweep over none larger"
    )
    assert len(swept.ran) == 6
    mended = Swept(store, text, dataset, retries_failed=True)
    assert mended.sweep.status == Status.FINISHED
    assert [task.mode for task in mended.ran] == ["resume"] * 4 + ["train"] * 2
    assert Swept(store, text, dataset).ran == []


def test_a_seed_that_diverges_diverges_again(store: Store, dataset: Dataset) -> None:
    cause = "loss became NaN by step 3; try a lower training.learning_rate"
    swept = Swept(store, sweep_text("trials = 2"), dataset, engine=FormulaEngine(store, fails=lambda recipe: cause))
    assert [trial.n_attempts for trial in swept.trials] == [1, 1]
    assert swept.sweep.status == Status.FAILED
    assert swept.sweep.cause == f"no trial finished; the last one: {cause}"


def test_parameters_that_make_no_recipe_together_fail_with_the_reason(store: Store, dataset: Dataset) -> None:
    space = '"training.learning_rate" = [1e-3]\n"data.split.validation" = [0.1, 0.6]\n"data.split.test" = [0.5]'
    swept = Swept(store, sweep_text('sampler = "grid"', space), dataset)
    assert [trial.status for trial in swept.trials] == [Status.FINISHED, Status.FAILED]
    assert "must leave something to train on" in str(swept.trials[1].cause)


def test_a_worker_that_dies_costs_one_attempt(store: Store, dataset: Dataset) -> None:
    engine = FormulaEngine(store, kills={"search-1"})
    swept = Swept(store, sweep_text("trials = 3"), dataset, engine=engine)
    assert {trial.status for trial in swept.trials} == {Status.FINISHED}
    assert swept.trials[1].n_attempts == 2
    assert any(said.startswith("trial 1 failed: killed: process") for said in swept.heard.said)
    assert [task.mode for task in swept.ran] == ["train", "train", "resume", "train"]


def test_a_run_that_ended_while_nobody_looked_is_not_run_again(store: Store, dataset: Dataset) -> None:
    """The driver dies between the end of a run and writing it down."""
    swept = Swept(store, sweep_text("trials = 3"), dataset)
    with store.write() as db:
        db.execute("UPDATE trials SET status = 'killed', run_key = NULL, objective_values = NULL WHERE number = 1")
    again = Swept(store, sweep_text("trials = 3"), dataset)
    assert again.ran == []
    assert [t.objective_values for t in again.trials] == [t.objective_values for t in swept.trials]
    assert again.trials[1].run_key == swept.trials[1].run_key


def test_a_trial_that_was_stopped_while_nobody_looked_stays_stopped(store: Store, dataset: Dataset) -> None:
    text = sweep_text('sampler = "random"\npruner = "asha"\ntrials = 6')
    swept = Swept(store, text, dataset)
    stopped = [trial for trial in swept.trials if trial.status == Status.PRUNED]
    assert stopped
    with store.write() as db:
        db.execute("UPDATE trials SET status = 'killed', ended_at = NULL WHERE status = 'pruned'")
    again = Swept(store, text, dataset)
    assert again.ran == []
    assert [(t.status, t.number) for t in again.trials] == [(t.status, t.number) for t in swept.trials]


def test_a_run_that_somebody_still_holds_is_waited_for(store: Store, dataset: Dataset) -> None:
    swept = Swept(store, sweep_text("trials = 1"), dataset)
    run_key = int(swept.trials[0].run_key or 0)
    take_lease(store, get_run(store, run_key))  # this process, which lives
    with store.write() as db:
        db.execute("UPDATE trials SET status = 'killed', objective_values = NULL")
    looks = 0

    def let_go(engine: FormulaEngine) -> None:
        nonlocal looks
        looks += 1
        if looks == 3:
            with store.write() as db:
                db.execute("UPDATE runs SET status = 'finished' WHERE key = ?", (run_key,))

    again = Swept(store, sweep_text("trials = 1"), dataset, engine=FormulaEngine(store, on_event=let_go))
    assert again.ran == []
    assert again.sweep.status == Status.FINISHED
    assert looks >= 3
    assert again.heard.said.count("trial 0: another process still has its run in hand; waiting for its end") == 1


def test_a_removed_run_is_run_again_only_if_its_trial_had_not_ended(store: Store, dataset: Dataset) -> None:
    swept = Swept(store, sweep_text("trials = 2"), dataset)
    with store.write() as db:
        db.execute("DELETE FROM runs WHERE key = ?", (swept.trials[0].run_key,))
    again = Swept(store, sweep_text("trials = 2"), dataset)
    assert again.ran == []
    assert again.trials[0].objective_values == swept.trials[0].objective_values


def test_asked_to_stop_from_elsewhere(store: Store, dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runner.sweep.driver._BEAT_SECONDS", 0.0)

    def ask(engine: FormulaEngine) -> None:
        if len(engine.tasks) == 2:
            request_stop(store, 1)

    swept = Swept(store, sweep_text(PATIENT), dataset, engine=FormulaEngine(store, on_event=ask))
    assert (swept.sweep.status, swept.sweep.cause) == (Status.KILLED, "asked to stop")
    assert swept.trials[-1].cause == "its sweep was stopped: asked to stop"
    assert len(swept.ran) < 6
    assert Swept(store, sweep_text(PATIENT), dataset).sweep.status == Status.FINISHED


@pytest.mark.parametrize(
    ("number", "reason", "cause"),
    [
        (signal.SIGINT, None, "interrupted (Ctrl-C)"),
        (signal.SIGTERM, None, "interrupted (SIGTERM)"),
        (signal.SIGINT, "its job was cancelled", "its job was cancelled"),
    ],
)
def test_sweep_and_trial_say_what_interrupted_them(
    store: Store, dataset: Dataset, number: signal.Signals, reason: str | None, cause: str
) -> None:
    def interrupt(engine: FormulaEngine) -> None:
        if len(engine.tasks) == 2:
            if reason is not None:
                reasons.say(reason)
            signal.raise_signal(number)
            engine.on_event = lambda engine: None

    swept = Swept(store, sweep_text(PATIENT), dataset, engine=FormulaEngine(store, on_event=interrupt))
    assert (swept.sweep.status, swept.sweep.cause) == (Status.KILLED, cause)
    assert swept.trials[-1].cause == f"its sweep was stopped: {cause}"
    assert get_run(store, int(swept.trials[-1].run_key or 0)).cause == f"its sweep was stopped: {cause}"


def test_the_second_interrupt_ends_at_once(store: Store, dataset: Dataset) -> None:
    def interrupt(engine: FormulaEngine) -> None:
        if len(engine.tasks) == 2:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    swept = Swept(store, sweep_text(), dataset, engine=FormulaEngine(store, on_event=interrupt))
    assert swept.sweep.status == Status.KILLED
    assert swept.sweep.cause == "interrupted at once (Ctrl-C twice)"
    assert swept.trials[-1].status == Status.KILLED
    assert swept.trials[-1].cause == "the sweep ended before it: interrupted at once (Ctrl-C twice)"
    assert signal.getsignal(signal.SIGINT) is not None
    assert Swept(store, sweep_text(), dataset).sweep.status == Status.FINISHED


@pytest.mark.parametrize(("limit", "words"), [("max_hours=1e-9", "max_hours"), ("max_gpu_hours=1e-9", "max_gpu_hours")])
def test_a_budget_ends_it(
    store: Store, dataset: Dataset, limit: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.sweep.driver._BEAT_SECONDS", 0.0)
    swept = Swept(store, sweep_text(), dataset, f"sweep.{limit}")
    assert swept.sweep.status == Status.FINISHED
    assert words in str(swept.sweep.cause)
    assert len(swept.ran) < 6
    monkeypatch.setattr("runner.sweep.driver._BEAT_SECONDS", 2.0)
    assert Swept(store, sweep_text(), dataset, f"sweep.{limit}").ran == [], "it is used up"
    raised = Swept(store, sweep_text(), dataset, "sweep.max_hours=9", "sweep.max_gpu_hours=9")
    assert (raised.sweep.key, raised.sweep.cause, len(raised.trials)) == (swept.sweep.key, None, 6)


class Loading(FormulaEngine):
    """Its workers never come as far as a run."""

    def start(self, task: Task) -> str:
        self.tasks.append(task)
        return "paper"

    def next_event(self, timeout_seconds: float) -> Event | None:
        return None if self._ending is None else Ended(self.tasks[-1].trial, "killed", self._ending, None)


def test_a_budget_below_one_start_says_so_and_is_not_spent_again(
    store: Store, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.sweep.driver._BEAT_SECONDS", 0.0)
    swept = Swept(store, sweep_text(), dataset, "sweep.max_gpu_hours=1e-9", engine=Loading(store))
    assert swept.sweep.status == Status.FAILED
    start = "its 1e-09 hours of devices (3.6e-06 s) are over (max_gpu_hours) before a trial could begin to train: what"
    assert str(swept.sweep.cause).startswith(start)
    assert swept.trials[0].held_seconds is not None
    assert sum_costs(store, swept.sweep.key).device_seconds == swept.trials[0].held_seconds > 3.6e-6
    again = Swept(store, sweep_text(), dataset, "sweep.max_gpu_hours=1e-9", engine=Loading(store))
    assert again.ran == [], "no worker is started in vain"
    assert str(again.sweep.cause).startswith(start)
    raised = Swept(store, sweep_text(), dataset, "sweep.max_gpu_hours=9")
    assert (raised.sweep.status, len(raised.ran)) == (Status.FINISHED, 6)


def test_failures_of_all_calls_count(store: Store, dataset: Dataset) -> None:
    text = sweep_text("trials = 20\nretries = 0\nstop_after = 3")

    def broken() -> FormulaEngine:
        return FormulaEngine(store, fails=lambda recipe: "RuntimeError: the disk is gone")

    first = Swept(store, text, dataset, engine=broken())
    assert str(first.sweep.cause).startswith("3 of 3 trials failed for the same reason, the last 3 of them in a row")
    again = Swept(store, text, dataset, engine=broken())
    assert str(again.sweep.cause).startswith("4 of 4 trials failed for the same reason, the last 4 of them in a row")
    assert len(again.ran) == 1, "one shows that it is not mended"
    assert Swept(store, text, dataset).sweep.status == Status.FINISHED


@pytest.mark.parametrize("was_alone", [True, False])
def test_what_had_all_the_memory_there_is_is_not_tried_again(store: Store, dataset: Dataset, was_alone: bool) -> None:
    class Small(FormulaEngine):
        def next_event(self, timeout_seconds: float) -> Event | None:
            event = super().next_event(timeout_seconds)
            return replace(event, was_alone=was_alone) if isinstance(event, Ended) else event

    cause = "out of memory on the device; tried to allocate 64 GB"
    swept = Swept(store, sweep_text("trials = 1"), dataset, engine=Small(store, fails=lambda recipe: cause))
    assert len(swept.ran) == (1 if was_alone else 2)
    assert swept.trials[0].status == Status.FAILED
    said = "; it is not tried again, for it would end in the same way" if was_alone else ""
    assert swept.heard.said[-1] == f"trial 0 failed: {cause}{said}"


def test_further_seeds_go_to_contenders_only(store: Store, dataset: Dataset) -> None:
    space = '"training.learning_rate" = [1e-3, 1.05e-3, 1e-5, 1e-1]'
    swept = Swept(store, sweep_text('sampler = "grid"\nseeds = 3', space), dataset, "training.seed=5")
    seeds = {number: [t.seed for t in swept.trials if t.number == number] for number in range(4)}
    assert seeds == {0: [5, 6, 7], 1: [5, 6, 7], 2: [5], 3: [5]}
    assert [task.recipe["name"] for task in swept.ran[4:]] == [
        "search-0-s6",
        "search-1-s6",
        "search-0-s7",
        "search-1-s7",
    ]
    more = Swept(store, sweep_text('sampler = "grid"\nseeds = 4', space), dataset, "training.seed=5")
    assert more.sweep.key == swept.sweep.key
    assert len(more.ran) == 2


def test_every_configuration_may_have_its_seeds(store: Store, dataset: Dataset) -> None:
    space = '"training.learning_rate" = [1e-3, 1e-5, 1e-1]'
    lines = 'sampler = "grid"\nseeds = 3\nseeds_for = "all"'
    first = Swept(store, sweep_text('sampler = "grid"\nseeds = 1', space), dataset)
    swept = Swept(store, sweep_text(lines, space), dataset)
    assert swept.sweep.key == first.sweep.key
    assert [task.recipe["name"] for task in swept.ran] == [f"search-{i}-s{seed}" for i in range(3) for seed in (1, 2)]
    summary = summarise(store, swept.sweep, swept.taken.search)
    assert summary.leaders is not None
    assert summary.leaders.table["n_seeds"].tolist() == [3, 3, 3]
    assert summary.leaders.table[["low", "high"]].notna().all(axis=None)
    rows = [line for line in text(store, summary, "x", 1).splitlines() if "±" in line]
    assert len(rows) == 3
    assert "seeds  95 % of the mean  learning_rate" in text(store, summary, "x", 1)
    assert Swept(store, sweep_text(lines, space), dataset).ran == []


def test_of_two_objectives_both_have_intervals_over_seeds(store: Store, dataset: Dataset) -> None:
    lines = 'sampler = "grid"\nseeds = 2\nseeds_for = "all"\nobjectives = ["cost/wall_seconds", "validation/accuracy"]'
    swept = Swept(store, sweep_text(lines, '"training.learning_rate" = [1e-3, 1e-4]'), dataset)
    shown = text(store, summarise(store, swept.sweep, swept.taken.search), "x", 1)
    assert shown.count("±") == 4


def test_a_configuration_that_was_stopped_gets_no_further_seeds(store: Store, dataset: Dataset) -> None:
    lines = 'sampler = "random"\npruner = "asha"\ntrials = 8\nseeds = 2\nseeds_for = "all"'
    swept = Swept(store, sweep_text(lines), dataset)
    firsts = {trial.number: trial.status for trial in swept.trials if trial.seed == 0}
    assert Status.PRUNED in firsts.values()
    finished = {number for number, status in firsts.items() if status == Status.FINISHED}
    assert {trial.number for trial in swept.trials if trial.seed == 1} == finished


def test_seeds_follow_a_pruned_search_without_being_pruned(store: Store, dataset: Dataset) -> None:
    lines = 'sampler = "random"\npruner = "asha"\ntrials = 8\nseeds = 2'
    swept = Swept(store, sweep_text(lines), dataset)
    second = [trial for trial in swept.trials if trial.seed == 1]
    assert second
    assert {trial.status for trial in second} == {Status.FINISHED}
    assert all(task.rungs == () for task in swept.ran if task.recipe["training"]["seed"] == 1)


@pytest.mark.parametrize("pruner", ["hyperband", "median", "patience", "wilcoxon"])
def test_every_pruner_stops_some_and_finishes_some(store: Store, dataset: Dataset, pruner: str) -> None:
    lines = f'sampler = "random"\npruner = "{pruner}"\ntrials = 14\npatience = 1'
    swept = Swept(store, sweep_text(lines), dataset, select="validation/loss")
    assert swept.sweep.status == Status.FINISHED
    statuses = [trial.status for trial in swept.trials]
    assert set(statuses) <= {Status.FINISHED, Status.PRUNED}
    assert Status.FINISHED in statuses
    if pruner != "patience":  # these runs get better all the time
        assert Status.PRUNED in statuses


def test_the_store_may_be_out_of_reach_for_a_while(
    store: Store, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sqlite3

    from runner.sweep import ledger

    n_calls = 0
    write = ledger.end_trial

    def locked_at_first(*values: Any) -> None:
        nonlocal n_calls
        n_calls += 1
        if n_calls < 3:
            raise sqlite3.OperationalError("database is locked")
        write(*values)

    monkeypatch.setattr(ledger, "end_trial", locked_at_first)
    monkeypatch.setattr("runner.sweep.driver._PATIENCE_SECONDS", 0.0)
    swept = Swept(store, sweep_text("trials = 2"), dataset)
    assert [trial.status for trial in swept.trials] == [Status.FINISHED, Status.FINISHED]
    assert "the store cannot be written now (database is locked); trying again" in swept.heard.said


def test_two_objectives_and_their_front(store: Store, dataset: Dataset) -> None:
    lines = 'sampler = "random"\ntrials = 5\nobjectives = ["validation/accuracy", "cost/train_seconds"]'
    swept = Swept(store, sweep_text(lines), dataset)
    assert all(trial.objective_values and len(trial.objective_values) == 2 for trial in swept.trials)
    assert swept.sweep.status == Status.FINISHED


def test_another_living_driver_is_not_disturbed(store: Store, dataset: Dataset) -> None:
    import os

    import psutil

    from store import SweepHeld
    from store.sweeps import hold_sweep

    swept = Swept(store, sweep_text("trials = 1"), dataset)
    hold_sweep(store, swept.sweep.key)
    parent = psutil.Process(os.getppid())
    with store.write() as db:
        db.execute("UPDATE sweeps SET pid = ?, process_started_at = ?", (parent.pid, parent.create_time()))
    with pytest.raises(SweepHeld, match=f"driven by process {parent.pid}"):
        Swept(store, sweep_text("trials = 3"), dataset)
    assert get_sweep(store, swept.sweep.key).n_trials == 1, "nothing of it was changed"


def test_a_run_of_the_same_name_by_somebody_else_is_not_the_trials(store: Store, dataset: Dataset) -> None:
    record_run(store, NewRun("search-0", recipe_hash="another"))
    swept = Swept(store, sweep_text("trials = 1"), dataset)
    assert len(swept.ran) == 1


def test_a_small_grid_wants_no_more_than_it_has(store: Store, dataset: Dataset) -> None:
    space = '"training.learning_rate" = [1e-3, 1e-4]'
    last = Swept(store, sweep_text('sampler = "grid"\ntrials = 6', space), dataset).heard.last
    assert last is not None
    assert last.n_wanted == 2
    assert last.line().startswith("2 of 2 configurations")
