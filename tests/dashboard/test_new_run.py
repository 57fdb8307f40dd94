"""The New run page and the queue: what a form becomes, and what is asked of the store."""

import json
import os
import re
import signal
import time
import tomllib
from pathlib import Path

import psutil
import pytest
from streamlit.testing.v1 import AppTest

from dashboard import commands
from dashboard.commands import check_recipe, start_worker
from dashboard.parts.data_choice import BUILTIN, FILE, STORED, UPLOAD
from dashboard.parts.queue_panel import jobs_table
from store import (
    Job,
    JobStatus,
    NewRun,
    Run,
    Status,
    Store,
    cancel_job,
    count_runs,
    get_job,
    job_log,
    list_jobs,
    list_workers,
    open_store,
    pause_job,
    queue_job,
    record_run,
)
from store.job_leases import finish_job, lease_job, register_worker
from tests.dashboard.conftest import APP, SECONDS, Show, words
from tests.dashboard.stores import HOSTILE
from tests.dashboard.sweeps import make_sweep
from tests.dashboard.triages import triage_tweets


def plain(app: AppTest) -> str:
    return words(app).replace("\\", "")


def recipe(app: AppTest) -> dict[str, object]:
    """The recipe that the page shows."""
    (text,) = [code.value for code in app.code if code.language == "toml"]
    return tomllib.loads(text)


def labels(app: AppTest) -> set[str]:
    return {button.label for button in app.button}


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    """A table of texts as awkward as they come; two rows lack something."""
    path = tmp_path / "tweets.csv"
    rows = [
        f'"{text.replace(chr(34), chr(39))}",{"good" if i % 2 else "bad"},{i}' for i, text in enumerate(HOSTILE * 20)
    ]
    path.write_text("\n".join(["tweet,mood,id", *rows, ",good,998", "no label,,999"]) + "\n")
    return path


def with_file(show: Show, path: Path) -> AppTest:
    app = show("new_run")
    app.button_group(key="new-kind").set_value(FILE).run()
    app.text_input(key="new-path").set_value(str(path)).run()
    assert not app.exception
    return app


# data --------------------------------------------------------------------------------------------------------------


def test_an_empty_store_can_begin_here(show: Show, empty_path: Path) -> None:
    app = show("new_run")
    assert "Choose data and a model" in plain(app)
    assert "Start" not in labels(app)


def test_a_file_is_shown_as_text_and_understood(show: Show, store_path: Path, csv: Path) -> None:
    app = with_file(show, csv)
    preview = app.dataframe[0].value
    assert preview["tweet"].tolist()[0] == HOSTILE[0]
    for element in [*app.markdown, *app.caption]:
        assert HOSTILE[0] not in element.value
    said = plain(app)
    assert "102 rows, 2 labels in “mood”: text classification." in said
    assert app.selectbox(key="new-column-text").value == "tweet"
    assert app.selectbox(key="new-column-label").value == "mood"
    assert "80 texts occur more than once" not in said  # the ids differ only in another column: they do occur
    table = recipe(app)
    assert table["data"] == {
        "source": str(csv), "on_empty": "drop", "columns": {"text": "tweet", "label": "mood"}, "metadata": ["id"]
    }  # fmt: skip
    assert table["model"] == {"base": "builtin:minilm", "method": "head"}


def test_columns_can_be_changed_and_must_be_chosen(show: Show, store_path: Path, csv: Path) -> None:
    app = with_file(show, csv)
    app.selectbox(key="new-column-label").set_value("id").run()
    assert "labels for 102 rows: is this the column of labels?" in plain(app)
    app.selectbox(key="new-column-label").set_value(None).run()
    assert "choose the column that says what each text is" in plain(app)
    assert "Start" not in labels(app)


def test_further_columns_are_kept_unless_somebody_says_otherwise(show: Show, store_path: Path, csv: Path) -> None:
    app = with_file(show, csv)
    assert app.multiselect(key="new-metadata").value == ["id"]
    app.multiselect(key="new-metadata").set_value([]).run()
    assert "metadata" not in recipe(app)["data"]  # type: ignore[operator]  # a table
    app.selectbox(key="new-column-label").set_value("id").run()  # what was the label is now one of the others
    assert app.multiselect(key="new-metadata").value == ["mood"]


