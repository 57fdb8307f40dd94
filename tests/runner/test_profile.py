"""What is measured of the data before training, for every task, against what training itself encodes."""

import doctest
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import runner.commands.profile
from benchmarks.tiny import rows
from runner.backbone import load_backbone
from runner.cli import cli
from runner.data import prepare_data
from runner.profile import profile_data, tokens_of
from runner.recipe import LoadedRecipe, parse_recipe
from runner.recipe.shapes import SHAPES
from runner.tasks import TASKS
from store import Store, open_store
from store.profiles import list_profiles
from tests.runner.conftest import Kit

T5 = {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2, "decoder_start_token_id": 0}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Rows that every task can read; every ninth text is long, and the first training text comes again elsewhere."""
    folder = tmp_path_factory.mktemp("profile")
    every = rows(90, seed=4)
    found = {}
    for split, part in {"train": every[:60], "validation": every[60:75], "test": [every[0], *every[76:]]}.items():
        records = [record(i, text, label) for i, (text, label) in enumerate(part)]
        if split == "train":
            records += [records[0], record(1, part[1][0], part[1][1], target="other")]
        path = folder / f"{split}.jsonl"
        path.write_text("".join(json.dumps(each) + "\n" for each in records))
        found[split] = str(path)
    return found


def record(number: int, text: str, label: str, target: str = "the ball") -> dict[str, Any]:
    words = text.split()
    return {
        "text": text if number % 9 else " ".join([text] * 6), "text_pair": "and the moon", "label": label,
        "labels": [label], "score": len(words) / 10, "tokens": words * (1 if number % 9 else 6),
        "tags": ["B-X", *["O"] * (len(words) * (1 if number % 9 else 6) - 1)],
        "prompt": text, "completion": target, "target": target,
        "query": f"and the moon {number // 3}", "document": text, "relevance": number % 2,
    }  # fmt: skip


def loaded_for(kit: Kit, task: str, sources: dict[str, str]) -> LoadedRecipe:
    base: dict[str, Any] = {"model.base": str(kit.gpt2)} if task in ("causal-lm", "instruction") else {}
    if task == "seq2seq":
        base = {"model.base": "scratch:t5", "model.tokenizer": str(kit.tokenizer), "model.config": T5}
    if task == "pair-classification":
        base = {"data.columns": {"text_pair": "text_pair"}}
    text = kit.text(
        {
            "task": task, "data.source": sources, "model.pooling": None, "model.max_length": 16,
            "training.head_learning_rate": None, **base,
        }
    )  # fmt: skip
    return parse_recipe(text, folder=kit.folder)


@pytest.mark.parametrize("task", list(SHAPES))
def test_a_profile_tells_what_training_would_encode(kit: Kit, store: Store, sources: dict[str, str], task: str) -> None:
    loaded = loaded_for(kit, task, sources)
    dataset = prepare_data(store, loaded.recipe).dataset
    found = profile_data(store, dataset, loaded.recipe)
    backbone = load_backbone(loaded.recipe.model)
    assert found["max_length"] == backbone.max_length == tokens_of(loaded.recipe.model, "AutoModel").max_length
    for split in ("train", "validation", "test"):
        encoded = TASKS[task].encode(store, dataset, split, backbone, loaded.recipe, None)
        measured = found["splits"][split]
        assert measured["n_examples"] == dataset.n_rows[split]
        lengths = measured["tokens"]
        assert sum(lengths["counts"]) == lengths["n"] == len(encoded)
        if task in ("causal-lm", "masked-lm"):
            assert measured["truncated"] is None, "nothing is cut off"
            assert lengths["total"] >= encoded.n_tokens - len(encoded)
        elif task == "token-classification" and split != "train":
            assert measured["truncated"] is None, "evaluations read sentences to their end"
        else:
            assert measured["truncated"]["n"] == encoded.n_truncated
            assert lengths["total"] >= encoded.n_tokens
            assert (np.minimum(lengths["quantiles"]["max"], 16)) == encoded.lengths.max()
        assert 1 <= measured["tokens_per_word"] < 6
        assert measured["languages"]["counts"]["English"] > 0
        kind = SHAPES[task].kind
        assert (measured["labels"] is None) == (kind not in ("label", "labels", "spans", "relevance"))
        assert (measured["numbers"] is None) == (kind != "number")
        assert (measured["answer_tokens"] is None) == (kind != "text")
    train = found["splits"]["train"]
    assert train["duplicates"]["n"] == 2
    assert train["duplicates"]["n_conflicting"] == (1 if SHAPES[task].kind == "text" else 0)
    assert [(leak["from"], leak["in"], leak["n"]) for leak in found["leaks"]] == [("train", "test", 1)]
    (kept,) = list_profiles(store, dataset.key)
    assert kept.profile == found
    profile_data(store, dataset, loaded.recipe)
    assert len(list_profiles(store, dataset.key)) == 1, "measured alike"


def test_the_command_shows_and_keeps_it(kit: Kit, sources: dict[str, str], tmp_path: Path) -> None:
    recipe, path = tmp_path / "recipe.toml", tmp_path / "a.db"
    recipe.write_text(loaded_for(kit, "text-classification", sources).text)
    words = ["profile", str(recipe), "--store", str(path)]
    said = CliRunner().invoke(cli, words, env={"COLUMNS": "200"})
    assert said.exit_code == 0, said.output
    assert "examples of train are cut at 16 tokens; the longest has" in said.output
    assert "! 1 of 15 examples of test is in train too" in said.output
    assert "tokens of a training example" in said.output
    found = json.loads(CliRunner().invoke(cli, [*words, "--json"]).stdout)
    assert found["splits"]["train"]["n_examples"] == 62
    store = open_store(path)
    assert len(list_profiles(store, 1)) == 1
    store.close()
    other = CliRunner().invoke(cli, [*words, "--json", "--set", "model.max_length=8"])
    assert json.loads(other.stdout)["splits"]["train"]["truncated"]["n"] > found["splits"]["train"]["truncated"]["n"]


def test_the_examples_in_the_code() -> None:
    assert doctest.testmod(runner.commands.profile).attempted == 1
