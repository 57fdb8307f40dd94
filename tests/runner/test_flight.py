"""Real trainings that go wrong: what is in the store afterwards is what the model was trained on, step by step."""

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import runner.tasks.pooled as pooled_module
import runner.train as train_module
from runner.batches import FeatureCollator, TokenCollator
from runner.flight import FlightRecorder, numbers
from runner.progress import make_progress
from runner.resume import resume
from store import (
    Flight,
    FlightKind,
    NewRun,
    Recorder,
    Run,
    Store,
    get_dataset,
    get_flight,
    list_alerts,
    list_flight_examples,
    list_flights,
    list_metrics,
    list_runs,
    open_store,
    read_rows,
    reconcile,
    record_run,
    run_files,
)
from store.flights import ring_path
from tests.runner.conftest import Kit

Batches = list[list[int]]
QUICK: dict[str, Any] = {"model__method": "head", "recording__embeddings": False, "checkpoints__keep": "none"}


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Batches:
    """The positions of every batch that a collator made, in order; filled while the test runs."""
    seen: Batches = []
    for module, original in ((pooled_module, TokenCollator), (train_module, FeatureCollator)):

        class Seeing(original):  # type: ignore[misc,valid-type]  # a class made for this test
            def __call__(self, positions: Sequence[int]) -> Any:
                seen.append([int(position) for position in positions])
                return super().__call__(positions)

        monkeypatch.setattr(module, original.__name__, Seeing)
    return seen


def only_flight(store: Store, run: Run) -> Flight:
    (key,) = list_flights(store, run.key)["key"]
    return get_flight(store, int(key))


def ring_files(store: Store, run: Run) -> list[Path]:
    return list(run_files(store, run).glob("flight*"))


def agrees(flight: Flight, batches: Batches, *, per_step: int = 1) -> None:
    """Every step of the flight trained on what the collator gave for it."""
    assert len(flight.steps.rows)
    for step in flight.steps.rows["step"]:
        of_step = batches[per_step * (int(step) - 1) : per_step * int(step)]
        assert flight.steps.of(int(step)).tolist() == [position for batch in of_step for position in batch], step


def test_a_training_that_goes_well_leaves_no_flight(kit: Kit, store: Store) -> None:
    run = kit.train(store, **QUICK)
    assert run.status == "finished", run.cause
    assert list_flights(store, run.key).empty
    assert list_alerts(store, run.key).empty
    assert ring_files(store, run) == []


def test_a_loss_that_becomes_nan(kit: Kit, store: Store, given: Batches) -> None:
    run = kit.train(
        store,
        training__learning_rate=1e30,
        training__head_learning_rate=1e30,
        training__warmup=0.0,
        training__max_grad_norm=0.0,
        training__batch_size=16,
        recording__log_every=4,
        **QUICK | {"model__method": "full"},
    )
    assert run.status == "failed"
    flight = only_flight(store, run)
    frame = flight.steps.frame()
    broken = frame[~np.isfinite(frame["loss"])]["step"].tolist()
    assert flight.kind is FlightKind.NOT_FINITE
    assert flight.step == broken[0] == frame["step"].iloc[-1]  # kept at once, though the Trainer logs every fourth step
    assert "the loss became" in flight.reason
    assert frame["step"].tolist() == list(range(1, len(frame) + 1))
    assert frame["has_ended"].all()
    agrees(flight, given)
    alerts = list_alerts(store, run.key)
    assert alerts["alert"].tolist() == ["not finite"]
    assert alerts["step"].tolist() == broken[:1]
    assert ring_files(store, run) == []


