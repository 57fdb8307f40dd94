from xml.etree import ElementTree

import numpy as np
import pytest

from runner.triage.conditions import ConditionError, parse_conditions
from runner.triage.gates import Verdict, check_conditions, judge
from runner.triage.junit import junit_xml
from store import Store, count_findings, list_findings, read_column, read_targets
from store.facets import facet_positions
from tests.store.triages import Filled, fill_triage


@pytest.fixture
def filled(store: Store) -> Filled:
    return fill_triage(store)


def verdict_on(store: Store, filled: Filled, text: str) -> Verdict:
    conditions = parse_conditions([text])
    check_conditions(store, filled.dataset, conditions)
    (verdict,) = judge(store, filled.triage, filled.dataset, conditions)
    return verdict


def test_findings_are_counted_by_split_and_as_a_share(store: Store, filled: Filled) -> None:
    counts = count_findings(store, filled.triage.key).set_index(["kind", "split"])["n"]
    n = int(counts["outlier", "train"])
    n_test = int(counts["outlier", "test"])
    for text, result in (
        (f"outliers > {n + n_test - 1}", "failed"),
        (f"outliers > {n + n_test}", "passed"),
        (f"outliers in train >= {n}", "failed"),
        (f"outliers in train > {n}", "passed"),
        (f"outliers in train > {100 * (n - 0.5) / 300} %", "failed"),
        (f"outliers in train > {100 * (n + 0.5) / 300} %", "passed"),
        ("near_duplicates in validation > 0", "passed"),
        ("class_overlaps > 0", "failed"),
        ("class_overlap > 1", "passed"),
        ("empty == 0", "passed"),
        ("empty < 1", "passed"),
        ("empty <= 1", "failed"),
        ("empty != 2", "failed"),
    ):
        assert verdict_on(store, filled, text).result == result, text


def test_the_lower_end_of_an_estimate_is_compared_unless_another_is_named(store: Store, filled: Filled) -> None:
    errors = filled.triage.summary["labels"]["n_errors"]
    low, value, high = (errors[name] / 300 * 100 for name in ("low", "value", "high"))
    assert low < value < high
    inside = (low + value) / 2
    unsure = verdict_on(store, filled, f"label_errors > {inside} %")
    assert unsure.result == "passed"
    assert "the lower end is compared, the limit lies within the interval" in unsure.said
    assert verdict_on(store, filled, f"label_errors.value > {inside} %").result == "failed"
    assert verdict_on(store, filled, f"label_errors > {low - 0.1} %").result == "failed"
    assert verdict_on(store, filled, f"label_errors.high > {high - 0.1} %").result == "failed"
    assert verdict_on(store, filled, f"label_errors.high > {high + 0.1} %").result == "passed"
    assert verdict_on(store, filled, f"label_errors > {errors['low'] - 1}").result == "failed"


def test_a_slice_is_judged_by_its_own_examples(store: Store, filled: Filled) -> None:
    label = "lost_or_stolen_card"
    given = read_targets(store, filled.dataset, "train")
    places = np.flatnonzero(given == (filled.dataset.label_names or ()).index(label))
    chance = read_column(store, filled.triage.key, "train", "chance")
    assert chance is not None
    expected = float(chance[places].sum())
    said = verdict_on(store, filled, f"label_errors.value where label = {label} > {expected - 0.01}")
    assert said.result == "failed"
    assert f"of {len(places)}" in said.said
    assert verdict_on(store, filled, f"label_errors.value where label = {label} > {expected + 0.01}").result == "passed"
    of_mail = [
        position
        for position in list_findings(store, filled.triage.key, kind="near_duplicate", limit=999)["position"]
        if position in facet_positions(store, filled.dataset, "source", ["mail"])["train"]
    ]
    assert (
        verdict_on(store, filled, f"near_duplicates in train where source = mail >= {len(of_mail)}").result == "failed"
    )
    assert (
        verdict_on(store, filled, f"near_duplicates in train where source = mail > {len(of_mail)}").result == "passed"
    )


@pytest.mark.parametrize("text", ["refusal > 3", "label_errors in test > 50 %"])
def test_what_was_not_measured_does_not_pass(store: Store, filled: Filled, text: str) -> None:
    filled.triage.summary["missing"]["refusal"] = ["answers"]
    verdict = verdict_on(store, filled, text)
    assert verdict.result == "unknown"
    assert verdict.blocks


def test_what_the_data_set_does_not_have_is_said_all_at_once(store: Store, filled: Filled) -> None:
    texts = [
        "empty in dev > 0",
        "empty where sorce = web > 0",
        "empty where source = fax > 0",
        "empty where label = x > 0",
    ]
    with pytest.raises(ConditionError) as error:
        check_conditions(store, filled.dataset, parse_conditions(texts))
    said = str(error.value)
    assert "has no split 'dev'; it has: train, validation, test" in said
    assert 'Did you mean "source"?' in said
    assert "no example has source = 'fax'; there are: web" in said
    assert "no example has label = 'x'; there are: card_arrival" in said


def test_junit_says_what_failed_and_what_was_not_measured(store: Store, filled: Filled) -> None:
    filled.triage.summary["missing"]["refusal"] = ["answers"]
    conditions = parse_conditions(["empty > 0", "refusal > 0", "empty > 5"])
    verdicts = judge(store, filled.triage, filled.dataset, conditions)
    suite = ElementTree.fromstring(junit_xml("a \x00 & <b>", verdicts, 1.5))
    assert {name: suite.get(name) for name in ("tests", "failures", "errors", "name", "time")} == {
        "tests": "3", "failures": "1", "errors": "1", "name": "a \ufffd & <b>", "time": "1.500",
    }  # fmt: skip
    cases = {case.get("name"): [child.tag for child in case] for case in suite}
    assert cases == {"empty > 0": ["failure"], "refusal > 0": ["error"], "empty > 5": ["system-out"]}
