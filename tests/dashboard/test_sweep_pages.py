"""The pages about sweeps in every state, and what their buttons ask of the store."""

import re
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from dashboard import work_queries
from dashboard.parts.sweep_actions import sweep_arguments
from dashboard.parts.sweep_budget import used_up
from dashboard.parts.trials_table import trial_columns, trials_table
from dashboard.source import Source
from dashboard.sweep_sentences import leaders_sentence, objective_title, spent_text, sweep_sentence
from dashboard.trials import seed_means
from evals.leaders import Leaders
from store import (
    Run,
    Status,
    Store,
    Sweep,
    get_dataset,
    get_job,
    get_sweep,
    list_jobs,
    list_trials,
    list_workers,
    open_store,
    queue_job,
)
from store.trials import end_trial, read_trials
from tests.dashboard.conftest import Show, words
from tests.dashboard.sweeps import MACRO_F1, SECONDS, make_sweep

SECTIONS = ("Trials", "Parameters", "Rungs", "Recipe")


@pytest.fixture
def sweep(store: Store) -> Sweep:
    """Fourteen of twenty configurations, stopped; with predictions."""
    return make_sweep(store, n=14, ends="killed", dataset=get_dataset(store, "tweets"))


def source_of(store: Store) -> Source:
    return Source(str(store.path), store.version())


def plain(app: AppTest) -> str:
    """Everything a page says, without the marks that keep it from being markdown."""
    return words(app).replace("\\", "")


def sections(app: AppTest) -> list[str]:
    return [option.content for option in app.button_group(key="tabs-section").proto.options]


def button(app: AppTest, label: str) -> object:
    return next(button for button in app.button if button.label == label)


# the list ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("view", ["sweeps", "sweep"])
def test_without_sweeps_the_command_is_said(show: Show, empty_path: Path, view: str) -> None:
    assert "runner sweep" in plain(show(view))


def test_the_list_says_how_far_each_is(show: Show, store: Store, sweep: Sweep) -> None:
    make_sweep(store, "live", n=5, wanted=30, seed=1, ends="running")
    table = show("sweeps").dataframe[0].value.set_index("name")
    assert table.loc["tweets-search", "status"] == ["■ killed"]
    assert table.loc["live", "status"] == ["● running"]
    assert table.loc["tweets-search", ["done", "wanted", "progress"]].tolist() == [14, 20, 0.7]
    assert table.loc["live", "done"] == 4
    trials = list_trials(store, sweep.key)
    assert table.loc["tweets-search", "pruned"] == (trials["status"] == "pruned").sum() > 0
    assert table.loc["tweets-search", "failed"] == (trials["status"] == "failed").sum() > 0
    finished = trials[trials["status"] == "finished"]
    assert table.loc["tweets-search", "best"] == finished["validation/macro_f1"].max()
    assert table.loc["tweets-search", "cost"] == pytest.approx(trials["held_seconds"].sum() / 3600)


def test_three_hundred_sweeps_are_one_table(show: Show, store: Store) -> None:
    for i in range(30):
        make_sweep(store, f"many-{i}", n=1, seed=i, with_scores=False)
    assert len(show("sweeps").dataframe[0].value) == 30


# one sweep ---------------------------------------------------------------------------------------------------------


def test_the_sentence_comes_first(show: Show, store: Store, sweep: Sweep) -> None:
    app = show("sweep", sweep=sweep.id)
    said = plain(app)
    trials = list_trials(store, sweep.key)
    best = trials.loc[trials[trials["status"] == "finished"]["validation/macro_f1"].idxmax()]
    assert f"14 of 20 trials; best {best['validation/macro_f1']:.3f} ± 0.020 macro F1 (trial {best['number']})" in said
    assert "cannot be told apart yet: with one seed each nobody knows how much is chance" in said
    assert "stopped: asked to" in said
    assert sections(app) == list(SECTIONS)


@pytest.mark.parametrize("section", [*SECTIONS, "Trade-off"])
@pytest.mark.parametrize("ends", ["finished", "running", "killed"])
def test_every_section_of_every_kind(show: Show, store: Store, section: str, ends: str) -> None:
    made = make_sweep(store, n=12, wanted=12, ends=ends, objectives=(MACRO_F1, SECONDS), with_scores=False)
    assert "12 trials" in plain(show("sweep", sweep=made.id, section=section))


