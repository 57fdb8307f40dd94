"""Every public function of evals has a doctest, and every doctest holds."""

import doctest
import importlib
import inspect
import pkgutil

import pytest

import evals

MODULES = [f"evals.{module.name}" for module in pkgutil.iter_modules(evals.__path__) if not module.ispkg]


def test_all_modules_are_found() -> None:
    assert set(MODULES) == {
        f"evals.{name}"
        for name in (
            "alerts",
            "answers",
            "calibration",
            "classification",
            "curves",
            "dynamics",
            "entities",
            "f1",
            "generated",
            "importance",
            "intervals",
            "language",
            "leaders",
            "memory",
            "metrics",
            "multilabel",
            "outcomes",
            "paired",
            "paired_classes",
            "paired_outcomes",
            "paired_sums",
            "profile",
            "ranking",
            "regression",
            "resampling",
            "search",
            "seeds",
            "tags",
            "verdict",
        )
    }


@pytest.mark.parametrize("name", MODULES)
def test_doctests(name: str) -> None:
    module = importlib.import_module(name)
    result = doctest.testmod(module)
    assert result.failed == 0
    public = [
        function
        for function_name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == name and not function_name.startswith("_")
    ]
    assert public
    assert [function.__name__ for function in public if ">>>" not in (function.__doc__ or "")] == []
