"""Decisions as lines of a file: written, read, done again elsewhere."""

import json
from pathlib import Path
from typing import Any

import pytest

from store import (
    DecisionRefused,
    NewDecision,
    NewRow,
    PatchReport,
    Store,
    apply_patch,
    current_decisions,
    export_patch,
    make_version,
    open_store,
    record_dataset,
    record_decision,
    record_decisions,
    undo_last,
)
from store.records import Dataset
from tests.store.builders import LABELS, make_dataset

ROWS = [("a", 0), ("b", 1), ("same", 0), ("same", 0), ("same", 1), ("e", 1)]


@pytest.fixture
def dataset(store: Store) -> Dataset:
    return make_dataset(store, "d", ROWS, split="train")


@pytest.fixture
def patch(store: Store, dataset: Dataset) -> list[dict[str, Any]]:
    """As it comes back from a file."""
    for position, action, author, more in (
        (0, "relabel", "ann", {"label": "yes", "note": "wörtlich"}), (1, "drop", "ann", {}), (1, "keep", "bob", {}),
        (3, "drop", "ann", {}), (4, "relabel", "ann", {"label": "no"}),
        (5, "edit", "bob", {"text": "E", "label": "no"}), (0, "skip", "bob", {}),
    ):  # fmt: skip
        record_decision(store, dataset, split="train", position=position, action=action, author=author, **more)  # type: ignore[arg-type]  # as given
    return [json.loads(json.dumps(line)) for line in export_patch(store, dataset)]


def everything(store: Store, dataset: Dataset) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []
    for author in ("ann", "bob"):
        frame = current_decisions(store, dataset, author=author)
        frame = frame.astype(object).where(frame.notna(), None)
        frame = frame[frame["action"] != "skip"]
        found += [
            tuple(row)
            for row in frame[["position", "action", "label", "new_text", "note", "author", "at"]].values.tolist()
        ]
    return found


def counts(report: PatchReport) -> dict[str, int]:
    return {name: n for name, n in vars(report).items() if isinstance(n, int) and n and name != "n_lines"}


def test_a_patch_reads_well(patch: list[dict[str, Any]]) -> None:
    first, _, _, third, fourth, last = patch
    assert {name: value for name, value in first.items() if name != "at"} == {
        "example_id": first["example_id"], "split": "train",
        "given": "no", "occurrence": 0, "action": "relabel", "label": "yes", "text": None, "note": "wörtlich",
        "author": "ann", "finding": None,
    }  # fmt: skip
    assert [line["action"] for line in patch] == ["relabel", "drop", "keep", "drop", "relabel", "edit"]
    assert (third["occurrence"], third["given"]) == (1, "no")  # the second of those that are "no"
    assert (fourth["occurrence"], fourth["given"]) == (0, "yes")
    assert (last["text"], last["label"]) == ("E", "no")


def test_it_is_done_again_in_another_store_once(
    patch: list[dict[str, Any]], store: Store, dataset: Dataset, tmp_path: Path
) -> None:
    other = open_store(tmp_path / "other.db")
    shuffled = record_dataset(
        other, "mine", [NewRow("train", text, 1 - label) for text, label in reversed(ROWS)],
        label_names=("yes", "no"), source={}, fingerprint="s",
    )  # fmt: skip
    report = apply_patch(other, shuffled, patch)
    assert counts(report) == {"n_applied": 6}
    back = {5 - position: rest for position, *rest in everything(other, shuffled)}
    ours = {position: rest for position, *rest in everything(store, dataset)}
    # of two copies with one label the second is meant, which is the other one in a file that is turned round
    ours[2] = ours.pop(3)
    assert back == ours
    n = other.db.execute("SELECT count(*) FROM decisions").fetchone()
    assert counts(apply_patch(other, shuffled, patch)) == {"n_already": 6}
    assert other.db.execute("SELECT count(*) FROM decisions").fetchone() == n
    assert len(undo_last(other, shuffled, "ann")) == 4
    assert len(undo_last(other, shuffled, "bob")) == 2
    assert counts(apply_patch(other, shuffled, patch)) == {"n_applied": 6}
    other.close()


