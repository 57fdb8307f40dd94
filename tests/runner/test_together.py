"""Two processes on two CPU cores (gloo): each example once, one record, the numbers of one process."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evals.dynamics import NAN_WORD
from runner.devices import Device
from runner.distributed import Group, Shares, join, put_together, share_of, stretches
from runner.encoding import EncodedSplit, Words
from runner.errors import NotTogether
from runner.order import TrainingOrder
from runner.recipe import parse_recipe
from runner.resume import NotResumable, require_processes
from store import (
    Run,
    Store,
    get_evaluation,
    get_run,
    iter_dynamics,
    list_events,
    list_metrics,
    list_runs,
    read_predictions,
)
from tests.runner.conftest import Kit

STILL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}


LAUNCHERS = {
    "torchrun": ("torch.distributed.run", "--nproc-per-node", "2", "--master-port"),
    "accelerate launch": ("accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--main_process_port"),
}
"""As recipes.md has them; where there is no GPU, accelerate's processes are of CPUs too."""


def launched(store: Store, recipe: Path, launcher: str = "torchrun") -> subprocess.CompletedProcess[str]:
    """`torchrun --nproc-per-node 2 -m runner train …`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        *LAUNCHERS[launcher],
        str(port),
        "-m",
        "runner",
        "train",
        str(recipe),
        "--store",
        str(store.path),
        "--json",
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment(), check=False)


def environment() -> dict[str, str]:
    """Of processes that import what this one does."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}


def curve(store: Store, run: Run, name: str) -> list[float]:
    return list(list_metrics(store, [run.key], [name])["value"])


@pytest.mark.parametrize("launcher", ["torchrun", pytest.param("accelerate launch", marks=pytest.mark.slow)])
def test_two_processes_say_what_one_says(kit: Kit, store: Store, tmp_path: Path, launcher: str) -> None:
    """96 examples: batches of 14 in each of two processes, as batches of 28 in one; the last holds what is left."""
    still = {
        "model.base": "scratch:bert",
        "model.tokenizer": str(kit.tokenizer),
        "model.config": STILL,
        "model.dropout": 0.0,
        "training.class_weights": "balanced",
    }
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(kit.text({**still, "training.batch_size": 14, "training.gradient_accumulation": 2}))
    done = launched(store, recipe, launcher)
    assert done.returncode == 0, done.stderr[-3000:]
    together = get_run(store, json.loads(done.stdout)["id"])
    assert len(list_runs(store)) == 1, "one process records"
    dotted = {path.replace(".", "__", 1): value for path, value in still.items()}
    alone = kit.train(store, training__batch_size=28, training__gradient_accumulation=2, **dotted)
    assert (together.status, together.cause) == ("finished", None)
    assert together.provenance is not None
    assert together.provenance["processes"] == 2
    for name in ("train/loss", "train/grad_norm", "validation/loss", "test/loss"):
        assert curve(store, together, name) == pytest.approx(curve(store, alone, name), rel=2e-3), name
    for split in ("validation", "test"):
        evaluations = [get_evaluation(store, run.key, split) for run in (together, alone)]
        said = [read_predictions(store, each) for each in evaluations if each is not None]
        assert len(said[0].predicted) == len(said[1].predicted)
        assert np.allclose(said[0].p_given, said[1].p_given, atol=5e-3)
    epochs = [list(iter_dynamics(store, run.key)) for run in (together, alone)]
    assert [len(each) for each in epochs] == [2, 2]
    for ours, theirs in zip(*epochs, strict=True):
        words = ours.words.view(np.int16)
        assert not (words == NAN_WORD).all(1).any(), "every example is seen in every epoch"
        assert np.allclose(ours.words.view(np.float16), theirs.words.view(np.float16), atol=0.02)
    assert not list(list_events(store, together.key)["kind"]).count("failed")
    require_processes(alone, "resume")
    with pytest.raises(NotResumable, match=r"by 2 processes together.*torchrun --nproc-per-node 2 -m runner resume"):
        require_processes(together, "resume")


