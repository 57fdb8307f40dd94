"""`runner triage`, as it is typed, on tiny real models."""

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result

import runner.cli
from benchmarks.tiny import rows
from runner.triage import steps
from store import (
    NewRow,
    Store,
    count_findings,
    count_runs,
    finished_steps,
    get_dataset,
    get_triage,
    latest_triage,
    list_columns,
    list_findings,
    list_groups,
    list_queue,
    list_triages,
    open_store,
    read_column,
    record_dataset,
)
from tests.runner.conftest import Kit
from tests.runner.processes import Process
from tests.runner.triage.conftest import Call, Faulty, Triaged, call_on, overrides

STEPS = [step.name for step in steps.STEPS]


def refused(result: Result) -> str:
    assert result.exception is not None
    assert runner.cli._is_for_the_user(result.exception)  # type: ignore[arg-type]  # an Exception
    return str(result.exception)


def copied(triaged: Triaged, folder: Path) -> Store:
    """The triaged store again, for a test that writes."""
    triaged.store.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copy(triaged.store.path, folder / "copy.db")
    shutil.copytree(triaged.store.files, folder / "copy-files")
    return open_store(folder / "copy.db")


def test_it_finds_the_faults(triaged: Triaged, faulty: Faulty) -> None:
    store = triaged.store
    triage = get_triage(store, str(triaged.said["id"]))
    assert (triage.status, list(finished_steps(store, triage.key))) == ("finished", STEPS)
    counts = {(kind, split): n for kind, split, n, _ in count_findings(store, triage.key).itertuples(index=False)}
    assert counts["exact_duplicate", "train"] == 1
    assert counts["split_leak", "train"] == 1
    assert counts["personal_data", "train"] == 1
    assert counts.get(("label_error", "train"), 0) == round(triage.summary["labels"]["n_errors"]["value"])
    leak = list_findings(store, triage.key, kind="split_leak").iloc[0]
    assert (leak["position"], leak["evidence"]["partner"]) == (2, ["test", 0])
    address = list_findings(store, triage.key, kind="personal_data").iloc[0]
    assert (address["position"], "[e-mail]" in address["suggested"]) == (3, True)
    risk = read_column(store, triage.key, "train", "risk")
    assert risk is not None
    first = np.argsort(-risk)[:12]
    assert faulty.is_wrong[first].mean() > 3 * faulty.is_wrong.mean()
    queue = list_queue(store, triage, get_dataset(store, "faulty"), limit=1000)
    assert (queue[queue["split"] == "train"]["risk"].notna()).all()
    assert np.allclose(queue["risk"][:150], np.sort(risk)[::-1])


def test_the_summary_says_how_many_and_by_which_score(triaged: Triaged) -> None:
    said: Any = triaged.said
    assert said["status"] == "finished"
    labels = said["summary"]["labels"]
    assert labels["n_labelled"] == 150
    assert 0 <= labels["noise"]["low"] <= labels["noise"]["value"] <= labels["noise"]["high"] <= 1
    assert {"linear", "naive_bayes", "neighbours"} <= set(labels["voices"])
    scores = {row["score"]: row for row in labels["scores"]}
    assert labels["default"] in scores
    measured = scores["area_under_margin@head"]["average_precision"]
    assert 0 < measured <= 1  # made again on the copy
    assert scores[f"area_under_margin@{triaged.run_id}"]["average_precision"] is None  # too dear to train again
    assert scores[f"area_under_margin@{triaged.run_id}"]["in_sample"]
    assert labels["canaries"]["n"] > 0
    assert said["summary"]["missing"]["refusal"] == ["answers"]
    assert said["sentences"][0].startswith("About ")
    assert [source["kind"] for source in said["sources"]] == ["run", "encoder"]


def test_every_example_has_neighbours_and_a_place_on_the_map(triaged: Triaged) -> None:
    triage = latest_triage(triaged.store, get_dataset(triaged.store, "faulty").key)
    assert triage is not None
    columns = list_columns(triaged.store, triage.key).set_index(["split", "name"])
    for split, n in get_dataset(triaged.store, "faulty").n_rows.items():
        assert (columns.loc[(split, "map"), "width"], columns.loc[(split, "map"), "n"]) == (2, n)
        near = read_column(triaged.store, triage.key, split, "neighbours")
        assert near is not None
        assert near.min() >= 0
        assert near.max() < 150
        points = read_column(triaged.store, triage.key, split, "map")
        assert points is not None
        assert np.isfinite(points).all()


