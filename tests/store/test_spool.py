"""The spool file itself: what was appended comes back, whatever happened to the bytes."""

import multiprocessing
import os
from pathlib import Path

import numpy as np
import pytest

from store.entries import Entry, Item, Point
from store.metrics import StepRow
from store.spool import Source, SpoolFile, frames, is_locked

RUN = "0" * 26
SOURCE = Source(RUN, 1, "/a/store.db")


def text(n: int) -> Entry:
    return Entry("text", float(n), {"text": f"line {n} " + "x" * n}, {"words": np.arange(n, dtype=">u2")}, 1)


def points(n: int) -> list[Item]:
    return [Point(StepRow(step, 0.5, None, None), {"loss": step / 3, "nan": float("nan")}) for step in range(n)]


def said(file: SpoolFile) -> list[int]:
    """The numbers of the texts that can be read."""
    found = [file.read(frame) for frame in file.frames() if frame.is_sound]
    assert all(source == SOURCE for source, _ in found)
    return [int(item.at) for _, items in found for item in items if isinstance(item, Entry)]


@pytest.fixture
def file(tmp_path: Path) -> SpoolFile:
    return SpoolFile.create(tmp_path, RUN)


def test_items_come_back_as_they_were_metrics_first(file: SpoolFile) -> None:
    file.append([text(3), *points(5000), text(0)], SOURCE)
    read = [file.read(frame) for frame in file.frames()]
    items = [item for _, some in read for item in some]
    assert [frame.sequence for frame in file.frames()] == [0, 1, 2, 3, 4]
    assert [frame.n_rows for frame in file.frames()] == [6000, 6000, 3000, 1, 1]
    assert repr(items[:5000]) == repr(points(5000))  # repr: nan is not equal to itself
    first = items[5000]
    assert isinstance(first, Entry)
    assert (first.kind, first.at, first.values, first.n_rows) == ("text", 3.0, {"text": "line 3 xxx"}, 1)
    assert first.arrays["words"].tolist() == [0, 1, 2]


def test_steps_and_names_that_no_store_takes_are_kept_all_the_same(file: SpoolFile) -> None:
    odd: list[Item] = [Point(StepRow(2**70, None, None, None), {"broken \ud800 name": float("inf")})]
    file.append(odd, SOURCE)
    (frame,) = file.frames()
    assert file.read(frame) == (SOURCE, odd)


def test_what_cannot_be_kept_leaves_the_file_as_it_was(file: SpoolFile) -> None:
    file.append([text(1)], SOURCE)
    before = file.path.read_bytes()
    objects = Entry("text", 2.0, {}, {"x": np.array([None])}, 1)
    with pytest.raises(TypeError, match="array of object"):
        file.append([text(2), objects], SOURCE)
    assert file.path.read_bytes() == before
    file.append([text(3)], SOURCE)
    assert said(file) == [1, 3]
    assert [frame.sequence for frame in file.frames()] == [0, 1]


def test_torn_anywhere_the_whole_frames_before_stay(file: SpoolFile) -> None:
    for n in range(3):
        file.append([text(n)], SOURCE)
    *_, last = file.frames()
    whole = file.path.read_bytes()
    for size in range(last.offset, last.end):
        os.truncate(file.path, size)
        assert [frame.is_sound for frame in file.frames()] == [True, True], size
    file.path.write_bytes(whole + bytes(100))  # after a power cut a file may end in zeros
    assert [frame.is_sound for frame in file.frames()] == [True] * 3


@pytest.mark.parametrize("is_last", [False, True])
def test_a_damaged_byte_costs_its_frame_only(file: SpoolFile, is_last: bool) -> None:
    for n in range(3):
        file.append([text(n)], SOURCE)
    damaged = 2 if is_last else 1
    frame = list(file.frames())[damaged]
    whole = file.path.read_bytes()
    n_missed = 0
    for at in range(frame.offset, frame.end):
        broken = bytearray(whole)
        broken[at] ^= 0x41
        file.path.write_bytes(broken)
        assert said(file) == [n for n in range(3) if n != damaged], at
        n_missed += is_last and all(found.is_sound for found in file.frames())
    # of the last frame's length, a larger one looks as if the frame were torn
    assert n_missed <= 8


def test_a_frame_inside_a_damaged_frame_is_no_frame_of_the_file(file: SpoolFile, tmp_path: Path) -> None:
    inner = SpoolFile.create(tmp_path, "1" * 26)
    inner.append([text(7)], SOURCE)
    data = np.frombuffer(inner.path.read_bytes(), np.uint8)
    file.append([Entry("text", 1.0, {}, {"words": data}, 1), text(2)], SOURCE)
    assert said(file) == [1, 2]


def test_only_the_living_owner_has_it_locked(file: SpoolFile) -> None:
    file.append([text(1)], SOURCE)
    assert is_locked(file.path)
    assert SpoolFile.adopt(file.path) is None
    file.close()
    assert not is_locked(file.path)
    heir = SpoolFile.adopt(file.path)
    assert heir is not None
    assert said(heir) == [1]
    assert SpoolFile.adopt(file.path) is None
    heir.remove()
    with pytest.raises(FileNotFoundError):
        SpoolFile.adopt(heir.path)


def test_a_forked_child_does_not_keep_it_locked(file: SpoolFile) -> None:
    fork = multiprocessing.get_context("fork")
    is_forked, may_end = fork.Event(), fork.Event()

    def live_on() -> None:
        is_forked.set()
        may_end.wait(60)

    child = fork.Process(target=live_on)
    child.start()
    is_forked.wait(60)
    assert is_locked(file.path)
    file.close()
    assert not is_locked(file.path)
    may_end.set()
    child.join()


def test_emptied_it_goes_on_counting(file: SpoolFile) -> None:
    file.append([text(1), text(2)], SOURCE)
    file.empty()
    assert list(file.frames()) == []
    file.append([text(3)], SOURCE)
    assert [frame.sequence for frame in file.frames()] == [2]


def test_heads_alone_are_enough_to_count(file: SpoolFile) -> None:
    file.append([*points(10), text(1)], SOURCE)
    found = list(frames(os.open(file.path, os.O_RDONLY), is_checked=False))
    assert found == list(file.frames())
