"""One fine-tune from end to end: what is in the store afterwards, for each method, is what really happened."""

import math
import os
import shutil
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.tiny import BERT, GPT2, rows
from evals.dynamics import decode, row_bytes
from runner.causes import cause_of
from runner.checkpoints import DiskFull
from runner.data.problems import DataError
from runner.errors import UserError
from store import (
    Store,
    get_cost,
    get_dataset,
    get_evaluation,
    get_lease,
    iter_dynamics,
    list_checkpoints,
    list_datasets,
    list_dynamics,
    list_evaluations,
    list_events,
    list_metrics,
    list_runs,
    list_samples,
    list_scores,
    open_store,
    read_embeddings,
    read_log,
    read_predictions,
    read_targets,
)
from tests.runner.conftest import Kit, Trained
from tests.runner.data.recipes import write_csv

METHODS = ("full", "head", "top-layers", "lora")
Get = Callable[[str], Trained]


def scores(store: Store, key: int, split: str = "validation", metric: str = "macro_f1") -> dict[int, float]:
    frame = list_scores(store, [key])
    frame = frame[(frame["split"] == split) & (frame["metric"] == metric)]
    return dict(zip(frame["step"], frame["value"], strict=True))


def curve(store: Store, key: int, name: str) -> list[float]:
    return [float(value) for value in list_metrics(store, [key], [name])["value"]]


@pytest.mark.parametrize("method", METHODS)
def test_a_run_of_each_method_is_recorded_whole(trained: Get, method: str) -> None:
    store, run = (made := trained(method)).store, made.run
    assert (run.status, run.cause) == ("finished", None)
    assert (run.name, run.task, run.method, run.select_metric) == (
        method,
        "text-classification",
        method,
        "validation/macro_f1",
    )
    assert get_lease(store, run.key) is None
    at = sorted((e.split, e.step, e.epoch) for e in list_evaluations(store, run.key))
    assert at == [(split, step, step / 3) for split in ("test", "validation") for step in (0, 3, 6)]
    assert list_dynamics(store, run.key) == [(1, 3), (2, 6)]
    assert len(curve(store, run.key, "train/loss")) == 6
    assert all(math.isfinite(value) for value in curve(store, run.key, "train/loss"))
    assert curve(store, run.key, "train/grad_norm")
    assert curve(store, run.key, "train/learning_rate")


@pytest.mark.parametrize("method", METHODS)
def test_every_training_example_is_caught_once_an_epoch(trained: Get, method: str) -> None:
    store, run = (made := trained(method)).store, made.run
    given = read_targets(store, get_dataset(store, run.dataset_key), "train")
    epochs = [decode(row.words, row.n_classes, given) for row in iter_dynamics(store, run.key)]
    assert len(epochs) == 2
    for epoch in epochs:
        assert epoch.p_given.shape == (96,)
        assert not np.isnan(epoch.p_given).any()
    # the mean loss that the epoch logged is that of the caught logits
    logged = np.array(curve(store, run.key, "train/loss")).reshape(2, 3).mean(axis=1)
    assert [-np.log(epoch.p_given).mean() for epoch in epochs] == pytest.approx(logged, abs=2e-3)


@pytest.mark.parametrize("method", METHODS)
def test_predictions_say_what_the_scores_say(trained: Get, method: str) -> None:
    store, run = (made := trained(method)).store, made.run
    for split, n in (("validation", 30), ("test", 33)):
        given = read_targets(store, get_dataset(store, run.dataset_key), split)
        for step in (0, 3, 6):
            found = read_predictions(store, get_evaluation(store, run.key, split, step))
            assert len(found.predicted) == n
            accuracy = float((found.predicted == given).mean())
            assert accuracy == pytest.approx(scores(store, run.key, split, "accuracy")[step])
            assert float(np.mean(found.loss)) == pytest.approx(scores(store, run.key, split, "loss")[step], rel=1e-3)


