"""The Flight tab: why, the curves, one step, and the examples of its batch; and alerts on the Run page."""

import time
from urllib.parse import parse_qs

import numpy as np
import pandas as pd
import pytest

from dashboard.charts.flight import flight_chart
from dashboard.parts.alert_lines import newest_of_each_kind
from dashboard.tabs.flight import curve, flight_sentence
from dashboard.triage.asked import chosen_rows
from store import Run, Store, get_dataset, get_flight, list_flights, read_rows
from store.flights import write_flight
from store.ring import FlightRing, Steps
from store.runs import record_event
from tests.dashboard.conftest import Show, words
from tests.dashboard.stores import HOSTILE

NAN = float("nan")


def steps(n: int = 30, width: int = 3) -> Steps:
    """Steps 51 to 50 + n; the last but one has a loss of nan, the last never ended."""
    ring = FlightRing(None, run_id="x" * 26, segment=1, n_positions=width)
    for i in range(n):
        begun = ring.begin(51 + i, [(7 * i + j) % 600 for j in range(width)])
        if i < n - 1:
            ring.end(begun, NAN if i == n - 2 else 1.0 + 0.01 * i, 0.5, 1e-3, 0.1)
    return ring.steps()


def keep(
    store: Store,
    run: Run,
    reason: str,
    kept: Steps,
    *,
    kind: str = "failed",
    step: int | None = None,
    at: float = 0.0,
    segment: int = 1,
) -> int:
    with store.write(run.key) as db:
        write_flight(
            db, run.key, segment, at=at or time.time(), kind=kind, step=step, reason=reason, steps=kept
        )  # fmt: skip
    return int(list_flights(store, run.key)["key"].iloc[-1])


def tab_names(app: object) -> list[str]:
    return [option.content for option in app.button_group(key="tabs-tab").proto.options]  # type: ignore[attr-defined]  # AppTest


def test_the_tab_is_there_only_when_steps_were_kept(show: Show, store: Store, runs: dict[str, Run]) -> None:
    run = runs["tweet-full-lr1e-2"]
    assert "Flight" not in tab_names(show("run", run=run.id))
    assert "Flight" not in tab_names(show("run", run=run.id, tab="Flight"))  # an old link opens the first tab
    keep(store, run, "the loss became NaN at step 79", steps())
    assert tab_names(show("run", run=run.id))[-1] == "Flight"
    assert "Flight" not in tab_names(show("run", run=runs["head"].id))


def test_why_the_curves_and_the_examples_of_the_step_where_it_went_wrong(
    show: Show, store: Store, runs: dict[str, Run]
) -> None:
    run, kept = runs["tweet-full-lr1e-2"], steps()
    keep(store, run, "the loss became NaN at step 79", kept, step=79)
    app = show("run", run=run.id, tab="Flight")
    said = words(app).replace("\\", "")
    assert "The loss became NaN at step 79. Kept are the 30 steps 51 to 80." in said
    assert "Examples that step 79 trained on · n = 3" in said
    assert len(app.get("vega_lite_chart")) == 3
    table = app.dataframe[0].value
    rows = read_rows(store, get_dataset(store, "tweets"), "train", positions=kept.of(79).tolist()).set_index("position")
    expected = rows.loc[kept.of(79)]
    assert table["text"].tolist() == expected["text"].tolist()
    assert table["label"].tolist() == expected["label"].tolist()


def test_another_step_is_a_link(show: Show, store: Store, runs: dict[str, Run]) -> None:
    run = runs["tweet-full-lr1e-2"]
    keep(store, run, "x", steps(), step=79)
    app = show("run", run=run.id, tab="Flight", at="80")
    assert "Examples that step 80 trained on" in words(app)
    assert any("step 80 · it never ended · 3 examples" in str(box.options) for box in app.selectbox)
    for bad in ("9999", "x", "-1"):
        assert "Examples that step 79 trained on" in words(show("run", run=run.id, tab="Flight", at=bad))


def test_a_row_opens_the_example_with_its_history(show: Show, store: Store, runs: dict[str, Run]) -> None:
    run, kept = runs["tweet-full-lr1e-2"], steps()
    keep(store, run, "x", kept, step=60)
    row = read_rows(store, get_dataset(store, "tweets"), "train", positions=[int(kept.of(60)[0])]).iloc[0]
    app = show("run", run=run.id, tab="Flight", example=row["example_id"])
    assert row["text"] in [code.value for code in app.code]
    assert "Where it occurs" in words(app)


def test_large_batches_are_paged_in_the_store(show: Show, store: Store, runs: dict[str, Run]) -> None:
    run = runs["tweet-full-lr1e-2"]
    keep(store, run, "x", steps(4, width=60))
    app = show("run", run=run.id, tab="Flight", page="3")
    assert "n = 60" in words(app)
    assert len(app.dataframe[0].value) == 10


