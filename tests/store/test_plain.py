import doctest
import json

import numpy as np

import store.plain
from store import Store, list_events
from store.plain import plain, to_json
from tests.store.builders import locked, start


def test_doctests() -> None:
    result = doctest.testmod(store.plain)
    assert result.attempted == 6
    assert result.failed == 0


def test_everything_becomes_something_that_json_has() -> None:
    given = {1: True, None: [np.float64("nan"), np.float32("inf"), {3.5}], float("inf"): b"x", 2.5: "é"}
    assert json.loads(to_json(given)) == {
        "1": True,
        "null": ["nan", "inf", "{3.5}"],
        "inf": "b'x'",
        "2.5": "é",
    }


def test_a_copy_is_not_changed_with_what_it_was_made_of() -> None:
    given = {"sizes": [1, 2]}
    copy = plain(given)
    given["sizes"].append(3)
    assert copy == {"sizes": [1, 2]}


def test_an_event_keeps_whatever_it_was_told_on_either_way(store: Store) -> None:
    """Straight into the store, and by a spool file."""
    recorder = start(store)
    told = {"loss": float("inf"), "at": (1, 2), ("a", 1): "b"}
    recorder.event("alert", "straight", told)
    recorder.flush()
    with locked(store):
        recorder.event("alert", "spooled", told)
        assert recorder.settle()
    recorder.finish()
    alerts = list_events(store, recorder.run.key).query("kind == 'alert'")
    assert list(alerts["message"]) == ["straight", "spooled"]
    assert [json.loads(data) for data in alerts["data"]] == [{"loss": "inf", "at": [1, 2], "('a', 1)": "b"}] * 2
    assert recorder.rows_lost == 0
