"""A run that was killed and goes on ends as one that never stopped: every number, bit for bit."""

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

import runner.pauses
import runner.trainer
from benchmarks.tiny import BERT
from runner.alerts import LossWatch
from runner.errors import ModelError
from runner.progress import make_progress
from runner.resume import NotResumable, resume
from runner.trainer import RecordingTrainer
from store import (
    NewRun,
    Recorder,
    Run,
    Status,
    Store,
    get_cost,
    get_run,
    list_checkpoints,
    list_evaluations,
    list_events,
    list_metrics,
    list_segments,
    open_store,
    reconcile,
    record_run,
)
from tests.runner.conftest import Kit
from tests.runner.processes import Process
from tests.runner.sameness import differences, everything

# Three epochs of three steps: checkpoints in the middle of an epoch, at its end, and the loss logged across them.
STEPS = {
    "training__epochs": 3,
    "evaluation__every": 2,
    "recording__log_every": 4,
    "checkpoints__keep": "all",
    "training__learning_rate": 3e-3,
}


class Killed(BaseException):
    """As sudden as it gets within a process."""


Point = Callable[[pytest.MonkeyPatch], None]


def before(name: str, step: int, *, owner: Any = RecordingTrainer, skip: int = 0) -> Point:
    """Die where a method of the trainer is called at a step, the first time after `skip`."""

    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        original, left = getattr(owner, name), [skip]

        def dying(self: Any, *args: Any, **settings: Any) -> Any:
            if self.state.global_step == step:
                if not left[0]:
                    raise Killed
                left[0] -= 1
            return original(self, *args, **settings)

        monkeypatch.setattr(owner, name, dying)

    return patch


def within_writing(step: int) -> Point:
    """Die with the files of a checkpoint written in part."""

    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        original = runner.trainer.write_training_state

        def dying(folder: Any, run_id: str, counters: Any, *rest: Any) -> None:
            original(folder, run_id, counters, *rest)
            if counters.step == step:
                (folder / "manifest.json").unlink()
                raise Killed

        monkeypatch.setattr(runner.trainer, "write_training_state", dying)

    return patch


POINTS: dict[str, tuple[Point, int | None]] = {  # where, and the checkpoint that the run goes on from
    "in the first evaluation": (before("_evaluate_split", 0, skip=1), None),
    "before the first checkpoint": (before("training_step", 1), None),
    "in the middle of an epoch": (before("training_step", 5), 4),
    "at the first step of an epoch": (before("training_step", 6), 6),
    "right after a checkpoint": (before("_point_to_best", 4), 4),
    "in an evaluation": (before("_evaluate_split", 6, skip=1), 4),
    "within writing a checkpoint": (within_writing(6), 4),
    "right after the checkpoint at an epoch's end": (before("_point_to_best", 6), 6),
    "after the last step": (before("_load_best_model", 9), 9),
}


def go_on(store: Store, run: Run, **settings: Any) -> Run:
    return resume(store, run, make_progress("quiet"), command=["test"], **settings)


def killed(kit: Kit, store: Store, point: Point, **overrides: Any) -> Run:
    with pytest.MonkeyPatch.context() as patch:
        point(patch)
        run = kit.train(store, **overrides)
    assert run.status == "failed"
    assert "Killed" in (run.cause or "")
    return run


@pytest.fixture(scope="module")
def whole(kit: Kit, folder: Any) -> Callable[..., dict[str, Any]]:
    """What an uninterrupted run of these settings records; each trained once."""
    store = open_store(folder / "whole.db")
    known: dict[str, dict[str, Any]] = {}

    def get(**overrides: Any) -> dict[str, Any]:
        key = repr(sorted(overrides.items()))
        if key not in known:
            run = kit.train(store, **overrides)
            assert run.status == "finished", run.cause
            known[key] = everything(store, run)
        return known[key]

    return get


# Every point for the two methods that save the least of the model and go different ways; the others share theirs.
FEW = ("before the first checkpoint", "in the middle of an epoch", "within writing a checkpoint")
KILLS = [
    pytest.param(method, point, marks=() if method in ("head", "lora") or point in FEW else pytest.mark.slow)
    for method in ("head", "lora", "full", "top-layers")
    for point in POINTS
]


