"""`start_run`: any loop as a run."""

import subprocess
import sys
from pathlib import Path

import pytest

from runner import start_run
from store import Store, StoreUnreadable, get_run, list_events, list_metrics, list_runs, open_store


def test_the_example_of_the_documentation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_STORE", str(tmp_path / "assay.db"))

    with start_run("my loop", config={"lr": 0.1}) as run:
        for step in range(100):
            run.log({"train/loss": 1 / (step + 1)})

    store = open_store(tmp_path / "assay.db")
    found = get_run(store, "my loop")
    assert (found.id, found.status, found.recipe) == (run.id, "finished", {"lr": 0.1})
    curve = list_metrics(store, [found.key], ["train/loss"])
    assert list(curve["step"]) == list(range(100))
    assert curve["value"].iloc[-1] == 0.01
    assert set(found.provenance) >= {"git", "packages", "python", "command"}


def test_steps_of_ones_own_and_events(store: Store) -> None:
    run = start_run("mine", store=store, tags=("a",), note="why")
    run.log({"x": 1.0}, step=10, epoch=0.5)
    run.log({"x": 2.0})
    run.event("alert", "look here")
    run.finish("pruned", "hopeless")
    assert (run.run.name, get_run(store, run.id).status) == ("mine", "pruned")
    found = get_run(store, run.id)
    assert (found.cause, found.tags, found.note) == ("hopeless", ("a",), "why")
    assert list(list_metrics(store, [found.key], ["x"])["step"]) == [10, 11]
    assert list(list_events(store, found.key)["message"]) == ["look here"]


def test_numbers_that_json_has_no_words_for(store: Store) -> None:
    with start_run("odd", config={"best": float("-inf"), "deep": [{"x": float("nan")}]}, store=store) as run:
        pass
    assert get_run(store, run.id).recipe == {"best": "-inf", "deep": [{"x": "nan"}]}


def test_a_loop_that_raises_is_failed_and_one_that_is_interrupted_killed(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), start_run("broken", store=store):
        1 / 0  # noqa: B018  # the point of it
    with pytest.raises(KeyboardInterrupt), start_run("stopped", store=store):
        raise KeyboardInterrupt
    assert get_run(store, "broken").cause == "ZeroDivisionError: division by zero"
    assert (get_run(store, "stopped").status, get_run(store, "stopped").cause) == ("killed", "interrupted (Ctrl-C)")


def test_a_loop_starts_although_statuses_cannot_be_made_true(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def locked(_: Store) -> None:
        raise StoreUnreadable("database is locked")

    monkeypatch.setattr("runner.script.reconcile", locked)
    with start_run("x", store=store):
        pass
    assert get_run(store, "x").status == "finished"


def test_what_is_no_number_is_refused(store: Store) -> None:
    with start_run("mine", store=store) as run, pytest.raises(TypeError, match="log text with event"):
        run.log({"x": "high"})  # type: ignore[dict-item]  # the point of it


def test_recording_a_loop_loads_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from runner import start_run\n"
        f"with start_run('a', store={str(tmp_path / 'assay.db')!r}) as run: run.log({{'x': 1}})\n"
        "assert not {'torch', 'transformers', 'streamlit'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
    assert list(list_runs(open_store(tmp_path / "assay.db"))["status"]) == ["finished"]
