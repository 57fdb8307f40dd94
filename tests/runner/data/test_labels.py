import doctest
from typing import Any

import numpy as np
import pytest

from runner.data import labels as labels_module
from runner.data import problems as problems_module
from runner.data import scan as scan_module
from runner.data.labels import LabelCounts, LabelIndex, NotALabel, index_labels, label_key, natural_order
from runner.data.problems import Problems


def found(train: dict[str, int], **others: dict[str, int]) -> LabelCounts:
    splits = {"train": train, **others}
    keys = list(dict.fromkeys(key for counts in splits.values() for key in counts))
    places = [f"f.csv line {i + 2}" for i in range(len(keys))]
    return LabelCounts(keys, places, {s: np.array([c.get(k, 0) for k in keys]) for s, c in splits.items()})


def indexed(counts: LabelCounts, **options: Any) -> tuple[LabelIndex, tuple[str, ...]]:
    problems = Problems()
    return index_labels(counts, problems, column="label", **options), problems.messages()


@pytest.mark.parametrize("module", [labels_module, problems_module, scan_module])
def test_examples_in_docstrings(module: Any) -> None:
    results = doctest.testmod(module)
    assert results.attempted >= 2
    assert results.failed == 0


@pytest.mark.parametrize(
    ("value", "key"),
    [("joy", "joy"), (" joy\n", "joy"), (3, "3"), (np.int64(3), "3"), (1.0, "1"), (-1.0, "-1"), (0.5, "0.5"),
     (True, "true"), (np.bool_(False), "false"), (None, None), (float("nan"), None), ("", None)],
)  # fmt: skip
def test_label_key(value: object, key: str | None) -> None:
    assert label_key(value) == key


def test_lists_are_no_labels() -> None:
    with pytest.raises(NotALabel, match="a list"):
        label_key(["a", "b"])


def test_natural_order_of_numbers_and_names() -> None:
    assert natural_order(["10", "9", "-1"]) == ("-1", "9", "10")
    assert natural_order(["class 10", "Class 9", "alpha"]) == ("alpha", "Class 9", "class 10")


def test_labels_of_thousands_of_digits() -> None:
    long = "7" * 5000
    assert natural_order([f"b{long}", "b9", long]) == (long, "b9", f"b{long}")
    assert indexed(found({"a": 3, long: 2}))[0].names == (long, "a")
    _, problems = indexed(found({"0": 3, long: 2}), declared=("no", "yes"))
    assert any("not in data.labels" in problem for problem in problems)


def test_names_from_train_in_natural_order() -> None:
    labels, problems = indexed(found({"b": 3, "a": 2}, test={"a": 1}))
    assert labels.names == ("a", "b")
    assert labels.positions.tolist() == [1, 0]
    assert problems == ()


def test_whole_floats_are_integers_where_the_column_is_numeric() -> None:
    labels, problems = indexed(found({"1.0": 3, "0.0": 2, "10": 1}))
    assert (labels.names, problems) == (("0", "1", "10"), ())
    versions, _ = indexed(found({"1.0": 3, "none": 2}))
    assert versions.names == ("1.0", "none")


def test_fractions_look_like_regression() -> None:
    _, problems = indexed(found({"0.5": 12, "1": 3}))
    assert len(problems) == 1
    assert "0.5 (12 rows, first f.csv line 2)" in problems[0]
    assert "regression" in problems[0]


def test_unknown_label_in_test_is_counted() -> None:
    _, problems = indexed(found({"good": 3, "bad": 3}, test={"goood": 7, "bad": 1}))
    assert problems == (
        'the test split has labels that train does not have: "goood" (7 × from f.csv line 4). Did you mean "good"? '
        "Train has bad and good. Correct the rows, add training examples, or name every label in data.labels.",
    )


def test_declared_names_fix_the_order() -> None:
    labels, problems = indexed(found({"a": 1, "b": 1}), declared=("b", "c", "a"))
    assert (labels.names, labels.positions.tolist(), problems) == (("b", "c", "a"), [2, 0], ())


def test_integers_are_indices_into_declared_names() -> None:
    labels, problems = indexed(found({"1": 1, "0": 1}), declared=("neg", "pos"))
    assert (labels.names, labels.positions.tolist(), problems) == (("neg", "pos"), [1, 0], ())
    _, problems = indexed(found({"1": 1, "2": 4}), declared=("neg", "pos"))
    assert "0 to 1; it also holds 2 (4 rows, first f.csv line 3)" in problems[0]


def test_label_that_is_not_declared_names_the_nearest() -> None:
    _, problems = indexed(found({"positiv": 2, "negative": 1}), declared=("negative", "positive"))
    assert problems == (
        'label "positiv" (2 rows, first f.csv line 2) is not in data.labels (negative and positive). '
        'Did you mean "positive"? Add it to data.labels or correct the rows.',
    )


def test_class_names_name_the_indices() -> None:
    labels, problems = indexed(found({"1": 2, "0": 1}), class_names=("neg", "pos", "neutral"))
    assert (labels.names, labels.positions.tolist(), problems) == (("neg", "pos", "neutral"), [1, 0], ())
    reordered, _ = indexed(found({"1": 2, "0": 1}), class_names=("neg", "pos"), declared=("pos", "neg"))
    assert (reordered.names, reordered.positions.tolist()) == (("pos", "neg"), [0, 1])
    _, problems = indexed(found({"-1": 2, "0": 1}), class_names=("neg", "pos"))
    assert "-1 (2 rows, first f.csv line 2)" in problems[0]


def test_nothing_is_said_about_train_when_it_could_not_be_read() -> None:
    counts = LabelCounts(["a", "b"], ["x", "y"], {"test": np.array([1, 2])})
    labels, problems = indexed(counts, train_complete=False)
    assert (labels.names, problems) == (("a", "b"), ())
    assert indexed(LabelCounts([], [], {}), train_complete=False)[1] == ()
