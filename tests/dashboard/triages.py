"""Triages of the believable store's data sets: with runs that are there, hostile texts, and what comes of decisions."""

import json
from pathlib import Path

import numpy as np

from dashboard.triage.retraining import TAG
from store import (
    Dataset,
    NewDecision,
    NewRun,
    Run,
    Store,
    Triage,
    get_dataset,
    get_triage,
    make_version,
    open_store,
    read_targets,
    record_decisions,
)
from tests.dashboard import stores
from tests.store.triages import fill_triage, triage_of


def triage_tweets(store: Store, runs: dict[str, Run], *, name: str = "tweets") -> Triage:
    """A triage of a data set of the store, from the two lora runs and the head."""
    dataset = get_dataset(store, name)
    given = read_targets(store, dataset, "train")
    rng = np.random.default_rng(3)
    n_labels = len(dataset.label_names or ())
    truth = np.where(rng.random(len(given)) < 0.1, (given + 1) % n_labels, given)
    triage = triage_of(store, dataset, truth)
    sources = [{"kind": "run", "id": runs[key].id, "name": runs[key].name} for key in ("lora", "lora2", "head")]
    with store.write() as db:  # the maker of made-up triages knows no runs
        db.execute("UPDATE triages SET sources = ? WHERE key = ?", (json.dumps(sources), triage.key))
    return get_triage(store, triage.key)


def decide_some(store: Store, dataset: Dataset, author: str = "ada", *, first: int = 10, n: int = 6) -> None:
    """Relabel, keep and drop training examples in turn."""
    actions = ("relabel", "keep", "drop")
    given = read_targets(store, dataset, "train")
    n_labels = len(dataset.label_names or ())
    record_decisions(
        store,
        dataset,
        [
            NewDecision(
                "train", at, actions[i % 3], label=(int(given[at]) + 1) % n_labels if i % 3 == 0 else None
            )
            for i, at in enumerate(range(first, first + n))
        ],
        author=author,
    )  # fmt: skip


def corrected_and_retrained(store: Store, runs: dict[str, Run], *, skill: float = 2.6) -> tuple[Dataset, Run]:
    """A version of tweets that was made of decisions, and the lora recipe trained on it; that of before has skill 2."""
    dataset = get_dataset(store, "tweets")
    decide_some(store, dataset)
    child = make_version(store, dataset, author="ada")
    new = NewRun(
        name="tweet-lora-fixed", task="text-classification", method="lora", base_model="builtin:minilm",
        dataset_key=child.key, select_metric="validation/macro_f1", tags=(f"{TAG}{runs['lora'].id}",),
    )  # fmt: skip
    return child, stores._train(store, child, new, {}, skill=skill, epochs=3)


def make_triaged_store(path: Path, *, n: int = 300) -> Path:
    """A store with one made-up data set of n training examples and its triage."""
    store = open_store(path)
    fill_triage(store, n)
    store.close()
    return path
