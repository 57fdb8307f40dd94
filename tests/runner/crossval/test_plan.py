import numpy as np
import pytest

from runner.crossval.plan import plan_folds
from runner.data.problems import DataError
from store import Dataset, NewRow, Store, dataset_fingerprint, record_dataset


def record(store: Store, texts: list[str], labels: list[int], names: list[str], split: str = "train") -> Dataset:
    rows = [NewRow(split, text, label) for text, label in zip(texts, labels, strict=True)]
    ids = np.zeros((len(rows), 16), dtype=np.uint8)
    fingerprint = dataset_fingerprint(names, {split: (ids, labels)})
    return record_dataset(store, "d", rows, label_names=names, source={}, fingerprint=fingerprint)


def test_every_class_is_spread_over_the_folds_and_copies_stay_together(store: Store) -> None:
    texts = [f"text {i // 2}" if i % 2 else f"Text  {i // 2}" for i in range(60)]
    dataset = record(store, texts, [i // 2 % 3 for i in range(60)], ["a", "b", "c"])
    plan = plan_folds(store, dataset, "recipe", task="text-classification", n_folds=5, seed=0)
    assert (plan.fold_of[::2] == plan.fold_of[1::2]).all()
    for label in range(3):
        assert np.bincount(plan.fold_of[plan.targets.strata == label], minlength=5).tolist() == [4] * 5
    for fold in range(5):
        together = np.concatenate([plan.held_out(fold), plan.trained_on(fold)])
        assert sorted(together.tolist()) == list(range(60))
    assert plan.warnings == ()


def test_recipe_data_folds_and_seed_identify_it(store: Store) -> None:
    dataset = record(store, [f"text {i}" for i in range(12)], [0, 1] * 6, ["a", "b"])
    first = plan_folds(store, dataset, "recipe", task="text-classification", n_folds=3, seed=0)
    again = plan_folds(store, dataset, "recipe", task="text-classification", n_folds=3, seed=0)
    assert again.fingerprint == first.fingerprint
    others = [
        plan_folds(store, dataset, "other", task="text-classification", n_folds=3, seed=0),
        plan_folds(store, dataset, "recipe", task="text-classification", n_folds=4, seed=0),
        plan_folds(store, dataset, "recipe", task="text-classification", n_folds=3, seed=1),
    ]
    assert len({first.fingerprint, *(each.fingerprint for each in others)}) == 4


def test_rare_labels_are_named(store: Store) -> None:
    texts = [f"text {i}" for i in range(10)] + ["Only one", "only  one"]
    dataset = record(store, texts, [0] * 7 + [1] * 3 + [2, 2], ["common", "rare", "single"])
    warnings = plan_folds(store, dataset, "recipe", task="text-classification", n_folds=5, seed=0).warnings
    assert any("cannot" not in each and '"single"' in each and "unknown" in each for each in warnings)
    assert any('"rare" (3)' in each for each in warnings)


@pytest.mark.parametrize(
    ("n_folds", "said"),
    [(1, "--folds 1: needed are 2 or more"), (7, "has 6 different training texts")],
)
def test_folds_that_cannot_be_cut_are_refused(store: Store, n_folds: int, said: str) -> None:
    dataset = record(store, [f"text {i}" for i in range(6)], [0, 1] * 3, ["a", "b"])
    with pytest.raises(DataError, match=said):
        plan_folds(store, dataset, "recipe", task="text-classification", n_folds=n_folds, seed=0)


def test_all_that_is_wrong_is_said_at_once(store: Store) -> None:
    dataset = record(store, ["a", "b"], [0, 1], ["a", "b"], split="test")
    with pytest.raises(DataError) as error:
        plan_folds(store, dataset, "recipe", task="text-classification", n_folds=1, seed=0)
    assert "no train split" in str(error.value)
    assert "--folds 1" in str(error.value)
