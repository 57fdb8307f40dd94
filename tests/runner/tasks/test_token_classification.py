"""Tags of words, from files to a finished run: it learns, and the store has what it said."""

import json
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from benchmarks.tiny import CLUES, FILLERS, save_tokenizer
from evals import metrics
from evals.tags import Scheme, scheme_tags
from runner.classifier import TokenClassifier, load_classifier
from runner.data.problems import DataError
from runner.encoding import NO_TARGET, take_rows
from runner.recipe import RecipeError, parse_recipe
from runner.tasks.objective import TokenCrossEntropy
from runner.triage.after import triage_after
from runner.word_encoding import Tagging, WordPieces, encode_sentences
from store import (
    NewRow,
    Store,
    get_dataset,
    get_evaluation,
    list_checkpoints,
    list_events,
    list_findings,
    list_queue,
    read_predictions,
    read_responses,
    read_values,
    record_dataset,
)
from tests.runner.conftest import Kit
from tests.runner.tasks.test_tasks import scores_of

N = {"train": 300, "validation": 60, "test": 60}


def sentence(draw: random.Random) -> tuple[list[str], list[str]]:
    """Words of a topic are spans of it: three begin one, the others go on with it."""
    words, tags = list[str](), list[str]()
    for _ in range(draw.randint(1, 3)):
        filler = draw.sample(FILLERS, draw.randint(1, 3))
        words += filler
        tags += ["O"] * len(filler)
        topic = draw.choice(sorted(CLUES))
        n = draw.randint(1, 2)
        words += [draw.choice(CLUES[topic][:3]), draw.choice(CLUES[topic][3:])][:n]
        tags += [f"B-{topic}", f"I-{topic}"][:n]
    return words, tags


def files(folder: Path) -> dict[str, str]:
    draw = random.Random(3)
    for split, n in N.items():
        blocks = ["".join(f"{word}\t{tag}\n" for word, tag in zip(*sentence(draw), strict=True)) for _ in range(n)]
        (folder / f"{split}.conll").write_text("\n".join(blocks))
    return {split: str(folder / f"{split}.conll") for split in N}


SETTINGS: dict[str, Any] = {
    "task": "token-classification",
    "training__epochs": 6,
    "training__learning_rate": 1e-2,
    "training__batch_size": 16,
    "model__max_length": 32,
}


@pytest.mark.parametrize("method", ["full", "lora", "top-layers"])
def test_it_learns_spans(kit: Kit, store: Store, tmp_path: Path, method: str) -> None:
    run = kit.train(store, **SETTINGS, data__source=files(tmp_path), model__method=method)
    assert run.status == "finished", run.cause
    assert run.select_metric == "validation/entity_f1"
    scores = scores_of(store, run)
    assert set(scores["test", 0]) == set(metrics.TASKS["token-classification"])
    evaluation = get_evaluation(store, run.key, "test")
    assert evaluation is not None
    best = scores["test", evaluation.step]
    assert best["entity_f1"] > (0.8 if method == "full" else 0.4)
    assert scores["test", 0]["entity_f1"] < 0.2
    dataset = get_dataset(store, run.dataset_key or 0)
    given = [json.loads(value) for value in read_values(store, dataset, "test")]
    said = read_responses(store, evaluation)
    assert len(said) == N["test"]
    n_right = sum(span[:3] in given[at] for at, answer in said.items() for span in answer["spans"])
    n_all = sum(map(len, given)) + sum(len(answer["spans"]) for answer in said.values())
    assert best["entity_f1"] == pytest.approx(2 * n_right / n_all)
    assert all(0 <= span[3] <= 1 for answer in said.values() for span in answer["spans"])
    predictions = read_predictions(store, evaluation)
    words = [at for at, answer in said.items() if answer["least"][1] < 0.5]
    assert set(words) <= set(np.argsort(-predictions.loss)[: 2 * len(words) + 1].tolist())
    (checkpoint,) = [each for each in list_checkpoints(store, run.key, existing=True) if each.is_best]
    model, _, info = load_classifier(store.files / checkpoint.path)
    assert isinstance(model, TokenClassifier)
    assert info.settings == {"scheme": "BIO"}
    assert info.labels == ("food", "sky", "sport")


def test_another_scheme_and_all_pieces(kit: Kit, store: Store, tmp_path: Path) -> None:
    """GPT-2 has no special tokens and cuts words into pieces."""
    run = kit.train(
        store,
        **SETTINGS | {"model__max_length": 8},
        data__source=files(tmp_path),
        model__base=str(kit.gpt2),
        model__tag_scheme="BILOU",
        training__label_pieces="all",
        training__label_smoothing=0.1,
    )
    assert run.status == "finished", run.cause
    evaluation = get_evaluation(store, run.key, "test")
    assert evaluation is not None
    scores = scores_of(store, run)
    assert scores["test", evaluation.step]["entity_f1"] > scores["test", 0]["entity_f1"] + 0.2
    (checkpoint,) = [each for each in list_checkpoints(store, run.key, existing=True) if each.is_best]
    assert load_classifier(store.files / checkpoint.path)[0].head.linear.out_features == 1 + 3 * 4
    given = [json.loads(value) for value in read_values(store, get_dataset(store, run.dataset_key or 0), "test")]
    said = read_responses(store, evaluation)
    behind = [(at, span) for at, spans in enumerate(given) for span in spans if span[0] >= 8]
    found = [span in [each[:3] for each in said[at]["spans"]] for at, span in behind]
    assert len(found) >= 20
    assert np.mean(found) > 0.3, "sentences are read to their end"
    (warned,) = [each for each in list_events(store, run.key)["message"] if "max_length" in each]
    assert " of 300 train sentences are longer than model.max_length = 8 tokens: their end is not learnt" in warned


