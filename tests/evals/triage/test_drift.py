import numpy as np
import pytest
from scipy import stats

from evals.triage.drift import (
    COLUMNS,
    LEAST_EXAMPLES,
    drift_table,
    label_distance,
    number_distance,
    split_drift,
    told_apart,
)


def test_what_chance_gives_is_taken_off() -> None:
    rng = np.random.default_rng(0)
    names = [f"c{c}" for c in range(30)]
    labels, numbers, p = [], [], []
    for _ in range(300):
        found = label_distance(rng.integers(0, 30, 200), rng.integers(0, 30, 300), names)
        labels.append(found.distance)
        p.append(found.p)
        numbers.append(number_distance(rng.normal(size=200), rng.normal(size=300)).distance)
    assert np.mean(labels) < 0.02
    assert np.mean(numbers) < 0.02
    assert stats.kstest(p, "uniform").pvalue > 0.001


def test_label_distance_is_the_share_that_would_have_to_change() -> None:
    n = 100_000
    found = label_distance(
        np.repeat([0, 1, 2], [n // 2, n // 2, 0]), np.repeat([0, 2], [n // 2, n // 2]), ["a", "b", "c"]
    )
    assert found.distance == pytest.approx(0.5, abs=0.005)
    assert sorted(found.detail) == ["b 50 % → 0 %", "c 0 % → 50 %"]
    same = label_distance(np.repeat([0, 1], 50), np.repeat([0, 1, -1], [50, 50, 9]), ["a", "b"])
    assert (same.distance, same.p, same.detail) == (0, 1, [])


def test_number_distance_is_that_of_kolmogorov_and_smirnov() -> None:
    a, b = np.arange(1000.0), np.append(np.arange(1000.0) + 300, np.nan)
    by_chance = 0.8687 * np.sqrt(2000 / 1e6)
    assert number_distance(a, b).distance == pytest.approx(0.3 - by_chance)


def test_a_classifier_tells_apart_what_differs_only() -> None:
    rng = np.random.default_rng(1)
    is_b = np.arange(400) < 150
    p = [told_apart(rng.normal(size=(400, 5)), is_b, seed=seed).p for seed in range(60)]
    assert np.mean(np.array(p) < 0.05) < 0.2
    shifted = rng.normal(size=(400, 5)) + 0.7 * is_b[:, None] * np.eye(5)[0]
    found = told_apart(shifted, is_b)
    expected = 2 * stats.norm.cdf(0.7 / np.sqrt(2)) - 1  # of the best classifier
    assert found.distance == pytest.approx(expected, abs=0.1)
    assert found.p < 1e-4


def planted() -> tuple[np.ndarray, np.ndarray, list[str | None], np.ndarray]:
    rng = np.random.default_rng(2)
    splits = np.repeat(["train", "validation", "test"], [300, 100, 100])
    labels = rng.integers(0, 3, 500)
    words = [f"word{at}" for at in range(50)]
    texts: list[str | None] = [" ".join(rng.choice(words, 8)) for _ in range(500)]
    embeddings = rng.normal(size=(500, 6))
    labels[400:] = np.where(rng.random(100) < 0.7, 2, labels[400:])
    texts[400:] = [f"passport {text}" for text in texts[400:]]
    embeddings[400:, 0] += 3
    return splits, labels, texts, embeddings


def test_the_planted_drift_is_named() -> None:
    splits, labels, texts, embeddings = planted()
    names = ["a", "b", "c"]
    found = split_drift(splits, labels=labels, label_names=names, texts=texts, embeddings=embeddings)
    assert {group.name for group in found.groups} == {
        f"{what}: test against train" for what in ("labels", "length", "words", "meaning")
    }
    groups = {group.name.partition(":")[0]: group for group in found.groups}
    assert groups["words"].evidence["detail"][0].startswith("more: passport")  # type: ignore[index]  # a list
    assert groups["labels"].evidence["detail"][0].startswith("c ")  # type: ignore[index]  # a list
    assert groups["words"].rows.tolist() == list(range(400, 500))
    assert groups["words"].risk > 0.9
    table = drift_table(splits, labels=labels, label_names=names, texts=texts, embeddings=embeddings)
    assert list(table.columns) == list(COLUMNS)
    assert len(table) == 8
    assert (table[table["split"] == "validation"]["p_holm"] > 0.05).all()
    assert table[table["split"] == "test"]["n"].tolist() == [100] * 4
    assert set(table["n_against"]) == {300}


def test_without_a_training_split_the_largest_stands_for_it() -> None:
    splits = np.repeat(["a", "b"], [30, 40])
    table = drift_table(splits, labels=np.zeros(70, dtype=np.int64), label_names=["x"])
    assert table[["split", "against"]].values.tolist() == [["a", "b"]]


@pytest.mark.parametrize("splits", [[], ["train"], ["train"] * 50, ["train", "test"], ["train"] * 50 + ["test"] * 3])
def test_too_little_says_nothing(splits: list[str]) -> None:
    n = len(splits)
    given = np.array(splits, dtype=object)
    found = split_drift(
        given, labels=np.full(n, -1), label_names=["a"], texts=[None] * n, embeddings=np.full((n, 2), np.nan)
    )
    assert found.groups == ()
    assert len(found.risk) == n
    assert np.isnan(told_apart(np.zeros((n, 1)), np.arange(n) < min(n, LEAST_EXAMPLES - 1)).distance)


def test_texts_without_common_words_say_nothing() -> None:
    splits = np.repeat(["train", "test"], 25)
    table = drift_table(splits, texts=[f"unique{row}" for row in range(50)])
    assert np.isnan(table.set_index("what").loc["words", "distance"])
