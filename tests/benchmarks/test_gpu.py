"""The whole benchmark in miniature, on whatever device there is."""

from pathlib import Path

import pytest
import torch

from benchmarks.gpu import FULL, SMALL, measure, mfu, n_parameters, operations_per_token, table


def test_three_methods_of_one_model(tmp_path: Path) -> None:
    from transformers import LlamaForCausalLM

    rows = measure(SMALL, tmp_path)
    assert [(row.method, row.cause) for row in rows] == [("full", None), ("lora", None), ("qlora", None)]
    model = LlamaForCausalLM.from_pretrained(tmp_path / "base")
    assert {row.parameters for row in rows} == {sum(p.numel() for p in model.parameters())}
    full, lora, qlora = rows
    assert full.trained == full.parameters
    assert lora.trained == qlora.trained
    assert full.checkpoint_bytes is not None
    assert lora.checkpoint_bytes is not None
    assert full.checkpoint_bytes > lora.checkpoint_bytes
    assert all(row.tokens_per_second and row.peak_bytes for row in rows)
    text = table(rows, SMALL)
    assert text.count("\n| ") == 5
    if not torch.cuda.is_available():
        assert text.count("not measured") == 3
        assert mfu(SMALL, "full", 1.0) is None


def test_the_arithmetic_of_a_token() -> None:
    """1.4 billion weights: 6 operations each and attention; two thirds of both where only adapters learn."""
    n = n_parameters(FULL)
    assert operations_per_token(FULL, "full") == 6 * n + 12 * 22 * 2048 * 1024
    assert operations_per_token(FULL, "lora") == pytest.approx(operations_per_token(FULL, "full") * 2 / 3)
