"""The flight ring: what a process leaves behind, whole, torn, overwritten or not writable at all."""

import os
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store import ring as module
from store.ring import FlightRing, Steps, parse_ring, read_ring

RUN = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


def fill(ring: FlightRing, first: int, last: int, width: int = 3) -> None:
    """Steps whose numbers follow from their own."""
    for step in range(first, last + 1):
        begun = ring.begin(step, np.arange(step, step + width))
        ring.end(begun, 1 / step, 2.0 * step, 0.1 * step, 0.5)


def make(path: Path | None, *, n_steps: int = 5, n_positions: int = 3) -> FlightRing:
    return FlightRing(path, run_id=RUN, segment=2, n_positions=n_positions, n_steps=n_steps)


def slot_bytes(n_positions: int = 3) -> int:
    return module._ENDED.size + module._BEGUN.size + 4 * n_positions


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "flight-2.ring"
    ring = make(path)
    fill(ring, 1, 3)
    ring.begin(4, [7, 8])  # the process dies in this step
    found = read_ring(path)
    assert (found.run_id, found.segment) == (RUN, 2)
    frame = found.steps.frame()
    assert frame["step"].tolist() == [1, 2, 3, 4]
    assert frame["has_ended"].tolist() == [True, True, True, False]
    assert frame["loss"].tolist()[:3] == [1.0, 0.5, 1 / 3]
    assert frame["gradient_norm"].tolist()[:3] == [2.0, 4.0, 6.0]
    assert frame["learning_rate"].tolist()[:3] == pytest.approx([0.1, 0.2, 0.3])
    assert frame.loc[3, ["loss", "gradient_norm", "learning_rate", "seconds"]].isna().all()
    assert [found.steps.of(step).tolist() for step in (1, 3, 4, 9)] == [[1, 2, 3], [3, 4, 5], [7, 8], []]
    assert path.stat().st_size == 64 + 5 * slot_bytes()
    assert ring.steps().frame().equals(frame)


def test_it_goes_round(tmp_path: Path) -> None:
    path = tmp_path / "flight-2.ring"
    ring = make(path)
    fill(ring, 1, 13)
    steps = read_ring(path).steps
    assert steps.rows["step"].tolist() == [9, 10, 11, 12, 13]
    assert [steps.of(step).tolist() for step in (8, 9, 13)] == [[], [9, 10, 11], [13, 14, 15]]
    ring.begin(14, [99])
    assert read_ring(path).steps.rows["step"].tolist() == [10, 11, 12, 13, 14]
    assert not read_ring(path).steps.rows["has_ended"][-1]  # the numbers in its slot are of step 9


def test_numbers_that_come_late_find_their_step(tmp_path: Path) -> None:
    ring = make(tmp_path / "flight-2.ring")
    begun = [ring.begin(step, [step]) for step in range(1, 8)]
    for i, key in enumerate(begun):
        ring.end(key, float(i + 1), None, None, 0.1)
    frame = read_ring(tmp_path / "flight-2.ring").steps.frame()
    assert frame["step"].tolist() == frame["loss"].tolist() == [3, 4, 5, 6, 7]  # 1 and 2 have no place any more
    assert frame["gradient_norm"].isna().all()


def test_a_loss_that_is_nan_was_measured(tmp_path: Path) -> None:
    ring = make(tmp_path / "flight-2.ring")
    ring.end(ring.begin(1, [1]), float("nan"), float("inf"), 0.1, 0.1)
    row = ring.steps().frame().loc[0]
    assert row["has_ended"]
    assert np.isnan(row["loss"])
    assert row["gradient_norm"] == float("inf")


@pytest.mark.parametrize(
    ("offset", "steps", "ended"), [("begun", [1, 3], [True, True]), ("ended", [1, 2, 3], [True, False, True])]
)
def test_a_torn_part_is_left_out(tmp_path: Path, offset: str, steps: list[int], ended: list[bool]) -> None:
    path = tmp_path / "flight-2.ring"
    fill(make(path), 1, 3)
    start = 64 + slot_bytes() + (module._ENDED.size + module._BEGUN.size if offset == "begun" else 8)
    with path.open("r+b") as file:
        file.seek(start)  # a position of step 2, or its seconds
        file.write(b"\xff\xff")
    frame = read_ring(path).steps.frame()
    assert frame["step"].tolist() == steps
    assert frame["has_ended"].tolist() == ended


def test_more_positions_than_fit_are_counted() -> None:
    ring = make(None, n_positions=4)
    ring.begin(1, np.arange(10))
    steps = ring.steps()
    assert steps.of(1).tolist() == [0, 1, 2, 3]
    assert steps.rows["n_examples"].tolist() == [10]
    assert FlightRing(None, run_id=RUN, segment=1, n_positions=10**9, n_steps=1).n_positions == module.MAX_POSITIONS


def test_closing_removes_the_file(tmp_path: Path) -> None:
    path = tmp_path / "flight-2.ring"
    ring = make(path)
    assert path.exists()
    assert not path.with_name(path.name + ".partial").exists()
    ring.close()
    ring.close()
    assert not path.exists()


def test_without_a_file_it_works_in_memory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ring = make(tmp_path / "file" / "flight-2.ring")  # a folder that cannot be one
    assert ring.problem is not None
    fill(ring, 1, 7)
    assert ring.steps().rows["step"].tolist() == [3, 4, 5, 6, 7]
    ring.close()


def test_a_disk_that_fails_in_the_middle_leaves_no_old_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "flight-2.ring"
    ring = make(path)
    fill(ring, 1, 2)

    def full(file: int, data: bytes, offset: int) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    fill(ring, 3, 4)
    assert str(ring.problem).startswith("No space left on device")
    assert not path.exists()
    assert ring.steps().rows["step"].tolist() == [1, 2, 3, 4]


def test_no_space_at_all_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "pwrite", lambda file, data, offset: 7)  # a part of it fits
    ring = make(tmp_path / "flight-2.ring")
    assert str(ring.problem).startswith("No space left")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda data: b"", "has a header of 64 bytes; the file has 0"),
        (lambda data: b"x" * len(data), "not a flight ring"),
        (lambda data: data[:-1], "does not have"),
        (lambda data: data[:20] + b"\x00" + data[21:], "its header is damaged"),
        (lambda data: data[:8] + struct.pack("<I", 9) + data[12:], "format 9; this version reads 1"),
    ],
)
def test_what_is_no_ring_says_so(tmp_path: Path, damage: object, said: str) -> None:
    path = tmp_path / "flight-2.ring"
    fill(make(path), 1, 3)
    assert callable(damage)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=said):
        read_ring(path)


@settings(max_examples=200)
@given(st.binary(max_size=40), st.integers(0, 400))
def test_damage_anywhere_is_never_more_than_left_out(patch: bytes, at: int) -> None:
    ring = make(None)
    fill(ring, 1, 5)
    data = bytearray(64 + 5 * slot_bytes())
    data[:] = ring._buffer
    whole = parse_ring(bytes(data)).steps
    data[at : at + len(patch)] = patch[: max(0, len(data) - at)]
    try:
        found: Steps = parse_ring(bytes(data)).steps
    except ValueError:
        assert at < 64  # only the header makes a file unreadable
        return
    for row in found.rows:
        assert row["step"] in range(1, 6)
        assert found.of(row["step"]).tolist() == whole.of(row["step"]).tolist()
        if row["has_ended"]:
            assert row["loss"] == 1 / row["step"]
