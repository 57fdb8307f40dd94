"""Every page in every state, run as Streamlit runs it."""

import json
import time
from pathlib import Path

import pytest

from dashboard import pairing, queries
from dashboard.charts.lengths import length_chart
from dashboard.formats import short
from dashboard.source import Source
from dashboard.tabs.data import bins, count_frame
from store import (
    NewRun,
    Recorder,
    Run,
    ScoreRow,
    Status,
    Store,
    count_flips,
    get_evaluation,
    list_predictions,
    open_store,
    read_predictions,
    read_rows,
    record_profile,
    record_run,
)
from store import get_dataset as get
from tests.dashboard.conftest import Show, words
from tests.dashboard.stores import HOSTILE

TABS = ("Curves", "Classes", "Examples", "Data", "Recipe", "Provenance", "Log", "Checkpoints")


# the store itself --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("view", ["runs", "run", "compare", "sweeps", "sweep", "new_run", "jobs"])
def test_missing_store_says_the_command(show: Show, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, view: str) -> None:
    monkeypatch.setenv("ASSAY_STORE", str(tmp_path / "nothing.db"))
    said = words(show(view))
    assert "No store here yet" in said
    assert "runner demo" in said
    assert not (tmp_path / "nothing.db").exists()


def test_an_empty_store_can_be_made_from_the_page(show: Show, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_STORE", str(tmp_path / "mine.db"))
    app = show("new_run")
    next(button for button in app.button if button.label == "Make an empty store here").click().run()
    assert not app.exception
    assert "No store here yet" not in words(app)
    assert "Choose data and a model" in words(app)


@pytest.mark.parametrize("view", ["runs", "run", "compare"])
def test_empty_store_says_the_command(show: Show, empty_path: Path, view: str) -> None:
    said = words(show(view))
    assert "runner demo" in said
    assert "runner train" in said


def test_newer_store_says_so(show: Show, empty_path: Path) -> None:
    store = open_store(empty_path)
    store.db.execute("PRAGMA user_version = 999")
    store.close()
    said = words(show())
    assert "newer Assay" in said
    assert "Nothing was changed" in said


@pytest.mark.parametrize("content", [b"not a database at all, but long enough to be one " * 40, b""])
def test_what_is_no_store_says_so(show: Show, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    path = tmp_path / "wrong.db"
    path.write_bytes(content)
    monkeypatch.setenv("ASSAY_STORE", str(path))
    said = words(show())
    if content:
        assert "not a SQLite file" in said
        assert f"runner doctor --store '{path}'" in said
    else:
        assert "No runs yet" in said  # an empty file is a store that has not begun


def test_damaged_store_points_to_the_doctor(show: Show, store_path: Path) -> None:
    with store_path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (store_path.stat().st_size - 4096))
    said = words(show())
    assert "damaged" in said
    assert "runner doctor" in said


# Runs ----------------------------------------------------------------------------------------------------------------


def test_runs_shows_all_with_status_in_words(show: Show, store_path: Path) -> None:
    app = show()
    (table,) = app.dataframe
    assert len(table.value) == 8
    statuses = {status for (status,) in table.value["status"]}
    assert statuses == {"✓ finished", "✕ failed", "● running"}
    assert "8 of 8 runs" in words(app)
    assert "1 live, heartbeat" in words(app)
    assert [button.disabled for button in app.button] == [True, True, True]


@pytest.mark.parametrize(
    ("params", "names"),
    [
        ({"status": "failed"}, ["tweet-full-lr1e-2"]),
        ({"q": "tweet-lora"}, ["tweet-lora-r16", "tweet-lora-r16"]),
        ({"dataset": "topics@1"}, ["topics-head"]),
        ({"method": "head", "sort": "name", "dataset": "tweets@1"}, ["<b>bold</b> **run** $x$", "tweet-head"]),
        ({"q": "no such run"}, []),
    ],
)
def test_runs_filters_live_in_the_url(show: Show, store_path: Path, params: dict[str, str], names: list[str]) -> None:
    app = show("runs", **params)
    found = app.dataframe[0].value["name"].tolist() if app.dataframe else []
    assert found == names
    assert ("No run fits" in words(app)) == (not names)


def test_runs_are_paged_in_the_store(show: Show, store: Store) -> None:
    for i in range(120):
        record_run(store, NewRun(name=f"many-{i:03d}"), status=Status.FINISHED)
    first, third = show("runs"), show("runs", page="3")
    assert "128 of 128 runs" in words(first)
    assert first.dataframe[0].value["name"].tolist() == [f"many-{i:03d}" for i in range(119, 69, -1)]
    assert len(third.dataframe[0].value) == 28


# Run -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tab", TABS)
@pytest.mark.parametrize("name", ["tweet-head", "tweet-full-lr1e-2", "my-script", "tweet-live", "topics-head"])
def test_every_tab_of_every_kind_of_run(show: Show, runs: dict[str, Run], name: str, tab: str) -> None:
    app = show("run", run=runs[name].id, tab=tab)
    assert name in app.subheader[0].value.replace("\\", "")


def test_run_sentence_and_tab_contents(show: Show, runs: dict[str, Run]) -> None:
    said = words(show("run", run=runs["lora2"].id)).replace("\\", "")
    assert "lora on tweets@1: 0." in said
    assert "over the untrained model" in said
    assert "a sign of over-fitting" in said
    assert "[model]" in words(show("run", run=runs["head"].id, tab="Recipe"))
    assert "3 epochs of 40 steps" in words(show("run", run=runs["lora"].id, tab="Log"))
    figures = {m.label: m.value for m in show("run", run=runs["head"].id, tab="Provenance").metric}
    assert figures["wall time"] == "3 min 20 s"
    assert figures["energy"] == "–"
    assert figures["trained parameters"] == "300 k of 23.0 M"


def test_failed_run_shows_its_cause_and_a_script_says_what_it_lacks(show: Show, runs: dict[str, Run]) -> None:
    app = show("run", run="tweet-full-lr1e-2")
    assert "loss became NaN at step 84" in app.warning[0].value
    assert "No predictions were recorded" in words(show("run", run="my-script", tab="Classes"))
    assert "without a recipe" in words(show("run", run="my-script", tab="Recipe"))


def test_what_was_measured_of_the_data_is_shown(show: Show, store: Store, runs: dict[str, Run]) -> None:
    assert "Nobody has looked at these data" in words(show("run", run=runs["head"].id, tab="Data"))
    whole = {
        "n": 4, "total": 60.0, "mean": 15.0, "quantiles": {"p5": 1.0, "p50": 9.0, "p95": 40.0, "max": 40.0},
        "edges": [0.0, 20.0, 40.0], "counts": [3, 1],
    }  # fmt: skip
    split = {
        "n_examples": 4, "tokens": whole, "answer_tokens": None, "truncated": {"n": 1, "of": 4, "share": 0.25},
        "no_room": None, "unknown_tokens": None, "n_words": 50, "tokens_per_word": 1.2, "numbers": None,
        "labels": {"counts": {"<b>no</b>": 3, "yes": 1}, "n_without": 0, "imbalance": 3.0},
        "duplicates": {"n": 1, "n_conflicting": 0}, "languages": {"n": 4, "counts": {"English": 3, "": 1}},
    }  # fmt: skip
    leaks = [{"from": "train", "in": "test", "n": 1, "of": 4, "share": 0.25}]
    found = {"tokenizer": "<i>x</i>", "max_length": 32, "splits": {"train": split, "test": split}, "leaks": leaks}
    record_profile(store, runs["head"].dataset_key or 0, "f", found)
    app = show("run", run=runs["head"].id, tab="Data")
    said = words(app)
    assert "1 of 4 examples of test is in train too" in said
    assert "at most 32" in said
    (table,) = [each.value for each in app.dataframe if "tokens a word" in each.value]
    assert table["cut"].tolist() == [0.25, 0.25]
    assert table["unknown"].isna().all()
    assert bins(whole).to_dict("records")[1] == {"low": 20.0, "high": 40.0, "n": 1}
    assert count_frame({"a": 3, "b": 2, "": 5}, 1).values.tolist() == [["cannot be told", 5], ["2 more", 5]]
    chart = length_chart(bins(whole), unit="tokens", room=32.0).to_dict()
    assert len(chart["layer"]) == 2


def test_class_table_counts_what_the_store_counts(show: Show, store: Store, runs: dict[str, Run]) -> None:
    app = show("run", run=runs["head"].id, tab="Classes", split="test")
    classes = app.dataframe[0].value
    assert classes["n"].sum() == 300
    recall = (classes["recall"] * classes["n"]).sum() / 300
    evaluation = get_evaluation(store, runs["head"].key, "test")
    assert evaluation is not None
    wrong = len(list_predictions(store, evaluation, wrong_only=True, limit=10_000))
    assert recall == pytest.approx(1 - wrong / 300)


def test_examples_filters_live_in_the_url(show: Show, store: Store, runs: dict[str, Run]) -> None:
    app = show("run", run=runs["head"].id, tab="Examples", split="test", given="0", wrong="true")
    table = app.dataframe[0].value
    evaluation = get_evaluation(store, runs["head"].key, "test")
    assert evaluation is not None
    expected = list_predictions(store, evaluation, given=0, wrong_only=True, limit=25)
    assert table["text"].tolist() == [short(text) for text in expected["text"]]
    assert set(table["given"]) == {"negative"}
    assert table["loss"].is_monotonic_decreasing


def test_checkpoint_charts_and_page_live_in_the_url(show: Show, runs: dict[str, Run]) -> None:
    first = show("run", run=runs["head"].id, tab="Classes", split="test", step="0")
    assert first.selectbox(key="checkpoint").value == 0
    assert show("run", run=runs["head"].id, tab="Classes", step="7").selectbox(key="checkpoint").value == 200  # best
    assert len(show("run", run=runs["head"].id, charts="accuracy").get("vega_lite_chart")) == 3  # and the machine's two
    page = show("run", run=runs["head"].id, tab="Examples", split="test", page="2")
    assert "26 to 50 of 300 examples" in words(page)
    assert "1 to 25 of" in words(show("run", run=runs["head"].id, tab="Examples", split="test", wrong="true"))


def test_another_filter_begins_at_the_first_page(show: Show, runs: dict[str, Run]) -> None:
    app = show("run", run=runs["head"].id, tab="Examples", split="test", page="3")
    assert "51 to 75 of 300 examples" in words(app)
    app.toggle(key="wrong").set_value(True).run()
    assert "1 to 25 of" in words(app)
    assert "page" not in app.query_params


@pytest.mark.parametrize("bad", ["NOSUCHRUN", "<script>alert(1)</script>", "01", "' OR 1=1 --"])
def test_bad_run_id_is_answered_in_words(show: Show, store_path: Path, bad: str) -> None:
    said = words(show("run", run=bad))
    assert "no run" in said
    assert "<script>" not in said


def test_run_without_an_id_is_the_newest(show: Show, store_path: Path) -> None:
    assert show("run").subheader[0].value.replace("\\", "") == "tweet-live"


# Compare -------------------------------------------------------------------------------------------------------------


def test_compare_says_who_is_better(show: Show, runs: dict[str, Run]) -> None:
    app = show("compare", runs=f"{runs['head'].id},{runs['lora'].id}")
    said = words(app).replace("\\", "")
    assert "tweet-lora-r16 beats tweet-head by +" in said
    assert "paired, n = 300" in said
    assert "model.method head → lora" in said
    table = app.dataframe[0].value
    assert table["metric"].tolist() == ["accuracy", "macro F1", "loss"]
    assert table["answer"].tolist()[0] == "▲ better"
    assert (table["b"] - table["a"]).to_numpy() == pytest.approx(table["difference"].to_numpy())


def test_compare_counts_and_lists_flips(show: Show, runs: dict[str, Run]) -> None:
    pair = f"{runs['head'].id},{runs['lora'].id}"
    app = show("compare", runs=pair, kind="fixed")
    options = [option.content for option in app.button_group(key="tabs-kind").proto.options]
    assert [option.split(" ")[0] for option in options[:2]] == ["broken", "fixed"]
    n_fixed = int(options[1].split(" ")[1])
    assert f"{n_fixed} fixed" in words(app).replace("\\", "")
    table = app.dataframe[1].value
    assert len(table) == min(25, n_fixed)
    assert table["predicted_a"].str.startswith("✕").all()
    assert table["predicted_b"].str.startswith("✓").all()
    narrowed = show("compare", runs=pair, kind="fixed", label="0").dataframe[1].value
    assert set(narrowed["gold"]) == {"negative"}


def test_kinds_counted_from_cells_are_those_of_the_store(store: Store, runs: dict[str, Run]) -> None:
    a, b = (get_evaluation(store, runs[name].key, "test") for name in ("head", "lora"))
    assert a is not None
    assert b is not None
    assert runs["head"].dataset_key is not None
    for is_same_data in (True, False):  # by position, and by example
        data = get(store, runs["head"].dataset_key)
        found = pairing.pair(str(store.path), a, b, data, is_same_data=is_same_data)
        assert found.n == 300
        for label in (None, 0, 2):
            counted = pairing.counts_by_kind(found.cells, label)
            expected = count_flips(store, a, b, label=label)
            assert counted == {kind: expected[kind] for kind in counted}
            assert pairing.flip_counts(str(store.path), found, label, "train")["differ"] <= counted["differ"]


@pytest.mark.parametrize("section", ["Examples", "Curves", "Configuration"])
def test_compare_of_three_and_its_sections(show: Show, runs: dict[str, Run], section: str) -> None:
    ids = [runs["head"].id, runs["lora"].id, runs["lora2"].id]
    app = show("compare", runs=",".join(ids), section=section, b=ids[2])
    assert f"tweet-lora-r16 ·{ids[2][-4:]} beats tweet-head" in words(app).replace("\\", "")
    assert len(app.dataframe[0].value) == 6


def test_compare_of_runs_named_like_columns(show: Show, store: Store, runs: dict[str, Run]) -> None:
    pair = [runs["head"], runs["lora"]]
    with store.write() as db:
        for run, name in zip(pair, ("part", "setting"), strict=True):
            db.execute("UPDATE runs SET name = ? WHERE key = ?", (name, run.key))
    app = show("compare", runs=",".join(run.id for run in pair), section="Configuration")
    table = app.dataframe[1]
    assert table.value.to_numpy().tolist()[0] == ["model.method", "head", "lora"]
    titles = {column: config.get("label") for column, config in json.loads(table.proto.columns).items()}
    assert {"0": "part", "1": "setting"}.items() <= titles.items()


def test_compare_where_nobody_knows_the_label(show: Show, store: Store, runs: dict[str, Run]) -> None:
    said = []
    for name in ("head", "lora"):
        evaluation = get_evaluation(store, runs[name].key, "test")
        assert evaluation is not None
        said.append(list_predictions(store, evaluation, limit=1000).assign(evaluation=evaluation.key))
    both = said[0].merge(said[1], on="position")
    flipped = both[both["predicted_x"] != both["predicted_y"]].iloc[0]
    with store.write() as db:
        where = "split = 'test' AND position = ?"
        db.execute(f"UPDATE dataset_rows SET target = NULL WHERE {where}", (int(flipped["position"]),))
        db.execute(  # a change so large that it comes first
            "UPDATE predictions SET loss = 1000 WHERE evaluation_key = ? AND position = ?",
            (int(flipped["evaluation_x"]), int(flipped["position"])),
        )
    app = show("compare", runs=f"{runs['head'].id},{runs['lora'].id}", kind="differ")
    first = app.dataframe[1].value.iloc[0]
    assert first["gold"] == "unknown"
    assert {first["predicted_a"], first["predicted_b"]} <= {"negative", "neutral", "positive"}


def test_compare_holm_covers_all_rows_shown(show: Show, runs: dict[str, Run]) -> None:
    two = show("compare", runs=f"{runs['head'].id},{runs['lora'].id}").dataframe[0].value
    three = show("compare", runs=f"{runs['head'].id},{runs['lora'].id},{runs['lora2'].id}").dataframe[0].value
    macro_f1 = [float(table["p"].iloc[1].strip("< ")) for table in (two, three)]
    assert macro_f1[1] > macro_f1[0]  # the bootstrap's smallest p, times more comparisons


def test_compare_nothing_one_and_too_many(show: Show, store: Store, runs: dict[str, Run]) -> None:
    assert "Choose 2 to 10 runs" in words(show("compare"))
    assert "Choose one more run" in words(show("compare", runs=runs["head"].id))
    assert "Choose one more run" in words(show("compare", runs=f"{runs['head'].id},{runs['head'].id}"))
    more = [record_run(store, NewRun(name=f"many-{i}"), status=Status.FINISHED).id for i in range(11)]
    app = show("compare", runs=",".join([runs["head"].id, *more]))
    assert "12 runs were asked for; the first 10 are compared" in words(app).replace("\\", "")


def test_compare_bad_ids_are_named_and_the_rest_is_shown(show: Show, runs: dict[str, Run]) -> None:
    app = show("compare", runs=f"{runs['head'].id},NOPE,{runs['lora'].id},<script>")
    assert len(app.warning) == 2
    assert "beats tweet-head" in words(app).replace("\\", "")


@pytest.mark.parametrize(
    ("other", "reason"),
    [("topics-head", "24 labels"), ("my-script", "without a dataset"), ("tweet-live", "share no evaluated split")],
)
def test_compare_says_what_cannot_be_compared(show: Show, runs: dict[str, Run], other: str, reason: str) -> None:
    app = show("compare", runs=f"{runs['head'].id},{runs[other].id}")
    assert reason in words(app).replace("\\", "")
    assert app.get("vega_lite_chart")  # the curves are still there


# one example ---------------------------------------------------------------------------------------------------------


def test_example_card_over_all_runs(show: Show, store: Store, runs: dict[str, Run]) -> None:
    evaluation = get_evaluation(store, runs["head"].key, "test")
    assert evaluation is not None
    row = list_predictions(store, evaluation).iloc[0]
    app = show("compare", runs=f"{runs['head'].id},{runs['lora'].id}", example=row["example_id"])
    assert row["text"] in [code.value for code in app.code]
    history = next(d.value for d in app.dataframe if "verdict" in d.value)
    assert set(history["run"]) == {"tweet-head", "tweet-lora-r16", "<b>bold</b> **run** $x$"}
    assert history["run"].iloc[0] == "tweet-head"
    assert len(history) == 6 + 4 + 7 + 3


def test_example_card_of_a_training_example_shows_dynamics(show: Show, store: Store, runs: dict[str, Run]) -> None:
    row = read_rows(store, get(store, "tweets"), "train", positions=[5]).iloc[0]
    seen = queries.dynamics(str(store.path), runs["head"].key, 0, 5, int(row["target"]))
    assert seen["epoch"].tolist() == [1, 2, 3, 4, 5]
    assert seen["p_given"].between(0, 1).all()
    app = show("run", run=runs["head"].id, example=row["example_id"])
    assert "While it was trained on" in words(app)


@pytest.mark.parametrize("bad", ["zz", "00" * 16, "<script>"])
def test_bad_example_id_is_answered_in_words(show: Show, runs: dict[str, Run], bad: str) -> None:
    assert "There is no example" in words(show("run", run=runs["head"].id, example=bad))


@pytest.mark.parametrize("position", range(len(HOSTILE)))
def test_hostile_text_is_shown_verbatim(show: Show, store: Store, runs: dict[str, Run], position: int) -> None:
    row = read_rows(store, get(store, "tweets"), "test", positions=[position]).iloc[0]
    assert row["text"] == HOSTILE[position]
    app = show("run", run=runs["head"].id, example=row["example_id"])
    assert HOSTILE[position] in [code.value for code in app.code]
    assert not any(HOSTILE[position] in element.value for element in [*app.markdown, *app.caption])


def test_hostile_name_note_and_tag_are_escaped(show: Show, runs: dict[str, Run]) -> None:
    app = show("run", run=runs["<b>bold</b> **run** $x$"].id)
    shown = [*app.markdown, *app.caption, *app.subheader, *app.warning]
    for text in ("<b>", "**run**", "$x$", ":smile:", ":material/delete:", "[0](x)"):
        assert not any(text in element.value for element in shown)


# caches ---------------------------------------------------------------------------------------------------------------


def test_a_write_shows_at_once_and_other_runs_stay_cached(show: Show, store: Store, runs: dict[str, Run]) -> None:
    app = show()
    record_run(store, NewRun(name="just-now"), status=Status.FINISHED)
    app.run()
    assert app.dataframe[0].value["name"].iloc[0] == "just-now"
    source = Source(str(store.path), store.version())
    before = queries.run(source, runs["head"].id).version
    record_run(store, NewRun(name="another"))
    assert queries.run(Source(str(store.path), store.version()), runs["head"].id).version == before


def test_dead_run_gets_its_cause_when_the_dashboard_starts(show: Show, store: Store, runs: dict[str, Run]) -> None:
    with store.write() as db:
        db.execute("UPDATE leases SET pid = 2147483646, heartbeat_at = ?", (time.time() - 60,))
    table = show().dataframe[0].value.set_index("name")
    assert table.loc["tweet-live", "status"] == ["✕ failed"]
    assert "ended without a word" in table.loc["tweet-live", "outcome"]


def test_the_call_behind_a_number_gives_that_number(show: Show, runs: dict[str, Run]) -> None:
    """Every snippet of code on these pages runs as it stands."""
    pages = [show("run", run=runs["head"].id, tab=tab, split="test") for tab in ("Curves", "Classes", "Examples")]
    pages += [show("compare", runs=f"{runs['head'].id},{runs['lora'].id}"), show()]
    snippets = {code.value for app in pages for code in app.code if "open_readonly" in code.value}
    assert len(snippets) >= 7
    for snippet in snippets:
        names: dict[str, object] = {}
        exec(snippet, names)  # our own code, as a reader would paste it
        if "compare_pair" in snippet:
            shown = pages[3].dataframe[0].value
            assert names["table"]["difference"].tolist() == pytest.approx(shown["difference"].tolist())  # type: ignore[index]  # exec gives objects


@pytest.mark.parametrize("tab", TABS)
def test_a_merged_run_has_all_its_tabs(show: Show, store: Store, runs: dict[str, Run], tab: str) -> None:
    """One evaluation at step 1, no training metrics; its parents are named."""
    parent = runs["lora"]
    kept = {"id": parent.id, "name": "**parent**", "step": 3, "sha256": "0", "weight": 0.5, "dataset": None}
    merge = {"method": "ties", "density": 0.6, "seed": None, "folded": True, "parents": [kept],
             "head_of": {"id": parent.id, "name": "**parent**"}}  # fmt: skip
    new = NewRun(
        "merged",
        task=parent.task,
        method="full",
        recipe=parent.recipe,
        dataset_key=parent.dataset_key,
        provenance={"merge": merge},
        select_metric=parent.select_metric,
    )
    evaluation = get_evaluation(store, parent.key, "test")
    assert evaluation is not None
    scores = [ScoreRow(name, 0.7, 0.6, 0.8, evaluation.n_examples) for name in ("accuracy", "macro_f1")]
    with Recorder(store, record_run(store, new, status=Status.RUNNING)) as recorder:
        recorder.evaluation("test", 1, epoch=None, n_examples=evaluation.n_examples, scores=scores,
                            predictions=read_predictions(store, evaluation))  # fmt: skip
        recorder.event("other_parent", "asked", {"id": "1", "name": "<b>other</b>", "split": "test",
                                                 "scores": [["macro_f1", 0.3, 0.2, 0.4, 9]]})  # fmt: skip
        recorder.best(1)
    app = show("run", run=recorder.run.id, tab=tab)
    if tab == "Provenance":
        assert "by ties, density 0.6, folded into the base" in words(app)
        parents, beside = (frame.value for frame in app.dataframe[:2])
        assert parents["head"].tolist() == ["this one's"]
        models = beside[beside["metric"] == "Macro F1"].set_index("model")
        assert set(models.index) == {"merged", "its own parent", "that parent before training",
                                     "another parent, not trained for this"}  # fmt: skip
        assert models.loc["another parent, not trained for this", "run"] == "<b>other</b>"
