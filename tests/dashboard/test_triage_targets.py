"""The Triage page of examples that have no one class: what is suggested, what is typed instead, and what is said."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from dashboard.responses import target_words
from store import (
    Dataset,
    NewRow,
    Store,
    begin_triage,
    current_decisions,
    finish_triage,
    make_version,
    open_store,
    read_values,
    record_dataset,
    record_decision,
    record_step,
)
from tests.dashboard.conftest import Show, words

SETS = ["[0, 1]", "[]", "[1]", "[2]"]
NUMBERS = [3.25, 0.5, 1.0, 1e-7]


def found(kind: str, evidence: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """A finding of each of the first training examples."""
    rows = [(kind, "train", at, 0.9 - at / 100, None, each) for at, each in enumerate(evidence)]
    return pd.DataFrame(rows, columns=["kind", "split", "position", "risk", "suggested", "evidence"])


def triaged(
    store: Store, rows: list[NewRow], unjudged: str, findings: pd.DataFrame, names: Sequence[str] | None = None
) -> Dataset:
    """A data set and its finished triage; the queue is in order of the positions."""
    dataset = record_dataset(store, "odd", rows, label_names=names, source={}, fingerprint=unjudged)
    triage = begin_triage(store, dataset, fingerprint="x", versions={}, sources=[])
    n = len(rows)
    queue = pd.DataFrame({"split": "train", "position": range(n), "risk": [0.9 - at / 100 for at in range(n)]})
    record_step(store, triage.key, "findings", seconds=1.0, findings=findings, queue=queue)
    counts = {str(kind): int(many) for kind, many in findings["kind"].value_counts().items()}
    judged = {"name": "folds", "in_sample": False}
    finish_triage(
        store, triage.key, {"n": n, "labels": None, "unjudged": unjudged, "judged": judged, "findings": counts}
    )  # fmt: skip
    return dataset


def of_sets(path: Path) -> tuple[Store, Dataset]:
    """Sets of three labels; of the first something else is suggested."""
    store = open_store(path)
    rows = [NewRow("train", f"text number {at}", target) for at, target in enumerate(SETS)]
    suggested = [{"remove": ["love"]}, {"add": ["a|b", "joy"]}, {"worst": "joy"}]
    return store, triaged(store, rows, "sets of labels", found("label_set", suggested), ("joy", "love", "a|b"))


def of_numbers(path: Path) -> tuple[Store, Dataset]:
    """Numbers; of the first two others are predicted."""
    store = open_store(path)
    rows = [NewRow("train", f"text number {at}", target) for at, target in enumerate(NUMBERS)]
    return store, triaged(store, rows, "numbers", found("number_error", [{"predicted": 1.5}, {"predicted": 2.75}]))


def as_ada(app: AppTest) -> AppTest:
    """The same page with a name."""
    app.session_state["author"] = "ada"
    return app.run()


def decided(store: Store, dataset: Dataset) -> list[list[Any]]:
    return current_decisions(store, dataset)[["position", "action", "label_index", "new_text"]].values.tolist()


def save(app: AppTest) -> AppTest:
    return app.button(key="key-save-target").click().run()


# typed by hand -----------------------------------------------------------------------------------------------------


def test_another_set_of_labels_is_typed_stored_and_undone(show: Show, empty_path: Path) -> None:
    store, dataset = of_sets(empty_path)
    app = as_ada(show("triage"))
    app.button(key="key-E").click().run()
    menu = app.multiselect(key="set-train-0")
    assert (menu.options, menu.value) == (["joy", "love", "a|b"], [0, 1])
    menu.set_value([2, 0]).run()
    assert not decided(store, dataset), "what is chosen is saved by Ctrl+Enter only"
    save(app)
    assert decided(store, dataset) == [[0, "relabel", "[0, 2]", None]]
    app.button(key="key-back").click().run()
    app.button(key="key-E").click().run()
    assert app.multiselect(key="set-train-0").value == [0, 2], "it begins with what was decided"
    app.multiselect(key="set-train-0").set_value([]).run()
    save(app)
    assert decided(store, dataset) == [[0, "relabel", "[]", None]]
    app.button(key="key-Z").click().run()
    app.button(key="key-Z").click().run()
    assert decided(store, dataset) == []
    save(app.button(key="key-E").click().run())  # as it is
    assert decided(store, dataset) == [[0, "keep", "[0, 1]", None]]
    assert "decided 1 · 0 % changed" in words(app), "the forecast counts no error either"
    app.button(key="key-back").click().run()
    assert "kept" in words(app)
    assert "relabelled" not in words(app)


def test_another_number_is_typed_and_what_is_none_is_said(show: Show, empty_path: Path) -> None:
    store, dataset = of_numbers(empty_path)
    app = as_ada(show("triage"))
    app.button(key="key-E").click().run()
    save(app)
    assert "Nothing was typed: a number such as 4.5 is needed" in app.toast[0].value.replace("\\", "")
    assert decided(store, dataset) == []
    app.number_input(key="number-train-0").set_value(4.0).run()
    save(app)
    assert decided(store, dataset) == [[0, "relabel", 4.0, None]]
    app.button(key="key-E").click().run()
    app.text_area(key="number-train-1-text").set_value("a better text").run()
    save(app)
    assert decided(store, dataset)[1] == [1, "edit", 0.5, "a better text"]
    app.button(key="key-back").click().run()
    app.button(key="key-E").click().run()
    app.number_input(key="number-train-1").set_value(7.5).run()
    save(app)
    assert decided(store, dataset)[1] == [1, "edit", 7.5, "a better text"]
    child = make_version(store, dataset, author="ada")
    assert read_values(store, child, "train") == [4.0, 7.5, *NUMBERS[2:]]
    app.button(key="key-Z").click().run()
    assert decided(store, dataset)[1] == [1, "edit", 0.5, "a better text"]


def test_the_text_of_a_pair_is_not_edited_beside_its_number(show: Show, empty_path: Path) -> None:
    store = open_store(empty_path)
    rows = [NewRow("train", "a\nb", 1.0, inputs={"text": "a", "text_pair": "b"})]
    dataset = triaged(store, rows, "numbers", found("number_error", [{"predicted": 1.5}]))
    app = as_ada(show("triage"))
    app.button(key="key-E").click().run()
    assert not app.text_area
    app.number_input(key="number-train-0").set_value(2).run()
    save(app)
    assert decided(store, dataset) == [[0, "relabel", 2.0, None]]


def test_there_is_no_key_for_a_label_and_help_says_which_one_there_is(show: Show, empty_path: Path) -> None:
    of_sets(empty_path)
    key = as_ada(show("triage")).button(key="key-L")
    assert (key.disabled, key.help) == (True, "Examples have sets of labels: see Edit.")


# many at once ------------------------------------------------------------------------------------------------------


def of_spans(path: Path) -> tuple[Store, Dataset]:
    """Two sentences with spans; a token holds a space. Of the first other spans are suggested."""
    store = open_store(path)
    tokens = [["Ann", "of", "New York", "sang"], ["none", "here"]]
    rows = [
        NewRow("train", " ".join(some), target, inputs={"tokens": some})
        for some, target in zip(tokens, ("[[0, 1, 1], [3, 4, 0]]", "[]"), strict=True)
    ]
    suggested = [{"kinds": "wrong", "spans": [[0, 1, "PER"], [2, 3, "LOC"]]}]
    return store, triaged(store, rows, "spans", found("span_error", suggested), ("LOC", "PER"))


@pytest.mark.parametrize(
    ("make", "said", "wanted", "column"),
    [
        (
            of_sets, "2 get other labels; 2 have nothing to accept", {0: "[0]", 1: "[0, 2]"},
            ["− love", "+ a|b + joy", "", ""],
        ),
        (of_numbers, "2 get another number; 2 have nothing to accept", {0: 1.5, 1: 2.75}, ["1.50", "2.75", "", ""]),
        (
            of_spans, "1 gets other spans; 1 has nothing to accept", {0: "[[0, 1, 1], [2, 3, 0]]"},
            ["Ann (PER), New York (LOC)", ""],
        ),
    ],
)  # fmt: skip
def test_accepting_for_all_takes_the_suggestion_of_each(
    show: Show, empty_path: Path, make: Any, said: str, wanted: dict[int, Any], column: list[str]
) -> None:
    store, dataset = make(empty_path)
    app = as_ada(show("triage", view="Table"))
    assert said in words(app).replace("\\", "")
    (table,) = app.dataframe
    assert table.value["suggested"].tolist() == column
    app.button(key="bulk-all").click().run()
    assert decided(store, dataset) == [[at, "relabel", target, None] for at, target in wanted.items()]
    assert f"{len(wanted)} decided; {len(SETS) - 2 if len(wanted) == 2 else 1} have nothing to accept" in (
        app.toast[0].value.replace("\\", "")
    )
    app.button(key="bulk-undo").click().run()
    assert decided(store, dataset) == []


# in words ----------------------------------------------------------------------------------------------------------


def disputed(store: Store, dataset: Dataset, ada: Any, bo: Any) -> None:
    for author, label in (("ada", ada), ("bo", bo)):
        record_decision(
            store, dataset, split="train", position=0, action="relabel", author=author, label=label
        )  # fmt: skip


@pytest.mark.parametrize(
    ("make", "ada", "bo", "given", "views"),
    [
        (
            of_spans, "[[0, 1, 1]]", "[[2, 3, 0]]", "Ann (PER), sang (LOC)",
            "ada: → Ann (PER) · bo: → New York (LOC)",
        ),
        (of_sets, "[]", "[0, 2]", "joy, love", "ada: → no label · bo: → joy, a|b"),
        (of_numbers, 4.5, 5, "3.25", "ada: → 4.5 · bo: → 5"),
    ],
)  # fmt: skip
def test_what_is_wanted_is_said_in_words_everywhere(
    show: Show, empty_path: Path, make: Any, ada: Any, bo: Any, given: str, views: str
) -> None:
    store, dataset = make(empty_path)
    disputed(store, dataset, ada, bo)
    newest = views.rpartition("→ ")[2]

    app = as_ada(show("triage", state="disputed"))
    said = words(app).replace("\\", "")
    assert f"Disputed. {views}" in said
    assert f"relabelled {newest} by bo" in said
    assert given in said

    (table,) = show("triage", view="Table", state="disputed").dataframe
    assert table.value[["label", "decided"]].values.tolist() == [[given, f"relabelled {newest} · bo"]]

    app = as_ada(show("triage", view="Edits"))
    (table,) = app.dataframe
    assert table.value[["given", "change"]].values.tolist() == [[given, f"→ {newest}"]]
    app.button_group(key="tabs-shown").set_value("disputed").run()
    (table,) = app.dataframe
    assert table.value["change"].tolist() == [views]


def test_what_was_just_decided_is_said_in_words(show: Show, empty_path: Path) -> None:
    of_spans(empty_path)
    app = as_ada(show("triage"))
    app.button(key="key-A").click().run()
    app.button(key="key-back").click().run()
    assert "relabelled Ann (PER), New York (LOC)" in words(app).replace("\\", "")


def test_an_answer_that_looks_like_a_list_is_a_text() -> None:
    answer = json.dumps('[[0, 2, "Gene"]]')
    assert target_words(answer, []) == '[[0, 2, "Gene"]]'


# pairs -------------------------------------------------------------------------------------------------------------


def test_the_texts_of_a_pair_are_named_and_not_edited(show: Show, empty_path: Path) -> None:
    store = open_store(empty_path)
    texts = {"text": "It *rains*.", "text_pair": "<b>wet</b>"}
    rows = [NewRow("train", "\n".join(texts.values()), at, inputs={**texts, "text": f"{at}"}) for at in range(2)]
    source = {"columns": {"text": "claim", "text_pair": "the *source*", "label": "verdict"}}
    dataset = record_dataset(store, "odd", rows, label_names=("no", "yes"), source=source, fingerprint="pairs")
    triage = begin_triage(store, dataset, fingerprint="x", versions={}, sources=[])
    markup = found("markup", [{"markup": "<b>", "text": "It rains. wet"}])
    record_step(store, triage.key, "findings", seconds=1.0, findings=markup)
    finish_triage(store, triage.key, {"n": 2, "labels": None, "findings": {"markup": 1}})
    app = as_ada(show("triage", kind="markup"))
    assert [text.value for text in app.text][:2] == ["0", "<b>wet</b>"]
    assert {"claim", r"the \*source\*"} <= {caption.value for caption in app.caption}
    assert "The suggested text:" not in words(app), "which of the two it would be cannot be said"
    assert app.button(key="key-A").label.replace("\\", "") == "Accept: it is right"
    assert (app.button(key="key-E").disabled, app.button(key="key-L").disabled) == (True, False)
    app = as_ada(show("triage", kind="markup", view="Table"))
    assert "1 has nothing to accept and is left out" in words(app)
