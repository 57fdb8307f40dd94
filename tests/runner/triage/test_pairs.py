"""Triage of pairs: what is judged is how two texts go together, and copies are alike in both."""

import json

import numpy as np

from benchmarks.tiny import CLUES, FILLERS
from runner.triage.rows import read_all
from store import Dataset, NewRow, Store, get_triage, list_findings, read_column, record_dataset
from tests.runner.conftest import Kit
from tests.runner.triage.conftest import call_on

N, N_WRONG = 240, 12
LONG = "the one and then of a very there here two is was"


def pair(query: str, document: str) -> tuple[str, dict[str, str]]:
    return f"{query}\n{document}", {"query": query, "document": document}


def pairs(store: Store) -> tuple[Dataset, np.ndarray]:
    """Relevant (1) is a document with the word of the query; some labels are flipped."""
    rng, words = np.random.default_rng(0), [word for clues in CLUES.values() for word in clues]
    is_wrong = np.zeros(N, dtype=bool)
    is_wrong[rng.choice(N - 2, N_WRONG, replace=False)] = True
    rows = []
    for i in range(N - 2):
        asked, other = rng.choice(words, 2, replace=False)
        is_same = bool(rng.random() < 0.5)
        text, inputs = pair(f"{asked} w{i % 40}", f"{asked if is_same else other} {rng.choice(FILLERS)}")
        rows.append(NewRow("train", text, int(is_same != is_wrong[i]), inputs=inputs))
    for document, label in (("bread", 1), ("goal", 0)):  # one long query: as one text they are nearly the same
        text, inputs = pair(LONG, document)
        rows.append(NewRow("train", text, label, inputs=inputs))
    return record_dataset(store, "pairs", rows, label_names=("0", "1"), source={}, fingerprint="pairs"), is_wrong


def test_pairs_are_judged_by_how_they_go_together(kit: Kit, store: Store) -> None:
    dataset, is_wrong = pairs(store)
    assert [part[-1] for part in read_all(store, dataset).parts] == [LONG, "goal"]
    result = call_on(store.path)("triage", "--dataset", "pairs", "--model", kit.bert, "--json")
    assert result.exit_code == 0, result.output
    triage = get_triage(store, json.loads(result.stdout)["id"])
    voices = set(triage.summary["labels"]["voices"])
    assert {"linear", "neighbours"} <= voices
    assert not voices & {"naive_bayes", "letters"}, "the words of both say little of what they are to each other"
    assert not set(list_findings(store, triage.key, kind="contradiction")["position"]) & {N - 2, N - 1}
    risk = read_column(store, triage.key, "train", "risk")
    assert risk is not None
    assert is_wrong[np.argsort(-risk)[:N_WRONG]].mean() > 2 * is_wrong.mean()
