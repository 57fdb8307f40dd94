"""Sentences that do not fit are read in windows; every word is asked about once, where most stands around it."""

from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from benchmarks.tiny import BERT, save_model, save_tokenizer
from runner.backbone import load_backbone
from runner.classifier import TokenClassifier, build_classifier
from runner.encoding import take_rows
from runner.inference import predict_words
from runner.recipe import Model
from runner.word_encoding import encode_words
from runner.word_windows import windows_of


@given(st.lists(st.integers(0, 5), max_size=40), st.integers(1, 12))
def test_every_word_has_one_window_that_holds_it(n_pieces: list[int], room: int) -> None:
    windows = windows_of(n_pieces, room)
    assert sorted(int(word) for window in windows for word in window.answers) == list(range(len(n_pieces)))
    for window in windows:
        assert sum(n_pieces[window.start : window.end]) <= room or window.end - window.start == 1
        assert all(window.start <= word < window.end for word in window.answers)
    assert len(windows) <= max(1, len(n_pieces))


def test_long_sentences_are_predicted_to_their_end(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "bert", save_tokenizer(tmp_path / "tokenizer"), "bert", BERT)
    spec = Model(base=str(folder), max_length=16)
    model = build_classifier(load_backbone(spec), 3, spec, TokenClassifier)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    long = [f"w{i % 40}" for i in range(60)]
    short = ["the", "moon"]
    split = encode_words([long, short, long[:30]], tokenizer, 16)
    assert split.words is not None
    assert split.words.windows is not None
    assert split.n_truncated == 0
    found = predict_words(model, split, 0, 8)
    assert np.isfinite(found).all()
    alone = predict_words(model, encode_words([short], tokenizer, 16), 0, 8)
    assert np.allclose(found[60:62], alone, atol=1e-5)
    # a window is a sentence of its own: its words are read as such
    windows = windows_of([1] * 60, 14)
    second = windows[1]
    own = predict_words(model, encode_words([long[second.start : second.end]], tokenizer, 16), 0, 8)
    assert np.allclose(found[second.answers], own[second.answers - second.start], atol=1e-5)
    # some of the sentences, in another order, bring their windows with them
    turned = take_rows(split, np.array([2, 1, 0, 2]))
    assert turned.words is not None
    assert turned.words.are_answered.all()
    again = predict_words(model, turned, 0, 8)
    assert np.allclose(again, np.concatenate([found[62:], found[60:62], found[:60], found[62:]]), atol=1e-5)
    short_alone = take_rows(split, np.array([1])).words
    assert short_alone is not None
    assert short_alone.windows is None
    fits = encode_words([short], tokenizer, 16).words
    assert fits is not None
    assert fits.windows is None
