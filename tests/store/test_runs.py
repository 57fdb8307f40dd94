import numpy as np
import pandas as pd
import pytest

from store import (
    NewRun,
    NewSweep,
    NewTrial,
    Objective,
    Recorder,
    Run,
    RunAmbiguous,
    RunCost,
    RunHeld,
    RunId,
    RunNotFound,
    ScoreRow,
    Status,
    Store,
    StoreUnreadable,
    count_matching_runs,
    count_runs,
    delete_run,
    finish_run,
    get_cost,
    get_run,
    list_checkpoints,
    list_run_facets,
    list_runs,
    read_log,
    record_run,
    record_sweep,
    run_files,
    run_size,
    set_dataset,
)
from store.flights import write_flight
from store.ids import new_run_id
from store.ring import STEP, Steps
from store.trials import end_trial, record_trial, set_trial_run
from tests.store.builders import make_dataset, predict, start

HOSTILE = ["%", "_", "'", '"', "'; DROP TABLE runs; --", "\\", "*", "(", "a OR 1=1", "né", "\x00"]


def test_what_is_recorded_comes_back(store: Store) -> None:
    new = NewRun(
        "n",
        task="text-classification",
        method="lora",
        base_model="gpt2",
        recipe_text="a = 1\n",
        recipe={"a": 1},
        recipe_hash="h",
        provenance={"git": None},
        tags=("x", "y"),
        note="why",
        select_metric="test/accuracy",
    )
    run = record_run(store, new)
    assert run == get_run(store, run.key) == get_run(store, run.id)
    assert {field: getattr(run, field) for field in new.__dataclass_fields__} == vars(new)
    assert (run.status, run.started_at, run.version) == (Status.QUEUED, None, 0)
    dataset = make_dataset(store, "d", [("a", 0)])
    set_dataset(store, run.key, dataset.key)
    assert (get_run(store, run.key).dataset_key, get_run(store, run.key).version) == (dataset.key, 1)
    finish_run(store, run.key, Status.KILLED, "by hand")
    assert (get_run(store, run.key).status, get_run(store, run.key).cause) == (Status.KILLED, "by hand")


def test_ids_made_in_a_row_sort_in_that_order() -> None:
    ids = [new_run_id() for _ in range(2_000)]
    assert ids == sorted(set(ids))
    assert {len(identity) for identity in ids} == {26}


def test_selectors(store: Store) -> None:
    with pytest.raises(RunNotFound, match="no runs yet: `runner train RECIPE`"):
        get_run(store, "@latest")
    old, new = record_run(store, NewRun("same")), record_run(store, NewRun("same"))
    with store.write() as db:
        db.execute("UPDATE runs SET id = '01AAAAAAAAAAAAAAAAAAAAAAAA' WHERE key = ?", (old.key,))
        db.execute("UPDATE runs SET id = '01AAAAAAAAAAAAAAAAAAAAAAAB' WHERE key = ?", (new.key,))
    third = record_run(store, NewRun("third"))
    assert get_run(store, "@latest").key == third.key
    assert get_run(store, "same").key == new.key
    assert get_run(store, "01aaaaaaaaaaaaaaaaaaaaaaaa").key == old.key
    assert get_run(store, third.id[:20]).key == third.key
    with pytest.raises(RunAmbiguous, match=r"fits 2 runs: 01A+ \(same\), 01A+B \(same\)"):
        get_run(store, "01AAAA")
    for missing in ("01A", "none such", "", *HOSTILE):
        with pytest.raises(RunNotFound, match=r"The newest are third \("):
            get_run(store, missing)
    with pytest.raises(RunNotFound):
        get_run(store, 99)


@pytest.fixture
def three_runs(store: Store) -> list[Run]:
    """Accuracies 0.5, 0.9 and none; the second has a cost and was at 0.25 before training."""
    dataset = make_dataset(store, "data", [("a", 0), ("b", 1)])
    runs = []
    for name, method, best in (("Beta", "lora", 0.5), ("alpha", "head", 0.9), ("gamma 100%", "head", None)):
        new = NewRun(
            name, task="t", method=method, dataset_key=dataset.key, select_metric="test/accuracy", tags=(method, "all")
        )
        with Recorder(store, record_run(store, new)) as recorder:
            for step, value in ((0, 0.25), (5, best), (9, 0.1)):
                scores = [ScoreRow("accuracy", value, 0.0, 1.0, 2)]
                recorder.evaluation("test", step, epoch=step / 5, n_examples=2, scores=scores)
            if best is not None:
                recorder.best(5)
                recorder.cost(RunCost(wall_seconds=100 * best))
        runs.append(get_run(store, recorder.run.key))
    return runs


