"""FSDP: two processes on two CPU cores (gloo), each with half of the weights; and its parts in one process."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from torch import nn

from runner.classifier import load_classifier
from runner.devices import Device
from runner.errors import NotTogether
from runner.recipe import parse_recipe
from runner.sharding import Shards, layer_names, prepare_sharding, split_state, whole_state
from store import (
    Run,
    Store,
    get_evaluation,
    get_run,
    iter_dynamics,
    list_checkpoints,
    list_events,
    list_runs,
    read_predictions,
)
from tests.runner.conftest import Kit
from tests.runner.test_together import STILL, curve, environment

LAUNCH = [
    sys.executable, "-m", "accelerate.commands.launch", "--use_fsdp", "--fsdp_version", "2", "--num_processes", "2",
    "--main_process_port", "0", "--mixed_precision", "bf16", "-m", "runner",
]  # fmt: skip


def killed(store: Store, command: list[str]) -> Run:
    """The run of a training whose processes are killed, all at once, when it has saved two checkpoints."""
    with subprocess.Popen(
        command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as launcher:
        until = time.monotonic() + 200
        while launcher.poll() is None and time.monotonic() < until:
            keys = list_runs(store)["key"]
            if len(keys) and len(list_checkpoints(store, int(keys[0]))) >= 2:
                break
            time.sleep(0.05)
        main = psutil.Process(launcher.pid)
        for process in [*main.children(recursive=True), main]:
            process.kill()
        said = launcher.communicate()[1]
    runs = list_runs(store)["key"]
    assert len(runs) == 1, said[-3000:]
    return get_run(store, int(runs[0]))


def test_halves_that_were_killed_and_resumed_say_what_one_says(kit: Kit, store: Store, tmp_path: Path) -> None:
    """As `test_together`, in the recipe's precision and not the launcher's.

    Evaluations and checkpoints are after every step, in the middle of epochs too.
    """
    still = {
        "model.base": "scratch:bert",
        "model.tokenizer": str(kit.tokenizer),
        "model.config": STILL,
        "model.dropout": 0.0,
        "training.epochs": 10,
        "evaluation.every": 1,
    }
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(kit.text({**still, "training.batch_size": 14, "training.gradient_accumulation": 2}))
    run = killed(store, [*LAUNCH, "train", str(recipe), "--store", str(store.path), "--json"])
    resume = [*LAUNCH, "resume", run.id, "--store", str(store.path), "--json"]
    done = subprocess.run(resume, capture_output=True, text=True, timeout=300, env=environment(), check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    run = get_run(store, run.key)
    assert json.loads(done.stdout)["id"] == run.id
    assert (run.status, len(list_runs(store))) == ("finished", 1)
    events = list_events(store, run.key)
    splits = [json.loads(data)["own"] for data in events[events["kind"] == "sharding"]["data"]]
    assert list(events["kind"]).count("resumed") == 1, "it was killed before its end"

    dotted = {path.replace(".", "__", 1): value for path, value in still.items()}
    alone = kit.train(store, training__batch_size=28, training__gradient_accumulation=2, **dotted)
    n = sum(parameter.numel() for parameter in loaded(store, alone).parameters())
    assert [sum(own) for own in splits] == [n, n]
    assert np.allclose(splits, n / 2, rtol=0.01), "each has half of the weights while it trains"
    for name in ("train/loss", "train/grad_norm", "validation/loss", "test/loss"):
        assert curve(store, run, name) == pytest.approx(curve(store, alone, name), rel=1e-4), name
    for split in ("validation", "test"):
        evaluations = [get_evaluation(store, each.key, split) for each in (run, alone)]
        said = [read_predictions(store, each) for each in evaluations if each is not None]
        assert len(said[0].predicted) == len(said[1].predicted)
        assert np.allclose(said[0].p_given, said[1].p_given, atol=1e-4)
    for ours, theirs in zip(iter_dynamics(store, run.key), iter_dynamics(store, alone.key), strict=True):
        assert np.allclose(ours.words.view(np.float16), theirs.words.view(np.float16), atol=1e-2)
    weights, expected = loaded(store, run).state_dict(), loaded(store, alone).state_dict()
    assert all(torch.allclose(weights[name], expected[name], atol=1e-4) for name in expected)


def loaded(store: Store, run: Run) -> nn.Module:
    """The model of a run's best checkpoint, from its folder alone."""
    best = next(row for row in list_checkpoints(store, run.key, existing=True) if row.is_best)
    return load_classifier(store.files / best.path)[0]


