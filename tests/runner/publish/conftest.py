"""A run that pools as BERT's own classifier does, with a card in its recipe."""

import pytest

from store import open_store
from tests.runner.conftest import Kit, Trained

HOSTILE = (
    "For *tests*.\n\n---\n# heading\n\n| a | b |\n<script>alert(1)</script> [x](javascript:1) `y` ![z](http://h)\n\n- 1"
)


@pytest.fixture(scope="session")
def carded(kit: Kit) -> Trained:
    """Method full on the first token, 1 epoch; name and card are as bad as text can be."""
    store = open_store(kit.folder / "carded.db")
    run = kit.train(
        store,
        name='x: "y" # | *z* <b>',
        model__pooling="cls",
        training__epochs=1,
        data__name="mood",
        card__intended_use=HOSTILE,
        card__limitations="not: a\n...\nmedical device",
        card__licence="For: research # only",
        card__language=["en", "pt-BR"],
    )
    return Trained(store, run)
