"""What a person sees: lines while it runs, the plan before, the table after."""

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from runner.recipe import parse_recipe
from runner.sweep.display import Bar, Lines, Snapshot, make_display
from runner.sweep.places import find_places
from runner.sweep.preview import preview
from runner.sweep.rungs import count_epochs
from runner.sweep.summary import as_dict, best_recipe, summarise, text
from store import Dataset, Status, Store, TrialReport
from tests.runner.sweep.recipes import configuration, load, search_of
from tests.runner.sweep.test_driver import RATES, Swept, sweep_text
from tests.runner.sweep.test_preview import planned


def snapshot(**changes: object) -> Snapshot:
    statuses = (Status.FINISHED, Status.PRUNED, Status.FAILED, Status.RUNNING)
    trials = tuple(configuration(i, {}, status).first for i, status in enumerate(statuses))
    made = Snapshot(trials, 8, (4,), 0, "validation/loss", (0, 0.25), 75.0, 70.0, 0.5)
    return replace(made, **changes)  # type: ignore[arg-type]  # the test says what each field holds


def test_a_line_says_how_far_it_is() -> None:
    assert snapshot().line() == (
        "4 of 8 configurations · 1 finished · 1 running · 1 stopped early · 1 failed"
        " · best validation/loss 0.25 (trial 0)"
        " · 1:15 so far, 1:10 of devices · 50% of the epochs saved"
    )
    assert "1 running · 2 waiting in the queue · 1 stopped early" in snapshot(n_waiting=2).line()
    assert snapshot(trials=snapshot().trials[:1], n_wanted=None).line().startswith("1 configuration · ")
    bare = snapshot(trials=(), n_wanted=None, at_work=(), best=None, saved_share=None, worked_seconds=0.0)
    assert bare.line() == "0 configurations · 0 finished · 0 running · 0:00 so far, 1:10 of devices"


def test_lines_come_when_something_ended_and_now_and_then() -> None:
    stream = io.StringIO()
    lines = Lines(stream, seconds=1000)
    lines.update(snapshot())
    lines.update(snapshot(worked_seconds=80.0))
    assert stream.getvalue().count("\n") == 1, "nothing ended in between"
    lines.update(snapshot(trials=snapshot().trials[:1]))
    lines.say("trial 3 failed: bad\x1b[31m\nthing")
    lines.close()
    assert stream.getvalue().count("\n") == 3
    assert "\x1b" not in stream.getvalue()
    quiet = Lines(stream, is_quiet=True)
    quiet.update(snapshot())
    quiet.say("x")
    assert stream.getvalue().count("\n") == 3


def test_a_bar_shows_the_same() -> None:
    stream = io.StringIO()
    bar = Bar(stream)
    bar.say("trial 1 finished: [bold]0.5")
    bar.update(snapshot())
    bar.close()
    bar.close()
    assert "trial 1 finished: [bold]0.5" in stream.getvalue()
    assert isinstance(make_display(is_plain=True), Lines)
    assert isinstance(make_display(is_quiet=True), Lines)


