"""What a sweep can look for, and which direction is better. Tests hold the names to what runs record."""

from typing import Final, Literal

Direction = Literal["maximize", "minimize"]

LATENCY: Final = "latency/ms"
OBJECTIVES: Final[dict[str, Direction]] = {
    "validation/accuracy": "maximize",
    "validation/macro_f1": "maximize",
    "validation/weighted_f1": "maximize",
    "validation/loss": "minimize",
    "validation/ece": "minimize",
    "cost/wall_seconds": "minimize",
    "cost/train_seconds": "minimize",
    "cost/eval_seconds": "minimize",
    "cost/device_seconds": "minimize",
    "cost/peak_host_bytes": "minimize",
    "cost/peak_device_bytes": "minimize",
    "cost/trainable_parameters": "minimize",
    "cost/total_parameters": "minimize",
    "cost/tokens_seen": "minimize",
    "cost/examples_seen": "minimize",
    "cost/tokens_per_second": "maximize",
    "cost/examples_per_second": "maximize",
    "cost/data_wait_share": "minimize",
    "cost/device_utilisation": "maximize",
    "cost/energy_joules": "minimize",
    LATENCY: "minimize",
}
"""Metric → better direction. `cost/` are the measures of a run's cost; `latency/ms` is the median time of one text."""
