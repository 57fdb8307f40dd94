"""Answers put in order for questions: a small cross-encoder beside what needs no training.

    TRUTHFULQA=data/truthfulqa python -m benchmarks.rerank

The variable names the folder with TruthfulQA.csv (Lin et al., arXiv:2109.07958): to each question true and false
answers, all of them about it. So words in common say little; what can be learnt is how true answers differ from popular
ones, their form included. Questions are split 60/10/30; nothing is chosen on the test split.
"""

import csv
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

from benchmarks.measure import Figure, Report, against, arguments, finish
from benchmarks.training import finished
from evals.metrics import Score
from evals.ranking import score_ranking
from runner.encoding import encode_texts
from runner.experiment import prepare
from runner.inference import embed_split
from runner.progress import make_progress
from runner.quiet import quiet_libraries
from runner.recipe import LoadedRecipe, parse_recipe
from runner.train import train
from store import Store, get_cost, iter_inputs, list_scores, open_store, read_queries, read_values

METRICS = ("ndcg@10", "mrr@10")
K1, B = 1.2, 0.75

Numbers = NDArray[np.float64]
Pairs = list[tuple[str, str]]


def measure(folder: Path, *, n_questions: int | None, epochs: int, is_small: bool = False) -> Report:
    """Every way of ordering, in a store below `folder`; `n_questions`, None = all."""
    title, size = "Answers put in order for questions", "TruthfulQA, MiniLM of six layers, one seed, test questions"
    if "TRUTHFULQA" not in os.environ:
        return Report(title, size, [Figure("cross-encoder", [], "", note="set TRUTHFULQA to the data's folder")])
    rows = _rows(Path(os.environ["TRUTHFULQA"]) / "TruthfulQA.csv", n_questions)
    (folder / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    store = open_store(folder / "rerank.db")
    loaded = _recipe(folder, epochs)
    run = finished(train(loaded, store, make_progress("quiet")))
    found = _untrained(loaded, store)
    scores = list_scores(store, [run.key])
    test = scores[scores["split"] == "test"]
    for name, part in (
        ("cross-encoder, untrained", test[test["step"] == 0]),
        ("cross-encoder", test[test["is_best"] == 1]),
    ):
        by_metric = part.set_index("metric")
        found[name] = tuple(Score(metric, *by_metric.loc[metric, ["value", "low", "high", "n"]]) for metric in METRICS)
    figures = []
    for place, metric in enumerate(METRICS):
        chance: Figure | None = None
        for name, of in found.items():
            score = of[place]
            note = f"{score.low:.3f} to {score.high:.3f}, n = {int(score.n)}"
            if name == "cross-encoder":
                note += f", {get_cost(store, run.key).wall_seconds or 0.0:,.0f} s"
            base = against(chance) if chance else None
            figures.append(Figure(f"{name}: {metric}", [score.value], "", baseline=base, note=note))
            chance = chance or figures[-1]
    store.close()
    return Report(title, size, figures, is_small=is_small)


def _rows(path: Path, n_questions: int | None) -> list[dict[str, object]]:
    with path.open(encoding="utf-8", newline="") as file:
        asked = list(csv.DictReader(file))[:n_questions]
    return [
        {"query": row["Question"], "document": answer.strip(), "relevance": relevance}
        for row in asked
        for column, relevance in (("Correct Answers", 1), ("Incorrect Answers", 0))
        for answer in row[column].split(";")
        if answer.strip()
    ]


def _recipe(folder: Path, epochs: int) -> LoadedRecipe:
    text = f"""
name = "truthfulqa-rerank"
task = "rerank"
[model]
base = "builtin:minilm"
max_length = 96
[data]
source = "answers.jsonl"
split = {{ validation = 0.1, test = 0.3 }}
[training]
epochs = {epochs}
batch_size = 32
learning_rate = 1e-4
"""
    return parse_recipe(text, folder=folder)


def _untrained(loaded: LoadedRecipe, store: Store) -> dict[str, tuple[Score, ...]]:
    """Name → scores of what needs no training: chance (all the same), length, BM25, tf-idf, vectors of sentences."""
    experiment = prepare(loaded, store, make_progress("quiet"))
    dataset, tokenizer = experiment.data.dataset, experiment.backbone.tokenizer
    documents = [
        row["document"] for split in dataset.n_rows for some in iter_inputs(store, dataset, split) for row in some
    ]
    pairs = [(row["query"], row["document"]) for some in iter_inputs(store, dataset, "test") for row in some]

    def vectors(texts: list[str]) -> Numbers:
        encoded = encode_texts([(text,) for text in texts], tokenizer, 96)
        found = embed_split(experiment.model, encoded, tokenizer.pad_token_id, 64).mean.numpy().astype(np.float64)
        return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True))

    queries, answers = ([pair[side] for pair in pairs] for side in (0, 1))
    tf_idf = TfidfVectorizer(sublinear_tf=True).fit(documents)
    ways: Mapping[str, Numbers] = {
        "chance": np.zeros(len(pairs)),
        "longest first": np.array([len(answer) for answer in answers], dtype=np.float64),
        "BM25": bm25(documents, pairs),
        "tf-idf": np.asarray(tf_idf.transform(queries).multiply(tf_idf.transform(answers)).sum(axis=1)).ravel(),
        "vectors of sentences": np.einsum("nd,nd->n", vectors(queries), vectors(answers)),
    }
    number = np.unique(read_queries(store, dataset, "test"), return_inverse=True)[1]
    relevance = np.array(read_values(store, dataset, "test"))
    return {name: score_ranking(number, relevance, said, names=METRICS) for name, said in ways.items()}


def bm25(documents: list[str], pairs: Pairs) -> Numbers:
    """Okapi BM25 of each (query, document) (n,), document frequencies and the mean length from `documents`.

    Source: Robertson & Zaragoza, The Probabilistic Relevance Framework: BM25 and Beyond, 2009.

    >>> bm25(["a red cat", "a dog", "the bird"], [("red cat", "a red cat"), ("red cat", "a dog")]).round(2).tolist()
    [1.76, 0.0]
    """
    counter = CountVectorizer(token_pattern=r"(?u)\w+").fit(documents)
    counts = counter.transform(documents)
    n, frequency = len(documents), np.asarray((counts > 0).sum(axis=0)).ravel()
    weight = np.log(1 + (n - frequency + 0.5) / (frequency + 0.5))
    asked = counter.transform([query for query, _ in pairs]).tocsr()
    said = counter.transform([document for _, document in pairs]).tocsr()
    lengths = np.asarray(said.sum(axis=1)).ravel()
    room = K1 * (1 - B + B * lengths / (counts.sum() / n))
    scores = np.zeros(len(pairs))
    for row in range(len(pairs)):
        words = asked[row].indices
        times = np.asarray(said[row, words].todense(), dtype=np.float64).ravel()
        scores[row] = float((weight[words] * times * (K1 + 1) / (times + room[row])).sum())
    return scores


def main() -> None:
    options = arguments(__doc__).parse_args()
    quiet_libraries()
    with tempfile.TemporaryDirectory() as folder:
        n_questions, epochs = (60, 1) if options.small else (None, 2)
        finish(measure(Path(folder), n_questions=n_questions, epochs=epochs, is_small=options.small))


if __name__ == "__main__":
    main()
