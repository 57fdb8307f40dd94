"""Tasks that say tokens, from a file to a finished run: they learn, and the store has what they said."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.tiny import BERT, CLUES, FILLERS, rows
from evals.dynamics import decode
from runner.data.problems import DataError
from runner.errors import ModelError
from runner.language.model import LanguageModel
from runner.recipe import RecipeError
from runner.triage.after import triage_after
from store import (
    Run,
    Store,
    get_dataset,
    get_evaluation,
    iter_dynamics,
    list_checkpoints,
    list_events,
    list_findings,
    list_runs,
    list_scores,
    open_store,
    read_answers,
    read_embeddings,
    read_predictions,
    read_responses,
    read_target_tokens,
    read_values,
)
from tests.runner.conftest import Kit
from tests.runner.sameness import differences, everything
from tests.runner.test_resume import before, go_on, killed

GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64}
T5 = {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2, "decoder_start_token_id": 0}
SWAP = dict(zip(CLUES, ("bread", "goal", "moon"), strict=True))
"""Label → the word that answers for it: one that tokenizers know."""


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Texts with an answer that one of their words tells; every ninth text is longer than the model."""
    folder = tmp_path_factory.mktemp("language")
    every = rows(360, seed=4)
    cut = {"train": every[:300], "validation": every[300:330], "test": every[330:]}
    found = {}
    for split, part in cut.items():
        records = [
            {"text": text if i % 9 else " ".join([text] * 5), "prompt": text, "completion": SWAP[label]}
            for i, (text, label) in enumerate(part)
        ]
        path = folder / f"{split}.jsonl"
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
        found[split] = str(path)
    return found


def settings(kit: Kit, task: str, sources: dict[str, str], **changed: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "causal-lm": {"model__base": str(kit.gpt2)},
        "masked-lm": {"model__base": str(kit.folder / "masked")},
        "instruction": {"model__base": str(kit.gpt2)},
        "seq2seq": {
            "model__base": "scratch:t5", "model__tokenizer": str(kit.tokenizer), "model__config": T5,
            "data__columns": {"target": "completion"},
        },
    }[task]  # fmt: skip
    common = {
        "task": task, "name": task, "data__source": sources, "model__max_length": 24, "model__pooling": None,
        "training__epochs": 4, "training__head_learning_rate": None, "training__batch_size": 16,
    }  # fmt: skip
    return {**common, **base, **changed}