def test_the_same_command_again_says_what_is_there(triaged: Triaged, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "STEPS", ())  # nothing is computed
    result = call_on(triaged.store.path)("triage", triaged.run_id, "--json")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert (said["id"], said["is_new"]) == (triaged.said["id"], False)
    text = call_on(triaged.store.path)("triage", "--dataset", "faulty@1").output
    assert "as it was computed before" in text
    assert "labels are wrong" in text
    assert "split" in text
    assert "page Triage" in text


def test_conditions_decide_the_exit_code_and_are_written_for_ci(triaged: Triaged, tmp_path: Path) -> None:
    call, junit, policy = call_on(triaged.store.path), tmp_path / "j.xml", tmp_path / "p.toml"
    policy.write_text('[[fail_if]]\nname = "mail"\ncondition = "personal_data > 5"\n')
    passed = call("triage", triaged.run_id, "--policy", policy, "--junit", junit)
    assert passed.exit_code == 0, passed.output
    assert "passed: mail, personal_data > 5: 1 text with personal data." in passed.output
    assert 'tests="1" failures="0"' in junit.read_text()
    failed = call("triage", triaged.run_id, "--fail-if", "split_leaks > 0", "--fail-if", "refusal > 0", "--json")
    assert failed.exit_code == 1
    said = json.loads(failed.stdout)
    assert (said["passed"], [each["result"] for each in said["conditions"]]) == (False, ["failed", "unknown"])
    policy.write_text('[[fail_if]]\ncondition = "split_leaks where source = web > 0"\nseverity = "warning"\n')
    warned = call("triage", triaged.run_id, "--policy", policy)
    assert warned.exit_code == 0, warned.output
    assert "warning (failed): split_leaks where source = web > 0: 1 duplicate across splits." in warned.output


def test_a_report_is_written(triaged: Triaged, tmp_path: Path) -> None:
    result = call_on(triaged.store.path)("triage", triaged.run_id, "--report", tmp_path / "r.html")
    assert result.exit_code == 0, result.output
    html = (tmp_path / "r.html").read_text()
    assert "faulty@1: label quality" in html
    assert "anna@posteo.de" in html


@pytest.mark.parametrize(("names", "words"), [(("a", "b"), "sets of labels"), (None, "numbers")])
def test_targets_that_are_no_single_label_are_said_not_to_be_judged(
    kit: Kit, store: Store, names: tuple[str, ...] | None, words: str
) -> None:
    texts = [text for text, _ in rows(40, seed=2)]
    targets = ["[0, 1]", "[]", "[1]", None] if names else [0.5, 2.0, None, 3.25]
    given = [NewRow("train", text, targets[i % 4]) for i, text in enumerate([*texts, texts[0]])]
    record_dataset(store, "other", given, label_names=names, source={}, fingerprint="other")
    result = call_on(store.path)("triage", "--dataset", "other", "--model", kit.bert, "--fail-if", "label_errors > 0")
    assert result.exit_code == 1, result.output
    assert f"41 training examples with {words}: these are not judged" in result.output
    assert "exact duplicate" in result.output
    assert "NOT MEASURED: label_errors > 0" in result.output


def test_a_bad_policy_names_all_problems_at_once(triaged: Triaged, tmp_path: Path) -> None:
    policy = tmp_path / "p.toml"
    asked = ("label_erors > 2 %", "empty in dev > 1", "outliers where sorce = web > 1")
    policy.write_text("".join(f"[[fail_if]]\ncondition = '{each}'\n" for each in asked))
    call = call_on(triaged.store.path)
    told = refused(call("triage", triaged.run_id, "--policy", policy))
    assert "'label_erors' is no kind of finding" in told
    assert "has no split 'dev'" in told
    assert "has no field 'sorce'" in told
    assert "'label_erors' is no kind of finding" in refused(call("triage", "no-such-run", "--policy", policy))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--fail-if", "nonsense"], "is no condition"),
        (["--fail-if", "empty in dev > 1"], "has no split 'dev'"),
        (["--report", "/nowhere/r.html"], "--report /nowhere/r.html: there is no folder /nowhere"),
        (["--model", "/nowhere"], "there is no model folder /nowhere"),
        (["--dataset", "faulty"], "not both"),
    ],
)
def test_bad_input_is_said_before_anything_is_computed(triaged: Triaged, arguments: list[str], said: str) -> None:
    n_before = len(list_triages(triaged.store))
    assert said in refused(call_on(triaged.store.path)("triage", triaged.run_id, *arguments))
    assert len(list_triages(triaged.store)) == n_before


def test_runs_of_different_data_sets_are_refused(kit: Kit, triaged: Triaged, tmp_path: Path) -> None:
    store = copied(triaged, tmp_path)
    other = kit.train(store, model__method="head", training__epochs=1)
    assert "different data sets" in refused(call_on(store.path)("triage", triaged.run_id, other.id))
    store.close()


