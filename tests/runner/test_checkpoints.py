"""A checkpoint is in place whole and recorded, or not there at all."""

import shutil
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import pytest

from runner.checkpoints import CheckpointFolder, DiskFull, file_hashes, folder_bytes, require_room
from store import NewRun, Recorder, Store, list_checkpoints, record_run


@pytest.fixture
def recorder(store: Store) -> Iterator[Recorder]:
    with Recorder(store, record_run(store, NewRun(name="r"))) as made:
        yield made


def write(folder: Path) -> None:
    (folder / "deep").mkdir(parents=True)
    (folder / "a.txt").write_text("abc")
    (folder / "deep" / "b.txt").write_text("de")


def existing(recorder: Recorder) -> list[int]:
    recorder.flush()
    return [c.step for c in list_checkpoints(recorder.store, recorder.run.key, existing=True)]


def on_disk(recorder: Recorder) -> list[str]:
    return sorted(p.name for p in (recorder.store.files / "runs" / recorder.run.id / "checkpoints").iterdir())


def test_saved_hashed_and_recorded(recorder: Recorder) -> None:
    folder = CheckpointFolder(recorder, "all")
    path = folder.save(7, 0.5, write, expected_bytes=5)
    assert path.name == "step-00000007"
    recorder.flush()
    (found,) = list_checkpoints(recorder.store, recorder.run.key)
    assert (found.step, found.epoch, found.size_bytes) == (7, 0.5, 5)
    assert found.manifest == {
        "a.txt": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "deep/b.txt": file_hashes(path)["deep/b.txt"],
    }
    assert recorder.store.files / found.path == path
    assert folder_bytes(path) == 5


class Stop(BaseException):
    """As an interrupt: no Exception."""


@pytest.mark.parametrize("error", [OSError("No space left on device"), Stop()])
def test_a_save_that_breaks_off_leaves_nothing(recorder: Recorder, error: BaseException) -> None:
    folder = CheckpointFolder(recorder, "all")
    folder.save(1, None, write, expected_bytes=5)

    def half(target: Path) -> None:
        target.mkdir()
        (target / "a.txt").write_text("half")
        raise error

    with pytest.raises(type(error)):
        folder.save(2, None, half, expected_bytes=5)
    assert on_disk(recorder) == ["step-00000001"]
    assert existing(recorder) == [1] == folder.steps


def test_an_interrupt_between_file_and_record_leaves_neither(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = CheckpointFolder(recorder, "all")

    def stop(*_: object, **__: object) -> None:
        raise Stop

    monkeypatch.setattr(recorder, "checkpoint", stop)
    with pytest.raises(Stop):
        folder.save(1, None, write, expected_bytes=5)
    assert on_disk(recorder) == []
    assert existing(recorder) == [] == folder.steps


def test_what_a_killed_process_left_half_is_written_anew(recorder: Recorder) -> None:
    folder = CheckpointFolder(recorder, "all")
    left = folder.path(3).with_name("step-00000003.partial")
    left.mkdir(parents=True)
    (left / "junk").write_text("junk")
    assert file_hashes(folder.save(3, None, write, expected_bytes=5)).keys() == {"a.txt", "deep/b.txt"}
    assert on_disk(recorder) == ["step-00000003"]


@pytest.mark.parametrize(
    ("keep", "during", "at_end"),
    [
        ("best+last", [10, 40], [10, 40]),
        ("best", [10], [10]),
        ("last", [10, 40], [40]),
        ("all", [10, 20, 30, 40], [10, 20, 30, 40]),
    ],
)
def test_retention(recorder: Recorder, keep: str, during: list[int], at_end: list[int]) -> None:
    folder = CheckpointFolder(recorder, keep)
    for step in (10, 20, 30, 40):
        folder.save(step, None, write, expected_bytes=5)
        folder.prune(10)
    assert existing(recorder) == during
    folder.finish(10)
    assert existing(recorder) == at_end
    assert on_disk(recorder) == [f"step-{step:08d}" for step in at_end]
    assert len(list_checkpoints(recorder.store, recorder.run.key)) == 4, "what was removed stays known"


def test_room_is_asked_for_the_largest_so_far(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    folder = CheckpointFolder(recorder, "all")
    folder.save(1, None, lambda p: (p.mkdir(), (p / "big").write_bytes(b"0" * 3_000_000))[1], expected_bytes=5)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 0, 64 * 1024**2 + 2_000_000))
    with pytest.raises(DiskFull, match="needs 70 MB"):
        folder.save(2, None, write, expected_bytes=5)
    assert on_disk(recorder) == ["step-00000001"]
    require_room(recorder.store.path.parent, 1_000_000)