def names(frame: pd.DataFrame) -> list[str]:
    return [str(name) for name in frame["name"]]


def test_list_runs_values_sorts_and_filters(store: Store, three_runs: list[Run]) -> None:
    frame = list_runs(store)
    assert names(frame) == ["gamma 100%", "alpha", "Beta"]
    alpha = frame.iloc[1]
    assert alpha[["value", "low", "high", "n", "step", "epoch", "base_value"]].tolist() == [0.9, 0, 1, 2, 5, 1, 0.25]
    assert (alpha["dataset"], alpha["status"], alpha["wall_seconds"]) == ("data@1", "finished", 90)
    assert frame.loc[0, ["value", "base_value", "wall_seconds"]].isna().all()
    assert names(list_runs(store, sort="value")) == ["alpha", "Beta", "gamma 100%"]
    assert names(list_runs(store, sort="value", descending=False)) == ["Beta", "alpha", "gamma 100%"]
    assert names(list_runs(store, sort="name", descending=False)) == ["alpha", "Beta", "gamma 100%"]
    for sort in ("created_at", "status", "method", "wall_seconds", "examples_per_second", "peak_host_bytes"):
        assert len(list_runs(store, sort=sort, tag="all", search="a")) == 3
    assert names(list_runs(store, method=["lora"])) == ["Beta"]
    assert names(list_runs(store, tag="head", limit=1, offset=1)) == ["alpha"]
    assert list_runs(store, status=[Status.FAILED]).empty
    assert len(list_runs(store, status=[Status.FINISHED, Status.FAILED], task=["t"])) == 3
    assert [len(list_runs(store, dataset=name)) for name in ("data", "data@1", "data@2")] == [3, 3, 0]
    with pytest.raises(ValueError, match=r"cannot sort by 'r.key; --'; choose one of created_at"):
        list_runs(store, sort="r.key; --")
    assert list(list_runs(store, search="nothing like it").columns) == list(frame.columns)
    assert count_runs(store) == {"finished": 3}


@pytest.mark.parametrize(
    "filters",
    [
        {},
        {"method": ["head"]},
        {"status": [Status.FINISHED, Status.FAILED], "task": ["t"]},
        {"status": [Status.FAILED]},
        {"dataset": "data@1", "tag": "lora"},
        {"dataset": "data", "search": "gamma"},
        {"search": "100%"},
        {"search": "'; DROP TABLE runs; --"},
    ],
)
def test_count_of_matching_runs_is_that_of_the_list(
    store: Store, three_runs: list[Run], filters: dict[str, object]
) -> None:
    n = len(list_runs(store, **filters))  # type: ignore[arg-type]  # keyword arguments by name
    assert count_matching_runs(store, **filters) == n  # type: ignore[arg-type]  # as above


def test_facets_are_what_occurs_sorted_once(store: Store, three_runs: list[Run]) -> None:
    record_run(store, NewRun("bare"), status=Status.RUNNING)
    assert count_matching_runs(store) == 4
    assert count_matching_runs(store, method=["head"]) == 2
    assert list_run_facets(store) == {
        "status": ["finished", "running"],
        "task": ["t"],
        "method": ["head", "lora"],
        "dataset": ["data@1"],
    }


def test_facets_of_an_empty_store(store: Store) -> None:
    assert list_run_facets(store) == {"status": [], "task": [], "method": [], "dataset": []}
    assert count_matching_runs(store, search="x") == 0


def test_search_takes_every_character_as_it_is(store: Store, three_runs: list[Run]) -> None:
    assert names(list_runs(store, search="100%")) == ["gamma 100%"]
    assert names(list_runs(store, search="ALPHA")) == ["alpha"]
    assert len(list_runs(store, search="data")) == 3
    for text in HOSTILE[1:]:
        assert len(list_runs(store, search=text)) in (0, 3)  # quotes stand in the tags of all
        assert list_runs(store, dataset=text, tag=text, method=[text]).empty
    assert count_runs(store) == {"finished": 3}


