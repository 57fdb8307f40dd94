"""The tree explains itself: a package's docstring names each of its files."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Whose files are called like what a person sees: commands, pages, and the sections of a page.
NAMED_BY_THEMSELVES = {"runner/commands", "dashboard/views", "dashboard/tabs"}
PACKAGES = sorted(
    str(file.parent.relative_to(ROOT))
    for root in ("store", "evals", "runner", "dashboard")
    for file in (ROOT / root).rglob("__init__.py")
)


def test_there_are_packages() -> None:
    assert len(PACKAGES) >= 12
    assert set(PACKAGES) >= NAMED_BY_THEMSELVES


@pytest.mark.parametrize("package", sorted(set(PACKAGES) - NAMED_BY_THEMSELVES))
def test_a_package_names_its_files(package: str) -> None:
    said = ast.get_docstring(ast.parse((ROOT / package / "__init__.py").read_text())) or ""
    files = {path.stem for path in (ROOT / package).glob("*.py")} - {"__init__", "__main__"}
    assert len(files) >= 4
    # an entry begins a line or a column: at least two spaces stand before it
    named = set(re.findall(r"(?:^|  |^- )`?([a-z_]\w*)`?(?= |$)", said, re.MULTILINE))
    assert sorted(files - named) == []
