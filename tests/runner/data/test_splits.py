from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.data.splits import stratified_cut, stratified_subset
from store.ids import example_id


def ids_of(texts: Sequence[str]) -> Any:
    return np.frombuffer(b"".join(example_id({"text": text}) for text in texts), dtype=np.uint8).reshape(-1, 16)


def ids(n: int) -> Any:
    return ids_of([f"text {i}" for i in range(n)])


def labels_of(*sizes: int) -> Any:
    return np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)


def test_parts_have_the_asked_sizes_and_every_label_its_share() -> None:
    labels = labels_of(500, 300, 200)
    cut = stratified_cut(ids(1000), labels, {"validation": 0.1, "test": 0.2}, seed=0)
    assert np.bincount(cut.part).tolist() == [700, 100, 200]
    assert [np.bincount(labels[cut.part == part]).tolist() for part in range(3)] == [
        [350, 210, 140],
        [50, 30, 20],
        [100, 60, 40],
    ]
    assert cut.too_small == ()


def test_largest_remainder_gives_the_right_total() -> None:
    labels = labels_of(*[13] * 7)  # 1.3 of each: 9 in all, so two of the seven labels give two
    cut = stratified_cut(ids(91), labels, {"validation": 0.1}, seed=3)
    assert (cut.part == 1).sum() == 9
    assert sorted(np.bincount(labels[cut.part == 1]).tolist()) == [1, 1, 1, 1, 1, 2, 2]


def test_cut_is_the_same_on_every_platform_and_version() -> None:
    cut = stratified_cut(ids(20), labels_of(10, 10), {"validation": 0.2, "test": 0.2}, seed=7)
    assert "".join(map(str, cut.part.tolist())) == "00120120000010201002"


def test_cut_depends_on_seed_but_not_on_row_order() -> None:
    labels, all_ids = labels_of(60, 40), ids(100)
    cut = stratified_cut(all_ids, labels, {"test": 0.3}, seed=0)
    shuffled = np.random.default_rng(0).permutation(100)
    again = stratified_cut(all_ids[shuffled], labels[shuffled], {"test": 0.3}, seed=0)
    assert (again.part == cut.part[shuffled]).all()
    assert (stratified_cut(all_ids, labels, {"test": 0.3}, seed=1).part != cut.part).any()


def test_copies_of_a_text_hardly_ever_cross_the_cut() -> None:
    texts = [f"text {i % 100}" for i in range(1000)]  # every text ten times
    cut = stratified_cut(ids_of(texts), labels_of(1000), {"test": 0.25}, seed=0)
    crossing = sum(len({int(p) for p in cut.part[i::100]}) > 1 for i in range(100))
    assert (cut.part == 1).sum() == 250
    assert crossing <= 1


def test_labels_too_small_stay_in_train_and_are_named() -> None:
    labels = labels_of(50, 2, 1, 3)
    cut = stratified_cut(ids(56), labels, {"validation": 0.4, "test": 0.4}, seed=0)
    assert cut.too_small == (1, 2)
    assert (cut.part[(labels == 1) | (labels == 2)] == 0).all()
    assert (cut.part[labels == 3] == 0).sum() >= 1


def test_nothing_is_cut_when_every_label_is_too_small() -> None:
    cut = stratified_cut(ids(4), labels_of(2, 2), {"validation": 0.1, "test": 0.1}, seed=0)
    assert not cut.part.any()
    assert cut.too_small == (0, 1)


@given(
    sizes=st.lists(st.integers(0, 40), min_size=1, max_size=12),
    shares=st.lists(st.sampled_from([0.01, 0.1, 0.25, 0.45]), min_size=1, max_size=2),
    seed=st.integers(0, 2**40),
)
@settings(max_examples=200, deadline=None)
def test_every_large_label_stays_in_train(sizes: list[int], shares: list[float], seed: int) -> None:
    labels = labels_of(*sizes)
    named: Any = dict(zip(["validation", "test"], shares, strict=False))
    cut = stratified_cut(ids(len(labels)), labels, named, seed)
    in_train = np.bincount(labels[cut.part == 0], minlength=len(sizes))
    assert all(kept >= 1 for kept, size in zip(in_train, sizes, strict=True) if size)
    if large := [size for size in sizes if size > len(shares)]:
        room = sum(large) - len(large)
        expected, left = [], room
        for share in shares:
            expected.append(min(max(1, round(share * sum(large))), left))
            left -= expected[-1]
        assert [(cut.part == part).sum() for part in range(1, len(shares) + 1)] == expected


def test_subset_keeps_proportions_and_rare_labels() -> None:
    labels = labels_of(900, 90, 9, 1)
    mask = stratified_subset(ids(1000), labels, 100, seed=0)
    assert mask.sum() == 100
    assert np.bincount(labels[mask]).tolist() == [89, 9, 1, 1]


@pytest.mark.parametrize(("n", "expected"), [(2, 2), (3, 3), (50, 50), (60, 60), (100, 60)])
def test_subset_size(n: int, expected: int) -> None:
    mask = stratified_subset(ids(60), labels_of(30, 20, 10), n, seed=0)
    assert mask.sum() == expected


def test_subsets_of_growing_size_are_nested() -> None:
    labels = labels_of(100, 100)
    small, large = (stratified_subset(ids(200), labels, n, seed=0) for n in (20, 80))
    assert (large[small]).all()
