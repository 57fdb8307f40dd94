"""`runner export` with real tiny models: what it writes loads without Assay and says the same."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from runner.classifier import load_classifier
from runner.publish import export as export_module
from store import Checkpoint, Run, Store, get_dataset, iter_texts, list_checkpoints
from tests.runner.conftest import Trained
from tests.runner.rescue_kit import own_copy
from tests.runner.test_commands import Runner, runner

__all__ = ["runner"]  # the fixture


def best(store: Store, run: Run) -> Checkpoint:
    return next(c for c in list_checkpoints(store, run.key) if c.is_best)


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def all_text(folder: Path) -> str:
    return "".join(path.read_bytes().decode("utf-8", "replace") for path in folder.rglob("*") if path.is_file())


def first_texts(trained: Trained, n: int) -> list[str]:
    assert trained.run.dataset_key is not None
    dataset = get_dataset(trained.store, trained.run.dataset_key)
    return next(iter_texts(trained.store, dataset, "train", n))


def test_a_classifier_of_transformers_that_needs_no_assay(runner: Runner, carded: Trained, tmp_path: Path) -> None:
    out = tmp_path / "model"
    said = runner(carded.store, "export", carded.run.id, str(out), "--json")
    assert said.code == 0, said.err
    assert said.json["format"] == "transformers"
    assert said.json["n_compared"] == 33
    assert said.json["largest_difference"] < 1e-5
    assert files(out) == {"README.md", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    code = (out / "README.md").read_text().split("```python\n")[1].split("```")[0]
    code = code.replace("'path/to/this/folder'", repr(str(out)))
    code += "\nimport sys\nassert not {'runner', 'store', 'evals'} & set(sys.modules)\n"
    code += "print(predict(['the bread', 'a goal']).tolist())\n"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    probs = np.array(json.loads(ended.stdout.strip().splitlines()[-1]))
    assert probs.shape == (2, 3)
    assert np.allclose(probs.sum(1), 1)


@pytest.mark.parametrize("method", ["head", "lora"])
def test_what_transformers_cannot_hold_is_written_in_parts(
    runner: Runner, trained: Callable[[str], Trained], tmp_path: Path, method: str
) -> None:
    """Mean pooling; Assay itself loads it too, and no path of this machine and no training text is in it."""
    each, out = trained(method), tmp_path / "model"
    said = runner(each.store, "export", each.run.id, str(out))
    assert said.code == 0, said.err
    assert "written as parts" in said.out
    assert "the mean of all tokens' vectors" in said.out
    assert {"assay.json", "head.safetensors", "backbone/config.json", "tokenizer/tokenizer.json"} < files(out)
    assert not any("training" in name or "optim" in name for name in files(out))
    model, _, info = load_classifier(out)
    assert (info.labels, model.pooling, info.base) == (("food", "sky", "sport"), "mean", "bert")
    text = all_text(out)
    assert str(each.store.path.parent) not in text
    assert not any(example in text for example in first_texts(each, 96))


def test_an_adapter_alone_needs_a_base_that_others_have(
    runner: Runner, trained: Callable[[str], Trained], tmp_path: Path
) -> None:
    lora, head = trained("lora"), trained("head")
    said = runner(lora.store, "export", lora.run.id, str(tmp_path / "a"), "--format", "adapter")
    assert said.code == 2
    assert "is nowhere that others can load it from" in said.err
    said = runner(head.store, "export", head.run.id, str(tmp_path / "a"), "--format", "adapter")
    assert "method head, which makes no adapter" in said.err
    said = runner(lora.store, "export", lora.run.id, str(tmp_path / "a"), "--format", "transformers")
    assert said.code == 2
    assert "the mean of all tokens' vectors. Use --format parts" in said.err
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten_and_nothing_half_written(
    runner: Runner, carded: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "model"
    out.mkdir()
    said = runner(carded.store, "export", carded.run.id, str(out))
    assert said.code == 2
    assert "nothing is overwritten" in said.err
    out.rmdir()

    def breaks(*_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export_module, "card_text", breaks)
    said = runner(carded.store, "export", carded.run.id, str(out))
    assert said.code == 2
    assert "disk full" in said.err
    assert list(tmp_path.iterdir()) == []
    said = runner(carded.store, "export", carded.run.id, str(tmp_path / "no" / "model"))
    assert "there is no folder" in said.err


def test_a_checkpoint_that_was_altered_is_not_handed_out(runner: Runner, carded: Trained, tmp_path: Path) -> None:
    folder = carded.store.files / best(carded.store, carded.run).path
    kept = tmp_path / "kept"
    shutil.copy(folder / "head.safetensors", kept)
    try:
        (folder / "head.safetensors").write_bytes(b"")
        said = runner(carded.store, "export", carded.run.id, str(tmp_path / "model"))
    finally:
        shutil.copy(kept, folder / "head.safetensors")
    assert said.code == 2
    assert "was altered" in said.err


def test_training_text_only_when_asked_for(runner: Runner, carded: Trained, tmp_path: Path) -> None:
    out = tmp_path / "model"
    said = runner(carded.store, "export", carded.run.id, str(out), "--with", "training-text")
    assert said.code == 0, said.err
    rows = [json.loads(line) for line in (out / "data" / "train.jsonl").read_text().splitlines()]
    assert len(rows) == 96
    assert {row["label"] for row in rows} == {"food", "sky", "sport"}
    assert [row["text"] for row in rows] == first_texts(carded, 96)
    said = runner(carded.store, "export", carded.run.id, str(tmp_path / "b"), "--with", "optimizer-state")
    assert said.code == 2
    assert "only runs that have not finished keep it" in said.err


def test_the_card_holds_what_the_store_knows(runner: Runner, carded: Trained, tmp_path: Path) -> None:
    out = tmp_path / "model"
    assert runner(carded.store, "export", carded.run.id, str(out)).code == 0
    text = (out / "README.md").read_text()
    _, front, body = text.split("---\n", 2)
    data = yaml.safe_load(front)
    assert data["language"] == ["en", "pt-BR"]
    assert (data["license"], data["license_name"]) == ("other", "for-research-only")
    assert "base_model" not in data  # a folder on this machine is no name for others
    assert "datasets" not in data
    (index,) = data["model-index"]
    assert index["name"] == 'x: "y" # | *z* <b>'
    assert {result["dataset"]["split"] for result in index["results"]} == {"validation", "test"}
    # what people wrote is text: no heading, table, link, HTML or rule of it is one
    assert "\n# heading" not in body
    assert "<script>" not in body
    assert "](javascript" not in body
    assert [line for line in body.splitlines() if line.startswith("# ")] == [
        '# x: "y" &#35; &#124; &#42;z&#42; &lt;b&gt;'
    ]
    parts = ["| test | Accuracy |", "| food |", "mood&#64;1", "licence of the data | not stated"]
    for said in [*parts, "| energy | not measured |"]:
        assert said in body
    assert "faults were not looked for" in body
    assert str(carded.store.path.parent) not in text


def test_the_card_of_a_merged_run_names_its_parents(
    runner: Runner, trained: Callable[[str], Trained], tmp_path: Path
) -> None:
    store, lora = own_copy(trained, tmp_path, "lora")
    said = runner(store, "merge", lora.id, "--fold", "--quiet", "--json")
    assert said.code == 0, said.err
    exported = runner(store, "export", said.json["id"], str(tmp_path / "model"))
    assert exported.code == 0, exported.err
    text = (tmp_path / "model" / "README.md").read_text()
    assert "Not trained, but made of other runs' models: combined by `fold`" in text
    assert f"`{lora.id}`" in text
    assert "Hyper-parameters" not in text
    assert "| of it training | 0.0 s |" in text or "| of it training | not measured |" in text