def test_a_crossval_is_listened_to_and_makes_it_another_triage(triaged: Triaged, tmp_path: Path) -> None:
    store = copied(triaged, tmp_path)
    call = call_on(store.path)
    assert call("crossval", triaged.run_id, "--folds", "2").exit_code == 0
    result = call("triage", triaged.run_id, "--no-canaries", "--json")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert said["is_new"]
    assert [source["kind"] for source in said["sources"]] == ["run", "opinion", "encoder"]
    opinion = next(source["id"] for source in said["sources"] if source["kind"] == "opinion")
    assert f"crossval@{opinion}" in said["summary"]["labels"]["voices"]
    assert said["summary"]["labels"]["canaries"]["n"] == 0
    assert all(row["average_precision"] is None for row in said["summary"]["labels"]["scores"])
    store.close()


def test_a_head_is_trained_again_on_the_copy(kit: Kit, faulty: Faulty, store: Store, call: Call) -> None:
    run = kit.train(store, **overrides(faulty, model__method="head", training__epochs=4))
    result = call("triage", "--dataset", "faulty", "--json")
    assert result.exit_code == 0, result.output
    scores = {row["score"]: row for row in json.loads(result.stdout)["summary"]["labels"]["scores"]}
    assert 0 < scores[f"area_under_margin@{run.id}"]["average_precision"] <= 1
    assert count_runs(store) == {"finished": 1}
    assert not list((store.files / "cache" / "folds").iterdir())


def test_a_head_whose_base_is_gone_is_not_trained_again(
    kit: Kit, faulty: Faulty, store: Store, call: Call, tmp_path: Path
) -> None:
    shutil.copytree(kit.bert, tmp_path / "base")
    more = {"model__method": "head", "training__epochs": 2, "model__base": str(tmp_path / "base")}
    run = kit.train(store, **overrides(faulty, **more))
    shutil.rmtree(tmp_path / "base")
    shutil.rmtree(store.files / "cache")
    result = call("triage", run.id, "--json")
    assert result.exit_code == 0, result.output
    assert "cannot be trained on the copy with canaries: there is no model folder" in result.stderr
    scores = {row["score"]: row for row in json.loads(result.stdout)["summary"]["labels"]["scores"]}
    assert scores[f"area_under_margin@{run.id}"]["average_precision"] is None
    assert scores["area_under_margin@head"]["average_precision"] is not None


def test_a_data_set_without_runs_is_looked_at_by_the_encoder_that_is_named(
    kit: Kit, triaged: Triaged, tmp_path: Path
) -> None:
    store = copied(triaged, tmp_path)
    with store.write() as db:
        db.execute("DELETE FROM runs")
    result = call_on(store.path)("triage", "--dataset", "faulty", "--model", str(kit.bert), "--json")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert [(source["kind"], source["name"]) for source in said["sources"]] == [("encoder", str(kit.bert))]
    assert said["summary"]["labels"]["noise"]["value"] is not None
    assert said["summary"]["missing"]["truncated"] == ["n_tokens", "max_length"]
    store.close()


