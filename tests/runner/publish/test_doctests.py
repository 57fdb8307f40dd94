"""The examples in the docstrings hold."""

import doctest

import pytest

from runner.publish import card, markdown, metadata, plan


@pytest.mark.parametrize("module", [card, markdown, metadata, plan])
def test_examples_of_the_docstrings(module: object) -> None:
    result = doctest.testmod(module)  # type: ignore[arg-type]  # parametrised modules are objects to mypy
    assert result.attempted > 0
    assert result.failed == 0
