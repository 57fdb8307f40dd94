"""What a sweep can look for, and which direction is better. Tests hold the names to what runs record."""

from collections.abc import Mapping
from typing import Final, Literal

from evals.metrics import TASKS, find_metric

Direction = Literal["maximize", "minimize"]

LATENCY: Final = "latency/ms"
MEASURES: Final[Mapping[str, Direction]] = {
    "cost/wall_seconds": "minimize",
    "cost/train_seconds": "minimize",
    "cost/eval_seconds": "minimize",
    "cost/preparing_seconds": "minimize",
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
"""What runs of all tasks record → better direction. `cost/` are the measures of a run's cost;
`latency/ms` is the median time of one text."""


def objectives_of(task: object) -> dict[str, Direction]:
    """Everything that runs of a task can be compared by → better direction; of all tasks, for what names none.

    >>> objectives_of("regression")["validation/rmse"], "validation/accuracy" in objectives_of("regression")
    ('minimize', False)
    """
    tasks = [task] if isinstance(task, str) and task in TASKS else list(TASKS)
    found: dict[str, Direction] = {}
    for name in dict.fromkeys(name for each in tasks for name in TASKS[each]):
        metric = find_metric(name)
        found[f"validation/{name}"] = "maximize" if metric and metric.higher_is_better else "minimize"
    return found | dict(MEASURES)