@pytest.mark.parametrize(("method", "point"), KILLS)
def test_wherever_it_is_killed_it_ends_the_same(
    kit: Kit, store: Store, whole: Callable[..., dict[str, Any]], method: str, point: str
) -> None:
    settings = {**STEPS, "model__method": method}
    where, checkpoint = POINTS[point]
    run = killed(kit, store, where, **settings)
    ended = go_on(store, run)
    assert (ended.id, ended.status, ended.cause) == (run.id, "finished", None)
    assert [s.start_step for s in list_segments(store, run.key)] == [0, checkpoint or 0]
    assert differences(everything(store, ended), whole(**settings)) == []
    folders = {store.files / c.path for c in list_checkpoints(store, run.key, existing=True)}
    assert set((store.files / "runs" / run.id / "checkpoints").iterdir()) == folders
    assert not list(store.files.rglob("training")), "no training state remains"


SETTINGS: dict[str, dict[str, Any]] = {
    "epochs": {"evaluation__every": "epoch"},
    "a step limit within an epoch": {"training__epochs": None, "training__max_steps": 8},
    "gradient accumulation": {"training__batch_size": 8, "training__gradient_accumulation": 5},
    "weights, smoothing": {"training__class_weights": "balanced", "training__label_smoothing": 0.1},
    "no length grouping": {"training__length_grouping": False},
    "cosine": {"training__schedule": "cosine", "training__warmup": 0.5},
    "bf16": {"training__precision": "bf16"},
    "sgd": {"training__optimizer": "sgd"},
    "adafactor": {"training__optimizer": "adafactor"},
    "adamw": {"training__optimizer": "adamw_torch"},
    "gradient checkpointing": {"training__gradient_checkpointing": True},
    "nothing recorded": {
        "recording__dynamics": False,
        "recording__predictions": False,
        "recording__embeddings": False,
    },
    "keep the best": {"checkpoints__keep": "best"},
    "keep the last": {"checkpoints__keep": "last"},
    "keep the best and the last": {"checkpoints__keep": "best+last"},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_whatever_is_set_it_ends_the_same(
    kit: Kit, store: Store, whole: Callable[..., dict[str, Any]], name: str
) -> None:
    settings = {**STEPS, "model__method": "lora", **SETTINGS[name]}
    run = killed(kit, store, before("training_step", 5), **settings)
    ended = go_on(store, run)
    assert ended.status == "finished", ended.cause
    assert [s.start_step for s in list_segments(store, run.key)] == [0, 3 if name == "epochs" else 4]
    assert differences(everything(store, ended), whole(**settings)) == []


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_base_from_scratch_is_the_same_again(
    kit: Kit, store: Store, whole: Callable[..., dict[str, Any]], method: str
) -> None:
    scratch = {"model__base": "scratch:bert", "model__tokenizer": str(kit.tokenizer), "model__config": BERT}
    settings = {**STEPS, **scratch, "model__method": method}
    ended = go_on(store, killed(kit, store, before("training_step", 5), **settings))
    assert ended.status == "finished", ended.cause
    assert differences(everything(store, ended), whole(**settings)) == []


def test_without_checkpoints_it_starts_again(kit: Kit, store: Store, whole: Callable[..., dict[str, Any]]) -> None:
    settings = {**STEPS, "checkpoints__keep": "none"}
    run = killed(kit, store, before("training_step", 5), **settings)
    ended = go_on(store, run)
    assert [(s.start_step, s.visible_until) for s in list_segments(store, run.key)] == [(0, -1), (0, None)]
    assert differences(everything(store, ended), whole(**settings)) == []


def test_killed_again_and_again(kit: Kit, store: Store, whole: Callable[..., dict[str, Any]]) -> None:
    settings = {**STEPS, "checkpoints__keep": "best+last"}
    run = killed(kit, store, before("training_step", 3), **settings)
    for step in (3, 5, 5, 8):
        with pytest.MonkeyPatch.context() as patch:
            before("training_step", step)(patch)
            assert go_on(store, run).status == "failed"
    ended = go_on(store, run)
    assert [s.start_step for s in list_segments(store, run.key)] == [0, 2, 2, 4, 4, 8]
    assert differences(everything(store, ended), whole(**settings)) == []


def test_a_paused_run_ends_the_same(kit: Kit, store: Store, whole: Callable[..., dict[str, Any]]) -> None:
    """Paused at step 5, between two evaluations, with a checkpoint of its own."""
    settings = {**STEPS, "checkpoints__keep": "best+last"}
    with pytest.MonkeyPatch.context() as patch:
        original = RecordingTrainer._maybe_log_save_evaluate

        def pausing(self: Any, *args: Any, **rest: Any) -> None:
            patch.setattr(runner.pauses, "is_asked", lambda: self.state.global_step == 5)
            original(self, *args, **rest)

        patch.setattr(RecordingTrainer, "_maybe_log_save_evaluate", pausing)
        run = kit.train(store, **settings)
    assert (run.status, run.cause) == ("killed", "interrupted (paused)")
    ended = go_on(store, run)
    assert [s.start_step for s in list_segments(store, run.key)] == [0, 5]
    assert differences(everything(store, ended), whole(**settings)) == []


def test_the_alerts_know_what_was_seen_before(kit: Kit, store: Store) -> None:
    run = killed(kit, store, before("training_step", 7), **STEPS)
    seen: list[LossWatch] = []
    with pytest.MonkeyPatch.context() as patch:
        original = LossWatch.restore

        def restore(self: LossWatch, *arguments: Any) -> None:
            seen.append(self)
            original(self, *arguments)

        patch.setattr(LossWatch, "restore", restore)
        go_on(store, run)
    (watch,) = seen
    validation = [e for e in list_evaluations(store, run.key) if e.split == "validation"]
    assert [step for step, _, _ in watch._evaluations] == [e.step for e in validation] == [0, 2, 4, 6, 8, 9]
    assert watch._history.steps == [1, 2, 3, 4, 7, 8, 9]  # the loss was logged at 4, and the run went on from 6


# No evaluation improves on the first.
STALLED = {
    "training__epochs": 12,
    "training__learning_rate": 1e-9,
    "training__head_learning_rate": 1e-9,
    "training__early_stopping": 3,
}


@pytest.mark.parametrize("step", [8, 10, 12])
def test_early_stopping_remembers_its_patience(
    kit: Kit, store: Store, whole: Callable[..., dict[str, Any]], step: int
) -> None:
    """Evaluations at 3 (the best), 6, 9, 12: there it stops."""
    where = before("training_step", step) if step < 12 else before("_load_best_model", 12)
    run = killed(kit, store, where, **STALLED)
    ended = go_on(store, run)
    assert ended.status == "finished"
    assert max(e.step for e in list_evaluations(store, run.key)) == 12
    assert differences(everything(store, ended), whole(**STALLED)) == []


def test_early_stopping_within_an_epoch_at_the_last_checkpoint(
    kit: Kit, store: Store, whole: Callable[..., dict[str, Any]]
) -> None:
    """It stops at step 8 of nine an epoch, and is killed as the weights of the best are loaded."""
    settings = {**STALLED, "training__batch_size": 11, "evaluation__every": 2}
    run = killed(kit, store, before("_load_best_model", 8), **settings)
    ended = go_on(store, run)
    assert [s.start_step for s in list_segments(store, run.key)] == [0, 8]
    assert differences(everything(store, ended), whole(**settings)) == []


def test_eight_bit_moments_go_on_too(kit: Kit, store: Store, whole: Callable[..., dict[str, Any]]) -> None:
    wide = {**BERT, "hidden_size": 128, "num_hidden_layers": 1}  # small tensors are left in 32 bits
    scratch = {"model__base": "scratch:bert", "model__tokenizer": str(kit.tokenizer), "model__config": wide}
    settings = {**STEPS, **scratch, "training__optimizer": "adamw_8bit"}
    ended = go_on(store, killed(kit, store, before("training_step", 5), **settings))
    assert ended.status == "finished", ended.cause
    assert differences(everything(store, ended), whole(**settings)) == []


def test_other_packages_are_said(kit: Kit, store: Store) -> None:
    run = killed(kit, store, before("training_step", 5), **STEPS)
    with store.write() as db:
        db.execute("UPDATE runs SET provenance = json_set(provenance, '$.packages.torch', '1.0')")
    go_on(store, run)
    (said,) = list_events(store, run.key).query("kind == 'changed'")["message"]
    assert "packages.torch 1.0 → 2" in said
    again = killed(kit, store, before("training_step", 5), **STEPS)
    go_on(store, again)
    assert "packages" not in "".join(list_events(store, again.key).query("kind == 'changed'")["message"])


def test_cost_adds_up(kit: Kit, store: Store) -> None:
    run = killed(kit, store, before("training_step", 5), **STEPS)
    first = get_cost(store, run.key)
    assert first.examples_seen == 5 * 32 + 32, "the step it died in had its batch"
    ended = go_on(store, run)
    cost = get_cost(store, ended.key)
    assert cost.examples_seen == first.examples_seen + 5 * 32, "steps 5 to 9, of which 5 and 6 were done twice"
    for name in ("wall_seconds", "train_seconds", "eval_seconds", "device_seconds"):
        assert getattr(cost, name) > getattr(first, name)
    assert cost.examples_per_second == pytest.approx(cost.examples_seen / cost.train_seconds)
    seconds = list_metrics(store, [run.key], ["train/loss"])["seconds"]
    assert seconds.is_monotonic_increasing


def test_a_cost_is_there_at_every_checkpoint(kit: Kit, store: Store) -> None:
    seen: list[int | None] = []

    def look(patch: pytest.MonkeyPatch) -> None:
        original = RecordingTrainer.training_step

        def looking(self: Any, *args: Any, **settings: Any) -> Any:
            self._recorder.flush()
            seen.append(get_cost(store, self._recorder.run.key).examples_seen)
            return original(self, *args, **settings)

        patch.setattr(RecordingTrainer, "training_step", looking)

    with pytest.MonkeyPatch.context() as patch:
        look(patch)
        kit.train(store, **STEPS, model__method="head")
    assert seen == [None, None, 64, 64, 128, 128, 192, 192, 256]


# what a checkpoint must be ------------------------------------------------------------------------------------------


def checkpoint_files(store: Store, run: Run, step: int) -> Path:
    return store.files / "runs" / run.id / "checkpoints" / f"step-{step:08d}"


def alter(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize(
    "file",
    [
        "head.safetensors",
        "assay.json",
        "adapter/adapter_model.safetensors",
        "training/state.safetensors",
        "training/state.json",
        "training/trainer_state.json",
        "training/manifest.json",
    ],
)
@pytest.mark.parametrize("harm", [alter, Path.unlink])
def test_a_damaged_checkpoint_is_passed_over_and_said(
    kit: Kit, store: Store, whole: Callable[..., dict[str, Any]], file: str, harm: Callable[[Path], None]
) -> None:
    settings = {**STEPS, "model__method": "lora"}
    run = killed(kit, store, before("training_step", 7), **settings)
    harm(checkpoint_files(store, run, 6) / file)
    ended = go_on(store, run)
    (said,) = [m for m in list_events(store, run.key)["message"] if "not intact" in m]
    assert f"step-00000006/{file}" in said
    assert "is missing" in said or "was altered" in said
    assert [s.start_step for s in list_segments(store, run.key)] == [0, 4]
    assert differences(everything(store, ended), whole(**settings)) == []


def test_a_folder_that_is_gone_is_passed_over(kit: Kit, store: Store) -> None:
    run = killed(kit, store, before("training_step", 7), **STEPS)
    shutil.rmtree(checkpoint_files(store, run, 6))
    assert go_on(store, run).status == "finished"
    assert any("step-00000006 is missing" in message for message in list_events(store, run.key)["message"])


def test_with_none_intact_it_says_which_files_and_what_to_do(kit: Kit, store: Store) -> None:
    run = killed(kit, store, before("training_step", 5), **STEPS)
    for step in (2, 4):
        alter(checkpoint_files(store, run, step) / "head.safetensors")
    n_events = len(list_events(store, run.key))
    with pytest.raises(NotResumable) as refused:
        go_on(store, run)
    text = str(refused.value)
    assert "step-00000002/head.safetensors was altered" in text
    assert "step-00000004/head.safetensors was altered" in text
    assert "--from-start" in text
    assert len(list_segments(store, run.key)) == 1, "nothing has changed"
    assert len(list_events(store, run.key)) == n_events
    ended = go_on(store, run, from_start=True)
    assert ended.status == "finished"
    assert [(s.start_step, s.visible_until) for s in list_segments(store, run.key)] == [(0, -1), (0, None)]


def test_the_best_must_be_intact_as_well(kit: Kit, store: Store) -> None:
    """Nothing improves on step 3, so the run will end with its weights."""
    run = killed(kit, store, before("training_step", 10), **STALLED)
    alter(checkpoint_files(store, run, 3) / "head.safetensors")
    with pytest.raises(NotResumable, match=r"step-00000003/head.safetensors was altered \(the best so far"):
        go_on(store, run)


def test_a_checkpoint_that_the_store_never_heard_of_is_no_start(
    kit: Kit, store: Store, whole: Callable[..., dict[str, Any]]
) -> None:
    """Its rows did not reach the store in time, and neither did the evaluation before it."""
    run = killed(kit, store, before("training_step", 7), **STEPS)
    with store.write(run.key) as db:
        db.execute("DELETE FROM checkpoints WHERE run_key = ? AND step = 6", (run.key,))
    ended = go_on(store, run)
    assert [s.start_step for s in list_segments(store, run.key)] == [0, 4]
    assert differences(everything(store, ended), whole(**STEPS)) == []


def test_another_base_under_the_same_name_is_refused(kit: Kit, store: Store, tmp_path: Path) -> None:
    base = tmp_path / "base"
    shutil.copytree(kit.bert, base)
    run = killed(kit, store, before("training_step", 5), **STEPS, model__method="lora", model__base=str(base))
    weights = load_file(base / "model.safetensors")
    weights["encoder.layer.0.attention.self.query.weight"] += 0.01
    save_file(weights, base / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"is not the model that run tiny .* was trained on"):
        go_on(store, run)
    assert len(list_segments(store, run.key)) == 1


# runs that cannot go on ---------------------------------------------------------------------------------------------


def test_the_source_may_be_gone(kit: Kit, store: Store, whole: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    csvs = {split: shutil.copy(path, tmp_path) for split, path in kit.csvs.items()}
    settings = {**STEPS, "data__source": {split: str(path) for split, path in csvs.items()}}
    run = killed(kit, store, before("training_step", 5), **settings)
    for path in csvs.values():
        Path(path).unlink()
    assert differences(everything(store, go_on(store, run)), whole(**STEPS)) == []


def test_a_finished_run_refuses(kit: Kit, store: Store) -> None:
    run = kit.train(store, training__epochs=1, model__method="head")
    with pytest.raises(NotResumable, match=r"is finished: there is nothing to go on with. `runner reproduce"):
        go_on(store, run)


def test_a_running_run_refuses(store: Store) -> None:
    run = record_run(store, NewRun("r", recipe={}), status=Status.RUNNING)
    recorder = Recorder(store, run)
    with pytest.raises(NotResumable, match=rf"is running in process {os.getpid()} on .*; stop it first"):
        go_on(store, run)
    recorder.finish()


def test_a_queued_run_refuses(store: Store) -> None:
    with pytest.raises(NotResumable, match="is queued: it has not begun"):
        go_on(store, record_run(store, NewRun("r", recipe={})))


def test_a_run_of_a_script_refuses(store: Store) -> None:
    run = record_run(store, NewRun("r"), status=Status.FAILED)
    with pytest.raises(NotResumable, match="was recorded by a script"):
        go_on(store, run)


def test_a_run_whose_dataset_is_gone_refuses(kit: Kit, store: Store) -> None:
    run = killed(kit, store, before("training_step", 1), **STEPS)
    with store.write() as db:
        db.execute("UPDATE runs SET dataset_key = NULL")
    with pytest.raises(NotResumable, match=r"was trained on the dataset .*@1, which is not in .* any more"):
        go_on(store, run)


def test_a_recipe_of_another_version_refuses(kit: Kit, store: Store) -> None:
    run = killed(kit, store, before("training_step", 1), **STEPS)
    with store.write() as db:
        db.execute("""UPDATE runs SET recipe = json_set(recipe, '$.training.telepathy', 3)""")
    said = r"another version of Assay(?s:.*)training\.telepathy(?s:.*)Use that version"
    with pytest.raises(NotResumable, match=said):
        go_on(store, run)


def test_a_checkpoint_of_a_newer_version_is_no_start(kit: Kit, store: Store) -> None:
    run = killed(kit, store, before("training_step", 5), **STEPS)
    for step in (2, 4):
        manifest = checkpoint_files(store, run, step) / "training" / "manifest.json"
        manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "format": 99}))
    with pytest.raises(NotResumable, match=r"was written by a newer Assay \(format 99\)"):
        go_on(store, run)


