"""A step that memory runs out in: the same step in smaller pieces, and the run goes on as if nothing had been."""

import json
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.tiny import BERT
from runner.classifier import TextClassifier
from runner.micro_batches import MicroBatches
from store import Run, Store, iter_dynamics, list_events, list_metrics
from tests.runner.conftest import Kit
from tests.runner.sameness import differences, everything
from tests.runner.test_resume import before, go_on, killed

STILL = {**BERT, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}  # nothing falls otherwise in pieces


def only(limit: int, patch: pytest.MonkeyPatch, error: type[Exception] = torch.OutOfMemoryError) -> list[int]:
    """Let a forward pass in training hold so many examples at most; returns the sizes of those that went through."""
    forward, sizes = TextClassifier.forward, list[int]()

    def limited(self: TextClassifier, input_ids: Tensor, *rest: Any) -> Tensor:
        if self.training:
            if len(input_ids) > limit:
                raise error("CUDA out of memory. Tried to allocate 20.00 MiB")
            sizes.append(len(input_ids))
        return forward(self, input_ids, *rest)

    patch.setattr(TextClassifier, "forward", limited)
    return sizes


def settings(kit: Kit, **more: Any) -> dict[str, Any]:
    return {
        "model__base": "scratch:bert",
        "model__tokenizer": str(kit.tokenizer),
        "model__config": STILL,
        "model__dropout": 0.0,
        "training__batch_size": 20,
        "training__gradient_accumulation": 2,
        "evaluation__every": 2,
        "checkpoints__keep": "all",
        **more,
    }


def curve(store: Store, run: Run, name: str) -> list[float]:
    return list(list_metrics(store, [run.key], [name])["value"])


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, MemoryError])
def test_the_step_is_the_same_in_smaller_pieces(
    kit: Kit, store: Store, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    plain = kit.train(store, **settings(kit))
    sizes = only(8, monkeypatch, error)
    run = kit.train(store, **settings(kit))
    assert run.status == "finished", run.cause
    assert max(sizes) == 5
    said = list_events(store, run.key)
    said = said[said["kind"] == "memory"]
    assert list(said["message"].str.slice(0, 90)) == [
        "out of memory at step 1: from here on 10 examples in a forward pass instead of 20, and 4 p",
        "out of memory at step 1: from here on 5 examples in a forward pass instead of 20, and 8 pa",
    ]
    assert json.loads(said["data"].iloc[1]) == {"step": 1, "micro_batch": 5, "accumulation": 8}
    for name in ("train/loss", "validation/loss", "train/grad_norm"):
        assert curve(store, run, name) == pytest.approx(curve(store, plain, name), rel=2e-3), name
    for ours, theirs in zip(iter_dynamics(store, run.key), iter_dynamics(store, plain.key), strict=True):
        both = ours.words.view(np.float16), theirs.words.view(np.float16)
        assert not np.isnan(both[0]).any(), "every example is seen in every epoch"
        assert np.allclose(*both, atol=0.02)


def test_it_goes_on_with_the_pieces_that_fitted(kit: Kit, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit for bit, with dropout: the state of a checkpoint knows the pieces, so that nothing runs out twice."""
    asked = settings(kit, model__config=BERT, model__dropout=0.1, training__epochs=3)
    sizes = only(10, monkeypatch)
    whole = kit.train(store, **asked)
    assert whole.status == "finished", whole.cause
    run = killed(kit, store, before("training_step", 5), **asked)
    sizes.clear()
    ended = go_on(store, run)
    assert ended.status == "finished", ended.cause
    assert set(sizes) == {10, 8}
    events = list_events(store, run.key)
    assert list(events["kind"]).count("memory") == 1
    assert differences(everything(store, ended), everything(store, whole)) == []


def test_one_example_that_does_not_fit_ends_the_run(kit: Kit, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    only(0, monkeypatch)
    run = kit.train(store, **settings(kit))
    assert run.status == "failed"
    assert "out of memory on the device; try a smaller training.batch_size" in (run.cause or "")
    events = list_events(store, run.key)
    sizes = [json.loads(data)["micro_batch"] for data in events[events["kind"] == "memory"]["data"]]
    assert sizes == [10, 5, 3, 2, 1]


def test_other_errors_pass_and_others_who_wait_are_not_left_alone() -> None:
    noted: list[str] = []
    batch = {"labels": torch.arange(4)}

    def fails(error: Exception) -> Any:
        def train(_: Any) -> Tensor:
            raise error

        return train

    one = MicroBatches(4, 1, lambda text, _: noted.append(text))
    with pytest.raises(ValueError, match="wrong"):
        one.train(batch, 1, fails(ValueError("wrong")), lambda: None)
    together = MicroBatches(4, 1, lambda text, _: noted.append(text), may_shrink=False)
    with pytest.raises(torch.OutOfMemoryError):
        together.train(batch, 1, fails(torch.OutOfMemoryError("full")), lambda: None)
    assert noted == []
