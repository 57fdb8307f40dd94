"""Tiny real models, a tokenizer of their own, and data that can be learnt, made once a session."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from store import Run, Store, open_store
from tests.runner.data.recipes import write_csv

CLUES = {
    "food": ("bread", "soup", "apple", "cheese", "spoon"),
    "sport": ("ball", "goal", "race", "team", "coach"),
    "sky": ("cloud", "star", "moon", "rain", "wind"),
}
FILLERS = ("the", "a", "of", "and", "was", "is", "very", "then", "here", "there", "one", "two")


@pytest.fixture(scope="session", autouse=True)
def _calm() -> None:
    """Two shared cores: one thread, asleep while it waits."""
    import gc

    import torch

    from runner.quiet import quiet_libraries

    torch.set_num_threads(1)
    quiet_libraries()
    gc.freeze()  # the Trainer collects garbage at every start; what was imported is none


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for what the whole session shares."""
    return tmp_path_factory.mktemp("models")


def words() -> list[str]:
    return [*FILLERS, *(word for clues in CLUES.values() for word in clues), *(f"w{i}" for i in range(40))]


@pytest.fixture(scope="session")
def tokenizer(folder: Path) -> Path:
    """A WordPiece tokenizer of whole words, with CLS, SEP and PAD, in a folder."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words()])}
    raw = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    raw.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])]
    )
    made = PreTrainedTokenizerFast(
        tokenizer_object=raw, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]"
    )
    made.save_pretrained(folder / "tokenizer")
    return folder / "tokenizer"


@pytest.fixture(scope="session")
def bare_tokenizer(folder: Path) -> Path:
    """As GPT-2's: no special token but the end of a text, nothing to pad with, nothing around a text."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    raw.train_from_iterator(words(), trainers.BpeTrainer(vocab_size=300, special_tokens=["<end>"], show_progress=False))
    PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<end>").save_pretrained(folder / "bare-tokenizer")
    return folder / "bare-tokenizer"


BERT = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
}
GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64}


@pytest.fixture(scope="session")
def bert(folder: Path, tokenizer: Path) -> Path:
    """The folder of a tiny BERT with random weights: something to load, to freeze and to adapt."""
    return _saved(folder / "bert", tokenizer, "bert", BERT)


@pytest.fixture(scope="session")
def gpt2(folder: Path, bare_tokenizer: Path) -> Path:
    """The folder of a tiny GPT-2 whose tokenizer has no pad token."""
    return _saved(folder / "gpt2", bare_tokenizer, "gpt2", GPT2)


def _saved(where: Path, tokenizer: Path, kind: str, settings: dict[str, int]) -> Path:
    import torch
    from transformers import AutoConfig, AutoModel, AutoTokenizer

    loaded = AutoTokenizer.from_pretrained(tokenizer)
    with torch.random.fork_rng():
        torch.manual_seed(7)
        config = AutoConfig.for_model(kind, vocab_size=len(loaded), **settings)
        model = AutoModel.from_config(config)
        for parameter in model.parameters():  # livelier than the usual start: two layers then tell words apart
            if parameter.ndim == 2:
                parameter.data.mul_(8)
    model.save_pretrained(where)
    loaded.save_pretrained(where)
    return where


def rows(n: int, *, seed: int, clues: dict[str, tuple[str, ...]] = CLUES) -> list[tuple[str, str]]:
    """`n` different texts of 3 to 12 words; one clue word says the label."""
    rng = np.random.default_rng(seed)
    made: dict[str, str] = {}
    labels = list(clues)
    while len(made) < n:
        label = labels[len(made) % len(labels)]
        text = [str(word) for word in rng.choice([*FILLERS, *(f"w{i}" for i in range(40))], rng.integers(2, 12))]
        text.insert(int(rng.integers(0, len(text) + 1)), str(rng.choice(clues[label])))
        made.setdefault(" ".join(text), label)
    return list(made.items())


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
