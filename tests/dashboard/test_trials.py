"""A sweep's frames and charts: exact data in, exact places and counts out, and no silence about missing columns."""

import altair as alt
import numpy as np
import pandas as pd
import pytest

from dashboard.axes import ABSENT_PLACE, Axis, axes_of, objective_axis, short_names, tick_text
from dashboard.charts.counts import count_chart
from dashboard.charts.parallel import parallel_chart
from dashboard.charts.search import importance_chart, progress_chart, rung_chart, slice_chart, trade_off_chart
from dashboard.trials import (
    MOST_DRAWN,
    brushed,
    drawn,
    parallel_frame,
    parameter_frame,
    progress,
    rung_counts,
    rung_frame,
    seed_means,
    slice_frame,
    trade_off_frame,
    trial_labels,
)
from store import Objective

F1, SECONDS = Objective("f1", "maximize"), Objective("seconds", "minimize")
LR = Axis("training.learning_rate", "learning_rate", "log", 1e-5, 1e-1)
METHOD = Axis("model.method", "method", "choice", choices=("full", "lora"))
R = Axis("model.lora.r", "lora.r", "choice", choices=("4", "16"), has_absent=True)


def trials() -> pd.DataFrame:
    """Four trials: finished, finished with a reused run, pruned, running; they ended in the order 1, 0, 2."""
    parameters = [
        {"training.learning_rate": 1e-3, "model.method": "lora", "model.lora.r": 16},
        {"training.learning_rate": 1e-5, "model.method": "full"},
        {"training.learning_rate": 1e-1, "model.method": "full"},
        {"training.learning_rate": 1e-2, "model.method": "lora", "model.lora.r": 4},
    ]
    return pd.DataFrame(
        {
            "key": [10, 11, 12, 13], "number": [0, 1, 2, 3], "seed": [0, 0, 0, 0], "parameters": parameters,
            "status": ["finished", "finished", "pruned", "running"], "is_reused": [False, True, False, False],
            "f1": [0.7, 0.6, 0.65, np.nan], "seconds": [30.0, 5.0, np.nan, np.nan],
            "held_seconds": [100.0, None, 20.0, None], "peak_device_bytes": [None] * 4,
            "ended_at": [20.0, 10.0, 30.0, np.nan],
        }
    )  # fmt: skip


def test_means_over_seeds_where_there_are_several() -> None:
    frame = pd.DataFrame(
        {
            "number": [0, 0, 0, 1, 2, 2],
            "f1": [0.70, 0.72, 0.74, 0.6, 0.5, 0.9],
            "status": ["finished"] * 4 + ["finished", "running"],
        },
        index=[5, 4, 3, 2, 1, 0],
    )
    found = seed_means(frame, "f1")
    assert found.index.tolist() == frame.index.tolist()
    assert found["mean"].to_numpy() == pytest.approx([0.72] * 3 + [np.nan] * 3, nan_ok=True)
    assert found["half"].to_numpy() == pytest.approx([0.04968] * 3 + [np.nan] * 3, abs=1e-4, nan_ok=True)


# axes --------------------------------------------------------------------------------------------------------------


def test_places_are_logarithmic_in_the_middle_of_choices_and_unknown_for_what_is_absent() -> None:
    parameters = parameter_frame(trials())
    assert LR.places(parameters[LR.path]) == pytest.approx([0.5, 0.0, 1.0, 0.75])
    assert METHOD.places(parameters[METHOD.path]).tolist() == [0.75, 0.25, 0.25, 0.75]
    assert R.places(parameters[R.path]) == pytest.approx([0.75, np.nan, np.nan, 0.25], nan_ok=True)
    assert Axis("x", "x", "linear", 3, 3).places(pd.Series([3.0, np.nan])) == pytest.approx([0.5, np.nan], nan_ok=True)


def test_axes_follow_the_space() -> None:
    parameters = parameter_frame(trials()).assign(
        targets=[["q"], ["q", "v"], None, ["q"]], dropout=[0.1, 0.2, 0.3, 0.4]
    )
    space = {
        "training.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
        "model.method": ["lora", "full", "head"],
        "model.lora.r": [{"values": [4, 16], "when": {"model.method": "lora"}}],
        "dropout": [{"low": 0.0, "high": 0.5, "when": {"model.method": "lora"}}, {"values": [0.9]}],
    }
    axes = {axis.path: axis for axis in axes_of(parameters, space)}
    assert axes["training.learning_rate"] == LR  # widened: what was edited out of the space was tried all the same
    assert (axes["model.method"].scale, axes["model.method"].choices) == ("choice", ("lora", "full"))
    assert (axes["model.lora.r"].choices, axes["model.lora.r"].has_absent) == (("4", "16"), True)
    assert axes["targets"].choices == ('["q"]', '["q", "v"]')
    assert (axes["dropout"].scale, axes["dropout"].low, axes["dropout"].high) == ("linear", 0.0, 0.5)


