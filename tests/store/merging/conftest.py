from collections.abc import Iterator
from pathlib import Path

import pytest

from store import Store, open_store


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Store]:
    (tmp_path / "elsewhere").mkdir()
    opened = open_store(tmp_path / "elsewhere" / "other.db")
    yield opened
    opened.close()
