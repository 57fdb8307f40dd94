import math
import sqlite3

import numpy as np
import pytest

from store import (
    NewRun,
    NewTrial,
    Objective,
    Recorder,
    RunCost,
    ScoreRow,
    Status,
    Store,
    Sweep,
    TrialReport,
    finish_run,
    get_sweep,
    list_sweeps,
    list_trial_reports,
    list_trials,
    read_reports,
    read_trials,
    record_run,
    record_sweep,
)
from store.sweeps import beat_sweep, release_sweep
from store.trials import (
    TakenOver,
    end_trial,
    find_finished_run,
    find_trial_run,
    get_trial,
    record_report,
    record_trial,
    set_trial_run,
    start_trial,
    sum_costs,
    take_over,
)
from tests.store.builders import make_dataset, predict
from tests.store.test_sweeps import F1, SECONDS, new_sweep


@pytest.fixture
def sweep(store: Store) -> Sweep:
    return record_sweep(store, new_sweep(objectives=(F1, SECONDS)))


def test_a_trial_from_its_first_to_its_last_word(store: Store, sweep: Sweep) -> None:
    trial = record_trial(store, sweep.key, NewTrial(0, 3, {"model.method": "lora"}, "hash", {"rung": 1}))
    assert (trial.status, trial.seed, trial.sampler_state, trial.is_reused) == (Status.QUEUED, 3, {"rung": 1}, False)
    start_trial(store, trial)
    run = record_run(store, NewRun("search-0"))
    set_trial_run(store, trial, run.key)
    record_report(store, trial, TrialReport(0, 4, 0.5, 0.25))
    record_report(store, trial, TrialReport(1, 8, 1.0, 0.5))
    record_report(store, trial, TrialReport(0, 4, 0.5, 0.5))  # said again after a restart
    assert [report.rung for report in read_reports(store, sweep.key)[trial.key]] == [0]
    end_trial(store, trial, Status.PRUNED, "not in the top quarter at rung 1")
    start_trial(store, trial, is_promotion=True)
    record_report(store, trial, TrialReport(1, 8, 1.0, math.nan), {"rung": 2})
    end_trial(store, trial, Status.FINISHED, None, (0.75, math.inf))
    (found,) = read_trials(store, sweep.key)
    assert found == get_trial(store, trial.key)
    assert (found.status, found.cause, found.run_key) == (Status.FINISHED, None, run.key)
    assert (found.n_attempts, found.n_promotions, found.objective_values) == (1, 1, (0.75, None))
    assert found.sampler_state == {"rung": 2}
    assert read_reports(store, sweep.key) == {
        trial.key: [TrialReport(0, 4, 0.5, 0.5), TrialReport(1, 8, 1.0, None)],
    }
    assert list_trial_reports(store, sweep.key)[["number", "rung", "step"]].to_numpy().tolist() == [
        [0, 0, 4],
        [0, 1, 8],
    ]


def test_what_is_killed_has_not_failed(store: Store, sweep: Sweep) -> None:
    trial = record_trial(store, sweep.key, NewTrial(0, 0, {}, "h"))
    for status, n_attempts in ((Status.KILLED, 0), (Status.FAILED, 1), (Status.FAILED, 2), (Status.KILLED, 2)):
        start_trial(store, trial)
        end_trial(store, trial, status, "why")
        assert get_trial(store, trial.key).n_attempts == n_attempts


def test_the_run_of_a_trial_is_found_by_what_it_must_be(store: Store, sweep: Sweep) -> None:
    trial = record_trial(store, sweep.key, NewTrial(0, 0, {}, "h"))
    assert find_trial_run(store, "search-0", "h", trial.created_at) is None
    run = record_run(store, NewRun("search-0", recipe_hash="h"))
    record_run(store, NewRun("other", recipe_hash="h"))
    found = find_trial_run(store, "search-0", "h", trial.created_at)
    assert found is not None
    assert found.key == run.key
    assert find_trial_run(store, "search-0", "h", run.created_at + 1) is None


