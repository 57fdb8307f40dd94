"""Data for sweeps that train nothing."""

import pytest

from store import Dataset, Store
from tests.runner.sweep.engines import make_dataset


@pytest.fixture
def dataset(store: Store) -> Dataset:
    return make_dataset(store)
