"""Prompts and answers as one text, of which the answers are to be learnt."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evals.triage.phrases import shortened
from runner.data.problems import Problems
from runner.encoding import NO_TARGET, EncodedSplit
from runner.errors import ModelError
from runner.language.documents import plain_tokens, tokens_around
from runner.language.pieces import pieces_of_tokens
from runner.recipe.language import Instruction

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Message = Mapping[str, str]
"""`role` (system, user, assistant, tool) and `content`."""

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""The template named `chatml`."""


class Stretch(NamedTuple):
    """A part of a text, and whether it is an answer."""

    text: str
    is_answer: bool


class Dialogue(NamedTuple):
    """An example: what was said before, and the answer to it."""

    before: str | Sequence[Message]
    """A prompt, or the messages of a chat."""
    answer: str
    input: str = ""
    """What a prompt is about; empty where there is no more than the prompt."""


def dialogue_of(inputs: Mapping[str, Any], answer: str) -> Dialogue:
    """The dialogue of a stored example."""
    return Dialogue(inputs["messages"] if "messages" in inputs else inputs["prompt"], answer, inputs.get("input", ""))


class Template:
    """How a tokenizer's model writes dialogues. Raises ModelError where the recipe asks for what it has not."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", spec: Instruction) -> None:
        self._tokenizer, self._spec = tokenizer, spec
        self._chat = CHATML if spec.template == "chatml" else tokenizer.chat_template
        if spec.template == "chat" and not self._chat:
            raise ModelError(f'instruction.template = "chat": {self._has_none}')

    _has_none = (
        "the tokenizer has no chat template. Name a model.tokenizer that has one, or set instruction.template = "
        '"chatml", or "plain" for prompts and completions.'
    )

    def stretches(self, dialogue: Dialogue) -> list[Stretch]:
        """The whole text of a dialogue, cut where its answers begin and end; the last stretch is its answer."""
        before, answer, about = dialogue
        if isinstance(before, str):
            if self._spec.template == "alpaca":
                return [Stretch(under_headings(before, about), False), Stretch(answer, True)]
            before = f"{before}\n\n{about}" if about else before
            if self._spec.template in ("auto", "plain"):
                return [Stretch(before + self._spec.separator, False), Stretch(answer, True)]
            before = [{"role": "user", "content": before}]
        elif self._spec.template in ("plain", "alpaca") or not self._chat:
            named = f'instruction.template = "{self._spec.template}"'
            what = f"{named} has no place for messages" if self._chat else self._has_none
            raise ModelError(f"the data hold messages: {what}")
        return self._chat_stretches([*before, {"role": "assistant", "content": answer}])

    @property
    def ends_itself(self) -> bool:
        """Whether the template says where an answer ends; else the tokenizer's end-of-sequence token does."""
        return self._spec.template in ("chat", "chatml")

    def _chat_stretches(self, messages: Sequence[Message]) -> list[Stretch]:
        answers = [place for place, message in enumerate(messages) if message["role"] == "assistant"]
        learnt = answers if self._spec.loss_on != "last-answer" else answers[-1:]
        whole = self._render(messages, asks=False)
        found: list[Stretch] = []
        at = 0
        for place in learnt:
            begin, end = self._render(messages[:place], asks=True), self._render(messages[: place + 1], asks=False)
            if not (whole.startswith(begin) and whole.startswith(end) and at <= len(begin) <= len(end)):
                if place != answers[-1]:
                    continue  # a template that shortens earlier turns, such as their thoughts: they are not learnt
                raise ModelError(
                    "the chat template of this tokenizer does not put an answer after the prompt that asks for it, so "
                    'where answers begin is not known. Set instruction.template = "chatml" or "plain".'
                )
            found += [Stretch(whole[at : len(begin)], False), Stretch(whole[len(begin) : len(end)], True)]
            at = len(end)
        return found

    def _render(self, messages: Sequence[Message], *, asks: bool) -> str:
        if not messages:
            return ""
        try:
            text: str = self._tokenizer.apply_chat_template(
                [dict(message) for message in messages],
                chat_template=self._chat,
                tokenize=False,
                add_generation_prompt=asks,
            )
        except Exception as error:  # whatever the template raises: it is a program of the tokenizer's author
            roles = " → ".join(message["role"] for message in messages[:6])
            raise ModelError(f"the chat template refuses a chat ({roles}): {' '.join(str(error).split())}") from error
        return text


def under_headings(prompt: str, about: str = "") -> str:
    """A prompt and what it is about as the Alpaca data were learnt, without the sentence that stood above them.

    Source: Taori et al., Stanford Alpaca: An Instruction-following LLaMA model (2023).

    >>> print(under_headings("Name the town.", "It rains in Rome."))
    ### Instruction:
    Name the town.
    <BLANKLINE>
    ### Input:
    It rains in Rome.
    <BLANKLINE>
    ### Response:
    <BLANKLINE>
    """
    parts = {"Instruction": prompt, "Input": about}
    asked = "".join(f"### {heading}:\n{text}\n\n" for heading, text in parts.items() if text)
    return f"{asked}### Response:\n"


