"""Pages of runs whose predictions are no classes: they show what there is and break on nothing."""

import io
import json
import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from dashboard.triage.reads import Desk
from dashboard.triage.tagged import tagged_conll, tagged_jsonl
from dashboard.triage.taking import corrected_sentences
from dashboard.triage.targets import spans_of_rows
from store import (
    Dataset,
    NewRow,
    NewRun,
    Predictions,
    Recorder,
    Run,
    ScoreRow,
    Store,
    begin_triage,
    current_decisions,
    finish_triage,
    get_dataset,
    get_run,
    get_triage,
    open_store,
    read_rows,
    record_dataset,
    record_run,
    record_step,
)
from tests.dashboard.conftest import Show, words

ASSET = Path(__file__).parents[1] / "store" / "assets" / "m005_responses.db"
TABS = ("Curves", "Examples", "Classes", "Checkpoints", "Recipe", "Log")


@pytest.fixture
def sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The id of a run whose predictions are sets of labels, in the store that the dashboard shows."""
    path = Path(shutil.copy(ASSET, tmp_path / "assay.db"))
    monkeypatch.setenv("ASSAY_STORE", str(path))
    store = open_store(path)
    run = get_run(store, "sets")
    record_run(store, NewRun("again", task=run.task, dataset_key=run.dataset_key))
    store.close()
    return run.id


@pytest.mark.parametrize("tab", TABS)
def test_a_run_page(show: Show, sets: str, tab: str) -> None:
    app = show("run", run=sets, tab=tab)
    assert not app.exception


def test_examples_say_sets_of_labels(show: Show, sets: str) -> None:
    (table,) = show("run", run=sets, tab="Examples").dataframe
    assert table.value[["given", "predicted"]].values.tolist() == [["no label", "no label"], ["bad, good", "good 90%"]]


@pytest.mark.parametrize("view", ["runs", "compare", "triage"])
def test_the_other_pages(show: Show, sets: str, view: str) -> None:
    app = show(view, **({"runs": sets} if view == "compare" else {"dataset": "pairs@1"} if view == "triage" else {}))
    assert not app.exception


def answered(store: Store, run: Run, responses: list[str], losses: list[float], **scores: float) -> None:
    """An evaluation of the test split with these answers."""
    n = len(responses)
    nothing = np.full(n, np.nan)
    rows = [ScoreRow(name, value, 0.0, 1.0, n) for name, value in scores.items()]
    with Recorder(store, run) as recorder:
        recorder.evaluation(
            "test", 1, epoch=1.0, n_examples=n, scores=rows,
            predictions=Predictions(np.full(n, -1), nothing, nothing, nothing, np.array(losses)), responses=responses,
        )  # fmt: skip


@pytest.fixture
def numbers(empty_path: Path) -> dict[str, str]:
    """Two runs that predict numbers for 40 texts: `off` is one too high everywhere, `near` hardly ever wrong."""
    store = open_store(empty_path)
    rows = [NewRow("test", f"text {i}", i / 10) for i in range(40)]
    dataset = record_dataset(store, "stars", rows, label_names=None, source={}, fingerprint="stars")
    ids = {}
    for name, errors in (("off", [1 + i / 100 for i in range(40)]), ("near", [0.0] * 39 + [-2.0])):
        run = record_run(store, NewRun(name, task="regression", dataset_key=dataset.key, select_metric="test/mae"))
        said = [json.dumps(i / 10 + error) for i, error in enumerate(errors)]
        answered(store, run, said, [error**2 for error in errors], spearman=0.9, mae=float(np.abs(errors).mean()))
        ids[name] = run.id
    store.close()
    return ids


def test_the_texts_of_a_pair_stand_apart(show: Show, empty_path: Path) -> None:
    store = open_store(empty_path)
    texts = {"text": "It rains.", "text_pair": "It is *wet*."}
    rows = [NewRow("test", "It rains.\nIt is *wet*.", 1.0, inputs=texts)]
    source = {"columns": {"text": "claim", "text_pair": "source"}}
    dataset = record_dataset(store, "pairs", rows, label_names=None, source=source, fingerprint="pairs")
    run = record_run(store, NewRun("near", task="regression", dataset_key=dataset.key, select_metric="test/mae"))
    answered(store, run, ["0.5"], [0.25], mae=0.5)
    example = read_rows(store, dataset, "test")["example_id"].iloc[0]
    store.close()
    app = show("run", run=run.id, tab="Examples")
    assert app.dataframe[0].value["text"].tolist() == ["It rains. ⏐ It is *wet*."]
    app = show("run", run=run.id, tab="Examples", example=example)
    assert set(texts.values()) <= {block.value for block in app.code}
    assert {"claim", "source"} <= {caption.value for caption in app.caption}


def test_numbers_are_drawn_against_the_given_ones(show: Show, numbers: dict[str, str]) -> None:
    app = show("run", run=numbers["near"], tab="Classes")
    assert "Predicted against given · n = 40" in words(app)
    assert "Half of the predictions are within 0.00 of what is given" in words(app).replace("\\", "")
    (table,) = app.dataframe
    assert table.value["text"].iloc[0] == "text 39", "the furthest off comes first"
    assert table.value[["given", "predicted"]].iloc[0].tolist() == ["3.9", "1.9"]
    app = show("run", run=numbers["off"], tab="Examples", order="most too low", words="text")
    assert app.dataframe[0].value["text"].iloc[0] == "text 0"
    app.selectbox(key="order").set_value("as in the data").run()
    app.text_input(key="words").set_value("39").run()
    assert app.dataframe[0].value["text"].tolist() == ["text 39"]


def test_two_runs_of_numbers_are_paired_and_every_metric_has_its_direction(
    show: Show, numbers: dict[str, str]
) -> None:  # fmt: skip
    app = show("compare", runs=f"{numbers['off']},{numbers['near']}")
    assert "near beats off by" in words(app).replace("\\", "")
    assert "mean absolute error" in words(app)
    paired, scored, changed = (table.value for table in app.dataframe)
    assert paired["metric"].tolist()[3:] == [
        "mean absolute error", "root mean squared error", "mean squared error", "loss",
    ]  # fmt: skip
    assert paired["answer"].tolist()[3] == "▲ better"
    assert scored[["metric", "better"]].values.tolist() == [
        ["spearman correlation", "▲ higher"], ["mean absolute error", "▼ lower"],
    ]  # fmt: skip
    assert scored["near"].tolist()[1].startswith("0.050")
    assert changed["text"].tolist() == ["text 39"], "the only one worse"
    assert changed[["measure_a", "measure_b"]].iloc[0].tolist() == pytest.approx([1.39, 2.0])
    app.button_group(key="tabs-kind").set_value("better").run()
    (table,) = (each.value for each in app.dataframe if "measure_b" in each.value)
    assert table["text"].iloc[0] == "text 38", "the largest gain first"


def test_sets_are_filtered_by_label_and_each_label_has_its_threshold(show: Show, sets: str) -> None:
    app = show("run", run=sets, tab="Classes")
    labels, wrong = (table.value for table in app.dataframe)
    assert labels["label"].tolist() == ["bad", "good"]
    assert labels[["n", "n_predicted"]].values.tolist() == [[1, 0], [1, 1]]
    assert labels["threshold"].isna().tolist() == [True, False]
    assert labels["threshold"].iloc[1] == pytest.approx(0.45)
    assert wrong["predicted"].tolist() == ["good 90%"]
    app = show("run", run=sets, tab="Examples")
    app.selectbox(key="select-predicted").set_value(1).run()
    assert app.dataframe[0].value["predicted"].tolist() == ["good 90%"]
    app.selectbox(key="select-given").set_value(0).run()
    app.toggle(key="wrong").set_value(True).run()
    assert app.dataframe[0].value["given"].tolist() == ["bad, good"]
    app.selectbox(key="select-predicted").set_value(0).run()
    assert "No example fits these filters." in words(app)


def test_runs_of_other_tasks_or_data_are_not_paired(show: Show, sets: str, tmp_path: Path) -> None:
    store = open_store(tmp_path / "assay.db")
    other = record_run(store, NewRun("numbers", task="regression"))
    store.close()
    assert "their scores are not the same" in words(show("compare", runs=f"{sets},{other.id}")).replace("\\", "")


@pytest.fixture
def unjudged(empty_path: Path, request: pytest.FixtureRequest) -> str:
    """A data set of sets of labels, or of numbers, and its triage: outliers, a map, and nothing about labels."""
    targets, says, names = {
        "sets of labels": (["[0, 1]", "[]", "[1]"], "sets of labels", ("joy", "love")),
        "numbers": ([3.25, 0.5, 1.0], "numbers", None),
    }[request.param]  # fmt: skip
    store = open_store(empty_path)
    rows = [NewRow("train", f"text number {i}", targets[i % 3]) for i in range(30)]
    dataset: Dataset = record_dataset(store, "odd", rows, label_names=names, source={}, fingerprint=says)
    triage = begin_triage(store, dataset, fingerprint="x", versions={}, sources=[])
    found = pd.DataFrame(
        [("outlier", "train", i, 0.99, None, {}) for i in range(3)],
        columns=["kind", "split", "position", "risk", "suggested", "evidence"],
    )
    near = {("train", "neighbours"): np.array([[0, 1, 2]] * 30, dtype=np.int32)}
    map_ = {("train", "map"): np.random.default_rng(0).normal(size=(30, 2)).astype(np.float32)}
    record_step(store, triage.key, "findings", seconds=1.0, columns=near | map_, findings=found)
    finish_triage(store, triage.key, {"n": 30, "labels": None, "unjudged": says, "findings": {"outlier": 3}})
    store.close()
    return says


@pytest.mark.parametrize("unjudged", ["sets of labels", "numbers"], indirect=True)
def test_a_triage_without_classes_says_so_and_offers_nothing_that_cannot_be_done(show: Show, unjudged: str) -> None:
    app = show("triage")
    app.session_state["author"] = "ada"
    app.run()
    said = words(app).replace("\\", "")
    assert f"30 training examples with {unjudged}: these are not judged" in said
    assert ("joy, love" if unjudged == "sets of labels" else "3.25") in said, "what the example has"
    assert app.button(key="key-L").disabled
    assert not app.button(key="key-K").disabled
    app.button(key="key-D").click().run()
    assert "2 / 3" in words(app).replace("**", "")

    (table,) = show("triage", view="Table").dataframe
    assert list(table.value) == ["text", "label", "kinds", "decided", "place"]
    app.session_state["tabs-view"] = "Table"
    app.query_params["view"] = "Table"
    app.run()
    assert app.selectbox(key="bulk-action").options == ["Accept the suggestion", "Keep", "Drop", "Skip"]
    assert "have nothing to accept and are left out" in words(app)
    assert f"have {unjudged}, not one class each" in words(show("triage", view="Classes"))
    assert "label" not in show("triage", view="Map").button_group(key="tabs-colour").options


@pytest.fixture
def spans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The id of a run whose predictions are spans of words."""
    path = tmp_path / "assay.db"
    monkeypatch.setenv("ASSAY_STORE", str(path))
    store = open_store(path)
    words = ["<b>Ann</b>", "of", "New", "York"]
    rows = [
        NewRow(split, " ".join(some), target, None, {"tokens": some})
        for split in ("train", "test")
        for some, target in ((words, "[[0, 1, 1], [2, 4, 0]]"), (["none", "here"], "[]"))
    ]
    dataset = record_dataset(store, "people", rows, label_names=("LOC", "PER"), source={}, fingerprint="f")
    run = record_run(store, NewRun("ner", task="token-classification", dataset_key=dataset.key))
    recorder = Recorder(store, run)
    unknown = np.full(2, np.nan, dtype=np.float32)
    recorder.evaluation(
        "test",
        1,
        epoch=1.0,
        n_examples=2,
        scores=[ScoreRow("entity_f1", 0.5, 0.4, 0.6, 2)],
        predictions=Predictions(np.full(2, -1), unknown, unknown, unknown, np.array([0.9, 0.1])),
        responses=[
            '{"spans": [[0, 1, 1, 0.93], [2, 3, 0, 0.6]], "least": [3, 0.2]}',
            '{"spans": [[1, 2, 0, 0.51]], "least": [1, 0.4]}',
        ],
    )
    recorder.best(1)
    recorder.finish()
    store.close()
    return run.id


