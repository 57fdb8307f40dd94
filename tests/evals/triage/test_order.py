import numpy as np
import pytest
from scipy import stats

from evals.triage.coverage import train_neighbours
from evals.triage.neighbours import Neighbours
from evals.triage.order import (
    COLUMNS,
    association,
    label_runs,
    label_trend,
    neighbour_places,
    number_runs,
    order_effects,
    order_table,
)


def test_runs_have_the_mean_and_variance_of_all_orders() -> None:
    """The z-score behind p, by shuffling; the effect is 0 on average."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [30, 50, 20])
    p = []
    for _ in range(2000):
        rng.shuffle(labels)
        p.append(label_runs(labels).p)
    assert stats.kstest(p, "uniform").statistic < 0.06, "p is uniform where nothing is wrong, but for its steps"
    z = stats.norm.ppf(p)
    assert z.mean() == pytest.approx(0, abs=0.08)
    assert z.std() == pytest.approx(1, abs=0.06)


def test_sorted_labels_are_effect_1_and_alternating_ones_0() -> None:
    assert label_runs(np.repeat([0, 1, 2], 20)).effect == 1
    assert label_runs(np.repeat([0, 1, 2], 20)).p < 1e-10
    assert label_runs(np.tile([0, 1, 2], 20)).effect == 0
    assert label_runs(np.tile([0, -1, 1, -1], 40)).effect == 0, "examples without a label are left out"


def test_association_is_cramers_v_without_its_bias() -> None:
    assert association(np.array([[30.0, 0, 0], [0, 30, 0], [0, 0, 30]])).effect == pytest.approx(1)
    counts = np.array([[20.0, 30.0], [30.0, 20.0]])
    phi2 = stats.chi2_contingency(counts, correction=False).statistic / 100 - 1 / 99
    assert association(counts).effect == pytest.approx(np.sqrt(phi2 / (2 - 1 / 99 - 1)))
    assert association(np.full((2, 2), 25.0)).effect == 0
    assert np.isnan(association(np.array([[1.0, 2.0]])).effect)
    assert np.isnan(association(np.zeros((2, 2))).effect)


def test_a_trend_of_the_labels_is_found() -> None:
    rng = np.random.default_rng(1)
    drifting = (rng.random(2000) < np.linspace(0.2, 0.8, 2000)).astype(int)
    assert label_trend(drifting).effect > 0.25
    assert label_trend(drifting).p < 1e-10
    p = [label_trend(rng.integers(0, 3, 300)).p for _ in range(200)]
    assert np.mean(np.array(p) < 0.05) < 0.1


def test_numbers_that_follow_each_other_are_found() -> None:
    rng = np.random.default_rng(2)
    walk = np.cumsum(rng.normal(size=500))
    assert number_runs(walk).effect > 0.9
    shuffled = rng.permutation(walk)
    assert number_runs(shuffled).effect < 0.15
    p = [number_runs(rng.normal(size=100)).p for _ in range(1000)]
    assert stats.kstest(p, "uniform").statistic < 0.06
    walk[::7] = np.nan
    assert number_runs(walk).n == np.isfinite(walk).sum()


def test_likeness_of_neighbouring_examples_is_found() -> None:
    rng = np.random.default_rng(3)
    topics = np.repeat(np.arange(20), 15)
    embeddings = np.eye(20)[topics] + rng.normal(0, 0.1, (300, 20))
    ordered = neighbour_places(train_neighbours(embeddings, np.ones(300, dtype=bool), 5), 300)
    assert ordered.effect > 0.8
    assert ordered.p == 1 / 400
    mixed = rng.permutation(300)
    found = neighbour_places(train_neighbours(embeddings[mixed], np.ones(300, dtype=bool), 5), 300)
    assert found.effect < 0.1
    assert found.p > 0.01


def test_the_share_within_a_distance_by_chance() -> None:
    """All pairs of a file are as far apart as random pairs: the effect is 0."""
    n = 40
    rows = np.array([[j for j in range(n) if j != i] for i in range(n)])
    assert neighbour_places(Neighbours(rows, np.ones(rows.shape, np.float32)), n).effect == pytest.approx(0, abs=1e-12)


def test_only_what_is_ordered_is_named() -> None:
    rng = np.random.default_rng(4)
    n = 600
    splits = np.repeat(["train", "test"], 300)
    labels = np.concatenate([np.sort(rng.integers(0, 3, 300)), rng.integers(0, 3, 300)])
    texts: list[str | None] = ["x" * int(size) for size in rng.integers(1, 50, n)]
    topics = rng.integers(0, 20, n)
    neighbours = train_neighbours(np.eye(20)[topics] + rng.normal(0, 0.1, (n, 20)), splits == "train")
    found = order_effects(texts, splits=splits, labels=labels, neighbours=neighbours)
    assert [group.name for group in found.groups] == [
        "labels side by side in train",
        "labels through the file in train",
    ]
    assert all(group.risk == group.evidence["effect"] > 0.9 and not len(group.rows) for group in found.groups)
    lengths = np.array([len(text or "") for text in texts], dtype=np.float64)
    table = order_table(n, splits=splits, labels=labels, lengths=lengths, neighbours=neighbours)
    assert list(table.columns) == list(COLUMNS)
    assert sorted(zip(table["split"], table["what"], strict=True)) == [
        ("test", "labels side by side"), ("test", "labels through the file"), ("test", "length"),
        ("train", "labels side by side"), ("train", "labels through the file"), ("train", "length"),
        ("train", "meaning"),
    ]  # fmt: skip


@pytest.mark.parametrize("n", [0, 1, 2, 29])
def test_few_examples_say_nothing(n: int) -> None:
    neighbours = train_neighbours(np.ones((n, 2)), np.ones(n, dtype=bool))
    found = order_effects(["a"] * n, labels=np.arange(n) % 2, neighbours=neighbours)
    assert (found.groups, len(found.risk)) == ((), n)
    one_class = order_table(100, labels=np.zeros(100, dtype=np.int64), lengths=np.ones(100))
    assert np.isnan(one_class["effect"]).all()
    assert order_table(n)["p_holm"].tolist() == []
