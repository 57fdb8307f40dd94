"""`runner merge` of every task: two tasks under one adapter, language models, numbers and sets of labels."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from benchmarks.tiny import CLUES, rows
from runner.classifier import ClassifierHead
from runner.merge.heads import in_units
from store import (
    Run,
    Store,
    get_dataset,
    get_evaluation,
    get_run,
    list_merge_scores,
    list_scores,
    open_store,
    read_responses,
)
from tests.docs.stand_ins import write_models
from tests.runner.conftest import Kit
from tests.runner.merge.test_merge import folder
from tests.runner.test_commands import Runner, runner

__all__ = ["runner"]  # the fixture

SWAP = dict(zip(CLUES, ("bread", "goal", "moon"), strict=True))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models, and a file of rows that every task can read."""
    place = tmp_path_factory.mktemp("merge")
    write_models(place / "models")
    records = [
        {"text": text, "length": "long" if len(text.split()) > 6 else "short", "labels": [label], "prompt": text,
         "score": float(len(text)), "completion": SWAP[label], "target": text.split()[0]}
        for text, label in rows(150, seed=4)
    ]  # fmt: skip
    (place / "data.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return place


@pytest.fixture(scope="module")
def store(place: Path) -> Store:
    return open_store(place / "assay.db")


def train(kit: Kit, store: Store, place: Path, name: str, **changed: Any) -> Run:
    settings = {
        "name": name, "data__source": str(place / "data.jsonl"), "data__name": name, "model__method": "lora",
        "training__epochs": 1, "recording__embeddings": False, "recording__dynamics": False, **changed,
    }  # fmt: skip
    if settings.get("task") in ("causal-lm", "masked-lm", "instruction", "seq2seq"):
        settings |= {"model__pooling": None, "training__head_learning_rate": None, "model__max_length": 24}
    run = kit.train(store, **settings)
    assert run.status == "finished", run.cause
    return run


@pytest.fixture(scope="module")
def topics(kit: Kit, store: Store, place: Path) -> Run:
    return kit.train(store, name="topics", model__method="lora", recording__embeddings=False, training__epochs=4)


@pytest.fixture(scope="module")
def lengths(kit: Kit, store: Store, place: Path) -> Run:
    return train(kit, store, place, "lengths", data__columns={"label": "length"}, training__epochs=4)


def merged(runner: Runner, store: Store, *arguments: str) -> Any:
    said = runner(store, "merge", *arguments, "--quiet", "--json")
    assert said.code == 0, said.err
    return said.json


def test_two_tasks_share_one_adapter_and_keep_their_heads(
    runner: Runner, store: Store, topics: Run, lengths: Run, tmp_path: Path
) -> None:
    said = runner(store, "merge", "topics", "lengths", "--by", "dare-ties", "--each", "--name", "both", "--plain")
    assert said.code == 0, said.err
    runs = [get_run(store, name) for name in ("both-topics", "both-lengths")]
    adapters = [load_file(folder(store, run) / "adapter" / "adapter_model.safetensors") for run in runs]
    assert adapters[0].keys() == adapters[1].keys()
    assert all(torch.equal(tensor, adapters[1][name]) for name, tensor in adapters[0].items())
    for run, parent, other in zip(runs, (topics, lengths), (lengths, topics), strict=True):
        assert (run.dataset_key, run.method) == (parent.dataset_key, "lora")
        heads = [load_file(folder(store, each) / "head.safetensors") for each in (run, parent)]
        assert torch.allclose(heads[0]["linear.weight"], heads[1]["linear.weight"], atol=1e-6)
        assert run.provenance is not None
        kept: Any = run.provenance["merge"]
        assert kept["head_of"] == {"id": parent.id, "name": parent.name}
        assert [each["id"] for each in kept["parents"]] == [topics.id, lengths.id]
        scores = list_merge_scores(store, run)
        accuracy = scores[(scores["metric"] == "accuracy") & (scores["split"] == "test")]
        assert dict(zip(accuracy["who"], accuracy["id"], strict=True)) == {
            "merged": run.id, "parent": parent.id, "untrained": parent.id, "other": other.id
        }  # fmt: skip
        assert bool(accuracy[["value", "low", "high"]].notna().all(axis=None))
        # what was trained for the task knows it, and what was not does not
        by_who = dict(zip(accuracy["who"], accuracy["value"], strict=True))
        assert by_who["parent"] > by_who["other"]
    assert len({run.recipe_hash for run in runs}) == 2
    # the table, where it was merged and where it is looked at
    header, *lines = said.out.splitlines()[-5:]  # two metrics of each
    assert header.split("  ")[-1].strip() == "the other parents"
    assert [line.split()[0] for line in lines] == ["topics", "topics", "lengths", "lengths"]
    shown = runner(store, "show", "both-lengths").out
    assert "head, labels and data of lengths" in shown
    assert "the other parents" in shown
    # each is handed out by itself
    out = tmp_path / "out"
    done = runner(store, "export", "both-lengths", str(out))
    assert done.code == 0, done.err
    card = (out / "README.md").read_text()
    assert json.loads((out / "assay.json").read_text())["labels"] == ["long", "short"]
    assert "with the head, the labels and the data of lengths" in card
    assert "| parent | run | task |" in card
    assert "| this model | both-lengths |" in card
    assert "| parent, trained for this | lengths |" in card
    assert "| parent, not trained for this, under the same head | topics |" in card


def test_two_skills_of_one_language_model(runner: Runner, kit: Kit, store: Store, place: Path) -> None:
    """No heads: the merged adapter is evaluated on the data of both."""
    settings = {"task": "instruction", "model__base": str(place / "models" / "gpt2"), "generation__examples": 5,
                "generation__max_new_tokens": 3}  # fmt: skip
    one = train(kit, store, place, "topic-words", **settings)
    two = train(kit, store, place, "first-words", **settings, data__columns={"completion": "target"})
    made = merged(runner, store, one.id, two.id, "--by", "ties", "--each")
    assert [each["name"] for each in made] == ["topic-words-ties", "first-words-ties"]
    runs = [get_run(store, each["id"]) for each in made]
    assert [run.dataset_key for run in runs] == [one.dataset_key, two.dataset_key]
    for run in runs:
        evaluation = get_evaluation(store, run.key, "test")
        assert evaluation is not None
        assert isinstance(read_responses(store, evaluation)[0]["text"], str)
        scores = list_merge_scores(store, run)
        assert {"merged", "parent", "untrained", "other"} == set(scores[scores["metric"] == "rougeL"]["who"])
    # one run of both is evaluated on the first one's data, and says so
    said = runner(store, "merge", one.id, two.id, "--name", "one-run")
    assert said.code == 0, said.err
    assert "--each evaluates each run's task on that run's data" in said.err + said.out
    # another way of asking is another task, unless each keeps its own
    third = train(kit, store, place, "asks", **settings, instruction__separator=" ")
    said = runner(store, "merge", one.id, third.id)
    assert said.code == 2
    assert "put texts to their models in different ways" in said.err


@pytest.mark.parametrize(("task", "base"), [("causal-lm", "gpt2"), ("masked-lm", "mlm"), ("seq2seq", "t5")])
def test_full_fine_tunes_of_language_models(
    runner: Runner, kit: Kit, store: Store, place: Path, task: str, base: str
) -> None:
    settings = {"task": task, "model__base": str(place / "models" / base), "model__method": "full"}
    if task == "seq2seq":
        settings |= {"generation__examples": 2, "generation__max_new_tokens": 2}
    runs = [train(kit, store, place, f"{task}-{seed}", **settings, training__seed=seed) for seed in (0, 1)]
    (made,) = [get_run(store, merged(runner, store, *(run.id for run in runs), "--by", "dare-linear")["id"])]
    weights = [load_file(folder(store, run) / "backbone" / "model.safetensors") for run in (*runs, made)]
    start = load_file(place / "models" / base / "model.safetensors")
    changed = 0
    for name in weights[2]:
        before = start.get(name, start.get(name.removeprefix("transformer.")))
        if before is None:
            continue
        one, other, found = (each[name] - before for each in (*weights[:2], weights[2]))
        choices = torch.stack([torch.zeros_like(one), one, other, one + other])  # density ½, weights ½
        assert float((choices - found).abs().min(0).values.max()) < 1e-5, name
        changed += int(bool(found.any()))
    assert changed > 5
    assert made.status == "finished"
    assert np.isfinite(list_merge_scores(store, made)["value"].astype(float)).all()


def test_folding_a_language_model_changes_no_answer(runner: Runner, kit: Kit, store: Store, place: Path) -> None:
    run = train(kit, store, place, "legal", task="causal-lm", model__base=str(place / "models" / "gpt2"))
    made = merged(runner, store, run.id, "--fold")
    before, after = (loss_of(store, each) for each in (run, get_run(store, made["id"])))
    assert after == pytest.approx(before, abs=1e-4)
    # which makes it a base for the next stage
    second = kit.train(store, name="next", model__base=f"run:{made['id']}", training__max_steps=1)
    assert second.status == "finished", second.cause


def loss_of(store: Store, run: Run) -> float:
    scores = list_scores(store, [run.key], best_only=True)
    return float(scores[(scores["split"] == "test") & (scores["metric"] == "loss")]["value"].iloc[0])


def test_sets_of_labels_and_numbers(runner: Runner, kit: Kit, store: Store, place: Path) -> None:
    for task in ("multi-label-classification", "regression"):
        runs = [train(kit, store, place, f"{task}-{seed}", task=task, training__seed=seed) for seed in (0, 1)]
        made = get_run(store, merged(runner, store, *(run.id for run in runs), "--by", "cat")["id"])
        settings = json.loads((folder(store, made) / "assay.json").read_text())["settings"]
        evaluation = get_evaluation(store, made.key, "test")
        assert evaluation is not None
        said = read_responses(store, evaluation)
        if task == "regression":
            assert settings["scale"] > 1
            assert 5 < float(np.mean(list(said.values()))) < 80  # in the unit of the targets: characters
        else:
            assert len(settings["thresholds"]) == 3  # chosen for the merged model
        assert get_dataset(store, made.dataset_key or 0).name == f"{task}-0"


def test_numbers_of_different_units_meet_in_one() -> None:
    head = ClassifierHead(4, 1, 0.0).eval()
    torch.nn.init.normal_(head.linear.weight)
    settings = {"scale": 20.0, "centre": 300.0}
    x = torch.randn(5, 4)
    assert torch.allclose(in_units(head, settings)(x), head(x) * 20 + 300, atol=1e-3)
    assert torch.allclose(in_units(in_units(head, settings), settings, back=True)(x), head(x), atol=1e-4)
    assert in_units(head, {}) is head


def test_what_does_not_fit_is_refused_before_anything_is_loaded(
    runner: Runner, kit: Kit, store: Store, place: Path, topics: Run, lengths: Run
) -> None:
    language = train(
        kit, store, place, "reads", task="causal-lm", model__base=str(place / "models" / "gpt2"),
        training__max_steps=1,
    )  # fmt: skip
    n_before = len(runner(store, "ls", "--json").json)
    for arguments, parts in (
        (("topics", "lengths"), ["the runs have different labels: food, sky, sport: topics", "With --each every run"]),
        (("topics", "reads", "--each"), ["load their base in different ways: AutoModel: topics", "different bases"]),
        (("topics", "reads"), ["different tasks: text-classification: topics", "causal-lm: reads"]),
        (("topics", "--fold", "--each"), ["--each: one run alone has one head"]),
        (("topics", "lengths", "--each", "--dataset", "lengths@1"), ["--dataset names lengths@1: leave one of them"]),
        (("reads", "--fold", "--dataset", "lengths@1"), ["dataset lengths@1 has other labels than the runs"]),
    ):
        said = runner(store, "merge", *arguments)
        assert said.code == 2, arguments
        assert not [part for part in parts if part not in said.err], (arguments, said.err)
    assert len(runner(store, "ls", "--json").json) == n_before
    assert language.method == "lora"
