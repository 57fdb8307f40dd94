"""Every command on a store with real runs, in this process."""

import json
import os
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from runner import opening
from runner.commands.diff import diff_runs, flatten
from runner.commands.options import age, duration, number, size, table
from store import (
    NewRun,
    Recorder,
    SpoolStatus,
    Status,
    Store,
    get_run,
    list_runs,
    open_store,
    record_run,
    spool_status,
)
from tests.runner.conftest import Kit, Trained
from tests.store.builders import abandoned_run


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Runner = Callable[..., Said]


@pytest.fixture
def runner(capfd: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """`runner(store, "ls", …)` as from a shell."""
    from runner.cli import main

    def call(store: Store | Path, *arguments: str) -> Said:
        path = store.path if isinstance(store, Store) else store
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([*arguments, "--store", str(path)])
        out, err = capfd.readouterr()
        return Said(int(ended.value.code or 0), out, err)

    return call


@pytest.fixture(scope="session")
def two(trained: Callable[[str], Trained]) -> Trained:
    """A store with a head and a lora run, the latter newer."""
    trained("head")
    return trained("lora")


# train ---------------------------------------------------------------------------------------------------------------


def test_train(runner: Runner, kit: Kit, store: Store, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(kit.text({"model.method": "head", "training.epochs": 1}))
    said = runner(store, "train", str(recipe), "--set", "name=renamed", "--json", "--quiet")
    assert said.code == 0, said.err
    assert (said.json["name"], said.json["status"]) == ("renamed", "finished")
    assert {row["step"] for row in said.json["scores"]} == {0, 3}
    assert "renamed (" in said.err
    assert get_run(store, "renamed").provenance["overrides"] == ["name=renamed"]


def test_train_that_fails_is_1(runner: Runner, kit: Kit, store: Store, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(kit.text({"training.learning_rate": 1e30, "training.max_grad_norm": 0, "training.warmup": 0.0}))
    said = runner(store, "train", str(recipe), "--plain")
    assert said.code == 1
    assert "failed: " in said.err
    assert "Traceback" not in said.err


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["training.epoch=3"], "did you mean epochs?"),
        (["model.base=/nowhere/at/all"], "there is no model folder /nowhere/at/all"),
        (["data.columns.text=body"], "body"),
        (["data.source=nothing.csv"], "nothing.csv"),
    ],
)
def test_train_with_bad_input_is_2_and_leaves_nothing(
    runner: Runner, kit: Kit, store: Store, tmp_path: Path, overrides: list[str], said: str
) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(kit.text({}))
    done = runner(store, "train", str(recipe), *(x for o in overrides for x in ("--set", o)))
    assert done.code == 2
    assert done.err.count("error: ") == 1
    assert said in done.err
    assert "Traceback" not in done.err
    assert len(list_runs(store)) == 0


# looking -------------------------------------------------------------------------------------------------------------


def test_ls(runner: Runner, two: Trained) -> None:
    said = runner(two.store, "ls")
    lines = said.out.splitlines()
    assert said.code == 0
    assert lines[0].split()[:3] == ["id", "name", "method"]
    assert any("head" in line and "✓" in line and "validation/macro_f1" in line for line in lines)
    rows = runner(two.store, "ls", "--json", "--method", "head").json
    assert [row["name"] for row in rows] == ["head"]
    assert rows[0]["status"] == "finished"
    assert 0 <= rows[0]["low"] <= rows[0]["value"] <= rows[0]["high"] <= 1
    assert rows[0]["peak_device_bytes"] is None


def test_ls_filters_sorts_and_counts(runner: Runner, two: Trained) -> None:
    values = [row["value"] for row in runner(two.store, "ls", "--json", "--sort", "value").json]
    assert values == sorted(values, reverse=True)
    assert [row["value"] for row in runner(two.store, "ls", "--json", "--sort", "value", "--ascending").json] == sorted(
        values
    )
    assert runner(two.store, "ls", "--status", "failed", "--json").json == []
    assert "1 of " in runner(two.store, "ls", "--limit", "1").out
    assert runner(two.store, "ls", "lora", "--json").json[0]["name"] == "lora"