@pytest.mark.parametrize("tab", TABS)
def test_a_run_page_of_spans(show: Show, spans: str, tab: str) -> None:
    app = show("run", run=spans, tab=tab)
    assert not app.exception


def marks(app: AppTest) -> list[str]:
    """The sentences that are drawn, the legend left out."""
    return [each.proto.body for each in app.get("html") if "<table" in each.proto.body]


def test_examples_mark_spans(show: Show, spans: str) -> None:
    app = show("run", run=spans, tab="Examples")
    first, second = marks(app)
    assert "<b>" not in first
    assert "&lt;b&gt;Ann&lt;/b&gt;<sub>PER</sub>" in first
    assert "&lt;b&gt;Ann&lt;/b&gt;<sub>PER 93%</sub>" in first
    assert first.count("is-alone") == 2, "New York is given, New was said"
    assert "New<sub>LOC 60%</sub>" in first
    assert second.count("<mark") == 1
    assert "span shift LOC" in words(app)
    assert "ghost LOC" in words(app)
    app.selectbox(key="kind").set_value("ghost").run()
    assert marks(app) == [second]
    app.selectbox(key="kind").set_value("missed").run()
    assert marks(app) == []
    assert "No sentence fits" in words(app)


def test_quality_has_each_type_and_each_kind(show: Show, spans: str) -> None:
    types, kinds = (table.value for table in show("run", run=spans, tab="Classes").dataframe)
    assert types[["type", "n", "n_predicted", "recall"]].values.tolist() == [["LOC", 1, 2, 0.0], ["PER", 1, 1, 1.0]]
    assert kinds[["kind", "sentences"]].values.tolist() == [
        ["wrong tag", 0], ["span shift", 1], ["missed", 0], ["ghost", 1]
    ]  # fmt: skip


