"""What runs share, and their files: datasets, embeddings, checkpoints."""

import hashlib
import shutil
from pathlib import Path

from store import (
    NewRow,
    NewRun,
    Recorder,
    Store,
    get_dataset,
    get_run,
    list_checkpoints,
    read_embeddings,
    record_dataset,
    record_run,
)
from tests.store.merging.kit import counts, merge


def dataset(store: Store, name: str, texts: str, extras: str | None = None) -> None:
    record_dataset(
        store,
        name,
        [NewRow("train", text, 0, metadata={} if extras is None else {"about": extras}) for text in texts],
        label_names=["no", "yes"],
        source={} if extras is None else {"extras": extras},
        fingerprint=hashlib.sha256(texts.encode()).hexdigest(),
    )


def test_datasets_are_the_same_by_content(store: Store, other: Store) -> None:
    dataset(store, "d", "abc")
    dataset(store, "mine", "xyz")
    for name, texts in (("e", "qrs"), ("d", "cde"), ("d", "abc"), ("theirs", "xyz")):
        dataset(other, name, texts)
    run = record_run(other, NewRun("r", dataset_key=get_dataset(other, "theirs").key))
    with Recorder(other, run):
        pass
    merged = merge(store, other.path)
    assert {d.theirs: (d.ours, d.our_key is None) for d in merged.plan.datasets} == {
        "e@1": ("e@1", True),
        "d@1": ("d@2", True),
        "d@2": ("d@1", False),
        "theirs@1": ("mine@1", False),
    }
    assert get_run(store, "r").dataset_key == get_dataset(store, "mine@1").key
    assert counts(store)["examples"] == len(set("abcxyzqrscde"))
    assert [d.our_key is None for d in merge(store, other.path).plan.datasets] == [False] * 4


def test_other_metadata_are_other_content_and_none_fit_any(store: Store, other: Store) -> None:
    for extras in (None, "of topics"):
        dataset(store, "d", "abc", extras)
    for name, extras in (("same", "of topics"), ("plain", None), ("d", "of authors")):
        dataset(other, name, "abc", extras)
    merged = merge(store, other.path)
    assert {d.theirs: (d.ours, d.our_key is None) for d in merged.plan.datasets} == {
        "same@1": ("d@2", False),
        "plain@1": ("d@2", False),
        "d@1": ("d@3", True),
    }
    assert [d.our_key is None for d in merge(store, other.path).plan.datasets] == [False] * 3


def test_drafts_stay_behind(store: Store, other: Store) -> None:
    dataset(other, "d", "ab")
    with other.write() as db:
        db.execute("UPDATE datasets SET version = NULL")
    merged = merge(store, other.path)
    assert merged.plan.datasets == ()
    assert counts(store).total() == 0


def test_embeddings_are_known_by_their_dataset_here(store: Store, other: Store) -> None:
    import numpy as np

    dataset(store, "first", "xyz")
    dataset(other, "d", "ab")
    for name in ("one", "two"):
        with Recorder(other, record_run(other, NewRun(name, dataset_key=1))) as recorder:
            vectors = np.arange(4, dtype=np.float16).reshape(2, 2)
            recorder.embeddings({"train": vectors}, dataset_key=1, fingerprint="encoder-1", pooling="mean")
    merged = merge(store, other.path)
    assert (merged.plan.n_rows["embedding_sets"], merged.plan.n_rows["run_embeddings"]) == (1, 2)
    assert store.db.execute("SELECT fingerprint, dataset_key FROM embedding_sets").fetchall() == [("encoder-2", 2)]
    found = read_embeddings(store, get_run(store, "two").key, "train")
    assert found is not None
    assert found.tolist() == [[0, 1], [2, 3]]


def checkpoint(store: Store, recorder: Recorder, step: int, path: str | None = None) -> Path:
    place = path or f"runs/{recorder.run.id}/checkpoints/step-{step}"
    folder = store.files / place
    if path is None:
        folder.mkdir(parents=True)
        (folder / "model.safetensors").write_text(f"weights {step}")
    manifest = {"model.safetensors": hashlib.sha256(f"weights {step}".encode()).hexdigest()}
    recorder.checkpoint(step, epoch=None, path=place, size_bytes=9, sha256="0", manifest=manifest)
    return folder


def test_checkpoints_come_with_their_files(store: Store, other: Store, tmp_path: Path) -> None:
    with Recorder(other, record_run(other, NewRun("r"))) as recorder:
        folders = {step: checkpoint(other, recorder, step) for step in (1, 2, 3)}
        checkpoint(other, recorder, 4, "s3://bucket/step-4")
        checkpoint(other, recorder, 5, "../../secrets")
    (folders[2] / "model.safetensors").write_text("something else")
    shutil.move(folders[3], tmp_path / "away")
    merged = merge(store, other.path)
    run = get_run(store, "r")
    assert merged.plan.file_bytes == 45
    assert merged.n_files == 1
    assert [text.split(": ", 1)[1] for text in merged.problems] == [
        "a file was altered",
        "its files are missing",
        "the path '../../secrets' is not one that Assay gives",
    ]
    there = {c.step: c for c in list_checkpoints(store, run.key, existing=True)}
    assert set(there) == {1, 4}
    assert (store.files / there[1].path / "model.safetensors").read_text() == "weights 1"
    assert not (tmp_path / "secrets").exists()

    shutil.move(tmp_path / "away", folders[3])
    (folders[2] / "model.safetensors").write_text("weights 2")
    assert merge(store, other.path).n_files == 2
    assert {c.step for c in list_checkpoints(store, run.key, existing=True)} == {1, 2, 3, 4}
    version = store.version()
    assert merge(store, other.path).n_files == 0
    assert store.version() == version
