import time

import pytest

from store import (
    Job,
    JobNotFound,
    JobRefused,
    JobStatus,
    NewRun,
    Recorder,
    Store,
    cancel_job,
    get_job,
    job_log,
    list_jobs,
    pause_job,
    queue_job,
    record_run,
    remove_job,
    reorder_job,
    resume_job,
    retry_job,
    set_priority,
)
from store.job_leases import finish_job, lease_job
from store.jobs import job_file
from tests.store.builders import make_dataset


def queued(store: Store, *names: str, **options: int) -> list[Job]:
    return [queue_job(store, "sleep", name, {"n": 1}, **options) for name in names]


def order(store: Store) -> list[str]:
    return list(list_jobs(store, status=("queued", "paused"))["name"])


def ended(store: Store, status: JobStatus, cause: str | None = None) -> Job:
    job = lease_job(store, "cpu")
    assert job is not None
    assert finish_job(store, job, status, cause)
    return get_job(store, job.key)


# finding -------------------------------------------------------------------------------------------------------------


def test_a_job_is_what_was_queued(store: Store) -> None:
    job = queue_job(store, "train", "tweets", {"recipe_text": "näme"}, priority=3, device="cuda", max_attempts=2)
    assert get_job(store, job.key) == job
    assert (job.kind, job.name, job.arguments) == ("train", "tweets", {"recipe_text": "näme"})
    assert (job.status, job.priority, job.device, job.n_attempts, job.max_attempts) == ("queued", 3, "cuda", 0, 2)
    assert job.holder is None
    assert abs(time.time() - job.created_at) < 60


def test_jobs_are_found_by_id_prefix_name_and_latest(store: Store) -> None:
    first, _ = queued(store, "one", "two")
    third = queue_job(store, "sleep", "one", {})
    for selector, found in ((first.id, first), (first.id.lower(), first), ("one", third), ("@latest", third)):
        assert get_job(store, selector).id == found.id
    with pytest.raises(JobNotFound, match=f"no job 'three'.*{third.id}"):
        get_job(store, "three")
    with pytest.raises(JobNotFound, match="fits 3 jobs"):
        get_job(store, first.id[:4])


def test_no_job_in_an_empty_store_says_how_to_make_one(store: Store) -> None:
    with pytest.raises(JobNotFound, match="runner queue add train RECIPE"):
        get_job(store, "@latest")


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", ""])
def test_a_device_that_no_worker_can_have_is_refused(store: Store, device: str) -> None:
    with pytest.raises(JobRefused, match=r"cpu, mps, cuda, cuda:0"):
        queue_job(store, "train", "x", {}, device=device)


def test_a_foreign_id_makes_no_path(store: Store) -> None:
    (job,) = queued(store, "x")
    assert job_file(store, job, "log") == store.files / "jobs" / f"{job.id}.log"
    with store.write() as db:
        db.execute("UPDATE jobs SET id = ?", ("../" * 8 + "ab",))
    with pytest.raises(Exception, match="never gives"):
        job_file(store, get_job(store, job.key), "log")


# the list ------------------------------------------------------------------------------------------------------------


def test_the_list_has_its_columns_when_it_is_empty(store: Store) -> None:
    columns = set(list_jobs(store).columns)
    assert {"id", "status", "step", "n_steps", "run_id", "sweep_name", "n_trials_done", "heartbeat_at"} <= columns
    assert len(list_jobs(store)) == 0


def test_the_list_begins_with_what_runs_and_ends_with_what_ended_last(store: Store) -> None:
    queued(store, "a", "b", "c", "d", "e")
    ended(store, JobStatus.FINISHED)
    ended(store, JobStatus.FAILED, "why")
    lease_job(store, "cpu")
    pause_job(store, "d")
    set_priority(store, "e", 1)
    frame = list_jobs(store)
    assert list(frame["name"]) == ["c", "e", "d", "b", "a"]
    assert list(frame["status"]) == ["running", "queued", "paused", "failed", "finished"]
    assert list(list_jobs(store, status=("failed", "finished"), limit=1)["cause"]) == ["why"]


def test_a_jobs_steps_are_its_runs(store: Store) -> None:
    dataset = make_dataset(store, "d", [(f"text {i}", i % 2) for i in range(70)], "train")
    training = {"epochs": 3, "batch_size": 32, "gradient_accumulation": 2}
    (job,) = queued(store, "x")
    assert lease_job(store, "cpu") is not None  # this process holds the job, so the run it takes is the job's
    run = record_run(store, NewRun("r", recipe={"training": training}, dataset_key=dataset.key))
    with Recorder(store, run) as recorder:
        recorder.log({"loss": 1.0}, 4)
    row = list_jobs(store).iloc[0]
    assert (row["run_id"], row["run_status"], row["step"], row["n_steps"]) == (run.id, "finished", 4, 6)
    assert get_job(store, job.key).run_key == run.key


# order ---------------------------------------------------------------------------------------------------------------


def test_higher_priority_first_then_the_order_of_queueing(store: Store) -> None:
    queued(store, "a", "b")
    queued(store, "c", priority=5)
    queued(store, "d", priority=-1)
    queued(store, "e")
    assert order(store) == ["c", "a", "b", "e", "d"]
    taken = [lease_job(store, "cpu") for _ in range(5)]
    assert [job.name for job in taken if job] == ["c", "a", "b", "e", "d"]


