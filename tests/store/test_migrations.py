import shutil
from pathlib import Path

import numpy as np
import pytest

from store import (
    NewRun,
    Recorder,
    ScoreRow,
    Status,
    VersionRefused,
    check_store,
    current_decisions,
    find_dataset,
    get_cost,
    get_dataset,
    get_evaluation,
    get_job,
    get_run,
    group_members,
    iter_dynamics,
    iter_inputs,
    latest_triage,
    list_checkpoints,
    list_events,
    list_example_history,
    list_findings,
    list_flips,
    list_groups,
    list_latest,
    list_metrics,
    list_opinions,
    list_predictions,
    list_queue,
    list_runs,
    list_samples,
    list_version_changes,
    make_version,
    open_store,
    read_column,
    read_embeddings,
    read_log,
    read_opinion,
    read_predictions,
    read_responses,
    read_target_tokens,
    read_targets,
    read_values,
    record_decision,
    record_run,
    redo_last,
    resume_job,
    undo_last,
)
from store.flights import get_flight, list_flights
from store.job_leases import lease_job
from store.jobs import list_jobs
from store.migrations import migrations
from store.profiles import list_profiles
from store.sweeps import get_sweep
from store.trial_jobs import read_messages, withdraw_trial
from store.trials import list_trial_reports, list_trials
from tests.store.builders import make_dataset, predict

ASSETS = Path(__file__).parent / "assets"
FILES = sorted(ASSETS.glob("m*.db"))


def test_there_is_a_file_of_every_schema() -> None:
    from sqlite_utils import Database

    names = [migration.name for migration in migrations.pending(Database(memory=True))]
    assert [path.stem for path in FILES] == names


@pytest.mark.parametrize("asset", FILES, ids=lambda path: path.stem)
def test_an_old_file_is_read_and_worked_on(asset: Path, tmp_path: Path) -> None:
    store = open_store(shutil.copy(asset, tmp_path / "assay.db"), create=False)
    assert check_store(store).problems == ()

    run = get_run(store, "old")
    assert (run.status, run.method, run.tags) == (Status.FINISHED, "head", ("kept",))
    curve = list_metrics(store, [run.key], ["train/loss"])
    assert curve["step"].tolist() == list(range(11))
    np.testing.assert_allclose(curve["value"].tolist()[:10], [1 / (step + 1) for step in range(10)])
    assert curve["not_finite"].dropna().to_dict() == {10: "nan"}
    assert curve["tokens"].tolist()[:3] == [0, 100, 200]
    evaluation = get_evaluation(store, run.key, "test")
    assert evaluation is not None
    assert evaluation.is_best
    assert list_predictions(store, evaluation, wrong_only=True)["text"].tolist() == ["sun at last"]
    (row,) = iter_dynamics(store, run.key)
    assert row.words.tolist() == [[0, 1], [2, 3], [4, 5], [6, 7]]
    embeddings = read_embeddings(store, run.key, "test")
    assert embeddings is not None
    assert embeddings[3].tolist() == [9, 10, 11]
    assert [checkpoint.is_best for checkpoint in list_checkpoints(store, run.key)] == [True]
    assert list_events(store, run.key)["message"].tolist() == ["made for the tests"]
    assert read_log(store, run.key) == "one line of the log\n"
    assert list_samples(store, run.key)["host_bytes"].tolist() == [2**30]
    assert get_cost(store, run.key).wall_seconds == 1.5

    dataset = get_dataset(store, "weather@1")
    assert find_dataset(store, "weather", dataset.fingerprint) == dataset
    new = record_run(store, NewRun("new", dataset_key=dataset.key, select_metric="test/accuracy"))
    with Recorder(store, new) as recorder:
        recorder.log({"train/loss": 0.5}, 1)
        scores = [ScoreRow("accuracy", 1.0, 0.5, 1.0, 4)]
        recorder.evaluation("test", 1, epoch=1.0, n_examples=4, scores=scores, predictions=predict([1, 0, 1, 0]))
        recorder.best(1)
    later = get_evaluation(store, new.key, "test")
    assert later is not None
    flips = list_flips(store, evaluation, later, kind="fixed")
    assert flips["text"].tolist() == ["sun at last"]
    assert list_example_history(store, flips["example_id"][0])["run"].tolist() == ["new", "old"]
    assert list_runs(store)["value"].tolist()[0] == 1.0
    assert list_latest(store, [new.key])["metric"].tolist() == ["test/accuracy", "train/loss"]
    store.close()


