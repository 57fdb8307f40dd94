"""Two LoRA runs and two full fine-tunes of one base, that differ in their seed."""

from dataclasses import dataclass

import pytest

from store import Run, Store, open_store
from tests.runner.conftest import Kit


@dataclass(frozen=True)
class Family:
    store: Store
    lora: tuple[Run, Run]
    full: tuple[Run, Run]


@pytest.fixture(scope="session")
def family(kit: Kit) -> Family:
    store = open_store(kit.folder / "family.db")

    def train(method: str, seed: int) -> Run:
        return kit.train(
            store, model__method=method, name=f"{method}-{seed}", training__seed=seed, recording__embeddings=False
        )

    return Family(store, (train("lora", 0), train("lora", 1)), (train("full", 0), train("full", 1)))