def test_the_card_of_a_sentence_says_what_the_run_said(show: Show, spans: str) -> None:
    store = open_store(Path(os.environ["ASSAY_STORE"]))
    dataset = get_dataset(store, "people@1")
    example = str(read_rows(store, dataset, "test")["example_id"][0])
    store.close()
    app = show("run", run=spans, tab="Log", example=example)
    (card,) = marks(app)
    assert "<th>given</th>" in card
    assert "<th>ner</th>" in card


def test_triage_marks_spans(show: Show, spans: str) -> None:
    """A finding of a held-out sentence: what is given, and what the run that had not seen it said."""
    store = open_store(Path(os.environ["ASSAY_STORE"]))
    run = get_run(store, spans)
    dataset = get_dataset(store, "people@1")
    source = [{"kind": "run", "id": run.id, "name": run.name}]
    triage = begin_triage(store, dataset, fingerprint="x", versions={}, sources=source)
    found = pd.DataFrame(
        [("span_error", "test", 0, 0.9, None, {"n_errors": 1, "kinds": "span shift LOC"})],
        columns=["kind", "split", "position", "risk", "suggested", "evidence"],
    )
    record_step(store, triage.key, "findings", seconds=1.0, findings=found)
    finish_triage(store, triage.key, {"n": 2, "labels": None, "unjudged": "spans", "findings": {"span_error": 1}})
    store.close()
    (sentence,) = marks(show("triage"))
    assert "<th>given</th>" in sentence
    assert "New York<sub>LOC</sub>" in sentence
    assert "New<sub>LOC 60%</sub>" in sentence


