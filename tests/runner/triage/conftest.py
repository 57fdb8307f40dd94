"""A data set with known faults, and a triage of it that many tests read."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import runner.cli
from benchmarks.tiny import rows
from store import Store, open_store
from tests.runner.conftest import Kit
from tests.runner.data.recipes import write_csv

N_TRAIN = 150


@dataclass(frozen=True)
class Faulty:
    """Files of a data set, and which of its training labels are wrong."""

    csvs: dict[str, Path]
    is_wrong: np.ndarray


@pytest.fixture(scope="session")
def faulty(folder: Path) -> Faulty:
    """150 training texts of three classes: 12 wrong labels, a copy, a leak, an address; metadata in a column."""
    every = rows(230, seed=11)
    rng = np.random.default_rng(5)
    labels = sorted({label for _, label in every})
    is_wrong = np.zeros(N_TRAIN, dtype=bool)
    is_wrong[rng.choice(np.arange(10, N_TRAIN), 12, replace=False)] = True
    train = [
        (text, labels[(labels.index(label) + 1) % 3] if wrong else label, "web" if i % 3 else "mail")
        for i, ((text, label), wrong) in enumerate(zip(every[:N_TRAIN], is_wrong, strict=True))
    ]
    held = {"validation": every[N_TRAIN:190], "test": every[190:]}
    train[1] = (train[0][0], train[0][1], "web")
    train[2] = (held["test"][0][0], held["test"][0][1], "web")
    train[3] = (f"{train[3][0]} anna@posteo.de", *train[3][1:])
    header = ("text", "label", "source")
    csvs = {"train": write_csv(folder / "faulty-train.csv", train, header)}
    for split, part in held.items():
        csvs[split] = write_csv(folder / f"faulty-{split}.csv", [(*row, "web") for row in part], header)
    return Faulty(csvs, is_wrong)


Call = Callable[..., Result]


def call_on(path: Path) -> Call:
    def call(*arguments: str | Path) -> Result:
        return CliRunner().invoke(runner.cli.cli, [*map(str, arguments), "--store", str(path), "--quiet"])

    return call


@pytest.fixture
def call(store: Store) -> Call:
    """The command line in this process, on the test's store."""
    return call_on(store.path)


def overrides(faulty: Faulty, **more: object) -> dict[str, object]:
    return {
        "model__method": "full",
        "training__epochs": 10,
        "training__learning_rate": 1e-2,
        "data__source": {split: str(path) for split, path in faulty.csvs.items()},
        "data__name": "faulty",
        "data__metadata": ["source"],
        **more,
    }


@dataclass(frozen=True)
class Triaged:
    """A store in which `runner triage` has looked at one run; `said` is its JSON."""

    store: Store
    run_id: str
    said: dict[str, object]


@pytest.fixture(scope="session")
def triaged(kit: Kit, faulty: Faulty, folder: Path) -> Triaged:
    store = open_store(folder / "triaged.db")
    run = kit.train(store, **overrides(faulty))
    result = call_on(store.path)("triage", run.id, "--json")
    assert result.exit_code == 0, result.output
    return Triaged(store, run.id, json.loads(result.stdout))