@pytest.mark.parametrize("method", METHODS)
def test_embeddings_of_all_splits(trained: Get, method: str) -> None:
    store, run = (made := trained(method)).store, made.run
    for split, n in (("train", 96), ("validation", 30), ("test", 33)):
        vectors = read_embeddings(store, run.key, split)
        assert vectors is not None
        assert vectors.shape == (n, 32)
        assert np.isfinite(vectors).all()
        assert len(np.unique(vectors, axis=0)) > n / 2


def test_it_learns(kit: Kit, store: Store) -> None:
    run = kit.train(store, training__epochs=16, training__learning_rate=1e-2, training__batch_size=16)
    found = scores(store, run.key, "test", "accuracy")
    assert found[0] < 0.6
    assert found[max(found)] > 0.8


@pytest.mark.parametrize(
    ("method", "trains", "of"),
    [
        ("full", lambda total: total, None),
        ("head", lambda total: 32 * 3 + 3, None),
        (
            "top-layers",
            lambda total: 32 * 3 + 3 + 2 * (4 * (32 * 32 + 32) + 2 * 64 + (32 * 64 + 64) + (64 * 32 + 32)),
            2,
        ),
    ],
)
def test_cost(trained: Get, method: str, trains: Callable[[int], int], of: int | None) -> None:
    store, run = (made := trained(method)).store, made.run
    cost = get_cost(store, run.key)
    assert cost.total_parameters is not None
    assert cost.trainable_parameters == trains(cost.total_parameters)
    assert cost.examples_seen == 2 * 96
    assert (cost.tokens_seen is None) == (method == "head")
    for value in (cost.wall_seconds, cost.train_seconds, cost.eval_seconds, cost.device_seconds):
        assert value is not None
        assert 0 < value < 120
    assert cost.wall_seconds >= cost.train_seconds
    assert cost.peak_host_bytes > 100e6
    assert 0 <= cost.data_wait_share < 1
    assert cost.peak_device_bytes is None
    assert cost.device_utilisation is None


def test_tokens_seen_are_those_without_padding_and_stand_beside_the_steps(
    trained: Get, tokenizer: Path, csvs: Any
) -> None:
    from transformers import AutoTokenizer

    store, run = (made := trained("full")).store, made.run
    ids = AutoTokenizer.from_pretrained(tokenizer)([text for text, _ in rows(159, seed=3)[:96]])["input_ids"]
    n_tokens = sum(min(len(some), 16) for some in ids)
    assert get_cost(store, run.key).tokens_seen == 2 * n_tokens
    tokens = list_metrics(store, [run.key], ["train/loss"])["tokens"]
    assert tokens.is_monotonic_increasing
    assert tokens.iloc[-1] == 2 * n_tokens


def test_examples_seen_are_those_that_were_trained_on(kit: Kit, store: Store) -> None:
    run = kit.train(store, training__max_steps=2, training__batch_size=8)
    assert get_cost(store, run.key).examples_seen == 16


def test_provenance_and_recipe_are_kept(trained: Get) -> None:
    run = trained("full").run
    assert run.recipe is not None
    assert run.recipe["training"]["learning_rate"] == 3e-3
    assert run.recipe_text.startswith('name = "full"')
    assert len(run.recipe_hash) == 32
    assert set(run.provenance) >= {"git", "packages", "python", "data", "seeds", "determinism", "command", "overrides"}
    assert run.provenance["seeds"] == {"training": 0, "split": 0}
    assert run.provenance["determinism"]["precision"] == "fp32"
    assert run.provenance["command"] == ["test"]
    assert run.provenance["data"]["rows"] == {"train": 96, "validation": 30, "test": 33}


def test_the_console_is_kept_line_by_line(trained: Get) -> None:
    store, run = (made := trained("full")).store, made.run
    lines = read_log(store, run.key).splitlines()
    assert any(line.startswith("validation at step 0 · accuracy") for line in lines)
    assert lines[-1].startswith(f"full ({run.id}) finished: validation/macro_f1")
    assert "before training" in lines[-1]