def test_a_state_in_the_wrong_folder_is_no_start(kit: Kit, store: Store) -> None:
    run = killed(kit, store, before("training_step", 5), **STEPS)
    shutil.rmtree(checkpoint_files(store, run, 4) / "training")
    shutil.copytree(checkpoint_files(store, run, 2) / "training", checkpoint_files(store, run, 4) / "training")
    assert go_on(store, run).status == "finished"
    assert any("belongs to step 2 of run" in message for message in list_events(store, run.key)["message"])


# processes that are shot ---------------------------------------------------------------------------------------------


SHOTS = {
    "between two steps": "die_in(T, 'training_step', when=lambda self: self.state.global_step == 5)",
    "in an evaluation": "die_in(T, '_evaluate_split', when=lambda self: self.state.global_step == 6)",
    "within writing a checkpoint": """
import runner.trainer as m
write = m.write_training_state
flush = T._evaluate_split
def flushing(self, split):
    self._recorder.flush()
    return flush(self, split)
T._evaluate_split = flushing
def dying(folder, run_id, counters, *rest):
    write(folder, run_id, counters, *rest)
    if counters.step == 6:
        os.kill(os.getpid(), signal.SIGKILL)
m.write_training_state = dying
""",
}


@pytest.mark.parametrize(
    "shot", [pytest.param(name, marks=pytest.mark.slow if "evaluation" in name else ()) for name in SHOTS]
)
def test_a_process_that_is_shot(kit: Kit, tmp_path: Path, whole: Callable[..., dict[str, Any]], shot: str) -> None:
    """kill -9, then `runner resume`, once in a process of its own as well."""
    settings = {**STEPS, "model__method": "full"}
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(kit.text({name.replace("__", "."): value for name, value in settings.items()}))
    path = tmp_path / "assay.db"
    patches = f"from runner.trainer import RecordingTrainer as T\n{SHOTS[shot]}\n"
    code, stderr = Process(patches, "train", recipe, "--store", path, "--quiet").end()
    assert code == -signal.SIGKILL, stderr
    if shot == "between two steps":
        code, stderr = Process("", "resume", "tiny", "--store", path, "--plain").end()
        assert code == 0, stderr
        assert "goes on from step 4; it was failed: killed: process" in stderr
    else:
        store = open_store(path)
        reconcile(store)
        go_on(store, get_run(store, "tiny"))
    store = open_store(path)
    run = get_run(store, "tiny")
    assert [s.start_step for s in list_segments(store, run.key)] == [0, 4]
    assert differences(everything(store, run), whole(**settings)) == []
