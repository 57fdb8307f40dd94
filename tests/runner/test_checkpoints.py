"""A checkpoint is in place whole and recorded, or not there at all."""

import errno
import shutil
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import pytest
from safetensors import SafetensorError

from runner.checkpoints import CheckpointFolder, DiskFull, remove_strays, require_room, tidy_finished
from runner.files import file_hashes, folder_bytes, wrong_files
from store import NewRun, Recorder, Status, Store, get_run, list_checkpoints, open_segment, record_run
from tests.store.builders import locked


@pytest.fixture
def recorder(store: Store) -> Iterator[Recorder]:
    with Recorder(store, record_run(store, NewRun(name="r"))) as made:
        yield made


def write(folder: Path) -> None:
    (folder / "deep").mkdir(parents=True)
    (folder / "a.txt").write_text("abc")
    (folder / "deep" / "b.txt").write_text("de")


def write_training(folder: Path) -> None:
    folder.mkdir()
    (folder / "state.json").write_text("{}")


def existing(recorder: Recorder) -> list[int]:
    recorder.flush()
    return [c.step for c in list_checkpoints(recorder.store, recorder.run.key, existing=True)]


def on_disk(recorder: Recorder) -> list[str]:
    return sorted(p.name for p in (recorder.store.files / "runs" / recorder.run.id / "checkpoints").iterdir())


def test_saved_hashed_and_recorded(recorder: Recorder) -> None:
    folder = CheckpointFolder(recorder, "all")
    path = folder.save(7, 0.5, write, write_training, expected_bytes=5)
    assert path.name == "step-00000007"
    recorder.flush()
    (found,) = list_checkpoints(recorder.store, recorder.run.key)
    assert (found.step, found.epoch, found.size_bytes) == (7, 0.5, 5)
    assert found.manifest == {
        "a.txt": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "deep/b.txt": file_hashes(path)["deep/b.txt"],
    }
    assert recorder.store.files / found.path == path
    assert folder_bytes(path) == 5 + 2, "the training state is there, and none of the model's files"


def with_training(recorder: Recorder) -> list[str]:
    folder = recorder.store.files / "runs" / recorder.run.id / "checkpoints"
    return sorted(path.parent.name for path in folder.glob("*/training"))


def write_big(folder: Path) -> None:
    folder.mkdir()
    (folder / "big").write_bytes(b"0" * 3_000_000)


class Stop(BaseException):
    """As an interrupt: no Exception."""


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (OSError(errno.EIO, "Input/output error"), OSError),
        (Stop(), Stop),
        (OSError(errno.ENOSPC, "No space left on device"), DiskFull),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), DiskFull),
        (SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"), DiskFull),
        (Exception("Disk quota exceeded (os error 122)"), DiskFull),  # as tokenizers say it
    ],
)
def test_a_save_that_breaks_off_leaves_nothing(
    recorder: Recorder, error: BaseException, raised: type[BaseException]
) -> None:
    folder = CheckpointFolder(recorder, "all")
    folder.save(1, None, write, write_training, expected_bytes=5)

    def half(target: Path) -> None:
        target.mkdir()
        (target / "a.txt").write_text("half")
        raise error

    with pytest.raises(raised):
        folder.save(2, None, half, write_training, expected_bytes=5)
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
        folder.save(1, None, write, write_training, expected_bytes=5)
    assert on_disk(recorder) == []
    assert existing(recorder) == [] == folder.steps


def test_an_interrupt_while_old_ones_are_removed_leaves_no_half(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = CheckpointFolder(recorder, "last")
    for step in (1, 2, 3):
        folder.save(step, None, write, write_training, expected_bytes=5)
    remove, is_first = shutil.rmtree, iter([True])

    def interrupted(path: Path, *, ignore_errors: bool = False) -> None:
        if path.is_dir() and path.name == "step-00000001.partial" and next(is_first, False):
            (path / "a.txt").unlink()
            raise Stop
        remove(path, ignore_errors=ignore_errors)

    monkeypatch.setattr(shutil, "rmtree", interrupted)
    with pytest.raises(Stop):
        folder.prune(3)
    assert existing(recorder) == [2, 3] == folder.steps
    assert on_disk(recorder) == ["step-00000002", "step-00000003"]


def test_what_a_killed_process_left_half_is_written_anew(recorder: Recorder) -> None:
    folder = CheckpointFolder(recorder, "all")
    left = folder.path(3).with_name("step-00000003.partial")
    left.mkdir(parents=True)
    (left / "junk").write_text("junk")
    saved = folder.save(3, None, write, write_training, expected_bytes=5)
    assert file_hashes(saved).keys() == {"a.txt", "deep/b.txt", "training/state.json"}
    assert on_disk(recorder) == ["step-00000003"]


@pytest.mark.parametrize(
    ("keep", "during", "at_end"),
    [
        ("best+last", [10, 30, 40], [10, 40]),
        ("best", [10, 30, 40], [10]),
        ("last", [10, 30, 40], [40]),
        ("all", [10, 20, 30, 40], [10, 20, 30, 40]),
    ],
)
def test_retention(recorder: Recorder, keep: str, during: list[int], at_end: list[int]) -> None:
    folder = CheckpointFolder(recorder, keep)
    for step in (10, 20, 30, 40):
        folder.save(step, None, write, write_training, expected_bytes=5)
        folder.prune(10)
    assert existing(recorder) == during
    assert with_training(recorder) == ["step-00000030", "step-00000040"], "the newest two can be gone on from"
    folder.finish(10)
    assert existing(recorder) == at_end
    assert with_training(recorder) == []
    assert on_disk(recorder) == [f"step-{step:08d}" for step in at_end]
    assert len(list_checkpoints(recorder.store, recorder.run.key)) == 4, "what was removed stays known"


def test_room_is_asked_for_the_largest_so_far(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    folder = CheckpointFolder(recorder, "all")
    folder.save(1, None, write_big, write_training, expected_bytes=5)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 0, 64 * 1024**2 + 2_000_000))
    with pytest.raises(DiskFull, match=r"takes 3\.0 MB and 67 MB more"):
        folder.save(2, None, write, write_training, expected_bytes=5)
    assert on_disk(recorder) == ["step-00000001"]
    require_room(recorder.store.path.parent, 1_000_000)


