import math
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store import NewRun, Recorder, Store, list_latest, list_metrics, list_sparklines, open_store, record_run
from store.metrics import Column, StepRow, refresh_summary, write_metrics, write_steps


def column(steps: list[int], values: list[float]) -> Column:
    return Column(np.array(steps, dtype=np.int64), np.array(values, dtype=np.float64))


def recomputed(store: Store, run_key: int, name: str) -> tuple[object, ...] | None:
    """What `metric_latest` has to say, in plain Python from the visible rows."""
    rows = store.db.execute(
        "SELECT m.segment, m.step, m.value, m.not_finite FROM metrics m JOIN metric_keys k ON k.key = m.metric_key"
        " JOIN segments s ON s.run_key = m.run_key AND s.number = m.segment"
        " WHERE m.run_key = ? AND k.name = ? AND (s.visible_until IS NULL OR m.step <= s.visible_until)",
        (run_key, name),
    ).fetchall()
    if not rows:
        return None
    last = max(rows, key=lambda row: (row[1], row[0]))
    finite = [(value, step) for _, step, value, _ in rows if value is not None]
    low = min(finite, default=(None, None))
    high = min(finite, key=lambda pair: (-pair[0], pair[1]), default=(None, None))
    return (len(rows), last[1], last[2], last[3], low[1], low[0], high[1], high[0])


def summary(store: Store, run_key: int, name: str) -> tuple[object, ...] | None:
    row: tuple[object, ...] | None = store.db.execute(
        "SELECT n, latest_step, latest_value, latest_not_finite, min_step, min_value, max_step, max_value"
        " FROM metric_latest l JOIN metric_keys k ON k.key = l.metric_key WHERE l.run_key = ? AND k.name = ?",
        (run_key, name),
    ).fetchone()
    return row


values = st.sampled_from([0.0, -0.0, 1.0, -1.5, 2.0, math.nan, math.inf, -math.inf, 1e300])
writes = st.tuples(
    st.integers(1, 3),  # segment; 3 is not there
    st.dictionaries(st.integers(-2, 12), values, min_size=1, max_size=5),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(writes, st.integers(-1, 12)), max_size=8))
def test_the_summary_always_says_what_the_visible_rows_say(actions: list[tuple[int, dict[int, float]] | int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(Path(folder) / "assay.db")
        key = record_run(store, NewRun("x")).key
        with store.write() as db:
            db.execute("INSERT INTO segments VALUES (?, 2, 0, NULL, 0)", (key,))
        for action in actions:
            with store.write() as db:
                if isinstance(action, int):  # the first segment is abandoned after this step
                    db.execute("UPDATE segments SET visible_until = ? WHERE run_key = ? AND number = 1", (action, key))
                    for (metric,) in db.execute("SELECT key FROM metric_keys").fetchall():
                        refresh_summary(db, key, metric)
                else:
                    segment, points = action
                    steps = sorted(points)
                    write_metrics(db, key, segment, {"m": column(steps, [points[step] for step in steps])})
            assert summary(store, key, "m") == recomputed(store, key, "m")
            frame = list_metrics(store, [key], ["m"])
            assert len(frame) == (summary(store, key, "m") or (0,))[0]
            assert frame["step"].is_monotonic_increasing
        store.close()


def test_curves_of_many_runs_with_their_axes(store: Store) -> None:
    keys = [record_run(store, NewRun(f"r{i}")).key for i in range(2)]
    with store.write() as db:
        for key in keys:
            write_metrics(db, key, 1, {"b": column([1, 2], [key, 2.0]), "a": column([-1, 2], [0.5, math.nan])})
            write_steps(db, key, 1, [StepRow(2, 9.0, 1.5, None), StepRow(2, 10.0, 2.5, 64)])
    frame = list_metrics(store, keys[::-1], ["b", "a", "none such"])
    rows = frame[["run_key", "metric", "step"]].to_numpy().tolist()
    assert rows == [[key, name, step] for key in keys[::-1] for name, step in [("a", -1), ("a", 2), ("b", 1), ("b", 2)]]
    assert frame["not_finite"].dropna().to_dict() == {1: "nan", 5: "nan"}
    at_two = frame[frame["step"] == 2]
    assert at_two["seconds"].tolist() == [9.0] * 4
    assert at_two["epoch"].tolist() == [1.5] * 4
    assert at_two["tokens"].tolist() == [64.0] * 4
    assert frame[frame["step"] == 1]["seconds"].isna().all()
    assert list_metrics(store, keys, ["a", "b"], after_step=1)["step"].tolist() == [2, 2, 2, 2]
    empty = list_metrics(store, [], ["a"])
    assert list(empty.columns) == list(frame.columns)
    assert empty.dtypes["value"] == frame.dtypes["value"] == np.float64


@pytest.mark.parametrize("reader", ["list_metrics", "sparklines", "view"])
def test_steps_after_visible_until_are_hidden(store: Store, reader: str) -> None:
    key = record_run(store, NewRun("x")).key
    with store.write() as db:
        write_metrics(db, key, 1, {"m": column([0, 1, 2, 3], [0.0, 1.0, 2.0, 3.0])})
        db.execute("UPDATE segments SET visible_until = 1 WHERE run_key = ?", (key,))
        db.execute("INSERT INTO segments VALUES (?, 2, 1, NULL, 0)", (key,))
        refresh_summary(db, key, 1)
        write_metrics(db, key, 2, {"m": column([2, 3], [20.0, 30.0])})
    seen = {
        "list_metrics": lambda: list(list_metrics(store, [key], ["m"])["value"]),
        "sparklines": lambda: list_sparklines(store, [key], "m", n_points=4)[key],
        "view": lambda: [v for (v,) in store.db.execute("SELECT value FROM run_metrics ORDER BY step")],
    }[reader]()
    assert seen == [0.0, 1.0, 20.0, 30.0]
    (latest,) = list_latest(store, [key]).itertuples()
    assert (latest.n, latest.max_value) == (4, 30.0)


def test_sparklines_are_means_of_equal_stretches(store: Store) -> None:
    key = record_run(store, NewRun("x")).key
    with store.write() as db:
        write_metrics(db, key, 1, {"m": column(list(range(100)), [float(i) for i in range(100)])})
    assert list_sparklines(store, [key, 99], "m", n_points=4) == {key: [12.0, 37.0, 62.0, 87.0]}
    assert list_sparklines(store, [key], "none such") == {}


def test_a_value_takes_at_most_forty_bytes(store: Store) -> None:
    before = store.path.stat().st_size
    n = 40_000
    with Recorder(store, record_run(store, NewRun("x"))) as recorder:
        noise = np.random.default_rng(0).random((5, n))
        recorder.log_columns({f"m{i}": (np.arange(n), noise[i]) for i in range(5)})
    store.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert (store.path.stat().st_size - before) / (5 * n) <= 40
