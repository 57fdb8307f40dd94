"""Tiny real models, a tokenizer of their own, and data that can be learnt, made once a session."""

import atexit
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from benchmarks.tiny import BERT, GPT2, rows, save_bare_tokenizer, save_model, save_tokenizer
from store import Run, Store, open_store
from tests.runner.data.recipes import write_csv

# `evaluate` copies modules to a folder that all processes of a user share, and reads its name once.
os.environ["HF_MODULES_CACHE"] = tempfile.mkdtemp(prefix="modules-")
atexit.register(shutil.rmtree, os.environ["HF_MODULES_CACHE"], ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def _calm() -> None:
    """Two shared cores: one thread, asleep while it waits; how many add up a sum also decides its last bits."""
    import gc

    import torch

    from runner.quiet import quiet_libraries

    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"  # in processes that tests start too
    quiet_libraries()
    gc.freeze()  # the Trainer collects garbage at every start; what was imported is none


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for what the whole session shares."""
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def tokenizer(folder: Path) -> Path:
    return save_tokenizer(folder / "tokenizer")


@pytest.fixture(scope="session")
def bare_tokenizer(folder: Path) -> Path:
    return save_bare_tokenizer(folder / "bare-tokenizer")


@pytest.fixture(scope="session")
def bert(folder: Path, tokenizer: Path) -> Path:
    """The folder of a tiny BERT."""
    return save_model(folder / "bert", tokenizer, "bert", BERT)


@pytest.fixture(scope="session")
def gpt2(folder: Path, bare_tokenizer: Path) -> Path:
    """The folder of a tiny GPT-2 whose tokenizer has no pad token."""
    return save_model(folder / "gpt2", bare_tokenizer, "gpt2", GPT2)


@pytest.fixture(scope="session")
def csvs(folder: Path) -> dict[str, Path]:
    """train.csv (96 texts), validation.csv (30), test.csv (33); three labels."""
    every = rows(159, seed=3)
    cut = {"train": every[:96], "validation": every[96:126], "test": every[126:]}
    return {split: write_csv(folder / f"{split}.csv", part) for split, part in cut.items()}


@dataclass(frozen=True)
class Kit:
    """What it takes to train something tiny."""

    folder: Path
    bert: Path
    gpt2: Path
    tokenizer: Path
    csvs: dict[str, Path]

    def text(self, overrides: dict[str, Any]) -> str:
        """A recipe: method full on the tiny BERT, 2 epochs of 3 steps; `overrides` by dotted path."""
        values: dict[str, Any] = {
            "name": "tiny",
            "task": "text-classification",
            "model.base": str(self.bert),
            "model.max_length": 16,
            "model.pooling": "mean",
            "data.source": {split: str(path) for split, path in self.csvs.items()},
            "training.epochs": 2,
            "training.batch_size": 32,
            "training.learning_rate": 3e-3,
            "training.head_learning_rate": 1e-2,
            "training.device": "cpu",
            "recording.log_every": 1,
            "triage.after_training": False,
            **overrides,
        }
        return "".join(f"{path} = {_toml(value)}\n" for path, value in values.items() if value is not None)

    def train(self, store: Store, **overrides: Any) -> Run:
        """Train in this process; keyword `model_method` means `model.method`."""
        from runner.progress import make_progress
        from runner.recipe import parse_recipe
        from runner.train import train

        text = self.text({path.replace("__", "."): value for path, value in overrides.items()})
        return train(parse_recipe(text, folder=self.folder), store, make_progress("quiet"), command=["test"])


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)


@pytest.fixture(scope="session")
def kit(folder: Path, bert: Path, gpt2: Path, tokenizer: Path, csvs: dict[str, Path]) -> Kit:
    return Kit(folder, bert, gpt2, tokenizer, csvs)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(tmp_path / "assay.db")
    yield opened
    opened.close()


@dataclass(frozen=True)
class Trained:
    """A finished run and the store it is in."""

    store: Store
    run: Run


@pytest.fixture(scope="session")
def trained(kit: Kit, folder: Path) -> Callable[[str], Trained]:
    """`trained("lora")`: one run of that method, shared by all tests that only read it."""
    store = open_store(folder / "shared.db")
    runs: dict[str, Trained] = {}

    def get(method: str) -> Trained:
        if method not in runs:
            runs[method] = Trained(store, kit.train(store, model__method=method, name=method))
        return runs[method]

    return get
