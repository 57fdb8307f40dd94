"""Every example in the docstrings of the runner's part of triage holds."""

import doctest
import importlib
import pkgutil

import pytest

import runner.triage

MODULES = [f"runner.triage.{module.name}" for module in pkgutil.iter_modules(runner.triage.__path__)]


def test_all_modules_are_found() -> None:
    assert len(MODULES) >= 15


@pytest.mark.parametrize("name", MODULES)
def test_doctests(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0