@pytest.mark.parametrize(
    ("job", "where", "other", "expected"),
    [
        ("c", "top", None, "cabd"),
        ("a", "top", None, "abcd"),
        ("b", "bottom", None, "acdb"),
        ("d", "bottom", None, "abcd"),
        ("c", "up", None, "acbd"),
        ("a", "up", None, "abcd"),
        ("b", "down", None, "acbd"),
        ("d", "down", None, "abcd"),
        ("d", "before", "b", "adbc"),
        ("a", "after", "c", "bcad"),
        ("a", "before", "b", "abcd"),
        ("a", "after", "a", "abcd"),
    ],
)
def test_reordering(store: Store, job: str, where: str, other: str | None, expected: str) -> None:
    queued(store, *"abcd")
    reorder_job(store, job, where, other)  # type: ignore[arg-type]  # the parameter is one of the words
    assert "".join(order(store)) == expected


def test_a_job_takes_the_priority_of_its_neighbour(store: Store) -> None:
    queued(store, "low", "lower")
    queued(store, "high", priority=9)
    assert reorder_job(store, "lower", "top").priority == 9
    assert order(store) == ["lower", "high", "low"]
    assert reorder_job(store, "high", "bottom").priority == 0
    assert order(store) == ["lower", "low", "high"]
    assert reorder_job(store, "high", "up").priority == 0
    assert reorder_job(store, "high", "up").priority == 9
    assert order(store) == ["high", "lower", "low"]


def test_places_between_two_jobs_do_not_run_out(store: Store) -> None:
    queued(store, "first", "a", "b")
    for i in range(200):
        reorder_job(store, "ab"[i % 2], "after", "first")
        assert order(store) == ["first", "ab"[i % 2], "ba"[i % 2]]


def test_what_has_begun_or_ended_has_no_place(store: Store) -> None:
    queued(store, "done", "runs", "waits")
    ended(store, JobStatus.FINISHED)
    lease_job(store, "cpu")
    for act in (
        lambda: reorder_job(store, "runs", "top"),
        lambda: reorder_job(store, "waits", "before", "done"),
        lambda: set_priority(store, "done", 1),
    ):
        with pytest.raises(JobRefused, match="only a job that waits"):
            act()
    with pytest.raises(ValueError, match="before and after"):
        reorder_job(store, "waits", "before")


# what people ask -----------------------------------------------------------------------------------------------------


def test_a_waiting_job_is_cancelled_at_once(store: Store) -> None:
    queued(store, "a", "b")
    pause_job(store, "b")
    for name in "ab":
        job = cancel_job(store, name)
        assert (job.status, job.cause, job.request) == ("killed", "cancelled before it began", None)
        assert job.ended_at is not None
    assert lease_job(store, "cpu") is None


def test_of_a_running_job_it_is_asked(store: Store) -> None:
    queued(store, "a")
    lease_job(store, "cpu")
    assert pause_job(store, "a").request == "pause"
    assert (cancel_job(store, "a").request, get_job(store, "a").status) == ("cancel", "running")
    with pytest.raises(JobRefused, match="being cancelled"):
        pause_job(store, "a")


def test_a_paused_job_keeps_its_place_and_waits(store: Store) -> None:
    queued(store, "a", "b")
    assert pause_job(store, "a").status == "paused"
    assert pause_job(store, "a").status == "paused"
    taken = lease_job(store, "cpu")
    assert taken is not None
    assert taken.name == "b"
    assert resume_job(store, "a").status == "queued"
    again = lease_job(store, "cpu")
    assert again is not None
    assert again.name == "a"


def test_a_failed_job_is_retried_at_the_end_with_one_more_attempt(store: Store) -> None:
    queued(store, "a", "b")
    ended(store, JobStatus.FAILED, "why")
    job = retry_job(store, "a")
    assert (job.status, job.cause, job.ended_at) == ("queued", None, None)
    assert order(store) == ["b", "a"]
    assert job.max_attempts > job.n_attempts


def test_an_ended_job_can_be_forgotten_with_its_files(store: Store) -> None:
    queued(store, "a", "b")
    with pytest.raises(JobRefused, match="is queued: `runner queue cancel"):
        remove_job(store, "a")
    ended(store, JobStatus.FINISHED)
    files = [job_log(store, get_job(store, "a")), job_file(store, get_job(store, "a"), "json")]
    other = job_log(store, get_job(store, "b"))
    other.parent.mkdir(parents=True, exist_ok=True)
    for file in (*files, other):
        file.write_text("said")
    assert remove_job(store, "a").name == "a"
    assert list_jobs(store)["name"].tolist() == ["b"]
    assert list(other.parent.iterdir()) == [other]


@pytest.mark.parametrize(
    ("status", "act", "said"),
    [
        (JobStatus.FINISHED, cancel_job, "is finished: only a job that waits or runs can be cancelled"),
        (JobStatus.FAILED, pause_job, "is failed: only a job that waits or runs can be paused"),
        (JobStatus.FINISHED, retry_job, "is finished, not failed or killed: queue it anew"),
        (JobStatus.FAILED, resume_job, "is failed, not paused: `runner queue retry"),
        (JobStatus.PAUSED, retry_job, "is paused, not failed or killed: `runner queue resume"),
    ],
)
def test_what_cannot_be_asked_says_what_can(store: Store, status: JobStatus, act: object, said: str) -> None:
    queued(store, "a")
    ended(store, status)
    assert callable(act)
    with pytest.raises(JobRefused, match=said):
        act(store, "a")
