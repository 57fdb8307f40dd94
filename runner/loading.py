"""A run's model from its checkpoint folder, whatever its task."""

from pathlib import Path
from typing import TYPE_CHECKING

from runner.classifier import CheckpointInfo, TextModel, load_body, load_classifier, load_weights, read_info
from runner.language.model import LanguageModel
from runner.tasks import TASKS

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from runner.recipe import Model


def load_model(
    folder: Path, spec: "Model | None" = None
) -> tuple[TextModel, "PreTrainedTokenizerBase", CheckpointInfo]:
    """As `load_classifier`, of language models too."""
    from transformers import AutoTokenizer

    info = read_info(folder)
    auto_class = TASKS[info.task].auto_class if info.task in TASKS else "AutoModel"
    if auto_class == "AutoModel":
        return load_classifier(folder, spec)
    model = LanguageModel(load_body(folder, info, spec, auto_class))
    load_weights(folder, model)
    return model.eval(), AutoTokenizer.from_pretrained(folder / "tokenizer"), info