def test_a_parameter_outside_the_space_is_a_choice_until_it_has_many_numbers() -> None:
    few, many = pd.DataFrame({"x": [1, 2, 3]}), pd.DataFrame({"x": range(30)})
    assert axes_of(few, {})[0].scale == "choice"
    assert axes_of(many, {})[0] == Axis("x", "x", "linear", 0.0, 29.0)
    assert axes_of(pd.DataFrame({"x": [True, False]}), {})[0].choices == ("true", "false")


def test_ticks_are_round_few_and_inside() -> None:
    assert [text for _, text in Axis("x", "x", "linear", 0.613, 0.702).ticks()] == [
        "0.62",
        "0.64",
        "0.66",
        "0.68",
        "0.7",
    ]
    assert [text for _, text in LR.ticks()] == ["1e-5", "1e-4", "0.001", "0.01", "0.1"]
    assert Axis("x", "x", "log", 3e-4, 8e-4).ticks() == [(0.0, "3e-4"), (1.0, "8e-4")]
    many = Axis("x", "x", "choice", choices=tuple(map(str, range(100))))
    assert len(many.ticks()) == 12
    assert R.ticks()[0] == (ABSENT_PLACE, "not used")
    assert [tick_text(value) for value in (0.0, 25_000.0, 1e6, 3e-5)] == ["0", "25k", "1e6", "3e-5"]
    for axis in (LR, METHOD, R, many):
        assert all(ABSENT_PLACE <= place <= 1 for place, _ in axis.ticks())


def test_short_names_tell_apart() -> None:
    assert short_names(["a.x", "b.x", "b.yyy"]) == ["a.x", "b.x", "yyy"]
    assert short_names(["seed"]) == ["seed"]


# frames ------------------------------------------------------------------------------------------------------------


def test_progress_is_in_the_order_of_ending_and_reuse_is_free() -> None:
    found = progress(trials(), F1)
    assert found.unit == "device seconds"
    assert found.frame["label"].tolist() == ["1", "0", "2"]
    assert found.frame["compute"].tolist() == [0.0, 100.0, 120.0]
    assert found.frame["value"].tolist()[:2] == [0.6, 0.7]
    assert np.isnan(found.frame["value"].iloc[2])  # what a pruned trial said early is no result
    assert found.frame["best"].tolist() == [0.6, 0.7, 0.7]
    assert progress(trials(), SECONDS).frame["best"].tolist() == [5.0, 5.0, 5.0]


def test_progress_without_costs_counts_trials_and_gpus_are_named() -> None:
    frame = trials()
    assert progress(frame.assign(held_seconds=None), F1).unit == "trials"
    assert progress(frame.assign(peak_device_bytes=1e9, held_seconds=9000.0), F1).unit == "GPU hours"


def test_lines_stand_where_their_values_are() -> None:
    axes = [LR, METHOD, R, objective_axis("f1", "F1", pd.Series([0.6, 0.7]))]
    frame = parallel_frame(trials(), axes, "f1")
    assert frame["p0"].tolist() == pytest.approx([0.5, 0.0, 1.0, 0.75])
    assert frame["p2"].tolist() == pytest.approx([0.75, ABSENT_PLACE, ABSENT_PLACE, 0.25])
    assert frame["p3"].tolist()[0] > frame["p3"].tolist()[1]
    assert frame["p3"].isna().tolist() == [False, False, True, True]  # pruned and running end before it
    assert frame["said"].iloc[0] == "learning_rate 0.001 · method lora · lora.r 16"


def test_brushes_pick_what_is_in_all_of_them() -> None:
    frame = parallel_frame(trials(), [LR, METHOD, objective_axis("f1", "F1", pd.Series([0.6, 0.7]))], "f1")
    assert brushed(frame, {"brush0": {"p0": [0.4, 1.0]}}).tolist() == [True, False, True, True]
    both = {"brush0": {"p0": [1.0, 0.4]}, "brush1": {"p1": [0.0, 0.5]}, "brush2": {}}
    assert brushed(frame, both).tolist() == [False, False, True, False]
    assert brushed(frame, {"brush2": {"p2": [0.0, 1.0]}}).tolist() == [True, True, False, False]


def test_rungs_say_who_was_stopped_where() -> None:
    reports = pd.DataFrame(
        {
            "trial_key": [10, 10, 11, 12], "number": [0, 0, 1, 2], "rung": [0, 1, 0, 0], "step": [5, 20, 5, 5],
            "epoch": [0.5, 2.0, 0.5, 0.5], "value": [0.5, 0.7, 0.6, 0.4],
        }
    )  # fmt: skip
    frame = rung_frame(reports, trials())
    assert frame["ends"].tolist() == [False, False, False, True]
    assert frame["at"].tolist() == [0.5, 2.0, 0.5, 0.5]
    counts = rung_counts(frame)
    assert counts[["rung", "n", "n_stopped", "low", "high"]].to_numpy().tolist() == [
        [0, 3, 1, 0.4, 0.6],
        [1, 1, 0, 0.7, 0.7],
    ]
    assert rung_frame(reports.assign(epoch=None), trials())["at"].tolist() == [5, 20, 5, 5]