def test_where_it_came_from_there_is_nothing_to_do(patch: list[dict[str, Any]], store: Store, dataset: Dataset) -> None:
    assert counts(apply_patch(store, dataset, patch)) == {"n_already": 6}
    child = make_version(store, dataset, author="ann", disputed="newest")
    report = apply_patch(store, child, patch)
    # ann would drop what bob kept; where a copy was dropped stands one that ann gave its label later
    assert counts(report) == {"n_already": 4, "n_applied": 1, "n_newer": 1}
    assert everything(store, child)[0][:2] == (0, "relabel")


def test_what_does_not_fit_is_counted_and_told(patch: list[dict[str, Any]], store: Store) -> None:
    rows = [
        NewRow("validation", "a", 0), NewRow("validation", "b", 1), NewRow("train", "same", 0), NewRow("train", "e", 0),
        NewRow("train", "z", 1),
    ]  # fmt: skip
    other = record_dataset(store, "other", rows, label_names=("no", "yes", "maybe"), source={}, fingerprint="o")
    unknown = {**patch[0], "label": "perhaps"}
    gone = {**patch[0], "example_id": "0" * 32}
    report = apply_patch(store, other, [*patch, unknown, gone])
    assert counts(report) == {
        "n_applied": 2,  # a is relabelled and b kept, elsewhere
        "n_elsewhere": 2,
        "n_already": 2,  # b is not in the training split any more; the last copy has the label it was to get
        "n_missing": 2,  # the second copy, and the example nobody knows
        "n_other_label": 1,  # e is a no here
        "n_unknown_label": 1,
    }
    assert report.n_lines == 8
    assert [text.split(":")[0] for text in report.told] == ["line 4", "line 6", "line 7", "line 8"]
    assert "has another label here" in report.told[1]
    assert "'perhaps' is no label of other@1; its 3 labels are no, yes, maybe." in report.told[2]


def test_a_newer_decision_of_the_same_author_stays(patch: list[dict[str, Any]], store: Store, dataset: Dataset) -> None:
    record_decision(store, dataset, split="train", position=0, action="keep", author="ann")
    report = apply_patch(store, dataset, patch)
    assert counts(report) == {"n_already": 5, "n_newer": 1}
    assert report.told == ["line 1: ann decided otherwise about train 0 since."]


def test_lines_that_are_none_are_refused_together(store: Store, dataset: Dataset) -> None:
    line = {"example_id": "0" * 32, "split": "train", "action": "keep", "author": "ann", "at": 1.0}
    lines: list[dict[str, Any]] = [
        {}, {**line, "action": "bin"}, {**line, "example_id": "xyz"}, {**line, "at": "now"},
        {**line, "action": "relabel"}, {**line, "action": "edit"}, {**line, "occurrence": True}, line,
    ]  # fmt: skip
    with pytest.raises(DecisionRefused) as error:
        apply_patch(store, dataset, lines)
    for part in (
        "line 1: example_id is missing.", "line 1: author is missing.",
        "line 2: action is 'bin'; allowed are relabel, keep",
        "line 3: example_id is 'xyz'; needed are 32 hexadecimal digits.",
        "line 4: at is 'now'; needed is int or float.", "line 5: label is missing",
        "line 6: text is missing", "line 7: occurrence is True",
    ):  # fmt: skip
        assert part in str(error.value)
    assert "line 8" not in str(error.value)
    with pytest.raises(DecisionRefused, match="And 80 more"):
        apply_patch(store, dataset, [{}] * 20)
    assert store.db.execute("SELECT count(*) FROM decisions").fetchone() == (0,)
    assert apply_patch(store, dataset, []).n_lines == 0


def test_many_copies(store: Store) -> None:
    n = 2_000
    dataset = make_dataset(store, "many", [("same", 0)] * n, split="train")
    record_decisions(store, dataset, [NewDecision("train", position, "drop") for position in range(1, n)], author="ann")
    lines = list(export_patch(store, dataset))
    assert [line["occurrence"] for line in lines] == list(range(1, n))
    other = record_dataset(
        store, "again", [NewRow("train", "same", 0)] * n, label_names=LABELS, source={}, fingerprint="x"
    )
    assert apply_patch(store, other, lines).n_applied == n - 1
    assert make_version(store, other, author="ann").n_rows == {"train": 1}
