from pathlib import Path

import pytest

from runner.triage.conditions import LABEL_ERRORS, ConditionError, parse_conditions


@pytest.mark.parametrize(
    ("text", "kind", "split", "where", "limit", "is_share"),
    [
        ("label_errors > 2 %", LABEL_ERRORS, None, None, 0.02, True),
        ("label_error>0.5%", LABEL_ERRORS, None, None, 0.005, True),
        ("label errors >= 12", LABEL_ERRORS, None, None, 12, False),
        ("split_leaks in test > 0", "split_leak", "test", None, 0, False),
        ("boundaries > 10 %", "boundary", None, None, 0.1, True),
        ("near-duplicates in dev where a = b c > 1e1 %", "near_duplicate", "dev", ("a", "b c"), 0.1, True),
        ('empty where "my field" = "a = b" > 0', "empty", None, ("my field", "a = b"), 0, False),
        ("weak_slices > 0", "weak_slice", None, None, 0, False),
    ],
)  # fmt: skip
def test_what_a_person_may_write(
    text: str, kind: str, split: str | None, where: tuple[str, str] | None, limit: float, is_share: bool
) -> None:
    (found,) = parse_conditions([text])
    assert (found.kind, found.split, found.limit, found.is_share) == (kind, split, pytest.approx(limit), is_share)
    assert (found.field, found.wanted) == (where or (None, None))
    assert (found.bound, found.severity, found.name) == ("low", "error", found.text)


def test_an_end_of_the_estimate_can_be_named() -> None:
    assert [each.bound for each in parse_conditions(["label_errors.high > 2 %", "label_errors.value > 3"])] == [
        "high",
        "value",
    ]


def test_all_mistakes_are_said_at_once() -> None:
    texts = [
        "labels wrong",
        "outlayers > 2",
        "label_errors > 120 %",
        "outliers.low > 2",
        "weak_slices > 2 %",
        "empty > -1",
    ]
    with pytest.raises(ConditionError) as error:
        parse_conditions(texts)
    lines = str(error.value).splitlines()
    assert len(lines) == len(texts)
    said = [
        "is no condition; needed is KIND",
        'no kind of finding. Did you mean "outlier"',
        "0 to 100 %",
        "only label_errors is an estimate",
        "is counted in groups",
        "a count of 0 or more",
    ]
    for line, text, words in zip(lines, texts, said, strict=True):
        assert text in line
        assert words in line


POLICY = """
[[fail_if]]
name = "wrong labels"
condition = "label_errors > 2 %"

[[fail_if]]
condition = "outliers in train > 5 %"
severity = "warning"
"""


def test_a_policy_is_a_list_of_conditions_with_names(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(POLICY)
    found = parse_conditions(["empty > 0"], path)
    assert [(each.name, each.severity) for each in found] == [
        ("empty > 0", "error"),
        ("wrong labels", "error"),
        ("outliers in train > 5 %", "warning"),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no [[fail_if]] table"),
        ("fail_if = 3", "has no [[fail_if]] table"),
        ("[[fail_if]]\ncondition = 3", "rule 1: condition is 3"),
        ("[[fail_if]]\ncondition = 'empty > 0'\nseverity = 'fatal'", "severity is 'fatal'"),
        ("[[fail_if]]\nconditon = 'empty > 0'", "'conditon' is not known"),
        ("[[fail_if]]\ncondition = 'nothing > 0'", "rule 1, 'nothing > 0': 'nothing' is no kind"),
        (2 * "[[fail_if]]\nname = 'a'\ncondition = 'empty > 0'\n", "two rules are called 'a'"),
        ("other = 1\n[[fail_if]]\ncondition = 'empty > 0'", "'other' is not known"),
        ("[[fail_if]", "cannot be read"),
    ],
)
def test_what_is_wrong_with_a_policy_is_said(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(text)
    with pytest.raises(ConditionError) as error:
        parse_conditions([], path)
    assert said in str(error.value)


def test_a_policy_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConditionError, match="there is no such file"):
        parse_conditions([], tmp_path / "none.toml")
