"""Engines for tests: one that trains nothing but writes real rows, by a formula; one that trains in this process."""

import queue
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from evals.classification import prediction_columns, score_classification
from runner.recipe import recipe_from_resolved, recipe_hash
from runner.sweep.engine import Answer, Asked, Ended, Event, Lost, Task
from store import (
    Dataset,
    Evaluation,
    NewRow,
    NewRun,
    Predictions,
    Recorder,
    Run,
    RunCost,
    ScoreRow,
    Status,
    Store,
    get_dataset,
    get_run,
    list_evaluations,
    read_targets,
    record_dataset,
    record_run,
)
from store.leases import take_lease

N_STEPS = 64
Recipe = Mapping[str, Any]


def make_dataset(store: Store, name: str = "toy", n: int = 120) -> Dataset:
    """Two labels; only the validation split matters."""
    rows = [NewRow(split, f"{name} {split} {i}", i % 2) for split in ("train", "validation") for i in range(n)]
    return record_dataset(
        store, name, rows, label_names=("no", "yes"), source={"kind": "test"}, fingerprint=f"{name}-{n}"
    )


def quality(recipe: Recipe) -> float:
    """Share of right answers at the end: best at a learning rate of 1e-3, a little of chance by the seed."""
    training = recipe["training"]
    away = abs(np.log10(training["learning_rate"]) + 3) / 4
    noise = np.random.default_rng(training["seed"]).normal() * 0.002
    return float(np.clip(0.95 - away + noise, 0.5, 1))


@dataclass
class _AtWork:
    task: Task
    run: Run
    recorder: Recorder
    rungs: deque[int]
    waits: bool = False