def test_without_any_encoder_the_texts_are_looked_at(
    triaged: Triaged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = copied(triaged, tmp_path)
    with store.write() as db:
        db.execute("DELETE FROM runs")
    monkeypatch.setattr("runner.triage.embedding.builtin_folder", lambda name: None)
    result = call_on(store.path)("triage", "--dataset", "faulty", "--json")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert said["sources"] == []
    assert {"linear", "neighbours"}.isdisjoint(said["summary"]["labels"]["voices"])
    assert "naive_bayes" in said["summary"]["labels"]["voices"]
    assert said["summary"]["findings"]["exact_duplicate"] == 1
    assert "neighbours" in said["summary"]["missing"]["outlier"]
    store.close()


@pytest.mark.parametrize("step", ["labels", "map"])
def test_a_step_that_fails_is_said_and_done_again(
    triaged: Triaged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    store = copied(triaged, tmp_path)
    call, seen = call_on(store.path), list[str]()

    def noted(each: steps.Step, *, fails: bool) -> steps.Step:
        def work(context: Any, key: int) -> steps.Written:
            seen.append(each.name)
            if fails:
                raise MemoryError
            return each.work(context, key)

        return each._replace(work=work)

    import runner.triage.carry_out as module

    with monkeypatch.context() as patch:
        patch.setattr(module, "STEPS", tuple(noted(each, fails=each.name == step) for each in steps.STEPS))
        result = call("triage", triaged.run_id, "--fresh", "--no-canaries")
    assert result.exit_code == 1
    assert f"failed: {step}: out of memory" in result.output
    assert seen == STEPS[: STEPS.index(step) + 1]
    seen.clear()
    monkeypatch.setattr(module, "STEPS", tuple(noted(each, fails=False) for each in steps.STEPS))
    result = call("triage", triaged.run_id, "--no-canaries", "--json")
    assert result.exit_code == 0, result.output
    assert seen == STEPS[STEPS.index(step) :]
    summary = json.loads(result.stdout)["summary"]
    assert summary["labels"]["n_labelled"] == 150
    assert summary["findings"]["exact_duplicate"] == 1
    store.close()


def test_a_triage_that_goes_on_says_the_same(triaged: Triaged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the step `findings` reads back is what it would have been handed."""
    import runner.triage.carry_out as module

    store = copied(triaged, tmp_path)
    call = call_on(store.path)

    def fail(context: Any, key: int) -> steps.Written:
        raise MemoryError

    broken = tuple(each._replace(work=fail) if each.name == "findings" else each for each in steps.STEPS)
    with monkeypatch.context() as patch:
        patch.setattr(module, "STEPS", broken)
        assert call("triage", triaged.run_id, "--fresh").exit_code == 1
    again = json.loads(call("triage", triaged.run_id, "--fresh", "--json").stdout)  # fresh: not the broken one
    went_on = latest_triage(store, get_dataset(store, "faulty").key)
    assert went_on is not None
    first = get_triage(store, str(triaged.said["id"]))
    for triage in (went_on, get_triage(store, again["id"])):
        for column in ("kind", "split", "position", "risk"):
            one, two = (list_findings(store, each.key, limit=10_000)[column].tolist() for each in (first, triage))
            assert one == two
        assert list_groups(store, first.key)["name"].tolist() == list_groups(store, triage.key)["name"].tolist()
    store.close()


@pytest.mark.parametrize(
    ("number", "code", "status"), [(signal.SIGINT, 130, "killed"), (signal.SIGKILL, -9, "running")]
)
def test_a_process_that_ends_in_a_step_is_gone_on_with(
    triaged: Triaged, tmp_path: Path, number: int, code: int, status: str
) -> None:
    store = copied(triaged, tmp_path)
    patches = """
from runner.triage import steps
import runner.triage.carry_out as module
def work(context, key):
    here("at work")
    time.sleep(60)
module.STEPS = tuple(each._replace(work=work) if each.name == "neighbours" else each for each in steps.STEPS)
"""
    process = Process(patches, "triage", triaged.run_id, "--fresh", "--no-canaries", "--store", store.path, "--quiet")
    process.wait_for("at work")
    process.process.send_signal(number)
    _, errors = process.process.communicate(timeout=60)
    assert process.process.returncode == code, errors
    stopped = latest_triage(store, get_dataset(store, "faulty").key, finished=False)
    assert stopped is not None
    assert stopped.status == status
    result = call_on(store.path)("triage", triaged.run_id, "--no-canaries", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["id"] == stopped.id
    store.close()


# by itself -----------------------------------------------------------------------------------------------------------


def recipe(kit: Kit, faulty: Faulty, folder: Path, **more: object) -> Path:
    path = folder / "recipe.toml"
    wanted = overrides(
        faulty, **{"model__method": "head", "training__epochs": 2, "triage__after_training": True, **more}
    )
    path.write_text(kit.text({name.replace("__", "."): value for name, value in wanted.items()}))
    return path


def test_after_a_training_the_data_is_looked_at(
    kit: Kit, faulty: Faulty, store: Store, call: Call, tmp_path: Path
) -> None:
    result = call("train", recipe(kit, faulty, tmp_path))
    assert result.exit_code == 0, result.output
    assert "labels are wrong" in result.output
    assert "runner triage" in result.output
    assert len(list_triages(store)) == 1


def test_a_triage_that_fails_does_not_fail_the_training(
    kit: Kit, faulty: Faulty, store: Store, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("runner.triage.after.runs_of", fail)
    result = call("train", recipe(kit, faulty, tmp_path))
    assert result.exit_code == 0, result.output
    assert "looking at the training examples failed: ZeroDivisionError: oops" in result.output
    assert "the run itself is finished" in result.output
    assert count_runs(store) == {"finished": 1}


def test_a_recipe_can_do_without(kit: Kit, faulty: Faulty, store: Store, call: Call, tmp_path: Path) -> None:
    assert call("train", recipe(kit, faulty, tmp_path, triage__after_training=False)).exit_code == 0
    assert list_triages(store).empty