@pytest.mark.parametrize("section", SECTIONS)
@pytest.mark.parametrize("n", [0, 1])
def test_a_sweep_that_has_hardly_begun(show: Show, store: Store, section: str, n: int) -> None:
    made = make_sweep(store, n=n, ends="running")
    said = plain(show("sweep", sweep=made.id, section=section))
    assert ("No trial yet: the first trial is being prepared" in said) == (n == 0)
    if section == "Trials" and n:
        assert "No trial has finished yet" in said


def test_three_hundred_trials(show: Show, store: Store) -> None:
    made = make_sweep(store, "large", n=300, wanted=300, with_scores=False)
    for section in SECTIONS:
        app = show("sweep", sweep=made.id, section=section)
        assert "300 of 300 trials" in plain(app)
    app = show("sweep", sweep=made.id)
    assert len(app.dataframe[0].value) == 300
    n_finished = int((list_trials(store, made.key)["status"] == "finished").sum())
    assert f"n = {n_finished} finished" in plain(app)


def test_the_table_is_sorted_and_holds_what_is_known(show: Show, store: Store, sweep: Sweep) -> None:
    table = show("sweep", sweep=sweep.id).dataframe[0].value
    values = table["objective0"].dropna().tolist()
    assert values == sorted(values, reverse=True)
    assert len(table) == 14
    pruned = table[[list(status) == ["◇ pruned"] for status in table["status"]]]
    assert pruned["objective0"].isna().all()
    assert pruned["last"].notna().all()
    assert (pruned["note"] == "pruned by asha").all()


def test_importance_is_not_measured_below_ten_and_seeds_count_as_one(show: Show, store: Store) -> None:
    few = make_sweep(store, "few", n=8, n_seeds=3, seed=1, with_scores=False)
    said = plain(show("sweep", sweep=few.id))
    assert "not measured" in said
    n = list_trials(store, few.key).query("status == 'finished'")["number"].nunique()
    assert f"{n} finished configurations; it takes 10 to say anything" in said


def test_rungs_count_who_was_stopped(show: Show, store: Store, sweep: Sweep) -> None:
    app = show("sweep", sweep=sweep.id, section="Rungs")
    counts = app.dataframe[0].value
    n_pruned = int((list_trials(store, sweep.key)["status"] == "pruned").sum())
    assert counts["n_stopped"].sum() == n_pruned > 0
    assert counts["n"].tolist() == sorted(counts["n"], reverse=True)
    assert "of the epochs of these trials were not trained" in plain(app)


def test_trade_off_lists_the_front(show: Show, store: Store) -> None:
    made = make_sweep(store, n=20, objectives=(MACRO_F1, SECONDS), with_scores=False)
    front = show("sweep", sweep=made.id, section="Trade-off").dataframe[0].value
    finished = list_trials(store, made.key).query("status == 'finished'")
    assert 0 < len(front) < len(finished)
    fastest = finished["cost/wall_seconds"].min()
    assert front["objective1"].min() == fastest
    assert front["objective0"].max() == finished["validation/macro_f1"].max()


def test_a_front_without_a_parameter_that_other_trials_have(show: Show, store: Store) -> None:
    made = make_sweep(store, n=20, objectives=(MACRO_F1, SECONDS), with_scores=False)
    with store.write() as db:  # those with model.lora.r are beaten in everything
        db.execute(
            "UPDATE trials SET objective_values = '[0.1, 9e9]' WHERE status = 'finished'"
            " AND json_extract(parameters, '$.\"model.method\"') = 'lora'"
        )
    trials = list_trials(store, made.key)
    assert any("model.lora.r" in values for values in trials["parameters"])
    front = show("sweep", sweep=made.id, section="Trade-off").dataframe[0].value
    assert len(front) > 0
    assert front.filter(like="parameter").isna().all().tolist().count(True) == 1


def test_two_objectives_show_a_section_more(show: Show, store: Store, sweep: Sweep) -> None:
    two = make_sweep(store, "two", n=3, objectives=(MACRO_F1, SECONDS), with_scores=False)
    assert "Trade-off" in sections(show("sweep", sweep=two.id))
    assert "Trade-off" not in sections(show("sweep", sweep=sweep.id, section="Trade-off"))


