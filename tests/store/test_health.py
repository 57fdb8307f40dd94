import pytest

from store import NewRun, Recorder, Store, StoreUnreadable, check_store, open_readonly, record_run
from tests.store.builders import make_dataset


def test_a_sound_store(store: Store) -> None:
    make_dataset(store, "d", [("a", 0), ("b", 1)])
    recorder = Recorder(store, record_run(store, NewRun("x")))
    recorder.log({"a": 1.0, "b": 2.0}, 1)
    recorder.flush()
    with store.write() as db:
        db.execute("UPDATE leases SET rows_pending = 3, rows_lost = 4")
    health = check_store(store)
    assert health.problems == check_store(store, thorough=False).problems == ()
    counts = (health.n_runs, health.n_live, health.n_examples, health.n_metric_values)
    assert counts == (1, 1, 2, 2)
    assert (health.rows_pending, health.rows_lost) == (3, 4)
    assert health.size_bytes == store.path.stat().st_size
    recorder.finish()


def test_a_row_that_refers_to_nothing_is_a_problem(store: Store) -> None:
    store.db.execute("PRAGMA foreign_keys = OFF")
    store.db.execute("INSERT INTO run_events (run_key, at, kind, message) VALUES (7, 0, 'x', 'y')")
    assert check_store(store).problems == ("run_events: row 1 refers to a row of runs that is not there",)


def test_a_damaged_page_is_a_problem(store: Store) -> None:
    with Recorder(store, record_run(store, NewRun("x"))) as recorder:
        for number in range(2_000):
            recorder.event("note", f"event {number} " * 20)
    path = store.path
    store.close()
    data = bytearray(path.read_bytes())
    page = len(data) // 4096 * 3 // 4 * 4096  # among the events, which came last
    data[page : page + 200] = b"\xff" * 200
    path.write_bytes(data)
    reader = open_readonly(path)
    problems = check_store(reader).problems
    assert problems
    assert check_store(reader).n_runs == 1
    reader.close()


def test_damage_at_the_front(store: Store) -> None:
    record_run(store, NewRun("x"))
    path = store.path
    store.close()
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    path.write_bytes(data)
    with pytest.raises(StoreUnreadable, match=r"is damaged.*doctor --repair"):
        check_store(open_readonly(path))
