"""`runner predict` with a real tiny model."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from runner import predict as predict_module
from store import get_evaluation, get_run, list_checkpoints, read_predictions
from tests.runner.conftest import Kit, Trained
from tests.runner.data.recipes import write_csv
from tests.runner.test_commands import Runner, runner

__all__ = ["runner"]  # the fixture

TEXTS = ["the bread was here", "a goal of the team", "cloud and moon then rain", "soup " * 60]


def answers(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("method", ["head", "lora"])
def test_a_stored_split_gets_what_the_run_said_of_it(
    runner: Runner, trained: Callable[[str], Trained], tmp_path: Path, method: str
) -> None:
    store, run = trained(method).store, trained(method).run
    out = tmp_path / "out.jsonl"
    said = runner(store, "predict", run.id, "--split", "test", "--out", str(out), "--json", "--device", "cpu")
    assert said.code == 0, said.err
    best = next(c.step for c in list_checkpoints(store, run.key) if c.is_best)
    evaluation = get_evaluation(store, run.key, "test", step=best)
    assert evaluation is not None
    recorded = read_predictions(store, evaluation)
    rows = answers(out)
    names = ["food", "sky", "sport"]
    assert [row["row"] for row in rows] == list(range(33))
    assert [names.index(str(row["label"])) for row in rows] == recorded.predicted.tolist()
    assert np.allclose([row["probability"] for row in rows], recorded.p_predicted, atol=2e-5)
    assert all(abs(sum(row["probabilities"].values()) - 1) < 1e-4 for row in rows)  # type: ignore[attr-defined]  # JSON
    assert (said.json["n_rows"], said.json["step"], sum(said.json["counts"].values())) == (33, best, 33)
    assert {row["given"] for row in rows} == set(names)


def test_files_of_every_kind_in_pieces(
    runner: Runner, trained: Callable[[str], Trained], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, run = trained("head").store, trained("head").run
    write_csv(tmp_path / "new.csv", [(text, "?") for text in TEXTS])
    (tmp_path / "new.tsv").write_text("id\tbody\n" + "".join(f"{i}\t{text}\n" for i, text in enumerate(TEXTS)))
    (tmp_path / "new.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    pq.write_table(pa.table({"text": TEXTS}), tmp_path / "new.parquet")
    monkeypatch.setattr(predict_module, "CHUNK_ROWS", 3)
    results = []
    for name, extra in (
        ("new.csv", ()),
        ("new.tsv", ("--text-column", "body")),
        ("new.jsonl", ()),
        ("new.parquet", ()),
    ):
        out = tmp_path / "out.csv"
        said = runner(store, "predict", run.id, str(tmp_path / name), "--out", str(out), "--batch-size", "2", *extra)
        assert said.code == 0, said.err
        assert "1 of 4 rows are longer than 16 tokens and were cut" in said.err
        with out.open() as file:
            rows = list(csv.DictReader(file))
        assert [row["text"] for row in rows] == [text.rstrip("\n") for text in TEXTS]
        results.append([(row["label"], row["p:food"], row["p:sky"], row["p:sport"]) for row in rows])
        first = {"new.csv": 2, "new.tsv": 2, "new.jsonl": 1, "new.parquet": 1}[name]
        assert [int(row["row"]) for row in rows] == list(range(first, first + 4))
    assert results.count(results[0]) == 4
    assert not list(tmp_path.glob(".*partial"))


def test_a_row_without_a_text_has_no_label(runner: Runner, trained: Callable[[str], Trained], tmp_path: Path) -> None:
    store, run = trained("head").store, trained("head").run
    file = tmp_path / "new.jsonl"
    file.write_text('{"text": "bread"}\n{"text": "  "}\n{}\n{"text": "rain"}\n')
    said = runner(store, "predict", run.id, str(file))
    assert said.code == 0, said.err
    rows = [json.loads(line) for line in said.out.splitlines()]
    assert [row["label"] is None for row in rows] == [False, True, True, False]
    assert rows[1]["probabilities"] is None
    assert "2 of 4 rows have no text: their label is null" in said.err


@pytest.mark.parametrize(
    ("text", "words", "said"),
    [
        ("text,label\n", (), "has no rows"),
        ("", (), "is empty (0 bytes)"),
        ("body,label\nx,y\n", (), 'has no column "text". It has: "body", "label".'),
        ("texte\nx\n", (), 'Did you mean "texte"? Name the column of the texts with --text-column'),
        ('text,label\nbread,x\n"open,y\n', (), "never closed"),
        ("text\nx\n", ("--split", "test"), "name one of the two"),
        ("text\nx\n", ("--checkpoint", "99"), "keeps none of that step; it keeps: "),
    ],
)
def test_bad_input_is_said_and_leaves_the_old_file_alone(
    runner: Runner,
    trained: Callable[[str], Trained],
    tmp_path: Path,
    text: str,
    words: tuple[str, ...],
    said: str,
) -> None:
    store, run = trained("head").store, trained("head").run
    file, out = tmp_path / "new.csv", tmp_path / "out.csv"
    file.write_text(text)
    out.write_text("old")
    done = runner(store, "predict", run.id, str(file), "--out", str(out), *words)
    assert done.code == 2
    assert said in done.err
    assert "Traceback" not in done.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new.csv", "out.csv"]
    assert out.read_text() == "old"


def test_an_altered_or_missing_checkpoint_is_not_used(runner: Runner, kit: Kit, tmp_path: Path) -> None:
    from store import open_store

    store = open_store(tmp_path / "assay.db")
    run = kit.train(store, model__method="head", training__epochs=1)
    (checkpoint,) = [c for c in list_checkpoints(store, run.key, existing=True) if c.is_best]
    head = store.files / checkpoint.path / "head.safetensors"
    whole = head.read_bytes()
    for damage, said in ((whole[:-1] + bytes([whole[-1] ^ 1]), "was altered"), (None, "is missing")):
        head.unlink() if damage is None else head.write_bytes(damage)
        done = runner(store, "predict", run.id, "--split", "test")
        assert done.code == 2
        assert f"head.safetensors {said}" in done.err
        assert "is not what the run wrote" in done.err
    kept_none = kit.train(store, model__method="head", training__epochs=1, checkpoints__keep="none")
    done = runner(store, "predict", kept_none.id, "--split", "test")
    assert (done.code, 'checkpoints.keep = "none"' in done.err) == (2, True)
    assert get_run(store, run.key).status == "finished"
    store.close()


def test_which_texts_must_be_clear(runner: Runner, trained: Callable[[str], Trained]) -> None:
    store, run = trained("head").store, trained("head").run
    for words, said in (
        ((), "which split of dataset"),
        (("--split", "dev"), "has no such split; it has: train, validation, test"),
        (("dataset:nothing", "--split", "test"), "no dataset 'nothing'"),
        (("--split", "test", "--text-column", "x"), "are for a file"),
        (("--split", "test", "--json"), "without --out"),
    ):
        done = runner(store, "predict", run.id, *words)
        assert done.code == 2
        assert said in done.err
