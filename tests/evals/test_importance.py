import numpy as np
import pandas as pd
import pytest

from evals.importance import LEAST_TRIALS, parameter_importance


def trials(n: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    method = rng.choice(["full", "lora"], n)
    return pd.DataFrame(
        {
            "learning_rate": 10 ** rng.uniform(-5, -2, n),
            "method": method,
            "r": np.where(method == "lora", rng.choice([4, 8, 16], n), np.nan),  # conditional: not used by full
            "noise": rng.uniform(size=n),
            "same": 32,
        }
    )


def test_shares_of_a_known_function() -> None:
    """y = a + b of independent a, b with variances 4 to 1: shares of .8 and .2 of what can be explained."""
    frame = trials(400)
    y = 2 * np.log10(frame["learning_rate"]) / np.log10(frame["learning_rate"]).std() + (
        (frame["method"] == "full") - 0.5
    ) / (frame["method"] == "full").std(ddof=0)
    found = parameter_importance(frame[["learning_rate", "method", "noise", "same"]], y)
    shares = found.table.set_index("parameter")["share"]
    assert found.reason is None
    assert found.n == 400
    assert found.explained > 0.9
    assert shares["learning_rate"] == pytest.approx(0.8, abs=0.08)
    assert shares["method"] == pytest.approx(0.2, abs=0.05)
    assert abs(shares["noise"]) < 0.01
    assert "same" not in shares.index  # it never changed: nothing to say about it
    assert (found.table["low"] <= found.table["share"]).all()
    assert (found.table["share"] <= found.table["high"]).all()
    assert found.table["parameter"].tolist() == ["learning_rate", "method", "noise"]


def test_a_conditional_parameter_may_be_absent() -> None:
    frame = trials(200)
    y = np.where(frame["r"].isna(), 0.5, 0.6 + frame["r"] / 100)
    shares = parameter_importance(frame[["r", "noise"]], y).table.set_index("parameter")["share"]
    assert shares["r"] > 0.8


def test_lists_and_booleans_are_categories() -> None:
    rng = np.random.default_rng(1)
    choice = [[["q", "v"], "all-linear"][i] for i in rng.integers(2, size=60)]
    frame = pd.DataFrame({"targets": pd.Series(choice, dtype=object), "flag": rng.uniform(size=60) > 0.5})
    y = [float(isinstance(value, list)) for value in choice]
    found = parameter_importance(frame, y)
    assert found.table["parameter"].iloc[0] == "targets"
    assert found.table["share"].iloc[0] > 0.8


@pytest.mark.parametrize(
    ("n", "objective", "reason"),
    [
        (LEAST_TRIALS - 1, None, "9 finished configurations; it takes 10"),
        (40, 0.5, "all 40 configurations reached the same value"),
        (40, "noise", "predict each other no better"),
    ],
)
def test_what_cannot_be_measured_is_said(n: int, objective: object, reason: str) -> None:
    rng = np.random.default_rng(3)
    y = rng.normal(size=n) if objective in (None, "noise") else np.full(n, objective)
    found = parameter_importance(trials(n), y)
    assert found.table.empty
    assert list(found.table.columns) == ["parameter", "share", "low", "high"]
    assert reason in str(found.reason)


def test_trials_without_a_value_are_left_out() -> None:
    y = np.full(30, np.nan)
    y[:9] = 0.5
    assert parameter_importance(trials(30), y).n == 9
    assert "no parameter has more than one value" in str(
        parameter_importance(trials(30)[["same"]], np.arange(30)).reason
    )
