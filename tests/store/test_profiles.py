import math

from store import NewRow, Store, record_dataset
from store.profiles import list_profiles, record_profile


def test_a_profile_replaces_the_earlier_one_that_was_measured_alike(store: Store) -> None:
    rows = [NewRow("train", "a fine day", 0)]
    dataset = record_dataset(store, "weather", rows, label_names=("bad",), source={}, fingerprint="f1")
    assert list_profiles(store, dataset.key) == []
    record_profile(store, dataset.key, "gpt2", {"tokens": 3})
    record_profile(store, dataset.key, "bert", {"tokens": 5, "unknown": math.nan})
    record_profile(store, dataset.key, "gpt2", {"tokens": 4})
    newest, older = list_profiles(store, dataset.key)
    assert (newest.fingerprint, newest.profile, newest.dataset_key) == ("gpt2", {"tokens": 4}, dataset.key)
    assert (older.fingerprint, older.profile) == ("bert", {"tokens": 5, "unknown": None})
    assert newest.created_at >= older.created_at
