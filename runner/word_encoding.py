"""From stored sentences to token ids: each word by itself, so that it is known which tokens are its pieces.

The first piece of a word answers for it. A word that is cut off, or is nothing that the tokenizer knows, has none.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evals.tags import Scheme, Span, scheme_tags, split_tag, tags_of
from runner.encoding import CHARACTERS_PER_TOKEN, NO_TARGET, EncodedSplit, Windows, Words
from runner.word_windows import Window, windows_of
from store import Dataset, Store, iter_inputs, read_values

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_REMEMBERED = 200_000  # different words whose pieces are kept


class Tagging(NamedTuple):
    """How tags become targets of tokens."""

    scheme: Scheme
    all_pieces: bool
    """Whether all pieces of a word learn its tag, else its first one alone."""


def encode_sentences(
    store: Store,
    dataset: Dataset,
    split: str,
    tokenizer: "PreTrainedTokenizerBase",
    max_length: int,
    tagging: Tagging,
    progress: Callable[[str, int], None] | None = None,
) -> EncodedSplit:
    """The sentences of a split with the tags that are given, long ones with the windows that read them to their end.

    What is trained on is the sentence as it is cut: `n_truncated` counts these for the training split, and sentences
    with a word of more tokens than there is room for in the others.
    """
    types = dataset.label_names or ()
    index = {tag: at for at, tag in enumerate(scheme_tags(types, tagging.scheme))}
    packed = _Windowed(WordPieces(tokenizer, max_length))
    targets = iter(read_values(store, dataset, split))
    for inputs in iter_inputs(store, dataset, split):
        for each in inputs:
            words = each["tokens"]
            spans = [Span(start, end, types[at]) for start, end, at in json.loads(next(targets))]
            packed.add(words, [index[tag] for tag in tags_of(spans, len(words), tagging.scheme)])
        if progress:
            progress(f"tokenising {split}", len(packed))
    return packed.as_split(_continued(index) if tagging.all_pieces else None, is_learnt=split == "train")


def encode_words(
    sentences: Sequence[Sequence[str]],
    tokenizer: "PreTrainedTokenizerBase",
    max_length: int,
    *,
    with_windows: bool = True,
) -> EncodedSplit:
    """Sentences from anywhere as a split without tags (all 0).

    What does not fit is read in further windows, and `n_truncated` counts sentences with a word of more tokens than
    there is room for; without windows it is cut off, and counted.
    """
    packed = _Windowed(WordPieces(tokenizer, max_length))
    for words in sentences:
        packed.add(words, [0] * len(words))
    split = packed.as_split(None, is_learnt=not with_windows)
    return split if with_windows or split.words is None else replace(split, words=replace(split.words, windows=None))


class Sentence(NamedTuple):
    """A sentence as tokens."""

    ids: list[int]
    word_of: list[int]
    """Of each token the number of its word, -1 for special tokens."""
    first: list[int]
    """Of each word the place of its first token, -1 where it has none."""
    is_cut: bool


class WordPieces:
    """Cuts sentences into the tokens of their words, with the special tokens of the model around them."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", max_length: int) -> None:
        self._tokenizer: Any = tokenizer
        self._known: dict[str, list[int]] = {}
        self._blank = " " if needs_blank(tokenizer) else ""
        self._before, self._after = _special_tokens(tokenizer)
        self._room = max(1, max_length - len(self._before) - len(self._after))

    def sentence(self, words: Sequence[str]) -> Sentence:
        """One sentence; its tokens end where the room ends."""
        ids, first = list(self._before), list[int]()
        word_of = [-1] * len(ids)
        end, is_cut = len(ids) + self._room, False
        for word, pieces in enumerate(self._pieces(words)):
            kept = pieces[: end - len(ids)]
            is_cut |= len(kept) < len(pieces)
            first.append(len(ids) if kept else -1)
            ids += kept
            word_of += [word] * len(kept)
        after = self._after if ids or self._after else [self._tokenizer.pad_token_id]  # a model needs at least one
        return Sentence(ids + after, word_of + [-1] * len(after), first, is_cut)

    def windows(self, words: Sequence[str]) -> list[Window]:
        """How to read a sentence that does not fit."""
        return windows_of([len(pieces) for pieces in self._pieces(words)], self._room)

    def has_longer(self, words: Sequence[str]) -> bool:
        """Whether one word alone is more than fits."""
        return any(len(pieces) > self._room for pieces in self._pieces(words))

    def _pieces(self, words: Sequence[str]) -> list[list[int]]:
        unknown = [word for word in dict.fromkeys(words) if word not in self._known]
        if len(self._known) + len(unknown) > _REMEMBERED:
            self._known.clear()
            unknown = list(dict.fromkeys(words))
        if unknown:
            texts = [self._blank + word[: CHARACTERS_PER_TOKEN * self._room] for word in unknown]
            output = self._tokenizer(texts, add_special_tokens=False, return_attention_mask=False, verbose=False)
            self._known |= zip(unknown, output["input_ids"], strict=True)
        return [self._known[word] for word in words]


