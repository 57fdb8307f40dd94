import numpy as np
import numpy.typing as npt
import pytest

from evals.triage.coverage import FAR, LEAST_SHARE, outliers, sparse_regions, train_neighbours

Floats = npt.NDArray[np.float64]


def cloud(rng: np.random.Generator, centre: int, n: int, *, d: int = 12, spread: float = 0.15) -> Floats:
    points = rng.normal(0, spread, (n, d))
    points[:, centre] += 1
    return points


def test_neighbours_are_training_rows_and_never_the_row_itself() -> None:
    rng = np.random.default_rng(0)
    embeddings, is_train = rng.normal(size=(60, 5)), rng.random(60) < 0.6
    found = train_neighbours(embeddings, is_train, 4)
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, -np.inf)
    cosine[:, ~is_train] = -np.inf
    np.testing.assert_array_equal(found.rows, np.argsort(-cosine, axis=1)[:, :4])
    np.testing.assert_allclose(found.similarity, -np.sort(-cosine, axis=1)[:, :4], atol=1e-6)


def test_risk_is_the_percentile_of_the_training_distances() -> None:
    rng = np.random.default_rng(1)
    embeddings, is_train = rng.normal(size=(300, 8)), np.arange(300) < 200
    neighbours = train_neighbours(embeddings, is_train, 5)
    found = outliers(neighbours, is_train)
    distance = 1 - neighbours.similarity[:, 4].astype(float)
    of_train = distance[:200]
    expected = [(of_train < each).mean() + (of_train == each).mean() / 2 for each in distance]
    assert found.risk.tolist() == pytest.approx(expected)
    assert (found.risk[:200] > FAR).mean() == pytest.approx(1 - FAR, abs=0.011)
    assert found.evidence["times"].tolist() == pytest.approx((distance / np.median(of_train)).tolist())
    assert (found.evidence["nearest"] == neighbours.rows[:, 0]).all()


def test_a_planted_stranger_is_the_first_to_look_at() -> None:
    rng = np.random.default_rng(2)
    embeddings = np.vstack([cloud(rng, 0, 300), cloud(rng, 1, 300), cloud(rng, 5, 1)])
    found = outliers(train_neighbours(embeddings, np.ones(601, dtype=bool)), np.ones(601, dtype=bool))
    assert int(found.risk.argmax()) == 600
    assert found.evidence["times"][600] > 3


def test_copies_tie_and_the_unknown_stays_unknown() -> None:
    embeddings = np.tile([1.0, 2.0], (20, 1))
    found = outliers(train_neighbours(embeddings, np.ones(20, dtype=bool), 3), np.ones(20, dtype=bool))
    assert found.risk.tolist() == pytest.approx([0.5] * 20)
    embeddings[3] = np.nan
    is_train = np.arange(20) < 10
    found = outliers(train_neighbours(embeddings, is_train, 3), is_train)
    assert np.isnan(found.risk).tolist() == [row == 3 for row in range(20)]


@pytest.mark.parametrize(("n", "n_train"), [(0, 0), (1, 1), (2, 1), (3, 3), (5, 0)])
def test_few_rows_are_no_error(n: int, n_train: int) -> None:
    embeddings, is_train = np.eye(max(n, 1))[:n], np.arange(n) < n_train
    neighbours = train_neighbours(embeddings, is_train)
    found = outliers(neighbours, is_train)
    assert len(found.risk) == n
    assert np.isnan(found.risk).all() == (n_train < 2)
    assert sparse_regions(embeddings, ["a text"] * n, is_train, neighbours).groups == ()


def test_a_region_without_training_examples_is_named() -> None:
    rng = np.random.default_rng(3)
    clouds = [cloud(rng, centre, 150) for centre in range(4)]
    words = ["refund shop", "card delivery", "transfer fee", "passport abroad"]
    embeddings = np.vstack(clouds)
    texts: list[str | None] = [f"how about my {words[row // 150]} please" for row in range(600)]
    is_train = rng.random(600) < 0.7
    is_train[450:] = rng.random(150) < 0.02
    found = sparse_regions(embeddings, texts, is_train, train_neighbours(embeddings, is_train), n_regions=4)
    (group,) = found.groups
    assert set(group.name.split(", ")) >= {"passport", "abroad"}
    assert set(group.rows.tolist()) == {row for row in range(450, 600) if not is_train[row]}
    evidence = {name: float(value) for name, value in group.evidence.items() if not isinstance(value, list)}
    assert evidence["n"] == len(group.rows)
    assert evidence["share"] > 0.9 > LEAST_SHARE
    assert evidence["low"] == group.risk <= evidence["share"] <= evidence["high"]
    assert evidence["n_train"] <= 10 < 50 < evidence["n_train_usual"]
    assert np.isnan(found.risk).all()


def test_the_same_distribution_has_no_sparse_region() -> None:
    rng = np.random.default_rng(4)
    named = 0
    for _ in range(5):
        embeddings, is_train = cloud(rng, 0, 400, spread=0.3), rng.random(400) < 0.7
        found = sparse_regions(embeddings, ["a text"] * 400, is_train, train_neighbours(embeddings, is_train))
        named += len(found.groups)
    assert named == 0
