"""Which configurations may be the best, who gets seeds, and the sentence at the end."""

import numpy as np
import pandas as pd
import pytest

from evals.leaders import Leaders
from runner.sweep.leaders import leaders_of, sentence
from runner.sweep.search import Search
from store import (
    Dataset,
    NewRow,
    NewRun,
    NewSweep,
    NewTrial,
    Predictions,
    Recorder,
    RunCost,
    Status,
    Store,
    Sweep,
    read_targets,
    record_dataset,
    record_run,
    record_sweep,
)
from store.trials import end_trial, record_trial, set_trial_run
from tests.runner.sweep.engines import make_dataset
from tests.runner.sweep.recipes import search_of

N = 400
SPACE = '[sweep]\ntrials = 9\n[sweep.space]\n"training.epochs" = { low = 1, high = 99 }'


@pytest.fixture
def dataset(store: Store) -> Dataset:
    return make_dataset(store, n=N)


@pytest.fixture
def search() -> Search:
    return search_of(SPACE, "evaluation.select=validation/accuracy")


@pytest.fixture
def sweep(store: Store, search: Search) -> Sweep:
    return record_sweep(store, NewSweep("s", "", {"sweep": {}}, "f", search.objectives))


def trained(store: Store, dataset: Dataset, sweep: Sweep, number: int, seed: int, is_right: np.ndarray) -> None:
    """A finished trial that is right on these validation examples; a minute of work."""
    gold = read_targets(store, dataset, "validation")
    run = record_run(store, NewRun(f"s-{number}-{seed}", dataset_key=dataset.key, select_metric="validation/accuracy"))
    loss = np.where(is_right, 0.1, 2.0)
    said = Predictions(np.where(is_right, gold, 1 - gold), np.exp(-loss), np.full(N, 0.9), np.full(N, 0.5), loss)
    with Recorder(store, run) as recorder:
        recorder.evaluation("validation", 1, epoch=1.0, n_examples=N, scores=[], predictions=said)
        recorder.best(1)
        recorder.cost(RunCost(wall_seconds=60.0))
    trial = record_trial(store, sweep.key, NewTrial(number, seed, {"training.epochs": number + 1}, "h"))
    set_trial_run(store, trial, run.key)
    end_trial(store, trial, Status.FINISHED, None, (float(is_right.mean()),))


def right(share: float, seed: int = 0) -> np.ndarray:
    """The easiest examples, the same for all, and a little of chance."""
    hard = np.arange(N) / N + 0.02 * np.random.default_rng(seed).normal(size=N)
    return np.asarray(hard < share)


def test_what_is_clearly_worse_does_not_contend(store: Store, dataset: Dataset, sweep: Sweep, search: Search) -> None:
    for number, share in enumerate((0.6, 0.9, 0.905, 0.7)):
        trained(store, dataset, sweep, number, 0, right(share, number))
    leaders = leaders_of(store, search, sweep.key)
    assert leaders is not None
    assert leaders.are_compared
    assert set(leaders.contenders) == {1, 2}
    assert leaders.numbers[2:] == (3, 0), "best first"
    assert leaders.seconds == 60.0
    said = sentence(leaders, search, "runner sweep r.toml", 1)
    assert said.startswith("the top 2 (")
    assert said.endswith(
        "cannot be told apart: with one seed each nobody knows how much is chance. "
        "3 seeds each would show it, about 4 min: runner sweep r.toml --seeds 3"
    )


def compared(needed: list[float], *, n_seeds: int = 2, seconds: float | None = 90.0) -> Leaders:
    """Leaders that need so many seeds to be told from the first."""
    columns = {"number": range(len(needed)), "mean": 0.9, "n_seeds": n_seeds, "difference": -0.01}
    table = pd.DataFrame({**columns, "n_seeds_needed": needed})
    return Leaders(table, tuple(range(len(needed))), True, seconds)


