import numpy as np
import pytest

from store import (
    NewRun,
    Recorder,
    Store,
    delete_run,
    iter_dynamics,
    list_dynamics,
    read_embeddings,
    read_example_dynamics,
    record_run,
)
from store.blocks import BLOCK_EXAMPLES
from tests.store.builders import make_dataset


@pytest.mark.parametrize("n", [1, BLOCK_EXAMPLES - 1, BLOCK_EXAMPLES, BLOCK_EXAMPLES + 1, 2 * BLOCK_EXAMPLES + 1])
def test_dynamics_and_embeddings_round_trip(store: Store, n: int) -> None:
    random = np.random.default_rng(n)
    epochs = [random.integers(0, 2**16, (n, 3), dtype=np.uint16) for _ in range(2)]
    embedded = random.standard_normal((n, 4)).astype(np.float16)
    dataset = make_dataset(store, "d", [("a", 0)])
    with Recorder(store, record_run(store, NewRun("x"))) as recorder:
        for epoch, words in enumerate(epochs, 1):
            recorder.dynamics(epoch, 10 * epoch, n_classes=3, words=words)
        recorder.embeddings({"train": embedded}, dataset_key=dataset.key, fingerprint="f", pooling="mean")
    key = recorder.run.key
    assert list_dynamics(store, key) == [(1, 10), (2, 20)]
    for row, words in zip(iter_dynamics(store, key), epochs, strict=True):
        assert row.n_classes == 3
        np.testing.assert_array_equal(row.words, words)
    for position in {0, n // 2, n - 1, min(n - 1, BLOCK_EXAMPLES), min(n - 1, BLOCK_EXAMPLES - 1)}:
        found = read_example_dynamics(store, key, position)
        assert [(row.epoch, row.words.tolist()) for row in found] == [
            (epoch, [words[position].tolist()]) for epoch, words in enumerate(epochs, 1)
        ]
    assert read_example_dynamics(store, key, n) == []
    read = read_embeddings(store, key, "train")
    assert read is not None
    np.testing.assert_array_equal(read, embedded)
    assert read_embeddings(store, key, "test") is None


def test_shared_embeddings_survive_the_deletion_of_one_run(store: Store) -> None:
    dataset = make_dataset(store, "d", [("a", 0)])
    runs = []
    for fingerprint in ("shared", "shared", "own"):
        with Recorder(store, record_run(store, NewRun("x"))) as recorder:
            array = np.ones((1, 2), np.float16)
            recorder.embeddings({"test": array}, dataset_key=dataset.key, fingerprint=fingerprint, pooling="mean")
        runs.append(recorder.run)
    sets = "SELECT fingerprint FROM embedding_sets ORDER BY key"
    assert store.db.execute(sets).fetchall() == [("shared",), ("own",)]
    delete_run(store, runs[0])
    assert read_embeddings(store, runs[1].key, "test") is not None
    delete_run(store, runs[1])
    assert store.db.execute(sets).fetchall() == [("own",)]
    assert store.db.execute("SELECT count(*) FROM embeddings").fetchone() == (1,)


def test_abandoned_epochs_are_hidden(store: Store) -> None:
    run = record_run(store, NewRun("x"))
    with store.write() as db:
        db.execute("INSERT INTO segments VALUES (?, 2, 10, NULL, 0)", (run.key,))
    for segment, epochs in ((1, (1, 2)), (2, (2, 3))):
        with Recorder(store, run, segment=segment) as recorder:
            for epoch in epochs:
                words = np.full((2, 1), segment, np.uint16)
                recorder.dynamics(epoch, 10 * epoch, n_classes=1, words=words)
    with store.write() as db:
        db.execute("UPDATE segments SET visible_until = 10 WHERE number = 1")
    assert list_dynamics(store, run.key) == [(1, 10), (2, 20), (3, 30)]
    assert [row.words[:, 0].tolist() for row in iter_dynamics(store, run.key)] == [[1, 1], [2, 2], [2, 2]]
    assert [row.words.tolist() for row in read_example_dynamics(store, run.key, 1)] == [[[1]], [[2]], [[2]]]
