"""Processes killed at random moments: twenty kills here, a hundred in `python -m benchmarks.kill_drill`."""

from pathlib import Path

import pytest

from benchmarks.kill_drill import drill


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("n_train", "n_sweep", "n_queue"),
    [pytest.param(14, 0, 0, id="trainings"), pytest.param(0, 3, 0, id="sweeps"), pytest.param(0, 0, 3, id="queues")],
)
def test_nothing_is_lost_and_nothing_is_there_twice(tmp_path: Path, n_train: int, n_sweep: int, n_queue: int) -> None:
    outcome = drill(tmp_path, n_train=n_train, n_sweep=n_sweep, n_queue=n_queue)
    assert outcome.problems == []
    assert outcome.total >= n_train + n_sweep + n_queue
    assert outcome.n_acknowledged > 20 or not n_train  # few on a busy machine