def needs_blank(tokenizer: Any) -> bool:
    """Whether a word within a text is told from the beginning of one by the blank before it, as in GPT-2."""
    alone, within = (tokenizer.tokenize(text) for text in ("a", " a"))
    return len(within) == 1 and within != alone


def _special_tokens(tokenizer: Any) -> tuple[list[int], list[int]]:
    """What the tokenizer puts before and after a text."""
    bare = tokenizer("a", add_special_tokens=False)["input_ids"]
    whole = tokenizer("a", add_special_tokens=True)["input_ids"]
    for start in range(len(whole) - len(bare) + 1):
        if whole[start : start + len(bare)] == bare:
            return whole[:start], whole[start + len(bare) :]
    return [], []


class _Windowed:
    """Sentences end to end, as they come; behind them the windows of those that do not fit."""

    def __init__(self, pieces: WordPieces) -> None:
        self._pieces = pieces
        self._whole, self._behind = _Sentences(), _Sentences()
        self._sentence: list[int] = []
        self._asked: list[NDArray[np.int64]] = []
        self._n_words = self._n_longer = 0

    def __len__(self) -> int:
        return len(self._whole.lengths)

    def add(self, words: Sequence[str], tags: Sequence[int]) -> None:
        sentence = self._pieces.sentence(words)
        if sentence.is_cut:
            self._n_longer += self._pieces.has_longer(words)
            for window in self._pieces.windows(words)[1:]:
                part = slice(window.start, window.end)
                self._behind.add(self._pieces.sentence(words[part]), tags[part])
                asked = np.full(window.end - window.start, -1, dtype=np.int64)
                asked[window.answers - window.start] = self._n_words + window.answers
                self._asked.append(asked)
                self._sentence.append(len(self))
        self._whole.add(sentence, tags)
        self._n_words += len(words)

    def as_split(self, further: NDArray[np.int32] | None, *, is_learnt: bool) -> EncodedSplit:
        """`further`: as `_Sentences.as_split`; is_learnt: whether only what stands before the cut counts."""
        split = self._whole.as_split(further)
        if self._asked and split.words is not None:
            windows = Windows(self._behind.as_split(further), np.array(self._sentence), np.concatenate(self._asked))
            split = replace(split, words=replace(split.words, windows=windows))
        return split if is_learnt else replace(split, n_truncated=self._n_longer)


class _Sentences:
    """Sentences end to end, as they come."""

    def __init__(self) -> None:
        self._ids: list[NDArray[np.int32]] = [np.zeros(0, dtype=np.int32)]
        self._first: list[NDArray[np.int32]] = [np.zeros(0, dtype=np.int32)]
        self._word_of: list[NDArray[np.int32]] = [np.zeros(0, dtype=np.int32)]
        self._tags: list[NDArray[np.int16]] = [np.zeros(0, dtype=np.int16)]
        self.lengths: list[int] = []
        self._n_words: list[int] = []
        self._n_cut = 0

    def add(self, sentence: Sentence, tags: Sequence[int]) -> None:
        self._ids.append(np.array(sentence.ids, dtype=np.int32))
        self._first.append(np.array(sentence.first, dtype=np.int32))
        self._word_of.append(np.array(sentence.word_of, dtype=np.int32))
        self._tags.append(np.array(tags, dtype=np.int16))
        self.lengths.append(len(sentence.ids))
        self._n_words.append(len(sentence.first))
        self._n_cut += sentence.is_cut

    def as_split(self, further: NDArray[np.int32] | None) -> EncodedSplit:
        """`further`: the tag that a word's further pieces learn, by its own; None: they learn nothing."""
        offsets, starts = (_offsets(lengths) for lengths in (self.lengths, self._n_words))
        words = Words(starts, np.concatenate(self._tags), np.concatenate(self._first))
        word_of = np.concatenate(self._word_of)
        targets = np.full(len(word_of), NO_TARGET, dtype=np.int32)
        if further is not None:
            is_piece = word_of >= 0
            owner = word_of + np.repeat(starts[:-1], self.lengths)
            targets[is_piece] = further[words.tags[owner[is_piece]]]
        is_there = words.first >= 0
        sentence = np.repeat(np.arange(len(self.lengths)), self._n_words)
        targets[(offsets[sentence] + words.first)[is_there]] = words.tags[is_there]
        n_words = np.array(self._n_words, dtype=np.int64)
        return EncodedSplit(np.concatenate(self._ids), offsets, n_words, self._n_cut, None, targets, words)


def _offsets(lengths: Sequence[int]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _continued(index: Mapping[str, int]) -> NDArray[np.int32]:
    """(k,) the tag of a word's further pieces, by the tag of its first one: what begins a span goes on with I."""
    further = np.arange(len(index), dtype=np.int32)
    for tag, at in index.items():
        prefix, name = split_tag(tag)
        if prefix in ("B", "S", "U"):
            further[at] = index[f"I-{name}"]
    return further