@pytest.mark.parametrize("asset", FILES[1:], ids=lambda path: path.stem)
def test_work_of_an_old_file_goes_on(asset: Path, tmp_path: Path) -> None:
    store = open_store(shutil.copy(asset, tmp_path / "assay.db"), create=False)
    sweep = get_sweep(store, "search")
    assert (sweep.status, sweep.cause, sweep.n_trials) == (Status.KILLED, "made for the tests", 3)
    trials = list_trials(store, sweep.key)[:1]
    is_booked = asset.stem >= "m004"  # before, the wall time of the run is all that is known
    assert trials["held_seconds"].tolist() == [45.0 if is_booked else 1.5]
    assert trials["latency_high"].dropna().tolist() == ([2.5] if is_booked else [])
    assert trials[["number", "seed", "run_id"]].values.tolist() == [[0, 7, get_run(store, "old").id]]
    assert list_trial_reports(store, sweep.key)["value"].tolist() == [0.5]
    assert list_jobs(store)["name"][0] == "waiting"
    leased = lease_job(store, "cpu")
    assert leased is not None
    assert leased.name == "waiting"
    broken = get_run(store, "broken")
    (key,) = list_flights(store, broken.key)["key"]
    assert get_flight(store, int(key)).steps.of(10).tolist() == [2, 3]


@pytest.mark.parametrize("asset", FILES[5:], ids=lambda path: path.stem)
def test_a_trial_in_the_queue_of_an_old_file_goes_on(asset: Path, tmp_path: Path) -> None:
    store = open_store(shutil.copy(asset, tmp_path / "assay.db"), create=False)
    job = get_job(store, "search-1")
    trials = list_trials(store, get_sweep(store, "search").key)
    assert (job.status, job.trial_key) == ("paused", trials["key"].tolist()[-1])
    (message,) = read_messages(store, job.key, is_from_driver=False)
    assert message.text == '{"kind": "Asked"}'
    assert resume_job(store, job.id).status == "queued"
    assert withdraw_trial(store, job.key, "nobody waits for it")
    (profile,) = list_profiles(store, get_dataset(store, "weather@1").key)
    assert (profile.fingerprint, profile.profile) == ("f4", {"tokens": 12, "unknown": None})
    store.close()


@pytest.mark.parametrize("asset", FILES, ids=lambda path: path.stem)
def test_target_tokens_of_an_old_file(asset: Path, tmp_path: Path) -> None:
    store = open_store(shutil.copy(asset, tmp_path / "assay.db"), create=False)
    found = read_target_tokens(store, get_run(store, "old").key, "train")
    if asset.stem < "m007":
        assert found is None
        return
    assert found is not None
    assert found.offsets.tolist() == [0, 2, 2, 3, 5]
    assert found.log_probs.tolist() == [-5, -4, -3, -2, -1]
    assert found.alone is None
    store.close()


@pytest.mark.parametrize("asset", FILES[4:], ids=lambda path: path.stem)
def test_responses_of_an_old_file_are_read(asset: Path, tmp_path: Path) -> None:
    store = open_store(shutil.copy(asset, tmp_path / "assay.db"), create=False)
    dataset = get_dataset(store, "pairs")
    (inputs,) = iter_inputs(store, dataset, "test")
    assert inputs[1] == {"text": "wind", "text_pair": "snow"}
    assert read_values(store, dataset, "test") == ["[0, 1]", "[]"]
    assert read_targets(store, dataset, "test").tolist() == [-1, -1]
    evaluation = get_evaluation(store, get_run(store, "sets").key, "test")
    assert evaluation is not None
    assert read_responses(store, evaluation, [0]) == {0: {"labels": [1], "p": {"1": 0.9}}}
    assert read_predictions(store, evaluation).predicted.tolist() == [-1, -1]
    record_decision(store, dataset, split="test", position=0, action="edit", text="sun", author="ann")
    with pytest.raises(VersionRefused, match="1 edits change the text of examples that are more than one text"):
        make_version(store, dataset, author="ann")
    undo_last(store, dataset, "ann")
    record_decision(store, dataset, split="test", position=1, action="drop", author="ann")
    (kept,) = iter_inputs(store, make_version(store, dataset, author="ann"), "test")
    assert kept == [{"text": "sun", "text_pair": "rain"}]
    store.close()


