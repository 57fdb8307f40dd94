"""The lines that load an exported language model without Assay, and have it write. Loads no torch."""

from dataclasses import dataclass

from runner.publish.kinds import Kind


@dataclass(frozen=True)
class Prompting:
    """How texts are put to a language model, and how it writes."""

    opening: tuple[int, ...] = ()
    """Tokens before a text that it goes on with."""
    before: str = ""
    """Text before what is given."""
    behind: str = ""
    """Text behind it."""
    joint: str | None = None
    """Text between a prompt and what it is about; None: there is no more than the prompt."""
    is_chat: bool = False
    """What is given are messages, written by the tokenizer's chat template."""
    stop: str | None = None
    """Text before which an answer is cut off."""
    most_tokens: int = 128
    """Of an answer."""
    n_places: int | None = None
    """Tokens that a decoder can read and write together; None: no such limit."""


_LOADING = """\
import torch
{peft_import}from transformers import {auto_class}, AutoTokenizer{generation_import}

folder = {folder!r}
tokenizer = AutoTokenizer.from_pretrained(folder)
model = {model}.eval()
{generation}

def encode({given}):
    \"\"\"Tokens, as in training.{joint}\"\"\"
    return {ids}


"""

_WRITES = """\
def write({given}, **settings):
    \"\"\"{doc}; `settings` are those of model.generate, such as max_new_tokens.\"\"\"
    ids = torch.tensor([encode({given})])
{room}    with torch.inference_mode():
        written = model.generate(ids, attention_mask=torch.ones_like(ids), **settings)
    return tokenizer.decode(written[0{new}], skip_special_tokens=True){stop}
"""

_FILLS = """\
def fill(text, k=5):
    \"\"\"For each mask token of a text its k likeliest tokens, each with its probability.\"\"\"
    ids = torch.tensor([encode(text)])
    with torch.inference_mode():
        probs = model(ids).logits[0].softmax(-1)
    best = probs[ids[0] == tokenizer.mask_token_id].topk(k)
    tokens = [[tokenizer.decode([token]) for token in row] for row in best.indices.tolist()]
    return [list(zip(*row)) for row in zip(tokens, best.values.tolist())]
"""

_DOCS = {
    "continuation": "How the model goes on with a text",
    "answer": "What the model answers",
    "text": "What the model makes of a text",
}


def language_example(kind: Kind, folder: str, prompting: Prompting, max_length: int, base: str | None) -> str:
    """Python that defines `encode` and `write`, or of a masked language model `fill`. `base`: arguments that load the
    base of an adapter; None: the folder holds a whole model."""
    model = f"{kind.auto_class}.from_pretrained(folder)"
    if base is not None:
        model = f"PeftModel.from_pretrained({kind.auto_class}.from_pretrained({base}), folder)"
    sets_defaults = base is not None and kind.writes  # those of a whole model are found by from_pretrained
    loading = _LOADING.format(
        folder=folder,
        auto_class=kind.auto_class,
        model=model,
        given=_given(kind, prompting),
        joint="" if prompting.joint is None else f" What a prompt is about follows it after {prompting.joint!r}.",
        ids=_ids(kind, prompting, max_length),
        peft_import="" if base is None else "from peft import PeftModel\n",
        generation_import=", GenerationConfig" if sets_defaults else "",
        generation="model.get_base_model().generation_config = GenerationConfig.from_pretrained(folder)\n"
        if sets_defaults
        else "",
    )
    if not kind.writes:
        return loading + _FILLS
    most, places = prompting.most_tokens, prompting.n_places
    room = f'    settings.setdefault("max_new_tokens", min({most}, {places} - ids.shape[1]))\n' if places else ""
    return loading + _WRITES.format(
        given=_given(kind, prompting),
        doc=_DOCS[kind.says],
        room=room,
        new="" if kind.says == "text" else ", ids.shape[1] :",
        stop=f".partition({prompting.stop!r})[0]" if prompting.stop else "",
    )


def _given(kind: Kind, prompting: Prompting) -> str:
    """What the lines call that which the model gets."""
    return "messages" if prompting.is_chat else "prompt" if kind.says == "answer" else "text"


def _ids(kind: Kind, prompting: Prompting, max_length: int) -> str:
    """An expression: the tokens of what is given."""
    given = _given(kind, prompting)
    if kind.says in ("text", "gaps"):
        whole = f"{prompting.before!r} + {given}" if prompting.before else given
        return f'tokenizer({whole}, truncation=True, max_length={max_length})["input_ids"]'
    if prompting.is_chat:
        text = "tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)"
    else:
        around = [repr(prompting.before) if prompting.before else "", given, repr(prompting.behind)]
        text = " + ".join(part for part in around if part not in ("", "''"))
    ids = f'tokenizer({text}, add_special_tokens=False)["input_ids"]'
    if prompting.opening:
        ids = f"({list(prompting.opening)!r} + {ids})"
    return f"{ids}[-{max_length - 1} :]"
