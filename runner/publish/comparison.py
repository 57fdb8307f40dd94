"""Whether an exported model answers as the run's own does: both are asked the same, one by the lines of its README."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from runner.encoding import EncodedSplit, encode_texts, pieces_of
from runner.language.documents import tokens_around
from runner.language.generation import write_answers
from runner.language.model import LanguageModel
from runner.predict import Predictor
from runner.publish.card import Checked
from runner.publish.example_language import Prompting
from runner.publish.kinds import Kind
from runner.publish.questions import as_given
from runner.word_encoding import encode_words

TOLERANCE = 1e-4
"""Largest difference of a probability, or of a number in standard deviations of the training targets."""

N_TOKENS = 32
"""Of each text of a language model: tokens whose probabilities are compared, and tokens that are written."""


class Differs(Exception):
    """What was written does not answer as the run's model does."""


class Own(NamedTuple):
    """What the run's own model says."""

    values: NDArray[np.float64] | None = None
    """Of a head: (n, k) probabilities, of words (n_words, k), or (n, 1) numbers; nan: nothing is said of a word."""
    prompts: Sequence[Sequence[int]] = ()
    """Of a language model: the tokens of each text."""
    probs: Sequence[NDArray[np.float32]] = ()
    """(tokens, vocabulary) each: of the first of them."""
    written: Sequence[str] = ()


def ask_own(predictor: Predictor, questions: Sequence[Mapping[str, Any]], kind: Kind, prompting: Prompting) -> Own:
    """What the run's own model says of stored inputs."""
    if kind.is_language:
        return _own_language(predictor, questions, kind, prompting)
    if kind.says == "tags":
        sentences = [each["tokens"] for each in questions]  # cut as the lines of the README cut them
        split = encode_words(sentences, predictor.tokenizer, predictor.max_length, with_windows=False)
    else:
        split = encode_texts([pieces_of(each) for each in questions], predictor.tokenizer, predictor.max_length)
    outputs = torch.from_numpy(predictor.outputs(split)).double()
    if kind.says == "number":
        settings = predictor.info.settings
        return Own((outputs * settings["scale"] + settings["centre"]).numpy())
    if kind.says == "relevance":
        return Own((outputs.sigmoid() * predictor.info.settings["most"]).numpy())
    return Own((outputs.sigmoid() if kind.says == "labels" else outputs.softmax(1)).numpy())


def compare(
    own: Own, code: str, questions: Sequence[Mapping[str, Any]], kind: Kind, prompting: Prompting, *, scale: float = 1.0
) -> Checked:
    """Run the lines of a README, and hold what they say against the run's own model. Raises Differs.

    scale: of numbers, what counts as 1.
    """
    names: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), names)  # our own lines, with the folder filled in
    given = [as_given(each, kind, prompting) for each in questions]
    if kind.is_language:
        return _compare_language(own, names, given, kind, prompting)
    assert own.values is not None, "a head says something of every text"
    found = _of_words(names["predict"], given) if kind.says == "tags" else _of_texts(names["predict"], given)
    if found.shape != own.values.shape or not (np.isnan(found) == np.isnan(own.values)).all():
        raise Differs("it answers for other words than the run's own model")
    difference = float(np.nanmax(np.abs(found - own.values))) / scale
    if not difference <= TOLERANCE:
        what = "numbers, in standard deviations of the training targets," if kind.says == "number" else "probabilities"
        raise Differs(f"its {what} differ by up to {difference:.2g} from the run's own model")
    return Checked(len(questions), difference)


def _of_texts(predict: Callable[[list[Any]], Any], given: Sequence[Any], batch_size: int = 16) -> NDArray[np.float64]:
    pieces = [
        predict(list(given[first : first + batch_size])).double().numpy() for first in range(0, len(given), batch_size)
    ]
    values: NDArray[np.float64] = np.concatenate(pieces)
    return values if values.ndim == 2 else values[:, None]