@pytest.mark.parametrize("bad", ["NOSUCH", "<script>alert(1)</script>", "01"])
def test_a_bad_sweep_is_answered_in_words(show: Show, sweep: Sweep, bad: str) -> None:
    said = words(show("sweep", sweep=bad))
    assert "no sweep" in said
    assert "<script>" not in said


def test_a_hostile_name_and_cause_are_text(show: Show, store: Store) -> None:
    name = "<b>bold</b> **run** $x$"
    made = make_sweep(store, name, n=12, with_scores=False)
    trial = read_trials(store, made.key)[0]
    end_trial(store, trial, Status.FAILED, "<script>alert(1)</script> [x](y)")
    for section in SECTIONS:
        app = show("sweep", sweep=made.id, section=section)
        for element in [*app.markdown, *app.caption, *app.subheader, *app.warning]:
            assert "<b>" not in element.value
            assert "<script>" not in element.value


def test_the_call_behind_the_numbers_runs(show: Show, sweep: Sweep) -> None:
    pages = [show("sweep", sweep=sweep.id), show("sweep", sweep=sweep.id, section="Rungs"), show("sweeps")]
    snippets = {code.value for app in pages for code in app.code if "open_readonly" in code.value}
    assert len(snippets) == 3
    for snippet in snippets:
        names: dict[str, object] = {}
        exec(snippet, names)  # our own code, as a reader would paste it
        assert any(isinstance(value, pd.DataFrame) and len(value) for value in names.values())


# what is said ------------------------------------------------------------------------------------------------------


def table(differences: list[float], needed: list[float], separated: list[bool], n_seeds: int = 1) -> Leaders:
    """The first is the best."""
    frame = pd.DataFrame(
        {
            "number": range(4, 4 + len(needed)),
            "mean": [0.7 + d for d in differences], "difference": differences, "n_seeds": n_seeds,
            "p": [float("nan"), *[0.5] * (len(needed) - 1)],
            "is_separated": separated, "n_seeds_needed": needed,
        }
    )  # fmt: skip
    return Leaders(frame, tuple(frame.loc[~frame["is_separated"], "number"].tolist()), True, 60.0)


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("needed", "separated", "n_seeds", "said"),
    [
        ([NAN, 5, 4], [False, True, True], 2, "Trial 4 is better than every other, by the paired "
         "test on validation examples."),
        ([NAN, 4, 5], [False, False, False], 3, "Trials 4, 5 and 6 cannot be told apart yet: about 2 more seeds each "
         "would, about 6 min 00 s."),
        ([NAN, 3, 400], [False, False, False], 2, "Trials 4, 5 and 6 cannot be told apart yet: about 1 more seed each "
         "would for 1 of them, about 3 min 00 s; the rest hardly differ."),
        ([NAN, 400, INF], [False, False, False], 2, "Trials 4, 5 and 6 cannot be told apart yet: they lie within 0.02, "
         "and 20 seeds each would not do it. Take the cheapest."),
        ([NAN, NAN], [False, False], 1, "Trials 4 and 5 cannot be told apart yet: with one seed each nobody knows how "
         "much is chance; 3 each would show it, about 4 min 00 s."),
    ],
)  # fmt: skip
def test_leaders_in_a_sentence(needed: list[float], separated: list[bool], n_seeds: int, said: str) -> None:
    found = table([-0.01 * i for i in range(len(needed))], needed, separated, n_seeds)
    assert leaders_sentence(found, [MACRO_F1]) == said


def test_many_leaders_are_counted_and_none_is_nothing() -> None:
    many = table([0.0] * 6, [NAN, *[3.0] * 5], [False] * 6, 2)
    assert str(leaders_sentence(many, [MACRO_F1])).startswith("The top 6 (trials 4, 5, 6, …) cannot be told apart yet")
    assert leaders_sentence(None, [MACRO_F1]) is None


