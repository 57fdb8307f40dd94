"""`runner queue` and `runner worker`, in this process."""

import json
from pathlib import Path

import pytest

from runner.recipe import RecipeError, load_recipe
from store import Job, JobStatus, NewRun, Store, finish_run, get_job, job_log, list_jobs, queue_job, record_run
from store.job_leases import finish_job, lease_job, register_worker
from tests.runner.conftest import Kit
from tests.runner.test_commands import Runner, runner

__all__ = ["runner"]  # the fixture


@pytest.fixture
def recipe(kit: Kit, tmp_path: Path) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text("# mine\n" + kit.text({"model.method": "head"}))
    return path


def test_adding_a_training_keeps_its_recipe(runner: Runner, store: Store, recipe: Path) -> None:
    said = runner(
        store, "queue", "add", "train", str(recipe), "--set", "training.epochs=7", "--priority", "4", "--json"
    )
    assert said.code == 0, said.err
    loaded = load_recipe(recipe, ["training.epochs=7"])
    job = get_job(store, said.json["id"])
    assert (job.kind, job.name, job.priority, job.device, job.max_attempts) == ("train", "tiny", 4, None, 3)
    assert job.arguments["recipe_text"] == recipe.read_text()
    recipe.unlink()
    frozen = recipe.with_suffix(".json")
    frozen.write_text(json.dumps(job.arguments))
    again = load_recipe(frozen)
    assert (again.text, again.resolved, again.hash) == (loaded.text, loaded.resolved, loaded.hash)
    assert (again.path, again.overrides) == (recipe, ("training.epochs=7",))


def test_a_frozen_recipe_is_checked_as_any_other(tmp_path: Path) -> None:
    path = tmp_path / "frozen.json"
    for text, said in (
        ("{", "is no JSON"),
        ("[]", "no frozen recipe"),
        ('{"recipe_text": "name = 1"}', "name = 1"),
        ('{"recipe_text": "", "resolved": {"nmae": 1}}', "nmae"),
    ):
        path.write_text(text)
        with pytest.raises(RecipeError, match=said):
            load_recipe(path)
    path.write_text('{"recipe_text": ""}')
    with pytest.raises(RecipeError, match="takes no --set"):
        load_recipe(path, ["training.epochs=1"])


def test_adding_a_sweep_keeps_what_it_searches(runner: Runner, store: Store, kit: Kit, tmp_path: Path) -> None:
    path = tmp_path / "search.toml"
    space = {'sweep.space."training.learning_rate"': [1e-3, 1e-2], "sweep.sampler": "grid"}
    path.write_text(kit.text({"model.method": "head", **space}))
    said = runner(store, "queue", "add", "sweep", str(path), "--seeds", "2", "--parallel", "1", "--json")
    assert said.code == 0, said.err
    job = get_job(store, said.json["id"])
    assert job.arguments["options"] == {"seeds": 2, "parallel": 1}
    frozen = tmp_path / "frozen.json"
    frozen.write_text(json.dumps(job.arguments))
    loaded, original = load_recipe(frozen), load_recipe(path, for_sweep=True)
    assert (loaded.resolved, loaded.written, loaded.text) == (original.resolved, original.written, original.text)


def test_adding_a_crossval_keeps_its_recipe(runner: Runner, store: Store, recipe: Path) -> None:
    changed = ("--set", "training.epochs=1")
    said = runner(store, "queue", "add", "crossval", str(recipe), "--folds", "3", *changed, "--json")
    assert said.code == 0, said.err
    job = get_job(store, said.json["id"])
    assert (job.kind, job.name, job.arguments["options"]) == ("crossval", "crossval tiny", {"folds": 3})
    assert (job.arguments["recipe_text"], job.arguments["overrides"]) == (recipe.read_text(), ["training.epochs=1"])


def test_crossvals_and_triages_of_runs_name_them(runner: Runner, store: Store, kit: Kit) -> None:
    run = kit.train(store, model__method="head", training__epochs=1)

    def added(*words: str) -> Job:
        said = runner(store, "queue", "add", *words, "--json")
        assert said.code == 0, said.err
        return get_job(store, said.json["id"])

    crossval = added("crossval", run.id[:12])
    assert crossval.arguments == {"run": run.id, "recipe_device": "cpu", "options": {}}
    refused = runner(store, "queue", "add", "crossval", run.id, "--set", "training.epochs=1")
    assert (refused.code, "--set would make another recipe" in refused.err) == (2, True)
    triage = added("triage", run.id, "--no-canaries", "--seed", "3")
    assert triage.arguments == {"runs": [run.id], "options": {"no-canaries": True, "seed": 3}}
    dataset = triage.name.removeprefix("triage ")
    of_data = added("triage", "--dataset", dataset.partition("@")[0])
    assert (of_data.name, of_data.arguments) == (triage.name, {"dataset": dataset, "options": {}})


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train", "RECIPE", "--set", "training.epoch=3"], "did you mean epochs?"),
        (["train", "nowhere.toml"], "nowhere.toml"),
        (["train", "RECIPE", "--device", "gpu"], "a job runs on cpu, mps, cuda"),
        (["train", "RECIPE", "--set", "training.device=cuda:1", "--device", "cuda:0"], "training.device = 'cuda:1'"),
        (["sweep", "RECIPE"], "there is nothing to search"),
        (["resume", "done"], "is finished; only a failed, killed, pruned run"),
        (["resume", "nothing"], "no run 'nothing'"),
        (["reproduce", "done"], "has no recipe"),
        (["crossval", "RECIPE", "--set", "training.epoch=3"], "did you mean epochs?"),
        (["crossval", "done"], "done"),
        (["crossval", "nothing"], "no run 'nothing'"),
        (["triage"], "name one or more runs"),
        (["triage", "done"], "was trained on no dataset"),
        (["triage", "--dataset", "nothing"], "nothing"),
        (["predict", "done", "--split", "test", "--out", "x.txt"], "written as .jsonl, .csv or .parquet"),
        (["predict", "done", "--split", "test", "--out", "x.csv"], "has no dataset in the store"),
        (["predict", "done", "missing.csv", "--out", "x.csv"], "no such file"),
    ],
)
def test_what_cannot_run_is_not_queued(runner: Runner, store: Store, recipe: Path, words: list[str], said: str) -> None:
    run = record_run(store, NewRun("done"))
    finish_run(store, run.key, "finished")  # type: ignore[arg-type]  # a Status is its text
    done = runner(store, "queue", "add", *(str(recipe) if word == "RECIPE" else word for word in words))
    assert done.code == 2
    assert said in done.err
    assert "Traceback" not in done.err
    assert len(list_jobs(store)) == 0


