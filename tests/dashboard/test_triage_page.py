"""The Triage page in every state, and what its keys and buttons write."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from dashboard.triage import reads
from dashboard.triage.exports import flat
from dashboard.triage.proof import caveats
from dashboard.triage.retraining import TAG, fixed_run
from dashboard.triage.session import MOST_SEEN, current_verdicts
from dashboard.triage.taking import corrected_rows, taken
from store import (
    Action,
    Dataset,
    NewDecision,
    Run,
    Store,
    begin_triage,
    current_decisions,
    fail_triage,
    get_dataset,
    get_job,
    list_jobs,
    list_version_changes,
    make_version,
    open_store,
    read_rows,
    read_targets,
    record_decision,
    record_decisions,
    record_step,
)
from store.records import Status
from tests.dashboard.conftest import Show, words
from tests.dashboard.test_sweep_pages import source_of
from tests.dashboard.triages import corrected_and_retrained, decide_some, triage_tweets
from tests.store.triages import fill_triage, triage_of

VIEWS = ("Queue", "Table", "Map", "Classes", "Edits")


@pytest.fixture
def bank(empty_path: Path) -> Iterator[tuple[Store, Dataset]]:
    """A store with nothing but a triaged data set of 60 examples."""
    store = open_store(empty_path)
    yield store, fill_triage(store, 60).dataset
    store.close()


def plain(app: AppTest) -> str:
    """Everything a page says, without the marks that keep it from being markdown."""
    return words(app).replace("\\", "")


def as_ada(app: AppTest) -> AppTest:
    """The same page with a name."""
    app.session_state["author"] = "ada"
    return app.run()


def shown(app: AppTest) -> str:
    """The text of the example that is looked at."""
    return str(app.text[0].value)


def labels(app: AppTest, key: str) -> list[str]:
    return [button.label.replace("\\", "") for button in app.button if str(button.key).startswith(key)]


def table_of(app: AppTest, column: str) -> pd.DataFrame:
    """The table that has this column."""
    return next(frame.value for frame in app.dataframe if column in frame.value.columns)


def decided(store: Store, dataset: Dataset) -> pd.DataFrame:
    return current_decisions(store, dataset)


# nothing there, or not done yet ------------------------------------------------------------------------------------


def test_an_empty_store_says_the_next_command(show: Show, empty_path: Path) -> None:
    assert "runner demo" in plain(show("triage"))


def test_a_data_set_without_a_triage_can_be_queued(show: Show, store: Store) -> None:
    app = show("triage", data="tweets@1")
    said = plain(app)
    assert "tweets@1 has not been triaged" in said
    assert "600 training examples; 4 finished runs" in said
    assert "runner triage --dataset tweets@1 --store" in said
    next(button for button in app.button if button.label == "Triage it").click().run()
    job = get_job(store, int(list_jobs(store)["key"].iloc[0]))
    assert (job.kind, job.name, job.arguments["dataset"]) == ("triage", "triage tweets@1", "tweets@1")
    assert "Place 1 of 1 in the queue" in plain(app)
    assert not any(button.label == "Triage it" for button in app.button)


def test_a_triage_that_runs_shows_its_steps_and_one_that_failed_goes_on(show: Show, store: Store) -> None:
    dataset = get_dataset(store, "topics")
    triage = begin_triage(store, dataset, fingerprint="x", versions={}, sources=[])
    record_step(store, triage.key, "training scores", seconds=2.5)
    said = plain(show("triage", data="topics@1"))
    assert "Triage is running" in said
    assert "training scores (2.5 s)" in said
    fail_triage(store, triage.key, Status.FAILED, "the disk is full")
    app = show("triage", data="topics@1")
    assert "The newest triage failed: the disk is full" in plain(app)
    assert "Go on with it" in [button.label for button in app.button]


def test_a_data_set_that_is_not_there(show: Show, bank: tuple[Store, Dataset]) -> None:
    assert "There is no data set gone@7 here" in plain(show("triage", data="gone@7"))


# the page ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_of_a_triage_with_runs(show: Show, store: Store, runs: dict[str, Run], view: str) -> None:
    triage_tweets(store, runs)
    app = as_ada(show("triage", data="tweets@1", view=view))
    assert not app.exception
    assert not any("could not be drawn" in error.value for error in app.error)
    said = plain(app)
    assert "of 600 labels are wrong" in said
    assert "triaged" in said
    assert "from 3 runs" in said
    assert "1 pair of classes that overlap" in [expander.label for expander in app.expander]


def test_the_sentence_counts_and_every_kind_is_a_filter(show: Show, bank: tuple[Store, Dataset]) -> None:
    store, dataset = bank
    app = show("triage")
    kinds = labels(app, "kind-")
    assert kinds[0].endswith("likely wrong labels")
    assert "1 empty text" in kinds
    app.button(key="kind-empty").click().run()
    assert app.query_params["kind"] == "empty"
    assert shown(app) == "(no text)"
    app = as_ada(app)
    assert labels(app, "key-A") == ["Accept: drop it"]
    app.button(key="key-A").click().run()
    row = decided(store, dataset).iloc[0]
    assert (row["action"], row["finding"], row["position"]) == ("drop", "empty", 5)


def test_no_key_before_a_name_and_the_name_is_asked_once(show: Show, bank: tuple[Store, Dataset]) -> None:
    app = show("triage")
    assert not labels(app, "key-A")
    assert "Who decides?" in plain(app)
    app.text_input(key="author-typed").set_value("  Ada \n Lovelace ")
    next(button for button in app.button if button.label == "Begin").click().run()
    assert labels(app, "key-A")
    assert app.session_state["author"] == "Ada Lovelace"


def test_keys_write_step_on_and_undo(show: Show, bank: tuple[Store, Dataset]) -> None:
    store, dataset = bank
    app = as_ada(show("triage"))
    first = shown(app)
    app.button(key="key-A").click().run()
    second = shown(app)
    app.button(key="key-K").click().run()
    app.button(key="key-D").click().run()
    app.button(key="key-S").click().run()
    found = decided(store, dataset)
    assert sorted(found["action"]) == ["drop", "keep", "relabel", "skip"]
    assert set(found["author"]) == {"ada"}
    assert (found["seconds"] >= 0).all()
    relabelled = found[found["action"] == "relabel"].iloc[0]
    assert relabelled["text"] == first
    assert relabelled["label"] != relabelled["given"]
    for _ in range(3):
        app.button(key="key-Z").click().run()
    assert shown(app) == second
    assert decided(store, dataset)["action"].tolist() == ["relabel"]
    app.button(key="key-back").click().run()
    assert shown(app) == first
    assert any("relabelled" in str(badge.value) for badge in app.markdown)


def test_another_label_a_note_and_another_text(show: Show, bank: tuple[Store, Dataset]) -> None:
    store, dataset = bank
    app = as_ada(show("triage"))
    text = shown(app)
    app.button(key="key-N").click().run()
    field = next(field for field in app.text_input if str(field.key).startswith("note-"))
    field.set_value("ask the bank").run()
    assert shown(app) == text  # a note decides nothing
    assert decided(store, dataset)["note"].tolist() == ["ask the bank"]
    app.button(key="key-L").click().run()
    offered = labels(app, "pick-")
    assert len(offered) == 5
    app.button(key="pick-2").click().run()
    row = decided(store, dataset).iloc[0]
    assert (row["action"], row["label"]) == ("relabel", offered[1])
    assert shown(app) != text
    app.button(key="key-E").click().run()
    area = next(area for area in app.text_area if str(area.key).startswith("text-"))
    area.set_value("a better text").run()
    app.button(key="key-save-text").click().run()
    assert "a better text" in decided(store, dataset)["new_text"].tolist()


def test_the_end_of_the_budget_and_more_of_it(show: Show, bank: tuple[Store, Dataset]) -> None:
    app = as_ada(show("triage", budget="2"))
    app.button(key="key-K").click().run()
    app.button(key="key-K").click().run()
    assert "2 of 2 decided" in plain(app)
    app.button(key="end-more").click().run()
    assert app.query_params["budget"] == "202"
    assert shown(app)
    app.number_input(key="triage-looks").set_value(5).run()
    assert "3 to go" in plain(app)


def test_what_is_expected_is_said_and_when_to_stop(show: Show, bank: tuple[Store, Dataset]) -> None:
    app = as_ada(show("triage"))
    assert "wrong labels (" in plain(app)
    assert "Go on: " in plain(app)
    app = as_ada(show("triage", kind="outlier"))
    assert "wait" in plain(app)  # how many outliers are errors nobody knows


@pytest.mark.parametrize(
    ("params", "n"),
    [
        ({"kind": "empty"}, 1), ({"words": "passport"}, None), ({"pattern": "^$"}, 1), ({"in": "train"}, None),
        ({"field": "source", "value": "app"}, None), ({"given": "1"}, None), ({"state": "decided"}, 0),
        ({"by": "nobody"}, None), ({"like": "train:0"}, None), ({"like": "train:99999"}, 0), ({"group": "1"}, None),
    ],
)  # fmt: skip
def test_links_carry_the_filter(
    show: Show, bank: tuple[Store, Dataset], params: dict[str, str], n: int | None
) -> None:  # fmt: skip
    app = as_ada(show("triage", view="Table", **params))
    if n == 0:
        assert "No example fits these filters" in plain(app)
    else:
        table = table_of(app, "place")
        assert len(table) == (n if n is not None else len(table))
        assert 0 < len(table) <= 66
    if "like" in params or "words" in params:
        assert labels(app, "chip-off-")


def test_a_regular_expression_that_cannot_be_read_is_said(show: Show, bank: tuple[Store, Dataset]) -> None:
    for view in ("Queue", "Table", "Map"):
        app = show("triage", view=view, pattern="(")
        assert "cannot be read" in "\n".join(error.value for error in [*app.error, *app.warning]).replace("\\", "")


def test_chips_take_the_filter_back(show: Show, bank: tuple[Store, Dataset]) -> None:
    app = show("triage", view="Table", kind="near_duplicate", words="card", given="0")
    app.button(key="chip-off-words").click().run()
    assert "words" not in app.query_params
    app.button(key="chip-off-all").click().run()
    assert "kind" not in app.query_params
    assert "given" not in app.query_params


# the table ---------------------------------------------------------------------------------------------------------


def test_a_whole_filter_is_decided_at_once_and_undone_at_once(show: Show, bank: tuple[Store, Dataset]) -> None:
    store, dataset = bank
    app = as_ada(show("triage", view="Table", kind="label_error"))
    n = int(next(button.label for button in app.button if button.key == "bulk-all").split()[-1])
    assert n > 2
    app.button(key="bulk-all").click().run()
    found = decided(store, dataset)
    assert len(found) == n
    assert set(found["action"]) <= {"relabel", "keep"}
    assert "No example fits these filters" in plain(app)
    assert any(label.startswith(f"{n} likely wrong labels ✓") for label in labels(app, "kind-"))
    app.button(key="bulk-undo").click().run()
    assert decided(store, dataset).empty
    app.run()
    app = as_ada(show("triage", view="Table", kind="label_error"))
    app.button(key="bulk-redo").click().run()
    assert len(decided(store, dataset)) == n


def test_accepting_for_all_says_first_what_it_would_do(show: Show, bank: tuple[Store, Dataset]) -> None:
    store, dataset = bank
    app = as_ada(show("triage", view="Table"))
    told = re.search(
        r"(\d+) get another label, (\d+) gets? another text, (\d+) (?:is|are) dropped;"
        r" (\d+) have no other and count as looked at and kept",
        plain(app),
    )
    assert told, plain(app)
    app.button(key="bulk-all").click().run()
    counts = decided(store, dataset)["action"].value_counts()
    assert [counts[each] for each in ("relabel", "edit", "drop", "keep")] == [int(each) for each in told.groups()]
    dropped = decided(store, dataset).query("action == 'drop'")
    assert set(dropped["finding"]) <= {"exact_duplicate", "split_leak", "empty"}, "as A drops them, one by one"


# edits, versions, proof --------------------------------------------------------------------------------------------


def test_nothing_decided_yet(show: Show, bank: tuple[Store, Dataset]) -> None:
    assert "Nothing is decided yet" in plain(show("triage", view="Edits"))


def test_edits_are_a_diff_and_disputes_are_shown(show: Show, store: Store, runs: dict[str, Run]) -> None:
    triage_tweets(store, runs)
    dataset = get_dataset(store, "tweets@1")
    decide_some(store, dataset)
    decide_some(store, dataset, "grace", first=12, n=3)
    record_decision(
        store, dataset, split="train", position=30, action="edit", text="other", author="ada", note="why not"
    )  # fmt: skip
    app = as_ada(show("triage", data="tweets@1", view="Edits"))
    assert "7 decided: 2 relabelled, 1 edited, 2 dropped, 2 kept. 3 are disputed" in plain(app)
    table = table_of(app, "change")
    assert "✎ text edited" in table["change"].tolist()
    assert "other" in table["new text"].tolist()
    assert [text.split()[0] for text in table["change"] if text != "✎ text edited"] == ["→", "✕"] * 2
    assert table["given"].isin(dataset.label_names).all()
    assert "why not" in table["note"].tolist()
    assert table["author"].str.contains("⚑").sum() == 2
    app.button_group(key="tabs-shown").set_value("disputed").run()
    changes = table_of(app, "change")["change"].tolist()
    assert len(changes) == 3
    assert all("ada: " in change and "grace: " in change for change in changes)
    app.button(key="settle").click().run()
    assert app.query_params["state"] == "disputed"
    assert "1 / 3" in plain(app).replace("**", "")
    (views,) = [caption.value.replace("\\", "") for caption in app.caption if "Disputed" in caption.value]
    assert views.removeprefix(":material/flag: Disputed. ") in changes


def test_a_version_is_made_and_remembers_why(show: Show, bank: tuple[Store, Dataset]) -> None:
    store, dataset = bank
    decide_some(store, dataset)
    app = as_ada(show("triage", data="bank@1", view="Edits"))
    app.text_input(key="version-note").set_value("first pass").run()
    app.button(key="make-version").click().run()
    child = get_dataset(store, "bank@2")
    assert child.source["note"] == "first pass"
    assert child.n_rows["train"] == 58
    assert len(list_version_changes(store, child)) == 4
    said = plain(app)
    assert "2 relabelled, 2 dropped, by ada: 70 of 72 examples" in said
    assert "bank@2 has all that is decided so far" in said
    assert not labels(app, "make-version")
    record_decision(store, dataset, split="train", position=50, action="drop", author="ada")
    assert labels(as_ada(show("triage", data="bank@1", view="Edits")), "make-version") == ["Make version"]
    assert any(link.proto.page.endswith("new_run") for link in app.get("page_link"))  # nothing was trained yet


def test_what_an_earlier_version_decided_is_done_and_no_error_here(show: Show, bank: tuple[Store, Dataset]) -> None:
    store, dataset = bank
    decide_some(store, dataset)
    child = make_version(store, dataset, author="ada")
    triage_of(store, child, read_targets(store, child, "train"))
    desk = reads.desk(source_of(store), child.key)
    assert desk is not None
    is_wrong, is_gone = current_verdicts(desk)
    assert np.nansum(is_wrong) == 0
    assert (np.isfinite(is_wrong).sum(), is_gone.sum()) == (4, 0)  # 2 relabelled, 2 kept; 2 were dropped
    app = as_ada(show("triage", data=str(child)))
    assert "nothing decided yet · 4 in earlier versions" in plain(app)
    app.button(key="triage-parent").click().run()
    assert (app.query_params["data"], app.query_params["view"]) == ("bank@1", "Edits")


def test_what_was_accepted_unseen_says_nothing_of_the_labels(bank: tuple[Store, Dataset]) -> None:
    store, dataset = bank
    desk = reads.desk(source_of(store), dataset.key)
    assert desk is not None
    some = [NewDecision("train", position, Action.KEEP) for position in range(MOST_SEEN + 2)]
    record_decisions(store, dataset, some[:1], author="ada")
    record_decisions(store, dataset, some[1:], author="ada")
    is_wrong, is_gone = current_verdicts(desk)
    assert np.flatnonzero(is_wrong == is_wrong).tolist() == [0]
    assert is_gone.sum() == MOST_SEEN + 1


def test_the_commonest_mistakes_are_filters(show: Show, bank: tuple[Store, Dataset]) -> None:
    app = show("triage")
    pairs = [button for button in app.button if str(button.key).startswith("pair-") and button.key != "pair-all"]
    assert 0 < len(pairs) <= 3
    assert re.fullmatch(r"\S+ → \S+ \(\d+\)", pairs[0].label.replace("\\", ""))
    pairs[0].click().run()
    _, given, likely = str(pairs[0].key).split("-")
    assert (app.query_params["given"], app.query_params["likely"]) == (given, likely)
    app.button(key=pairs[0].key).click().run()
    assert "given" not in app.query_params
    app.button(key="pair-all").click().run()
    assert app.query_params["view"] == "Classes"


def test_disputed_examples_are_settled_or_left(show: Show, bank: tuple[Store, Dataset]) -> None:
    store, dataset = bank
    decide_some(store, dataset)
    record_decision(store, dataset, split="train", position=10, action="keep", author="grace")
    app = as_ada(show("triage", view="Edits"))
    app.selectbox(key="version-disputed").set_value("leave").run()
    app.button(key="make-version").click().run()
    assert len(list_version_changes(store, get_dataset(store, "bank@2"))) == 3


def test_a_third_who_decides_like_one_of_two_settles_a_dispute(show: Show, bank: tuple[Store, Dataset]) -> None:
    store, dataset = bank
    for author, action in (("grace", "drop"), ("lin", "keep")):
        record_decision(store, dataset, split="train", position=10, action=action, author=author)
    app = as_ada(show("triage", state="disputed"))
    assert "Disputed. grace: ✕ dropped · lin: ✓ kept" in plain(app)
    app.button(key="key-D").click().run()
    assert decided(store, dataset)[["author", "action", "is_disputed"]].values.tolist() == [["ada", "drop", False]]
    assert "1 decided: 1 dropped" in plain(show("triage", view="Edits"))
    app.button(key="end-undo").click().run()
    assert decided(store, dataset)["is_disputed"].tolist() == [True]


def test_what_is_exported_is_what_a_version_would_be(show: Show, bank: tuple[Store, Dataset]) -> None:
    store, dataset = bank
    decide_some(store, dataset, n=9)
    record_decision(store, dataset, split="test", position=1, action="edit", text="mended", author="ada")
    desk = reads.desk(source_of(store), dataset.key)
    assert desk is not None
    found = corrected_rows(desk)
    child = make_version(store, dataset, author="ada")
    for split, n in child.n_rows.items():
        rows = read_rows(store, child, split, limit=n)
        mine = found[found["split"] == split]
        assert mine["text"].tolist() == rows["text"].tolist()
        assert mine["label"].tolist() == rows["label"].tolist()
        assert mine["metadata"].tolist() == rows["metadata"].tolist()
    assert list(flat(taken(desk))) == ["id", "split", "text", "label", "source", "number"]
    assert taken(desk)["text"].tolist() == found["text"].tolist()


def test_a_patch_is_replayed_elsewhere(show: Show, bank: tuple[Store, Dataset]) -> None:
    from dashboard.triage.taking import _patch, _replay

    store, dataset = bank
    decide_some(store, dataset)
    desk = reads.desk(source_of(store), dataset.key)
    assert desk is not None
    patch = _patch(desk)
    assert len(patch.splitlines()) == 6
    other = fill_triage(store, 60, name="twin").dataset
    _replay(reads.desk(source_of(store), other.key), patch)
    assert decided(store, other)[["position", "action"]].to_numpy().tolist() == (
        decided(store, dataset)[["position", "action"]].to_numpy().tolist()
    )
    _replay(reads.desk(source_of(store), other.key), b"no patch")
    _replay(reads.desk(source_of(store), other.key), json.dumps({"action": "explode"}).encode())
    assert len(decided(store, other)) == 6


def test_retraining_queues_the_same_recipe_on_the_version(show: Show, store: Store, runs: dict[str, Run]) -> None:
    triage_tweets(store, runs)
    dataset = get_dataset(store, "tweets@1")
    decide_some(store, dataset)
    child = make_version(store, dataset, author="ada")
    app = as_ada(show("triage", data="tweets@1", view="Edits"))
    assert "runner train" in plain(app)
    app.selectbox(key="retrain-run").set_value(runs["head"].id).run()
    app.button(key="retrain").click().run()
    job = get_job(store, int(list_jobs(store)["key"].iloc[0]))
    text = job.arguments["recipe_text"]
    assert job.kind == "train"
    assert f'source = "dataset:{child}"' in text
    assert 'method = "head"' in text
    assert f"{TAG}{runs['head'].id}" in text
    assert app.query_params["job"] == job.id


def test_proof_holds_the_retrained_run_against_the_one_before(show: Show, store: Store, runs: dict[str, Run]) -> None:
    triage_tweets(store, runs)
    child, after = corrected_and_retrained(store, runs)
    app = as_ada(show("triage", data="tweets@1", view="Edits"))
    said = plain(app)
    assert fixed_run(after.tags) == runs["lora"].id
    assert "tweet-lora-fixed beats tweet-lora-r16 by +" in said
    assert "paired, n = 300" in said
    tables = {tuple(frame.value.columns) for frame in app.dataframe}
    assert any({"label", "recall_a", "recall_b", "verdict"} <= set(columns) for columns in tables)
    assert any({"before", "after", "text"} <= set(columns) for columns in tables)
    assert str(child) in said


def test_a_gain_that_cannot_be_told_from_chance_is_said_plainly(
    show: Show, store: Store, runs: dict[str, Run]
) -> None:  # fmt: skip
    triage_tweets(store, runs)
    corrected_and_retrained(store, runs, skill=2.0)
    said = plain(as_ada(show("triage", data="tweets@1", view="Edits")))
    assert "not separable yet" in said
    assert "made no difference that can be told from chance here" in said
    assert "Nobody checked the labels of the test split" in said


def test_a_proof_says_what_weakens_it() -> None:
    from types import SimpleNamespace

    compared = SimpleNamespace(n=90, n_a=100, n_b=100)
    changes = pd.DataFrame({"split": ["test", "train"]})
    lines = caveats(changes, "test", compared, "bank@2", 1)
    assert "1 of 100 labels of the test split were checked" in lines[0]
    assert "1 example of the test split was decided on too" in lines[1]
    assert "Paired on the 90 examples that both saw." in lines
    unchecked, no_test, _ = caveats(changes.iloc[:0], "validation", compared, "bank@2", 0)
    assert "Nobody checked the labels of the validation split" in unchecked
    assert "There is no test split" in no_test