def test_contenders_are_compared_on_their_predictions(store: Store) -> None:
    made = make_sweep(store, n=6, n_seeds=2, dataset=get_dataset(store, "tweets"))
    here = source_of(store)
    trials = list_trials(store, made.key)
    found = work_queries.leaders(here, made, trials)
    assert found is not None
    assert found.are_compared
    assert (found.table["n_seeds"] <= 2).all()
    finished = trials[trials["status"] == "finished"]
    assert set(found.numbers) == set(finished["number"])
    assert found.table["mean"].is_monotonic_decreasing
    without = make_sweep(store, "without", n=4)
    not_compared = work_queries.leaders(source_of(store), without, list_trials(store, without.key))
    assert not_compared is not None
    assert "cannot be compared" in str(leaders_sentence(not_compared, without.objectives))
    timed = make_sweep(store, "timed", n=3, objectives=(SECONDS,), with_scores=False)
    costs = work_queries.leaders(source_of(store), timed, list_trials(store, timed.key))
    assert costs is not None
    assert leaders_sentence(costs, timed.objectives) is None, "no mean over examples"


def test_the_page_and_the_command_decide_alike(store: Store) -> None:
    from runner.sweep.leaders import leaders_of
    from tests.runner.sweep.recipes import search_of

    space = '[sweep]\ntrials = 9\n[sweep.space]\n"training.epochs" = { low = 1, high = 99 }'
    for objectives in ((MACRO_F1,), (MACRO_F1, SECONDS)):
        made = make_sweep(store, n=6, n_seeds=2, objectives=objectives, dataset=get_dataset(store, "tweets"))
        shown = work_queries.leaders(source_of(store), made, list_trials(store, made.key))
        names = [objective.metric for objective in objectives]
        said = leaders_of(store, search_of(space, f"sweep.objectives={names!r}"), made.key)
        assert shown is not None
        assert said is not None
        assert (shown.numbers, shown.contenders, shown.seconds) == (said.numbers, said.contenders, said.seconds)
        pd.testing.assert_frame_equal(shown.table, said.table)


def test_the_best_of_several_objectives_stands_on_the_front(store: Store) -> None:
    made = make_sweep(store, n=4, wanted=4, objectives=(MACRO_F1, SECONDS), with_scores=False)
    trials = list_trials(store, made.key).assign(**{"validation/macro_f1": 0.7, "status": "finished"})
    found = work_queries.leaders(source_of(store), made, trials)
    assert found is not None
    cheapest = int(trials.loc[trials["cost/wall_seconds"].idxmin(), "number"])
    assert found.contenders == (cheapest,)
    assert f"(trial {cheapest})" in sweep_sentence(made, trials, found.numbers[0])
    assert leaders_sentence(found, made.objectives) == (
        f"No configuration beats trial {cheapest} in every objective (the Pareto front)."
    )


def test_sentences_of_seeds_costs_and_objectives(store: Store) -> None:
    made = make_sweep(store, n=3, wanted=3, n_seeds=3, with_scores=False)
    trials = list_trials(store, made.key)
    assert sweep_sentence(made, trials, 1).startswith("3 of 3 trials, with up to 3 seeds; best 0.")
    assert re.search(r"best 0\.\d+ ± 0\.\d+ macro F1 \(trial \d, mean of 3 seeds\)", sweep_sentence(made, trials, 1))
    table = trials_table(trials, [], made.objectives, seed_means(trials, made.objectives[0].metric))
    assert (table["mean_half"] > 0).all()
    assert table.groupby(trials["number"])["mean"].nunique().tolist() == [1, 1, 1]
    assert set(table.columns) <= set(trial_columns([], made.objectives))
    assert str(spent_text(trials)).endswith("of the device")
    assert spent_text(trials.assign(held_seconds=None)) is None
    assert objective_title("cost/peak_device_bytes") == "peak device memory (bytes)"


# what its buttons do -----------------------------------------------------------------------------------------------


def test_stop_is_asked_of_the_driver(show: Show, store: Store) -> None:
    made = make_sweep(store, n=4, ends="running")
    app = show("sweep", sweep=made.id)
    button(app, "Stop").click().run()  # type: ignore[attr-defined]  # AppTest's buttons
    assert get_sweep(store, made.key).request == "stop"
    assert button(app, "Stop").disabled  # type: ignore[attr-defined]  # as above
    assert "asked to stop" in plain(app)


def test_resume_queues_a_job_once(show: Show, store: Store, sweep: Sweep) -> None:
    app = show("sweep", sweep=sweep.id)
    button(app, "Resume").click().run()  # type: ignore[attr-defined]  # as above
    (job,) = list_jobs(store).to_dict("records")
    assert (job["kind"], job["name"], job["status"], job["max_attempts"]) == ("sweep", "tweets-search", "queued", 3)
    assert not any(each.label == "Resume" for each in app.button)  # it waits in the queue now
    assert "No worker is running" in plain(app)


