"""Logits and vectors in position order; features of a frozen backbone are computed once."""

import errno
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import runner.inference
from runner.backbone import Backbone, load_backbone, pool
from runner.classifier import TextClassifier, build_classifier
from runner.encoding import EncodedSplit
from runner.inference import cached_features, embed_split, evaluating, predict_features, predict_logits
from runner.recipe import Model
from store import Store
from tests.runner.conftest import Kit


def encoded(texts: list[list[int]]) -> EncodedSplit:
    offsets = np.cumsum([0, *map(len, texts)])
    return EncodedSplit(np.concatenate(texts).astype(np.int32), offsets, np.zeros(len(texts), dtype=np.int64), 0)


SPLIT = encoded([[2, 9, 3], [2, 3], [2, 5, 6, 7, 8, 3], [2, 6, 3], [2, 11, 12, 3]])


@pytest.fixture
def loaded(kit: Kit) -> tuple[Backbone, TextClassifier]:
    spec = Model(base=str(kit.bert), method="head", max_length=16)
    backbone = load_backbone(spec)
    return backbone, build_classifier(backbone, 3, spec)


def test_logits_are_those_of_each_text_alone(loaded: tuple[Backbone, TextClassifier]) -> None:
    _, model = loaded
    logits = predict_logits(model, SPLIT, 0, 2)
    model.eval()
    for i in range(len(SPLIT)):
        ids = torch.from_numpy(SPLIT.ids[SPLIT.offsets[i] : SPLIT.offsets[i + 1]].astype(np.int64))[None]
        assert logits[i] == pytest.approx(model(ids, torch.ones_like(ids))[0].detach().numpy(), abs=1e-5)


def test_evaluating_puts_the_mode_back(loaded: tuple[Backbone, TextClassifier]) -> None:
    _, model = loaded
    model.train()
    with evaluating(model):
        assert not model.training
        assert torch.is_inference_mode_enabled()
    assert model.training
    with pytest.raises(KeyError), evaluating(model):
        raise KeyError
    assert model.training


def test_vectors_pooled_and_mean(loaded: tuple[Backbone, TextClassifier]) -> None:
    _, model = loaded
    calls: list[tuple[str, int]] = []
    vectors = embed_split(model, SPLIT, 0, 2, report=lambda *call: calls.append(call))
    model.eval()
    ids = torch.tensor([[2, 9, 3]])
    hidden = model.hidden(ids, torch.ones_like(ids))[0]
    assert torch.allclose(vectors.pooled[0], hidden[0], atol=1e-5), "a BERT pools its first token"
    assert torch.allclose(vectors.mean[0], hidden.mean(0), atol=1e-5)
    assert calls[-1] == ("embedding", 5)


@pytest.mark.parametrize("pad_left", [False, True])
@pytest.mark.parametrize(("pooling", "expected"), [("mean", 2.0), ("cls", 1.0), ("last", 3.0)])
def test_pooling_does_not_care_which_side_is_padded(pad_left: bool, pooling: Any, expected: float) -> None:
    values, mask = torch.tensor([1.0, 2.0, 3.0, 99.0]), torch.tensor([1, 1, 1, 0])
    if pad_left:
        values, mask = values.roll(1), mask.roll(1)
    assert pool(values[None, :, None], mask[None], pooling).tolist() == [[expected]]


def test_head_alone_over_features(loaded: tuple[Backbone, TextClassifier]) -> None:
    _, model = loaded
    features = torch.randn(5, 32)
    assert predict_features(model.head, features, batch_size=2) == pytest.approx(
        model.head.eval()(features).detach().numpy(), abs=1e-6
    )


# the cache -----------------------------------------------------------------------------------------------------------