def test_places_share_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = load("", "training.device=cpu").recipe
    assert find_places(cpu, None) == ((None,), None)
    monkeypatch.setattr("runner.sweep.places._n_cores", lambda: 8)
    assert find_places(cpu, 3) == ((None,) * 3, 2)
    monkeypatch.setattr("runner.queue.devices.list_devices", lambda: ("cuda:0", "cuda:1", "cpu"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    any_device = load("").recipe
    assert find_places(any_device, None) == (("0", "1"), 4)
    assert find_places(any_device, 3).devices == ("0", "1", "0")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,GPU-ab")
    assert find_places(any_device, None).devices == ("5", "GPU-ab")
    assert find_places(load("", "training.device=cuda:1").recipe, None).devices == (None,), "it finds it by itself"


def test_the_plan_of_a_grid_says_what_is_there(store: Store, dataset: Dataset) -> None:
    grid = sweep_text('sampler = "grid"\npruner = "asha"\nseeds = 2', '"training.learning_rate" = [1e-3, 1e-2]')
    search = search_of(grid, "evaluation.select=validation/accuracy")
    assert list(preview(search, None, 9)) == [
        "search: 2 of 2 configurations by grid, to maximize validation/accuracy",
        "  training.learning_rate = 0.001, 0.01",
        "pruner asha looks at 0.0625, 0.25 of each trial's steps",
        "2 seeds for those that contend for the best",
        "next:",
        "  0: training.learning_rate = 0.001",
        "  1: training.learning_rate = 0.01",
    ]
    plain = sweep_text('sampler = "grid"', '"training.learning_rate" = [1e-3]')
    run = Swept(store, plain, dataset, "name=earlier")
    shown = planned(store, grid, dataset)
    assert f"  0: training.learning_rate = 0.001   reuses run earlier-0 ({_run_id(store, run)})" in shown
    Swept(store, grid, dataset)
    assert planned(store, grid, dataset)[-1] == (
        "2 configurations are there already; a finished trial is not run again"
    )


def _run_id(store: Store, swept: Swept) -> str:
    from store import get_run

    return get_run(store, int(swept.trials[0].run_key or 0)).id


def test_the_plan_of_a_search_shows_its_conditions() -> None:
    space = '"model.method" = ["head", "lora"]\n"model.lora.r" = { low = 2, high = 64, log = true }\n' + RATES
    lines = list(preview(search_of(sweep_text('sampler = "gp"\ntrials = 3', space)), None, 2))
    assert lines[0] == "search: 3 configurations by gp, to maximize validation/macro_f1"
    assert '  model.lora.r = 2 to 64 on a logarithmic scale   (when model.method is "lora")' in lines
    assert "sampler gp draws at random what has conditions: model.lora.r" in lines


def test_the_plan_says_who_gets_seeds() -> None:
    lines = sweep_text('sampler = "grid"\nseeds = 3\nseeds_for = "all"', '"training.epochs" = [1, 2]')
    assert "3 seeds for each that is not stopped early" in list(preview(search_of(lines), None, 2))


def test_the_end_is_a_table_a_sentence_and_a_recipe(store: Store, dataset: Dataset) -> None:
    swept = Swept(store, sweep_text('sampler = "random"\npruner = "asha"\ntrials = 14'), dataset)
    summary = summarise(store, swept.sweep, swept.taken.search)
    shown = text(store, summary, "runner sweep r.toml", 1)
    assert f"sweep search ({swept.sweep.id}) finished" in shown
    assert "validation/accuracy  seeds  learning_rate" in shown
    stopped = {trial.number for trial in swept.trials if trial.status == "pruned"}
    below = shown.split("stopped early, the best of the last rung first:\n")[1].splitlines()
    assert below[0].split() == ["trial", "validation/accuracy", "then", "share", "of", "steps", "learning_rate"]
    rows = [line.split() for line in below[1:13]]
    assert {int(row[0]) for row in rows} < stopped
    assert below[13] == f"… and {len(stopped) - 12} more"
    shares = [float(row[2]) for row in rows]
    assert shares == sorted(shares, reverse=True)
    assert set(shares) <= {0.0625, 0.25}
    assert "its trials held devices for" in shown
    assert "pruning saved" in shown
    best = best_recipe(summary)
    assert best is not None
    assert best.startswith(f"# Trial {summary.leaders.numbers[0] if summary.leaders else '?'} of sweep search (")
    again = parse_recipe(best, folder=Path("/nowhere"))
    assert (again.recipe.name, again.recipe.tags, again.recipe.sweep) == ("search-best", (), None)
    number = summary.leaders.numbers[0] if summary.leaders else -1
    assert again.hash == next(trial.recipe_hash for trial in swept.trials if trial.number == number)
    values = as_dict(store, summary, "runner sweep r.toml", 1)
    assert json.loads(json.dumps(values))["status"] == "finished"
    assert len(values["trials"]) == 14
    assert values["sentence"] in shown


def test_the_end_of_nothing(store: Store, dataset: Dataset) -> None:
    from tests.runner.sweep.engines import FormulaEngine

    engine = FormulaEngine(store, fails=lambda recipe: "RuntimeError: no")
    swept = Swept(store, sweep_text("trials = 2\nretries = 0"), dataset, engine=engine)
    summary = summarise(store, swept.sweep, swept.taken.search)
    assert best_recipe(summary) is None
    assert "2 configurations: 2 failed" in text(store, summary, "x", 1)
    assert as_dict(store, summary, "x", 1)["leaders"] == []


def test_epochs_saved_are_those_that_nobody_trained() -> None:
    rungs = (0.25, 0.5)
    finished, pruned, reused, failed = (
        configuration(i, {}, status).first
        for i, status in enumerate((Status.FINISHED, Status.PRUNED, Status.FINISHED, Status.FAILED))
    )
    reports = {
        finished.key: [TrialReport(0, 1, 1.0, 0.1), TrialReport(2, 4, 4.0, 0.3)],
        pruned.key: [TrialReport(0, 1, 2.0, 0.1), TrialReport(1, 2, 4.0, 0.1)],
        reused.key: [TrialReport(2, 4, 9.0, 0.3)],
        failed.key: [TrialReport(0, 1, 9.0, 0.3)],
    }
    trials = [finished, pruned, replace(reused, is_reused=True), failed]
    found = count_epochs(trials, reports, rungs)
    assert found == (8.0, 12.0)
    assert found.saved_share == pytest.approx(1 / 3)
    assert count_epochs([], {}, rungs).saved_share is None