def test_a_configuration_has_a_seed_once(store: Store, sweep: Sweep) -> None:
    record_trial(store, sweep.key, NewTrial(0, 0, {}, "h"))
    record_trial(store, sweep.key, NewTrial(0, 1, {}, "h"))
    with pytest.raises(sqlite3.IntegrityError):
        record_trial(store, sweep.key, NewTrial(0, 0, {}, "h"))


def test_every_write_moves_the_version_of_the_sweep(store: Store, sweep: Sweep) -> None:
    trial = record_trial(store, sweep.key, NewTrial(0, 0, {}, "h"))
    before = get_sweep(store, sweep.key).version
    record_report(store, trial, TrialReport(0, 1, None, 0.5))
    assert get_sweep(store, sweep.key).version == before + 1


def test_the_list_shows_the_run_its_cost_and_the_objectives(store: Store, sweep: Sweep) -> None:
    dataset = make_dataset(store, "d", [("a", 0), ("b", 1)], "validation")
    run = record_run(store, NewRun("search-0", dataset_key=dataset.key, select_metric="validation/macro_f1"))
    with Recorder(store, run) as recorder:
        for step, value in ((1, 0.5), (2, 0.25)):
            scores = [ScoreRow("macro_f1", value, value - 0.125, value + 0.125, 2)]
            recorder.evaluation(
                "validation", step, epoch=step / 2, n_examples=2, scores=scores, predictions=predict([0, 1])
            )
        recorder.best(1)
        recorder.cost(RunCost(wall_seconds=12.0, device_seconds=9.0))
    trial = record_trial(store, sweep.key, NewTrial(0, 0, {"model.lora.r": 4}, "h"))
    set_trial_run(store, trial, run.key)
    record_report(store, trial, TrialReport(0, 1, 0.5, 0.5))
    end_trial(store, trial, Status.FINISHED, None, (0.5, None))
    record_trial(store, sweep.key, NewTrial(1, 0, {}, "h2"))
    frame = list_trials(store, sweep.key)
    assert frame["number"].tolist() == [0, 1]
    first = frame.iloc[0]
    assert first["parameters"] == {"model.lora.r": 4}
    assert (first["run_id"], first["run_status"], first["status"]) == (run.id, "finished", "finished")
    assert (first["value"], first["low"], first["high"], first["step"]) == (0.5, 0.375, 0.625, 1)
    assert (first["validation/macro_f1"], first["wall_seconds"], first["rung"], first["rung_value"]) == (
        0.5,
        12,
        0,
        0.5,
    )
    assert np.isnan(frame["cost/train_seconds"]).all()
    assert np.isnan(frame.iloc[1]["validation/macro_f1"])


def test_a_sweep_without_trials_has_all_columns(store: Store) -> None:
    empty = record_sweep(store, new_sweep(objectives=(Objective("latency/ms", "minimize"),)))
    frame = list_trials(store, empty.key)
    assert frame.empty
    assert {"latency/ms", "run_id", "wall_seconds", "rung", "parameters"} <= set(frame.columns)
    assert list_trial_reports(store, empty.key).empty


def test_only_a_finished_run_on_the_same_data_is_found_again(store: Store) -> None:
    one, other = (make_dataset(store, name, [(name, 0)]) for name in ("one", "other"))
    assert find_finished_run(store, "h", one.key) is None
    run = record_run(store, NewRun("x", recipe_hash="h", dataset_key=one.key))
    assert find_finished_run(store, "h", one.key) is None
    finish_run(store, run.key, Status.FINISHED)
    found = find_finished_run(store, "h", one.key)
    assert found is not None
    assert found.id == run.id
    assert find_finished_run(store, "h", other.key) is None
    assert find_finished_run(store, "h", None) is not None


