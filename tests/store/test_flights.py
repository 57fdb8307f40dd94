"""Flights in the store: what the recorder hands over, what reconcile finds, and the examples behind a step."""

from pathlib import Path

import numpy as np
import pytest

from store import (
    FlightKind,
    FlightNotFound,
    NewRow,
    NewRun,
    Recorder,
    Run,
    Status,
    Store,
    delete_run,
    get_flight,
    get_run,
    list_alerts,
    list_events,
    list_flight_examples,
    list_flights,
    list_runs,
    reconcile,
    record_dataset,
    record_run,
)
from store import holders as holders_module
from store.flights import find_rings, remove_rings, ring_path, write_flight
from store.leases import take_lease
from store.ring import FlightRing, Steps, parse_ring


def steps(n: int, width: int = 3) -> Steps:
    """Steps 1 to n; step s trained on positions s, s + 1, …"""
    ring = FlightRing(None, run_id="x" * 26, segment=1, n_positions=width)
    for step in range(1, n + 1):
        ring.end(ring.begin(step, np.arange(step, step + width)), 1 / step, 1.0, 0.1, 0.2)
    return ring.steps()


@pytest.fixture
def run(store: Store) -> Run:
    """A run on a dataset of twelve training examples."""
    rows = [NewRow(split, f"{split} text {i}", i % 2) for split in ("train", "test") for i in range(12)]
    dataset = record_dataset(store, "d", rows, label_names=("no", "yes"), source={}, fingerprint="f")
    return record_run(store, NewRun("flown", dataset_key=dataset.key))


def left_behind(store: Store, run: Run, n: int = 4, *, segment: int = 1, n_positions: int = 3) -> Path:
    """The ring of a process that is no more, in a run that nobody holds."""
    path = ring_path(store, run, segment)
    ring = FlightRing(path, run_id=run.id, segment=segment, n_positions=n_positions)
    for step in range(1, n + 1):
        ring.end(ring.begin(step, np.arange(step, step + 3)), 1 / step, 1.0, 0.1, 0.2)
    if n:
        ring.begin(n + 1, [7, 2])
    with store.write() as db:
        db.execute("UPDATE runs SET status = 'running' WHERE key = ?", (run.key,))
    return path


def test_what_the_recorder_is_given_is_read_back(store: Store, run: Run) -> None:
    given = steps(5)
    with Recorder(store, run) as recorder:
        recorder.flight(FlightKind.SPIKE, "a spike", step=4, steps=given)
        recorder.flight(FlightKind.FAILED, "it fell over", steps=given, segment=7)
    frame = list_flights(store, run.key)
    assert frame[["kind", "step", "reason", "n_steps", "segment"]].astype(object).to_numpy().tolist() == [
        ["spike", 4.0, "a spike", 5, 1],
        ["failed", pytest.approx(float("nan"), nan_ok=True), "it fell over", 5, 7],
    ]
    assert frame["n_bytes"].tolist() == [5 * (60 + 3 * 4)] * 2
    flight = get_flight(store, int(frame["key"][0]))
    assert (flight.kind, flight.step, flight.reason) == (FlightKind.SPIKE, 4, "a spike")
    assert flight.steps.frame().equals(given.frame())
    assert flight.steps.of(3).tolist() == [3, 4, 5]
    assert get_flight(store, int(frame["key"][1])).step is None


def test_no_flights_and_no_such_flight(store: Store, run: Run) -> None:
    frame = list_flights(store, run.key)
    assert frame.empty
    assert list(frame) == ["key", "segment", "at", "kind", "step", "reason", "n_steps", "n_bytes"]
    with pytest.raises(FlightNotFound, match="no flight 5"):
        get_flight(store, 5)


def test_the_examples_of_a_step_in_the_order_of_its_batches(store: Store, run: Run) -> None:
    ring = FlightRing(None, run_id=run.id, segment=1, n_positions=4)
    ring.begin(1, [9, 2, 2, 11])
    ring.begin(2, [0])
    with Recorder(store, run) as recorder:
        recorder.flight(FlightKind.KILLED, "gone", steps=ring.steps())
    flight = get_flight(store, 1)
    found = list_flight_examples(store, flight, 1)
    assert found["position"].tolist() == [9, 2, 2, 11]
    assert found["text"].tolist() == ["train text 9", "train text 2", "train text 2", "train text 11"]
    assert found["label"].tolist() == ["yes", "no", "no", "yes"]
    assert found["example_id"].str.len().tolist() == [32] * 4
    page = list_flight_examples(store, flight, 1, limit=2, offset=1)
    assert page[["place", "position"]].to_numpy().tolist() == [[1, 2], [2, 2]]
    assert list_flight_examples(store, flight, 7).empty
    assert list(list_flight_examples(store, flight, 7)) == [
        "place",
        "position",
        "example_id",
        "text",
        "target",
        "label",
    ]


def test_without_a_dataset_there_are_no_examples(store: Store) -> None:
    with Recorder(store, record_run(store, NewRun("script"))) as recorder:
        recorder.flight(FlightKind.FAILED, "gone", steps=steps(1))
    assert list_flight_examples(store, get_flight(store, 1), 1).empty


