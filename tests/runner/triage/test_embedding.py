from pathlib import Path

import numpy as np
import pytest

from runner.errors import UserError
from runner.recipe import parse_recipe
from runner.triage.embedding import count_tokens, embed, find_encoder
from runner.triage.identity import Identity, Options
from runner.triage.rows import read_all
from runner.triage.sources import Sources
from store import Dataset, NewRow, NewRun, Recorder, Run, Status, Store, record_dataset, record_run
from tests.runner.conftest import Kit


@pytest.fixture
def dataset(store: Store) -> Dataset:
    texts = [
        "the soup",
        "a ball and the goal",
        "rain",
        "the moon was very very very very very very very very very there",
    ]
    rows = [NewRow(split, f"{split} {text}", i % 2) for split in ("train", "test") for i, text in enumerate(texts)]
    return record_dataset(store, "d", rows, label_names=["a", "b"], source={}, fingerprint="d")


def run_with(
    kit: Kit, store: Store, dataset: Dataset, method: str, *, base: str | None = None, vectors: bool = True
) -> Run:
    """A finished run of a method, as far as its encoder goes."""
    overrides = {
        "model.method": method,
        **({"model.base": base, "model.tokenizer": str(kit.tokenizer)} if base else {}),
    }
    loaded = parse_recipe(kit.text(overrides), folder=kit.folder)
    new = NewRun(
        method, method=method, base_model=loaded.recipe.model.base, recipe=loaded.resolved, dataset_key=dataset.key
    )
    run = record_run(store, new, status=Status.RUNNING)
    recorder = Recorder(store, run)
    if vectors:
        made = {split: np.full((n, 3), run.key, dtype=np.float16) for split, n in dataset.n_rows.items()}
        recorder.embeddings(made, dataset_key=dataset.key, fingerprint=run.id, pooling="mean")
    recorder.finish()
    return run


def encoder_of(
    store: Store, dataset: Dataset, *runs: Run, wanted: str | None = None
) -> tuple[str | None, str | None, bool]:
    """(run id, base, is frozen) of what is chosen."""
    found = find_encoder(store, Sources(dataset, runs), wanted)
    assert found is not None
    return found.run.id if found.run else None, found.spec.base if found.spec else None, found.is_frozen


def test_vectors_that_saw_no_label_come_first(kit: Kit, store: Store, dataset: Dataset) -> None:
    head, full = run_with(kit, store, dataset, "head"), run_with(kit, store, dataset, "full")
    without = run_with(kit, store, dataset, "head", vectors=False)
    scratch = run_with(kit, store, dataset, "full", base="scratch:bert")
    assert encoder_of(store, dataset, full, head) == (head.id, None, True)
    assert encoder_of(store, dataset, full, without) == (None, str(kit.bert), True)
    assert encoder_of(store, dataset, scratch, wanted=str(kit.gpt2)) == (None, str(kit.gpt2), True)


def test_a_model_from_scratch_knows_the_labels(
    kit: Kit, store: Store, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = run_with(kit, store, dataset, "full", base="scratch:bert")
    monkeypatch.setattr("runner.triage.embedding.builtin_folder", lambda name: None)
    assert encoder_of(store, dataset, scratch) == (scratch.id, None, False)
    assert find_encoder(store, Sources(dataset, ())) is None


def test_a_base_that_is_gone_is_passed_over(
    kit: Kit, store: Store, dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runner.triage.embedding.builtin_folder", lambda name: None)
    gone = run_with(kit, store, dataset, "lora", base=str(tmp_path / "gone"), vectors=False)
    assert find_encoder(store, Sources(dataset, (gone,))) is None
    with pytest.raises(UserError, match="there is no model folder"):
        find_encoder(store, Sources(dataset, ()), str(tmp_path / "gone"))


def test_vectors_stand_in_the_order_of_the_rows(kit: Kit, store: Store, dataset: Dataset) -> None:
    rows, read = read_all(store, dataset), list[str]()
    head = run_with(kit, store, dataset, "head")
    sources = Sources(dataset, (head,))
    encoder = find_encoder(store, sources)
    assert encoder is not None
    assert embed(store, encoder, rows, lambda name, n: None).tolist() == [[head.key] * 3] * 8
    named = find_encoder(store, sources, str(kit.bert))
    assert named is not None
    vectors = embed(store, named, rows, lambda name, n: read.append(name))
    assert (vectors.shape, vectors.dtype) == ((8, 32), np.float16)
    assert any("embedding" in name for name in read)
    read.clear()
    assert np.array_equal(embed(store, named, rows, lambda name, n: read.append(name)), vectors)
    assert not any("embedding" in name for name in read)  # they were kept


def test_tokens_are_counted_as_the_run_would_cut_them(kit: Kit, store: Store, dataset: Dataset) -> None:
    rows = read_all(store, dataset)
    assert count_tokens(Sources(dataset, ()), rows) is None
    counted = count_tokens(Sources(dataset, (run_with(kit, store, dataset, "full", vectors=False),)), rows)
    assert counted is not None
    assert counted.max_length == 16
    assert counted.n_tokens.tolist() == [5, 8, 4, 16] * 2  # with the first and the last token; the split's name is one


def test_what_it_looks_at_identifies_it(kit: Kit, store: Store, dataset: Dataset) -> None:
    run, other = run_with(kit, store, dataset, "head"), run_with(kit, store, dataset, "head")
    sources = Sources(dataset, (run,))
    first = Identity(store, sources, Options()).fingerprint
    assert Identity(store, sources, Options()).fingerprint == first
    others = [
        Identity(store, Sources(dataset, (other, run)), Options()),
        Identity(store, sources, Options(with_canaries=False)),
        Identity(store, sources, Options(seed=1)),
        Identity(store, sources, Options(model=str(kit.bert))),
    ]
    assert len({first, *(each.fingerprint for each in others)}) == 5
