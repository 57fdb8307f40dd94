"""Every public function of evals.triage has a doctest, and every doctest holds."""

import doctest
import importlib
import inspect
import pkgutil

import pytest

import evals.triage

MODULES = [f"evals.triage.{module.name}" for module in pkgutil.iter_modules(evals.triage.__path__)]


def test_every_module_is_listed_in_the_package() -> None:
    assert MODULES
    listed = evals.triage.__doc__ or ""
    assert [name for name in MODULES if f"- `{name.rpartition('.')[2]}`" not in listed] == []


@pytest.mark.parametrize("name", MODULES)
def test_doctests(name: str) -> None:
    module = importlib.import_module(name)
    assert doctest.testmod(module).failed == 0
    public = [
        function
        for function_name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == name and not function_name.startswith("_")
    ]
    assert [function.__name__ for function in public if ">>>" not in (function.__doc__ or "")] == []
