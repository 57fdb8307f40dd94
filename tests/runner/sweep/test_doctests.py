"""Every example in the docstrings of the sweep and of the recipe's part of it holds."""

import doctest
import importlib
import pkgutil

import pytest

import runner.sweep

MODULES = [f"runner.sweep.{module.name}" for module in pkgutil.iter_modules(runner.sweep.__path__)]
OTHERS = ["runner.recipe.spaces", "runner.recipe.sweep_rules", "runner.recipe.objectives"]


def test_all_modules_are_found() -> None:
    assert len(MODULES) >= 20


@pytest.mark.parametrize("name", [*MODULES, *OTHERS])
def test_doctests(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0
