"""The big store, small: everything that a view could show is in it, and it is the same for the same seed."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.believable import LABELS, make_examples
from benchmarks.make_store import N_EPOCHS, SMALL, make_plans, make_store, predicted_runs
from store import (
    Status,
    check_store,
    count_runs,
    get_dataset,
    get_evaluation,
    list_datasets,
    list_dynamics,
    list_evaluations,
    list_metrics,
    open_readonly,
    read_predictions,
    read_targets,
)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_store(tmp_path_factory.mktemp("big") / "big.db", SMALL)


def test_holds_what_its_size_says(path: Path) -> None:
    store = open_readonly(path)
    assert sum(count_runs(store).values()) == SMALL.n_runs
    assert count_runs(store)["running"] == 1
    versions = list_datasets(store)
    assert versions["n_validation"].add(versions["n_test"]).tolist() == [SMALL.n_examples] * 2
    assert versions["n_labels"].tolist() == [len(LABELS)] * 2
    curves = list_metrics(store, [1], ["train/loss", "train/grad_norm"])
    assert len(curves) == 2 * SMALL.n_steps
    assert curves[["seconds", "epoch", "tokens"]].notna().all(axis=None)


def test_predicted_runs_keep_every_prediction_and_epoch(path: Path) -> None:
    store = open_readonly(path)
    runs = predicted_runs(store)
    assert len(runs) == SMALL.n_predicted_runs
    for run in runs:
        evaluations = list_evaluations(store, run.key)
        assert len(evaluations) == 2 * (N_EPOCHS + 1)
        assert [epoch for epoch, _ in list_dynamics(store, run.key)] == list(range(1, N_EPOCHS + 1))
        best = get_evaluation(store, run.key, "test")
        assert best is not None
        assert best.is_best
        predictions = read_predictions(store, best)
        given = read_targets(store, get_dataset(store, run.dataset_key), "test")
        assert len(predictions.predicted) == len(given)
        untrained = read_predictions(store, get_evaluation(store, run.key, "test", 0))
        accuracy, before = (float(np.mean(p.predicted == given)) for p in (predictions, untrained))
        assert before < 0.4 < accuracy < 0.999


def test_second_version_fixes_some_labels(path: Path) -> None:
    store = open_readonly(path)
    first, second = (get_dataset(store, f"tickets@{version}") for version in (1, 2))
    assert second.parent_key == first.key
    n_fixed = sum(int((read_targets(store, first, s) != read_targets(store, second, s)).sum()) for s in first.n_rows)
    assert 0 < n_fixed < 0.05 * sum(first.n_rows.values())


def test_same_seed_gives_the_same_content(path: Path) -> None:
    examples = make_examples(50, 3, "C")
    assert list(examples.texts) == list(make_examples(50, 3, "C").texts)
    assert list(examples.texts) != list(make_examples(50, 4, "C").texts)
    assert len(set(examples.texts)) == 50
    assert make_plans(40, 0) == make_plans(40, 0)
    statuses = [plan.status for plan in make_plans(200, 0)]
    assert {Status.FINISHED, Status.FAILED, Status.KILLED, Status.PRUNED, Status.RUNNING} == set(statuses)


def test_is_sound_and_never_overwrites(path: Path) -> None:
    assert check_store(open_readonly(path)).problems == ()
    with pytest.raises(FileExistsError, match="name a new file"):
        make_store(path, SMALL)
