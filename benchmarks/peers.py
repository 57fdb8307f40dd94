"""Trackio and MLflow logging the same values: run by an interpreter that has them, prints JSON.

    PYTHON benchmarks/peers.py FOLDER N_STEPS

Stands alone (the standard library and the peer): it runs in an environment without Assay. Each peer gets its documented
way of logging five values a step, and its batch call where it has one; what it cannot do is left out of the answer.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

NAMES = ("loss", "accuracy", "learning_rate", "grad_norm", "tokens")


def _values(step: int) -> dict[str, float]:
    return {name: (i + 1) / (step + 1) for i, name in enumerate(NAMES)}


def trackio(folder: Path, n_steps: int) -> dict[str, float]:
    os.environ["TRACKIO_DIR"] = str(folder)
    library = import_module("trackio")
    library.init(project="benchmark", name="run", embed=False)
    began = time.perf_counter()
    for step in range(n_steps):
        library.log(_values(step), step=step)
    library.finish()
    seconds = time.perf_counter() - began
    return {"calls_per_second": n_steps / seconds, "bytes_per_value": _size(folder) / (n_steps * len(NAMES))}


def mlflow(folder: Path, n_steps: int) -> dict[str, float]:
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    Metric = import_module("mlflow.entities").Metric  # noqa: N806 - a class
    client = import_module("mlflow").MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}")
    run = client.create_run(client.create_experiment("benchmark", artifact_location=str(folder / "artifacts")))
    before = _size(folder)
    most = 200  # an MLflow batch takes 1,000 values
    began = time.perf_counter()
    for first in range(0, n_steps, most):
        steps = range(first, min(n_steps, first + most))
        batch = [Metric(name, value, 0, step) for step in steps for name, value in _values(step).items()]
        client.log_batch(run.info.run_id, metrics=batch)
    batched = time.perf_counter() - began
    size = (_size(folder) - before) / (n_steps * len(NAMES))
    single = client.create_run(run.info.experiment_id)
    n_single = max(1, n_steps // 20)  # one transaction a call: a twentieth of the steps says enough
    began = time.perf_counter()
    for step in range(n_single):
        metrics = [Metric(name, value, 0, step) for name, value in _values(step).items()]
        client.log_batch(single.info.run_id, metrics=metrics)
    return {
        "calls_per_second": n_single / (time.perf_counter() - began),
        "bulk_values_per_second": n_steps * len(NAMES) / batched,
        "bytes_per_value": size,
    }


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


PEERS: dict[str, Callable[[Path, int], dict[str, float]]] = {"Trackio": trackio, "MLflow": mlflow}


def main() -> None:
    folder, n_steps = Path(sys.argv[1]), int(sys.argv[2])
    found: dict[str, object] = {}
    for name, measure in PEERS.items():
        place = folder / name
        place.mkdir()
        try:
            found[name] = measure(place, n_steps)
        except Exception as error:  # a peer that is not there, or has changed, must not end the benchmark
            found[name] = f"{type(error).__name__}: {error}"
    sys.stdout.write("\n" + json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