def test_ls_of_no_run_and_no_store(runner: Runner, store: Store, tmp_path: Path) -> None:
    assert "`runner train RECIPE` makes one" in runner(store, "ls").out
    missing = runner(tmp_path / "missing.db", "ls")
    assert missing.code == 2
    assert "missing.db" in missing.err
    assert not (tmp_path / "missing.db").exists()


def test_show(runner: Runner, two: Trained) -> None:
    run = get_run(two.store, "lora")
    said = runner(two.store, "show", "lora")
    assert said.code == 0
    assert said.out.startswith(f"lora  finished  {run.id}")
    for text in ("validation", "95 % interval", "(step 0 is the untrained model)", "sha256", "examples/s", "best"):
        assert text in said.out
    shown = runner(two.store, "show", run.id[:20], "--json").json
    assert shown["id"] == run.id
    assert shown["cost"]["examples_seen"] == 192
    assert shown["cost"]["energy_joules"] is None
    assert [c["step"] for c in shown["checkpoints"]] == [3, 6]
    assert shown["recipe"]["training"]["epochs"] == 2


def test_show_parts(runner: Runner, two: Trained, tmp_path: Path) -> None:
    log = runner(two.store, "show", "lora", "--log").out
    assert "validation at step 0 · accuracy" in log
    assert runner(two.store, "show", "lora", "--recipe-text").out.startswith('name = "lora"')
    (tmp_path / "again.toml").write_text(runner(two.store, "show", "lora", "--recipe").out)
    from runner.recipe import load_recipe

    assert load_recipe(tmp_path / "again.toml").hash == get_run(two.store, "lora").recipe_hash


def test_runs_by_latest_prefix_and_wrong_names(runner: Runner, two: Trained) -> None:
    newest = list_runs(two.store).iloc[0]
    assert runner(two.store, "show", "@latest", "--json").json["id"] == newest["id"]
    wrong = runner(two.store, "show", "nix")
    assert wrong.code == 2
    assert "no run 'nix'" in wrong.err
    assert "see `runner ls`" in wrong.err


def test_diff_shows_only_what_differs(runner: Runner, two: Trained) -> None:
    said = runner(two.store, "diff", "head", "lora")
    assert said.code == 0
    assert "model.method" in said.out
    assert "training.batch_size" not in said.out
    assert "data: same" in said.out
    found = runner(two.store, "diff", "head", "lora", "--json").json["differences"]
    paths = {row["path"]: (row["a"], row["b"]) for row in found["recipe"]}
    assert paths["model.method"] == ("head", "lora")
    assert paths["model.lora.r"] == (None, 16)
    assert found["data"] == []
    assert "no difference in recipe, code, environment or data" in runner(two.store, "diff", "lora", "lora").out


def test_diff_in_parts(two: Trained) -> None:
    from dataclasses import replace

    run = get_run(two.store, "lora")
    assert run.provenance is not None
    other = replace(run, provenance={**run.provenance, "data": {"fingerprint": "x"}, "command": ["else"]})
    sections = diff_runs(run, other)
    assert sections["data"]
    assert sections["recipe"] == sections["environment"] == []
    assert flatten({"a": {"b": {"c": 1}}, "d": []}) == {"a.b.c": 1, "d": []}


@pytest.fixture
def waiting(store: Store) -> Iterator[str]:
    """A store that is locked, and the id of a run of which two rows wait."""
    recorder = Recorder(store, record_run(store, NewRun(name="busy")))
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    recorder.log({"a": 1.0}, 1)
    deadline = time.monotonic() + 60
    while not spool_status(store).rows_pending and time.monotonic() < deadline:
        time.sleep(0.02)
    yield recorder.run.id
    other.close()
    recorder.finish()


