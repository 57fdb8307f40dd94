"""What differs between the configurations of runs: recipe, code, data, packages, machine, seeds."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from dashboard.formats import short
from store import Run

# Parts of the provenance that differ between any two runs and never explain a result.
_NOISE = ("command", "git.patch", "git.untracked", "python.executable", "schema")
ABSENT = "–"


def flatten(tree: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """The leaves of nested tables with their dotted paths, as text; a list is a leaf.

    >>> list(flatten({"model": {"method": "lora", "layers": [1, 2]}, "name": "a"}))
    [('model.method', 'lora'), ('model.layers', '[1, 2]'), ('name', 'a')]
    """
    for name, value in tree.items():
        here = f"{path}.{name}" if path else str(name)
        if isinstance(value, Mapping) and value:
            yield from flatten(value, here)
        else:
            yield here, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def configuration(run: Run, dataset: str | None) -> dict[str, str]:
    """Everything about how a run came to be: `part · path` → value, where part is recipe, data, code, …"""
    provenance = run.provenance or {}
    settings = {f"recipe · {path}": value for path, value in flatten(run.recipe or {}) if path != "name"}
    for name, value in (("task", run.task), ("method", run.method), ("base model", run.base_model)):
        if value is not None and not run.recipe:
            settings[f"recipe · {name}"] = value
    if dataset is not None:
        settings["data · dataset"] = dataset
    for path, value in flatten(provenance):
        if not any(path == noise or path.startswith(noise + ".") for noise in _NOISE):
            part, _, rest = path.partition(".")
            settings[f"{_PARTS.get(part, 'machine')} · {rest or part}"] = value
    return settings


_PARTS = {"git": "code", "packages": "packages", "python": "packages", "seeds": "seeds", "determinism": "seeds"}
PARTS = ("recipe", "data", "code", "packages", "seeds", "machine")


def differences(runs: Sequence[Run], datasets: Sequence[str | None]) -> pd.DataFrame:
    """Only what is not the same in all runs. Columns part, setting, then one a run in order (0, 1, …)."""
    settings = [configuration(run, dataset) for run, dataset in zip(runs, datasets, strict=True)]
    _collapse(settings, [bool(run.recipe) for run in runs], "recipe · recipe", ("recipe",))
    _collapse(settings, [bool(run.provenance) for run in runs], "machine · provenance", PARTS[2:])
    rows = []
    for key in dict.fromkeys(key for one in settings for key in one):
        values = [one.get(key, ABSENT) for one in settings]
        if len(set(values)) > 1:
            part, _, path = key.partition(" · ")
            rows.append((part, path, *values))
    frame = pd.DataFrame(rows, columns=["part", "setting", *range(len(runs))])
    order = frame["part"].map(PARTS.index) if len(frame) else frame["part"]
    return frame.assign(order=order).sort_values(["order"], kind="stable").drop(columns="order").reset_index(drop=True)


def _collapse(settings: list[dict[str, str]], has: Sequence[bool], name: str, parts: Sequence[str]) -> None:
    """Where only some runs recorded these parts: one row that says so, rather than one for each of their settings."""
    if all(has) or not any(has):
        return
    for one, is_recorded in zip(settings, has, strict=True):
        for key in [key for key in one if key.partition(" · ")[0] in parts]:
            del one[key]
        one[name] = "recorded" if is_recorded else "not recorded"


def summary(frame: pd.DataFrame, runs: Sequence[Run] = ()) -> str:
    """What differs and what does not, in a line. What some of the `runs` did not record is not called the same.

    >>> summary(pd.DataFrame({"part": ["recipe", "recipe"], "setting": ["a", "b"]}))
    '2 settings differ · data, code, packages, seeds, machine the same'
    """
    counts = frame["part"].value_counts()
    names = {
        "recipe": "setting",
        "packages": "package",
        "code": "detail of the code",
        "machine": "detail of the machine",
    }
    unknown = [] if all(run.recipe for run in runs) else ["recipe"]
    unknown += [] if all(run.provenance for run in runs) else PARTS[2:]
    said = []
    for part in PARTS:
        n = 0 if part in unknown else int(counts.get(part, 0))
        if n and part in ("data", "seeds"):
            said.append(f"{part} differ")
        elif n:
            said.append(f"{n} {_plural(names[part], n)} differ{'s' if n == 1 else ''}")
    same = [part for part in PARTS if part not in counts.index and part not in unknown]
    said += [f"{', '.join(same)} the same"] if same else []
    said += [f"{', '.join(unknown)} not recorded by all"] if unknown else []
    return " · ".join(said)


def changes(frame: pd.DataFrame, most: int = 4) -> str:
    """The first few recipe settings that differ, from run to run: `training.seed 0 → 1`."""
    recipe = frame[frame["part"] == "recipe"].drop(columns="part")
    said = []
    for row in recipe.head(most).itertuples(index=False):
        values = list(dict.fromkeys(short(str(value), 40) for value in row[1:]))
        said.append(f"{row[0]} {' → '.join(values) if len(values) <= 3 else f'({len(values)} values)'}")
    if len(recipe) > most:
        said.append(f"{len(recipe) - most} more settings")
    return " · ".join(said)


def _plural(word: str, n: int) -> str:
    first, _, rest = word.partition(" ")
    return word if n == 1 else f"{first}s {rest}".strip()
