"""Tiny real models with a tokenizer of their own, and texts that can be learnt: seconds instead of minutes."""

from pathlib import Path

import numpy as np

CLUES = {
    "food": ("bread", "soup", "apple", "cheese", "spoon"),
    "sport": ("ball", "goal", "race", "team", "coach"),
    "sky": ("cloud", "star", "moon", "rain", "wind"),
}
FILLERS = ("the", "a", "of", "and", "was", "is", "very", "then", "here", "there", "one", "two")

BERT = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
}
GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64}


def words() -> list[str]:
    """Every word that `rows` uses."""
    return [*FILLERS, *(word for clues in CLUES.values() for word in clues), *(f"w{i}" for i in range(40))]


def rows(n: int, *, seed: int, clues: dict[str, tuple[str, ...]] = CLUES) -> list[tuple[str, str]]:
    """`n` different texts of 3 to 12 words with their labels; one clue word says the label."""
    rng = np.random.default_rng(seed)
    made: dict[str, str] = {}
    labels = list(clues)
    while len(made) < n:
        label = labels[len(made) % len(labels)]
        text = [str(word) for word in rng.choice([*FILLERS, *(f"w{i}" for i in range(40))], rng.integers(2, 12))]
        text.insert(int(rng.integers(0, len(text) + 1)), str(rng.choice(clues[label])))
        made.setdefault(" ".join(text), label)
    return list(made.items())


def save_tokenizer(folder: Path) -> Path:
    """A WordPiece tokenizer of whole words, with CLS, SEP and PAD."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words()])}
    raw = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    raw.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])]
    )
    made = PreTrainedTokenizerFast(
        tokenizer_object=raw, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]"
    )
    made.save_pretrained(folder)
    return folder


def save_bare_tokenizer(folder: Path) -> Path:
    """As GPT-2's: no special token but the end of a text, nothing to pad with, nothing around a text."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    raw.train_from_iterator(words(), trainers.BpeTrainer(vocab_size=300, special_tokens=["<end>"], show_progress=False))
    PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<end>").save_pretrained(folder)
    return folder


def save_model(folder: Path, tokenizer: Path, kind: str, settings: dict[str, int]) -> Path:
    """A model of random weights (always the same) with its tokenizer: something to load, to freeze and to adapt."""
    import torch
    from transformers import AutoConfig, AutoModel, AutoTokenizer

    loaded = AutoTokenizer.from_pretrained(tokenizer)
    with torch.random.fork_rng():
        torch.manual_seed(7)
        config = AutoConfig.for_model(kind, vocab_size=len(loaded), **settings)
        model = AutoModel.from_config(config)
        for parameter in model.parameters():  # livelier than the usual start: two layers then tell words apart
            if parameter.ndim == 2:
                parameter.data.mul_(8)
    model.save_pretrained(folder)
    loaded.save_pretrained(folder)
    return folder
