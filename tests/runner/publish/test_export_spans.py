"""`runner export` of taggers: what it writes loads without Assay and says the same of every word."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from store import Store, open_store
from tests.runner.conftest import Kit
from tests.runner.tasks.test_token_classification import SETTINGS, files
from tests.runner.test_commands import Runner, runner

__all__ = ["runner"]  # the fixture

SHORT = {**SETTINGS, "training__epochs": 2}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return open_store(tmp_path_factory.mktemp("spans") / "assay.db")


@pytest.mark.parametrize(
    ("method", "base", "form"), [("lora", "bert", "transformers"), ("full", "gpt2", "transformers")]
)
def test_a_tagger_of_transformers_that_needs_no_assay(
    runner: Runner, kit: Kit, store: Store, tmp_path: Path, method: str, base: str, form: str
) -> None:
    run = kit.train(
        store, **SHORT, data__source=files(tmp_path), model__method=method, model__base=str(getattr(kit, base)),
        model__tag_scheme="BIOES",
    )  # fmt: skip
    out = tmp_path / "model"
    said = runner(store, "export", run.id, str(out), "--json")
    assert said.code == 0, said.err
    assert said.json["format"] == "transformers"
    assert said.json["n_compared"] == 60
    assert said.json["largest_difference"] < 1e-5
    card = (out / "README.md").read_text()
    front = yaml.safe_load(card.split("---")[1])
    assert front["pipeline_tag"] == "token-classification"
    assert "A tagger of words" in card
    assert "read in overlapping windows; the lines above cut them off" in card
    assert "Each class on test" in card
    assert "| food |" in card
    code = card.split("```python\n")[1].split("```")[0].replace("'path/to/this/folder'", repr(str(out)))
    code += "\nimport sys, json\nassert not {'runner', 'store', 'evals'} & set(sys.modules)\n"
    code += "said = predict(['the', 'bread', 'cheese'])\n"
    code += "print(json.dumps([model.config.id2label[int(said[word].argmax())] for word in range(3)]))\n"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    tags = json.loads(ended.stdout.strip().splitlines()[-1])
    assert len(tags) == 3
    assert set(tags) <= {"O", *(f"{prefix}-{name}" for prefix in "BIES" for name in ("food", "sky", "sport"))}


def test_parts_and_training_text(runner: Runner, kit: Kit, store: Store, tmp_path: Path) -> None:
    run = kit.train(store, **SHORT, data__source=files(tmp_path))
    out = tmp_path / "model"
    said = runner(store, "export", run.id, str(out), "--format", "parts", "--with", "training-text", "--json")
    assert said.code == 0, said.err
    info = json.loads((out / "assay.json").read_text())
    assert info["settings"] == {"scheme": "BIO"}
    row = json.loads((out / "data" / "test.jsonl").read_text().splitlines()[0])
    assert set(row) == {"tokens", "spans"}
    assert all(set(span) == {"start", "end", "type"} for span in row["spans"])


def test_adapters_of_taggers_are_merged(runner: Runner, kit: Kit, store: Store, tmp_path: Path) -> None:
    source = files(tmp_path)
    runs = [
        kit.train(store, **SHORT, name=f"part {seed}", data__source=source, model__method="lora", training__seed=seed)
        for seed in (0, 1)
    ]
    said = runner(store, "merge", *(run.id for run in runs), "--name", "both", "--json")
    assert said.code == 0, said.err
    merged = said.json
    out = tmp_path / "out.jsonl"
    done = runner(store, "predict", "both", "--split", "test", "--out", str(out), "--json")
    assert done.code == 0, done.err
    assert done.json["n_rows"] == 60
    assert np.isfinite([row["value"] for row in merged["scores"] if row["metric"] == "entity_f1"]).all()
