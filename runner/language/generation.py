"""What a model writes by itself: the likeliest continuation of a prompt, or answer to a text."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import torch

from runner.inference import evaluating
from runner.language.model import LanguageModel
from runner.recipe.language import Generation

if TYPE_CHECKING:
    from transformers import GenerationConfig, PreTrainedTokenizerBase


def end_tokens(of_model: int | list[int] | None, of_tokenizer: int | None) -> list[int] | None:
    """The tokens that end an answer: those that the model knows, and the one that training puts behind answers.

    >>> end_tokens([7, 9], 9), end_tokens(50256, 0), end_tokens(None, None)
    ([7, 9], [50256, 0], None)
    """
    known = of_model if isinstance(of_model, list) else [of_model]
    return list(dict.fromkeys(each for each in (*known, of_tokenizer) if each is not None)) or None


def write_answers(
    model: LanguageModel,
    prompts: Sequence[Sequence[int]],
    tokenizer: "PreTrainedTokenizerBase",
    spec: Generation,
    dtype: torch.dtype | None = None,
) -> list[str]:
    """An answer to each prompt, given as tokens, special ones left out; the same model writes the same."""
    library, answers = model.library_model, [""] * len(prompts)
    pad = int(tokenizer.pad_token_id)
    reads_apart = bool(library.config.is_encoder_decoder)
    n_places = places_of(model)
    with evaluating(model, dtype) as device:
        for chosen in _together(prompts, spec.batch_size, alike=model.n_learnt_tokens > 0 and not reads_apart):
            width = max(1, len(prompts[chosen[0]]))
            room = spec.max_new_tokens if n_places is None else min(spec.max_new_tokens, n_places - width)
            if room < 1:
                continue
            ids = torch.full((len(chosen), width), pad)
            mask = torch.zeros_like(ids)
            for row, index in enumerate(chosen):
                n = len(prompts[index])
                here = slice(0, n) if reads_apart else slice(width - n, width)
                ids[row, here] = torch.tensor(prompts[index], dtype=torch.long)
                mask[row, here] = 1
            config = generation_config(model, tokenizer, spec, room)
            written = model.backbone.generate(  # type: ignore[operator]  # modules' attributes are typed as tensors or modules
                input_ids=ids.to(device),
                attention_mask=mask.to(device),
                generation_config=config,
            )
            new = written if reads_apart else written[:, width:]
            for index, text in zip(chosen, tokenizer.batch_decode(new, skip_special_tokens=True), strict=True):
                answers[index] = text.partition(spec.stop)[0] if spec.stop else text
    return answers


def _together(prompts: Sequence[Sequence[int]], batch_size: int, *, alike: bool) -> Iterator[list[int]]:
    """Which prompts are answered at once, the longest first. `alike`: only such of one length, because peft places
    learnt tokens before the padding, where no training had them.

    >>> list(_together([[1], [1, 2, 3], [1, 2]], 2, alike=False)), list(_together([[1], [1, 2], [3]], 2, alike=True))
    ([[1, 2], [0]], [[1], [0, 2]])
    """
    order = sorted(range(len(prompts)), key=lambda index: -len(prompts[index]))
    for _, same in groupby(order, key=lambda index: len(prompts[index]) if alike else 0):
        rows = list(same)
        yield from (rows[first : first + batch_size] for first in range(0, len(rows), batch_size))


def places_of(model: LanguageModel) -> int | None:
    """Tokens that a decoder reads and writes together; None: it has no such limit, or reads and writes apart."""
    config = model.library_model.config
    places = None if config.is_encoder_decoder else getattr(config, "max_position_embeddings", None)
    return None if places is None else places - model.n_learnt_tokens


def generation_config(
    model: LanguageModel, tokenizer: "PreTrainedTokenizerBase", spec: Generation, most_tokens: int
) -> "GenerationConfig":
    """How the model writes: always the likeliest, up to its own end."""
    from transformers import GenerationConfig

    library = model.library_model
    own = library.generation_config
    ends = end_tokens(None if own is None else own.eos_token_id, tokenizer.eos_token_id)
    return GenerationConfig(
        max_new_tokens=most_tokens,
        num_beams=spec.beams,
        do_sample=False,
        pad_token_id=int(tokenizer.pad_token_id),
        eos_token_id=ends,
        bos_token_id=tokenizer.bos_token_id,
        decoder_start_token_id=getattr(library.config, "decoder_start_token_id", None),
    )