def test_rows_that_wait_are_shown_and_nobody_is_kept_from_reading(runner: Runner, store: Store, waiting: str) -> None:
    said = runner(store, "ls")
    assert said.code == 0
    assert "2 rows (" in said.out
    assert "wait on disk to be written to the store; `runner doctor` says where and why" in said.out
    assert [row["rows_pending"] for row in runner(store, "ls", "--json").json] == [2]
    assert "2 rows wait on disk to be written to the store" in runner(store, "show", "busy").out
    assert runner(store, "show", "busy", "--json").json["rows_pending"] == 2
    (finding,) = [f for f in runner(store, "doctor", "--json", "--quick").json if f["subject"] == "spool"]
    assert finding["level"] == "note"
    assert finding["text"].startswith(f"2 rows of run {waiting} wait in {store.files / 'spool'}")
    assert "the process that records it writes them as soon as the store can be written" in finding["text"]


def test_statuses_that_cannot_be_written_are_said(
    runner: Runner, store: Store, waiting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.statuses._WAIT_SECONDS", 0.05)
    monkeypatch.setattr("store.statuses.cause_of_death", lambda _: "killed: as far as this test goes")
    monkeypatch.setattr("store.statuses.spool_status", lambda _: SpoolStatus(()))
    said = runner(store, "ls")
    assert said.code == 0
    assert "statuses could not be brought up to date: the store" in said.err
    assert "database is locked" in said.err
    assert "busy" in said.out


def test_a_spool_without_its_run_is_broken(runner: Runner, store: Store, waiting: str) -> None:
    (report,) = spool_status(store).files
    stranger = report.path.with_name(report.path.name.replace(waiting, "0" * 26))
    stranger.write_bytes(report.path.read_bytes())
    said = runner(store, "doctor", "--quick")
    assert said.code == 1
    assert f"2 rows of run {'0' * 26} wait in {stranger}: its run is not in this store" in said.out
    assert "delete the file if they are not needed" in said.out


# removing ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def removable(store: Store) -> tuple[Store, list[Path]]:
    folders = []
    for name in ("first", "second"):
        with Recorder(store, record_run(store, NewRun(name=name))) as recorder:
            recorder.log({"x": 1.0}, 1)
        folder = store.files / "runs" / recorder.run.id / "checkpoints"
        folder.mkdir(parents=True)
        (folder / "weights").write_bytes(b"0" * 2_000_000)
        folders.append(folder)
    return store, folders


def test_rm_shows_bytes_asks_and_removes_only_that_run(runner: Runner, removable: Any, monkeypatch: Any) -> None:
    store, (first, second) = removable
    look = runner(store, "rm", "first", "--dry-run")
    assert "2 MB" in look.out
    assert re.search(r"1 run: 2 MB of files go; about \d+ B inside \S+\.db become free for later records", look.out)
    assert "nothing was removed" in look.out
    import click

    asked: list[str] = []
    monkeypatch.setattr(click, "confirm", lambda text, **_: bool(asked.append(text)))
    assert "nothing was removed" in runner(store, "rm", "first").out
    assert len(asked) == 1
    assert len(list_runs(store)) == 2
    said = runner(store, "rm", "first", "first", "--yes")
    assert said.code == 0
    assert said.out.endswith("removed\n")
    assert list(list_runs(store)["name"]) == ["second"]
    assert not first.exists()
    assert second.exists()


def test_rm_for_programs(runner: Runner, removable: Any) -> None:
    store, (first, _) = removable
    refused = runner(store, "rm", "first", "--json")
    assert refused.code == 2
    assert "--yes" in refused.err
    look = runner(store, "rm", "first", "--json", "--dry-run").json
    assert (look["removed"], look["runs"][0]["name"]) == (False, "first")
    assert (look["disk_bytes"], look["runs"][0]["disk_bytes"]) == (2_000_000, 2_000_000)
    assert 0 <= look["store_bytes"] < 1_000
    assert look["bytes"] == look["disk_bytes"] + look["store_bytes"]
    assert first.exists()
    assert runner(store, "rm", "first", "--json", "--yes").json["removed"] is True
    assert not first.exists()


def test_rm_leaves_a_running_run_alone(runner: Runner, store: Store) -> None:
    with Recorder(store, record_run(store, NewRun(name="busy"))):
        said = runner(store, "rm", "busy", "--yes")
    assert said.code == 2
    assert "is running; stop it first" in said.err
    assert len(list_runs(store)) == 1


# recipes -------------------------------------------------------------------------------------------------------------


def test_recipe_commands(kit: Kit, tmp_path: Path) -> None:
    from runner.cli import cli

    recipe = tmp_path / "recipe.toml"
    recipe.write_text(kit.text({}))
    good = CliRunner().invoke(cli, ["recipe", "check", str(recipe)])
    assert good.exit_code == 0
    assert "good. text-classification" in good.output
    resolved = CliRunner().invoke(cli, ["recipe", "check", str(recipe), "--resolved"]).output
    assert "weight_decay" in resolved
    answer = json.loads(CliRunner().invoke(cli, ["recipe", "check", str(recipe), "--json"]).output)
    assert len(answer["hash"]) == 32
    schema = json.loads(CliRunner().invoke(cli, ["recipe", "schema"]).output)
    assert "training" in schema["properties"]


# doctor --------------------------------------------------------------------------------------------------------------


def test_doctor_on_a_good_store(runner: Runner, two: Trained) -> None:
    said = runner(two.store, "doctor")
    assert said.code == 0, said.out
    for subject in ("python", "packages", "device", "processor", "memory", "disk", "store"):
        assert subject in said.out
    rows = runner(two.store, "doctor", "--json", "--quick").json
    (found,) = [row for row in rows if row["subject"] == "store"]
    assert found["level"] == "good"
    assert "runs (0 live)" in found["text"]


def test_doctor_without_a_store(runner: Runner, tmp_path: Path) -> None:
    said = runner(tmp_path / "none.db", "doctor")
    assert said.code == 0
    assert "there is no store" in said.out
    assert not (tmp_path / "none.db").exists()


def test_doctor_on_a_broken_store(runner: Runner, tmp_path: Path) -> None:
    (tmp_path / "bad.db").write_bytes(b"SQLite format 3\0" + b"rubbish" * 1000)
    said = runner(tmp_path / "bad.db", "doctor")
    assert said.code == 1
    assert "✕ store" in said.out
    assert "Traceback" not in said.err


def newer(tmp_path: Path) -> Path:
    path = tmp_path / "newer.db"
    open_store(path).close()
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 9999")
    db.commit()
    db.close()
    return path


def test_a_store_of_a_newer_version_is_said_by_every_command(runner: Runner, kit: Kit, tmp_path: Path) -> None:
    path = newer(tmp_path)
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(kit.text({}))
    for arguments in (["ls"], ["show", "@latest"], ["diff", "a", "b"], ["rm", "a"], ["train", str(recipe)]):
        said = runner(path, *arguments)
        assert said.code == 2, arguments
        assert "newer" in said.err
        assert "Traceback" not in said.err
    assert runner(path, "doctor", "--quick").code == 1


@pytest.mark.parametrize("command", ["train", "sweep"])
@pytest.mark.parametrize("source", ["bad.csv", "dataset:none@1"])
def test_bad_data_leave_no_store(runner: Runner, kit: Kit, tmp_path: Path, command: str, source: str) -> None:
    (tmp_path / "bad.csv").write_text("text,label\n" + "good,\n" * 3)
    space = (
        '[sweep]\nsampler = "grid"\n[sweep.space]\n"training.learning_rate" = [1e-3]\n' if command == "sweep" else ""
    )
    (tmp_path / "recipe.toml").write_text(kit.text({"data.source": source}) + space)
    said = runner(tmp_path / "new.db", command, str(tmp_path / "recipe.toml"))
    assert said.code == 2
    assert ("no label" if source == "bad.csv" else "there is no store yet, so no dataset in it") in said.err
    assert [path.name for path in tmp_path.iterdir() if "new" in path.name] == []


@pytest.mark.skipif(os.name != "posix", reason="folders without write permission")
def test_a_store_that_cannot_be_written(runner: Runner, kit: Kit, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(kit.text({}))
    (tmp_path / "file").write_text("in the way")
    said = runner(tmp_path / "file" / "assay.db", "train", str(recipe))
    assert said.code == 2
    assert "error: " in said.err
    assert "Traceback" not in said.err


# dashboard and demo --------------------------------------------------------------------------------------------------


def test_dashboard_starts_streamlit_on_the_store(runner: Runner, store: Store, monkeypatch: Any) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda program, arguments: started.append(arguments))
    monkeypatch.setenv("ASSAY_STORE", "before")
    dead = abandoned_run(store, "dead")
    assert runner(store, "dashboard", "--port", "9999", "--no-open").code == 0
    (arguments,) = started
    assert arguments[1:4] == ["-m", "streamlit", "run"]
    assert Path(arguments[4]).parts[-2:] == ("dashboard", "app.py")
    assert {"--server.port=9999", "--server.headless=true", "--browser.gatherUsageStats=false"} <= set(arguments)
    assert os.environ["ASSAY_STORE"] == str(store.path)
    assert get_run(store, dead.key).status == "failed", "runs without a process are found first"


def test_a_window_is_opened_when_the_server_answers(monkeypatch: Any) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda address: bool(opened.append(address)) or True)
    with HTTPServer(("localhost", 0), BaseHTTPRequestHandler) as nothing_there:
        address = f"http://localhost:{nothing_there.server_port}"
    assert not opening.open_when_ready(address, patience=0.3)

    class Well(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/_stcore/health" else 404)
            self.end_headers()

    with HTTPServer(("localhost", 0), Well) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://localhost:{server.server_port}"
        assert opening.open_when_ready(address)
        server.shutdown()
    assert opened == [address]


def test_demo_recipes_are_good() -> None:
    from runner.demo import METHODS, demo_recipe

    for method in METHODS:
        assert demo_recipe(method).recipe.model.method == method


# numbers for people --------------------------------------------------------------------------------------------------


def test_numbers_for_people(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [duration(s) for s in (0.5, 90, 600, 9000, 300_000, None, float("nan"))] == [
        "0.5 s", "90 s", "10 min", "2.5 h", "3.47 d", "–", "–",
    ]  # fmt: skip
    assert [size(n) for n in (12, 1500, 2_000_000, 3e9, 4e12, None)] == ["12 B", "1.5 kB", "2 MB", "3 GB", "4 TB", "–"]
    assert (number(0.12345), number(None), number(float("nan"), 1)) == ("0.123", "–", "–")
    assert age(None) == "–"
    assert table(["a", "bb"], [["x", "1"], ["long", "22"]], right=(1,)) == "a     bb\nx      1\nlong  22"


def test_statuses_all_have_a_mark() -> None:
    from runner.commands.ls import _MARKS

    assert set(_MARKS) == {status.value for status in Status}


# alerts and flights --------------------------------------------------------------------------------------------------


def test_ls_and_show_say_alerts_and_kept_steps(runner: Runner, kit: Kit, store: Store) -> None:
    rates = {"training__learning_rate": 1e30, "training__head_learning_rate": 1e30}
    broken = kit.train(store, **rates, training__warmup=0.0, training__max_grad_norm=0.0, training__batch_size=16)
    recorder = Recorder(store, record_run(store, NewRun("at work")))
    recorder.event("alert", "the loss diverges", {"alert": "divergence", "step": 3})
    recorder.flush()
    said = runner(store, "ls").out
    assert "alerts" in said.splitlines()[0]
    assert said.count("⚠ 1") == 2
    assert re.search(r"alert .* ago: the loss diverges", said)
    assert [row["n_alerts"] for row in runner(store, "ls", "--json").json] == [1, 1]
    recorder.finish()
    shown = runner(store, "show", broken.id).out
    assert "⚠ alert: the loss became" in shown
    assert re.search(r"flight: the last \d+ steps before: the loss became", shown)
    (flight,) = runner(store, "show", broken.id, "--json").json["flights"]
    assert (flight["kind"], flight["segment"]) == ("not finite", 1)
    assert runner(store, "show", recorder.run.id, "--json").json["flights"] == []
