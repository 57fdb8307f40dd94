import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.triage import minhash
from evals.triage.minhash import HASHES, ROWS, SHINGLE, jaccard, near_pairs, shingles, signatures


def naive_shingles(text: str) -> set[str]:
    if not text:
        return set()
    return {text[at : at + SHINGLE] for at in range(max(1, len(text) - SHINGLE + 1))}


def naive_jaccard(a: str, b: str) -> float:
    left, right = naive_shingles(a), naive_shingles(b)
    return len(left & right) / len(left | right) if left | right else np.nan


TEXTS = st.lists(st.text(alphabet="abc é🙂\ud800", max_size=20), min_size=2, max_size=12)


@given(TEXTS)
def test_jaccard_is_that_of_sets(texts: list[str]) -> None:
    left, right = np.array([(i, j) for i in range(len(texts)) for j in range(i)]).T
    expected = [naive_jaccard(texts[i], texts[j]) for i, j in zip(left, right, strict=True)]
    assert jaccard(texts, left, right).tolist() == pytest.approx(expected, nan_ok=True)


@given(TEXTS)
def test_equal_runs_have_equal_hashes_wherever_they_stand(texts: list[str]) -> None:
    hashes, sizes = shingles(texts)
    runs = [t[at : at + SHINGLE] for t in texts if t for at in range(max(1, len(t) - SHINGLE + 1))]
    assert int(sizes.sum()) == len(hashes) == len(runs)
    seen: dict[str, int] = {}
    assert all(seen.setdefault(run, word) == word for run, word in zip(runs, hashes.tolist(), strict=True))
    assert len(set(seen.values())) == len(seen), "different runs should differ (32 bits, a few dozen runs)"


def words(rng: np.random.Generator, n: int) -> list[str]:
    return ["".join(rng.choice(list("abcdefghijklmnopqrst"), rng.integers(2, 9))) for _ in range(n)]


def test_signatures_agree_as_often_as_the_sets_do() -> None:
    rng = np.random.default_rng(0)
    vocabulary = words(rng, 500)
    a = [" ".join(rng.choice(vocabulary, 20)) for _ in range(300)]
    b = [" ".join([*text.split()[:14], *rng.choice(vocabulary, 6)]) for text in a]
    signature = signatures([*a, *b])
    estimate = (signature[:300] == signature[300:]).mean(axis=1)
    true = jaccard([*a, *b], np.arange(300), np.arange(300, 600))
    assert 0.3 < true.mean() < 0.7
    assert (estimate - true).mean() == pytest.approx(0, abs=0.02), "unbiased: standard error 0.0036"
    spread = np.sqrt((true * (1 - true)).mean() / HASHES)
    assert (estimate - true).std() == pytest.approx(spread, rel=0.25)


def test_near_pairs_are_those_of_all_pairs() -> None:
    rng = np.random.default_rng(1)
    vocabulary = words(rng, 400)
    texts = [" ".join(rng.choice(vocabulary, 12)) for _ in range(120)]
    for row in range(60):
        changed = texts[row].split()
        changed[int(rng.integers(12))] = str(rng.choice(vocabulary))
        texts.append(" ".join(changed))
    every = {(i, j): naive_jaccard(texts[i], texts[j]) for j in range(180) for i in range(j)}
    expected = {pair for pair, similarity in every.items() if similarity >= 0.7}
    found = near_pairs(texts, least=0.7)
    pairs = set(zip(found.left.tolist(), found.right.tolist(), strict=True))
    assert len(expected) > 20
    assert pairs <= expected
    assert len(pairs) >= 0.95 * len(expected), f"each is found with probability {1 - (1 - 0.7**ROWS) ** 16:.3f} or more"
    assert found.similarity.tolist() == pytest.approx(
        [every[pair] for pair in zip(found.left, found.right, strict=True)]
    )


def test_a_crowd_is_connected_without_all_its_pairs() -> None:
    crowd = [f"your order number {row} has been shipped to you today and will arrive soon" for row in range(1000, 1400)]
    found = near_pairs(crowd, least=0.7)
    assert set(found.left) | set(found.right) == set(range(400))
    assert len(found.left) < 400 * 30


@pytest.mark.parametrize("texts", [[], [""], ["", ""], ["a"], ["a", ""]])
def test_little_or_no_text_is_in_no_pair(texts: list[str]) -> None:
    assert [len(each) for each in near_pairs(texts)] == [0, 0, 0]
    assert signatures(texts).shape == (len(texts), HASHES)


def test_parts_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    vocabulary = words(rng, 50)
    texts = [" ".join(rng.choice(vocabulary, int(size))) for size in rng.integers(0, 9, 60)] * 2
    whole = near_pairs(texts)
    monkeypatch.setattr(minhash, "_CHARACTERS_AT_ONCE", 100)
    parts = near_pairs(texts)
    assert len(whole.left) >= 50
    assert all((a == b).all() for a, b in zip(whole, parts, strict=True))
