"""Conditions on what a triage found, as they are written: `label_errors > 2 %`, `split_leak in test > 0`.

    KIND [in SPLIT] [where FIELD = VALUE] OPERATOR NUMBER [%]

KIND is a kind of finding, in the singular or with an s; `label_errors` are the wrong labels that are estimated, of
which `label_errors.low`, `.value` and `.high` name the estimate and the ends of its interval. Loads no torch.
"""

import operator
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from evals.triage.findings import DETECTORS
from runner.data.problems import did_you_mean
from runner.errors import UserError

Bound = Literal["low", "value", "high"]
Severity = Literal["error", "warning"]

LABEL_ERRORS = "label_errors"
_KINDS = {detector.kind: detector for detector in DETECTORS}
_BOUNDS = ("low", "value", "high")

_PATTERN = re.compile(
    r"""\s*(?P<kind>[\w\- ]+?)(?:\.(?P<bound>\w+))?
        (?:\s+in\s+(?P<split>\S+))?
        (?:\s+where\s+(?P<field>"[^"]+"|[^\s=]+)\s*=\s*(?P<wanted>"[^"]*"|.*?))?
        \s*(?P<operator>>=|<=|==|!=|>|<)\s*(?P<number>[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?)\s*(?P<percent>%)?\s*""",
    re.VERBOSE,
)
OPERATORS: Mapping[str, Callable[[float, float], bool]] = MappingProxyType(
    {
        ">": operator.gt,
        ">=": operator.ge,
        "<": operator.lt,
        "<=": operator.le,
        "==": operator.eq,
        "!=": operator.ne,
    }
)


class ConditionError(UserError):
    """Conditions that cannot be understood: all of them, each with what is allowed. `understood` are the others."""

    def __init__(self, said: str, understood: "Sequence[Condition]" = ()) -> None:
        super().__init__(said)
        self.understood = tuple(understood)


@dataclass(frozen=True)
class Condition:
    """What must not be so."""

    text: str
    """As it was written."""
    kind: str
    """A kind of finding, or LABEL_ERRORS."""
    operator: str
    limit: float
    """A count, or a share in [0, 1]."""
    is_share: bool
    split: str | None = None
    """None: all splits (of label errors: the training split)."""
    field: str | None = None
    wanted: str | None = None
    """Only examples of which this field of their metadata, or their `label`, has this value."""
    bound: Bound = "low"
    """Of an estimate: which end is compared. The lower one: it is so for sure."""
    name: str = ""
    severity: Severity = "error"


def parse_conditions(texts: Sequence[str], policy: Path | None = None) -> list[Condition]:
    """Those of the command line, then those of a policy file. Raises ConditionError with everything that is wrong.

    >>> condition, = parse_conditions(["near-duplicates in train where source = web >= 1.5 %"])
    >>> condition.kind, condition.split, condition.field, condition.wanted, condition.operator, condition.limit
    ('near_duplicate', 'train', 'source', 'web', '>=', 0.015)
    """
    problems: list[str] = []
    found = [_parse(text, f"--fail-if {text!r}", problems) for text in texts]
    if policy is not None:
        found += _read_policy(policy, problems)
    understood = [condition for condition in found if condition is not None]
    if problems:
        raise ConditionError("\n".join(problems), understood)
    return understood


