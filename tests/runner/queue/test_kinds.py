import doctest
import importlib
import re

import pytest

from runner.queue import devices
from runner.queue.devices import NoSuchDevice, choose_worker_device, list_devices, show_only
from runner.queue.kinds import KINDS, JobError, command_line


@pytest.mark.parametrize("module", ["runner.queue.kinds", "store.jobs"])
def test_the_examples_in_the_code(module: str) -> None:
    result = doctest.testmod(importlib.import_module(module))
    assert (result.failed, result.attempted > 0) == (0, True)


@pytest.mark.parametrize(
    ("kind", "arguments", "is_again", "words"),
    [
        ("train", {"recipe": "/s/1.json"}, False, "train /s/1.json"),
        ("train", {"recipe": "/s/1.json", "run": "01X"}, True, "resume 01X"),
        (
            "sweep",
            {"recipe": "/s/1.json", "options": {"trials": 8, "parallel": None}},
            True,
            "sweep /s/1.json --trials=8",
        ),
        ("sweep", {"recipe": "01S", "options": {"retry": True}}, False, "sweep 01S --retry"),
        ("sweep", {"recipe": "01S", "options": {"retry": False, "max-hours": 1.5}}, False, "sweep 01S --max-hours=1.5"),
        ("resume", {"run": "01X"}, False, "resume 01X"),
        ("reproduce", {"run": "01X"}, False, "reproduce 01X"),
        ("crossval", {"recipe": "/s/1.json", "options": {"folds": 3}}, False, "crossval /s/1.json --folds=3"),
        ("crossval", {"run": "01X"}, False, "crossval 01X"),
        ("triage", {"dataset": "tweets@2", "options": {"fresh": True}}, False, "triage --dataset=tweets@2 --fresh"),
        ("triage", {"runs": ["01X", "01Y"]}, False, "triage 01X 01Y"),
        ("predict", {"run": "01X", "file": None, "options": {"split": "test"}}, False, "predict 01X --split=test"),
    ],
)
def test_arguments_become_a_command_line(kind: str, arguments: dict[str, object], is_again: bool, words: str) -> None:
    assert command_line(kind, KINDS[kind], arguments, is_again=is_again) == words.split()


@pytest.mark.parametrize("option", ["store", "device", "out=/etc/passwd --store"])
def test_a_job_sets_no_option_that_its_kind_does_not_take(option: str) -> None:
    with pytest.raises(JobError, match=r"a sweep job takes no option .*; it takes: trials, seeds, max-hours"):
        command_line("sweep", KINDS["sweep"], {"recipe": "r", "options": {option: "x"}})


def test_every_kind_is_a_command_of_ours() -> None:
    from runner.cli import COMMANDS

    modules = {name: module for name, module, _ in COMMANDS}
    assert [name for name, kind in KINDS.items() if not kind.command] == ["trial"], "its sweep's driver queues it"
    for kind in KINDS.values():
        if not kind.command:
            continue
        for words in (kind.command, kind.again or kind.command):
            command = importlib.import_module(f"runner.commands.{modules[words[0]]}").command
            assert {f"--{option}" for option in kind.options} <= {name for p in command.params for name in p.opts}
            assert all(re.fullmatch(r"(--[a-z]+=)?\{[a-z]+\}", word) for word in words[1:])


# devices -------------------------------------------------------------------------------------------------------------


def test_a_device_that_is_not_there_is_said_with_those_that_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_may_have_cuda", lambda: True)
    monkeypatch.setattr(devices, "_count_cuda", lambda: 2)
    there = list_devices()
    assert there[:2] == ("cuda:0", "cuda:1")
    assert there[-1] == "cpu"
    assert [choose_worker_device(name) for name in (None, "cuda", "cuda:1", "cpu")] == [
        "cuda:0",
        "cuda:0",
        "cuda:1",
        "cpu",
    ]
    with pytest.raises(NoSuchDevice, match=f"--device cuda:2: .* it has {', '.join(there)}"):
        choose_worker_device("cuda:2")


def test_this_machine_has_a_cpu_and_what_torch_finds() -> None:
    import torch

    there = list_devices()
    assert there[-1] == "cpu"
    assert sum(name.startswith("cuda") for name in there) == (
        torch.cuda.device_count() if torch.cuda.is_available() else 0
    )


@pytest.mark.parametrize(
    ("worker", "recipe", "before", "after"),
    [
        ("cpu", "auto", None, ""),
        ("cpu", "cpu", "0,1", ""),
        ("cuda:1", "auto", None, "1"),
        ("cuda:1", "cuda", "4,7", "7"),
        ("cuda:1", "cuda:1", "4,7", "4,7"),  # it finds the second of them by itself
        ("cuda:0", "cpu", None, "0"),
        ("mps", "auto", None, None),
    ],
)
def test_a_job_sees_its_workers_device(
    monkeypatch: pytest.MonkeyPatch, worker: str, recipe: str, before: str | None, after: str | None
) -> None:
    environment = {} if before is None else {"CUDA_VISIBLE_DEVICES": before}
    monkeypatch.setattr(devices.os, "environ", environment)
    show_only(worker, recipe)
    assert environment.get("CUDA_VISIBLE_DEVICES") == after


@pytest.mark.parametrize(("worker", "recipe"), [("cpu", "cuda"), ("cuda:0", "cuda:1"), ("cuda:0", "mps")])
def test_a_recipe_for_another_device_says_which_worker_it_needs(worker: str, recipe: str) -> None:
    with pytest.raises(NoSuchDevice, match=f"runner worker --device {recipe}"):
        show_only(worker, recipe)
