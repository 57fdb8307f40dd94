"""One recipe by several methods, each in a process of its own, and what each came to: quality, size, memory, time.

Each is an ordinary run with the tag `methods:NAME`. One that is there already, of the same recipe on the same data, is
not done again.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from runner.errors import UserError
from runner.recipe import METHOD_DEFAULTS, LoadedRecipe, RecipeError, load_recipe
from runner.recipe.spaces import ONLY_WITH_METHOD
from store import Run, RunCost, Store, find_runs, get_cost, get_run, list_checkpoints, list_scores

DEFAULT = ("full", "head", "lora", "qlora")
TAG = "methods"


class UnknownMethod(UserError):
    """A name that is no method; its text says which there are."""


@dataclass(frozen=True)
class Way:
    """A method as the command names it, and the recipe by it."""

    name: str
    overrides: tuple[str, ...]
    loaded: LoadedRecipe | None
    """None: the recipe cannot be run so."""
    cause: str | None = None


@dataclass(frozen=True)
class Outcome:
    """A line of the table. None is what was not measured, or was not run."""

    method: str
    run: Run | None
    status: str
    cause: str | None
    is_reused: bool
    metric: str
    scores: dict[str, tuple[float, float | None, float | None]]
    """Split → value and its 95 % interval, at the best checkpoint."""
    cost: RunCost
    checkpoint_bytes: int | None

    def as_dict(self) -> dict[str, Any]:
        """Plain values for `--json`."""
        return {
            "method": self.method,
            "run": None if self.run is None else self.run.id,
            "status": self.status,
            "cause": self.cause,
            "reused": self.is_reused,
            "metric": self.metric,
            "scores": {
                split: dict(zip(("value", "low", "high"), of, strict=True)) for split, of in self.scores.items()
            },
            "cost": asdict(self.cost),
            "checkpoint_bytes": self.checkpoint_bytes,
        }


def plan_ways(path: Path, overrides: Sequence[str], names: Sequence[str], *, own_rates: bool = False) -> list[Way]:
    """The recipe by each method. `own_rates`: with each method's default epochs and learning rate.

    Raises UnknownMethod, and RecipeError where no method can run the recipe.
    """
    unknown = [name for name in names if name.partition(":")[0] not in METHOD_DEFAULTS]
    if unknown:
        known = ", ".join(name for name in METHOD_DEFAULTS if name != "peft")
        raise UnknownMethod(f"--methods: {', '.join(unknown)}; there are {known}, and peft:TYPE such as peft:IA3.")
    ways = [_way(path, overrides, name, own_rates=own_rates) for name in dict.fromkeys(names)]
    if all(way.loaded is None for way in ways):
        load_recipe(path, ways[0].overrides)  # raises what stands against it
    return ways


def _way(path: Path, overrides: Sequence[str], name: str, *, own_rates: bool) -> Way:
    method, _, kind = name.partition(":")
    wanted = [override for override in overrides if _is_for(override, method)]
    wanted.append(f"model.method={json.dumps(method)}")
    wanted += [f"model.peft.type={json.dumps(kind)}"] if kind else []
    if own_rates:
        epochs, rate = METHOD_DEFAULTS[method]
        wanted += [f"training.epochs={epochs}", f"training.learning_rate={rate}"]
    try:
        recipe = load_recipe(path, wanted).recipe
    except RecipeError as error:
        return Way(name, tuple(wanted), None, "; ".join(_said(error)))
    own_name = f"{recipe.name[:70]}-{name}".replace(":", "-").lower()
    wanted += [f"name={json.dumps(own_name)}", f"tags={json.dumps([*recipe.tags, f'{TAG}:{recipe.name}'])}"]
    return Way(name, tuple(wanted), load_recipe(path, wanted))


def _is_for(override: str, method: str) -> bool:
    """Whether a method looks at what an override sets."""
    keys = tuple(override.partition("=")[0].strip().split("."))
    return all(method in methods for only, methods in ONLY_WITH_METHOD.items() if keys[: len(only)] == only)


def _said(error: RecipeError) -> list[str]:
    return [f"{problem.path}: {problem.message}" for problem in error.problems]


def compare_methods(
    path: Path, ways: Sequence[Way], store: Store, dataset_key: int, *, say: Callable[[str], None], quiet: bool
) -> list[Outcome]:
    """Train what is missing, one after the other, and read what each came to. A way that fails is a line like any."""
    outcomes = []
    for way in ways:
        if way.loaded is None:
            outcomes.append(_outcome(store, way, None, "refused", way.cause))
            continue
        found = find_runs(store, way.loaded.hash, dataset_key, status="finished")
        if found:
            say(f"{way.name}: there already, {found[0].name} ({found[0].id})")
            outcomes.append(_outcome(store, way, found[0], "finished", None, is_reused=True))
            continue
        say(f"{way.name}: training")
        run_id, cause = _train(path, way, store, quiet=quiet)
        run = None if run_id is None else get_run(store, run_id)
        status = "failed" if run is None else str(run.status)
        outcomes.append(_outcome(store, way, run, status, run.cause if run else cause))
    return outcomes


def _train(path: Path, way: Way, store: Store, *, quiet: bool) -> tuple[str | None, str | None]:
    """Run `runner train` in a process of its own, whose memory is its own: the run's id, or why there is none."""
    command = [sys.executable, "-m", "runner", "train", str(path), "--store", str(store.path), "--json"]
    command += ["--set", "triage.after_training=false"]
    for override in way.overrides:
        command += ["--set", override]
    lines: list[str] = []
    with (
        tempfile.TemporaryFile("w+") as printed,
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=printed, stderr=subprocess.PIPE, text=True, errors="replace"
        ) as process,
    ):
        assert process.stderr is not None
        for line in process.stderr:
            lines.append(line.rstrip())
            if not quiet:
                sys.stderr.write(line)
        process.wait()
        printed.seek(0)
        out = printed.read()
    if process.returncode == 130:
        raise KeyboardInterrupt
    try:
        return str(json.loads(out)["id"]), None
    except (ValueError, KeyError, TypeError):
        first = next((i for i, line in enumerate(lines) if line.startswith("error: ")), len(lines) - 1)
        cause = " ".join(lines[first:]).removeprefix("error: ")
        return None, cause or f"its process ended with code {process.returncode}"


def _outcome(
    store: Store, way: Way, run: Run | None, status: str, cause: str | None, *, is_reused: bool = False
) -> Outcome:
    if run is None:
        metric = "" if way.loaded is None else way.loaded.recipe.evaluation.select.partition("/")[2]
        return Outcome(way.name, None, status, cause, is_reused, metric, {}, RunCost(), None)
    metric = (run.select_metric or "").partition("/")[2]
    scores = list_scores(store, [run.key], best_only=True)
    scores = scores[scores["metric"] == metric]
    measured = {
        str(split): (value, _known(low), _known(high))
        for split, value, low, high in zip(*(scores[name] for name in ("split", "value", "low", "high")), strict=True)
        if _known(value) is not None
    }
    best = next((c for c in list_checkpoints(store, run.key, existing=True) if c.is_best), None)
    n_bytes = None if best is None else best.size_bytes
    return Outcome(way.name, run, status, cause, is_reused, metric, measured, get_cost(store, run.key), n_bytes)


def _known(value: Any) -> float | None:
    return None if value is None or value != value else float(value)
