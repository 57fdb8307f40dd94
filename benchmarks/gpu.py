"""Full fine-tune, LoRA and QLoRA of one model of Llama's shape with random weights: memory, speed, size, MFU.

    python -m benchmarks.gpu            # 1.4 billion parameters, on one GPU
    python -m benchmarks.gpu --small    # a few thousand, anywhere: shows that it works, judges nothing

The task is causal-lm on made-up words, in rows of the full length. Prints a Markdown table; --json for programs.

MFU is the share of the device's dense 16-bit peak that the model's own arithmetic makes up: 6N + 12·L·h·T operations a
token where all N weights learn (Chowdhery et al. 2022, arXiv:2204.02311, appendix B), 4N + 8·L·h·T where adapters do,
whose weights below need no gradients of their own. Recomputing activations counts for nothing, as there.
"""

import argparse
import gc
import io
import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from runner.progress import make_progress
from runner.quiet import quiet_libraries
from runner.recipe import parse_recipe
from runner.train import train
from store import get_cost, list_checkpoints, open_store

PEAKS = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "L4": 121e12, "A10G": 70e12, "4090": 165e12}
"""Part of a GPU's name → dense bf16 operations a second, from the makers' data sheets."""


class Size(NamedTuple):
    """The model's shape, tokens of a row, rows of a batch, and optimizer steps."""

    vocabulary: int
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    intermediate: int
    length: int
    batch: int
    steps: int


FULL = Size(32_000, 2048, 22, 32, 8, 8192, 1024, 8, 30)
SMALL = Size(400, 64, 2, 4, 2, 128, 32, 2, 2)

METHODS = {
    "full": "",
    "lora": '[model.lora]\nr = 16\ntarget_modules = "all-linear"\n',
    "qlora": '[model.lora]\nr = 16\ntarget_modules = "all-linear"\n[model.quantization]\nbits = 4\n',
}


@dataclass(frozen=True)
class Row:
    """What a method came to. None: not measured."""

    method: str
    parameters: int
    trained: int | None
    peak_bytes: int | None
    tokens_per_second: float | None
    checkpoint_bytes: int | None
    mfu: float | None
    cause: str | None = None


def measure(size: Size, folder: Path, methods: tuple[str, ...] = tuple(METHODS)) -> list[Row]:
    """Train by each method in a new store below `folder`."""
    base = save_llama(folder / "base", size)
    data = save_texts(folder, size)
    store = open_store(folder / "gpu.db")
    rows = []
    for method in methods:
        text = recipe_text(method, base, data, size)
        run = train(parse_recipe(text, folder=folder), store, make_progress("quiet", io.StringIO()))
        cost = get_cost(store, run.key)
        checkpoint = next((c for c in list_checkpoints(store, run.key, existing=True)), None)
        n = n_parameters(size)
        speed = cost.tokens_per_second
        on_gpu = cost.peak_device_bytes is not None
        rows.append(
            Row(
                method,
                n,
                cost.trainable_parameters,
                cost.peak_device_bytes if on_gpu else cost.peak_host_bytes,
                speed,
                None if checkpoint is None else checkpoint.size_bytes,
                None if speed is None else mfu(size, method, speed),
                None if run.status == "finished" else run.cause,
            )
        )
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    store.close()
    return rows


def recipe_text(method: str, base: Path, data: Path, size: Size) -> str:
    """The recipe of one method: the same data, batches and steps for all."""
    return f"""
name = "gpu-{method}"
task = "causal-lm"
[model]
base = {json.dumps(str(base))}
method = "{method}"
max_length = {size.length}
{METHODS[method]}
[data]
source.train = {json.dumps(str(data / "train.jsonl"))}
source.validation = {json.dumps(str(data / "validation.jsonl"))}
[training]
max_steps = {size.steps}
batch_size = {size.batch}
learning_rate = 1e-4
gradient_checkpointing = {"true" if size is FULL else "false"}
[evaluation]
every = {size.steps}
batch_size = {size.batch}
[checkpoints]
keep = "last"
[recording]
embeddings = false
[triage]
after_training = false
"""