class Counter:
    """Counts backbone passes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.n = 0
        original = runner.inference.embed_split

        def counted(*args: Any, **settings: Any) -> Any:
            self.n += 1
            return original(*args, **settings)

        monkeypatch.setattr(runner.inference, "embed_split", counted)


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> Counter:
    return Counter(monkeypatch)


def test_features_are_computed_once(loaded: Any, tmp_path: Path, passes: Counter) -> None:
    first, key = cached_features(tmp_path, *loaded, {"train": SPLIT}, 2)
    again, same_key = cached_features(tmp_path, *loaded, {"train": SPLIT}, 2)
    assert (passes.n, same_key) == (1, key)
    assert torch.equal(first["train"].pooled, again["train"].pooled)
    assert torch.equal(first["train"].mean, again["train"].mean)
    assert [p.name for p in tmp_path.iterdir()] == [f"{key}.safetensors"]


def test_what_changes_the_features_changes_the_key(loaded: Any, kit: Kit, tmp_path: Path) -> None:
    backbone, model = loaded

    def key(backbone: Backbone = backbone, splits: Any = None) -> str:
        return cached_features(tmp_path, backbone, model, splits or {"train": SPLIT}, 2)[1]

    keys = {key()}
    keys.add(key(splits={"train": encoded([[2, 9, 3], [2, 3]])}))
    keys.add(key(splits={"train": encoded([[2, 9], [3, 2, 3], [2, 5, 6, 7, 8, 3], [2, 6, 3], [2, 11, 12, 3]])}))
    keys.add(key(splits={"test": SPLIT}))
    keys.add(key(replace(backbone, pooling="mean")))
    backbone.model.config.layer_norm_eps = 0.5  # equal weights, another function
    keys.add(key())
    with torch.no_grad():
        next(backbone.model.parameters())[0, 0] += 1
    keys.add(key())
    assert len(keys) == 7


def test_another_label_changes_nothing(loaded: Any, tmp_path: Path, passes: Counter) -> None:
    cached_features(tmp_path, *loaded, {"train": SPLIT}, 2)
    cached_features(tmp_path, *loaded, {"train": replace(SPLIT, labels=SPLIT.labels + 1)}, 2)
    assert passes.n == 1


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: b"x" * 100])
def test_a_damaged_cache_is_made_again(loaded: Any, tmp_path: Path, passes: Counter, damage: Any) -> None:
    first, key = cached_features(tmp_path, *loaded, {"train": SPLIT}, 2)
    path = tmp_path / f"{key}.safetensors"
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    again, _ = cached_features(tmp_path, *loaded, {"train": SPLIT}, 2)
    assert passes.n == 2
    assert torch.equal(first["train"].pooled, again["train"].pooled)
    assert path.read_bytes() == whole


def test_a_cache_that_cannot_be_written_leaves_nothing(
    loaded: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import safetensors.torch

    def half(tensors: Any, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(safetensors.torch, "save_file", half)
    with pytest.raises(OSError, match="Input/output"):
        cached_features(tmp_path, *loaded, {"train": SPLIT}, 2)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_costs_the_cache_and_not_the_features(
    loaded: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, passes: Counter
) -> None:
    import safetensors.torch

    def full(tensors: Any, path: Path) -> None:
        path.write_bytes(b"half")
        raise safetensors.SafetensorError("Error while serializing: I/O error: No space left (os error 28)")

    with monkeypatch.context() as patch:
        patch.setattr(safetensors.torch, "save_file", full)
        found, key = cached_features(tmp_path, *loaded, {"train": SPLIT}, 2)
    assert list(tmp_path.iterdir()) == []
    again, same_key = cached_features(tmp_path, *loaded, {"train": SPLIT}, 2)
    assert (passes.n, key) == (2, same_key)
    assert torch.equal(found["train"].pooled, again["train"].pooled)


def test_two_writers_of_one_cache(loaded: Any, tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    for model in loaded:
        if isinstance(model, torch.nn.Module):
            model.eval()  # two threads on one model must not switch its mode under each other; processes cannot
    with ThreadPoolExecutor(2) as pool_of_threads:
        found = list(pool_of_threads.map(lambda _: cached_features(tmp_path, *loaded, {"train": SPLIT}, 2), range(4)))
    assert len({key for _, key in found}) == 1
    assert all(torch.equal(found[0][0]["train"].pooled, v["train"].pooled) for v, _ in found)
    assert [p.suffix for p in tmp_path.iterdir()] == [".safetensors"]


def test_a_second_run_passes_nothing_through_the_backbone(kit: Kit, store: Store, passes: Counter) -> None:
    first = kit.train(store, model__method="head", training__epochs=1)
    n = passes.n
    second = kit.train(store, model__method="head", training__epochs=1, training__seed=4)
    assert (first.status, second.status) == ("finished", "finished")
    assert (n, passes.n) == (3, 3)