@dataclass
class FormulaEngine:
    """Each `next_event` carries one trial one stretch on: to its next rung or its end.

    Args:
        fails: recipe → cause, of runs that fail; they do before the first rung.
        kills: trials of these numbers (by run name) lose their worker once.
    """

    store: Store
    n_slots: int = 1
    fails: Callable[[Recipe], str | None] = lambda recipe: None
    kills: set[str] = field(default_factory=set)
    on_event: Callable[["FormulaEngine"], None] = lambda engine: None
    tasks: list[Task] = field(default_factory=list)
    """All that were ever started."""
    n_steps: int = 0
    """Optimizer steps that were made, in all."""
    _work: deque[_AtWork] = field(default_factory=deque)
    _said: deque[Event] = field(default_factory=deque)
    _ending: str | None = None

    def start(self, task: Task) -> str:
        if len(self._work) >= self.n_slots:
            raise RuntimeError("full")
        self.tasks.append(task)
        resolved = dict(task.recipe)
        recipe = recipe_from_resolved(resolved)
        if task.run_id is not None:
            run = get_run(self.store, task.run_id)
            take_lease(self.store, run)
        else:
            new = NewRun(
                recipe.name, method=recipe.model.method, recipe=resolved, recipe_hash=recipe_hash(resolved),
                dataset_key=task.dataset_key, tags=recipe.tags, select_metric=recipe.evaluation.select,
            )  # fmt: skip
            run = record_run(self.store, new)
        recorder = Recorder(self.store, run)
        at = max((e.step for e in _evaluations(self.store, run)), default=0)
        rungs = deque(i for i, rung in enumerate(task.rungs) if round(rung * N_STEPS) > at)
        self._work.append(_AtWork(task, run, recorder, rungs))
        return "paper"

    def next_event(self, timeout_seconds: float) -> Event | None:
        self.on_event(self)
        if self._said:
            return self._said.popleft()
        work = next((each for each in self._work if not each.waits), None)
        if work is None:
            return None
        self._work.remove(work)
        task, recipe = work.task, work.task.recipe
        if self._ending:
            return self._end(work, Status.KILLED, self._ending)
        if work.run.name in self.kills:
            self.kills.remove(work.run.name)
            work.recorder.flush()
            with self.store.write() as db:  # as a worker that was killed leaves it
                db.execute("UPDATE leases SET pid = ? WHERE run_key = ?", (2**22 + 1, work.run.key))
            return Lost(task.trial, "the worker process was ended by SIGKILL")
        cause = self.fails(recipe)
        if cause is not None:
            return self._end(work, Status.FAILED, cause)
        if work.rungs:
            rung = work.rungs.popleft()
            step = round(task.rungs[rung] * N_STEPS)
            values = self._evaluate(work, step)
            work.waits = True
            self._work.append(work)
            return Asked(task.trial, rung, step, step / 8, values)
        self._evaluate(work, N_STEPS)
        work.recorder.best(N_STEPS)
        return self._end(work, Status.FINISHED, None)

    def answer(self, answer: Answer) -> None:
        work = next(each for each in self._work if each.task.trial == answer.trial)
        work.waits = False
        if answer.stops:
            work.rungs.clear()
            self._work.remove(work)
            self._said.append(self._end(work, Status.PRUNED, "stopped at a rung"))

    def stop(self, reason: str) -> None:
        self._ending = reason
        for work in self._work:
            work.waits = False

    def close(self, *, at_once: bool = False) -> None:
        while self._work:
            self._end(self._work.popleft(), Status.KILLED, "interrupted")

    def _end(self, work: _AtWork, status: Status, cause: str | None) -> Ended:
        seconds = float(max((e.step for e in _evaluations(self.store, work.run)), default=0))
        work.recorder.cost(RunCost(wall_seconds=seconds, train_seconds=seconds, device_seconds=seconds))
        work.recorder.finish(status, cause)
        return Ended(work.task.trial, status.value, cause, work.run.id)  # type: ignore[arg-type]  # an ended status

    def _evaluate(self, work: _AtWork, step: int) -> dict[str, float | None]:
        """Write what the run says of the validation split at a step: the same examples are hard for every run."""
        before = max((e.step for e in _evaluations(self.store, work.run)), default=0)
        self.n_steps += step - before
        dataset = get_dataset(self.store, int(work.task.dataset_key or 0))
        gold = read_targets(self.store, dataset, "validation")
        right = quality(work.task.recipe) * (0.75 + 0.25 * step / N_STEPS)
        hard = np.random.default_rng(0).random(len(gold))
        p = np.where(hard < right, 0.9 - 0.3 * hard, 0.3 - 0.2 * hard)
        log_probs = np.log(np.where(gold[:, None] == np.arange(2), p[:, None], 1 - p[:, None]))
        scores = [ScoreRow(s.metric, s.value, s.low, s.high, s.n) for s in score_classification(gold, log_probs)]
        columns = Predictions(*prediction_columns(gold, log_probs))
        work.recorder.evaluation(
            "validation", step, epoch=step / 8, n_examples=len(gold), scores=scores, predictions=columns
        )
        work.recorder.flush()
        return {f"validation/{score.metric}": score.value for score in scores}


def _evaluations(store: Store, run: Run) -> list[Evaluation]:
    return list_evaluations(store, run.key)


class InlineEngine:
    """Real trainings, one at a time, in a thread of this process."""

    n_slots = 1

    def __init__(self, store: Store) -> None:
        self._store = store
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self._shared: Any = None
        self.tasks: list[Task] = []

    def start(self, task: Task) -> str:
        self.tasks.append(task)
        threading.Thread(target=self._work, args=(task,), daemon=True).start()
        return "this process"

    def _work(self, task: Task) -> None:
        from runner.shared import Shared
        from runner.sweep.worker import carry_out

        self._shared = self._shared or Shared()
        self._events.put(carry_out(task, self._store, self._shared, self))  # type: ignore[arg-type]  # stands for a Line

    def ask(self, asked: Asked) -> bool:
        """As `Line.ask`: whether the trial stops there."""
        self._events.put(asked)
        return self._answers.get().stops

    def next_event(self, timeout_seconds: float) -> Event | None:
        try:
            return self._events.get(timeout=timeout_seconds)
        except queue.Empty:
            return None

    def answer(self, answer: Answer) -> None:
        self._answers.put(answer)

    def stop(self, reason: str) -> None:
        """No test stops it."""

    def close(self, *, at_once: bool = False) -> None:
        """Its threads end with their trials."""
