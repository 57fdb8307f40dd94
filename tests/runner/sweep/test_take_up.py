"""Which sweep a command means: one that goes on, an edited one with what it keeps, a fresh one; changed data."""

import signal
from pathlib import Path

import pytest

from runner.data import DataError
from runner.errors import UserError
from runner.sweep.asked_for import Budget, find_recipe
from runner.sweep.trial_data import TrialData
from store import Dataset, Status, Store, get_run, list_sweeps, read_reports
from store.trials import sum_costs
from tests.runner.sweep.engines import N_STEPS, FormulaEngine
from tests.runner.sweep.recipes import search_of
from tests.runner.sweep.test_driver import Swept, sweep_text

ASHA = 'sampler = "grid"\npruner = "asha"\neta = 2\nfirst_rung = 0.25'
PATIENT = 'sampler = "grid"\npruner = "patience"\nfirst_rung = 0.25'
GRID = 'sampler = "grid"'


def rates(*values: float) -> str:
    return f'"training.learning_rate" = {list(values)}'


class Table:
    """A file of labelled texts."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.write(n_turned=0)

    @property
    def override(self) -> str:
        return f"data.source={self.path}"

    def write(self, n_turned: int) -> None:
        """120 rows; of the first so many the label is turned."""
        labels = [(i + (i < n_turned)) % 2 for i in range(120)]
        rows = [f"text number {i},{('no', 'yes')[label]}" for i, label in enumerate(labels)]
        self.path.write_text("\n".join(["text,label", *rows]))


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return Table(tmp_path / "table.csv")


def interrupted_at(store: Store, n: int) -> FormulaEngine:
    """An engine during whose event number `n` somebody presses Ctrl-C."""
    n_events = 0

    def press(engine: FormulaEngine) -> None:
        nonlocal n_events
        n_events += 1
        if n_events == n:
            signal.raise_signal(signal.SIGINT)

    return FormulaEngine(store, on_event=press)


# data --------------------------------------------------------------------------------------------------------------

SIZES = '"data.max_examples" = [40, 80]'


def test_other_labels_are_another_search(store: Store, table: Table) -> None:
    text = sweep_text(GRID, SIZES)
    first = Swept(store, text, None, table.override)
    assert len(first.ran) == 2
    assert first.sweep.dataset_key is None
    versions = [get_run(store, int(trial.run_key or 0)).dataset_key for trial in first.trials]
    assert len(set(versions)) == 2
    assert [task.dataset_key for task in first.ran] == versions
    again = Swept(store, text, None, table.override)
    assert (again.sweep.key, again.ran) == (first.sweep.key, [])
    table.write(n_turned=30)
    changed = Swept(store, text, None, table.override)
    assert changed.sweep.parent_key == first.sweep.key
    assert changed.taken.said[1:] == (
        "  the data that its trials train on",
        "none of its 2 configurations is kept: none is the same in the new search",
    )
    assert len(changed.ran) == 2
    assert not set(versions) & {get_run(store, int(trial.run_key or 0)).dataset_key for trial in changed.trials}


def test_a_run_is_reused_on_the_same_data_only(store: Store, table: Table) -> None:
    text = sweep_text(GRID, SIZES)
    Swept(store, text, None, table.override)
    assert Swept(store, text, None, table.override, "name=other").ran == []
    more = Swept(store, sweep_text(GRID, SIZES.replace("80", "80, 60")), None, table.override)
    assert [trial.is_reused for trial in more.trials] == [True, True, False]
    table.write(n_turned=30)
    assert len(Swept(store, text, None, table.override, "name=third").ran) == 2


def test_data_that_are_drawn_from_a_range_are_read_when_a_trial_needs_them(store: Store, table: Table) -> None:
    text = sweep_text('sampler = "random"\ntrials = 3', '"data.split.validation" = { low = 0.1, high = 0.4 }')
    swept = Swept(store, text, None, table.override)
    assert len({task.dataset_key for task in swept.ran}) == 3
    assert Swept(store, text, None, table.override).ran == []
    table.write(n_turned=30)
    assert len(Swept(store, text, None, table.override).ran) == 3


def test_conditions_on_data_and_combinations_that_make_no_recipe(store: Store, table: Table) -> None:
    space = """