def test_arguments_of_a_job_name_the_sweep_and_what_is_wanted(sweep: Sweep) -> None:
    assert sweep_arguments(sweep) == {"recipe": sweep.id, "recipe_device": "auto", "options": {}}
    assert sweep_arguments(sweep, {"trials": 40})["options"] == {"trials": 40}


def test_failed_trials_can_be_tried_again(show: Show, store: Store) -> None:
    made = make_sweep(store, n=10, wanted=10, with_scores=False)
    app = show("sweep", sweep=made.id)
    button(app, "Retry 1 failed").click().run()  # type: ignore[attr-defined]  # as above
    assert get_job(store, "@latest").arguments["options"] == {"retry": True}
    whole = make_sweep(store, "whole", n=3, wanted=3, with_scores=False)
    assert not any(each.label.startswith("Retry") for each in show("sweep", sweep=whole.id).button)


@pytest.mark.parametrize("key", ["Resume", "extend", "seeds", "retry"])
def test_a_sweep_that_used_up_its_hours_goes_on_with_more(show: Show, store: Store, key: str) -> None:
    made = make_sweep(store, n=10, wanted=20, with_scores=False)
    with store.write() as db:
        db.execute(
            "UPDATE sweeps SET wall_seconds = 7300, cause = 'its 2 hours are over (max_hours); raise them to go on',"
            " recipe = json_set(recipe, '$.sweep.max_hours', 2.0, '$.sweep.max_gpu_hours', 100.0)"
        )
    app = show("sweep", sweep=made.id)
    assert [field.label for field in app.number_input if "Hours" in field.label] == ["Hours in all"]
    app.number_input(key="sweep-max-hours").set_value(5.5).run()
    pressed = button(app, key) if key == "Resume" else app.button(key=key)
    pressed.click().run()  # type: ignore[attr-defined]  # as above
    options = get_job(store, "@latest").arguments["options"]
    assert options.pop("max-hours") == 5.5
    assert options == {"Resume": {}, "extend": {"trials": 30}, "seeds": {"seeds": 3}, "retry": {"retry": True}}[key]


def test_hours_of_devices_are_those_that_its_trials_held(store: Store) -> None:
    made = make_sweep(store, n=10, wanted=None, with_scores=False)
    trials = list_trials(store, made.key)
    hours = trials["held_seconds"].sum() / 3600
    with store.write() as db:
        db.execute("UPDATE sweeps SET recipe = json_set(recipe, '$.sweep.max_gpu_hours', ?)", (hours / 2,))
    (limit,) = used_up(get_sweep(store, made.key), trials)
    assert (limit.option, limit.used) == ("max-gpu-hours", pytest.approx(hours))
    assert used_up(get_sweep(store, made.key), trials.assign(held_seconds=None)) == []


def test_extend_and_seeds_queue_with_their_numbers(show: Show, store: Store, sweep: Sweep) -> None:
    app = show("sweep", sweep=sweep.id)
    app.number_input(key="extend-by").set_value(5).run()
    app.button(key="extend").click().run()
    job = get_job(store, "@latest")
    assert job.arguments["options"] == {"trials": 25}
    assert job.device is None


@pytest.mark.parametrize(("device", "queued"), [("cpu", None), ("auto", None), ("cuda:1", "cuda:1")])
def test_a_sweep_is_queued_for_the_device_that_it_needs(
    show: Show, store: Store, sweep: Sweep, device: str, queued: str | None
) -> None:
    with store.write() as db:
        db.execute("UPDATE sweeps SET recipe = json_set(recipe, '$.training.device', ?)", (device,))
    show("sweep", sweep=sweep.id).button(key="extend").click().run()
    assert get_job(store, "@latest").device == queued


