"""Tiny decoders of several kinds, and texts of very different lengths."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from runner.backbone import Backbone, load_backbone
from runner.language.model import LanguageModel, build_language_model
from runner.recipe import Model

TEXTS = ["the moon was here " * n + "and the ball" for n in (1, 2, 13, 3, 6, 1)]

KINDS: dict[str, dict[str, Any]] = {
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64},
    "llama": {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2},
    "opt": {
        "hidden_size": 32,
        "ffn_dim": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "word_embed_proj_dim": 32,
    },
}

Make = Callable[..., tuple[LanguageModel, Backbone]]


@pytest.fixture
def make(bare_tokenizer: Path) -> Make:
    """`make("gpt2")`: a language model of random weights, the same each time, and its backbone."""

    def made(kind: str, max_length: int = 24, **settings: Any) -> tuple[Any, Backbone]:
        config = {"vocab_size": 200, **KINDS[kind], **settings}
        spec = Model(base=f"scratch:{kind}", tokenizer=str(bare_tokenizer), config=config, max_length=max_length)
        torch.manual_seed(0)
        backbone = load_backbone(spec, "AutoModelForCausalLM")
        model = build_language_model(backbone, spec)
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.data.mul_(8)  # livelier than the usual start
        return model.eval(), backbone

    return made


def largest_difference(a: Any, b: Any) -> float:
    """Between two arrays that are nan in the same places."""
    assert np.array_equal(np.isnan(a), np.isnan(b))
    return float(np.nanmax(np.abs(a - b)))