def test_samples_of_the_machine(kit: Kit, store: Store) -> None:
    run = kit.train(store, recording__system_seconds=0.1)
    assert len(list_samples(store, run.key)) >= 2


# the same recipe, the same numbers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["lora", "head"])
def test_the_same_recipe_gives_the_same_numbers(kit: Kit, trained: Get, store: Store, method: str) -> None:
    first, again = trained(method), kit.train(store, model__method=method, name="again")
    other = kit.train(store, model__method=method, training__seed=1)
    assert again.recipe_hash == first.run.recipe_hash
    for name in ("train/loss", "validation/loss", "test/macro_f1", "train/grad_norm"):
        assert curve(store, again.key, name) == curve(first.store, first.run.key, name)
    assert curve(store, other.key, "train/loss") != curve(store, again.key, "train/loss")
    ours, theirs = (
        [row.words for row in iter_dynamics(s, r.key)] for s, r in ((store, again), (first.store, first.run))
    )
    assert all((a == b).all() for a, b in zip(ours, theirs, strict=True))


def test_recording_less_changes_no_number(kit: Kit, trained: Get, store: Store) -> None:
    first = trained("lora")
    run = kit.train(
        store,
        model__method="lora",
        recording__dynamics=False,
        recording__predictions=False,
        recording__embeddings=False,
        checkpoints__keep="none",
    )
    assert curve(store, run.key, "validation/loss") == curve(first.store, first.run.key, "validation/loss")
    assert list_dynamics(store, run.key) == []
    assert read_embeddings(store, run.key, "train") is None
    assert list_checkpoints(store, run.key) == []
    (evaluation,) = (e for e in list_evaluations(store, run.key) if (e.split, e.step) == ("test", 6))
    assert len(read_predictions(store, evaluation).predicted) == 0


def test_deterministic_is_switched_on_and_off_again(kit: Kit, store: Store) -> None:
    run = kit.train(store, training__deterministic=True, training__epochs=1)
    assert run.status == "finished", run.cause
    assert run.provenance["determinism"]["deterministic_algorithms"] is True
    again = kit.train(store, training__epochs=1)
    assert again.provenance["determinism"]["deterministic_algorithms"] is False
    assert not torch.are_deterministic_algorithms_enabled()


# when to evaluate, when to stop --------------------------------------------------------------------------------------


def steps_of(store: Store, key: int) -> list[int]:
    return [e.step for e in list_evaluations(store, key) if e.split == "test"]


def test_evaluation_by_steps_covers_the_last_step_and_none_twice(kit: Kit, store: Store) -> None:
    run = kit.train(store, evaluation__every=2, training__max_steps=5, training__batch_size=32, checkpoints__keep="all")
    assert steps_of(store, run.key) == [0, 2, 4, 5]
    assert [c.step for c in list_checkpoints(store, run.key)] == [2, 4, 5]
    assert list_dynamics(store, run.key) == [(1, 3), (2, 5)]
    second = list(iter_dynamics(store, run.key))[1]
    given = read_targets(store, get_dataset(store, run.dataset_key), "train")
    seen = ~np.isnan(decode(second.words, 3, given).p_given)
    assert seen.sum() == 64, "two of three batches of the second epoch"


def test_evaluation_at_a_last_step_that_is_a_multiple_happens_once(kit: Kit, store: Store) -> None:
    run = kit.train(store, evaluation__every=3, training__max_steps=6)
    assert steps_of(store, run.key) == [0, 3, 6]


