"""A training that is asked for a pause ends after its step with a checkpoint, and goes on as if nothing had been."""

import threading

import pytest

from runner import pauses
from runner.progress import make_progress
from runner.resume import resume
from store import Store, get_run, list_checkpoints, list_metrics
from tests.runner.conftest import Kit
from tests.runner.sameness import differences, everything


def test_only_a_training_can_be_asked() -> None:
    assert not pauses.ask()
    with pauses.heeding():
        assert not pauses.is_asked()
        thread = threading.Thread(target=pauses.ask)
        thread.start()
        thread.join()
        assert pauses.is_asked()
    assert not pauses.ask()
    with pauses.heeding():  # the next training was not asked
        assert not pauses.is_asked()


@pytest.mark.parametrize("step", [1, 3, 5])  # in an epoch, at its end, in the next one
def test_a_paused_training_ends_with_the_same_numbers(
    store: Store, kit: Kit, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    whole = kit.train(store, name="whole")
    n_looks = [0]

    def is_asked() -> bool:  # it is looked at once a step
        n_looks[0] += 1
        return n_looks[0] == step

    with monkeypatch.context() as patch:
        patch.setattr(pauses, "is_asked", is_asked)
        run = kit.train(store, name="paused")
    assert (run.status, run.cause) == ("killed", "interrupted (paused)")
    assert max(c.step for c in list_checkpoints(store, run.key)) == step
    assert list_metrics(store, [run.key], ["train/loss"])["step"].max() == step  # no step is done twice
    resume(store, run, make_progress("quiet"))
    assert get_run(store, run.key).status == "finished"
    assert differences(everything(store, whole), everything(store, get_run(store, run.key))) == []