def test_suggested_spans_are_accepted_by_a_key_and_others_are_written(show: Show, spans: str) -> None:
    store = open_store(Path(os.environ["ASSAY_STORE"]))
    dataset = get_dataset(store, "people@1")
    triage = begin_triage(store, dataset, fingerprint="x", versions={}, sources=[])
    found = pd.DataFrame(
        [("span_error", "train", 0, 0.9, None, {"n_errors": 1, "kinds": "missed PER", "spans": [[2, 4, "LOC"]]})],
        columns=["kind", "split", "position", "risk", "suggested", "evidence"],
    )
    queue = pd.DataFrame({"split": "train", "position": [0, 1], "risk": [0.9, 0.2]})
    record_step(store, triage.key, "findings", seconds=1.0, findings=found, queue=queue)
    judged = {"name": "folds", "in_sample": False}
    summary = {"n": 2, "labels": None, "unjudged": "spans", "judged": judged, "findings": {"span_error": 1}}
    finish_triage(store, triage.key, summary)
    app = show("triage")
    assert "judged by models of folds that had not seen them" in words(app)
    assert "<th>folds, unseen</th>" in marks(app)[0]
    app.session_state["author"] = "ada"
    app.run()
    assert app.button(key="key-A").label == "Accept 1 span"
    app.button(key="key-E").click().run()
    assert "1 <b>Ann</b>  2 of  3 New  4 York" in [text.value for text in app.text]
    app.button(key="key-close").click().run()
    app.button(key="key-A").click().run()
    assert app.button(key="key-A").label.replace("\\", "") == "Accept: it is right"
    app.button(key="key-E").click().run()
    app.button(key="key-save-target").click().run()  # as they are
    assert not app.exception
    decided = current_decisions(store, dataset)
    assert decided[["action", "label_index"]].values.tolist() == [["relabel", "[[2, 4, 0]]"], ["keep", "[]"]]
    desk = Desk(str(store.path), get_triage(store, triage.key), dataset, 1)
    rows = corrected_sentences(desk)
    assert rows["tags"].tolist()[0] == ["O", "O", "B-LOC", "I-LOC"]
    assert tagged_jsonl(rows).decode().splitlines()[0].startswith('{"id": ')
    with zipfile.ZipFile(io.BytesIO(tagged_conll(rows))) as folder:
        assert folder.namelist() == ["train.conll", "test.conll"]
        assert folder.read("train.conll").decode().startswith("<b>Ann</b>\tO\nof\tO\nNew\tB-LOC\n")
    store.close()
    app = show("triage", view="Edits")
    assert not app.exception