@pytest.mark.parametrize(
    ("leaders", "n_parallel", "said"),
    [
        (
            compared([np.nan, 4.0, 3.0]),
            1,
            "the top 3 (0, 1 and 2) cannot be told apart: about 2 more seeds each would, about 9 min: "
            "runner sweep r.toml --seeds 4",
        ),
        (compared([np.nan, 3.0]), 4, "about 1 more seed each would, about 45 s: runner sweep r.toml --seeds 3"),
        (
            compared([np.nan, 9.0, np.inf], seconds=None),
            1,
            "about 7 more seeds each would tell 1 of them from the best: runner",
        ),
        (compared([np.nan, 50.0]), 1, "their means lie within 0.01, and up to 20 seeds each would not do it"),
    ],
)
def test_the_sentence_offers_the_seeds_that_would_do(leaders: Leaders, n_parallel: int, said: str) -> None:
    assert said in sentence(leaders, search_of(SPACE), "runner sweep r.toml", n_parallel)


def test_seeds_make_intervals(store: Store, dataset: Dataset, sweep: Sweep, search: Search) -> None:
    rng = np.random.default_rng(4)
    for number, share in enumerate((0.6, 0.9)):
        for seed in range(3):
            trained(store, dataset, sweep, number, seed, right(share + rng.normal() * 0.01, seed + 10 * number))
    leaders = leaders_of(store, search, sweep.key)
    assert leaders is not None
    assert (leaders.numbers, leaders.contenders) == ((1, 0), (1,))
    assert leaders.table["n_seeds"].tolist() == [3, 3]
    assert (leaders.table["low"] < leaders.table["mean"]).all()


def test_one_clear_winner(store: Store, dataset: Dataset, sweep: Sweep, search: Search) -> None:
    for number, share in enumerate((0.5, 0.9)):
        trained(store, dataset, sweep, number, 0, right(share, number))
    leaders = leaders_of(store, search, sweep.key)
    assert leaders is not None
    assert sentence(leaders, search, "x", 1) == (
        "trial 1 is better than every other, by the paired test on validation examples"
    )


def test_equal_ones_are_not_worth_more_seeds(store: Store, dataset: Dataset, sweep: Sweep, search: Search) -> None:
    for number in range(2):
        for seed in range(2):
            trained(store, dataset, sweep, number, seed, right(0.8, seed))
    leaders = leaders_of(store, search, sweep.key)
    assert leaders is not None
    assert sentence(leaders, search, "x", 1).endswith("seeds each would not do it. Take the cheapest")


def test_several_objectives_have_a_front(store: Store, dataset: Dataset) -> None:
    search = search_of(
        SPACE.replace("trials = 9", 'trials = 9\nobjectives = ["validation/accuracy", "cost/wall_seconds"]')
    )
    sweep = record_sweep(store, NewSweep("s", "", {"sweep": {}}, "f", search.objectives))
    for number, values in enumerate(((0.9, 10.0), (0.8, 5.0), (0.7, 7.0))):
        trial = record_trial(store, sweep.key, NewTrial(number, 0, {"training.epochs": 1 + number}, "h"))
        end_trial(store, trial, Status.FINISHED, None, values)
    leaders = leaders_of(store, search, sweep.key)
    assert leaders is not None
    assert leaders.contenders == (0, 1)
    assert "trials 0 and 1 in every objective" in sentence(leaders, search, "x", 1)


def test_without_examples_nothing_is_compared(store: Store, dataset: Dataset) -> None:
    search = search_of(SPACE, 'sweep.objectives=["validation/ece"]')
    sweep = record_sweep(store, NewSweep("s", "", {"sweep": {}}, "f", search.objectives))
    for number in range(3):
        trained(store, dataset, sweep, number, 0, right(0.5 + number / 10, number))
    leaders = leaders_of(store, search, sweep.key)
    assert leaders is not None
    assert not leaders.are_compared
    assert leaders.contenders == (0, 1, 2), "the lowest first, as for an error"
    assert "its examples cannot be compared" in sentence(leaders, search, "x", 1)