def encode_dialogues(
    batches: Iterable[Sequence[Dialogue]],
    tokenizer: "PreTrainedTokenizerBase",
    spec: Instruction,
    max_length: int,
    *,
    split: str,
    is_all: bool = False,
    n_references: int = 0,
    n_pieces: int = 0,
) -> EncodedSplit:
    """Dialogues as tokens, answers as targets. `labels` (n,) are the UTF-8 lengths of what is learnt.

    is_all: whether max_length is all that the model can read, so that nobody can raise it.
    Answers that are too long lose their end (`n_truncated`). Raises DataError for prompts that leave no room for an
    answer, unless `instruction.long_prompts` skips them; ModelError where there is no template to write them by.
    """
    template, rows, problems = Template(tokenizer, spec), _Rows(), Problems()
    opening, _ = tokens_around(tokenizer)
    end = tokenizer.eos_token_id
    room, more = f"model.max_length = {max_length} tokens", "Raise model.max_length"
    if is_all:
        room, more = f"the {max_length:,} tokens that this model can read", "Take a model that reads more"
    for dialogues in batches:
        stretches = [template.stretches(dialogue) for dialogue in dialogues]
        tokens = iter(plain_tokens(tokenizer, [part.text for parts in stretches for part in parts]))
        for dialogue, parts in zip(dialogues, stretches, strict=True):
            is_chat = not isinstance(dialogue.before, str) or template.ends_itself
            ids: list[int] = [] if is_chat else list(opening)
            counts = [False] * len(ids)
            n_before = 0
            for part in parts:
                own = next(tokens)
                if part is parts[-1]:
                    n_before = len(ids)
                    own = own if is_chat or end is None else [*own, end]
                ids += own
                counts += [part.is_answer or spec.loss_on == "everything"] * len(own)
            if n_before >= max_length:
                if spec.long_prompts == "error":
                    problems.add_row(
                        f"the {split} split",
                        f"a prompt leaves no room for an answer in {room}",
                        f"row {len(rows) + 1} of the split, “{shortened(parts[0].text, 40)}” ({n_before:,} tokens)",
                        f'{more}, shorten them, or set instruction.long_prompts = "skip".',
                    )
                counts = [False] * len(counts)
            rows.add(ids, counts, n_before, max_length, tokenizer)
            if len(rows.pieces) < n_pieces:
                rows.pieces.append(pieces_of_tokens(tokenizer, ids[n_before:max_length]))
            if len(rows.references) < n_references:
                rows.references.append(dialogue.answer)
    problems.raise_if_any()
    return rows.as_split()


def encode_prompts(
    dialogues: Sequence[Dialogue], tokenizer: "PreTrainedTokenizerBase", spec: Instruction, max_length: int
) -> EncodedSplit:
    """What stands before the answers, as it is put to a model that is to write them; each keeps its last
    `max_length` - 1 tokens, so that there is room for one (`n_truncated`)."""
    template, rows = Template(tokenizer, spec), _Rows()
    opening, _ = tokens_around(tokenizer)
    for dialogue in dialogues:
        *before, _answer = template.stretches(dialogue)
        is_chat = not isinstance(dialogue.before, str) or template.ends_itself
        ids: list[int] = [] if is_chat else list(opening)
        for own in plain_tokens(tokenizer, [part.text for part in before]):
            ids += own
        kept = ids[-(max_length - 1) :]
        rows.add(kept, [False] * len(kept), len(kept), max_length, tokenizer)
        rows.n_cut += len(kept) < len(ids)
        rows.references.append("")
    return rows.as_split()


class _Rows:
    """Tokens end to end, as they come."""

    def __init__(self) -> None:
        self.references: list[str] = []
        self.pieces: list[tuple[str, ...]] = []
        self._ids = [np.zeros(0, dtype=np.int32)]
        self._targets = [np.zeros(0, dtype=np.int32)]
        self._lengths: list[int] = []
        self._n_before: list[int] = []
        self._n_bytes: list[int] = []
        self.n_cut = 0

    def __len__(self) -> int:
        return len(self._lengths)

    def add(
        self, ids: list[int], counts: list[bool], n_before: int, room: int, tokenizer: "PreTrainedTokenizerBase"
    ) -> None:
        self.n_cut += len(ids) > room and any(counts)
        kept = np.array(ids[:room] or [tokenizer.pad_token_id], dtype=np.int32)
        targets = np.full(len(kept), NO_TARGET, dtype=np.int32)
        learnt = np.flatnonzero(counts[:room])
        targets[learnt] = kept[learnt]
        self._ids.append(kept)
        self._targets.append(targets)
        self._lengths.append(len(kept))
        self._n_before.append(min(n_before, room))
        self._n_bytes.append(len(tokenizer.decode(kept[learnt].tolist(), skip_special_tokens=True).encode()))

    def as_split(self) -> EncodedSplit:
        offsets: NDArray[np.int64] = np.concatenate([[0], np.cumsum(self._lengths)]).astype(np.int64)
        return EncodedSplit(
            np.concatenate(self._ids),
            offsets,
            np.array(self._n_bytes, dtype=np.int64),
            self.n_cut,
            targets=np.concatenate(self._targets),
            n_before=np.array(self._n_before, dtype=np.int64),
            references=tuple(self.references),
            pieces=tuple(self.pieces),
        )