def test_early_stopping(kit: Kit, store: Store) -> None:
    run = kit.train(
        store,
        training__epochs=12,
        training__learning_rate=1e-9,
        training__head_learning_rate=1e-9,
        training__early_stopping=2,
    )
    assert run.status == "finished"
    steps = sorted(scores(store, run.key))
    assert steps == [0, 3, 6, 9], "the first evaluation is the best, two more do not improve"
    assert {e.step for e in list_evaluations(store, run.key) if e.is_best} == {3}


# checkpoints ---------------------------------------------------------------------------------------------------------

# Later epochs are worse than earlier ones: for `head` at a rate of 0.3 the first of three is the best, for `full` at
# 5e-3 and batches of 8 the fourth of five.
WORSE = {"training__schedule": "constant", "evaluation__select": "validation/loss"}


@pytest.mark.parametrize("keep", ["best+last", "best", "last", "all", "none"])
def test_what_is_kept_is_what_the_recipe_says(kit: Kit, store: Store, keep: str) -> None:
    rate = {"training__epochs": 3, "training__head_learning_rate": 0.3}
    run = kit.train(store, model__method="head", checkpoints__keep=keep, **rate, **WORSE)
    assert run.status == "finished", run.cause
    losses = {step: value for step, value in scores(store, run.key, metric="loss").items() if step}
    best, last = min(losses, key=losses.__getitem__), max(losses)
    assert best != last
    expected = {"best+last": {best, last}, "best": {best}, "last": {last}, "all": set(losses), "none": set()}[keep]
    existing = list_checkpoints(store, run.key, existing=True)
    assert {c.step for c in existing} == expected
    folders = {store.files / c.path for c in existing}
    assert set((store.files / "runs" / run.id).glob("checkpoints/*")) == folders
    assert {c.step for c in existing if c.is_best} == expected & {best}
    for checkpoint in existing:
        files = {
            str(p.relative_to(store.files / checkpoint.path)) for p in folders_files(store.files / checkpoint.path)
        }
        assert files == set(checkpoint.manifest)
        assert checkpoint.size_bytes == sum(p.stat().st_size for p in folders_files(store.files / checkpoint.path))
    assert not [p for p in store.files.rglob("*") if p.suffix in {".bin", ".pt", ".pth", ".partial"}]


def folders_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_the_best_checkpoint_makes_the_embeddings(kit: Kit, store: Store) -> None:
    """`full` at a rate at which later epochs are worse: the embeddings must be those of the best."""
    from runner.classifier import load_classifier
    from runner.encoding import encode_split
    from runner.inference import embed_split

    rate = {"training__epochs": 5, "training__learning_rate": 5e-3, "training__batch_size": 8}
    run = kit.train(store, **rate, **WORSE)
    (best,) = (c for c in list_checkpoints(store, run.key, existing=True) if c.is_best)
    losses = scores(store, run.key, metric="loss")
    assert best.step != max(losses)
    model, tokenizer, info = load_classifier(store.files / best.path)
    assert (info.step, info.labels, info.run_id) == (best.step, ("food", "sky", "sport"), run.id)
    split = encode_split(store, get_dataset(store, run.dataset_key), "test", tokenizer, info.max_length)
    again = embed_split(model, split, tokenizer.pad_token_id, 64).mean.numpy()
    assert read_embeddings(store, run.key, "test") == pytest.approx(again, abs=2e-3)


# other models --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["full", "head", "lora", "top-layers"])
def test_gpt2_without_a_pad_token(kit: Kit, store: Store, method: str) -> None:
    run = kit.train(
        store,
        model__base=str(kit.gpt2),
        model__method=method,
        model__pooling="auto",
        model__top_layers=1 if method == "top-layers" else None,
    )
    assert run.status == "finished", run.cause
    (best,) = (c for c in list_checkpoints(store, run.key, existing=True) if c.is_best)
    assert '"pooling": "last"' in (store.files / best.path / "assay.json").read_text()


