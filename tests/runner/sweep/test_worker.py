"""What a worker does with a task, in this process: trainings, answers at rungs, latency, mistakes."""

import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from multiprocessing.connection import Connection

import pytest

from runner import reasons
from runner.data import prepare_data
from runner.recipe import LoadedRecipe, parse_recipe
from runner.shared import Shared
from runner.sweep.engine import Answer, Asked, Ended, Stop, Task, pack, unpack
from runner.sweep.tidy import remove, stopped_checkpoints
from runner.sweep.worker import Line, carry_out
from store import Status, Store, get_run, list_checkpoints, list_evaluations, list_runs
from tests.runner.conftest import Kit
from tests.runner.sweep.recipes import configuration


@pytest.fixture(autouse=True)
def _own_reasons(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is said here to end a run is not left to the runs of other tests in this process."""
    monkeypatch.setattr(reasons, "_said", None)


class Place:
    """Both ends of a worker's line: answers every question, and keeps what was asked."""

    def __init__(self, stops_at: int | None) -> None:
        ours, theirs = socket.socketpair()
        self._ours, self.line = Connection(ours.detach()), Line(Connection(theirs.detach()))
        self._stops_at = stops_at
        self.asked: list[Asked] = []
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                asked = unpack(self._ours.recv_bytes())
            except (EOFError, OSError):
                return
            assert isinstance(asked, Asked)
            self.asked.append(asked)
            self._ours.send_bytes(pack(Answer(asked.trial, stops=asked.rung == self._stops_at)))

    def close(self) -> None:
        self._ours.close()


@pytest.fixture
def place() -> Iterator[Place]:
    made = Place(stops_at=1)
    yield made
    made.close()


def load(kit: Kit, **overrides: object) -> LoadedRecipe:
    text = kit.text({"name": "trial", "training.epochs": 4, **overrides})
    return parse_recipe(text, folder=kit.folder)


def task(loaded: LoadedRecipe, **changes: object) -> Task:
    return Task(**{"trial": 7, "mode": "train", "recipe": loaded.resolved, "text": loaded.text, **changes})  # type: ignore[arg-type]  # the test says what each field holds


def test_a_trial_asks_stops_and_goes_on(store: Store, kit: Kit, place: Place) -> None:
    loaded = load(kit)
    dataset = prepare_data(store, loaded.recipe).dataset
    given = task(loaded, rungs=(0.25, 0.5, 0.75), dataset_key=dataset.key)
    ended = carry_out(given, store, Shared(), place.line)
    assert [(asked.rung, asked.step) for asked in place.asked] == [(0, 3), (1, 6)]
    assert place.asked[0].values["validation/macro_f1"] is not None
    assert (ended.status, ended.trial) == ("pruned", 7)
    again = carry_out(
        task(loaded, mode="resume", run_id=ended.run_id, rungs=(0.25, 0.5, 0.75)), store, Shared(), place.line
    )
    assert (again.status, again.run_id) == ("finished", ended.run_id)
    assert [asked.rung for asked in place.asked] == [0, 1, 2], "a rung is asked about once"
    run = get_run(store, str(ended.run_id))
    steps = [e.step for e in list_evaluations(store, run.key) if e.split == "validation"]
    assert steps == [0, 3, 6, 9, 12]
    assert run.dataset_key == dataset.key
    assert run.recipe_text == loaded.text


def test_latency_is_measured_with_the_model_on_disk(store: Store, kit: Kit, place: Place) -> None:
    loaded = load(kit, **{"model.method": "head", "training.epochs": 1})
    ended = carry_out(task(loaded, measures_latency=True), store, Shared(), place.line)
    assert ended.status == "finished"
    assert ended.latency is not None
    assert 0 < ended.latency.low <= ended.latency.median <= ended.latency.high < 60_000
    measured = carry_out(
        task(loaded, mode="measure", run_id=ended.run_id, measures_latency=True), store, Shared(), place.line
    )
    assert measured.latency is not None
    assert len(list_runs(store)) == 1, "nothing was trained for it"
    kept = load(kit, **{"model.method": "head", "training.epochs": 1, "checkpoints.keep": "none"})
    assert carry_out(task(kept, measures_latency=True), store, Shared(), place.line).latency is None


def test_bad_input_is_said_and_not_tried_again(store: Store, kit: Kit, place: Place) -> None:
    missing = load(kit, **{"data.source": "/nowhere.csv"})
    ended = carry_out(task(missing), store, Shared(), place.line)
    assert (ended.status, ended.run_id, ended.can_retry) == ("failed", None, False)
    assert "/nowhere.csv" in str(ended.cause)
    gone = carry_out(task(load(kit), mode="resume", run_id="01ABCDEFGH"), store, Shared(), place.line)
    assert (gone.status, gone.can_retry) == ("failed", False)


def test_a_failed_training_may_be_tried_again(store: Store, kit: Kit, place: Place) -> None:
    wild = load(kit, **{"training.learning_rate": 1e30, "training.max_grad_norm": 0.0})
    ended = carry_out(task(wild), store, Shared(), place.line)
    assert isinstance(ended, Ended)
    assert ended.status == "failed"
    assert ended.run_id is not None
    assert ended.cause is not None
    assert ended.cause.startswith(("loss became", "the model's outputs are no numbers"))


def test_a_trial_whose_checkpoints_are_damaged_starts_again(store: Store, kit: Kit, place: Place) -> None:
    loaded = load(kit)
    ended = carry_out(task(loaded, rungs=(0.25, 0.5)), store, Shared(), place.line)
    run = get_run(store, str(ended.run_id))
    for checkpoint in list_checkpoints(store, run.key, existing=True):
        (store.files / checkpoint.path / "head.safetensors").write_bytes(b"no weights")
    again = carry_out(task(loaded, mode="resume", run_id=run.id, rungs=(0.25,)), store, Shared(), place.line)
    assert (again.status, again.run_id) == ("finished", run.id)


def test_checkpoints_of_stopped_trials_can_be_removed(store: Store, kit: Kit, place: Place) -> None:
    ended = carry_out(task(load(kit), rungs=(0.25, 0.5)), store, Shared(), place.line)
    run = get_run(store, str(ended.run_id))
    stopped = replace(configuration(0, {}, Status.PRUNED).first, run_key=run.key)
    others = [replace(stopped, status=Status.FINISHED), replace(stopped, is_reused=True)]
    assert stopped_checkpoints(store, others) == []
    found = stopped_checkpoints(store, [stopped])
    assert found
    assert remove(store, found) > 10_000
    assert stopped_checkpoints(store, [stopped]) == []
    assert not any((store.files / checkpoint.path).exists() for checkpoint in found)
    again = carry_out(task(load(kit), mode="resume", run_id=run.id), store, Shared(), place.line)
    assert again.status == "finished", "from its beginning"


class _Ended(BaseException):
    pass


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Connection, Line]]:
    """The engine's end of a line and the worker's, whose process takes SIGTERM as a test may."""

    def end(*_: object) -> None:
        raise _Ended

    before = signal.signal(signal.SIGTERM, end)
    ours, theirs = socket.socketpair()
    connection = Connection(ours.detach())
    line = Line(Connection(theirs.detach()))
    yield connection, line
    line._is_at_work = False  # or its end would end this process
    connection.close()
    _heard(line, lambda: line._is_cut)
    signal.signal(signal.SIGTERM, before)