"model.method" = ["head", "full"]
"data.max_examples" = { values = [40, 80], when = { "model.method" = "full" } }
"data.split.validation" = [0.1, 0.6]
"data.split.test" = [0.1, 0.5]
"""
    data = TrialData(store, search_of(sweep_text(GRID, space), table.override), None)
    data.read_first(lambda text: None)
    found = data.fingerprint()
    assert len(found) == 3 * 3, "0.6 and 0.5 leave nothing to train on"
    assert all(isinstance(found, dict) and found[key] for key in found)


def test_data_that_are_not_there_are_said_before(store: Store, table: Table, tmp_path: Path) -> None:
    gone = tmp_path / "gone.csv"
    search = search_of(sweep_text(GRID, f'"data.source" = ["{table.path}", "{gone}"]'))
    data, said = TrialData(store, search, None), list[str]()
    data.read_first(said.append)
    assert len(said) == 1
    assert said[0].startswith("warning: trials with these data will fail: ")
    assert "gone.csv" in said[0]
    keys = [data.of(search.trial_recipe(i, 0, search.space.at(i)).recipe) for i in range(2)]
    assert keys[0] is not None
    assert keys[1] is None, "the trial will say why"
    table.path.unlink()
    with pytest.raises(DataError, match=r"gone\.csv"):
        TrialData(store, search, None).read_first(said.append)


# edits -------------------------------------------------------------------------------------------------------------


def test_a_trial_that_was_interrupted_goes_on_in_the_edited_sweep(store: Store, dataset: Dataset) -> None:
    engine = interrupted_at(store, 2)
    first = Swept(store, sweep_text(PATIENT, rates(1e-3, 1e-4)), dataset, engine=engine)
    assert [trial.status for trial in first.trials] == [Status.KILLED]
    assert 0 < engine.n_steps < N_STEPS
    edited = Swept(store, sweep_text(PATIENT, rates(1e-3, 1e-2)), dataset)
    assert edited.sweep.parent_key == first.sweep.key
    assert edited.taken.said[-1].startswith("1 of its 1 configuration is kept")
    assert edited.ran[0].mode == "resume"
    assert edited.trials[0].run_key == first.trials[0].run_key
    assert not edited.trials[0].is_reused
    assert min(report.rung for report in read_reports(store, edited.sweep.key)[edited.trials[0].key]) == 0
    other = Swept(store, sweep_text(PATIENT.replace("0.25", "0.125"), rates(1e-3)), dataset)
    assert other.ran == []
    reports = read_reports(store, other.sweep.key)[other.trials[0].key]
    assert [report.rung for report in reports] == [7], "what it said at other rungs is no use, but for its end"


def test_with_other_rungs_the_work_is_kept(store: Store, dataset: Dataset) -> None:
    engine = interrupted_at(store, 2)
    first = Swept(store, sweep_text(PATIENT, rates(1e-3, 1e-4)), dataset, engine=engine)
    edited = Swept(store, sweep_text(GRID, rates(1e-3)), dataset)
    assert edited.trials[0].run_key == first.trials[0].run_key
    assert edited.engine.n_steps == N_STEPS - engine.n_steps


def test_what_a_resumed_trial_took_before_counts_while_it_is_at_work(
    store: Store, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.sweep.driver._BEAT_SECONDS", 0.0)
    text = sweep_text(PATIENT, rates(1e-3, 1e-4))
    first = Swept(store, text, dataset, engine=interrupted_at(store, 2))
    spent = sum_costs(store, first.sweep.key).device_seconds
    assert spent == sum(trial.held_seconds or 0.0 for trial in first.trials) > 0
    again = Swept(store, text, dataset)
    assert min(again.heard.device_seconds) >= spent
    edited = Swept(store, sweep_text(PATIENT, rates(1e-3, 1e-2)), dataset)
    assert edited.trials[0].is_reused
    assert edited.trials[0].held_seconds is None, "another sweep's"
    assert sum_costs(store, edited.sweep.key).device_seconds == edited.trials[1].held_seconds


def test_a_kept_trial_that_goes_on_is_paid_for(store: Store, dataset: Dataset) -> None:
    values = (1e-3, 1e-4, 3e-2, 1e-5, 1e-1, 1e-2)
    first = Swept(store, sweep_text(ASHA, rates(*values)), dataset)
    stopped = [trial for trial in first.trials if trial.status == Status.PRUNED]
    edited = Swept(store, sweep_text(ASHA, rates(*values, 2e-1, 3e-1, 4e-1, 5e-1, 6e-1, 7e-1, 8e-1)), dataset)
    promoted = [trial for trial in edited.trials if trial.n_promotions and trial.number < len(values)]
    assert promoted
    assert {trial.number for trial in promoted} <= {trial.number for trial in stopped}
    assert not any(trial.is_reused for trial in promoted)
    assert all(trial.is_reused for trial in edited.trials[: len(values)] if not trial.n_promotions)


def test_hyperband_keeps_stopped_trials_only_with_their_numbers(store: Store, dataset: Dataset) -> None:
    lines = 'sampler = "grid"\npruner = "hyperband"\neta = 2\nfirst_rung = 0.25'
    values = (1e-3, 1e-5, 1e-4, 1e-1, 3e-2, 1e-2, 3e-3, 3e-5)
    first = Swept(store, sweep_text(lines, rates(*values)), dataset)
    stopped = {trial.number for trial in first.trials if trial.status == Status.PRUNED}
    assert stopped
    longer = Swept(store, sweep_text(lines, rates(*values, 2e-1)), dataset)
    assert longer.taken.said[-1].startswith("8 of its 8 configurations are kept")
    shorter = Swept(store, sweep_text(lines, rates(*values[1:])), dataset)
    finished = {trial.number for trial in longer.trials[1:] if trial.status == Status.FINISHED}
    assert shorter.taken.said[-1].startswith(f"{len(finished)} of its 9 configurations are kept")


def test_an_edit_that_was_killed_half_way_left_nothing(
    store: Store, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    Swept(store, sweep_text(ASHA, rates(1e-3, 1e-4, 1e-2)), dataset)
    edited = sweep_text(ASHA, rates(1e-3, 1e-4))
    with monkeypatch.context() as patched:
        patched.setattr("store.trials._insert_report", lambda *values: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            Swept(store, edited, dataset)
    assert len(list_sweeps(store)) == 1
    again = Swept(store, edited, dataset)
    assert again.taken.said[-1].startswith("2 of its 3 configurations are kept")


# fresh -------------------------------------------------------------------------------------------------------------


def test_a_fresh_sweep_that_was_interrupted_goes_on_and_stays_fresh(store: Store, dataset: Dataset) -> None:
    text = sweep_text(GRID, rates(1e-3, 1e-4, 1e-2))
    first = Swept(store, text, dataset)
    fresh = Swept(store, text, dataset, is_fresh=True, engine=interrupted_at(store, 2))
    assert fresh.sweep.key != first.sweep.key
    assert fresh.sweep.status == Status.KILLED
    again = Swept(store, text, dataset, is_fresh=True, engine=interrupted_at(store, 2))
    assert again.sweep.key == fresh.sweep.key
    assert again.taken.said[0].startswith("sweep search (")
    plain = Swept(store, text, dataset)
    assert plain.sweep.key == fresh.sweep.key
    assert not any(trial.is_reused for trial in plain.trials)
    assert plain.sweep.status == Status.FINISHED
    assert Swept(store, text, dataset, is_fresh=True).sweep.key != fresh.sweep.key


def test_what_is_neither_recipe_nor_sweep_is_answered_with_the_nearest(
    store: Store, dataset: Dataset, tmp_path: Path
) -> None:
    Swept(store, sweep_text("trials = 1"), dataset)
    mood = tmp_path / "mood.toml"
    mood.write_text("")

    def refused(asked: Path, where: Store | None) -> str:
        with pytest.raises(UserError) as error:
            find_recipe(asked, (), Budget(), where)
        return str(error.value)

    typo = tmp_path / "mod.toml"
    start = f"{typo}: there is no such recipe file"
    assert refused(typo, store) == (f"{start}, and no sweep of that name or id in {store.path}. Did you mean {mood}?")
    assert refused(typo, None) == f"{start}. Did you mean {mood}?"
    assert refused(Path("SERCH"), store).endswith("Did you mean the sweep search?")
    far = tmp_path / "zzzzz.toml"
    assert refused(far, store).endswith(f"recipes here: {mood}; the newest sweeps: search.")
