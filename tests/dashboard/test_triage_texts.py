"""What the Triage page says and hands out: sentences, evidence, charts, files. Pure functions."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from dashboard.charts.data_map import map_option
from dashboard.charts.triage import pair_chart, yield_chart
from dashboard.triage import exports, sentences, summary
from dashboard.triage.asked import asked_filter, chips, chosen_rows
from dashboard.triage.budget import expected, verdicts
from dashboard.triage.layout import drawn, inside
from dashboard.triage.proposals import proposal
from dashboard.triage.small_tables import table_html
from dashboard.triage.taking import as_they_came
from dashboard.triage.why import agreement, opinions
from dashboard.triage.worklist import Worklist
from evals.intervals import Estimate
from evals.triage import phrases
from evals.triage.detection import find_all
from evals.triage.findings import DETECTORS
from evals.triage.inputs import Inputs
from store import Action, QueueFilter
from tests.dashboard.stores import HOSTILE

PAIRS = pd.DataFrame({"given": [0, 1], "likely": [1, 0], "n": [9.0, 2.0], "low": [5.0, 1.0], "high": [14.0, 4.0]})
CURVE = pd.DataFrame({"n_reviewed": [0, 10, 100], "n_found": [0, 8, 20], "low": [0, 6, 15], "high": [0, 10, 26]})
FOUND = pd.DataFrame({"n_reviewed": [1, 2], "n_found": [1, 1]})
MARKS = pd.DataFrame(
    {"x": [0.0, 1.0], "y": [0.0, 2.0], "group": ["a", "b"], "text": ["one", HOSTILE[0]], "label": ["a", "b"],
     "split": "train", "position": [0, 1]}
)  # fmt: skip


# findings in words -------------------------------------------------------------------------------------------------


def test_every_kind_of_finding_has_words() -> None:
    assert set(phrases.PHRASES) == {detector.kind for detector in DETECTORS}
    assert all(phrase.one != phrase.many for phrase in phrases.PHRASES.values())


def test_evidence_of_real_findings_is_said_in_words() -> None:
    texts = ["", "buy now " * 8, "<b>Fish</b> &amp; chips", "write to ann.smith@mail.org", "my card_fee was high"]
    texts += ["where is my new card now"] * 2
    found = find_all(
        Inputs(len(texts), texts=texts, labels=np.array([0, 0, 0, 0, 0, 0, 1]), label_names=["card_fee", "lost"])
    ).examples
    said = {
        row.kind: phrases.evidence_words(row.kind, row.evidence, ["card_fee", "lost"]) for row in found.itertuples()
    }
    assert {"empty", "repetition", "markup", "personal_data", "label_leak", "contradiction"} <= set(said)
    assert all(words and "{" not in words for words in said.values()), said
    assert said["personal_data"] == "holds: e-mail"
    assert "<b>" in said["markup"]


@pytest.mark.parametrize("kind", [*phrases.PHRASES, "of a later version"])
def test_no_evidence_and_odd_evidence_are_no_errors(kind: str) -> None:
    assert phrases.evidence_words(kind, {}) == ""
    odd = phrases.evidence_words(kind, {"something": 1.23456, "what": [1, "a"]})
    assert "1.23" in odd
    assert phrases.counted(kind, 3).startswith("3 ")


def test_a_suggested_text_is_taken_only_where_it_is_one() -> None:
    row = {"given": 0, "suggested": 1, "suggested_probability": 0.9}
    names = ["no", "yes"]
    assert proposal(row, "markup", {"text": "clean"}, names).text == "clean"
    assert proposal(row, "personal_data", {"masked": "x [e-mail]"}, names).action is Action.EDIT
    assert proposal(row, "markup", {}, names).action is Action.RELABEL
    assert proposal({**row, "suggested": 7}, "label_error", {}, names).action is Action.KEEP
    assert proposal({**row, "suggested": None}, None, {}, []).action is Action.KEEP
    assert proposal(row, "contradiction", {"label": 1}, names).label == 1


# sentences ---------------------------------------------------------------------------------------------------------


def test_unknown_numbers_are_said_to_be_unknown() -> None:
    said = summary.read_summary({"n": 12, "labels": {"n_labelled": 12, "n_errors": {"value": None}}})
    assert sentences.headline(said, ["a"], {}) == (
        "How many of 12 labels are wrong cannot be told: what can be learned from the texts says too little about "
        "them. The likeliest ones still come first."
    )
    assert sentences.headline(summary.read_summary({"n": 5}), [], {}) == "5 training examples without labels."


def test_a_label_that_the_data_do_not_have_is_left_out() -> None:
    pairs = [{"given": "gone", "likely": "a", "n": 5, "low": 1, "high": 9}, {"given": 7, "likely": 0, "n": 4}]
    said = summary.read_summary(
        {"n": 9, "labels": {"n_labelled": 9, "n_errors": {"value": 9.0}, "pairs": pairs}}, ["a"]
    )
    assert said.pairs["given"].tolist() == [-1, -1]
    assert "most often" not in sentences.headline(said, ["a"], {})


def test_the_budget_adds_up_and_decisions_correct_it() -> None:
    chance = np.repeat([0.8, 0.02], [50, 950])
    errors = Estimate(59.0, 45.0, 75.0)
    nothing = verdicts(1000, [], [])
    before = expected(chance, *nothing, errors, n_next=50)
    assert before.next_errors.low < 40 < before.next_errors.high
    all_right = verdicts(1000, list(range(40)), ["keep"] * 40)
    after = expected(chance, *all_right, errors, n_next=10)
    assert (after.n_decided, after.n_found) == (40, 0)
    assert after.next_errors.value < before.next_errors.value / 4
    part = expected(chance, *nothing, errors, n_next=50, rows=range(100, 150))
    assert part.n_rest == 50
    assert part.next_errors.value < 4


def test_dropped_examples_say_nothing_of_labels() -> None:
    is_wrong, is_gone = verdicts(3, [0, 1, 2], ["drop", "edit", "skip"])
    assert np.isnan(is_wrong).all()
    assert is_gone.tolist() == [True, True, False]


# the filter --------------------------------------------------------------------------------------------------------


def test_a_link_with_nonsense_in_it_asks_for_what_makes_sense() -> None:
    nonsense = {"given": "99", "likely": "x", "group": "-1", "state": "?", "in": "", "budget": "many"}
    assert asked_filter(nonsense, ["no", "yes"]) == QueueFilter(decided=False, skipped=False)
    assert chips(nonsense, ["no", "yes"]) == []
    assert chosen_rows({"rows": "train:"}) is None
    assert chips({"rows": "train:4,4,7"}, []) == [("rows", "2 chosen examples")]


def test_a_filter_in_a_link() -> None:
    found = asked_filter(
        {"kind": "outlier", "in": "test", "field": "source", "value": "web", "by": "ada", "state": "disputed",
         "pattern": "a+", "words": "card"}, ["no"], {"train": [1]},
    )  # fmt: skip
    assert found == QueueFilter(
        kinds=("outlier",), splits=("test",), search="card", regex="a+", metadata=(("source", "web"),), author="ada",
        disputed=True, positions={"train": [1]},
    )  # fmt: skip


# the list of a review ----------------------------------------------------------------------------------------------


def test_going_on_back_and_back_again() -> None:
    work = Worklist("a", [("train", i) for i in range(5)])
    work.decide("kept")
    work.step()
    work.decide("dropped")
    assert (work.at, work.to_go) == (3, [("train", 1), ("train", 3), ("train", 4)])
    work.take_back([("train", 2)])
    assert work.place == ("train", 2)
    work.take_back([("test", 9)])  # decided elsewhere: nothing here changes
    assert work.place == ("train", 2)
    work.step(9)
    assert work.place is None
    work.step(-1)
    assert work.place == ("train", 4)
    work.widen([("train", 0), ("train", 7)])
    assert work.n == 6


# why ---------------------------------------------------------------------------------------------------------------


def test_texts_in_small_tables_are_escaped() -> None:
    html = table_html(["text"], [[text] for text in HOSTILE], marked=0, wide=0)
    assert "<script" not in html
    assert html.count("<td") == len(HOSTILE)
    assert 'title="&lt;script&gt;' in html


def test_a_voice_without_an_answer_is_last_and_unknown() -> None:
    from dashboard.triage.reads import Voice

    table = opinions([Voice("a", -1, float("nan")), Voice("b", 0, 0.7)], 0, ["no"])
    assert table["voice"].tolist() == ["b", "a"]
    assert table["says"].tolist() == ["= no", "–"]
    assert agreement(pd.DataFrame({"label": []}), "no") == ""


# charts ------------------------------------------------------------------------------------------------------------


def test_a_missing_column_is_named() -> None:
    for column in PAIRS.columns:
        with pytest.raises(ValueError, match=f"missing: {column};"):
            pair_chart(PAIRS.drop(columns=column), ["a", "b"])
    for column in CURVE.columns:
        with pytest.raises(ValueError, match=f"missing: {column};"):
            yield_chart(CURVE.drop(columns=column), FOUND, n_looks=10)
    for column in MARKS.columns:
        with pytest.raises(ValueError, match=f"missing: {column};"):
            map_option(MARKS.drop(columns=column), {}, ink="#000", extent=(0, 1, 0, 1))


def test_charts_draw_what_they_are_given() -> None:
    drawn_pairs = pair_chart(PAIRS, ["a", "b"]).to_dict()
    (rows,) = drawn_pairs["datasets"].values()
    assert [(row["given_name"], row["likely_name"], row["n"]) for row in rows] == [("a", "b", 9.0), ("b", "a", 2.0)]
    curve = yield_chart(CURVE, FOUND, n_looks=10).to_dict()
    assert sorted(len(rows) for rows in curve["datasets"].values()) == [1, 2, 3]
    option = map_option(MARKS, {"b": "#123456", "not drawn": "#abcdef"}, ink="#000", extent=(-1, 5, 0, 7))
    assert (option["xAxis"]["min"], option["xAxis"]["max"], option["yAxis"]["max"]) == (-1, 5, 7)
    assert option["legend"]["data"] == ["b", "a"]
    assert [(series["name"], series["itemStyle"]["color"]) for series in option["series"]] == [
        ("a", "#8C8C8C"), ("b", "#123456"),
    ]  # fmt: skip
    assert option["series"][1]["data"] == [[1.0, 2.0, HOSTILE[0], "b", "train 1"]]
    json.dumps(option)


def test_of_many_examples_the_riskiest_are_drawn_and_all_parts_of_the_map() -> None:
    xy = np.stack([np.arange(10_000), np.zeros(10_000)], axis=1).astype(float)
    xy[:100] = np.nan
    risk = np.zeros(10_000)
    risk[5000:5010] = 1
    risk[50] = 1  # not laid out
    at = drawn(xy, risk, None, most=1000)
    assert len(at) == len(set(at.tolist())) == 1000
    assert set(range(5000, 5010)) <= set(at.tolist())
    assert at.min() >= 100
    assert at.max() > 9900
    sampled = (np.arange(10_000) % 2).astype(np.uint8)
    assert (sampled[np.setdiff1d(drawn(xy, None, sampled, most=1000), [])] == 1).all()


def test_a_lasso_that_crosses_itself_and_one_of_two_points() -> None:
    bow = {"brush_type": "polygon", "coord_range": [[0, 0], [4, 4], [4, 0], [0, 4]]}
    points = np.array([[0.5, 2.0], [3.5, 2.0], [2.0, 0.5], [2.0, 3.5]])
    assert inside(points, [bow]).tolist() == [True, True, False, False]
    line = {"brush_type": "polygon", "coord_range": [[0, 0], [4, 4]]}
    assert not inside(points, [line]).any()


# files -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def rows() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "id": ["a", "b", "c"],
            "split": ["train", "train", "test"],
            "text": HOSTILE[:3],
            "label": ["no", None, "yes"],
            "metadata": [{"source": "web", "text": "clash"}, {"n": 3}, {"n": "three", "deep": {"x": 1}}],
        }
    )


def test_files_hold_the_same_rows(rows: pd.DataFrame) -> None:
    csv = pd.read_csv(io.BytesIO(exports.to_csv(rows)), keep_default_na=False)
    lines = [json.loads(line) for line in exports.to_jsonl(rows).decode().splitlines()]
    parquet = pq.read_table(io.BytesIO(exports.to_parquet(rows))).to_pylist()
    for found in (csv.to_dict("records"), lines, parquet):
        assert [row["text"] for row in found] == list(HOSTILE[:3])
        assert [row["id"] for row in found] == ["a", "b", "c"]
        assert found[0]["metadata_text"] == "clash"
    assert [line["label"] for line in lines] == ["no", None, "yes"]
    assert parquet[1]["label"] is None
    assert [row["n"] for row in parquet] == [None, "3", "three"]  # one type a column
    assert lines[2]["deep"] == {"x": 1}


def test_columns_are_called_as_in_the_file_that_rows_came_from() -> None:
    rows = pd.DataFrame(
        {
            "id": ["a", "b"],
            "split": "train",
            "text": ["q\nd", "edited"],
            "label": ["yes", "no"],
            "metadata": [{"claim": 1}, {}],
            "new_text": [None, "edited"],
        }
    )
    pairs = {"a": {"text": "q", "text_pair": "d"}, "b": {"text": "r", "text_pair": "e"}}
    columns = {"text": "claim", "text_pair": "document", "label": "verdict", "id": None}
    found = as_they_came(rows, pairs, columns)
    assert list(found) == ["id", "split", "claim", "document", "verdict", "edited_text", "metadata"]
    assert found[["claim", "document"]].to_numpy().tolist() == [["q", "d"], ["r", "e"]]
    assert list(exports.flat(found)) == [*list(found)[:-1], "metadata_claim"]
    prompts = {"a": {"prompt": "q"}, "b": {"prompt": "r"}}
    one = as_they_came(rows.assign(text=["q", "edited"]), prompts, {})
    assert one[["prompt", "label"]].to_numpy().tolist() == [["q", "yes"], ["edited", "no"]]
    texts = {"a": {"text": "q"}, "b": {"text": "r"}}
    clash = as_they_came(rows, texts, {"text": "id", "label": "split"})
    assert list(clash) == ["id", "split", "text", "label", "metadata"]
    chats = {"a": {"messages": [{"role": "user"}]}, "b": {"messages": []}}
    assert as_they_came(rows, chats, {})["edited_text"].tolist()[1] == "edited"


def test_lists_are_json_in_a_table() -> None:
    rows = pd.DataFrame(
        [("a", "train", "x", ["joy", "love"], {})], columns=["id", "split", "text", "label", "metadata"]
    )
    assert exports.flat(rows)["label"].tolist() == ['["joy", "love"]']


def test_the_folder_is_one_that_datasets_loads(rows: pd.DataFrame, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    content = exports.to_folder(rows, ["no", "yes"], title="three rows")
    with zipfile.ZipFile(io.BytesIO(content)) as folder:
        folder.extractall(tmp_path / "corrected")
    loaded = datasets.load_dataset(str(tmp_path / "corrected"), cache_dir=str(tmp_path / "cache"))
    assert {split: len(part) for split, part in loaded.items()} == {"train": 2, "test": 1}
    assert loaded["train"].features["label"].names == ["no", "yes"]
    assert loaded["train"]["label"] == [0, -1]
    assert loaded["test"]["text"] == [HOSTILE[2]]