def _heard(line: Line, is_so: Callable[[], bool]) -> None:
    for _ in range(500):
        if is_so():
            return
        time.sleep(0.01)
    raise AssertionError("the line's reader did not hear it")


def test_a_task_is_not_begun_once_the_engine_is_gone(ends: tuple[Connection, Line]) -> None:
    engine, line = ends
    engine.send_bytes(pack(Task(1, "train", {}, "")))
    engine.close()
    _heard(line, lambda: line._is_cut)
    assert line.next_task() is None


def test_a_task_that_is_stopped_before_it_begins_is_handed_back(ends: tuple[Connection, Line]) -> None:
    engine, line = ends
    engine.send_bytes(pack(Task(1, "resume", {}, "", run_id="01A")))
    engine.send_bytes(pack(Stop("its sweep was stopped")))
    _heard(line, lambda: line._is_refused)
    engine.send_bytes(pack(Task(2, "train", {}, "")))
    _heard(line, lambda: line._tasks.qsize() == 2)
    next_one = line.next_task()
    assert next_one is not None
    assert next_one.trial == 2
    assert unpack(engine.recv_bytes()) == Ended(1, "killed", "its sweep was stopped", "01A")


@pytest.mark.parametrize("when", ["before it asks", "while it waits"])
def test_a_trial_at_a_rung_ends_with_its_engine(ends: tuple[Connection, Line], when: str) -> None:
    engine, line = ends
    engine.send_bytes(pack(Task(1, "train", {}, "")))
    assert line.next_task() is not None
    later = threading.Timer(0.0 if when == "before it asks" else 0.3, engine.close)
    with pytest.raises(_Ended):  # noqa: PT012 - the signal may come in either line
        later.start()
        if when == "before it asks":
            _heard(line, lambda: line._is_cut)
        line.ask(Asked(1, 0, 4, 1.0, {}))
    later.join()  # two threads must not close one connection


def test_a_stop_right_behind_the_answer_is_heard(
    ends: tuple[Connection, Line], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, line = ends
    engine.send_bytes(pack(Task(1, "train", {}, "")))
    assert line.next_task() is not None

    def both(_: object) -> None:
        engine.send_bytes(pack(Answer(1, stops=False)))
        engine.send_bytes(pack(Stop("its sweep was stopped")))
        _heard(line, lambda: line._answers.qsize() == 2)

    monkeypatch.setattr(line, "say", both)
    with pytest.raises(_Ended):
        line.ask(Asked(1, 0, 4, 1.0, {}))