@pytest.mark.parametrize(("kind", "settings"), [("bert", BERT), ("gpt2", GPT2)])
def test_from_scratch(kit: Kit, store: Store, kind: str, settings: dict[str, int]) -> None:
    run = kit.train(
        store,
        model__base=f"scratch:{kind}",
        model__tokenizer=str(kit.tokenizer),
        model__config=settings,
        training__epochs=1,
    )
    assert run.status == "finished", run.cause
    assert get_cost(store, run.key).total_parameters < 100_000


def test_forty_classes_take_the_top_form(kit: Kit, store: Store, tmp_path: Path) -> None:
    clues = {f"class-{i:02}": (f"w{i}",) for i in range(40)}
    data = write_csv(tmp_path / "many.csv", rows(400, seed=0, clues=clues))
    run = kit.train(store, data__source=str(data), model__method="head", training__epochs=1)
    assert run.status == "finished", run.cause
    (epoch,) = iter_dynamics(store, run.key)
    assert epoch.n_classes == 40
    assert epoch.words.shape == (320, row_bytes(40) // 2)
    given = read_targets(store, get_dataset(store, run.dataset_key), "train")
    dynamics = decode(epoch.words, 40, given)
    assert -np.log(dynamics.p_given).mean() == pytest.approx(np.mean(curve(store, run.key, "train/loss")), abs=5e-3)


def test_gradient_checkpointing(kit: Kit, trained: Get, store: Store) -> None:
    run = kit.train(store, model__method="lora", training__gradient_checkpointing=True)
    assert run.status == "finished", run.cause
    first = trained("lora")
    assert curve(store, run.key, "validation/loss") == pytest.approx(
        curve(first.store, first.run.key, "validation/loss"), abs=1e-5
    )


def test_cut_texts_are_said(kit: Kit, store: Store) -> None:
    run = kit.train(store, model__max_length=8, training__epochs=1, model__method="head")
    events = list_events(store, run.key)
    assert any("train texts are longer than model.max_length = 8 tokens and are cut" in m for m in events["message"])


# what goes wrong -----------------------------------------------------------------------------------------------------


def nothing_left(store: Store) -> None:
    assert len(list_runs(store)) == 0
    assert not list(store.files.rglob("*"))


def test_a_training_that_diverges_fails_with_step_and_advice(kit: Kit, store: Store) -> None:
    run = kit.train(store, training__learning_rate=1e30, training__max_grad_norm=0, training__warmup=0.0)
    assert run.status == "failed"
    assert "step" in run.cause
    assert "training.learning_rate (it is 1e+30)" in run.cause
    assert "Traceback" not in run.cause
    events = list_events(store, run.key)
    assert list(events["kind"])[-1] == "failed"
    assert scores(store, run.key)[0] > 0, "what was written before stays"
    assert get_cost(store, run.key).wall_seconds > 0


def test_a_failure_of_our_own_is_kept_with_its_last_lines(
    kit: Kit, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    import runner.train

    def fail(*_: Any) -> None:
        print("about to fail")
        raise ZeroDivisionError("on purpose")

    monkeypatch.setattr(runner.train, "_record_embeddings", fail)
    run = kit.train(store, model__method="head", training__epochs=1)
    assert (run.status, run.cause) == ("failed", "ZeroDivisionError: on purpose")
    (data,) = list_events(store, run.key).query("kind == 'failed'")["data"]
    assert "on purpose" in str(data)
    assert "about to fail" in str(data)
    assert "about to fail\n" in read_log(store, run.key)
    assert list_dynamics(store, run.key) == [(1, 3)]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB"), "out of memory on the device"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory"), "out of memory on the host"),
        (MemoryError(), "out of memory on the host"),
    ],
)
def test_out_of_memory_says_what_helps(error: BaseException, said: str) -> None:
    cause = cause_of(error)
    assert cause.startswith(said)
    assert "training.batch_size" in cause


def disk_with(free: int) -> Any:
    usage = namedtuple("usage", "total used free")
    return lambda _: usage(10**12, 10**12 - free, free)


