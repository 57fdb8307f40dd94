"""Charts: exact data in, exact data drawn, and no silence about missing columns."""

import altair as alt
import numpy as np
import pandas as pd
import pytest

from dashboard.charts.classes import confusion_chart, confusion_frame, top_confusions
from dashboard.charts.curves import curve_chart, system_chart
from dashboard.charts.example import history_chart
from dashboard.charts.palette import COLOURS, STATUS_COLOURS, STATUS_SHAPES, require
from store import JobStatus, Status

CURVES = pd.DataFrame(
    {
        "x": [0.0, 1.0, 0.0, 1.0],
        "value": [1.0, 0.5, 0.0, 0.25],
        "run": ["a", "a", "b", "b"],
        "series": ["train", "validation", "train", "validation"],
    }
)
HISTORY = pd.DataFrame(
    {"x": [0, 1], "p_given": [0.2, 0.8], "run": ["a", "a"], "said": ["n", "y"], "is_right": [False, True]}
)
AXES = {"x_title": "step", "y_title": "loss"}


def spec(chart: alt.LayerChart | alt.Chart) -> dict[str, object]:
    return chart.to_dict()


def rows(chart: alt.LayerChart | alt.Chart) -> list[dict[str, object]]:
    (data,) = spec(chart)["datasets"].values()
    return data


def scale_of(chart: alt.LayerChart, channel: str) -> dict[str, object]:
    return spec(chart)["layer"][0]["encoding"][channel]["scale"]


def test_every_status_has_a_shape_and_a_colour() -> None:
    assert set(STATUS_SHAPES) == set(STATUS_COLOURS) == {status.value for status in (*Status, *JobStatus)}
    assert len(set(STATUS_SHAPES.values())) == len(STATUS_SHAPES)
    assert len(set(COLOURS)) == 10


@pytest.mark.parametrize(
    ("draw", "frame"),
    [
        (lambda frame: curve_chart(frame, **AXES, runs=["a"], series=["train"]), CURVES),
        (lambda frame: system_chart(frame, title="Memory", unit="GB"), pd.DataFrame({"seconds": [0], "value": [1]})),
        (lambda frame: confusion_chart(frame, ["a", "b"]), confusion_frame(np.eye(2, dtype=np.int64), ["a", "b"])),
        (lambda frame: history_chart(frame, x_title="epoch", runs=["a"], n_classes=2), HISTORY),
    ],
)
def test_a_missing_column_is_named(draw: object, frame: pd.DataFrame) -> None:
    assert callable(draw)
    assert spec(draw(frame))
    for column in frame.columns:
        with pytest.raises(ValueError, match=rf"missing: {column};"):
            draw(frame.drop(columns=column))


def test_require_names_all_that_is_missing() -> None:
    with pytest.raises(ValueError, match="chart needs the columns a, b, c; missing: a, c; there are: b"):
        require(pd.DataFrame({"b": [1]}), "chart", "a", "b", "c")


def test_curves_keep_a_runs_colour_and_say_what_dashes_mean() -> None:
    chart = curve_chart(CURVES, **AXES, runs=["a", "b"], series=["train", "validation"])
    assert scale_of(chart, "color") == {"domain": ["a", "b"], "range": list(COLOURS[:2])}
    assert scale_of(chart, "strokeDash")["domain"] == ["train", "validation"]
    assert spec(chart)["title"]["subtitle"] == "solid train · dashed validation"
    assert [row["value"] for row in rows(chart)] == [1.0, 0.5, 0.0, 0.25]


def test_curves_of_one_run_colour_its_splits() -> None:
    chart = curve_chart(CURVES[:2], **AXES, runs=["a"], series=["train", "validation"])
    assert scale_of(chart, "color")["domain"] == ["train", "validation"]
    assert "strokeDash" not in spec(chart)["layer"][0]["encoding"]


def test_log_scale_leaves_out_what_has_no_logarithm() -> None:
    chart = curve_chart(CURVES, **AXES, runs=["a", "b"], series=["train", "validation"], is_log=True)
    assert scale_of(chart, "y")["type"] == "log"
    assert [row["value"] for row in rows(chart)] == [1.0, 0.5, 0.25]


def test_confusion_frame_and_chart() -> None:
    frame = confusion_frame(np.array([[8, 2], [0, 0]]), ["no", "yes"])
    assert frame["n"].tolist() == [8, 2, 0, 0]
    assert frame["share"].iloc[:2].tolist() == [0.8, 0.2]
    assert frame["share"].iloc[2:].isna().all()  # nothing was given as "yes": unknown, not 0
    drawn = rows(confusion_chart(frame, ["no", "yes"]))
    assert [(row["given"], row["predicted"], row["n"], row["kind"]) for row in drawn] == [
        ("no", "no", 8, "right"), ("no", "yes", 2, "wrong"), ("yes", "no", 0, "wrong"), ("yes", "yes", 0, "right"),
    ]  # fmt: skip


def test_top_confusions_leave_out_the_diagonal_and_zeros() -> None:
    frame = confusion_frame(np.array([[8, 2, 5], [0, 9, 0], [1, 0, 7]]), ["a", "b", "c"])
    assert top_confusions(frame)[["given", "predicted", "n"]].to_numpy().tolist() == [
        ["a", "c", 5],
        ["a", "b", 2],
        ["c", "a", 1],
    ]


def test_history_chart_draws_chance_where_it_is_known() -> None:
    assert len(spec(history_chart(HISTORY, x_title="epoch", runs=["a"], n_classes=None))["layer"]) == 2
    chart = spec(history_chart(HISTORY, x_title="epoch", runs=["a"], n_classes=4))
    assert [{"p_given": 0.25}] in chart["datasets"].values()