def test_a_second_start_from_step_zero_lists_the_run_once(store: Store, three_runs: list[Run]) -> None:
    run = three_runs[1]
    with store.write() as db:
        db.execute("UPDATE segments SET visible_until = 5 WHERE run_key = ?", (run.key,))
        db.execute("INSERT INTO segments VALUES (?, 2, 0, NULL, 0)", (run.key,))
    with Recorder(store, run, segment=2) as recorder:
        recorder.evaluation("test", 0, epoch=0.0, n_examples=2, scores=[ScoreRow("accuracy", 0.3, None, None, 2)])
    assert names(list_runs(store)) == ["gamma 100%", "alpha", "Beta"]
    assert list_runs(store, search="alpha")["base_value"].tolist() == [0.3]


def _mention(store: Store, run: Run) -> None:
    """A trial of a sweep and a job that made the run; they belong to others."""
    with store.write() as db:
        (sweep_key,) = db.execute(
            "INSERT INTO sweeps (id, name, status, recipe_text, recipe, fingerprint, objectives, created_at)"
            " VALUES (?, 'sweep', 'finished', '', '{}', '', '[]', 0) RETURNING key",
            (run.id,),
        ).fetchone()
        db.execute(
            "INSERT INTO trials (sweep_key, number, seed, parameters, status, recipe_hash, run_key, created_at)"
            " VALUES (?, 0, 0, '{}', 'finished', '', ?, 0)",
            (sweep_key, run.key),
        )
        db.execute(
            "INSERT INTO jobs (id, kind, name, arguments, status, place, run_key, created_at)"
            " VALUES (?, 'train', 'job', '{}', 'finished', 0, ?, 0)",
            (run.id, run.key),
        )


def test_delete_run_refuses_while_a_living_process_records(store: Store) -> None:
    recorder = start(store)
    with pytest.raises(RunHeld, match=r"is being recorded by process \d+ on .*; stop it first"):
        delete_run(store, recorder.run)
    assert get_run(store, recorder.run.key).status == Status.RUNNING
    with store.write() as db:
        db.execute("UPDATE leases SET process_started_at = 0")  # it was another process, and is gone
    delete_run(store, recorder.run)
    assert count_runs(store) == {}


def test_delete_run_removes_what_is_its_own_and_nothing_else(store: Store) -> None:
    dataset = make_dataset(store, "d", [("a", 0), ("b", 1)])
    runs = []
    for name in ("goes", "stays"):
        with Recorder(store, record_run(store, NewRun(name, dataset_key=dataset.key))) as recorder:
            recorder.log({"a": 1.0}, 1)
            scores = [ScoreRow("accuracy", 0.5, None, None, 2)]
            recorder.evaluation("test", 1, epoch=None, n_examples=2, scores=scores, predictions=predict([0, 1]))
            recorder.text(name)
            recorder.event("note", name)
            recorder.cost(RunCost(wall_seconds=1.0))
            recorder.checkpoint(1, epoch=None, path="p", size_bytes=5, sha256="0", manifest={})
        _mention(store, recorder.run)
        files = run_files(store, recorder.run)
        files.mkdir(parents=True)
        (files / "model.safetensors").write_bytes(b"12345")
        runs.append(recorder.run)
    rules = dict(
        store.db.execute(
            "SELECT m.name, f.on_delete FROM sqlite_master m, pragma_foreign_key_list(m.name) f"
            " WHERE m.type = 'table' AND f.\"table\" = 'runs'"
        ).fetchall()
    )
    owned = [table for table, rule in rules.items() if rule == "CASCADE"]
    mentioning = [table for table, rule in rules.items() if rule == "SET NULL"]
    assert (len(owned), sorted(mentioning)) == (15, ["jobs", "trials"])
    size = run_size(store, runs[0])
    assert size.on_disk == 5
    assert size.in_store >= 30 + 2 * 45
    delete_run(store, runs[0])
    for table in owned:
        keys = {key for (key,) in store.db.execute(f"SELECT run_key FROM {table}")}
        assert keys <= {runs[1].key}, table
    for table in mentioning:
        assert store.db.execute(f"SELECT run_key FROM {table} ORDER BY key").fetchall() == [(None,), (runs[1].key,)]
    assert store.db.execute("SELECT count(*) FROM predictions").fetchone() == (2,)
    assert store.db.execute("SELECT count(*) FROM examples").fetchone() == (2,)
    assert not run_files(store, runs[0]).exists()
    assert (run_files(store, runs[1]) / "model.safetensors").exists()
    assert len(list_checkpoints(store, runs[1].key, existing=True)) == 1
    assert get_cost(store, runs[0].key) == RunCost()
    assert read_log(store, runs[1].key, last=3) == "ays"
    assert store.db.execute("PRAGMA foreign_key_check").fetchall() == []