@pytest.mark.parametrize("kind", ["train", "sweep", "crossval"])
def test_a_recipe_that_is_refused_leaves_no_store(runner: Runner, tmp_path: Path, kind: str) -> None:
    (tmp_path / "bad.toml").write_text('name = "bad"\n')
    assert runner(tmp_path / "new.db", "queue", "add", kind, str(tmp_path / "bad.toml")).code == 2
    assert [path.name for path in tmp_path.iterdir() if "new" in path.name] == []


def test_a_recipe_for_a_device_makes_a_job_for_it(runner: Runner, store: Store, recipe: Path) -> None:
    runner(store, "queue", "add", "train", str(recipe), "--set", "training.device=cuda", "--name", "one")
    said = runner(store, "queue", "add", "train", str(recipe), "--set", "training.device=cuda", "--device", "cuda:1")
    assert "for a worker with cuda:1" in said.out
    assert "no worker for cuda:1 is at work: `runner worker --device cuda:1` starts one" in said.out
    register_worker(store, "cuda:1")
    for device, is_there in (("cuda", True), ("cuda:1", True), ("cuda:3", False), ("cpu", False)):
        said = runner(store, "queue", "add", "train", str(recipe), "--device", device)
        assert ("no worker for" not in said.out) == is_there
    assert get_job(store, "one").device == "cuda"


def test_list_and_log(runner: Runner, store: Store) -> None:
    empty = runner(store, "queue")
    assert "runner queue add train RECIPE" in empty.out
    assert "no worker is at work" in empty.out
    for name in ("failed", "waits", "next"):
        queue_job(store, "train", name, {})
    job = lease_job(store, "cpu")
    assert job is not None
    finish_job(store, job, JobStatus.FAILED, "out of luck")
    runner(store, "queue", "top", "next")
    said = runner(store, "queue")
    lines = said.out.splitlines()
    assert [line.split()[3] for line in lines[2:5]] == ["next", "waits", "failed"]
    assert any(line.endswith("failed: out of luck") for line in lines)
    answer = runner(store, "queue", "--json").json
    assert [row["name"] for row in answer["jobs"]] == ["next", "waits", "failed"]
    assert answer["workers"] == []
    assert runner(store, "queue", "log", "failed").err.strip().endswith("has printed nothing yet")
    job_log(store, job).parent.mkdir(parents=True)
    job_log(store, job).write_text("first line\n")
    assert runner(store, "queue", "log", "failed", "--follow").out == "first line\n"


def test_changing_jobs(runner: Runner, store: Store) -> None:
    for name in "abc":
        queue_job(store, "train", name, {})
    for words, order in (
        (["down", "a"], "bac"),
        (["up", "c"], "bca"),
        (["bottom", "b"], "cab"),
        (["top", "b"], "bca"),
        (["priority", "a", "2"], "abc"),
    ):
        assert runner(store, "queue", *words).code == 0
        assert "".join(list_jobs(store, status=("queued",))["name"]) == order
    assert "train a" in runner(store, "queue", "pause", "a", "b").out
    assert runner(store, "queue", "resume", "a", "--json").json[0]["status"] == "queued"
    assert runner(store, "queue", "cancel", "a").code == 0
    refused = runner(store, "queue", "resume", "a")
    assert (refused.code, "runner queue retry" in refused.err) == (2, True)
    assert runner(store, "queue", "retry", "a", "--json").json[0]["status"] == "queued"
    unknown = runner(store, "queue", "cancel", "nope")
    assert (unknown.code, "no job 'nope'" in unknown.err) == (2, True)


def test_ended_jobs_are_removed_by_name_or_all(runner: Runner, store: Store) -> None:
    for name in "abcd":
        queue_job(store, "train", name, {})
    assert runner(store, "queue", "cancel", "a", "b", "c").code == 0
    assert runner(store, "queue", "rm", "a").out == "removed 1 job\n"
    refused = runner(store, "queue", "rm", "d")
    assert (refused.code, "is queued" in refused.err) == (2, True)
    for words in ((), ("a", "--ended")):
        wrong = runner(store, "queue", "rm", *words)
        assert (wrong.code, "--ended" in wrong.err) == (2, True)
    assert len(runner(store, "queue", "rm", "--ended", "--json").json) == 2
    assert list_jobs(store)["name"].tolist() == ["d"]


def test_a_worker_needs_a_store_and_a_device(runner: Runner, tmp_path: Path, store: Store) -> None:
    missing = runner(tmp_path / "missing.db", "worker", "--device", "cpu")
    assert (missing.code, "missing.db" in missing.err) == (2, True)
    absent = runner(store, "worker", "--device", "cuda:9")
    assert (absent.code, "no such device; it has" in absent.err) == (2, True)
