"""What a job's process makes of the job before the command runs, in this process."""

import os
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest

from runner.queue.attending import Outcome
from runner.queue.child import carry_out
from runner.recipe import load_recipe
from store import Job, NewRun, Status, Store, finish_run, get_job, queue_job, record_run
from store.holders import this_process
from store.job_leases import lease_job
from store.leases import take_lease
from tests.runner.conftest import Kit


@pytest.fixture(autouse=True)
def _own_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Signals, folder and environment are pytest's again afterwards."""
    monkeypatch.setattr(signal, "signal", lambda number, handler: None)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.chdir(tmp_path)


def carried_out(store: Store, job: Job, *outcomes: Outcome, device: str = "cpu") -> tuple[Job, list[list[str]]]:
    """The job after its process, and the commands that this one would have run."""
    words: list[list[str]] = []

    def execute(given: Sequence[str]) -> Outcome:
        words.append(list(given))
        return outcomes[0] if outcomes else Outcome(0)

    us = this_process()
    leased = lease_job(store, device)
    assert leased is not None
    assert leased.key == job.key
    carry_out(store, job.key, (us.pid, us.process_started_at), execute=execute)
    return get_job(store, job.key), words


def test_a_recipe_of_text_alone_is_resolved_beside_the_store(store: Store, kit: Kit) -> None:
    text = kit.text({"data.source": "train.csv"})
    job = queue_job(store, "train", "from a page", {"recipe_text": text})
    done, [words] = carried_out(store, job)
    assert done.status == "finished"
    assert (words[0], words[2:]) == ("train", ["--store", str(store.path)])
    loaded = load_recipe(Path(words[1]))
    assert (loaded.text, loaded.recipe.data.source) == (text, str(store.path.parent / "train.csv"))
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""


def test_a_job_runs_in_the_folder_where_it_was_queued(store: Store, kit: Kit, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    arguments = {"recipe_text": kit.text({"data.source": "train.csv"}), "folder": str(tmp_path / "there")}
    _, [words] = carried_out(store, queue_job(store, "train", "x", arguments))
    assert load_recipe(Path(words[1])).recipe.data.source == str(tmp_path / "there" / "train.csv")
    assert Path.cwd() == tmp_path / "there"


@pytest.mark.parametrize(
    ("overrides", "arguments", "cause"),
    [
        ({"training.epochs": -1}, {}, "training.epochs = -1"),
        ({"training.device": "cuda:1"}, {}, "runner worker --device cuda:1"),
        ({}, {"options": {"trials": 3}}, "a train job takes no option 'trials'"),
    ],
)
def test_what_cannot_be_run_fails_before_anything_runs(
    store: Store, kit: Kit, overrides: dict[str, object], arguments: dict[str, object], cause: str
) -> None:
    job = queue_job(store, "train", "x", {"recipe_text": kit.text(overrides), **arguments})
    done, words = carried_out(store, job)
    assert (done.status, words) == ("failed", [])
    assert cause in str(done.cause)


def test_a_training_that_failed_says_its_runs_cause_and_is_resumed_when_retried(store: Store, kit: Kit) -> None:
    from store import retry_job

    job = queue_job(store, "train", "x", {"recipe_text": kit.text({})})
    run = record_run(store, NewRun("r", recipe={"training": {"device": "cpu"}}))

    def fail(given: Sequence[str]) -> Outcome:
        take_lease(store, run)
        finish_run(store, run.key, Status.FAILED, "loss became NaN by step 3")
        return Outcome(1)

    us = this_process()
    assert lease_job(store, "cpu") is not None
    carry_out(store, job.key, (us.pid, us.process_started_at), execute=fail)
    failed = get_job(store, job.key)
    assert (failed.status, failed.cause, failed.run_key) == ("failed", "loss became NaN by step 3", run.key)
    retry_job(store, job.key)
    done, [words] = carried_out(store, job)
    assert words == ["resume", run.id, "--store", str(store.path)]
    assert done.status == "finished"


def test_a_training_whose_run_has_finished_is_not_run_again(store: Store, kit: Kit) -> None:
    run = record_run(store, NewRun("r"))
    finish_run(store, run.key, Status.FINISHED)
    job = queue_job(store, "train", "x", {"recipe_text": kit.text({})}, run_key=run.key)
    done, words = carried_out(store, job)
    assert (done.status, words) == ("finished", [])


def test_an_error_that_the_user_can_mend_is_the_jobs_cause(store: Store) -> None:
    job = queue_job(store, "resume", "x", {"run": "01NOTHING"})
    done, [words] = carried_out(store, job, Outcome(2, "no run '01NOTHING'"))
    assert words[:2] == ["resume", "01NOTHING"]
    assert (done.status, done.cause) == ("failed", "no run '01NOTHING'")


def test_a_reproduction_that_died_reproduces_the_same_run_again(store: Store) -> None:
    original, copy = record_run(store, NewRun("original")), record_run(store, NewRun("copy"))
    job = queue_job(store, "reproduce", "x", {"run": original.id}, run_key=copy.key)
    _, [words] = carried_out(store, job)
    assert words[:2] == ["reproduce", original.id]
