"""Recording any `transformers.Trainer`: our own training and other people's scripts use the same callback.

    trainer = Trainer(..., callbacks=[AssayCallback(name="my run")])

or, after `runner.callback.register()`, `TrainingArguments(report_to="assay")`.
"""

import atexit
import math
import sys
import warnings
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from runner.alerts import Alerts, LossWatch, record_alert
from runner.paths import default_store
from store import Recorder, RowsLost, Status, Store, open_store, record_run

# What the Trainer logs once at the end, about speed; our own cost meter and anybody's clock say it better.
_SUMMARY = ("train_runtime", "train_samples_per_second", "train_steps_per_second", "total_flos", "train_loss")

_END_SECONDS = 10.0  # so long the end of a script waits for a store that cannot be written


def metric_names(logs: Mapping[str, Any]) -> dict[str, float]:
    """The Trainer's flat names as paths: loss → train/loss, eval_accuracy → eval/accuracy. Non-numbers are left out.

    >>> metric_names({"loss": 0.5, "eval_f1": 0.7, "epoch": 1.0, "note": "x"})
    {'train/loss': 0.5, 'eval/f1': 0.7}
    """
    named: dict[str, float] = {}
    for key, value in logs.items():
        if key == "epoch" or key in _SUMMARY or isinstance(value, bool) or not isinstance(value, (int, float)):
            continue
        if key.startswith("eval_"):
            named["eval/" + key.removeprefix("eval_")] = float(value)
        else:
            named[key if "/" in key else f"train/{key}"] = float(value)
    return named


class AssayCallback(TrainerCallback):  # type: ignore[misc]  # transformers ships no types that mypy accepts
    """Records loss, learning rate, gradient norm and evaluation metrics of a Trainer as a run.

    `store` is a path or a Store (default: ASSAY_STORE, or assay.db in this folder). A run that ends by an exception
    becomes `failed` with its cause when the process ends.
    """

    def __init__(
        self, *, store: str | Path | Store | None = None, name: str | None = None, recorder: Recorder | None = None
    ) -> None:
        self._store = store
        self._name = name
        self._recorder = recorder
        self._losses: LossWatch | None = None  # our own trainer watches every step itself
        self._is_ours = recorder is None
        self._is_open = recorder is not None

    @property
    def run_id(self) -> str | None:
        """The run's id, once training has begun."""
        return None if self._recorder is None else self._recorder.run.id

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if not self._is_ours or not state.is_world_process_zero:
            return
        if self._is_open:
            self._finish(Status.FAILED, "training began anew")
        from runner.script import new_script_run

        store = self._store if isinstance(self._store, Store) else open_store(default_store(self._store))
        model = kwargs.get("model")
        config = getattr(model, "config", None)
        new = new_script_run(
            self._name or getattr(args, "run_name", None) or Path(sys.argv[0] or "script").stem,
            config=args.to_dict(),
            base_model=getattr(config, "name_or_path", None) or None,
        )
        self._recorder = Recorder(store, record_run(store, new, status=Status.RUNNING))
        self._losses = LossWatch(Alerts(partial(record_alert, self._recorder)))
        self._is_open = True
        atexit.register(self._end_by_exit)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if self._recorder is None or not logs:
            return
        tokens = int(state.num_input_tokens_seen) or None
        values = metric_names(logs)
        if not values:
            return
        if self._is_open:
            self._recorder.log(values, state.global_step, epoch=state.epoch, tokens=tokens)
            if self._losses is not None:
                self._losses.logged(state.global_step, values)
        else:  # an evaluation after the training, which had ended the run: it is opened once more
            with Recorder(self._recorder.store, self._recorder.run) as recorder:
                recorder.log(values, state.global_step, epoch=state.epoch, tokens=tokens)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if self._is_ours and self._is_open:
            self._finish(Status.FINISHED, None)

    def _end_by_exit(self) -> None:
        """The script ended in the middle of training."""
        error: BaseException | None = getattr(sys, "last_value", None)
        if isinstance(error, KeyboardInterrupt):
            status, cause = Status.KILLED, "interrupted (Ctrl-C)"
        else:
            status = Status.FAILED
            cause = f"{type(error).__name__}: {error}" if error else "the script ended before training did"
        self._finish(status, cause)

    def _finish(self, status: Status, cause: str | None) -> None:
        """End the run. Somebody's training must not fail, at its very end, because its record is not complete."""
        assert self._recorder is not None
        self._is_open = False
        atexit.unregister(self._end_by_exit)
        try:
            self._recorder.finish(status, cause, timeout=_END_SECONDS)
        except RowsLost as lost:
            warnings.warn(str(lost), stacklevel=2)


def register() -> None:
    """Let `TrainingArguments(report_to="assay")` work in this process."""
    from transformers.integrations import integration_utils

    integration_utils.INTEGRATION_TO_CALLBACK["assay"] = AssayCallback


def is_broken(value: float | None) -> bool:
    """Whether a loss has stopped being a number.

    >>> is_broken(float("nan")), is_broken(0.3), is_broken(None)
    (True, False, False)
    """
    return value is not None and not math.isfinite(value)