def test_the_best_that_the_older_of_two_knows_stays(recorder: Recorder) -> None:
    """Were 30 damaged, the run would go on from 20, and might end with the weights of 10."""
    folder = CheckpointFolder(recorder, "best")
    for step, best in ((10, 10), (20, 10), (30, 30)):
        folder.save(step, None, write, write_training, expected_bytes=5)
        folder.prune(best)
    assert existing(recorder) == [10, 20, 30]
    folder.save(40, None, write, write_training, expected_bytes=5)
    folder.prune(30)
    assert existing(recorder) == [30, 40]


def test_nothing_goes_before_what_replaces_it_is_safe(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows in memory are not safe; rows that wait on disk for a store that cannot be written are."""
    folder = CheckpointFolder(recorder, "best")
    monkeypatch.setattr(recorder, "settle", lambda: False)
    for step in (10, 20, 30):
        folder.save(step, None, write, write_training, expected_bytes=5)
        folder.prune(30)
    assert existing(recorder) == [10, 20, 30]
    monkeypatch.undo()
    with locked(recorder.store):
        folder.save(40, None, write, write_training, expected_bytes=5)
        folder.prune(40)
        assert on_disk(recorder) == ["step-00000030", "step-00000040"]
    assert existing(recorder) == [30, 40]


@pytest.mark.parametrize("keep", ["best+last", "best", "last", "all"])
def test_what_a_kill_in_the_last_moment_left_is_tidied_up(store: Store, keep: str) -> None:
    recipe = {"checkpoints": {"keep": keep}}
    recorder = Recorder(store, record_run(store, NewRun(name="r", recipe=recipe)))
    folder = CheckpointFolder(recorder, keep)
    for step in (10, 20, 30):
        folder.save(step, None, write, write_training, expected_bytes=5)
        recorder.best(10)
        folder.prune(10)
    recorder.finish()
    assert [run.id for run in tidy_finished(store)] == [recorder.run.id]
    expected = {"best+last": [10, 30], "best": [10], "last": [30], "all": [10, 20, 30]}[keep]
    assert [c.step for c in list_checkpoints(store, recorder.run.key, existing=True)] == expected
    assert on_disk(recorder) == [f"step-{step:08d}" for step in expected]
    assert with_training(recorder) == []
    assert tidy_finished(store) == []


def test_a_run_that_may_go_on_is_not_tidied_up(store: Store) -> None:
    recorder = Recorder(store, record_run(store, NewRun(name="r")))
    CheckpointFolder(recorder, "best").save(10, None, write, write_training, expected_bytes=5)
    recorder.flush()
    assert tidy_finished(store) == []
    recorder.finish(Status.KILLED)
    assert tidy_finished(store) == []
    assert with_training(recorder) == ["step-00000010"]


def test_a_resumed_run_prunes_what_earlier_segments_saved(store: Store) -> None:
    run = record_run(store, NewRun(name="r"))
    recorder = Recorder(store, run)
    before = CheckpointFolder(recorder, "best")
    for step in (10, 20):
        before.save(step, None, write, write_training, expected_bytes=5)
    recorder.finish(Status.KILLED)
    number = open_segment(store, run, 20, best_step=10)
    with Recorder(store, get_run(store, run.key), segment=number) as recorder:
        folder = CheckpointFolder(recorder, "best")
        assert folder.steps == [10, 20]
        for step in (30, 40):
            folder.save(step, None, write, write_training, expected_bytes=5)
            folder.prune(30)
        assert existing(recorder) == [30, 40]
    assert on_disk(recorder) == ["step-00000030", "step-00000040"]


def test_wrong_files_are_named(tmp_path: Path) -> None:
    write(tmp_path / "c")
    hashes = file_hashes(tmp_path / "c")
    assert wrong_files(tmp_path / "c", hashes) == []
    (tmp_path / "c" / "a.txt").write_text("abd")
    (tmp_path / "c" / "deep" / "b.txt").unlink()
    (tmp_path / "c" / "notes").write_text("of no matter")
    assert wrong_files(tmp_path / "c", hashes) == [
        f"{tmp_path}/c/a.txt was altered",
        f"{tmp_path}/c/deep/b.txt is missing",
    ]


def test_strays_are_removed_and_what_is_known_stays(recorder: Recorder) -> None:
    folder = CheckpointFolder(recorder, "all")
    folder.save(1, None, write, write_training, expected_bytes=5)
    write(folder.path(2))
    write(folder.path(3).with_name("step-00000003.partial"))
    recorder.flush()
    remove_strays(recorder.store, recorder.run)
    assert on_disk(recorder) == ["step-00000001"]