def test_a_table_of_spans_is_checked() -> None:
    table = pd.DataFrame([(1, None, "LOC"), (3, 4, "PER"), (None, None, None)], columns=["from", "to", "type"])
    assert spans_of_rows(table, ["LOC", "PER"], 4) == "[[0, 1, 0], [2, 4, 1]]"
    for row, said in (
        ((4, 5, "PER"), "sentence of 4 words"),
        ((None, 2, "PER"), "first word"),
        ((2, 3, "PER"), "word 3"),
    ):
        wrong = pd.DataFrame([(3, 4, "PER"), row], columns=["from", "to", "type"])
        with pytest.raises(ValueError, match=said):
            spans_of_rows(wrong, ["LOC", "PER"], 4)


@pytest.fixture
def orders(empty_path: Path) -> dict[str, str]:
    """Two runs that order documents: three for each of twelve queries, and two for one that none answers. `upside` puts
    the relevant one last, `right` first."""
    store = open_store(empty_path)
    rows = [
        NewRow("test", f"q{q} is what?\ndocument {q} {d}", int(d == 1), None,
               {"query": f"q{q} is *what*?", "document": f"document {q} {d}"})
        for q in range(12) for d in range(3)
    ]  # fmt: skip
    rows += [NewRow("test", f"lost\nno {d}", 0, None, {"query": "lost", "document": f"no {d}"}) for d in range(2)]
    names = ("not relevant", "relevant")
    dataset = record_dataset(store, "asked", rows, label_names=names, source={"task": "rerank"}, fingerprint="asked")
    ids = {}
    for name, sign in (("upside", -1.0), ("right", 1.0)):
        run = record_run(
            store, NewRun(name, task="rerank", dataset_key=dataset.key, select_metric="validation/ndcg@10")
        )
        logits = [sign * (2.0 if row.target else -0.1 * place) for place, row in enumerate(rows)]
        logits[2] = -9.0  # so that the first query differs from the others
        said = [json.dumps({"score": 1 / (1 + float(np.exp(-logit))), "logit": logit}) for logit in logits]
        answered(store, run, said, [0.1] * len(rows), **{"ndcg@10": 0.5 + sign / 2})
        ids[name] = run.id
    store.close()
    return ids