def test_a_text_target_is_its_own_label(store: Store) -> None:
    rows = [NewRow("train", "a", "x']"), NewRow("train", "b", None)]
    dataset = record_dataset(store, "d", rows, label_names=None, source={}, fingerprint="f")
    with Recorder(store, record_run(store, NewRun("r", dataset_key=dataset.key))) as recorder:
        recorder.flight(FlightKind.FAILED, "gone", steps=steps(1, width=1))
        ring = FlightRing(None, run_id="x" * 26, segment=1, n_positions=2)
        ring.begin(1, [1, 0])
        recorder.flight(FlightKind.KILLED, "gone", steps=ring.steps())
    labels = list_flight_examples(store, get_flight(store, 2), 1)["label"]
    assert labels.isna().tolist() == [True, False]
    assert labels[1] == "x']"


def test_reconcile_takes_the_ring_of_a_dead_run(store: Store, run: Run) -> None:
    path = left_behind(store, run)
    (gone,) = reconcile(store)
    assert gone.status == Status.FAILED
    assert not path.exists()
    flight = get_flight(store, 1)
    assert (flight.kind, flight.step, flight.reason) == (FlightKind.KILLED, None, gone.cause)
    assert flight.steps.rows["step"].tolist() == [1, 2, 3, 4, 5]
    assert flight.at == flight.steps.rows["at"][-1]
    assert flight.steps.of(5).tolist() == [7, 2]
    assert not flight.steps.rows["has_ended"][-1]
    left_behind(store, run)  # say, a folder that was copied back: the same steps are not kept twice
    reconcile(store)
    assert len(list_flights(store, run.key)) == 2  # other times, so other steps
    assert reconcile(store) == []


def test_steps_that_were_kept_before_the_end_are_not_kept_again(store: Store, run: Run) -> None:
    path = left_behind(store, run)
    found = path.read_bytes()
    with store.write() as db:
        write_flight(
            db, run.key, 1, at=1.0, kind="failed", step=None, reason="loud", steps=parse_ring(found).steps
        )  # fmt: skip
    reconcile(store)
    assert list_flights(store, run.key)["reason"].tolist() == ["loud"]
    assert not path.exists()


def test_an_empty_ring_says_nothing(store: Store, run: Run) -> None:
    path = left_behind(store, run, n=0)
    reconcile(store)
    assert list_flights(store, run.key).empty
    assert not path.exists()


@pytest.mark.parametrize("damage", ["garbage", "another run's", "a folder"])
def test_a_ring_that_cannot_be_read_is_said_and_harms_nothing(store: Store, run: Run, damage: str) -> None:
    path = left_behind(store, run)
    if damage == "garbage":
        path.write_bytes(b"\x00" * 100)
    elif damage == "another run's":
        FlightRing(path, run_id="0" * 26, segment=1, n_positions=1)
    else:
        path.unlink()
        path.mkdir()
    (gone,) = reconcile(store)
    assert gone.status == Status.FAILED
    assert list_flights(store, run.key).empty
    assert list_events(store, run.key)["message"].str.contains(r"the last steps .* are lost \(flight-1.ring\)").any()


def test_the_ring_of_a_later_segment_is_not_touched_by_who_takes_an_old_one(store: Store, run: Run) -> None:
    left_behind(store, run)
    rings = find_rings(store, run)
    newer = left_behind(store, run, segment=2)  # the run is taken up again meanwhile
    remove_rings(rings)
    assert newer.exists()
    assert not ring_path(store, run, 1).exists()


def test_a_living_run_keeps_its_ring(store: Store, run: Run) -> None:
    recorder = Recorder(store, run)
    path = left_behind(store, run)
    assert reconcile(store) == []
    assert path.exists()
    recorder.finish()


def test_deleting_a_run_deletes_its_flights(store: Store, run: Run) -> None:
    with Recorder(store, run) as recorder:
        recorder.flight(FlightKind.FAILED, "gone", steps=steps(2))
    delete_run(store, get_run(store, run.key))
    assert store.db.execute("SELECT count(*) FROM flights").fetchone() == (0,)


def test_alerts_are_events_with_evidence(store: Store, run: Run) -> None:
    assert list_alerts(store, run.key).empty
    with Recorder(store, run) as recorder:
        recorder.event("alert", "the loss rises", {"alert": "divergence", "step": 8, "loss": 2.5})
        recorder.event("alert", "disk nearly full", {"alert": "disk low", "step": None, "free_bytes": 7})
        recorder.event("warning", "no alert")
    frame = list_alerts(store, run.key)
    assert frame["alert"].tolist() == ["divergence", "disk low"]
    assert frame["message"].tolist() == ["the loss rises", "disk nearly full"]
    assert frame["step"][0] == 8
    assert np.isnan(frame["step"][1])
    assert frame["evidence"].tolist() == [{"loss": 2.5}, {"free_bytes": 7}]
    assert list_runs(store)["n_alerts"].tolist() == [2]


def test_memory_that_ran_out_is_told_from_a_kill(store: Store, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holders_module, "oom_kill_count", lambda: 3)
    take_lease(store, run)
    left_behind(store, run)
    with store.write() as db:
        db.execute("UPDATE leases SET pid = ? WHERE run_key = ?", (2**22 + 1, run.key))
    monkeypatch.setattr(holders_module, "oom_kill_count", lambda: 4)
    reconcile(store)
    flight = get_flight(store, 1)
    assert flight.kind is FlightKind.OUT_OF_MEMORY
    assert flight.reason.startswith("out of memory: the kernel killed process")
