"""`runner export` of every further task: what it writes opens with stock transformers and gives the same answers."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from benchmarks.tiny import CLUES, rows
from runner.encoding import pieces_of
from runner.predict import load_predictor
from runner.publish.kinds import KINDS
from runner.tasks import TASKS
from store import Run, Store, get_dataset, get_evaluation, get_run, iter_inputs, open_store, read_responses
from tests.docs.stand_ins import CHAT_TEMPLATE, write_models
from tests.runner.conftest import Kit
from tests.runner.publish.test_export import all_text, best
from tests.runner.test_commands import Runner, runner

__all__ = ["runner"]  # the fixture

SWAP = dict(zip(CLUES, ("bread", "goal", "moon"), strict=True))
TEXTS = rows(120, seed=4)
T5 = {"model__base": "t5", "data__columns": {"target": "completion"}, "seq2seq__prefix": "the one "}

SETTINGS: dict[str, dict[str, Any]] = {
    "pair-classification": {"data__columns": {"text_pair": "other"}},
    "multi-label-classification": {},
    "regression": {},
    "rerank": {},
    "causal-lm": {"model__base": "gpt2", "model__method": "lora"},
    "masked-lm": {"model__base": "mlm"},
    "instruction": {"model__base": "chat", "model__method": "qlora", "data__columns": {"messages": "chat"}},
    "seq2seq": T5,
}
"""Task → what it is trained with."""

PROBLEMS = {
    "multi-label-classification": "multi_label_classification",
    "regression": "regression",
    "rerank": "multi_label_classification",
}


def record(at: int, text: str, label: str) -> dict[str, Any]:
    """A row that every task can read."""
    other, its_label = TEXTS[(at * 5 + at // 3) % len(TEXTS)]
    answer = SWAP[label]
    chat = [{"role": "user", "content": " ".join(text.split()[:3])}, {"role": "assistant", "content": answer}]
    return {
        "text": text, "other": other, "label": "same" if label == its_label else "different", "chat": chat,
        "labels": sorted({label, its_label}), "score": 10.0 * len(label) + 200, "prompt": text, "completion": answer,
        "query": f"{answer} w{at % 10}", "document": other, "relevance": 2.0 * (label == its_label),
    }  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("tasks")
    write_models(place / "models")
    (place / "data.jsonl").write_text("".join(json.dumps(record(i, *each)) + "\n" for i, each in enumerate(TEXTS)))
    return place


@pytest.fixture(scope="module")
def store(place: Path) -> Store:
    return open_store(place / "assay.db")


@pytest.fixture(scope="module")
def runs(kit: Kit, store: Store, place: Path) -> dict[str, Run]:
    """A run of each task; heads pool as BERT's own classifier does."""
    made = {}
    for task, changed in SETTINGS.items():
        settings = {
            "name": task, "task": task, "data__source": str(place / "data.jsonl"), "data__name": task,
            "model__max_length": 24, "training__epochs": 1, "recording__embeddings": False, "model__pooling": "cls",
            **changed,
        }  # fmt: skip
        if KINDS[task].is_language:
            settings |= {"model__pooling": None, "training__head_learning_rate": None}
            settings["model__base"] = str(place / "models" / settings["model__base"])
        if KINDS[task].says in ("answer", "text"):
            settings |= {"generation__max_new_tokens": 4, "training__epochs": 3}
        made[task] = kit.train(store, **settings)
        assert made[task].status == "finished", made[task].cause
    return made


@pytest.fixture(scope="module")
def exported(store: Store, runs: dict[str, Run], place: Path) -> dict[str, Path]:
    """Task → folder, as `runner export` writes it."""
    from runner.publish.export import export
    from runner.publish.plan import plan_export

    found = {}
    for task, run in runs.items():
        done = export(plan_export(store, run), place / f"out-{task}")
        assert done.exported.loading.form == "transformers", done.exported.reason
        assert done.exported.checked.difference < 1e-5, task
        assert done.exported.checked.n_otherwise == 0
        found[task] = done.folder
    return found


def inputs_of(store: Store, run: Run) -> list[Any]:
    return next(iter_inputs(store, get_dataset(store, run.dataset_key or 0), "test"))


def code_of(out: Path) -> str:
    code = (out / "README.md").read_text().split("```python\n")[1].split("```")[0]
    return code.replace("'path/to/this/folder'", repr(str(out)))


def test_every_task_has_its_row() -> None:
    assert set(KINDS) == set(TASKS)
    assert {task: KINDS[task].body for task in TASKS} == {task: made.auto_class for task, made in TASKS.items()}
    assert set(SETTINGS) | {"text-classification", "token-classification"} == set(KINDS)  # other files try those two


