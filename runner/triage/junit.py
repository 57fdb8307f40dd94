"""Verdicts as JUnit XML, which CI systems show. Loads no torch."""

import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from runner.triage.gates import Verdict

# What XML 1.0 cannot hold, not even escaped.
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_xml(name: str, verdicts: Sequence[Verdict], seconds: float) -> str:
    """One test case a condition: a failure where it failed, an error where it was not measured; warnings pass, and say
    what was found.

    >>> junit_xml("tweets@1", [], 0.0)
    '<testsuite name="tweets@1" tests="0" failures="0" errors="0" time="0.000" />'
    """
    blocking = [verdict for verdict in verdicts if verdict.blocks]
    n_unknown = sum(verdict.result == "unknown" for verdict in blocking)
    suite = ElementTree.Element(
        "testsuite",
        name=_clean(name),
        tests=str(len(verdicts)),
        failures=str(len(blocking) - n_unknown),
        errors=str(n_unknown),
        time=f"{seconds:.3f}",
    )
    for verdict in verdicts:
        case = ElementTree.SubElement(suite, "testcase", classname=_clean(name), name=_clean(verdict.condition.name))
        if verdict.blocks:
            element = "error" if verdict.result == "unknown" else "failure"
            said = ElementTree.SubElement(case, element, message=_clean(verdict.said), type=verdict.result)
            said.text = _clean(f"{verdict.condition.text}: {verdict.said}")
        else:
            said = ElementTree.SubElement(case, "system-out")
            said.text = _clean(f"{verdict.condition.text}: {verdict.result}, {verdict.said}")
    return ElementTree.tostring(suite, encoding="unicode")


def write_junit(path: Path, name: str, verdicts: Sequence[Verdict], seconds: float) -> None:
    """Write them to a file."""
    text = '<?xml version="1.0" encoding="utf-8"?>\n' + junit_xml(name, verdicts, seconds) + "\n"
    path.write_text(text, encoding="utf-8")


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", text)