@pytest.mark.slow
def test_bad_input_is_said_once_and_leaves_nothing(kit: Kit, store: Store, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(kit.text({"model.method": "lora", "model.lora.target_modules": ["nix"]}))
    done = launched(store, recipe)
    assert done.returncode != 0
    assert done.stderr.count("fits no module of this model") == 1
    assert len(list_runs(store)) == 0


# what they share, in one process -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "batch", "size"), [(96, 14, 2), (97, 8, 4), (9, 2, 2), (3, 4, 3), (65, 4, 8)])
def test_every_example_is_in_one_batch_of_one_process(n: int, batch: int, size: int) -> None:
    lengths = np.arange(n, dtype=np.int64) % 7 + 1
    shares = [
        list(Shares(TrainingOrder(n, 3, lengths=lengths, batch_size=batch * size), batch, rank, size))
        for rank in range(size)
    ]
    assert {len(each) for each in shares} == {len(stretches(n, batch * size, size))}
    assert sorted(i for each in shares for positions in each for i in positions) == list(range(n))
    for at_once in zip(*shares, strict=True):
        sizes = [len(positions) for positions in at_once]
        assert min(sizes) >= 1
        assert max(sizes) - min(sizes) <= 1
        assert max(sizes) <= batch + 1


def test_an_epoch_has_its_own_order() -> None:
    shares = Shares(TrainingOrder(20, 0), 5, 1, 2)
    first = list(shares)
    shares.set_epoch(1)
    assert list(shares) != first


class Heard(Group):
    """A group whose other members have said all they will say."""

    parts: tuple[Any, ...] = ()

    def gather(self, part: Any) -> list[Any]:
        return list(self.parts)


@pytest.mark.parametrize("of_words", [False, True])
def test_outputs_come_together_in_order(of_words: bool) -> None:
    """Outputs of words are as many as there are words, however many tokens they have."""
    tokens, offsets = np.array([0, 5, 8, 15, 19, 22]), np.array([0, 3, 4, 9, 11, 12])
    words = Words(offsets, np.zeros(12, dtype=np.int16), np.ones(12, dtype=np.int32)) if of_words else None
    split = EncodedSplit(np.arange(22, dtype=np.int32), tokens, np.zeros(5, dtype=np.int64), 0, words=words)
    groups = [Heard(rank, 2) for rank in range(2)]
    shares = [share_of(split, group) for group in groups]
    assert sorted(np.concatenate(shares)) == [0, 1, 2, 3, 4]

    def said(rows: Any) -> Any:
        values = np.concatenate([np.arange(offsets[r], offsets[r + 1]) for r in rows]) if of_words else rows
        return values[:, None].astype(np.float32)

    parts = tuple((rows, said(rows)) for rows in shares)
    for group, (rows, outputs) in zip(groups, parts, strict=True):
        object.__setattr__(group, "parts", parts)
        whole = put_together(split, rows, outputs, group)
        assert whole[:, 0].tolist() == list(range(12 if of_words else 5))


@pytest.mark.parametrize(
    ("method", "environment", "words"),
    [
        ("head", {}, "start it without a launcher"),
        ("full", {"ACCELERATE_USE_DEEPSPEED": "true"}, "DeepSpeed splits the weights"),
        ("full", {"LOCAL_WORLD_SIZE": "1"}, "on several machines"),
    ],
)
def test_what_cannot_be_done_together_is_said(
    kit: Kit, monkeypatch: pytest.MonkeyPatch, method: str, environment: dict[str, str], words: str
) -> None:
    recipe = parse_recipe(kit.text({"model.method": method}), folder=kit.folder).recipe
    assert join(recipe, Device("cpu", None)) is None
    for name, value in {"WORLD_SIZE": "2", "RANK": "0", **environment}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(NotTogether, match=words):
        join(recipe, Device("cpu", None))


def test_other_commands_are_for_one_process(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from runner.cli import run

    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert run(["sweep", "recipe.toml"]).code == 2
    assert "`runner sweep` is for one process" in capsys.readouterr().err
