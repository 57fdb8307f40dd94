"""Runs of one process that share what they have in common are the same, bit for bit, as runs that share nothing."""

from typing import Any

import pytest
import torch

import runner.experiment
import runner.shared
import runner.tasks.pooled
import runner.train
from benchmarks.tiny import BERT
from runner.progress import make_progress
from runner.recipe import parse_recipe
from runner.resume import resume
from runner.shared import Shared
from runner.train import train
from runner.trainer import RecordingTrainer
from store import Run, Store, get_dataset
from tests.runner.conftest import Kit
from tests.runner.sameness import differences, everything


def run_one(kit: Kit, store: Store, shared: Shared | None, **overrides: Any) -> Run:
    text = kit.text({path.replace("__", "."): value for path, value in overrides.items()})
    loaded = parse_recipe(text, folder=kit.folder)
    return train(loaded, store, make_progress("quiet"), command=["test"], shared=shared)


# In this order: each after others that leave the base model behind in another state.
SEARCH: dict[str, dict[str, Any]] = {
    "lora": {"model__method": "lora"},
    "full": {"model__method": "full"},
    "lora after full": {"model__method": "lora", "model__lora.r": 4, "model__lora.target_modules": ["query"]},
    "head": {"model__method": "head"},
    "top": {"model__method": "top-layers", "model__top_layers": 1},
    "full with checkpointing": {"model__method": "full", "training__gradient_checkpointing": True},
    "full again": {"model__method": "full", "training__seed": 1},
    "lora with checkpointing": {"model__method": "lora", "training__gradient_checkpointing": True},
    "head, another seed": {"model__method": "head", "training__seed": 1},
    "top, all layers": {"model__method": "top-layers", "model__top_layers": 2, "training__precision": "bf16"},
    "lora at last": {"model__method": "lora", "training__seed": 2},
    "shorter texts": {"model__method": "head", "model__max_length": 8},
    "pooled otherwise": {"model__method": "head", "model__pooling": "cls"},
}


def test_a_search_over_everything_is_the_same(kit: Kit, store: Store) -> None:
    shared = Shared()
    for name, overrides in SEARCH.items():
        together = run_one(kit, store, shared, **overrides)
        alone = run_one(kit, store, None, **overrides)
        assert (together.status, alone.status) == ("finished", "finished"), (name, together.cause, alone.cause)
        assert differences(everything(store, together), everything(store, alone)) == [], name


def test_other_models_and_seeds_of_random_ones(kit: Kit, store: Store) -> None:
    scratch = {"model__base": "scratch:bert", "model__tokenizer": str(kit.tokenizer), "model__config": BERT}
    search: list[dict[str, Any]] = [
        {**scratch, "model__method": "lora"},
        {"model__base": str(kit.gpt2), "model__method": "full", "model__pooling": "auto"},
        {**scratch, "model__method": "lora", "training__seed": 1},
        {**scratch, "model__method": "full"},
        {"model__base": str(kit.gpt2), "model__method": "lora", "model__pooling": "auto"},
        {**scratch, "model__method": "lora", "training__seed": 1},
    ]
    shared = Shared()
    for overrides in search:
        together, alone = run_one(kit, store, shared, **overrides), run_one(kit, store, None, **overrides)
        assert together.status == "finished", together.cause
        assert differences(everything(store, together), everything(store, alone)) == [], overrides


def test_after_a_run_that_failed_half_way(kit: Kit, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = Shared()
    original = RecordingTrainer.training_step
    for method in ("full", "lora"):
        with monkeypatch.context() as patch:

            def fail(self: Any, *args: Any, **settings: Any) -> Any:
                if self.state.global_step == 4:
                    raise MemoryError
                return original(self, *args, **settings)

            patch.setattr(RecordingTrainer, "training_step", fail)
            assert run_one(kit, store, shared, model__method=method).status == "failed"
        together, alone = (run_one(kit, store, s, model__method="lora", training__seed=3) for s in (shared, None))
        assert differences(everything(store, together), everything(store, alone)) == []


def test_resumed_with_shared(kit: Kit, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = Shared()
    run_one(kit, store, shared, model__method="full", training__seed=5)
    with monkeypatch.context() as patch:
        patch.setattr(RecordingTrainer, "_load_best_model", lambda self: 1 / 0)
        run = run_one(kit, store, shared, model__method="lora")
    run_one(kit, store, shared, model__method="full", training__seed=6)
    ended = resume(store, run, make_progress("quiet"), command=["test"], shared=shared)
    assert ended.status == "finished", ended.cause
    alone = run_one(kit, store, None, model__method="lora")
    assert differences(everything(store, ended), everything(store, alone)) == []


class Counts:
    """How often the costly things were done."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.n = {"load_backbone": 0, "encode_split": 0, "cached_features": 0, "prepare_data": 0}
        for module, name in (
            (runner.shared, "load_backbone"),
            (runner.tasks.pooled, "encode_split"),
            (runner.train, "cached_features"),
            (runner.experiment, "prepare_data"),
        ):
            monkeypatch.setattr(module, name, self._counting(name, getattr(module, name)))

    def _counting(self, name: str, original: Any) -> Any:
        def counting(*args: Any, **settings: Any) -> Any:
            self.n[name] += 1
            return original(*args, **settings)

        return counting


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counts:
    return Counts(monkeypatch)


def test_what_is_shared_is_made_once(kit: Kit, store: Store, counts: Counts) -> None:
    shared = Shared()
    for seed in range(3):
        run_one(kit, store, shared, model__method="head", training__seed=seed)
    run_one(kit, store, shared, model__method="lora")
    assert counts.n == {"load_backbone": 1, "encode_split": 3, "cached_features": 1, "prepare_data": 4}


def test_a_given_dataset_is_not_read_again(kit: Kit, store: Store, counts: Counts) -> None:
    first = run_one(kit, store, None, model__method="head")
    assert first.dataset_key is not None
    gone = {"train": "/nowhere.csv"}
    loaded = parse_recipe(kit.text({"model.method": "head", "data.source": gone}), folder=kit.folder)
    dataset = get_dataset(store, first.dataset_key)
    run = train(loaded, store, make_progress("quiet"), command=["test"], dataset=dataset)
    assert (run.status, run.dataset_key) == ("finished", first.dataset_key)
    assert counts.n["prepare_data"] == 1
    assert differences(everything(store, run), everything(store, first)) == []


def test_only_the_newest_are_kept(kit: Kit, store: Store) -> None:
    from runner.recipe import Model

    shared = Shared()
    specs = [
        Model(base="scratch:bert", tokenizer=str(kit.tokenizer), config={**BERT, "intermediate_size": size})
        for size in (64, 65, 66)
    ]
    lent = [shared.backbone(spec, 0) for spec in specs]
    assert shared.backbone(specs[2], 0).model is lent[2].model
    assert shared.backbone(specs[1], 0).model is lent[1].model
    again = shared.backbone(specs[0], 0).model
    assert again is not lent[0].model
    for a, b in zip(again.parameters(), lent[0].model.parameters(), strict=True):
        assert torch.equal(a, b)