def test_words_and_tokens_stay_together(store: Store, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(save_tokenizer(tmp_path / "tokenizer"))
    rows = [
        NewRow("train", "x", "[[1, 3, 0]]", None, {"tokens": ["the", "bread,soup", "ball", " ", "moon"]}),
        NewRow("train", "y", "[]", None, {"tokens": ["a"]}),
    ]
    dataset = record_dataset(store, "d", rows, label_names=("X",), source={}, fingerprint="f")
    first = encode_sentences(store, dataset, "train", tokenizer, 8, Tagging(Scheme.BIO, False))
    every = encode_sentences(store, dataset, "train", tokenizer, 8, Tagging(Scheme.BIO, True))
    for split in (first, every):
        assert split.words is not None
        assert tokenizer.convert_ids_to_tokens(split.ids[:8].tolist()) == [
            "[CLS]", "the", "bread", "[UNK]", "soup", "ball", "moon", "[SEP]"
        ]  # fmt: skip
        assert split.words.tags.tolist() == [0, 1, 2, 0, 0, 0]
        assert split.words.first.tolist() == [1, 2, 5, -1, 6, 1]
    none = NO_TARGET
    assert first.targets is not None
    assert every.targets is not None
    assert first.targets.tolist() == [none, 0, 1, none, none, 2, 0, none, none, 0, none]
    assert every.targets.tolist() == [none, 0, 1, 2, 2, 2, 0, none, none, 0, none]
    turned = take_rows(first, np.array([1, 0, 1]))
    assert turned.words is not None
    assert turned.words.first.tolist() == [1, 1, 2, 5, -1, 6, 1]
    assert turned.words.offsets.tolist() == [0, 1, 6, 7]
    cut = encode_sentences(store, dataset, "train", tokenizer, 5, Tagging(Scheme.BIO, True))
    assert cut.words is not None
    assert cut.n_truncated == 1
    assert cut.words.first.tolist() == [1, 2, -1, -1, -1, 1]


def test_blanks_before_words_where_they_count(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    raw.train_from_iterator(["a bread and a ball and a moon"] * 9, trainer)
    made = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<end>", pad_token="<end>")
    found = WordPieces(made, 9).sentence(["bread", "ball"])
    assert made.convert_ids_to_tokens(found.ids)[0].startswith("Ġ")
    assert found.ids == made(" bread ball")["input_ids"]


def test_a_recipe_without_words_is_refused(tmp_path: Path) -> None:
    text = (
        'name = "x"\ntask = "token-classification"\nmodel = { base = "gpt2", method = "head" }\n'
        'data = { source = "a.jsonl", columns = { text = "t" } }\ntraining.class_weights = { X = -1 }\n'
    )
    with pytest.raises(RecipeError) as caught:
        parse_recipe(text, folder=tmp_path)
    said = {problem.path: problem.message for problem in caught.value.problems}
    assert set(said) == {"model.method", "data.columns.text", "training.class_weights.X"}
    assert "token-classification needs one of each word" in said["model.method"]


def test_weights_of_types_and_of_rare_tags(kit: Kit, store: Store, tmp_path: Path) -> None:
    source = files(tmp_path)
    once = SETTINGS | {"training__epochs": 1, "data__source": source}
    with pytest.raises(DataError, match="names 'foot'; the types of spans are food, sky, sport, O"):
        kit.train(store, **once, training__class_weights={"foot": 2.0})
    run = kit.train(store, **once, training__class_weights="balanced")
    assert run.status == "finished", run.cause
    objective = TokenCrossEntropy(0.0, weights=torch.tensor([1.0, 3.0]))
    logits, targets = torch.tensor([[[0.0, 1.0], [2.0, 0.0], [0.5, 0.5]]]), torch.tensor([[0, 1, NO_TARGET]])
    batch = {"input_ids": targets, "attention_mask": targets, "targets": targets}
    found = objective.loss(lambda *_: logits, batch)  # type: ignore[arg-type]  # a function does for a module
    nats = -logits[0].log_softmax(1)
    assert float(found.total) == pytest.approx(float(nats[0, 0] + 3 * nats[1, 1]))
    assert float(objective.weight([batch])) == 4
    assert float(objective.weight([batch | {"targets": torch.tensor([[NO_TARGET]])}])) == 1


def test_tags_in_order() -> None:
    assert scheme_tags(["X"], Scheme.BIOES) == ("O", "B-X", "I-X", "E-X", "S-X")


def test_triage_compares_held_out_spans(kit: Kit, store: Store, tmp_path: Path) -> None:
    """A sentence of the test split whose spans were taken away is found by a run that never saw it."""
    source = files(tmp_path)
    path = Path(source["test"])
    first, *rest = path.read_text().split("\n\n")
    path.write_text("\n\n".join([re.sub(r"\t[BI]-\S+", "\tO", first), *rest]))
    run = kit.train(store, **SETTINGS, data__source=source)
    said, triage = triage_after(store, run, "quiet")
    assert triage is not None, said
    assert triage.status == "finished", triage.cause
    assert "300 training examples with spans, those that tiny learnt the least first" in said
    queue = list_queue(store, triage, get_dataset(store, triage.dataset_key), limit=20)
    assert set(queue["split"]) == {"train"}
    assert triage.summary["judged"]["score"] == f"area_under_margin@{run.id}"
    found = list_findings(store, triage.key, kind="span_error")
    assert set(found["split"]) <= {"validation", "test"}
    mine = found[(found["split"] == "test") & (found["position"] == 0)]
    assert mine["risk"].tolist() == [1.0]
    assert "ghost" in mine["evidence"].iloc[0]["kinds"]
    worst = list_findings(store, triage.key, kind="token_label", split="test", position=0)
    assert worst["risk"].tolist()[0] > 0.9