def test_stock_transformers_says_the_same(store: Store, runs: dict[str, Run], exported: dict[str, Path]) -> None:
    """Logits of the class that each task's row names, without a line of ours."""
    import transformers

    for task, out in exported.items():
        model = getattr(transformers, KINDS[task].auto_class).from_pretrained(out).eval()
        tokenizer = transformers.AutoTokenizer.from_pretrained(out)
        own = load_predictor(store, runs[task], device="cpu")
        each = inputs_of(store, runs[task])[0]
        with torch.inference_mode():
            if KINDS[task].is_language:
                ids = torch.tensor([tokenizer(TEXTS[3][0])["input_ids"]])
                beside = {"labels": ids} if task == "seq2seq" else {}
                batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "targets": ids}
                assert torch.allclose(model(ids, **beside).logits, own.model(batch), atol=1e-4), task
                continue
            read = tokenizer(*pieces_of(each), return_tensors="pt")
            logits = model(**read).logits
            expected = own.model(read["input_ids"], read["attention_mask"], read.get("token_type_ids"))
        if task == "regression":
            expected = expected * own.info.settings["scale"] + own.info.settings["centre"]
            assert float(logits) > 100  # in the unit of the targets
        assert torch.allclose(logits, expected, atol=1e-3), task
        assert model.config.problem_type == PROBLEMS.get(task, "single_label_classification")
        if task == "multi-label-classification":
            assert model.config.thresholds == own.info.settings["thresholds"]


def test_the_lines_of_the_readme_need_no_assay(
    store: Store, runs: dict[str, Run], exported: dict[str, Path], tmp_path: Path
) -> None:
    """All in one process: what they say is what the run itself said of its test split."""
    asked = {task: inputs_of(store, run)[:5] for task, run in runs.items()}
    calls = {
        "pair-classification": "predict([(e['text'], e['text_pair']) for e in given]).tolist()",
        "multi-label-classification": "labels_of([e['text'] for e in given])",
        "regression": "predict([e['text'] for e in given]).tolist()",
        "rerank": "predict([(e['query'], e['document']) for e in given]).tolist()",
        "causal-lm": "[write(e['text'], max_new_tokens=3) for e in given]",
        "masked-lm": "fill(given[0]['text'] + ' ' + tokenizer.mask_token, k=2)",
        "instruction": "[write(e['messages']) for e in given]",
        "seq2seq": "[write(e['text']) for e in given]",
    }
    (tmp_path / "asked.json").write_text(json.dumps(asked))
    lines = ["import json, sys", f"asked, said = json.load(open({str(tmp_path / 'asked.json')!r})), {{}}"]
    for task, call in calls.items():
        lines += [code_of(exported[task]), f"given = asked[{task!r}]", f"said[{task!r}] = {call}"]
    lines += ["assert not {'runner', 'store', 'evals'} & set(sys.modules)", "print(json.dumps(said))"]
    ended = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    said = json.loads(ended.stdout.strip().splitlines()[-1])
    own = {}
    for task, run in runs.items():
        evaluation = get_evaluation(store, run.key, "test", best(store, run).step)
        assert evaluation is not None
        own[task] = read_responses(store, evaluation)
    names = get_dataset(store, runs["multi-label-classification"].dataset_key or 0).label_names or ()
    sets = [[names[at] for at in own["multi-label-classification"][i]["labels"]] for i in range(5)]
    assert said["multi-label-classification"] == sets
    assert np.allclose(said["regression"], [own["regression"][i] for i in range(5)], rtol=1e-4)
    assert np.allclose(said["rerank"], [own["rerank"][i]["score"] for i in range(5)], atol=1e-4)
    for task in ("instruction", "seq2seq"):
        assert said[task] == [own[task][i]["text"] for i in range(5)], task
    assert np.allclose(np.sum(said["pair-classification"], axis=1), 1)
    assert [len(each) for each in said["masked-lm"]] == [2]
    assert all(isinstance(text, str) for text in said["causal-lm"])


def test_what_goes_with_a_language_model_and_what_does_not(
    runs: dict[str, Run], exported: dict[str, Path], place: Path
) -> None:
    from transformers import AutoTokenizer, GenerationConfig

    out = exported["instruction"]
    tokenizer = AutoTokenizer.from_pretrained(out)
    assert tokenizer.chat_template == CHAT_TEMPLATE
    assert tokenizer.padding_side == "left"
    defaults = GenerationConfig.from_pretrained(out)
    assert (defaults.max_new_tokens, defaults.do_sample, defaults.num_beams) == (4, False, 1)
    for task, out in exported.items():
        names = {path.name for path in out.rglob("*") if path.is_file()}
        assert not any("optim" in name or "training" in name or name.startswith("adapter") for name in names), task
        text = all_text(out)
        assert str(place) not in text, task
        assert not any(example in text for example, _ in TEXTS[:20]), task


