"""Learnt tokens before what a language model reads: they learn, come back, and stand where they stood."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.tiny import CLUES, rows
from runner.backbone import load_backbone
from runner.errors import ModelError
from runner.language.generation import write_answers
from runner.language.model import LanguageModel, build_language_model
from runner.predict import load_predictor
from runner.recipe import Model
from runner.recipe.language import Generation
from store import Store, get_evaluation, list_events, list_scores, read_predictions, read_responses
from tests.runner.conftest import Kit
from tests.runner.test_commands import Runner, runner

__all__ = ["runner"]  # the fixture

SWAP = dict(zip(CLUES, ("bread", "goal", "moon"), strict=True))
T5 = {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2, "decoder_start_token_id": 0}


def settings(kit: Kit, folder: Path, task: str, kind: str) -> dict[str, Any]:
    records = [{"text": text, "prompt": text, "completion": SWAP[label]} for text, label in rows(120, seed=4)]
    (folder / "all.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    common: dict[str, Any] = {
        "task": task, "name": task, "data__source": str(folder / "all.jsonl"), "model__base": str(kit.gpt2),
        "model__max_length": 24, "model__pooling": None, "training__head_learning_rate": None,
        "model__method": "peft", "model__peft.type": kind, "model__peft.num_virtual_tokens": 4,
        "training__learning_rate": 0.1, "training__epochs": 4,
    }  # fmt: skip
    if task == "seq2seq":
        folder = folder / "t5"
        t5 = Model(base="scratch:t5", tokenizer=str(kit.tokenizer), config=T5)
        torch.manual_seed(0)
        backbone = load_backbone(t5, "AutoModelForSeq2SeqLM")
        backbone.model.save_pretrained(folder)
        backbone.tokenizer.save_pretrained(folder)
        common |= {"model__base": str(folder), "data__columns": {"target": "completion"}}
    return common if task == "causal-lm" else {**common, "generation__examples": 12, "generation__max_new_tokens": 4}


@pytest.mark.parametrize(
    ("task", "kind"),
    [
        ("instruction", "PROMPT_TUNING"), ("instruction", "PREFIX_TUNING"), ("causal-lm", "P_TUNING"),
        ("seq2seq", "PROMPT_TUNING"),
    ],
)  # fmt: skip
def test_they_learn_and_a_checkpoint_says_what_the_run_said(
    runner: Runner, kit: Kit, store: Store, tmp_path: Path, task: str, kind: str
) -> None:
    run = kit.train(store, **settings(kit, tmp_path, task, kind))
    assert run.status == "finished", run.cause
    scores = list_scores(store, [run.key], best_only=False)
    losses = scores[(scores["split"] == "test") & (scores["metric"] == "loss")].sort_values("step")["value"]
    assert losses.iloc[-1] < losses.iloc[0] - 0.02
    if task == "causal-lm":
        events = list_events(store, run.key)
        warned = events[events["kind"] == "warning"]["message"]
        assert warned.str.contains("learnt tokens stand before a row").any()
    out = tmp_path / "said.jsonl"
    said = runner(store, "predict", run.id, "--split", "test", "--out", str(out), "--device", "cpu")
    assert said.code == 0, said.err
    answers = [json.loads(line) for line in out.read_text().splitlines()]
    evaluation = get_evaluation(store, run.key, "test")
    assert evaluation is not None
    if task == "causal-lm":
        assert np.allclose([a["loss"] for a in answers], read_predictions(store, evaluation).loss, atol=1e-3)
        return
    own = read_responses(store, evaluation)
    assert [answer["answer"] for answer in answers[:12]] == [own[at]["text"] for at in range(12)]
    predictor = load_predictor(store, run, device="cpu")
    assert isinstance(predictor.model, LanguageModel)
    assert predictor.model.n_learnt_tokens == 4


@pytest.mark.parametrize("kind", ["PROMPT_TUNING", "PREFIX_TUNING"])
def test_what_is_written_is_likeliest_whatever_stands_beside_it(kit: Kit, kind: str) -> None:
    spec = Model.model_validate(
        {"base": str(kit.gpt2), "method": "peft", "peft": {"type": kind, "num_virtual_tokens": 3}, "max_length": 24}
    )
    backbone = load_backbone(spec, "AutoModelForCausalLM")
    model = build_language_model(backbone, spec).eval()
    torch.manual_seed(2)
    for name, parameter in model.named_parameters():
        if "prompt_encoder" in name:
            parameter.data.normal_()
        elif parameter.ndim == 2:
            parameter.data.mul_(6)  # livelier than the usual start
    prompts = [backbone.tokenizer(text)["input_ids"] for text in ("the moon was", "a ball", "the sun", "two and very")]
    together = write_answers(model, prompts, backbone.tokenizer, Generation(max_new_tokens=5, batch_size=4))
    assert together == [
        write_answers(model, [prompt], backbone.tokenizer, Generation(max_new_tokens=5))[0] for prompt in prompts
    ]
    ids = torch.tensor([prompts[0]])
    for _ in range(5):  # token by token, as evaluations look at texts
        with torch.inference_mode():
            logits = model({"input_ids": ids, "attention_mask": torch.ones_like(ids)})
        assert logits.shape[1] == ids.shape[1]
        ids = torch.cat([ids, logits[:, -1:].argmax(-1)], dim=1)
    assert backbone.tokenizer.decode(ids[0, len(prompts[0]) :], skip_special_tokens=True).strip() in together[0]


def test_rows_of_several_texts_have_no_place_for_them(kit: Kit, store: Store, tmp_path: Path) -> None:
    asked = settings(kit, tmp_path, "instruction", "PROMPT_TUNING")
    with pytest.raises(ModelError, match=r"training\.packing = true: learnt tokens stand before a row"):
        kit.train(store, **asked, training__packing=True)