def test_slices_leave_out_what_did_not_finish_or_does_not_have_it() -> None:
    assert slice_frame(trials(), R, "f1").to_dict("records") == [{"label": "0", "x": "16", "value": 0.7}]
    assert slice_frame(trials(), LR, "f1")["x"].tolist() == [1e-3, 1e-5]


def test_the_front_is_over_all_objectives() -> None:
    frame = trade_off_frame(trials(), [F1, SECONDS], "seconds", "f1")
    assert frame["label"].tolist() == ["0", "1"]
    assert frame["is_front"].tolist() == [True, True]  # one is better, the other faster
    worse = trials().assign(seconds=[5.0, 30.0, np.nan, np.nan])
    assert trade_off_frame(worse, [F1, SECONDS], "seconds", "f1")["is_front"].tolist() == [True, False]


def test_only_the_best_are_drawn_of_many() -> None:
    many = pd.concat([trials()] * 300, ignore_index=True).assign(number=range(1200), f1=np.arange(1200) / 1200)
    kept = drawn(many, F1)
    assert len(kept) == MOST_DRAWN
    assert kept["number"].tolist() == list(range(800, 1200))
    assert (drawn(many, SECONDS)["seconds"] == 5.0).sum() == 300  # all of the fastest, then others
    assert len(drawn(trials(), F1)) == 4


def test_labels_name_seeds_where_there_are_several() -> None:
    frame = pd.DataFrame({"number": [3, 3, 4], "seed": [0, 7, 0]})
    assert trial_labels(frame) == ["3 · seed 0", "3 · seed 7", "4"]


# charts ------------------------------------------------------------------------------------------------------------

AXES = [LR, METHOD, R, objective_axis("f1", "F1", pd.Series([0.6, 0.7]))]
LINES = parallel_frame(trials(), AXES, "f1")
RUNGS = pd.DataFrame({"label": ["0"], "at": [1.0], "value": [0.5], "status": ["pruned"], "ends": [True]})
SHARES = pd.DataFrame({"label": ["a"], "share": [0.5], "low": [0.4], "high": [1.3]})


@pytest.mark.parametrize(
    ("draw", "frame"),
    [
        (lambda frame: progress_chart(frame, x_title="s", y_title="F1"), progress(trials(), F1).frame),
        (lambda frame: parallel_chart(frame, AXES, is_maximised=True), LINES),
        (lambda frame: rung_chart(frame, x_title="epochs", y_title="F1"), RUNGS),
        (importance_chart, SHARES),
        (lambda frame: slice_chart(frame, LR, y_title="F1"), slice_frame(trials(), LR, "f1")),
        (lambda frame: slice_chart(frame, METHOD, y_title="F1"), slice_frame(trials(), METHOD, "f1")),
        (
            lambda frame: trade_off_chart(frame, x_title="s", y_title="F1", is_x_log=True),
            trade_off_frame(trials(), [F1, SECONDS], "seconds", "f1"),
        ),
        (lambda frame: count_chart(frame, title="Labels"), pd.DataFrame({"label": ["a"], "n": [3]})),
    ],
)
def test_a_missing_column_is_named(draw: object, frame: pd.DataFrame) -> None:
    assert callable(draw)
    assert draw(frame).to_dict()  # valid Vega-Lite
    for column in frame.columns:
        with pytest.raises(ValueError, match=rf"missing: {column};"):
            draw(frame.drop(columns=column))


def test_every_axis_has_a_brush_that_begins_at_it() -> None:
    spec = parallel_chart(LINES, AXES, is_maximised=True).to_dict()
    brushes = {param["name"]: param["select"] for param in spec["params"]}
    assert set(brushes) == {f"brush{i}" for i in range(len(AXES))}
    assert all(f"axis === {i}]" in brushes[f"brush{i}"]["on"] for i in range(len(AXES)))
    assert all(brush["encodings"] == ["y"] for brush in brushes.values())


def test_the_best_line_is_drawn_last_and_best_is_yellow_in_both_directions() -> None:
    for is_maximised, last in ((True, 0.7), (False, 0.6)):
        chart = parallel_chart(LINES, AXES, is_maximised=is_maximised).to_dict()
        rows = next(rows for rows in chart["datasets"].values() if "p0" in rows[0] and "said" in rows[0])
        assert [row["value"] for row in rows if row["value"] is not None][-1] == last
        colour = chart["layer"][1]["encoding"]["color"]["condition"]["scale"]
        best = colour["range"][2 if is_maximised else 0]
        assert best == "#E9A800"


def test_three_hundred_trials_are_a_few_thousand_marks() -> None:
    many = pd.concat([trials()] * 75, ignore_index=True).assign(number=range(300), key=range(300))
    lines = parallel_frame(drawn(many, F1), AXES, "f1")
    assert len(lines) * len(AXES) <= 3000
    chart = parallel_chart(lines, AXES, is_maximised=True)
    assert isinstance(chart, alt.LayerChart)
    assert sum(len(rows) for rows in chart.to_dict()["datasets"].values()) < 400
