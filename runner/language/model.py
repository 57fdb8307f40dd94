"""A language model: a backbone that comes with the layer above it that says tokens."""

from typing import Any

from torch import Tensor, nn

from runner.backbone import Backbone
from runner.batches import Batch
from runner.classifier import TextModel, trained_body
from runner.recipe import Model


class LanguageModel(TextModel):
    """Decoder, encoder with a layer for masked tokens, or both. `forward` gives logits (rows, tokens, vocabulary)."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__(backbone, "mean")

    def forward(self, batch: Batch) -> Tensor:
        """Logits of every place of a batch; of what is written, where that is apart from what is read."""
        read: dict[str, Tensor] = {
            name: batch[name] for name in ("input_ids", "attention_mask", "position_ids") if name in batch
        }
        config = self.library_model.config
        if config.is_encoder_decoder:
            read["labels"] = batch["targets"]  # each model has its own way to begin; it makes it of these
        settings = {"use_cache": False} if hasattr(config, "use_cache") else {}
        logits: Tensor = self.backbone(**read, **settings).logits
        return logits if config.is_encoder_decoder else logits[:, -batch["input_ids"].shape[1] :]

    @property
    def n_learnt_tokens(self) -> int:
        """How many tokens that no tokenizer knows stand before each text (prompt tuning and its like)."""
        body: Any = self.backbone
        config = body.peft_config["default"] if hasattr(body, "peft_config") else None
        return int(config.num_virtual_tokens) if config is not None and config.is_prompt_learning else 0

    @property
    def library_model(self) -> Any:
        """The model of transformers, without what peft puts around it."""
        body: Any = self.backbone
        return body.get_base_model() if hasattr(body, "get_base_model") else body

    def hidden(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        model = self.library_model
        reader = model.get_encoder() if model.config.is_encoder_decoder else model.base_model
        return reader(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state  # type: ignore[no-any-return]  # transformers outputs are untyped here


def build_language_model(backbone: Backbone, spec: Model) -> LanguageModel:
    """The model, with exactly those weights trainable that the method names. Raises ModelError."""
    return LanguageModel(trained_body(backbone, spec))
