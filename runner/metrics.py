"""Metric modules for `evaluate`: those that come with us, others from files, and the model hub's by name.

    from runner.metrics import load_metric

    load_metric("seqeval").compute(predictions=[["B-PER", "O"]], references=[["B-PER", "O"]])

Ours are one file each, `metric_modules/NAME/NAME.py`, on scikit-learn, seqeval, sacrebleu and rouge-score; they need no
network, and `evaluate.load` takes their folders too. A module of the hub is code that is run here, so its name must say
so: `hub:bertscore`.
"""

import difflib
from pathlib import Path
from typing import Any

from runner.errors import UserError
from runner.hub import HubUnreachable, require_hub

MODULES = Path(__file__).parent / "metric_modules"


class MetricUnavailable(UserError):
    """A metric module that cannot be loaded; the text says why and what to do."""


def module_names() -> tuple[str, ...]:
    """The modules that come with us, in alphabetical order."""
    return tuple(sorted(file.stem for file in MODULES.glob("*/*.py") if file.stem == file.parent.name))


def load_metric(name: str, config: str | None = None) -> Any:
    """The `evaluate.EvaluationModule` of this name: one of ours, a file or folder, or `hub:NAME` from the model hub.

    `config`: a configuration of the module, such as "multilabel" of f1. What is added to it stays in memory. Raises
    MetricUnavailable, and HubUnreachable (a UserError too) where the hub does not answer and the module is not cached.
    """
    import evaluate

    place = _place_of(name)
    if place is not None:
        try:
            return evaluate.load(place, config, keep_in_memory=True)
        except Exception as error:  # code of others: whatever it raises is about that code
            words = " ".join(str(error).split())
            raise MetricUnavailable(f'metric "{name}": {type(error).__name__}: {words}') from error
    hub_name = name.removeprefix("hub:")
    try:
        require_hub(hub_name, "metric")
    except HubUnreachable:
        if not _is_cached(hub_name):
            raise
    try:
        return evaluate.load(hub_name, config, keep_in_memory=True)
    except FileNotFoundError as error:
        raise MetricUnavailable(f'hub metric "{hub_name}": the hub has no module of this name.') from error
    except ImportError as error:
        raise MetricUnavailable(f'hub metric "{hub_name}": {error}') from error


def _place_of(name: str) -> str | None:
    """The folder or file of a module that is here; None for one of the hub."""
    if name.startswith("hub:"):
        return None
    if name in module_names():
        return str(MODULES / name)
    place = Path(name)
    file = place / f"{place.name}.py" if place.is_dir() else place
    if file.is_file() and file.suffix == ".py":
        return str(file.resolve())
    if place.is_dir():
        raise MetricUnavailable(f'metric "{name}": the folder has no {place.name}.py, which would be its module.')
    near = difflib.get_close_matches(name, module_names(), n=1)
    meant = f' Did you mean "{near[0]}"?' if near else ""
    raise MetricUnavailable(
        f'metric "{name}" is neither one of ours nor a file.{meant} '
        f'Ours are {", ".join(module_names())}; "hub:{name}" takes it from the model hub, and runs its code.'
    )


def _is_cached(hub_name: str) -> bool:
    """Whether `evaluate` has loaded this module of the hub before."""
    from evaluate import config

    names = [hub_name.replace("/", "--")] if "/" in hub_name else [f"evaluate-{kind}--{hub_name}" for kind in _KINDS]
    modules = Path(config.HF_MODULES_CACHE) / "evaluate_modules" / "metrics"
    return any((modules / name).is_dir() for name in names)


_KINDS = ("metric", "comparison", "measurement")