def test_a_full_disk_is_said_before_there_is_a_run(kit: Kit, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", disk_with(1_000_000))
    with pytest.raises(
        DiskFull, match=r"checkpoint takes 0\.\d MB and 67 MB more are to stay free in .* where 1 MB are free"
    ):
        kit.train(store)
    nothing_left(store)
    assert kit.train(store, checkpoints__keep="none", training__epochs=1).status == "finished"


def test_a_disk_that_is_full_at_the_end_fails_the_run_and_leaves_whole_checkpoints(
    kit: Kit, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    import runner.trainer

    original = runner.trainer.CheckpointFolder.save

    def save(self: Any, step: int, *args: Any, **settings: Any) -> Any:
        if step > 3:
            monkeypatch.setattr(shutil, "disk_usage", disk_with(5_000_000))
        return original(self, step, *args, **settings)

    monkeypatch.setattr(runner.trainer.CheckpointFolder, "save", save)
    run = kit.train(store)
    assert run.status == "failed"
    assert run.cause.startswith("disk nearly full")
    (checkpoint,) = list_checkpoints(store, run.key, existing=True)
    assert checkpoint.step == 3
    assert [p.name for p in (store.files / "runs" / run.id / "checkpoints").iterdir()] == ["step-00000003"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"model__base": "{tmp}/nowhere"}, "there is no model folder"),
        ({"model__base": "{tmp}"}, "is not a model folder: it has no config.json"),
        ({"model__method": "top-layers", "model__top_layers": 9}, "the model has 2 layers; choose 1 to 2"),
        ({"model__method": "lora", "model__lora.target_modules": ["nix"]}, "fits no module of this model"),
        ({"training__class_weights": {"food": 2.0, "foot": 1.0}}, "names 'foot'; the labels are food, sky, sport"),
        ({"training__device": "cuda"}, "this machine has: cpu"),
        ({"training__precision": "fp16"}, "needs a CUDA device"),
        ({"model__base": "scratch:bort", "model__tokenizer": "{tokenizer}"}, "bort"),
        (
            {"model__base": "scratch:bert", "model__tokenizer": "{tokenizer}", "model__config": {"hidden_size": 33}},
            "hidden",
        ),
        (
            {
                "model__base": "scratch:bert",
                "model__tokenizer": "{tokenizer}",
                "model__config": {**BERT, "vocab_size": 9},
            },
            "vectors for 9 tokens only: they do not belong together",
        ),
    ],
)
def test_bad_input_leaves_no_run(kit: Kit, store: Store, tmp_path: Path, settings: dict[str, Any], said: str) -> None:
    def filled(value: Any) -> Any:
        return value.format(tmp=tmp_path, tokenizer=kit.tokenizer) if isinstance(value, str) else value

    with pytest.raises(UserError, match=said):
        kit.train(store, **{name: filled(value) for name, value in settings.items()})
    nothing_left(store)


def test_a_stored_dataset_without_validation_is_refused(kit: Kit, store: Store) -> None:
    from tests.store.builders import make_dataset

    make_dataset(store, "half", [(f"ball {i}", i % 2) for i in range(8)], split="train")
    with pytest.raises(DataError, match="has no validation split"):
        kit.train(store, data__source="dataset:half@1")
    nothing_left(store)


def test_bad_data_stores_nothing(kit: Kit, store: Store, tmp_path: Path) -> None:
    data = write_csv(tmp_path / "bad.csv", [("a", "x"), ("", "y")])
    with pytest.raises(DataError):
        kit.train(store, data__source=str(data))
    nothing_left(store)
    assert len(list_datasets(store)) == 0


def test_an_unwritable_store_is_said(kit: Kit, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("nothing is unwritable for root")
    (tmp_path / "closed").mkdir(mode=0o500)
    from store import StoreError

    with pytest.raises(StoreError, match="writ"):
        open_store(tmp_path / "closed" / "assay.db")
