"""How numbers and texts are written."""

import doctest
import importlib
import pkgutil

import numpy as np
import pytest

import dashboard
from dashboard import formats

MODULES = [
    name
    for _, name, _ in pkgutil.walk_packages(dashboard.__path__, "dashboard.")
    if name != "dashboard.app" and ".views." not in name
]


@pytest.mark.parametrize("name", MODULES)
def test_doctests(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_doctests() -> None:
    finder = doctest.DocTestFinder()
    n = sum(len(test.examples) for name in MODULES for test in finder.find(importlib.import_module(name)))
    assert n >= 20


@pytest.mark.parametrize(
    "write",
    [formats.number, formats.signed, formats.count, formats.compact, formats.percent, formats.duration, formats.size],
)
def test_unknown_is_never_zero(write: object) -> None:
    assert callable(write)
    assert write(None) == write(float("nan")) == "–"
    assert write(0) != "–"


def test_estimate_and_interval() -> None:
    assert formats.estimate(0.5, 0.4, 0.6) == "0.500 ± 0.100"
    assert formats.estimate(np.nan, np.nan, np.nan) == "–"
    assert formats.interval(np.nan, 1.0) == "–"


@pytest.mark.parametrize(
    "text", ["<script>x</script>", "**b**", "$x$", ":material/delete:", "[a](javascript:1)", "`c`"]
)
def test_escape_leaves_no_markdown(text: str) -> None:
    escaped = formats.escape(text)
    assert escaped.replace("\\", "") == text
    for i, character in enumerate(escaped):
        if character in "<>*$:[]`":
            assert escaped[i - 1] == "\\"