def test_what_the_runs_of_a_sweep_took(store: Store, sweep: Sweep) -> None:
    keys = []
    for number in range(3):
        with Recorder(store, record_run(store, NewRun("x"))) as recorder:
            recorder.cost(RunCost(wall_seconds=10.0 + number, device_seconds=1.0))
        new = NewTrial(number, 0, {}, "h", run_key=recorder.run.key if number == 2 else None, is_reused=number == 2)
        trial = record_trial(store, sweep.key, new)
        set_trial_run(store, trial, recorder.run.key)
        keys.append(trial.key)
    assert sum_costs(store, sweep.key) == (21.0, 0.0), "what was there before cost nothing"
    beat_sweep(store, sweep.key, 1.0, {keys[0]: 4.0, keys[1]: 1.5})
    beat_sweep(store, sweep.key, 1.0, {keys[0]: 2.0, keys[2]: 0.5})
    assert sum_costs(store, sweep.key) == (21.0, 8.0), "all that they held devices, and nothing that their runs say"
    assert [trial.held_seconds for trial in read_trials(store, sweep.key)] == [6.0, 1.5, 0.5]
    assert list_trials(store, sweep.key)["held_seconds"].tolist() == [6.0, 1.5, 0.5]
    assert list_sweeps(store)["device_seconds"].tolist() == [8.0]
    trial = get_trial(store, keys[0])
    end_trial(store, trial, Status.FINISHED, None, [0.5, 3.0], (2.5, 3.5))
    assert get_trial(store, keys[0]).latency_ms == (2.5, 3.5)
    assert list_trials(store, sweep.key)[["latency_low", "latency_high"]].values.tolist()[0] == [2.5, 3.5]


def test_what_is_trained_further_is_paid_for(store: Store, sweep: Sweep) -> None:
    with Recorder(store, record_run(store, NewRun("x"))) as recorder:
        recorder.cost(RunCost(wall_seconds=10.0, device_seconds=1.0))
    new = NewTrial(0, 0, {}, "h", status=Status.PRUNED, run_key=recorder.run.key, is_reused=True)
    trial = record_trial(store, sweep.key, new)
    start_trial(store, trial, is_trained=False)  # only its latency is measured
    assert sum_costs(store, sweep.key) == (0.0, 0.0)
    start_trial(store, trial, is_promotion=True)
    assert sum_costs(store, sweep.key) == (10.0, 0.0)


def test_a_sweep_and_what_it_takes_over_are_written_together(store: Store, sweep: Sweep) -> None:
    first = TakenOver(NewTrial(0, 0, {}, "h", status=Status.FINISHED), (TrialReport(0, 1, 0.5, 0.25),))
    twice = TakenOver(NewTrial(0, 0, {}, "h"), ())
    edit = new_sweep(fingerprint="edited", parent_key=sweep.key)
    with pytest.raises(sqlite3.IntegrityError):
        take_over(store, edit, [first, twice])
    assert len(list_sweeps(store)) == 1
    made, is_new = take_over(store, edit, [first])
    assert is_new
    assert [(trial.number, trial.status) for trial in read_trials(store, made.key)] == [(0, Status.FINISHED)]
    assert [report.value for report in read_reports(store, made.key)[read_trials(store, made.key)[0].key]] == [0.25]
    assert take_over(store, edit, [first]) == (made, False), "another process was faster"
    assert len(list_sweeps(store)) == 2


def test_a_fresh_sweep_goes_on_until_it_has_finished(store: Store, sweep: Sweep) -> None:
    wanted = new_sweep(fingerprint=sweep.fingerprint, is_fresh=True)
    fresh, is_new = take_over(store, wanted)
    assert is_new
    assert (fresh.is_fresh, sweep.is_fresh) == (True, False)
    assert take_over(store, wanted) == (fresh, False)
    release_sweep(store, fresh.key, Status.FINISHED)
    again, is_new = take_over(store, wanted)
    assert is_new
    assert again.key != fresh.key


def test_a_reused_run_makes_the_trial_finished_at_once(store: Store, sweep: Sweep) -> None:
    run = record_run(store, NewRun("x"))
    reused = NewTrial(
        0, 0, {}, "h", status=Status.FINISHED, run_key=run.key, objective_values=(0.5, 1.0), is_reused=True
    )
    trial = record_trial(store, sweep.key, reused)
    assert (trial.status, trial.is_reused, trial.objective_values) == (Status.FINISHED, True, (0.5, 1.0))
    assert trial.ended_at is not None
    assert bool(list_trials(store, sweep.key).iloc[0]["is_reused"])