# what is refused, and why ---------------------------------------------------------------------------------------------


def test_all_that_does_not_go_with_it_is_said_at_once(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = parse_recipe(
        kit.text({"model.method": "qlora", "training.optimizer": "adamw_8bit", "training.compile": True}),
        folder=kit.folder,
    ).recipe
    assert prepare_sharding(recipe, Device("cpu", None)) is False
    for name, value in {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "1", "FSDP_OFFLOAD_PARAMS": "true"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(NotTogether) as refused:
        prepare_sharding(recipe, Device("cpu", None))
    said = str(refused.value).splitlines()
    assert len(said) == 6
    for words in ('"qlora"', "adamw_8bit", "training.compile", "--fsdp_offload_params", "`--fsdp_version 2`"):
        assert sum(words in line for line in said) == 1, words


def test_settings_that_accelerate_refuses_are_refused_before_there_is_a_run(
    kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2", "FSDP_AUTO_WRAP_POLICY": "BY_LUCK",
        "FSDP_CPU_RAM_EFFICIENT_LOADING": "true",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    with pytest.raises(NotTogether, match="BY_LUCK"):
        prepare_sharding(parse_recipe(kit.text({}), folder=kit.folder).recipe, Device("cpu", None))


def test_layers_are_those_of_the_library_or_of_the_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    class Layer(nn.Linear):
        pass

    model = nn.Sequential(nn.ModuleList([Layer(2, 2), Layer(2, 2)]), nn.Linear(2, 2))
    assert layer_names(model) == ["Layer"]
    assert layer_names(nn.Linear(2, 2)) == []
    monkeypatch.setenv("FSDP_TRANSFORMER_CLS_TO_WRAP", "Linear")
    assert layer_names(model) == ["Linear"]
    monkeypatch.setenv("FSDP_TRANSFORMER_CLS_TO_WRAP", "Linear,LlamaDecoderLayer")
    with pytest.raises(NotTogether, match="no layer of class LlamaDecoderLayer; its layers are Layer"):
        layer_names(model)


# its parts, in a group of one ----------------------------------------------------------------------------------------


@pytest.fixture
def group_of_one() -> Iterator[None]:
    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.usefixtures("group_of_one")
def test_the_plain_model_is_whole_only_where_it_is_asked_for() -> None:
    from torch.distributed.fsdp import fully_shard

    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    model[0].bias.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    shards = Shards(model)
    with pytest.raises(NotTogether, match="has not split the model"):
        shards.begin()
    optimizer = torch.optim.AdamW(fully_shard(shards.trained).parameters(), lr=0.1)
    assert shards.begin() == 26
    assert [p.numel() for p in model.parameters()] == [0] * 4
    shards.trained(torch.ones(5, 3)).sum().backward()
    optimizer.step()
    with shards.whole():
        assert not torch.equal(model[0].weight, before["0.weight"])
        assert torch.equal(model[0].bias, before["0.bias"])
        assert torch.allclose(model(torch.ones(1, 3)), shards.trained(torch.ones(1, 3)))
    assert [p.numel() for p in model.parameters()] == [0] * 4

    whole = whole_state(optimizer.state_dict(), keeps=True)
    assert {type(value) for each in whole["state"].values() for value in each.values()} == {torch.Tensor}
    again = torch.optim.AdamW(optimizer.param_groups[0]["params"], lr=0.1)
    again.load_state_dict(split_state(whole, again))
    assert str(again.state_dict()) == str(optimizer.state_dict())
    shards.end()
    assert sum(p.numel() for p in model.parameters()) == 26
