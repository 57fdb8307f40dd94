"""Any `transformers.Trainer` as a run: by callback, by `report_to`, and when it fails."""

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Trainer, TrainingArguments

from runner import AssayCallback
from runner.callback import is_broken, metric_names, register
from store import Store, get_run, list_metrics, list_runs, open_store, reconcile

N = 8


class Tiny(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(2, 1)

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"loss": ((self.linear(x)[:, 0] - labels) ** 2).mean(), "logits": self.linear(x)}


def trainer(folder: Path, callbacks: list[Any] | None = None, **settings: Any) -> Trainer:
    data = [{"x": torch.tensor([i / N, 1.0]), "labels": torch.tensor(i / N)} for i in range(N)]
    arguments = TrainingArguments(
        str(folder),
        num_train_epochs=2,
        per_device_train_batch_size=4,
        logging_steps=1,
        disable_tqdm=True,
        use_cpu=True,
        save_strategy="no",
        **settings,
    )
    return Trainer(Tiny(), arguments, train_dataset=data, eval_dataset=data, callbacks=callbacks)


def test_doctests() -> None:
    assert is_broken(float("inf"))
    assert metric_names({"loss": 1, "eval_loss": 2.0, "train_runtime": 3.0, "flag": True, "a/b": 4.0}) == {
        "train/loss": 1.0,
        "eval/loss": 2.0,
        "a/b": 4.0,
    }


def test_a_setting_that_is_no_finite_number_disturbs_nobody(store: Store, tmp_path: Path) -> None:
    callback = AssayCallback(store=store, name="mine")
    trainer(tmp_path, [callback], max_grad_norm=float("inf")).train()
    run = get_run(store, callback.run_id or "")
    assert (run.status, run.recipe["max_grad_norm"]) == ("finished", "inf")


def test_a_trainer_becomes_a_run(store: Store, tmp_path: Path) -> None:
    callback = AssayCallback(store=store, name="mine")
    made = trainer(tmp_path, [callback], eval_strategy="epoch", learning_rate=0.125)
    made.train()
    run = get_run(store, callback.run_id or "")
    assert (run.name, run.status, run.recipe["learning_rate"]) == ("mine", "finished", 0.125)
    assert list(list_metrics(store, [run.key], ["train/loss"])["step"]) == [1, 2, 3, 4]
    assert list(list_metrics(store, [run.key], ["eval/loss"])["step"]) == [2, 4]
    assert run.provenance["packages"]["torch"]


def test_an_evaluation_after_training_is_kept_too(store: Store, tmp_path: Path) -> None:
    callback = AssayCallback(store=store)
    made = trainer(tmp_path, [callback])
    made.train()
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*rows came too late")
        made.evaluate()
    run = get_run(store, callback.run_id or "")
    assert run.status == "finished"
    assert list(list_metrics(store, [run.key], ["eval/loss"])["step"]) == [4]


def test_report_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_STORE", str(tmp_path / "from-env.db"))
    register()
    trainer(tmp_path, report_to="assay", run_name="by name").train()
    (run,) = list_runs(open_store(tmp_path / "from-env.db")).itertuples()
    assert (run.name, run.status) == ("by name", "finished")


def test_training_again_is_another_run(store: Store, tmp_path: Path) -> None:
    callback = AssayCallback(store=store, name="mine")
    made = trainer(tmp_path, [callback])
    made.train()
    made.train()
    assert list(list_runs(store)["status"]) == ["finished", "finished"]


def test_a_cell_that_broke_off_is_failed_when_training_begins_anew(store: Store, tmp_path: Path) -> None:
    callback = AssayCallback(store=store, name="mine")
    made = trainer(tmp_path, [callback])
    original, made.training_step = made.training_step, lambda *_: 1 / 0
    with pytest.raises(ZeroDivisionError):
        made.train()
    made.training_step = original
    made.train()
    frame = list_runs(store)
    assert list(frame["status"]) == ["finished", "failed"]
    assert frame["cause"][1] == "training began anew"


SCRIPT = """
import sys
import torch
from transformers import Trainer, TrainingArguments
from runner import AssayCallback

class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(2, 1)
    def forward(self, x, labels):
        if labels.sum() > 1:
            raise ValueError("a label above one")
        return {"loss": self.linear(x).mean()}

data = [{"x": torch.ones(2), "labels": torch.tensor(float(i))} for i in range(4)]
arguments = TrainingArguments(sys.argv[1], per_device_train_batch_size=4, use_cpu=True, disable_tqdm=True)
Trainer(Model(), arguments, train_dataset=data, callbacks=[AssayCallback(store=sys.argv[2], name="foreign")]).train()
"""


def test_a_script_that_raises_is_failed_with_its_cause(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    path = tmp_path / "assay.db"
    command = [sys.executable, str(tmp_path / "script.py"), str(tmp_path / "out"), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 1
    store = open_store(path)
    assert reconcile(store) == []
    (run,) = list_runs(store).itertuples()
    assert (run.name, run.status, run.cause) == ("foreign", "failed", "ValueError: a label above one")
