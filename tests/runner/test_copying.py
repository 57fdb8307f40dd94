"""Checkpoints are copied whole and checked, or not at all."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from runner.copying import copy_all, copy_checkpoint, saved_checkpoints
from runner.files import file_hashes
from store import backup_store, delete_checkpoints, list_checkpoints, open_store
from tests.runner.conftest import Trained
from tests.runner.rescue_kit import checkpoints, own_copy


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.safetensors").write_text("weights")
    (folder / "deep" / "b.json").write_text("{}")
    return folder


def test_a_copy(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "new" / "place"
    hashes = file_hashes(source)
    assert copy_checkpoint(source, target, hashes) is None
    assert file_hashes(target) == hashes
    assert [path.name for path in target.parent.iterdir()] == ["place"]
    inode = (target / "a.safetensors").stat().st_ino
    assert copy_checkpoint(source, target, hashes) is None
    assert (target / "a.safetensors").stat().st_ino == inode  # it was there and right
    (target / "a.safetensors").write_text("altered")
    assert copy_checkpoint(source, target, hashes) is None
    assert file_hashes(target) == hashes


def test_what_is_wrong_is_said_and_not_put_in_place(source: Path, tmp_path: Path) -> None:
    target, hashes = tmp_path / "target", file_hashes(source)
    (source / "a.safetensors").write_text("altered")
    (source / "deep" / "b.json").unlink()
    problem = copy_checkpoint(source, target, hashes)
    assert problem == f"{source / 'a.safetensors'} was altered; {source / 'deep' / 'b.json'} is missing"
    assert "its files are missing" in str(copy_checkpoint(tmp_path / "nowhere", target, hashes))
    assert [path.name for path in tmp_path.iterdir()] == ["source"]
    (tmp_path / "file").touch()
    assert "cannot be copied" in str(copy_checkpoint(source, tmp_path / "file" / "below", {}))


def test_a_link_is_not_followed(source: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("mine")
    (source / "link").symlink_to(tmp_path / "secret")
    assert copy_checkpoint(source, tmp_path / "target", {}) is None
    assert (tmp_path / "target" / "link").is_symlink()


def test_a_checkpoint_that_its_run_removed_meanwhile_is_none_in_the_copy(
    trained: Callable[[str], Trained], tmp_path: Path
) -> None:
    store, run = own_copy(trained, tmp_path)
    found = checkpoints(store, run)
    said: list[str] = []

    def remove_and_copy(copy: object) -> None:
        assert isinstance(copy, type(store))
        delete_checkpoints(store, run.key, [found[0].step])
        shutil.rmtree(store.files / found[0].path)
        copied = copy_all(store, copy, tmp_path / "backup-files", said.append)
        assert (copied.n_checkpoints, copied.problems) == (len(found) - 1, [])

    backup_store(store, tmp_path / "backup.db", also=remove_and_copy)
    copy = open_store(tmp_path / "backup.db")
    assert [c.step for c in list_checkpoints(copy, run.key, existing=True)] == [c.step for c in found[1:]]
    assert any(run.name in text for text in said)
    copy.close()
    store.close()


def test_a_checkpoint_that_is_missing_is_a_problem_and_a_path_of_others_is_not_followed(
    trained: Callable[[str], Trained], tmp_path: Path
) -> None:
    store, run = own_copy(trained, tmp_path)
    found = checkpoints(store, run)
    shutil.rmtree(store.files / found[0].path)
    copied = copy_all(store, store, tmp_path / "elsewhere", lambda text: None)
    (problem,) = copied.problems
    assert problem.startswith(f"{run.name} ({run.id}), step-")
    assert "its files are missing" in problem
    with store.write() as db:
        db.execute("UPDATE checkpoints SET path = '../../etc' WHERE key = ?", (found[0].key,))
    (problem,) = copy_all(store, store, tmp_path / "elsewhere", lambda text: None).problems
    assert "is not one that Assay gives" in problem
    with store.write() as db:
        db.execute("UPDATE checkpoints SET path = 's3://bucket/x' WHERE run_key = ?", (run.key,))
    assert run.key not in {owner.key for owner, _ in saved_checkpoints(store)}
    store.close()
