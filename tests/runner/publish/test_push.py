"""`runner push` to a stand-in hub on this machine: through huggingface_hub, as to the real one."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from benchmarks.tiny import words
from runner.classifier import load_classifier
from store import Store
from tests.runner.conftest import Kit, Trained
from tests.runner.publish.hub import TOKEN, Hub, Repo, serving
from tests.runner.test_commands import Runner, runner
from tests.runner.test_hub import closed_endpoint

__all__ = ["runner"]  # the fixture


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # the stand-in takes files over plain HTTP
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with serving() as served:
        monkeypatch.setattr(constants, "ENDPOINT", served.endpoint)
        yield served


def test_a_private_repository_with_all_files_of_an_export(
    runner: Runner, carded: Trained, hub: Hub, tmp_path: Path
) -> None:
    said = runner(carded.store, "push", carded.run.id, "--repo", "mood", "--private", "--format", "parts", "--json")
    assert said.code == 0, said.err
    repo = hub.repos["anna/mood"]
    assert repo.is_private
    assert said.json["url"] == f"{hub.endpoint}/anna/mood"
    assert said.json["private"] is True
    assert said.json["files"] == {name: len(content) for name, content in repo.files.items()}
    assert not any("training" in name or name.startswith("data/") for name in repo.files)
    assert repo.messages == [f"{carded.run.name} ({carded.run.id}), step 3"]
    for name, content in repo.files.items():  # what came back loads
        (tmp_path / "back" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "back" / name).write_bytes(content)
    assert load_classifier(tmp_path / "back")[2].run_id == carded.run.id
    assert not list(carded.store.path.parent.glob(".push-*"))
    assert TOKEN not in said.out + said.err

    said = runner(carded.store, "push", carded.run.id, "--repo", "anna/mood", "--format", "parts")  # once more
    assert said.code == 0, said.err
    assert "anna/mood (private)" in said.out
    assert hub.asked.count("POST /api/repos/create") == 1


def test_a_language_model_goes_with_all_that_it_needs(
    runner: Runner, kit: Kit, store: Store, hub: Hub, tmp_path: Path
) -> None:
    """Its adapter folded, no optimizer state though the run could go on, no training text; it comes back and writes."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    data = tmp_path / "data.jsonl"
    rows = [{"prompt": f"the {word} was", "completion": f"w{at} {word}"} for at, word in enumerate(words())]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = kit.train(
        store, name="says", task="instruction", model__base=str(kit.gpt2), model__method="lora", model__pooling=None,
        data__source=str(data), training__max_steps=2, training__head_learning_rate=None, generation__examples=2,
        generation__max_new_tokens=3, recording__embeddings=False,
    )  # fmt: skip
    said = runner(store, "push", "says", "--repo", "says", "--json")
    assert said.code == 0, said.err
    files = hub.repos["anna/says"].files
    assert {"README.md", "config.json", "generation_config.json", "model.safetensors", "tokenizer.json"} <= set(files)
    assert not any(part in name for name in files for part in ("adapter", "optim", "training", "data/"))
    assert not any(row["completion"].encode() in content for row in rows[:5] for content in files.values())
    back = tmp_path / "back"
    back.mkdir()
    for name, content in files.items():
        (back / name).write_bytes(content)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(back), AutoTokenizer.from_pretrained(back)
    ids = tokenizer("the moon was\n", return_tensors="pt")
    assert model.generate(**ids).shape[1] <= ids["input_ids"].shape[1] + 3
    assert b"pipeline_tag: text-generation" in files["README.md"]
    # without a token nothing is loaded, whatever the task
    said = runner(store, "push", run.id, "--repo", "says", "--token-env", "NO_SUCH_TOKEN", "--format", "parts")
    assert said.code == 2
    assert "the environment variable NO_SUCH_TOKEN is not set" in said.err
    assert "is a language model, which is one part" in said.err


def test_a_dry_run_lists_files_and_asks_nobody(
    runner: Runner, carded: Trained, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    said = runner(carded.store, "push", carded.run.id, "--repo", "anna/mood", "--dry-run")
    assert said.code == 0, said.err
    assert "model.safetensors" in said.out
    assert "nothing was pushed to anna/mood" in said.out
    said = runner(carded.store, "push", carded.run.id, "--repo", "anna/mood", "--dry-run", "--json")
    assert json.loads(said.out)["pushed"] is False
    assert said.json["files"]["README.md"] > 1000
    assert hub.asked == []


def test_without_a_token_nothing_begins(
    runner: Runner, carded: Trained, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    said = runner(carded.store, "push", carded.run.id, "--repo", "a b", "--format", "adapter")
    assert said.code == 2
    for part in ("no token was found", "hf auth login", "--repo 'a b': must be", "makes no adapter"):  # all at once
        assert part in said.err
    said = runner(carded.store, "push", carded.run.id, "--repo", "mood", "--token-env", "MY_TOKEN")
    assert "the environment variable MY_TOKEN is not set" in said.err
    monkeypatch.setenv("MY_TOKEN", "hf_another")
    said = runner(carded.store, "push", carded.run.id, "--repo", "mood", "--token-env", "MY_TOKEN")
    assert said.code == 2
    assert "It does not take the token" in said.err
    assert "hf_another" not in said.err
    assert hub.repos == {}


def test_what_others_can_read_does_not_become_private(runner: Runner, carded: Trained, hub: Hub) -> None:
    hub.repos["anna/mood"] = Repo(is_private=False)
    said = runner(carded.store, "push", carded.run.id, "--repo", "mood", "--private")
    assert said.code == 2
    assert "everybody can read it" in said.err
    assert hub.repos["anna/mood"].files == {}


def test_what_the_hub_refuses_is_said_in_its_words(
    runner: Runner, carded: Trained, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = runner(carded.store, "push", carded.run.id, "--repo", "others/mood")
    assert said.code == 2
    assert "You don't have the rights" in said.err
    assert "it needs the right to write" in said.err
    hub.yaml_error = "license is not allowed"
    said = runner(carded.store, "push", carded.run.id, "--repo", "mood")
    assert said.code == 2
    assert "license is not allowed" in said.err
    monkeypatch.setattr(constants, "ENDPOINT", closed_endpoint())
    said = runner(carded.store, "push", carded.run.id, "--repo", "mood")
    assert said.code == 2
    assert "did not answer" in said.err