def test_queries_are_shown_with_their_documents_in_order(show: Show, orders: dict[str, str]) -> None:
    app = show("run", run=orders["upside"], tab="Examples")
    first = app.dataframe[0].value
    assert first["text"].iloc[2] == "document 1 1", "the relevant one is last"
    assert first["relevance"].tolist() == ["0", "0", "✓ 1"]
    assert first["place"].tolist() == [1, 2, 3]
    said = words(app)
    assert r"q1 is \*what\*?" in said
    assert "nDCG@10 0.50 · first relevant one at 3 · 3 documents, 1 relevant" in said.replace("\\", "")
    assert "1 to 8 of 13 queries" in said
    app.selectbox(key="kind").set_value("none is relevant").run()
    assert "none is relevant: not judged · 2 documents" in words(app).replace("\\", "")
    assert len(app.dataframe) == 1
    app.selectbox(key="kind").set_value("any query").run()
    app.text_input(key="words").set_value("document 7").run()
    assert [table.value["text"].iloc[2] for table in app.dataframe] == ["document 7 1"]
    app.text_input(key="words").set_value("nowhere").run()
    assert "No query fits these filters." in words(app)


def test_the_quality_of_orders(show: Show, orders: dict[str, str]) -> None:
    app = show("run", run=orders["right"], tab="Classes")
    assert not app.exception
    said = words(app).replace("\\", "")
    assert "Of 12 queries 100 % have a relevant document in the first place" in said
    assert "1 query has no relevant document: it is not judged." in said
    grades = app.dataframe[0].value
    assert grades[["relevance", "documents"]].values.tolist() == [["1", 12], ["0", 26]]
    assert grades["median"].iloc[0] == pytest.approx(0.881, abs=1e-3)


def test_two_runs_of_orders_are_paired_by_query(show: Show, orders: dict[str, str]) -> None:
    app = show("compare", runs=f"{orders['upside']},{orders['right']}")
    assert "right beats upside by +" in words(app).replace("\\", "")
    paired = app.dataframe[0].value
    assert paired["metric"].tolist()[:2] == ["nDCG@10", "mean reciprocal rank@10"]
    assert "paired query by query" in words(app)
    app.button_group(key="tabs-kind").set_value("better").run()
    card = next(each.proto.body for each in app.get("html") if "<h6>upside</h6>" in each.proto.body)
    assert "q1 is *what*?" in card, "the first query hardly differs"
    assert card.index("✓ 1 · document 1 1") > card.index("<h6>upside</h6>")
    assert "<h6>right</h6><p>1. ✓ 1 · document 1 1" in card


def test_other_pages_of_a_run_of_orders(show: Show, orders: dict[str, str]) -> None:
    store = open_store(Path(os.environ["ASSAY_STORE"]))
    example = str(read_rows(store, get_dataset(store, "asked@1"), "test")["example_id"][0])
    store.close()
    for tab in ("Curves", "Data", "Log"):
        assert not show("run", run=orders["right"], tab=tab, example=example).exception
    assert not show("runs").exception
