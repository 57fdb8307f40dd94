"""The same again, alike, or different: what is said of a run that was run twice."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from runner.cli import cli
from runner.progress import make_progress
from runner.reproduce import Comparison, compare_runs, reproduce
from runner.resume import NotResumable
from store import (
    NewRun,
    Predictions,
    Recorder,
    Run,
    ScoreRow,
    Status,
    Store,
    get_run,
    list_datasets,
    list_events,
    record_run,
)
from tests.runner.conftest import Kit, Trained
from tests.runner.sameness import differences, everything
from tests.store.builders import make_dataset

N = 400
GOLD = np.arange(N) % 2


def answers(n_wrong: int, *, shift: float = 0.0, first: int = 0) -> Predictions:
    """`n_wrong` wrong answers, the first of them at position `first`."""
    predicted = GOLD.copy()
    predicted[first : first + n_wrong] ^= 1
    p = np.where(predicted == GOLD, 0.9, 0.2) - shift
    return Predictions(predicted, p, np.full(N, 0.9), 2 * p - 1, -np.log(p))


@pytest.fixture
def made(store: Store) -> Callable[..., Run]:
    """Runs on 400 test examples, as they would be recorded."""
    dataset = make_dataset(store, "d", [(f"text {i}", int(label)) for i, label in enumerate(GOLD)])

    def make(
        said: Predictions, *, loss: float = 0.5, predictions: bool = True, rung: bool = False, last: int = 2
    ) -> Run:
        run = record_run(store, NewRun("r", dataset_key=dataset.key, select_metric="test/accuracy"))
        with Recorder(store, run) as recorder:
            for step in range(1, last + 1):
                recorder.log({"train/loss": loss / step}, step)
            scores = [ScoreRow("accuracy", float((said.predicted == GOLD).mean()), None, None, N)]
            recorder.evaluation(
                "test", 2, epoch=1.0, n_examples=N, scores=scores, predictions=said if predictions else None
            )
            if rung:
                recorder.evaluation("validation", 1, epoch=0.5, n_examples=N, scores=scores)
            recorder.best(2)
        return get_run(store, run.key)

    return make


@pytest.fixture
def compared(store: Store) -> Callable[[Run, Run], Comparison]:
    return lambda a, b: compare_runs(store, a, b)


def test_equal(made: Any, compared: Any) -> None:
    found = compared(made(answers(20)), made(answers(20)))
    assert found == Comparison(
        "equal", "all 3 values of metrics and the predictions of 1 evaluations are the same", 3, 0, ()
    )


def test_one_prediction_that_differs_is_not_equal(made: Any, compared: Any) -> None:
    found = compared(made(answers(20)), made(answers(20, first=1)))
    assert (found.answer, found.n_unequal) == ("within noise", 0)
    assert {row.metric for row in found.scores} == {"accuracy", "macro_f1", "loss"}
    assert all(row.is_noise for row in found.scores)


def test_within_noise(made: Any, compared: Any) -> None:
    found = compared(made(answers(20)), made(answers(24), loss=0.6))
    assert found.answer == "within noise"
    assert found.sentence == "3 of 3 values are not the same, and no score can be told apart"
    (accuracy,) = (row for row in found.scores if row.metric == "accuracy")
    assert (accuracy.original, accuracy.reproduction, accuracy.n) == (0.95, 0.94, N)


def test_a_difference_of_rounding_is_noise_though_each_example_shows_it(made: Any, compared: Any) -> None:
    found = compared(made(answers(20)), made(answers(20, shift=1e-6)))
    assert found.answer == "within noise"
    (loss,) = (row for row in found.scores if row.metric == "loss")
    assert loss.p < 0.001
    assert 0 < loss.difference < 1e-4


def test_different(made: Any, compared: Any) -> None:
    found = compared(made(answers(20)), made(answers(80)))
    assert found.answer == "different"
    assert found.sentence == "test/accuracy, test/macro_f1, test/loss can be told apart"


def test_without_predictions_it_is_equal_or_unknown(made: Any, compared: Any) -> None:
    first = made(answers(20), predictions=False)
    assert compared(first, made(answers(20), predictions=False)).answer == "equal"
    found = compared(first, made(answers(20), predictions=False, loss=0.6))
    assert found.answer == "unknown"
    assert found.sentence == "2 of 3 values differ, and no predictions were recorded to test them with"


def test_a_training_of_another_length_is_not_equal(made: Any, compared: Any) -> None:
    assert compared(made(answers(20)), made(answers(20), last=3)).answer == "within noise"


def test_rungs_of_a_search_do_not_count(made: Any, compared: Any) -> None:
    assert compared(made(answers(20), rung=True), made(answers(20))).answer == "equal"


def test_a_reproduction_that_failed_is_different(store: Store, made: Any, compared: Any) -> None:
    failed = record_run(store, NewRun("again"), status=Status.FAILED)
    found = compared(made(answers(20)), failed)
    assert (found.answer, found.sentence) == ("different", "the reproduction did not finish: it is failed (None)")


# whole runs ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["head", "lora", "full", "top-layers"])
def test_on_a_cpu_it_is_equal(trained: Callable[[str], Trained], method: str) -> None:
    store, run = (made := trained(method)).store, made.run
    n_datasets = len(list_datasets(store))
    again = reproduce(store, run, make_progress("quiet"), command=["test"])
    assert (again.status, again.tags, again.name) == ("finished", ("reproduction",), f"{method}-reproduction")
    assert again.note == f"reproduction of run {run.id}"
    assert (again.recipe_hash, again.dataset_key) == (run.recipe_hash, run.dataset_key)
    assert compare_runs(store, run, again).answer == "equal"
    assert differences(everything(store, again), everything(store, run)) == []
    assert len(list_datasets(store)) == n_datasets


def test_other_numbers_are_told(kit: Kit, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    import runner.trainer

    run = kit.train(store, model__method="head")
    original = runner.trainer.TrainingOrder
    monkeypatch.setattr(runner.trainer, "TrainingOrder", lambda n, seed, **rest: original(n, seed + 1, **rest))
    again = reproduce(store, run, make_progress("quiet"), command=["test"])
    found = compare_runs(store, run, again)
    assert found.answer in ("within noise", "different")
    assert found.n_unequal > 0
    assert {(row.split, row.metric) for row in found.scores} == {
        (split, metric) for split in ("test", "validation") for metric in ("accuracy", "macro_f1", "loss")
    }


def test_the_command(kit: Kit, store: Store) -> None:
    run = kit.train(store, model__method="head", training__epochs=1)
    call = ["reproduce", run.id, "--store", str(store.path), "--quiet"]
    shown = CliRunner().invoke(cli, call)
    assert shown.exit_code == 0, shown.output
    assert "\nequal: all " in shown.output
    assert "tiny-reproduction" in shown.output
    answer = json.loads(CliRunner().invoke(cli, [*call, "--json"]).stdout)
    assert (answer["answer"], answer["original"], answer["unequal"]) == ("equal", run.id, 0)
    assert answer["differences"]["data"] == []
    again = get_run(store, answer["reproduction"])
    assert "reproduction" in again.tags
    assert len(list_events(store, again.key)) == 0


@pytest.mark.parametrize("status", ["failed", "killed", "pruned", "running"])
def test_only_a_finished_run_has_a_result(store: Store, status: str) -> None:
    run = record_run(store, NewRun("r", recipe={}), status=Status(status))
    said = "it is still at work" if status == "running" else "`runner resume"
    with pytest.raises(NotResumable, match=f"is {status}: there is no result to reproduce; {said}"):
        reproduce(store, run, make_progress("quiet"))
