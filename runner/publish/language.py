"""Language models for others: one folder, with the tokenizer's chat template and how answers are written by default.

transformers   what the auto class of the task loads; adapters are folded into their base
adapter        what peft loads on the base, with the tokenizer beside it
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from runner.classifier import CheckpointInfo
from runner.language.dialogues import CHATML, under_headings
from runner.language.documents import start_token, tokens_around
from runner.language.generation import generation_config, places_of
from runner.language.model import LanguageModel
from runner.publish.example_language import Prompting
from runner.publish.formats import fold_adapters, save_adapter_for, save_tokenizer
from runner.publish.kinds import KINDS
from runner.recipe import Recipe
from runner.recipe.language import Instruction, Seq2Seq

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from runner.predict import Predictor
    from runner.publish.plan import Plan


def prompting_of(plan: "Plan", predictor: "Predictor") -> Prompting | None:
    """How texts are put to a run's model; None of one with a head. Its tokenizer may get a chat template."""
    model, tokenizer, recipe = predictor.model, predictor.tokenizer, plan.recipe
    if not isinstance(model, LanguageModel):
        return None
    says, settings = plan.kind.says, predictor.info.settings
    written: dict[str, Any] = {"most_tokens": recipe.generation.max_new_tokens, "n_places": places_of(model)}
    if says == "continuation":
        start = start_token(tokenizer)
        return Prompting(opening=() if start is None else (start,), **written)
    written["stop"] = recipe.generation.stop
    if says == "text":
        return Prompting(before=Seq2Seq(**settings).prefix, **written)
    if says == "gaps":
        return Prompting(**written)
    spec, columns = Instruction(**settings), recipe.data.columns
    before, behind, joint = "", spec.separator, "\n\n"
    if spec.template == "alpaca":
        before, joint, behind = under_headings("\0", "\0").split("\0")
    if columns.input:
        written["joint"] = joint
    if spec.template == "chatml":
        tokenizer.chat_template = CHATML
    if spec.template in ("chat", "chatml") or (spec.template == "auto" and columns.messages):
        return Prompting(is_chat=True, **written)
    return Prompting(opening=tuple(tokens_around(tokenizer)[0]), before=before, behind=behind, **written)


def write_language_model(
    folder: Path,
    model: LanguageModel,
    tokenizer: "PreTrainedTokenizerBase",
    info: CheckpointInfo,
    recipe: Recipe,
    base: str | None,
) -> None:
    """`base`: its public name, where the folder is to hold the adapter alone; else adapters are folded into it.

    Raises ModelError where they cannot be.
    """
    kind = KINDS[info.task]
    spec = recipe.generation
    defaults = generation_config(model, tokenizer, spec, spec.max_new_tokens) if kind.writes else None
    if base is not None:
        save_adapter_for(folder, model.backbone, base, info.revision)
        if defaults is not None:
            defaults.save_pretrained(folder)
    else:
        fold_adapters(model)
        body: Any = model.library_model
        body.config.name_or_path = ""
        if defaults is not None:
            body.generation_config = defaults
        body.save_pretrained(folder)
    is_decoder = kind.writes and not model.library_model.config.is_encoder_decoder
    save_tokenizer(folder, tokenizer, info, padding_side="left" if is_decoder else "right")