@pytest.mark.parametrize("asset", FILES[2:], ids=lambda path: path.stem)
def test_a_review_in_an_old_file_goes_on(asset: Path, tmp_path: Path) -> None:
    store = open_store(shutil.copy(asset, tmp_path / "assay.db"), create=False)
    dataset = get_dataset(store, "weather@1")
    triage = latest_triage(store, dataset.key)
    assert triage is not None
    assert (triage.status, triage.versions, triage.summary) == (Status.FINISHED, {"label_error": 1}, {"n": 4})
    risk = read_column(store, triage.key, "train", "risk")
    np.testing.assert_allclose(risk, np.array([0.1, 0.9, np.nan, 0.4]), rtol=1e-6)  # type: ignore[arg-type]  # it is there
    queue = list_queue(store, triage, dataset)
    assert queue[["split", "position"]].values.tolist() == [
        ["train", 1], ["train", 3], ["train", 0], ["train", 2], ["test", 2],
    ]  # fmt: skip
    assert queue["action"].replace({float("nan"): None}).tolist() == ["relabel", "drop", "keep", None, None]
    assert list_findings(store, triage.key)["evidence"].tolist() == [{"nearest": ["train", 1]}]
    (group,) = list_groups(store, triage.key)["key"]
    assert group_members(store, int(group))["train"].tolist() == [0, 2]

    child = get_dataset(store, "weather@2")
    assert child.n_rows == {"train": 3, "test": 4}
    assert list_version_changes(store, child)["change"].tolist() == ["relabel", "drop"]
    assert current_decisions(store, child)["decided_in"].unique().tolist() == ["weather@1"]
    (opinion,) = list_opinions(store, dataset)["key"]
    assert np.isnan(read_opinion(store, int(opinion))).all(axis=1).tolist() == [False, False, True, False]

    assert [decision.action for decision in redo_last(store, dataset, "bob")] == ["edit"]
    record_decision(store, dataset, split="train", position=1, action="keep", author="bob")
    assert current_decisions(store, dataset)["is_disputed"].tolist() == [False, True, False, False]
    assert make_version(store, dataset, author="ann", disputed="leave").n_rows == {"train": 3, "test": 4}
    store.close()


def test_disputes_that_a_third_has_settled_are_none_after_the_migration(tmp_path: Path) -> None:
    """As a file of before had them: where two differed, whatever a third said."""
    path = tmp_path / "assay.db"
    store = open_store(path)
    dataset = make_dataset(store, "d", [(f"text {number}", number % 2) for number in range(4)], split="train")
    actions = {
        0: ("drop", "keep", "drop"),
        1: ("drop", "keep", "keep"),
        2: ("keep", "keep", "drop"),
        3: ("drop", "keep"),
    }
    for position, wanted in actions.items():
        for author, action in zip(("ann", "bob", "eve"), wanted, strict=False):
            record_decision(store, dataset, split="train", position=position, action=action, author=author)
    columns = ["position", "author", "is_disputed"]
    now = current_decisions(store, dataset)[columns].values.tolist()
    assert now == [[0, "eve", False], [1, "eve", False], [2, "eve", True], [3, "bob", True]]
    with store.write() as db:
        db.execute("UPDATE standing_decisions SET is_disputed = 1")
        db.execute("DELETE FROM _sqlite_migrations WHERE name = 'm009_settled'")
        db.execute("PRAGMA user_version = 8")
    store.close()
    again = open_store(path)
    assert current_decisions(again, dataset)[columns].values.tolist() == now
    again.close()
