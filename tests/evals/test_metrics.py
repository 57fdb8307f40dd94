import re
from pathlib import Path

import numpy as np
import pytest

from evals import classification
from evals.answers import score_answers
from evals.entities import score_entities
from evals.generated import score_generated
from evals.language import score_language
from evals.metrics import METRICS, TASKS, Score, find_metric, metrics_of
from evals.multilabel import score_multilabel
from evals.ranking import score_ranking
from evals.regression import score_regression

LABELS = np.array([0, 1, 1, 0])
PROBS = np.array([[0.9, 0.1], [0.4, 0.6], [0.7, 0.3], [0.8, 0.2]])
NUMBERS = np.array([1.0, 2.0, 4.0, 3.0])
NATS, COUNTS = np.array([3.0, 5.0]), np.array([2, 4])
TEXTS, REFERENCES = ["a cat sat here", "so it goes"], [["a cat sat"], ["so it went"]]
SCORES: dict[str, tuple[Score, ...]] = {
    "text-classification": classification.score_classification(LABELS, np.log(PROBS)),
    "token-classification": score_entities([["B-X", "O"], ["O"]], [["B-X", "O"], ["B-X"]]),
    "multi-label-classification": score_multilabel(np.array([[1, 0], [1, 1], [0, 1], [0, 0]]), PROBS),
    "regression": score_regression(NUMBERS, NUMBERS[::-1]),
    "rerank": score_ranking(np.array([0, 0, 1, 1]), LABELS, NUMBERS),
    "causal-lm": score_language(NATS, COUNTS, COUNTS * 4),
    "seq2seq": (
        *score_language(NATS, COUNTS, COUNTS * 4),
        *score_answers(TEXTS, REFERENCES),
        *score_generated(TEXTS, REFERENCES),
    ),
    "extractive-qa": score_answers(TEXTS, REFERENCES),
}
SCORES |= {"pair-classification": SCORES["text-classification"], "masked-lm": score_language(NATS, COUNTS)}
SCORES |= {"instruction": SCORES["seq2seq"]}


def test_every_task_is_measured_here() -> None:
    assert set(SCORES) == set(TASKS)


@pytest.mark.parametrize("task", TASKS)
def test_a_task_is_measured_by_its_metrics(task: str) -> None:
    given = {score.metric for score in SCORES[task]}
    # the loss of some tasks is no sum of what is predicted, so it comes from `evals.language.score_loss`
    assert given | {"loss"} == set(TASKS[task]) | {"loss"}
    for score in SCORES[task]:
        metric = find_metric(score.metric)
        assert metric is not None
        low, high = metric.range
        known = np.array([score.value, score.low, score.high])
        known = known[~np.isnan(known)]
        assert len(known)
        assert (low <= known).all()
        assert (known <= high).all()


def test_every_row_is_measured_by_some_task() -> None:
    named = {name.partition("@")[0] for names in TASKS.values() for name in names}
    assert named == set(METRICS)
    assert all(name == metric.name and metric.title and metric.unit for name, metric in METRICS.items())


def test_classification_is_a_part_of_the_table() -> None:
    assert tuple(classification.METRICS) == TASKS["text-classification"]
    assert metrics_of("text-classification") == classification.METRICS
    assert all(METRICS[name] is metric for name, metric in classification.METRICS.items())


def test_titles_inside_a_sentence() -> None:
    inside = {name: metric.title_inside for name, metric in METRICS.items()}
    small = {name for name, title in inside.items() if title[0].islower()}
    assert set(METRICS) - small == {"r2", "rouge1", "rouge2", "rougeL", "bleu"}
    assert (inside["macro_f1"], inside["ndcg"], inside["bleu"], inside["chrf"]) == ("macro F1", "nDCG", "BLEU", "chrF")


@pytest.mark.parametrize("name", ["ndcg@0", "ndcg@", "ndcg@ten", "loss@3", "bleu@4", "nothing", "", "validation/"])
def test_names_that_are_no_metric(name: str) -> None:
    assert find_metric(name) is None


def test_the_page_of_metrics_says_what_the_table_says() -> None:
    page = (Path(__file__).parents[2] / "docs/metrics.md").read_text()
    rows = [re.split(r" \| ", line.strip("| ")) for line in page.splitlines() if line.startswith("| `")]
    said = {row[0].strip("`"): tuple(row[1:5]) for row in rows}
    ends = {np.inf: "∞", -np.inf: "−∞", -1.0: "−1"}
    table = {
        name: (
            metric.title,
            metric.unit,
            "higher" if metric.higher_is_better else "lower",
            " to ".join(ends.get(end, f"{end:g}") for end in metric.range),
        )
        for name, metric in METRICS.items()
    }
    assert said == table
    assert list(said) == list(table)