def test_columns_without_a_name_of_their_own_are_not_kept(show: Show, store_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "odd.csv"
    path.write_text("\n".join([",tweet,mood,note,note", *(f"{i},text {i},m{i % 2},a,b" for i in range(40))]) + "\n")
    app = with_file(show, path)
    assert "metadata" not in recipe(app)["data"]  # type: ignore[operator]  # a table
    assert not app.get("multiselect")


def test_keeping_empty_rows_is_a_choice(show: Show, store_path: Path, csv: Path) -> None:
    app = with_file(show, csv)
    app.toggle(key="new-drop").set_value(False).run()
    assert "on_empty" not in recipe(app)["data"]  # type: ignore[operator]  # a table


@pytest.mark.parametrize(("name", "said"), [("nowhere.csv", "No such file"), ("rows.xlsx", "files end in .csv")])
def test_a_bad_path_is_said(show: Show, store_path: Path, tmp_path: Path, name: str, said: str) -> None:
    if name.endswith("xlsx"):
        (tmp_path / name).write_text("x")
    assert said in plain(with_file(show, tmp_path / name))


def test_an_upload_is_kept_beside_the_store(show: Show, store_path: Path, csv: Path) -> None:
    app = show("new_run")
    app.button_group(key="new-kind").set_value(UPLOAD).run()
    app.file_uploader(key="new-upload").set_value(("My tweets.csv", csv.read_bytes(), "text/csv")).run()
    assert not app.exception
    folder = store_path.with_name("demo-files") / "uploads"
    (kept,) = folder.iterdir()
    assert kept.read_bytes() == csv.read_bytes()
    table = recipe(app)
    assert table["data"]["source"] == str(kept)  # type: ignore[index]  # a table
    assert table["data"]["name"] == "my-tweets"  # type: ignore[index]  # a table
    assert table["name"] == "my-tweets-head"
    assert "kept as" in plain(app)
    app.run()
    assert [path.name for path in folder.iterdir()] == [kept.name]


def test_a_stored_dataset_and_the_built_in_one(show: Show, store_path: Path) -> None:
    app = show("new_run")
    app.button_group(key="new-kind").set_value(STORED).run()
    app.selectbox(key="new-dataset").set_value("tweets@1").run()
    assert "train 600, validation 200, test 300; 3 labels" in plain(app)
    assert recipe(app)["data"] == {"source": "dataset:tweets@1"}
    assert set(app.dataframe[0].value["label"]) <= {"negative", "neutral", "positive"}
    app.button_group(key="new-kind").set_value(BUILTIN).run()
    assert recipe(app)["data"] == {"source": "builtin:docstrings"}


# settings and estimates --------------------------------------------------------------------------------------------


def test_settings_show_their_defaults_and_go_into_the_recipe(show: Show, store_path: Path, csv: Path) -> None:
    app = with_file(show, csv)
    assert app.text_input(key="new-training.epochs").placeholder == "30 by default"
    app.button_group(key="new-method").set_value("lora").run()
    assert app.text_input(key="new-training.epochs").placeholder == "3 by default"
    app.text_input(key="new-training.learning_rate").set_value("2e-4").run()
    app.text_input(key="new-name").set_value("mine").run()
    table = recipe(app)
    assert table["training"] == {"learning_rate": 2e-4}
    assert table["name"] == "mine"


def test_what_is_wrong_is_said_and_cannot_be_started(show: Show, store_path: Path, csv: Path) -> None:
    app = with_file(show, csv)
    app.text_input(key="new-training.epochs").set_value("many").run()
    assert 'training.epochs = "many": must be' in plain(app)
    assert app.button(key="start").disabled


def test_memory_and_time_are_estimated_or_said_not_to_be_known(show: Show, store_path: Path, csv: Path) -> None:
    app = with_file(show, csv)
    said = plain(app)
    assert re.search(r"Memory: (about )?[\d.]+ .B( to [\d.]+ .B)?, of [\d.]+ GB free here", said)
    assert "(weights 90 MB" in said
    assert "Time: about" in said  # the store has runs of head on this model
    assert "in 3 earlier runs" in said or "as in 2 earlier runs" in said
    app.button_group(key="new-method").set_value("top-layers").run()
    assert "Time: not known; no run of top-layers on builtin:minilm" in plain(app)
    app.button_group(key="new-base-kind").set_value("A hub model").run()
    app.text_input(key="new-base").set_value("someone/never-downloaded").run()
    assert "Memory: not known, the files of someone/never-downloaded are not on this machine yet" in plain(app)


def test_a_check_that_gave_no_answer_can_be_asked_again(
    show: Show, store_path: Path, csv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    app = with_file(show, csv)
    patience = commands._PATIENCE_SECONDS
    monkeypatch.setattr(commands, "_PATIENCE_SECONDS", 0.0)
    app.text_input(key="new-name").set_value("asked-in-vain").run()
    assert "`runner recipe check` gave no answer" in words(app).replace("\\", "")
    assert app.button(key="start").disabled
    monkeypatch.setattr(commands, "_PATIENCE_SECONDS", patience)
    app.button(key="check-again").click().run()
    assert "gave no answer" not in plain(app)
    assert not app.button(key="start").disabled


# tasks -------------------------------------------------------------------------------------------------------------


def test_sets_of_labels_from_file_to_recipe(show: Show, store_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "moods.jsonl"
    rows = [{"tweet": f"text {i}", "moods": [[], ["joy"], ["joy", "love"]][i % 3], "id": i} for i in range(30)]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    app = with_file(show, path)
    assert app.selectbox(key="new-task").value == "multi-label-classification"
    assert "30 rows, 2 labels in “moods”, 1.0 a row: multi-label classification." in plain(app)
    table = recipe(app)
    assert table["task"] == "multi-label-classification"
    assert table["data"]["columns"] == {"text": "tweet", "labels": "moods"}  # type: ignore[index]  # a table
    assert not app.button(key="start").disabled
    assert app.text_input(key="new-training.epochs").placeholder == "30 by default"
    app.selectbox(key="new-task").set_value("text-classification").run()
    assert recipe(app)["task"] == "text-classification"
    assert app.selectbox(key="new-column-label").value == "moods"


def test_pairs_numbers_and_what_a_column_is_missing_for(show: Show, store_path: Path, tmp_path: Path) -> None:
    path = tmp_path / "alike.csv"
    path.write_text("a,b,how much\n" + "".join(f"some text {i},other text {i},{i / 7:.2f}\n" for i in range(40)))
    app = with_file(show, path)
    app.selectbox(key="new-task").set_value("regression").run()
    assert "40 rows, numbers from 0 to 5.57 in “how much”: regression." in plain(app)
    app.selectbox(key="new-column-text").set_value("a").run()
    app.selectbox(key="new-column-text_pair").set_value("b").run()
    table = recipe(app)
    assert table["data"]["columns"] == {"text": "a", "text_pair": "b", "score": "how much"}  # type: ignore[index]
    assert not app.button(key="start").disabled
    app.selectbox(key="new-column-text_pair").set_value(None).run()
    assert not app.button(key="start").disabled
    app.selectbox(key="new-task").set_value("pair-classification").run()
    assert app.selectbox(key="new-column-text_pair").value in ("a", "b")
    app.selectbox(key="new-column-text_pair").set_value(None).run()
    assert "no column of second texts: choose one" in plain(app)
    assert "Start" not in labels(app)


# start -------------------------------------------------------------------------------------------------------------


def test_start_queues_a_job_that_is_complete_in_itself(show: Show, store: Store, csv: Path) -> None:
    app = with_file(show, csv)
    shown = recipe(app)
    app.button(key="start").click().run()
    job = get_job(store, "@latest")
    assert (job.kind, job.name, job.status, job.max_attempts) == ("train", shown["name"], "queued", 3)
    assert tomllib.loads(job.arguments["recipe_text"]) == shown
    check = check_recipe(job.arguments["recipe_text"])
    assert job.arguments["resolved"] == check.resolved
    assert app.query_params["job"] == job.id
    assert app.button(key="start").disabled  # not twice by a second click
    app.text_input(key="new-training.seed").set_value("7").run()
    assert not app.button(key="start").disabled
    said = plain(app)
    assert "Place 1 of 1 in the queue" in said
    assert "No worker is running" in said
    assert "runner worker" in said


def test_the_card_follows_its_job(show: Show, store: Store, runs: dict[str, Run]) -> None:
    job = queue_job(store, "train", "mine", {"recipe_text": ""})
    queue_job(store, "train", "other", {"recipe_text": ""}, priority=1)
    assert "Place 2 of 2 in the queue" in plain(show("new_run", job=job.id))
    app = show("new_run", job=job.id)
    app.button(key="cancel-job").click().run()
    assert get_job(store, job.key).status == "killed"
    assert "cancelled before it began" in plain(app)
    assert "no job" in plain(show("new_run", job="NOSUCHJOB"))


def running(store: Store, **more: object) -> Job:
    """A job that this process has in hand, with a run at step 60 of some."""
    queue_job(store, "train", "at-work", {"recipe_text": ""}, **more)  # type: ignore[arg-type]  # keywords of queue_job
    register_worker(store, "cpu")
    job = lease_job(store, "cpu")
    assert job is not None
    return job


def test_a_finished_run_leads_to_what_is_wrong_with_its_data(
    show: Show, store: Store, runs: dict[str, Run]
) -> None:  # fmt: skip
    job = running(store)
    with store.write() as db:
        db.execute("UPDATE jobs SET run_key = ? WHERE key = ?", (runs["lora"].key, job.key))
    finish_job(store, job, JobStatus.FINISHED)
    links = [link.proto.page for link in show("new_run", job=job.id).get("page_link")]
    assert not any(page.endswith("triage") for page in links)
    triage_tweets(store, runs)
    links = [link.proto.page for link in show("new_run", job=job.id).get("page_link")]
    assert any(page.endswith("triage") for page in links)


def test_a_running_and_a_failed_job(show: Show, store: Store, runs: dict[str, Run]) -> None:
    job = running(store)
    assert "● running" in plain(show("new_run", job=job.id))
    with store.write() as db:
        db.execute("UPDATE jobs SET run_key = ? WHERE key = ?", (runs["tweet-live"].key, job.key))
    app = show("new_run", job=job.id)
    assert "step 60" in plain(app)
    log = job_log(store, job)
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("<b>error</b>: no text in line 9\n")
    finish_job(store, job, JobStatus.FAILED, "no text in line 9")
    app = show("new_run", job=job.id)
    assert "no text in line 9" in plain(app)
    assert "<b>error</b>: no text in line 9" in [code.value for code in app.code]


# clone and change --------------------------------------------------------------------------------------------------


def test_clone_fills_the_form_from_a_run(show: Show, store: Store, runs: dict[str, Run]) -> None:
    app = show("new_run", clone=runs["lora"].id)
    table = recipe(app)
    assert table["model"] == {"base": "builtin:minilm", "method": "lora"}
    assert table["data"] == {"source": "dataset:tweets@1"}  # the very same rows
    assert table["training"] == {"learning_rate": 2e-4}
    assert table["name"] == "tweet-lora-r16-2"
    assert "New run, from tweet-lora-r16" in app.subheader[0].value.replace("\\", "")
    app.text_input(key="new-training.learning_rate").set_value("1e-3").run()
    assert recipe(app)["training"] == {"learning_rate": 1e-3}  # and stays changed
    assert not app.button(key="start").disabled


def test_clone_keeps_what_the_form_does_not_know(show: Show, store: Store, csv: Path) -> None:
    text = (
        'name = "own"\ntask = "text-classification"\ntags = ["mine", "sweep:theirs"]\n'
        '[model]\nbase = "builtin:minilm"\nmethod = "lora"\n'
        f'lora = {{ r = 4 }}\n[data]\nsource = "{csv}"\ncolumns = {{ text = "tweet", label = "mood" }}\n'
        "[training]\nwarmup = 0.2\n"
    )
    check = check_recipe(text)
    assert check.resolved is not None, check.problems
    run = record_run(store, NewRun(name="own", recipe=check.resolved, recipe_text=text), status=Status.FINISHED)
    app = show("new_run", clone=run.id)
    said = plain(app)
    assert "Taken over beyond the form" in said
    assert "model.lora.r" in said
    table = recipe(app)
    assert table["training"] == {"warmup": 0.2}
    assert table["tags"] == ["mine"]  # it is no trial of the sweep
    assert table["data"]["columns"] == {"text": "tweet", "label": "mood"}  # type: ignore[index]  # a table
    app.query_params.clear()
    app.run()
    assert "Choose data and a model" in plain(app)  # the form is empty again


def test_clone_of_a_merged_run_names_what_was_trained(show: Show, store: Store, runs: dict[str, Run]) -> None:
    lora = runs["lora"]
    merge = {"method": "ties", "parents": [{"name": lora.name, "id": lora.id}]}
    merged = NewRun(name="both", recipe=lora.recipe, dataset_key=lora.dataset_key, provenance={"merge": merge})
    app = show("new_run", clone=record_run(store, merged, status=Status.FINISHED).id)
    assert "both was merged, not trained" in plain(app)
    assert f"what it was made of: {lora.name}." in plain(app)
    assert "Choose data and a model" in plain(app)


def test_clone_of_what_has_no_recipe_or_is_not_there(show: Show, runs: dict[str, Run]) -> None:
    assert "there is nothing to take over" in plain(show("new_run", clone=runs["my-script"].id))
    assert "no run" in plain(show("new_run", clone="NOSUCHRUN"))


def test_runs_and_run_link_to_the_clone(show: Show, runs: dict[str, Run]) -> None:
    assert "Clone…" in labels(show())
    app = show("run", run=runs["head"].id)
    links = [element.proto for element in app.get("page_link")]
    assert any(f"clone={runs['head'].id}" in str(link) for link in links)


# the queue ---------------------------------------------------------------------------------------------------------


def test_an_empty_queue_says_the_commands(show: Show, store_path: Path) -> None:
    said = plain(show("jobs"))
    assert "The queue is empty" in said
    assert "runner worker" in said


def test_the_line_above_the_queue_keeps_up(show: Show, store: Store, runs: dict[str, Run]) -> None:
    queue_job(store, "train", "first", {})
    app = show("jobs")
    n = sum(count_runs(store).values())
    assert f"{n} runs · :blue[●]" in plain(app)
    assert "live, heartbeat" in plain(app)
    record_run(store, NewRun("another"))
    assert f"{n + 1} runs" in plain(app.run())


def test_the_queue_in_all_its_states(show: Show, store: Store, runs: dict[str, Run]) -> None:
    job = running(store)
    first = queue_job(store, "train", "<b>first</b>", {})
    second = queue_job(store, "sweep", "second", {})
    pause_job(store, second.key)
    cancel_job(store, queue_job(store, "train", "gone", {}).key)
    app = show("jobs")
    table = app.dataframe[0].value
    assert [next(iter(status)) for status in table["status"]] == ["● running", "◌ queued", "‖ paused", "■ killed"]
    assert table["name"].tolist() == ["at-work", "<b>first</b>", "second", "gone"]
    assert table["place"].tolist()[1:3] == [1, 2]
    assert "worker for cpu" in plain(app)
    finish_job(store, job, JobStatus.FINISHED)
    assert first.key in list_jobs(store)["key"].tolist()


def chosen(job: Job) -> AppTest:
    """The queue's page with the job's row ticked."""
    app = AppTest.from_file(str(APP), default_timeout=SECONDS)
    app.switch_page("views/jobs.py")
    app.session_state["chosen-job"] = job.id
    app.run()
    assert not app.exception
    return app


@pytest.mark.parametrize(
    ("button", "status"), [("job-cancel", "killed"), ("job-pause", "paused"), ("job-top", "queued")]
)
def test_buttons_of_a_waiting_job(store: Store, button: str, status: str) -> None:
    queue_job(store, "train", "first", {})
    job = queue_job(store, "train", "second", {})
    app = chosen(job)
    assert "job-retry" not in {each.key for each in app.button}
    app.button(key=button).click().run()
    assert get_job(store, job.key).status == status
    names = list_jobs(store)["name"].tolist()
    assert names == (["second", "first"] if button == "job-top" else ["first", "second"])


def test_resume_and_retry_and_a_refusal(store: Store) -> None:
    job = queue_job(store, "train", "a", {})
    pause_job(store, job.key)
    app = chosen(job)
    app.button(key="job-resume").click().run()
    assert get_job(store, job.key).status == "queued"
    stale = chosen(job)
    cancel_job(store, job.key)  # somebody else was faster
    stale.button(key="job-pause").click().run()
    assert "only a job that waits or runs can be paused" in stale.toast[0].value.replace("\\", "")
    app = chosen(job)
    assert "cancelled before it began" in plain(app)
    app.button(key="job-retry").click().run()
    assert get_job(store, job.key).status == "queued"


def test_progress_of_jobs(store: Store, runs: dict[str, Run]) -> None:
    job = running(store)
    sweep = make_sweep(store, n=4, wanted=8, ends="running", with_scores=False)
    with store.write() as db:
        db.execute("UPDATE jobs SET sweep_key = ? WHERE key = ?", (sweep.key, job.key))
    table = jobs_table(list_jobs(store), time.time())
    assert table["at"].tolist() == ["3 of 8 trials"]
    assert table["progress"].tolist() == [0.375]
    with store.write() as db:  # a trial of the sweep says its own steps
        db.execute("UPDATE jobs SET kind = 'trial', run_key = ?", (next(iter(runs.values())).key,))
    (said,) = jobs_table(list_jobs(store), time.time())["at"]
    assert str(said).startswith("step ")


# workers -----------------------------------------------------------------------------------------------------------


def test_a_worker_that_the_page_starts_is_a_process_of_its_own(tmp_path: Path) -> None:
    store = open_store(tmp_path / "a.db")
    log = start_worker(str(store.path))
    deadline = time.monotonic() + 120
    while list_workers(store).empty and time.monotonic() < deadline:
        time.sleep(0.2)
    (row,) = list_workers(store).to_dict("records")
    try:
        assert row["cause"] is None
        assert os.getsid(row["pid"]) == row["pid"] != os.getsid(0)
        assert "worker for" in log.read_text()
    finally:
        os.kill(row["pid"], signal.SIGTERM)
    psutil.Process(row["pid"]).wait(60)
    store.close()


def test_instructions_begin_with_a_model_that_says_tokens_and_a_length_that_fits(
    show: Show, empty_path: Path, tmp_path: Path
) -> None:
    path = tmp_path / "alpaca.jsonl"
    rows = [
        {"instruction": f"Tell me about {i}.", "input": "x" * 900 if i == 3 else "", "output": f"It is the answer {i}."}
        for i in range(40)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    app = with_file(show, path)
    assert app.selectbox(key="new-column-input").value == "input"
    assert "Built-in MiniLM" not in app.button_group(key="new-base-kind").options
    table = recipe(app)
    assert table["task"] == "instruction"
    assert table["model"] == {"base": "Qwen/Qwen3-0.6B", "method": "lora", "max_length": 512}
    assert table["training"] == {"batch_size": 8}
    assert table["data"]["columns"] == {"prompt": "instruction", "input": "input", "completion": "output"}  # type: ignore[index]  # of TOML
    app.text_input(key="new-model.max_length").set_value("64").run()
    assert recipe(app)["model"]["max_length"] == 64  # type: ignore[index]  # of TOML
    assert "texts are longer than about 64 tokens" in plain(app)
