"""A compiled model learns the same and is saved the same."""

import pytest

from runner.classifier import load_classifier
from runner.devices import DeviceError
from store import Store, list_checkpoints, list_metrics
from tests.runner.conftest import Kit


@pytest.mark.slow
def test_it_learns_the_same(kit: Kit, store: Store) -> None:
    still = {
        "model__base": "scratch:bert",
        "model__tokenizer": str(kit.tokenizer),
        "model__config": {
            "hidden_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 1,
            "intermediate_size": 16,
            "hidden_dropout_prob": 0.0,
            "attention_probs_dropout_prob": 0.0,
        },
        "model__dropout": 0.0,
        "training__epochs": 1,
    }
    plain, compiled = kit.train(store, **still), kit.train(store, training__compile=True, **still)
    assert compiled.status == "finished", compiled.cause
    curves = [list(list_metrics(store, [run.key], ["train/loss"])["value"]) for run in (plain, compiled)]
    assert curves[1] == pytest.approx(curves[0], abs=1e-4)
    (best,) = (c for c in list_checkpoints(store, compiled.key, existing=True) if c.is_best)
    load_classifier(store.files / best.path)


def test_without_a_compiler_it_is_refused(kit: Kit, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(DeviceError, match=r"needs a C\+\+ compiler, and there is none \(no-such-compiler\)"):
        kit.train(store, training__compile=True)