@pytest.fixture(scope="module", autouse=True)
def _masked(kit: Kit) -> None:
    """A tiny BERT whose tokenizer can hide tokens."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForMaskedLM

    tokenizer = AutoTokenizer.from_pretrained(kit.tokenizer)
    tokenizer.add_special_tokens({"mask_token": "[MASK]"})
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64
    )
    BertForMaskedLM(config).save_pretrained(kit.folder / "masked")
    tokenizer.save_pretrained(kit.folder / "masked")
    BertForMaskedLM(config).save_pretrained(kit.folder / "without-mask")
    AutoTokenizer.from_pretrained(kit.tokenizer).save_pretrained(kit.folder / "without-mask")


def scores_of(store: Store, run: Run, split: str = "test") -> dict[int, dict[str, float]]:
    """Step → metric → value."""
    found: dict[int, dict[str, float]] = {}
    for row in list_scores(store, [run.key]).itertuples():
        if row.split == split:
            found.setdefault(int(row.step), {})[str(row.metric)] = float(row.value)
    return found


@pytest.mark.parametrize(
    ("task", "changed"),
    [("causal-lm", {}), ("causal-lm", {"model__method": "lora", "training__packing": False}), ("masked-lm", {})],
)
def test_going_on_with_raw_text(
    kit: Kit, store: Store, sources: dict[str, str], task: str, changed: dict[str, Any]
) -> None:
    run = kit.train(store, **settings(kit, task, sources, **changed))
    assert run.status == "finished", run.cause
    scores = scores_of(store, run)
    first, *_, last = scores.values()
    assert last["loss"] < first["loss"] - 0.1
    assert last["perplexity"] == pytest.approx(np.exp(last["loss"]))
    assert ("bits_per_byte" in last) == (task == "causal-lm")
    evaluation = get_evaluation(store, run.key, "test")
    assert evaluation is not None
    losses = read_predictions(store, evaluation).loss
    assert np.isfinite(losses).all()
    assert len(losses) == 30
    embedded = read_embeddings(store, run.key, "train")
    assert embedded is not None
    assert embedded.shape == (300, 32)
    assert list_checkpoints(store, run.key, existing=True)


@pytest.mark.parametrize("task", ["instruction", "seq2seq"])
def test_answers_are_learnt_and_written(kit: Kit, store: Store, sources: dict[str, str], task: str) -> None:
    run = kit.train(
        store,
        **settings(kit, task, sources, training__epochs=8, generation__examples=20, generation__max_new_tokens=4),
    )
    assert run.status == "finished", run.cause
    scores = scores_of(store, run)
    first, *_, last = scores.values()
    assert last["loss"] < first["loss"] / 2
    assert {"exact_match", "token_f1", "rougeL", "bleu", "chrf", "perplexity", "bits_per_byte"} <= set(last)
    evaluation = get_evaluation(store, run.key, "test")
    assert evaluation is not None
    said = read_responses(store, evaluation)
    written = [said[at]["text"] for at in range(20)]
    assert len(set(written) & set(SWAP.values())) > 1  # not the same to everything
    assert set(said[20]) == {"n_tokens", "n_bytes", "tokens"}, "nobody asked it to write that one"
    read = read_values(store, get_dataset(store, int(run.dataset_key or 0)), "test")
    for at in range(30):  # the tokens together are the answer, and their losses its loss
        pieces, nats = zip(*said[at]["tokens"], strict=True)
        assert json.loads(read[at]) in "".join(pieces)
        assert np.mean(nats) == pytest.approx(read_answers(store, evaluation).loss[at], abs=1e-2)
        assert said[at]["n_tokens"] == len(nats)
    # dynamics: how much the model agrees with an answer, as if the answer were one of two classes
    epochs = [decode(row.words, row.n_classes, np.zeros(300, dtype=np.int64)) for row in iter_dynamics(store, run.key)]
    assert len(epochs) == 8
    agreement = [float(np.mean(epoch.p_given)) for epoch in epochs]
    assert agreement[-1] > agreement[0] + 0.2
    # and what the best weights say of every token of the training answers, with and without the prompt
    tokens = read_target_tokens(store, run.key, "train")
    assert tokens is not None
    assert len(tokens.offsets) == 301
    assert np.isfinite(tokens.log_probs.astype(np.float32)).all()
    assert float(np.mean(np.exp(tokens.log_probs.astype(np.float64)))) > 0.5
    if task == "instruction":
        assert tokens.alone is not None
        assert tokens.alone.mean() < tokens.log_probs.mean()  # the prompt says which answer it is


def test_rows_of_several_texts_say_the_same_and_fewer_are_needed(
    kit: Kit, store: Store, sources: dict[str, str]
) -> None:
    alone, together = (
        kit.train(
            store,
            **settings(
                kit,
                "instruction",
                sources,
                name=f"packing {packs}",
                training__packing=packs,
                training__epochs=1,
                generation__examples=0,
            ),
        )
        for packs in (False, True)
    )
    a, b = scores_of(store, alone), scores_of(store, together)
    assert a[0] == b[0]
    assert "exact_match" not in a[0]
    assert max(b) < max(a)


def test_a_model_that_cannot_keep_texts_apart_gets_rows_of_one(kit: Kit, store: Store, sources: dict[str, str]) -> None:
    opt = {
        "model__base": "scratch:opt", "model__tokenizer": str(kit.gpt2),
        "model__config": {
            "hidden_size": 32, "ffn_dim": 64, "num_hidden_layers": 1, "num_attention_heads": 2,
            "word_embed_proj_dim": 32, "max_position_embeddings": 64,
        },
    }  # fmt: skip
    run = kit.train(store, **settings(kit, "causal-lm", sources, training__epochs=1, **opt))
    assert run.status == "finished", run.cause
    events = list_events(store, run.key)
    warned = events[events["kind"] == "warning"]["message"]
    assert warned.str.contains("models of type opt do not keep texts apart").any()
    with pytest.raises(ModelError, match=r"training\.packing = true: models of type opt do not keep texts apart"):
        kit.train(store, **settings(kit, "causal-lm", sources, training__packing=True, **opt))
    assert len(list_runs(store)) == 1


@pytest.mark.parametrize(
    ("task", "base", "said"),
    [
        ("seq2seq", "gpt2", "of type gpt2, and the task needs one that reads one text and writes another"),
        ("masked-lm", "gpt2", "of type gpt2, and the task needs one that fills gaps"),
        ("masked-lm", "bert", "lacks the layer that says tokens"),
        ("causal-lm", "bert", "lacks the layer that says tokens.*a decoder such as gpt2"),
    ],
)
def test_a_model_that_was_made_for_something_else(
    kit: Kit, store: Store, sources: dict[str, str], task: str, base: str, said: str
) -> None:
    folder = {"model__base": str(kit.folder / base), "model__tokenizer": None, "model__config": None}
    with pytest.raises(ModelError, match=said):
        kit.train(store, **settings(kit, task, sources, **folder))
    assert len(list_runs(store)) == 0


@pytest.mark.parametrize("task", ["causal-lm", "instruction"])
def test_a_model_that_reads_both_ways_foretells_nothing(
    kit: Kit, store: Store, sources: dict[str, str], task: str
) -> None:
    both = {
        "model__base": "scratch:bert",
        "model__tokenizer": str(kit.gpt2),
        "model__config": {**BERT, "pad_token_id": 0},
    }
    with pytest.raises(ModelError, match=r"this model \(bert\) sees the tokens that it is to foretell.*masked-lm"):
        kit.train(store, **settings(kit, task, sources, **both))
    assert len(list_runs(store)) == 0
    decoder = {**both, "model__config": {**BERT, "pad_token_id": 0, "is_decoder": True}, "training__max_steps": 1}
    run = kit.train(store, **settings(kit, task, sources, generation__examples=None, **decoder))
    assert run.status == "finished", run.cause


@pytest.mark.parametrize(
    ("task", "changed", "said"),
    [
        ("causal-lm", {"model__method": "head"}, "causal-lm trains no head"),
        ("causal-lm", {"masked_lm__share": 0.3}, "belongs to masked-lm, and the task is causal-lm"),
        ("masked-lm", {"training__packing": True}, "belongs to causal-lm or instruction"),
        ("seq2seq", {"evaluation__select": "validation/accuracy"}, "must be validation/loss"),
        (
            "instruction",
            {"evaluation__select": "validation/rougeL", "generation__examples": 0},
            "is measured of what the model writes",
        ),
    ],
)
def test_recipes_that_cannot_be(
    kit: Kit, store: Store, sources: dict[str, str], task: str, changed: dict[str, Any], said: str
) -> None:
    with pytest.raises(RecipeError, match=said):
        kit.train(store, **settings(kit, task, sources, **changed))


def test_prompts_without_room_are_named_in_every_split(kit: Kit, store: Store, sources: dict[str, str]) -> None:
    with pytest.raises(DataError) as caught:
        kit.train(store, **settings(kit, "instruction", sources, model__max_length=8))
    assert [problem.split(":")[0].split(",")[0] for problem in caught.value.problems] == [
        "the train split", "the validation split", "the test split"
    ]  # fmt: skip
    assert len(list_runs(store)) == 0


def test_a_tokenizer_that_cannot_hide_tokens_is_refused(kit: Kit, store: Store, sources: dict[str, str]) -> None:
    with pytest.raises(ModelError, match="no mask token"):
        kit.train(store, **settings(kit, "masked-lm", sources, model__base=str(kit.folder / "without-mask")))
    assert len(list_runs(store)) == 0


STILL = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}  # nothing falls otherwise in pieces


def test_where_memory_runs_out_rows_of_several_texts_go_on_in_pieces(
    kit: Kit, store: Store, sources: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = {
        "model__base": "scratch:gpt2", "model__tokenizer": str(kit.gpt2), "model__config": {**GPT2, **STILL},
        "training__packing": True, "training__epochs": 2, "generation__examples": 0,
    }  # fmt: skip
    plain = kit.train(store, **settings(kit, "instruction", sources, **changed))
    forward = LanguageModel.forward

    def limited(self: LanguageModel, batch: Any) -> Any:
        if self.training and len(batch["input_ids"]) > 5:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(self, batch)

    monkeypatch.setattr(LanguageModel, "forward", limited)
    cut = kit.train(store, **settings(kit, "instruction", sources, name="cut", **changed))
    assert cut.status == "finished", cut.cause
    assert "memory" in set(list_events(store, cut.key)["kind"])
    a, b = scores_of(store, plain), scores_of(store, cut)
    assert [row["loss"] for row in b.values()] == pytest.approx([row["loss"] for row in a.values()], rel=1e-3)
    for one, other in zip(iter_dynamics(store, plain.key), iter_dynamics(store, cut.key), strict=True):
        given = np.zeros(300, dtype=np.int64)
        p, q = (decode(row.words, row.n_classes, given).p_given for row in (one, other))
        assert np.isfinite(q).all()
        assert np.abs(p - q).max() < 0.02


@pytest.mark.parametrize("task", ["masked-lm", "instruction"])
def test_a_run_that_was_killed_ends_the_same(kit: Kit, sources: dict[str, str], tmp_path: Path, task: str) -> None:
    changed = settings(kit, task, sources, training__epochs=2, evaluation__every=7, checkpoints__keep="all")
    changed |= {"training__packing": True, "generation__examples": 3} if task == "instruction" else {}
    whole, broken = (open_store(tmp_path / f"{name}.db") for name in ("whole", "broken"))
    expected = everything(whole, kit.train(whole, **changed))
    ended = go_on(broken, killed(kit, broken, before("training_step", 10), **changed))
    assert ended.status == "finished", ended.cause
    assert differences(everything(broken, ended), expected) == []


def test_triage_looks_at_prompts_and_answers(kit: Kit, store: Store, tmp_path: Path) -> None:
    """Answers of words at random are what a model that learnt the others does not expect."""
    every, draw = rows(360, seed=6), random.Random(3)
    records = [{"prompt": text, "completion": SWAP[label]} for text, label in every]
    odd = range(0, 300, 20)
    for place in odd:
        records[place]["completion"] = " ".join(draw.choices(FILLERS, k=5))
    records[7]["completion"] = "I'm sorry, but I can't help with that"
    source = {}
    for split, part in {"train": records[:300], "validation": records[300:330], "test": records[330:]}.items():
        path = tmp_path / f"{split}.jsonl"
        path.write_text("".join(json.dumps(record) + "\n" for record in part))
        source[split] = str(path)
    run = kit.train(store, **settings(kit, "instruction", source, training__epochs=10, generation__examples=0))
    said, triage = triage_after(store, run, "quiet")
    assert triage is not None, said
    assert triage.status == "finished", triage.cause
    assert "300 training examples whose targets are texts" in said
    refused = list_findings(store, triage.key, kind="refusal")
    assert refused[["split", "position"]].values.tolist() == [["train", 7]]
    hard = list_findings(store, triage.key, kind="hard_target").sort_values("risk", ascending=False)
    assert set(hard["split"]) == {"train"}  # of other splits no token was looked at
    assert len(set(hard["position"].head(15)) & set(odd)) >= 12
    assert len(list_findings(store, triage.key, kind="mismatched_answer")) > 0