def test_the_card_says_what_belongs_to_the_task(exported: dict[str, Path]) -> None:
    cards = {task: (out / "README.md").read_text() for task, out in exported.items()}
    pipelines = {task: yaml.safe_load(card.split("---\n")[1])["pipeline_tag"] for task, card in cards.items()}
    assert pipelines == {task: KINDS[task].pipeline for task in exported}
    for task, parts in {
        "multi-label-classification": ("Each class on test", "| food |", "any number of labels", "Micro F1"),
        "regression": ("| test | Spearman correlation |", "no number differs by more than"),
        "pair-classification": ("def predict(pairs)", "| same |"),
        "rerank": ("How relevant the second text", "A reranker of documents", "| test | nDCG&#64;10 |"),
        "causal-lm": ("| test | Perplexity", "to the letter (8 texts)", "were read in stretches"),
        "masked-lm": ("def fill(text", "no probability of a token differs"),
        "instruction": ("def write(messages", "apply_chat_template", "not checked for truth", "ROUGE-L"),
        "seq2seq": ("'the one ' + text", "| test | chrF"),
    }.items():
        assert not [part for part in parts if part not in cards[task]], task
        assert "licence of the data | not stated" in cards[task]
        assert ("Each label" in cards[task]) is ("Each class" in cards[task]) is False or not KINDS[task].is_language


def test_an_adapter_of_a_language_model_is_what_peft_loads(
    runner: Runner, kit: Kit, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its base has a name that others know: here in the cache of the hub."""
    from huggingface_hub import constants

    cached = tmp_path / "cache" / "models--tiny--gpt2"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text("0" * 40)
    (cached / "snapshots").mkdir()
    (cached / "snapshots" / ("0" * 40)).symlink_to(place / "models" / "gpt2")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    store = open_store(tmp_path / "assay.db")
    run = kit.train(
        store, task="instruction", name="answers", model__base="tiny/gpt2", model__method="lora", model__pooling=None,
        data__source=str(place / "data.jsonl"), training__head_learning_rate=None, training__epochs=1,
        generation__max_new_tokens=4, generation__examples=4, recording__embeddings=False,
        instruction__template="alpaca", model__max_length=60, data__columns={"input": "other"},
    )  # fmt: skip
    assert run.status == "finished", run.cause
    said = runner(store, "export", run.id, str(tmp_path / "out"), "--format", "adapter", "--json")
    assert said.code == 0, said.err
    assert (said.json["format"], said.json["n_written_alike"]) == ("adapter", 8)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors", "generation_config.json", "tokenizer.json"} < names
    assert "model.safetensors" not in names
    card = (tmp_path / "out" / "README.md").read_text()
    assert "What a prompt is about follows it after '\\n\\n### Input:\\n'." in card
    assert json.loads((tmp_path / "out" / "adapter_config.json").read_text())["base_model_name_or_path"] == "tiny/gpt2"
    front = yaml.safe_load((tmp_path / "out" / "README.md").read_text().split("---\n")[1])
    assert (front["library_name"], front["base_model"], front["base_model_relation"]) == (
        "peft",
        "tiny/gpt2",
        "adapter",
    )
    said = runner(store, "export", run.id, str(tmp_path / "other"), "--format", "parts")
    assert said.code == 2
    assert "is a language model, which is one part; use transformers" in said.err


def test_stages_are_told(runner: Runner, kit: Kit, store: Store, runs: dict[str, Run], tmp_path: Path) -> None:
    first = runs["masked-lm"]
    run = kit.train(
        store, name="second", model__base=f"run:{first.id}", model__pooling="cls", training__max_steps=1,
        recording__embeddings=False,
    )  # fmt: skip
    assert get_run(store, run.key).status == "finished", run.cause
    said = runner(store, "export", run.id, str(tmp_path / "out"), "--json")
    assert said.code == 0, said.err
    card = (tmp_path / "out" / "README.md").read_text()
    assert "in 2 stages" in card
    assert f"| made of | masked-lm (`{first.id}`), masked-lm, step" in card
    assert "on masked-lm&#64;1 |" in card


def test_learnt_tokens_are_not_exported(runner: Runner, kit: Kit, store: Store, tmp_path: Path) -> None:
    run = kit.train(
        store, name="prompted", model__method="peft", model__peft={"type": "PROMPT_TUNING", "num_virtual_tokens": 4},
        training__max_steps=1, recording__embeddings=False,
    )  # fmt: skip
    said = runner(store, "export", run.id, str(tmp_path / "out"))
    assert said.code == 2
    assert "puts learnt tokens before each text (PROMPT_TUNING), which no weights hold that others load" in said.err
    assert not (tmp_path / "out").exists()