def test_other_data_is_not_compared_by_example(store: Store, dataset: Dataset, sweep: Sweep, search: Search) -> None:
    trained(store, dataset, sweep, 0, 0, right(0.9))
    trained(store, make_dataset(store, "other", N), sweep, 1, 0, right(0.5))
    leaders = leaders_of(store, search, sweep.key)
    assert leaders is not None
    assert not leaders.are_compared


def test_versions_with_the_same_validation_split_are_compared(
    store: Store, dataset: Dataset, sweep: Sweep, search: Search
) -> None:
    rows = [NewRow("validation", f"toy validation {i}", i % 2) for i in range(N)]

    def version(rows: list[NewRow], names: tuple[str, str] = ("no", "yes")) -> Dataset:
        return record_dataset(
            store, "toy", [*rows, NewRow("train", "t", 0)], label_names=names, source={}, fingerprint=rows[-1].text
        )

    trained(store, dataset, sweep, 0, 0, right(0.9))
    trained(store, version(rows), sweep, 1, 0, right(0.5))
    leaders = leaders_of(store, search, sweep.key)
    assert leaders is not None
    assert leaders.are_compared
    assert leaders.contenders == (0,)
    trained(store, version([*rows[:-1], NewRow("validation", "other", 1)]), sweep, 2, 0, right(0.4))
    other = leaders_of(store, search, sweep.key)
    assert other is not None
    assert not other.are_compared


def test_who_gets_seeds_without_examples_is_settled_by_the_first_seeds(store: Store, dataset: Dataset) -> None:
    search = search_of(SPACE, 'sweep.objectives=["validation/ece"]')
    sweep = record_sweep(store, NewSweep("s", "", {"sweep": {}}, "f", search.objectives))
    for number in range(13):
        trained(store, dataset, sweep, number, 0, right(0.30 + number / 50, number))
    before = leaders_of(store, search, sweep.key)
    assert before is not None
    assert len(before.contenders) == 8
    for number in before.contenders:
        trained(store, dataset, sweep, number, 1, right(0.9, number))
    after = leaders_of(store, search, sweep.key)
    assert after is not None
    assert set(after.contenders) == set(before.contenders), "their means are worse now, and nobody else drifts in"


def test_seeds_that_some_have_already_are_not_counted_again() -> None:
    table = pd.DataFrame({"number": [0, 1], "n_seeds": [1, 3], "difference": [0, -0.01], "n_seeds_needed": [np.nan, 4]})
    search = search_of(SPACE, "evaluation.select=validation/accuracy")
    assert "cannot be told apart: up to 3 more seeds each would, about 4 min: x --seeds 4" in sentence(
        Leaders(table, (0, 1), True, 60.0), search, "x", 1
    )


def test_nothing_yet(store: Store, sweep: Sweep, search: Search) -> None:
    assert leaders_of(store, search, sweep.key) is None
    record_trial(store, sweep.key, NewTrial(0, 0, {"training.epochs": 1}, "h"))
    assert leaders_of(store, search, sweep.key) is None


def test_the_only_one(store: Store, dataset: Dataset, sweep: Sweep, search: Search) -> None:
    trained(store, dataset, sweep, 0, 0, right(0.9))
    leaders = leaders_of(store, search, sweep.key)
    assert isinstance(leaders, Leaders)
    assert sentence(leaders, search, "x", 1) == "trial 0 is the only one with a validation/accuracy"


def test_runs_that_were_removed_leave_their_values(
    store: Store, dataset: Dataset, sweep: Sweep, search: Search
) -> None:
    for number in range(2):
        trained(store, dataset, sweep, number, 0, right(0.5 + number / 5))
    with store.write() as db:
        db.execute("DELETE FROM runs")
    leaders = leaders_of(store, search, sweep.key)
    assert leaders is not None
    assert leaders.numbers == (1, 0)
    assert leaders.table["mean"].notna().all()