def test_the_size_of_a_run_counts_flights_and_the_embeddings_that_nobody_else_has(store: Store) -> None:
    dataset = make_dataset(store, "d", [("a", 0), ("b", 1)])
    runs = []
    for name, fingerprint in (("alone", "f"), ("one", "g"), ("other", "g")):
        with Recorder(store, record_run(store, NewRun(name, dataset_key=dataset.key))) as recorder:
            vectors = np.zeros((2, 1000), dtype=np.float16)
            recorder.embeddings({"test": vectors}, dataset_key=dataset.key, fingerprint=fingerprint, pooling="mean")
        runs.append(recorder.run)
    alone, one, other = runs
    assert [run_size(store, run).in_store for run in runs] == [4000, 0, 0]
    assert run_size(store, other, after=[alone.key, one.key]).in_store == 4000, "whoever goes last takes them along"
    with store.write() as db:
        steps = Steps(np.zeros(3, dtype=STEP), np.zeros(5, dtype=np.uint32))
        write_flight(db, one.key, 1, at=0.0, kind="failed", step=None, reason="why", steps=steps)
    assert run_size(store, one).in_store == 3 * STEP.itemsize + 5 * 4


def test_a_run_id_that_is_a_path_names_no_folder(store: Store) -> None:
    run = record_run(store, NewRun("x"))
    with store.write() as db:
        db.execute("UPDATE runs SET id = '../../../../../../../../aa'")
    evil = get_run(store, run.key)
    assert evil.id == RunId("../../../../../../../../aa")
    for call in (run_files, run_size, delete_run):
        with pytest.raises(StoreUnreadable, match="an id that Assay never gives"):
            call(store, evil)
    assert get_run(store, run.key) == evil


def test_checkpoints_best_and_deleted(store: Store) -> None:
    with Recorder(store, record_run(store, NewRun("x"))) as recorder:
        for step in (1, 2, 3):
            recorder.checkpoint(step, epoch=step / 2, path=f"p{step}", size_bytes=1, sha256="0", manifest={"f": "0"})
        recorder.best(1)
        recorder.best(2)
        recorder.checkpoint_deleted(1)
    found = list_checkpoints(store, recorder.run.key)
    assert [(c.step, c.is_best, c.deleted_at is None) for c in found] == [
        (1, False, False),
        (2, True, True),
        (3, False, True),
    ]
    assert [c.step for c in list_checkpoints(store, recorder.run.key, existing=True)] == [2, 3]


def test_of_sweeps_only_the_best_run_can_be_listed(store: Store, three_runs: list[Run]) -> None:
    """In the direction of its first objective; what was pruned, or has no value, is no best."""
    kept = [run.name for run in three_runs]
    for name, direction, best in (("up", "maximize", 0.9), ("down", "minimize", 0.1)):
        objective = Objective("validation/x", direction)  # type: ignore[arg-type]  # the literals of the table above
        sweep = record_sweep(store, NewSweep(name, "", {}, name, (objective,)))
        ends = [(0.1, "finished"), (0.9, "finished"), (1.5, "pruned"), (None, "finished")]
        for number, (value, status) in enumerate(ends):
            run = record_run(store, NewRun(name=f"{name}-{number}"), status=Status.FINISHED)
            trial = record_trial(store, sweep.key, NewTrial(number, 0, {}, "h"))
            set_trial_run(store, trial, run.key)
            end_trial(store, trial, Status(status), None, (value,))
            kept += [run.name] if value == best and status == "finished" else []
    assert count_matching_runs(store) == len(three_runs) + 8
    assert set(list_runs(store, best_of_sweeps=True)["name"]) == set(kept)
    assert count_matching_runs(store, best_of_sweeps=True) == len(three_runs) + 2
