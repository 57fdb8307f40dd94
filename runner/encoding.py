"""From stored texts to token ids, in packed arrays; batches are made of them by `runner.batches`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from runner.data.tables import readable_text
from store import Dataset, Store, iter_inputs, read_targets

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CHARACTERS_PER_TOKEN = 64
"""More than any language needs on average: so much of a text is enough to fill the room for tokens."""


NO_TARGET = -100
"""In place of a token's target where there is none: what the losses of torch leave out."""


class Ragged(NamedTuple):
    """Tokens of n texts, end to end; text i is `ids[offsets[i]:offsets[i + 1]]`."""

    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]


@dataclass(frozen=True)
class Windows:
    """More of the sentences that are longer than a model reads at once."""

    split: "EncodedSplit"
    """A row for each further window."""
    sentence: NDArray[np.int64]
    """(n_windows,) whose it is, rising."""
    asked: NDArray[np.int64]
    """(n_words of the windows,) the number, among the words of the whole split, of the word that each of them is if its
    window answers for it; -1 where another one does."""


@dataclass(frozen=True)
class Words:
    """The words of a split, end to end; those of sentence i are offsets[i] to offsets[i + 1]."""

    offsets: NDArray[np.int64]
    tags: NDArray[np.int16]
    """(n_words,) index of the given tag; 0 where none is given."""
    first: NDArray[np.int32]
    """(n_words,) place, within the sentence's tokens, of the one that answers for the word; -1 where none does."""
    windows: Windows | None = None
    """Of the words that lie behind, where they are read too."""

    def __len__(self) -> int:
        return len(self.tags)

    def of(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Of some sentences (m,) their words, end to end: the number of each, and of its sentence from 0 to m - 1."""
        counts = np.diff(self.offsets)[rows]
        sentence = np.repeat(np.arange(len(rows)), counts)
        within = np.arange(len(sentence)) - np.repeat(np.cumsum(counts) - counts, counts)
        return self.offsets[rows][sentence] + within, sentence

    def take(self, rows: NDArray[np.int64]) -> "Words":
        """The words of some sentences (m,), in that order."""
        words, _ = self.of(rows)
        offsets = np.concatenate([[0], np.cumsum(np.diff(self.offsets)[rows])]).astype(np.int64)
        return Words(offsets, self.tags[words], self.first[words], self._windows_of(rows, offsets))

    @property
    def are_answered(self) -> NDArray[np.bool_]:
        """(n_words,) whether a token answers for the word, here or in a window."""
        found = self.first >= 0
        if self.windows is not None and self.windows.split.words is not None:
            is_asked = self.windows.asked >= 0
            found[self.windows.asked[is_asked]] = self.windows.split.words.first[is_asked] >= 0
        return found

    def _windows_of(self, rows: NDArray[np.int64], offsets: NDArray[np.int64]) -> Windows | None:
        """Those of some sentences (m,), whose words begin at offsets (m + 1,) when they are taken by themselves."""
        if self.windows is None:
            return None
        begins, ends = (np.searchsorted(self.windows.sentence, rows, side=side) for side in ("left", "right"))
        taken = np.concatenate([np.zeros(0, dtype=np.int64), *map(np.arange, begins, ends)])
        if not len(taken):
            return None
        of = np.repeat(np.arange(len(rows)), ends - begins)
        assert self.windows.split.words is not None, "windows are of words"
        words, window = self.windows.split.words.of(taken)
        asked, further = self.windows.asked[words], (offsets[:-1] - self.offsets[rows])[of[window]]
        return Windows(take_rows(self.windows.split, taken), of, np.where(asked < 0, -1, asked + further))


@dataclass(frozen=True)
class EncodedSplit:
    """One split as token ids, end to end in one array; text i is `ids[offsets[i]:offsets[i + 1]]`."""

    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]
    labels: NDArray[Any]
    """Targets: (n,) label indices or numbers, (n, k) 0 or 1 for each label; of sentences (n,) how many words."""
    n_truncated: int
    types: NDArray[np.int8] | None = None
    """As `ids`: 0 for tokens of the first text, 1 for those of the second; None where the model knows no such thing."""
    targets: NDArray[np.int32] | None = None
    """As `ids`: what is to be said of each token, NO_TARGET of tokens that nothing is to be said of; None where targets
    are of whole texts."""
    words: Words | None = None
    """Where targets are of words."""
    n_before: NDArray[np.int64] | None = None
    """(n,) tokens of each text before the answer that it ends with; None where there is none."""
    answers: "Ragged | None" = None
    """What is to be said of each text by a model that reads and writes apart."""
    references: tuple[str, ...] = ()
    """Those answers as text, of the first examples."""
    groups: NDArray[np.int64] | None = None
    """(n,) equal for examples that are judged together; None where each is judged by itself."""
    pieces: tuple[tuple[str, ...], ...] = ()
    """Of the first examples what each token that is judged stands for in the text; of an answer from its begin."""

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each text."""
        return np.diff(self.offsets)

    @property
    def n_tokens(self) -> int:
        return len(self.ids)


def encode_split(
    store: Store,
    dataset: Dataset,
    split: str,
    tokenizer: "PreTrainedTokenizerBase",
    max_length: int,
    progress: Callable[[str, int], None] | None = None,
    *,
    labels: NDArray[Any] | None = None,
) -> EncodedSplit:
    """Tokenise a split batch by batch: the texts are never all in memory, the ids take 4 bytes a token.

    `labels` (n, ...) are the targets; by default label indices as the store has them.
    """
    packed = _Packed()
    for inputs in iter_inputs(store, dataset, split):
        packed.add(_encode(tokenizer, [pieces_of(each) for each in inputs], max_length))
        if progress:
            progress(f"tokenising {split}", len(packed.lengths))
    return packed.as_split(read_targets(store, dataset, split) if labels is None else labels)


def encode_texts(
    texts: Sequence[tuple[str, ...]], tokenizer: "PreTrainedTokenizerBase", max_length: int
) -> EncodedSplit:
    """Texts, or pairs of them, from anywhere as a split without labels (all 0)."""
    packed = _Packed()
    packed.add(_encode(tokenizer, texts, max_length))
    return packed.as_split(np.zeros(len(texts), dtype=np.int64))


def pieces_of(inputs: Mapping[str, Any]) -> tuple[str, ...]:
    """The texts of an example, in the order in which a model reads them; of words or chats one text."""
    return tuple(inputs[name] for name in ("text", "text_pair", "query", "document") if name in inputs) or (
        readable_text(inputs),
    )


def take_rows(split: EncodedSplit, rows: NDArray[np.int64]) -> EncodedSplit:
    """Some rows (m,) of a split, in that order. How many of them were cut is not known any more: 0."""
    lengths = split.lengths[rows]
    spans = [slice(split.offsets[row], split.offsets[row + 1]) for row in rows.tolist()]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    ids = np.concatenate([np.zeros(0, dtype=np.int32), *(split.ids[span] for span in spans)])
    types = split.types
    if types is not None:
        types = np.concatenate([np.zeros(0, dtype=np.int8), *(types[span] for span in spans)])
    targets = split.targets
    if targets is not None:
        targets = np.concatenate([np.zeros(0, dtype=np.int32), *(targets[span] for span in spans)])
    words = None if split.words is None else split.words.take(rows)
    groups = None if split.groups is None else split.groups[rows]
    return EncodedSplit(ids, offsets, split.labels[rows], 0, types, targets, words, groups=groups)


def first_tokens(split: EncodedSplit, n: int) -> EncodedSplit:
    """At most the first `n` tokens of each text."""
    if not len(split) or split.lengths.max() <= n:
        return split
    kept = np.arange(split.n_tokens) - np.repeat(split.offsets[:-1], split.lengths) < n
    offsets = np.concatenate([[0], np.cumsum(np.minimum(split.lengths, n))]).astype(np.int64)

    def of(values: NDArray[Any] | None) -> NDArray[Any] | None:
        return None if values is None else values[kept]

    return replace(split, ids=split.ids[kept], offsets=offsets, types=of(split.types), targets=of(split.targets))


def cut_words(name: str, split: EncodedSplit, max_length: int) -> str:
    """What of a split is too long for the model, in a sentence."""
    of = f"{split.n_truncated:,} of {len(split):,} {name}"
    if split.words is None:
        return f"{of} texts are longer than model.max_length = {max_length} tokens and are cut"
    if name != "train":
        return f"{of} sentences have a word that alone is longer than model.max_length = {max_length} tokens; it is cut"
    return (
        f"{of} sentences are longer than model.max_length = {max_length} tokens: their end is not learnt; "
        "evaluations read it"
    )


class _Encoded(NamedTuple):
    """Tokens of some examples, each a list; types are None where the model knows none."""

    ids: list[list[int]]
    types: list[list[int]] | None
    are_cut: list[bool]


class _Packed:
    """Tokens end to end, as they come."""

    def __init__(self) -> None:
        self._ids: list[NDArray[np.int32]] = [np.zeros(0, dtype=np.int32)]
        self._types: list[NDArray[np.int8]] = []
        self.lengths: list[int] = []
        self._n_truncated = 0

    def add(self, encoded: _Encoded) -> None:
        self._ids.append(np.array(list(chain.from_iterable(encoded.ids)), dtype=np.int32))
        if encoded.types is not None:
            self._types.append(np.array(list(chain.from_iterable(encoded.types)), dtype=np.int8))
        self.lengths += map(len, encoded.ids)
        self._n_truncated += sum(encoded.are_cut)

    def as_split(self, labels: NDArray[Any]) -> EncodedSplit:
        offsets = np.concatenate([[0], np.cumsum(self.lengths)]).astype(np.int64)
        types = np.concatenate(self._types) if self._types else None
        return EncodedSplit(np.concatenate(self._ids), offsets, labels, self._n_truncated, types)


def _encode(tokenizer: "PreTrainedTokenizerBase", texts: Sequence[tuple[str, ...]], max_length: int) -> _Encoded:
    # The beginning of a text of 100 kB is enough, unless its tokens turn out to be extraordinarily long.
    room = CHARACTERS_PER_TOKEN * max_length
    encoded = _tokenise(tokenizer, [tuple(text[:room] for text in pieces) for pieces in texts], max_length)
    for i, pieces in enumerate(texts):
        if any(len(text) > room for text in pieces) and not encoded.are_cut[i]:
            whole = _tokenise(tokenizer, [pieces], max_length)
            encoded.ids[i], encoded.are_cut[i] = whole.ids[0], whole.are_cut[0]
            if encoded.types is not None and whole.types is not None:
                encoded.types[i] = whole.types[0]
    # A text of nothing that the tokenizer knows: one pad token stands for it, for a model needs at least one.
    ids = [ids or [tokenizer.pad_token_id] for ids in encoded.ids]
    types = None if encoded.types is None else [types or [0] for types in encoded.types]
    return _Encoded(ids, types, encoded.are_cut)


def _tokenise(tokenizer: "PreTrainedTokenizerBase", texts: Sequence[tuple[str, ...]], max_length: int) -> _Encoded:
    is_pair = bool(texts) and len(texts[0]) > 1
    has_types = is_pair and "token_type_ids" in tokenizer.model_input_names

    def output_of(some: Sequence[tuple[str, ...]], length: int) -> Any:
        columns = [list(column) for column in zip(*some, strict=True)]
        return tokenizer(
            *columns,
            truncation=True,
            max_length=length,
            return_attention_mask=False,
            return_token_type_ids=has_types,
            verbose=False,
        )

    if not texts:
        return _Encoded([], None, [])
    output = output_of(texts, max_length)
    ids: list[list[int]] = output["input_ids"]
    types: list[list[int]] | None = output["token_type_ids"] if has_types else None
    if output.encodings is not None:
        return _Encoded(ids, types, [bool(encoding.overflowing) for encoding in output.encodings])
    # A tokenizer in Python does not say what it left out: a text that fills the room is looked at once more.
    full = [i for i, some in enumerate(ids) if len(some) >= max_length]
    longer = output_of([texts[i] for i in full], max_length + 1)["input_ids"] if full else []
    cut = {i for i, some in zip(full, longer, strict=True) if len(some) > max_length}
    return _Encoded(ids, types, [i in cut for i in range(len(ids))])
