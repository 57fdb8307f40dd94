"""The command line from outside: speed, exit codes, signals. Whatever needs a process of its own."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from runner.errors import UserError
from store import (
    RunNotFound,
    Store,
    StoreNotFound,
    get_run,
    list_checkpoints,
    list_dynamics,
    list_evaluations,
    list_metrics,
    open_store,
)
from tests.runner.conftest import Kit

RUNNER = [sys.executable, "-m", "runner"]


def call(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*RUNNER, *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, **environment},
        check=False,
    )


def test_help_loads_next_to_nothing_and_is_quick() -> None:
    code = (
        "import sys, runner.cli\n"
        "try: runner.cli.main(['--help'])\n"
        "except SystemExit as end: assert end.code == 0\n"
        "heavy = {'torch', 'pandas', 'numpy', 'streamlit', 'transformers', 'pydantic', 'store'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    seconds = []
    for _ in range(3):
        began = time.monotonic()
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        seconds.append(time.monotonic() - began)
    assert done.stdout.splitlines()[-1] == "[]"
    for name in ("train", "ls", "show", "diff", "rm", "recipe", "doctor", "dashboard", "demo"):
        assert f"  {name} " in done.stdout
    assert "Exit codes: 0 done" in done.stdout
    assert min(seconds) < 1.5, "--help loads too much"


def test_every_command_has_help_and_is_in_the_list() -> None:
    from click.testing import CliRunner

    from runner.cli import COMMANDS, cli

    for name, _, text in COMMANDS:
        result = CliRunner().invoke(cli, [name, "--help"])
        assert result.exit_code == 0, name
        assert "Usage:" in result.output
        assert text.endswith(".")


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (click.Abort(), 130, "interrupted\n"),
        (click.UsageError("wrong"), 2, "wrong"),
        (UserError("mend it"), 2, "error: mend it\n"),
        (StoreNotFound("no store"), 2, "error: no store\n"),
    ],
)
def test_exit_codes(
    error: BaseException, code: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import runner.cli

    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(runner.cli.cli, "main", fail)
    with pytest.raises(SystemExit) as ended:
        runner.cli.main(["ls"])
    assert ended.value.code == code
    assert said in capsys.readouterr().err


def test_a_mistake_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    import runner.cli

    def fail(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(runner.cli.cli, "main", fail)
    with pytest.raises(ZeroDivisionError):
        runner.cli.main(["ls"])


def test_usage_errors_are_2() -> None:
    from runner.cli import main

    for arguments in (["nonsense"], ["train"], ["ls", "--status", "odd"], ["diff", "only-one"]):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 2


def test_an_unreachable_hub_is_said_at_once_without_traceback(kit: Kit, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{taken.getsockname()[1]}"
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(kit.text({"model.base": "someone/something", "data.source": "hub:someone/texts"}))
    store = tmp_path / "a.db"
    done = call("train", str(recipe), "--store", str(store), HF_ENDPOINT=endpoint, PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == 2, done.stderr
    assert f'error: hub model "someone/something": {endpoint} cannot be reached' in done.stderr
    assert f'\nhub dataset "someone/texts": {endpoint} cannot be reached' in done.stderr
    assert "Traceback" not in done.stderr
    assert not store.exists()
    imported = {line.split("|")[-1].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "click" in imported
    assert not imported & {"torch", "transformers"}


# a run that is stopped -----------------------------------------------------------------------------------------------


class Training:
    """`runner train` of a long run in a process of its own."""

    def __init__(self, kit: Kit, folder: Path) -> None:
        self.path = folder / "assay.db"
        recipe = folder / "long.toml"
        recipe.write_text(kit.text({"name": "long", "training.epochs": 100_000, "model.method": "head"}))
        self.process = subprocess.Popen(
            [*RUNNER, "train", str(recipe), "--store", str(self.path), "--plain"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def wait_for_epochs(self, n: int) -> Store:
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.process.communicate()
            try:
                store = open_store(self.path, create=False)
                run = get_run(store, "long")
                if len(list_dynamics(store, run.key)) >= n:
                    return store
                store.close()
            except (StoreNotFound, RunNotFound):
                pass  # not there yet
            time.sleep(0.2)
        raise AssertionError("the training did not begin")


@pytest.fixture
def training(kit: Kit, tmp_path: Path) -> Iterator[Training]:
    made = Training(kit, tmp_path)
    yield made
    made.process.kill()
    made.process.communicate()


@pytest.mark.parametrize(("number", "said"), [(signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "SIGTERM")])
def test_an_interrupt_ends_the_run_as_killed_with_all_that_was_written(
    training: Training, number: signal.Signals, said: str
) -> None:
    store = training.wait_for_epochs(2)
    training.process.send_signal(number)
    _, stderr = training.process.communicate(timeout=60)
    assert training.process.returncode == 130, stderr
    assert "Traceback" not in stderr
    assert f"killed: interrupted ({said})" in stderr
    run = get_run(store, "long")
    assert (run.status, run.cause) == ("killed", f"interrupted ({said})")
    assert len(list_dynamics(store, run.key)) >= 2
    epochs = [epoch for epoch, _ in list_dynamics(store, run.key)]
    assert epochs == list(range(1, len(epochs) + 1))
    checkpoints = list_checkpoints(store, run.key, existing=True)
    assert checkpoints
    for checkpoint in checkpoints:
        folder = store.files / checkpoint.path
        files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        assert {*checkpoint.manifest} == {name for name in files if not name.startswith("training/")}
    assert not list(store.files.rglob("*.partial"))
    steps = list_metrics(store, [run.key], ["train/loss"])["step"]
    assert list(steps) == list(range(1, len(steps) + 1))
    from store import get_cost

    assert get_cost(store, run.key).wall_seconds > 0


def test_a_run_that_was_shot_is_found_by_the_next_command(training: Training) -> None:
    store = training.wait_for_epochs(1)
    assert get_run(store, "long").status == "running"
    training.process.kill()
    training.process.wait()
    done = call("ls", "--json", "--store", str(training.path))
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)
    assert row["status"] == "failed"
    assert row["cause"].startswith("killed: process") or row["cause"].startswith("out of memory")
    assert "was not alive any more" in done.stderr
    assert list_evaluations(store, get_run(store, "long").key)
