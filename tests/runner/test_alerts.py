"""Alerts while a run goes on: told once an episode, for losses that come one at a time."""

import math

import numpy as np
import pytest

from evals import alerts as rules
from evals.alerts import Alert, AlertKind
from runner.alerts import MOST_OF_A_KIND, Alerts, LossWatch, loss_role
from runner.callback import AssayCallback
from runner.script import start_run
from store import Store, list_alerts, list_runs

WRONG = Alert(AlertKind.STALL, 1, "wrong", {})


@pytest.fixture
def told() -> list[Alert]:
    return []


@pytest.fixture
def watch(told: list[Alert]) -> LossWatch:
    return LossWatch(Alerts(told.append))


def usual(n: int, seed: int = 0) -> list[float]:
    return [float(value) for value in np.random.default_rng(seed).normal(1.0, 0.05, n)]


def kinds(told: list[Alert]) -> list[tuple[str, int | None]]:
    return [(alert.kind.value, alert.step) for alert in told]


def test_an_episode_is_told_once(told: list[Alert]) -> None:
    alerts = Alerts(told.append)
    said = [alerts.note("a", alert) for alert in (None, WRONG, WRONG, None, WRONG)]
    assert said == [False, True, False, False, True]
    assert alerts.note("b", WRONG)
    assert len(told) == 3


def test_a_rule_that_flickers_is_told_a_bounded_number_of_times(told: list[Alert]) -> None:
    alerts = Alerts(told.append)
    for _ in range(100):
        alerts.note("a", WRONG)
        alerts.note("a", None)
    assert len(told) == MOST_OF_A_KIND


def test_nan_is_told_once_until_the_loss_is_a_number_again(watch: LossWatch, told: list[Alert]) -> None:
    for step, loss in enumerate([1.0, math.nan, math.nan, 1.0, math.inf], start=1):
        watch.loss(step, loss)
    assert kinds(told) == [("not finite", 2), ("not finite", 5)]


def test_a_spike_is_told_with_its_step_and_then_rests(watch: LossWatch, told: list[Alert]) -> None:
    losses = usual(600)
    losses[99] = losses[149] = losses[399] = 5.0
    raised = [watch.loss(step, loss) for step, loss in enumerate(losses, start=1)]
    assert kinds(told) == [("loss spike", 100), ("loss spike", 400)]
    assert [alert.step for alert in raised if alert is not None] == [100, 400]


def test_one_by_one_finds_what_the_rule_finds_on_the_whole_window(told: list[Alert]) -> None:
    rng = np.random.default_rng(1)
    for seed in range(20):
        losses = np.exp(rng.normal(0, 0.5, 150)) * rng.choice([1.0, 1.0, 1.0, 30.0], 150, p=[0.32, 0.32, 0.33, 0.03])
        told.clear()
        watch, last = LossWatch(Alerts(told.append)), None
        expected = []
        for i in range(len(losses)):
            first = float(np.median(losses[: rules.SPIKE_LEAST])) if i >= rules.SPIKE_LEAST else math.nan
            found = rules.loss_spike(np.arange(i + 1), losses[: i + 1], first_loss=first)
            if found is not None and (last is None or i - last > rules.SPIKE_REST):
                expected.append(i)
                last = i
            watch.loss(i, float(losses[i]))
        assert [alert.step for alert in told if alert.kind is AlertKind.SPIKE] == expected, seed