@pytest.mark.parametrize("method", ["full", "head"])
def test_an_error_in_the_middle_of_a_step(
    kit: Kit, store: Store, given: Batches, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    n_calls = 0
    original = train_module.RecordingTrainer.compute_loss

    def breaking(self: Any, *args: Any, **more: Any) -> Any:
        nonlocal n_calls
        n_calls += 1
        if n_calls >= 9:  # from the first part of step 5 on, however small the pieces
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 7 GiB")
        return original(self, *args, **more)

    monkeypatch.setattr(train_module.RecordingTrainer, "compute_loss", breaking)
    run = kit.train(
        store,
        training__batch_size=8,
        training__gradient_accumulation=2,
        recording__log_every=1,
        **QUICK | {"model__method": method},
    )
    assert str(run.cause).startswith("out of memory on the device")
    flight = only_flight(store, run)
    assert (flight.kind, flight.reason, flight.segment) == (FlightKind.OUT_OF_MEMORY, run.cause, 1)
    frame = flight.steps.frame()
    assert frame["step"].tolist() == [1, 2, 3, 4, 5]
    assert frame["has_ended"].tolist() == [True] * 4 + [False]
    assert frame["n_examples"].tolist() == [16] * 5
    agrees(flight, given, per_step=2)
    for column, metric in (("loss", "loss"), ("gradient_norm", "grad_norm"), ("learning_rate", "learning_rate")):
        logged = list_metrics(store, [run.key], [f"train/{metric}"])["value"]
        assert frame[column][:4].to_numpy() == pytest.approx(logged.to_numpy(), rel=1e-5)
    assert (frame["seconds"][:4] > 0).all()
    assert ring_files(store, run) == []


def test_the_examples_behind_a_step_are_those_of_the_dataset(kit: Kit, store: Store, given: Batches) -> None:
    run = kit.train(store, training__head_learning_rate=1e30, training__max_grad_norm=0.0, **QUICK)
    flight = only_flight(store, run)
    step = int(flight.steps.rows["step"][-1])
    found = list_flight_examples(store, flight, step)
    rows = read_rows(store, get_dataset(store, run.dataset_key or 0), "train", positions=given[step - 1])
    expected = rows.set_index("position").loc[given[step - 1]]
    assert found["text"].tolist() == expected["text"].tolist()
    assert found["label"].tolist() == expected["label"].tolist()


def test_an_interrupt_leaves_nothing(kit: Kit, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from runner.interrupts import Interrupted

    original = train_module.RecordingTrainer.compute_loss

    def stop(self: Any, *args: Any, **more: Any) -> Any:
        if self.state.global_step == 3:
            raise Interrupted("Ctrl-C")
        return original(self, *args, **more)

    monkeypatch.setattr(train_module.RecordingTrainer, "compute_loss", stop)
    run = kit.train(store, **QUICK)
    assert run.status == "killed"
    assert list_flights(store, run.key).empty
    assert ring_files(store, run) == []


def _train_until_killed(kit: Kit, store_path: Path, seen_path: Path) -> None:
    """In a process of its own: every batch goes to a file before the model sees it; step 7 never ends."""
    store = open_store(store_path)

    class Seeing(FeatureCollator):
        def __call__(self, positions: Sequence[int]) -> Any:
            with seen_path.open("a") as file:
                file.write(" ".join(str(int(position)) for position in positions) + "\n")
            return super().__call__(positions)

    original = train_module.RecordingTrainer.compute_loss

    def hang(self: Any, *args: Any, **more: Any) -> Any:
        if self.state.global_step == 6:
            seen_path.with_suffix(".hangs").touch()
            time.sleep(600)
        return original(self, *args, **more)

    train_module.FeatureCollator = Seeing  # type: ignore[misc]  # this process ends with it
    train_module.RecordingTrainer.compute_loss = hang  # type: ignore[method-assign]  # as above
    kit.train(store, training__batch_size=24, **QUICK)


def test_kill_9_in_the_middle_of_a_step(kit: Kit, store: Store, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    process = multiprocessing.get_context("spawn").Process(target=_train_until_killed, args=(kit, store.path, seen))
    process.start()
    while not seen.with_suffix(".hangs").exists():
        assert process.is_alive()
        time.sleep(0.05)
    (run,) = [row.key for row in list_runs(store).itertuples()]
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    (gone,) = reconcile(store)
    assert gone.key == run
    flight = only_flight(store, gone)
    assert flight.kind is FlightKind.KILLED
    assert flight.reason == gone.cause
    assert flight.reason.startswith("killed: process")
    frame = flight.steps.frame()
    assert frame["step"].tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert frame["has_ended"].tolist() == [True] * 6 + [False]
    assert np.isfinite(frame["loss"][:6]).all()
    agrees(flight, [[int(word) for word in line.split()] for line in seen.read_text().splitlines()])
    assert ring_files(store, gone) == []
    resumed = resume(store, gone, make_progress("quiet"), command=["test"])  # a new segment, a fresh ring, a good end
    assert resumed.status == "finished", resumed.cause
    assert len(list_flights(store, resumed.key)) == 1
    assert ring_files(store, resumed) == []


# the recorder itself -----------------------------------------------------------------------------------------------


@pytest.fixture
def recorder(store: Store) -> Iterator[Recorder]:
    made = Recorder(store, record_run(store, NewRun("flown")))
    yield made
    made.finish()


def fly(flight: FlightRecorder, first: int, last: int) -> None:
    for step in range(first, last + 1):
        flight.begin(step, np.arange(step, step + 2))
        flight.add_loss(torch.tensor(0.25 * step))
        flight.add_loss(torch.tensor(0.75 * step, requires_grad=True))
        assert flight.end(step, torch.tensor(2.0), 0.1)
        assert not flight.end(step, torch.tensor(9.0), 0.9)  # the end of an epoch says it again


def test_numbers_are_fetched_in_groups_and_each_finds_its_step(recorder: Recorder) -> None:
    looks: list[tuple[int, float]] = []
    flight = FlightRecorder(recorder, n_positions=2, group=4, look=lambda step, loss: looks.append((step, loss)))
    fly(flight, 1, 3)
    assert looks == []
    assert flight._ring.steps().rows["step"].tolist() == [1, 2, 3]  # which examples there are is known at once
    fly(flight, 4, 5)
    assert looks == [(step, float(step)) for step in (1, 2, 3, 4)]
    flight.begin(6, np.array([0, 1]))  # and the run dies in this step, with step 5 still on the device
    flight.finish(RuntimeError("boom"))
    frame = get_flight(recorder.store, 1).steps.frame()
    assert frame["step"].tolist() == [1, 2, 3, 4, 5, 6]
    assert frame["loss"].tolist()[:5] == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert frame["has_ended"].tolist() == [True] * 5 + [False]
    assert list_flights(recorder.store, recorder.run.key)["reason"].tolist() == ["RuntimeError: boom"]


def test_a_device_that_gives_nothing_back_costs_only_the_numbers(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*args: Any) -> Any:
        raise RuntimeError("CUDA error: device-side assert triggered")

    flight = FlightRecorder(recorder, n_positions=2, group=10)
    fly(flight, 1, 3)
    monkeypatch.setattr("runner.flight.numbers", lost)
    flight.finish(RuntimeError("CUDA error: device-side assert triggered"))
    frame = get_flight(recorder.store, 1).steps.frame()
    assert frame["step"].tolist() == [1, 2, 3]
    assert not frame["has_ended"].any()


def test_a_resumed_run_begins_a_fresh_ring_and_keeps_the_old_one(store: Store) -> None:
    run = record_run(store, NewRun("resumed"))
    first = Recorder(store, run)
    fly(FlightRecorder(first, n_positions=2, group=1), 1, 3)
    first.finish()  # as if the process were gone: the ring is still there
    assert ring_path(store, run, 1).exists()
    with store.write() as db:
        db.execute("INSERT INTO segments (run_key, number, start_step, started_at) VALUES (?, 2, 2, 0)", (run.key,))
    second = Recorder(store, run, segment=2)
    flight = FlightRecorder(second, n_positions=2, group=1)
    assert not ring_path(store, run, 1).exists()
    assert ring_path(store, run, 2).exists()
    fly(flight, 3, 4)
    flight.finish(RuntimeError("boom"))
    second.finish()
    frame = list_flights(store, run.key)
    assert frame[["segment", "kind", "n_steps"]].to_numpy().tolist() == [[1, "killed", 3], [2, "failed", 2]]
    assert ring_files(store, run) == []


def test_where_no_file_can_be_made_it_is_said_and_the_flight_is_kept_all_the_same(recorder: Recorder) -> None:
    folder = run_files(recorder.store, recorder.run)
    folder.parent.mkdir(parents=True)
    folder.write_text("a file where a folder should be")
    flight = FlightRecorder(recorder, n_positions=2, group=1)
    fly(flight, 1, 2)
    flight.finish(MemoryError())
    found = list_flights(recorder.store, recorder.run.key)
    assert found[["kind", "n_steps"]].to_numpy().tolist() == [["out of memory", 2]]
    events = recorder.store.db.execute("SELECT message FROM run_events").fetchall()
    assert any("kept in memory only" in message for (message,) in events)


def test_numbers_from_the_device() -> None:
    found = numbers([torch.tensor([1.5]), None, 2.0, torch.tensor(float("nan")), torch.tensor(3)])
    assert found[0] == 1.5
    assert np.isnan(found[1])
    assert found[2] == 2.0
    assert np.isnan(found[3])
    assert found[4] == 3.0
    assert numbers([]) == []