def test_the_examples_of_the_batch_are_one_click_from_triage(show: Show, store: Store, runs: dict[str, Run]) -> None:
    run = runs["tweet-full-lr1e-2"]
    kept = steps(4)
    keep(store, run, "x", kept, step=53)
    (link,) = [each.proto for each in show("run", run=run.id, tab="Flight").get("page_link")
               if each.proto.label == "These examples in triage"]  # fmt: skip
    asked = {name: value for name, (value,) in parse_qs(link.query_string).items()}
    assert asked["data"] == str(get_dataset(store, int(run.dataset_key or 0)))
    assert chosen_rows(asked) == {"train": sorted(set(kept.of(53).tolist()))}
    assert asked["state"] == "all"


def test_of_several_flights_the_newest_is_shown(show: Show, store: Store, runs: dict[str, Run]) -> None:
    run = runs["tweet-full-lr1e-2"]
    first = keep(store, run, "a spike at step 53", steps(4), kind="spike", step=53, at=time.time() - 60)
    keep(store, run, "it was killed", steps(5), kind="killed", segment=2)
    said = words(show("run", run=run.id, tab="Flight"))
    assert "It was killed. Kept are the 5 steps 51 to 55, of segment 2." in said.replace("\\", "")
    older = words(show("run", run=run.id, tab="Flight", flight=str(first))).replace("\\", "")
    assert "A spike at step 53." in older
    assert "Examples that step 53 trained on" in older


def test_a_script_without_a_dataset_has_no_examples(show: Show, store: Store, runs: dict[str, Run]) -> None:
    keep(store, runs["my-script"], "x", steps())
    app = show("run", run=runs["my-script"].id, tab="Flight")
    assert "Recorded without a dataset" in words(app)


@pytest.mark.parametrize("text", [*HOSTILE, ""])
def test_a_hostile_reason_is_plain_text(show: Show, store: Store, runs: dict[str, Run], text: str) -> None:
    keep(store, runs["my-script"], text, steps())
    app = show("run", run=runs["my-script"].id, tab="Flight")
    shown = [*app.markdown, *app.caption]
    for mark in ("<script>", "**bold**", "[link](", "$x$", ":material/delete:"):
        assert not any(mark in element.value for element in shown)


# the parts ---------------------------------------------------------------------------------------------------------


def test_what_is_broken_and_what_was_not_measured() -> None:
    frame = curve(steps(5).frame(), "loss")
    assert frame["is_broken"].tolist() == [False, False, False, True, False]
    assert frame["value"].isna().tolist() == [False, False, False, True, True]
    assert curve(steps(5).frame(), "gradient_norm")["is_broken"].sum() == 0


def test_the_chart_has_its_data_and_checks_its_columns() -> None:
    frame = curve(steps(5).frame(), "loss")
    spec = flight_chart(frame, title="loss", chosen=54).to_dict()
    data = max(spec["datasets"].values(), key=len)
    assert [row["step"] for row in data] == [51, 52, 53, 54, 55]
    assert [row["is_broken"] for row in data] == [False, False, False, True, False]
    assert min(spec["datasets"].values(), key=len) == [{"step": 54}]
    for column in frame.columns:
        with pytest.raises(ValueError, match=rf"missing: {column};"):
            flight_chart(frame.drop(columns=column), title="loss", chosen=54)
    assert flight_chart(frame.head(0), title="loss", chosen=1).to_dict()


def test_the_sentence(store: Store, runs: dict[str, Run]) -> None:
    run = runs["my-script"]
    for kept, said in ((steps(1), "Kept is step 51."), (steps(2), "Kept are the 2 steps 51 to 52.")):
        key = keep(store, run, "out of memory on the device; try less.", kept)
        assert flight_sentence(get_flight(store, key)) == f"Out of memory on the device; try less. {said}"


# alerts ------------------------------------------------------------------------------------------------------------


def test_alerts_are_a_badge_and_the_newest_of_each_kind(show: Show, store: Store, runs: dict[str, Run]) -> None:
    run = runs["tweet-live"]
    for kind, message in (("divergence", "first <b>"), ("disk low", "disk $x$"), ("divergence", "second")):
        with store.write(run.key) as db:
            record_event(db, run.key, "alert", message, {"alert": kind, "step": 3})
    app = show("run", run=run.id)
    said = words(app)
    assert "⚠ 3 alerts" in said
    assert said.index("second") < said.index("disk ")
    assert "first" not in said
    assert "<b>" not in said
    assert "All 3 alerts are among the events under Log" in said.replace("\\", "")
    assert "⚠" not in words(show("run", run=runs["head"].id))


def test_over_fitting_is_not_said_twice(show: Show, store: Store, runs: dict[str, Run]) -> None:
    run = runs["lora2"]
    with store.write(run.key) as db:
        record_event(db, run.key, "alert", "it learns by heart", {"alert": "over-fitting", "step": 120})
    said = words(show("run", run=run.id))
    assert "a sign of over-fitting" in said.replace("\\", "")
    assert "it learns by heart" not in said
    assert "⚠ 1 alert" in said


def test_newest_of_each_kind() -> None:
    frame = pd.DataFrame({"alert": ["a", "b", "a"], "message": ["1", "2", "3"], "at": np.arange(3.0)})
    assert newest_of_each_kind(frame)["message"].tolist() == ["3", "2"]
    assert newest_of_each_kind(frame.head(0)).empty