def test_a_finished_sweep_needs_no_resume_and_a_locked_store_says_so(
    show: Show, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make_sweep(store, n=3, wanted=3, with_scores=False)
    app = show("sweep", sweep=made.id)
    assert not any(each.label == "Resume" for each in app.button)

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("database is locked")

    monkeypatch.setattr("dashboard.writing.open_store", refuse)
    app.button(key="seeds").click().run()
    assert "Nothing was written: RuntimeError: database is locked" in app.toast[0].value.replace("\\", "")
    assert list_jobs(store).empty


# live --------------------------------------------------------------------------------------------------------------


def test_a_trial_that_ends_shows_at_the_next_look(show: Show, store: Store) -> None:
    made = make_sweep(store, n=5, wanted=9, ends="running")
    app = show("sweep", sweep=made.id)
    assert "4 of 9 trials" in plain(app)
    live = read_trials(store, made.key)[-1]
    end_trial(store, live, Status.FINISHED, None, (0.9,))
    app.run()
    assert "5 of 9 trials; best 0.900" in plain(app)


@pytest.mark.parametrize("key", ["Resume", "extend", "seeds", "retry"])
def test_the_page_is_live_as_long_as_a_job_goes_on_with_it(
    show: Show, store: Store, sweep: Sweep, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    fragment = st.fragment

    def spy(*arguments: Any, run_every: float | None = None, **more: Any) -> Any:
        asked.append(run_every)
        return fragment(*arguments, run_every=run_every, **more)

    monkeypatch.setattr(st, "fragment", spy)
    app = show("sweep", sweep=sweep.id)
    assert asked[-1] is None
    pressed = button(app, key) if key == "Resume" else app.button(key=key)
    pressed.click().run()  # type: ignore[attr-defined]  # as above
    for status in ("queued", "paused", "running"):
        with store.write() as db:
            db.execute("UPDATE jobs SET status = ?", (status,))
        app.run()
        assert f"A job to go on with it is {status}" in [link.proto.label for link in app.get("page_link")]
        assert asked[-1] is not None
    with store.write() as db:
        db.execute("UPDATE jobs SET status = 'finished'")
    app.run()
    assert asked[-1] is None


def test_a_dead_driver_gets_its_cause(show: Show, store: Store) -> None:
    made = make_sweep(store, n=3, ends="running", with_scores=False)
    with store.write() as db:
        db.execute("UPDATE sweeps SET pid = 2147483646, heartbeat_at = ? WHERE key = ?", (time.time() - 60, made.key))
    said = plain(show("sweep", sweep=made.id))
    assert "Failed" in said
    assert "ended without a word" in said


def test_pages_read_a_store_without_writing_to_it(show: Show, store: Store, sweep: Sweep, runs: dict[str, Run]) -> None:
    show("sweep", sweep=sweep.id)
    before = store.version()
    for view in ("sweeps", "new_run", "jobs"):
        show(view)
    show("sweep", sweep=sweep.id, section="Rungs")
    assert store.version() == before
    assert list_workers(store).empty
    reopened = open_store(store.path)
    queue_job(reopened, "train", "a", {})
    reopened.close()
    assert store.version() == before + 1


def test_runs_can_leave_out_all_but_the_best_of_a_sweep(show: Show, store: Store, sweep: Sweep) -> None:
    every, best = show(), show("runs", best="true")
    assert len(every.dataframe[0].value) == 8 + 14
    names = best.dataframe[0].value["name"].tolist()
    finished = list_trials(store, sweep.key).query("status == 'finished'")
    wanted = finished.loc[finished["validation/macro_f1"].idxmax(), "run_name"]
    assert [name for name in names if name.startswith("tweets-search")] == [wanted]
    assert len(names) == 8 + 1
    assert "Only the best of a sweep" not in [toggle.label for toggle in show("run").toggle]


def test_a_trial_leads_to_its_sweep_and_a_pruned_one_can_go_on(show: Show, store: Store, sweep: Sweep) -> None:
    pruned = list_trials(store, sweep.key).query("status == 'pruned'").iloc[0]
    with store.write() as db:
        db.execute(
            'UPDATE runs SET recipe = \'{"model": {"method": "head"}}\' WHERE key = ?', (int(pruned["run_key"]),)
        )
    app = show("run", run=pruned["run_id"])
    assert any("sweep=tweets-search" in str(link.proto) for link in app.get("page_link"))
    app.button(key="resume-run").click().run()
    (job,) = list_jobs(store).to_dict("records")
    assert (job["kind"], job["run_id"], job["status"]) == ("resume", pruned["run_id"], "queued")
    assert "resume-run" not in {button.key for button in app.button}