def _of_words(predict: Callable[[Sequence[str]], Mapping[int, Any]], sentences: Sequence[Any]) -> NDArray[np.float64]:
    """Probabilities (n_words, k) of all words; nan for those without an answer."""
    rows = []
    for words in sentences:
        answers = {word: p.double().numpy() for word, p in predict(words).items()}
        k = len(next(iter(answers.values()), np.zeros(1)))
        rows += [answers.get(word, np.full(k, np.nan)) for word in range(len(words))]
    return np.stack(rows)


# language models -----------------------------------------------------------------------------------------------------


def _own_language(
    predictor: Predictor, questions: Sequence[Mapping[str, Any]], kind: Kind, prompting: Prompting
) -> Own:
    model = predictor.model
    assert isinstance(model, LanguageModel)
    split = predictor.answers.encode(questions, predictor.tokenizer, predictor.max_length)
    prompts = _prompts(split, kind, predictor)
    probs = [_probabilities(lambda ids: model({"input_ids": ids, **_beside(model, ids)}), ids) for ids in prompts]
    written = []
    for ids in prompts if kind.writes else ():
        spec = predictor.generation.model_copy(update={"max_new_tokens": _room(ids, prompting)})
        written += write_answers(model, [ids], predictor.tokenizer, spec)
    return Own(None, prompts, probs, written)


def _prompts(split: EncodedSplit, kind: Kind, predictor: Predictor) -> list[list[int]]:
    rows = [split.ids[a:b].tolist() for a, b in zip(split.offsets, split.offsets[1:], strict=False)]
    if kind.says == "continuation":
        return [row[-(predictor.max_length - 1) :] for row in rows]
    if kind.says == "gaps":
        before, behind = tokens_around(predictor.tokenizer)
        room = predictor.max_length - len(before) - len(behind)
        return [[*before, *row[:room], *behind] for row in rows]
    return rows


def _beside(model: LanguageModel, ids: torch.Tensor) -> dict[str, torch.Tensor]:
    if model.library_model.config.is_encoder_decoder:
        return {"attention_mask": torch.ones_like(ids), "targets": ids}
    return {"attention_mask": torch.ones_like(ids)}


def _room(ids: Sequence[int], prompting: Prompting) -> int:
    """Tokens that are written to a prompt when models are compared."""
    room = N_TOKENS if prompting.n_places is None else min(N_TOKENS, prompting.n_places - len(ids))
    return min(room, prompting.most_tokens)


def _probabilities(logits: Callable[[torch.Tensor], torch.Tensor], ids: Sequence[int]) -> NDArray[np.float32]:
    """(tokens, vocabulary) of the first tokens of a text."""
    with torch.inference_mode():
        found: NDArray[np.float32] = logits(torch.tensor([list(ids)[:N_TOKENS]]))[0].float().softmax(-1).numpy()
    return found


def _compare_language(
    own: Own, names: Mapping[str, Any], given: Sequence[Any], kind: Kind, prompting: Prompting
) -> Checked:
    model, n_otherwise, n_written, difference = names["model"], 0, 0, 0.0

    def logits(ids: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = model(ids, **({"labels": ids} if kind.says == "text" else {})).logits
        return found

    for at, (ids, each) in enumerate(zip(own.prompts, given, strict=True)):
        if list(names["encode"](each)) != list(ids):
            n_otherwise += 1
            continue
        difference = max(difference, float(np.abs(_probabilities(logits, ids) - own.probs[at]).max()))
        if not difference <= TOLERANCE:
            raise Differs(f"its probabilities of tokens differ by up to {difference:.2g} from the run's own model")
        room = _room(ids, prompting)
        if kind.writes and room > 0:
            if names["write"](each, max_new_tokens=room) != own.written[at]:
                raise Differs("it writes another text than the run's own model")
            n_written += 1
    if n_otherwise == len(given):
        raise Differs("the tokens of its texts are other ones than in training")
    return Checked(len(given) - n_otherwise, difference, n_written if kind.writes else None, n_otherwise)