def test_divergence_of_a_long_training_is_found_in_a_thinned_curve(watch: LossWatch, told: list[Alert]) -> None:
    n = 20_000
    falling = 2.0 * np.exp(-np.arange(n) / 5000) + 0.2
    rising = np.linspace(falling[-1], 3.0, n // 2)
    for step, loss in enumerate([*falling, *rising], start=1):
        watch.loss(step, float(loss))
    (found,) = [alert for alert in told if alert.kind is AlertKind.DIVERGENCE]
    assert found.step is not None
    over = n + int(np.flatnonzero(rising > 0.2366 + 0.5 * (2.2 - 0.2366))[0])  # half of what was gained is lost
    assert over <= found.step < over + 3 * 25 * 128  # within a few stretches of thinned points
    assert len(watch._history.losses) <= 500


def test_a_divergence_lasts_until_the_loss_has_a_new_best(watch: LossWatch, told: list[Alert]) -> None:
    wave = [2.0] * 50 + [0.5] * 50 + [1.9] * 50 + [0.6] * 50 + [1.9] * 50  # up, nearly back, and up again: one episode
    wave += [0.1] * 50 + [1.9] * 50
    for step, loss in enumerate(wave):
        watch.loss(step, loss)
    assert [step for kind, step in kinds(told) if kind == "divergence"] == [149, 349]


def test_a_training_that_goes_well_says_nothing(watch: LossWatch, told: list[Alert]) -> None:
    rng = np.random.default_rng(2)
    for step in range(1, 5001):
        watch.loss(step, float(2.0 * np.exp(-step / 1500) + 0.05 + rng.gamma(2.0, 0.02)))
        if step % 1000 == 0:
            watch.evaluated(step, 2.0 * math.exp(-step / 2000) + 0.1)
    assert told == []


def test_overfitting_uses_the_mean_training_loss_between_evaluations(watch: LossWatch, told: list[Alert]) -> None:
    for i, (training, validation) in enumerate([(1.0, 0.9), (0.6, 0.7), (0.4, 0.8), (0.3, 0.9), (0.2, 1.0)]):
        for step in range(10):
            watch.loss(10 * i + step, training + 0.01 * (step % 2))
        watch.evaluated(10 * (i + 1), validation)
    assert kinds(told) == [("over-fitting", 40)]
    assert told[0].evidence == {"loss": 0.9, "best": 0.7, "best_step": 20, "training": 0.305}


def epochs(watch: LossWatch, losses: list[tuple[float, float]]) -> None:
    for i, (training, validation) in enumerate(losses, start=1):
        watch.loss(i, training)
        watch.evaluated(i, validation)


def test_overfitting_lasts_until_there_is_a_new_best(watch: LossWatch, told: list[Alert]) -> None:
    up_and_down = [0.7, 0.5, 0.6, 0.7, 0.65, 0.7, 0.8, 0.6, 0.7, 0.8]  # one episode
    again = [0.4, 0.5, 0.6, 0.55, 0.7]
    epochs(watch, [(1 - 0.05 * i, loss) for i, loss in enumerate([*up_and_down, *again])])
    assert kinds(told) == [("over-fitting", 4), ("over-fitting", 13)]


def test_a_validation_loss_that_is_blown_up_is_told_once(watch: LossWatch, told: list[Alert]) -> None:
    watch.evaluated(0, 2.4)
    epochs(watch, [(2.0 * 30**i, 2.4 * 40**i) for i in range(1, 9)])
    assert kinds(told) == [("divergence", 1)]


def test_what_was_seen_before_a_resume_is_known_and_not_told_again(watch: LossWatch, told: list[Alert]) -> None:
    watch.restore([(50, 2.4), (100, 0.01), (150, 0.001)], [(0, 2.5), (50, 0.12), (100, 0.2), (150, 0.3)])
    for step in range(151, 200):
        watch.loss(step, 0.0001)
    watch.loss(200, 0.5)  # far above the last ones, and less than a quarter of the first
    watch.evaluated(200, 0.4)
    assert told == []
    watch.loss(201, 0.7)
    for step, loss in ((250, 0.1), (300, 0.2), (350, 0.3)):
        watch.loss(step, 0.0001)
        watch.evaluated(step, loss)
    assert kinds(told) == [("loss spike", 201), ("over-fitting", 350)]


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("loss", "training"), ("train/loss", "training"), ("train_loss", "training"), ("training/loss", "training"),
        ("eval/loss", "validation"), ("val_loss", "validation"), ("validation/loss", "validation"),
        ("test/loss", None), ("train/lossy", None), ("other/loss", None), ("accuracy", None), ("", None),
    ],
)  # fmt: skip
def test_which_metric_is_a_loss(name: str, role: str | None) -> None:
    assert loss_role(name) == role


def test_a_loop_of_somebodys_own_gets_alerts_too(store: Store) -> None:
    with start_run("mine", store=store) as run:
        for i, loss in enumerate(usual(40)):
            run.log({"loss": loss, "accuracy": math.nan}, i)
        run.log({"loss": 9.0}, 40)
        run.log({"loss": math.nan, "val_loss": 1.0}, 41)
    found = list_alerts(store, run.run.key)
    assert found["alert"].tolist() == ["loss spike", "not finite"]
    assert found["step"].tolist() == [40, 41]
    assert list_runs(store)["n_alerts"].tolist() == [2]


def test_a_trainer_of_somebodys_own_gets_alerts_too(store: Store) -> None:
    from transformers import TrainerControl, TrainerState, TrainingArguments

    callback = AssayCallback(store=store, name="theirs")
    arguments, state, control = TrainingArguments("unused", report_to=[]), TrainerState(), TrainerControl()
    callback.on_train_begin(arguments, state, control)
    for evaluation, (training, validation) in enumerate([(1.0, 0.5), (0.8, 0.6), (0.6, 0.7)], start=1):
        state.global_step = 10 * evaluation
        callback.on_log(arguments, state, control, logs={"loss": training, "grad_norm": 1.0})
        callback.on_log(arguments, state, control, logs={"eval_loss": validation})
    callback.on_train_end(arguments, state, control)
    (run,) = list_runs(store).itertuples()
    assert list_alerts(store, run.key)["alert"].tolist() == ["over-fitting"]
