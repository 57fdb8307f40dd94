"""`runner resume RUN`, as it is typed."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import runner.cli
from runner.trainer import RecordingTrainer
from store import NewRun, Recorder, Run, Status, Store, get_run, list_segments, open_store, record_run
from tests.runner.conftest import Kit, Trained

HALF = {"model__method": "head", "training__epochs": 3}


@pytest.fixture
def half(kit: Kit, store: Store, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run that failed in its third epoch; checkpoints at 3 and 6."""
    original = RecordingTrainer.training_step

    def fail(self: Any, *args: Any, **settings: Any) -> Any:
        if self.state.global_step == 7:
            raise MemoryError
        return original(self, *args, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(RecordingTrainer, "training_step", fail)
        run = kit.train(store, **HALF)
    assert run.status == "failed"
    return run


Call = Callable[..., Result]


@pytest.fixture
def call(store: Store) -> Call:
    """The command in this process; errors become text and an exit code, as `main` has it."""

    def run(*arguments: str, path: Path = store.path) -> Result:
        return CliRunner().invoke(runner.cli.cli, ["resume", *arguments, "--store", str(path), "--quiet"])

    return run


def refused(result: Result) -> str:
    """What the user is told: an error of ours, which `main` shows without a traceback, with exit code 2."""
    assert result.exception is not None
    assert runner.cli._is_for_the_user(result.exception)  # type: ignore[arg-type]  # an Exception
    return str(result.exception)


def test_it_goes_on_and_says_from_where(store: Store, half: Run, call: Call) -> None:
    result = call(half.id[:12])
    assert result.exit_code == 0, result.output
    assert f"tiny ({half.id}) finished: validation/macro_f1" in result.output
    assert [s.start_step for s in list_segments(store, half.key)] == [0, 6]


def test_json(half: Run, call: Call) -> None:
    answer = json.loads(call("tiny", "--json").stdout)
    assert (answer["id"], answer["status"]) == (half.id, "finished")
    assert answer["events"][-1]["message"] == "segment 2: after step 6"


def test_from_start(store: Store, half: Run, call: Call) -> None:
    assert call("tiny", "--from-start").exit_code == 0
    assert [s.start_step for s in list_segments(store, half.key)] == [0, 0]


def test_a_run_that_fails_again_is_exit_code_1(half: Run, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RecordingTrainer, "training_step", lambda *_: 1 / 0)
    assert call("tiny").exit_code == 1


@pytest.mark.parametrize("place", ["in the store", "elsewhere"])
def test_a_checkpoint_says_whose_it_is(store: Store, half: Run, call: Call, tmp_path: Path, place: str) -> None:
    folder = store.files / "runs" / half.id / "checkpoints" / "step-00000003"
    if place == "elsewhere":
        folder = Path(shutil.copytree(folder, tmp_path / "found"))
    assert call(str(folder)).exit_code == 0
    assert get_run(store, half.key).status == "finished"
    assert [s.start_step for s in list_segments(store, half.key)] == [0, 6], "the run goes on from its newest"


def test_a_checkpoint_of_another_store(store: Store, half: Run, call: Call, tmp_path: Path) -> None:
    folder = store.files / "runs" / half.id / "checkpoints" / "step-00000003"
    open_store(tmp_path / "other.db").close()
    text = refused(call(str(folder), path=tmp_path / "other.db"))
    assert f"is a checkpoint of run {half.id} (step 3), which is not in {tmp_path / 'other.db'}" in text
    assert "--store" in text


@pytest.mark.parametrize("content", [None, "", "{}", '{"format": 1, "run_id": 3}', "[1]"])
def test_a_folder_that_is_no_checkpoint(call: Call, tmp_path: Path, content: str | None) -> None:
    (tmp_path / "x").mkdir()
    if content is not None:
        (tmp_path / "x" / "assay.json").write_text(content)
    text = refused(call(str(tmp_path / "x")))
    assert ("is not an Assay checkpoint" if content is None else "is damaged, or not of an Assay checkpoint") in text


def test_an_unknown_run(half: Run, call: Call) -> None:
    text = refused(call("nonsense"))
    assert text.startswith("no run 'nonsense' in ")
    assert half.id in text, "the newest are named"


def test_a_finished_run(trained: Callable[[str], Trained], call: Call) -> None:
    made = trained("head")
    text = refused(call("head", path=made.store.path))
    assert "is finished: there is nothing to go on with" in text
    assert f"`runner reproduce {made.run.id}` runs it again" in text


def test_a_running_run(store: Store, call: Call) -> None:
    recorder = Recorder(store, record_run(store, NewRun("busy", recipe={}), status=Status.RUNNING))
    assert "is running in process" in refused(call("busy"))
    recorder.finish()


def test_a_run_whose_dataset_is_gone(store: Store, half: Run, call: Call) -> None:
    with store.write() as db:
        db.execute("UPDATE runs SET dataset_key = NULL")
    text = refused(call("tiny"))
    assert "was trained on the dataset models0@1, which is not in" in text
    assert "`runner merge-store`" in text


def test_a_run_whose_base_model_is_gone(kit: Kit, store: Store, call: Call, half: Run, tmp_path: Path) -> None:
    with store.write() as db:
        db.execute("UPDATE runs SET recipe = json_set(recipe, '$.model.base', ?)", (str(tmp_path / "gone"),))
    assert f"there is no model folder {tmp_path / 'gone'}" in refused(call("tiny"))
    assert len(list_segments(store, half.key)) == 1


def test_a_recipe_of_a_newer_version(store: Store, half: Run, call: Call) -> None:
    with store.write() as db:
        db.execute("UPDATE runs SET recipe = json_set(recipe, '$.training.telepathy', 3)")
    text = refused(call("tiny"))
    assert "was recorded by another version of Assay" in text
    assert "training.telepathy" in text