def save_llama(folder: Path, size: Size) -> Path:
    """A model of random weights, in 16 bits, with a tokenizer of whole words."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = {"<end>": 0, "<unk>": 1} | {f"w{i}": i + 2 for i in range(size.vocabulary - 2)}
    raw = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<end>", unk_token="<unk>").save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=size.vocabulary,
        hidden_size=size.hidden,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=size.kv_heads,
        intermediate_size=size.intermediate,
        max_position_embeddings=size.length,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=0,
    )
    torch.manual_seed(0)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = LlamaForCausalLM(config).to(torch.bfloat16)
    model.save_pretrained(folder)
    return folder


def save_texts(folder: Path, size: Size) -> Path:
    """Texts of words of which some follow others more often, one row of the model each."""
    rng = np.random.default_rng(0)
    for name, n in {"train": size.batch * size.steps, "validation": size.batch}.items():
        lines = []
        for _ in range(n):
            ids = np.cumsum(rng.integers(1, 7, size.length - 2)) % (size.vocabulary - 2)
            lines.append(json.dumps({"text": " ".join(f"w{i}" for i in ids)}))
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def n_parameters(size: Size) -> int:
    """Of the model, with the embedding, which is its output layer too, counted once.

    >>> round(n_parameters(FULL) / 1e9, 2)
    1.4
    """
    kv = size.hidden * size.kv_heads // size.heads
    layer = 2 * size.hidden * (size.hidden + kv) + 3 * size.hidden * size.intermediate + 2 * size.hidden
    return size.vocabulary * size.hidden + size.layers * layer + size.hidden


def operations_per_token(size: Size, method: str) -> float:
    """Of forward and backward pass; see the head of this file."""
    weights, attention = (6, 12) if method == "full" else (4, 8)
    return weights * n_parameters(size) + attention * size.layers * size.hidden * size.length


def mfu(size: Size, method: str, tokens_per_second: float) -> float | None:
    """Share of the device's peak, in [0, 1]; None for a device whose peak is not in PEAKS."""
    if not torch.cuda.is_available():
        return None
    name = torch.cuda.get_device_name()
    peak = next((flops for part, flops in PEAKS.items() if part in name), None)
    return None if peak is None else tokens_per_second * operations_per_token(size, method) / peak


def table(rows: list[Row], size: Size) -> str:
    """Markdown: which device, and a line for each method."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    where = "device memory" if torch.cuda.is_available() else "process memory"
    lines = [
        f"{device}: {n_parameters(size):,} parameters, rows of {size.length:,} tokens, {size.batch} a batch",
        "",
        f"| method | trained | peak {where} | tokens/s | MFU | checkpoint |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        cells = [
            row.method,
            _said(row.trained, "{:,}"),
            _said(row.peak_bytes, "{:.2f} GB", 1e9),
            _said(row.tokens_per_second, "{:,.0f}"),
            _said(row.mfu, "{:.1%}"),
            _said(row.checkpoint_bytes, "{:,.1f} MB", 1e6),
        ]
        lines.append(f"| {' | '.join(cells)} |" + (f" {row.cause}" if row.cause else ""))
    return "\n".join(lines)


def _said(value: float | None, form: str, unit: float = 1) -> str:
    return "not measured" if value is None else form.format(value if unit == 1 else value / unit)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--small", action="store_true", help="A model of a few thousand parameters, on any device.")
    parser.add_argument("--methods", default=",".join(METHODS), help="Comma-separated.")
    parser.add_argument("--json", action="store_true", help="Print JSON.")
    options = parser.parse_args()
    size = SMALL if options.small else FULL
    if not options.small and not torch.cuda.is_available():
        parser.error("no CUDA device here; --small runs anywhere")
    quiet_libraries()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(size, Path(folder), tuple(options.methods.split(",")))
    print(json.dumps([asdict(row) for row in rows], indent=2) if options.json else table(rows, size))


if __name__ == "__main__":
    main()
