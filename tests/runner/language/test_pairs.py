"""Texts to be made end where a model is to stop, whatever the tokenizer puts behind them."""

from pathlib import Path

import numpy as np
from transformers import AutoTokenizer

from runner.encoding import NO_TARGET
from runner.language.pairs import PairCollator, encode_pairs
from runner.recipe.language import Seq2Seq

PAIRS = [(["the moon was here", "and the ball"], ["the moon", "a ball and a moon and a ball"])]


def targets(split: object) -> list[list[int]]:
    answers = split.answers  # type: ignore[attr-defined]  # an encoded split of pairs has them
    return [ids.tolist() for ids in np.split(answers.ids, answers.offsets[1:-1])]


def test_a_tokenizer_that_ends_its_texts_is_left_to_it(tokenizer: Path) -> None:
    made = AutoTokenizer.from_pretrained(tokenizer)
    made.eos_token = made.sep_token
    split = encode_pairs(PAIRS, made, Seq2Seq(max_target_length=5), 20)
    assert targets(split) == [made(text, truncation=True, max_length=5)["input_ids"] for text in PAIRS[0][1]]


def test_where_it_does_not_the_end_is_put_behind_and_has_room(bare_tokenizer: Path) -> None:
    made = AutoTokenizer.from_pretrained(bare_tokenizer)
    made.add_special_tokens({"eos_token": "<end>"})
    split = encode_pairs(PAIRS, made, Seq2Seq(max_target_length=5), 20)
    assert targets(split) == [[*made(text)["input_ids"][:4], made.eos_token_id] for text in PAIRS[0][1]]
    assert split.n_truncated == 1
    empty = encode_pairs([(["the moon"], [""])], made, Seq2Seq(), 20)  # a text whose answer is only asked for
    assert targets(empty) == [[made.eos_token_id]]


def test_texts_without_a_target_go_through_where_no_token_ends_one(bare_tokenizer: Path) -> None:
    made = AutoTokenizer.from_pretrained(bare_tokenizer)
    made.eos_token = None
    split = encode_pairs([(["the moon", "and the ball"], ["", ""])], made, Seq2Seq(), 20)
    batch = PairCollator(split, 0)([0, 1])
    assert batch["targets"].tolist() == [[NO_TARGET], [NO_TARGET]]
    assert batch["places"].tolist() == [[-1], [-1]]