def _parse(
    text: str, where: str, problems: list[str], name: str = "", severity: Severity = "error"
) -> Condition | None:
    match = _PATTERN.fullmatch(text)
    if match is None:
        problems.append(
            f"{where} is no condition; needed is KIND [in SPLIT] [where FIELD = VALUE] > NUMBER [%], "
            "such as 'label_errors > 2 %'."
        )
        return None
    said = match.groupdict()
    n_before = len(problems)
    kind = _kind(said["kind"], where, problems)
    bound = said["bound"]
    if bound is not None and (bound not in _BOUNDS or kind != LABEL_ERRORS):
        problems.append(
            f"{where}: .{bound} is not known; only label_errors is an estimate, with .low, .value and .high."
        )
    limit = float(said["number"])
    is_share = said["percent"] is not None
    if limit < 0 or (is_share and limit > 100):
        allowed = "0 to 100 %" if is_share else "a count of 0 or more"
        problems.append(f"{where}: the limit is {said['number']}{' %' if is_share else ''}; needed is {allowed}.")
    detector = _KINDS.get(kind or "")
    if detector is not None and detector.is_of_groups and (is_share or said["split"] or said["field"]):
        problems.append(
            f"{where}: {kind} is counted in groups; only KIND {said['operator']} NUMBER can be asked of it."
        )
    if len(problems) > n_before or kind is None:
        return None
    return Condition(
        text=" ".join(text.split()),
        kind=kind,
        operator=said["operator"],
        limit=limit / 100 if is_share else limit,
        is_share=is_share,
        split=said["split"],
        field=_unquoted(said["field"]),
        wanted=_unquoted(said["wanted"]),
        bound=bound or "low",  # type: ignore[arg-type]  # one of _BOUNDS, as was checked
        name=name or " ".join(text.split()),
        severity=severity,
    )


def _kind(text: str, where: str, problems: list[str]) -> str | None:
    """A kind of finding from what a person may write."""
    word = re.sub(r"[\s\-]+", "_", text.strip().lower())
    if word in (LABEL_ERRORS, "label_error", "noise", "wrong_labels"):
        return LABEL_ERRORS
    for kind in _KINDS:
        if word in (kind, f"{kind}s", f"{kind}es", re.sub("y$", "ies", kind)):
            return kind
    known = [LABEL_ERRORS, *(kind for kind in _KINDS if kind != "label_error")]
    problems.append(
        f"{where}: {text.strip()!r} is no kind of finding.{did_you_mean(word, known)} There are: {', '.join(known)}."
    )
    return None


def _unquoted(text: str | None) -> str | None:
    return text[1:-1] if text is not None and len(text) > 1 and text[0] == text[-1] == '"' else text


# the policy file -----------------------------------------------------------------------------------------------------


def _read_policy(path: Path, problems: list[str]) -> list[Condition | None]:
    """`[[fail_if]]` tables: condition, and where wanted name and severity."""
    try:
        table: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        problems.append(f"--policy {path}: there is no such file.")
        return []
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        problems.append(f"--policy {path} cannot be read: {error}.")
        return []
    rules = table.pop("fail_if", None)
    problems += [f"{path}: {key!r} is not known; a policy has [[fail_if]] tables only." for key in table]
    if not isinstance(rules, list) or not rules:
        problems.append(f"{path} has no [[fail_if]] table: it would let everything pass.")
        return []
    found = [_rule(rule, f"{path}, rule {number}", problems) for number, rule in enumerate(rules, 1)]
    names = [rule.name for rule in found if rule is not None]
    problems += [f"{path}: two rules are called {name!r}." for name in sorted({n for n in names if names.count(n) > 1})]
    return found


def _rule(rule: object, where: str, problems: list[str]) -> Condition | None:
    if not isinstance(rule, dict):
        problems.append(f"{where} is no table; write [[fail_if]].")
        return None
    n_before = len(problems)
    problems += [
        f"{where}: {key!r} is not known; allowed are condition, name, severity."
        for key in rule
        if key not in ("condition", "name", "severity")
    ]
    condition, name, severity = rule.get("condition"), rule.get("name", ""), rule.get("severity", "error")
    if not isinstance(condition, str):
        problems.append(f'{where}: condition is {condition!r}; needed is a text such as "label_errors > 2 %".')
    if not isinstance(name, str):
        problems.append(f"{where}: name is {name!r}; needed is a text.")
    if severity not in ("error", "warning"):
        problems.append(f'{where}: severity is {severity!r}; allowed are "error" and "warning".')
    if len(problems) > n_before or not isinstance(condition, str):
        return None
    return _parse(condition, f"{where}, {condition!r}", problems, name, severity)
