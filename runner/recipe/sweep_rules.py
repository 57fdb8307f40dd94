"""Rules of `[sweep]`: paths that exist, values that fields take, conditions that can hold, measured objectives"""

import difflib
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from runner.recipe.check import check_fields
from runner.recipe.errors import Keys, Problem, shown
from runner.recipe.fields import accepts, nearest_path, node_at
from runner.recipe.file import parse_keys
from runner.recipe.objectives import LATENCY, objectives_of
from runner.recipe.spaces import METHOD, ONLY_WITH_METHOD, Part, candidates, needed_for, parts_of
from runner.recipe.tables import merge, nested, value_at, without
from runner.recipe.types import is_number

_NOT_SWEPT = frozenset({"name", "task", "notes", "tags", "sweep", "checkpoints", "recording", "card"})
_SEED = ("training", "seed")


def sweep_rules(raw: Mapping[str, Any]) -> Iterator[Problem]:
    """Every broken rule of the recipe's sweep, if it has one."""
    if not isinstance(raw.get("sweep"), Mapping):
        return
    parts = list(parts_of(value_at(raw, ("sweep", "space"))))
    for part in parts:
        yield from _part_rules(raw, part)
    yield from _condition_rules(parts)
    yield from _objective_rules(raw)


def command_rules(raw: Mapping[str, Any]) -> Iterator[Problem]:
    """What `runner sweep` needs and a recipe alone does not."""
    sweep = raw.get("sweep")
    if sweep is None:
        hint = "add one, such as sampler, trials and [sweep.space]; see docs/sweeps.md"
        yield Problem(("sweep",), None, "missing: there is nothing to search", hint)
        return
    sampler = value_at(raw, ("sweep", "sampler")) or "tpe"
    if isinstance(sweep, Mapping) and sampler != "grid" and sweep.get("trials") is None:
        message = f"missing: sampler {sampler} goes on for as long as it is let"
        yield Problem(("sweep", "trials"), None, message, "write it, or give --trials")


def _part_rules(raw: Mapping[str, Any], part: Part) -> Iterator[Problem]:
    written = part.range if part.range is not None else list(part.values.values())
    if part.keys is None or node_at(part.keys) is None:
        yield Problem(part.here, written, "is no path of a recipe", nearest_path(part.keys or (part.name,)))
        return
    if part.keys[0] in _NOT_SWEPT:
        yield Problem(part.here, written, "is no choice to search over", "sweep model, data, training, evaluation")
        return
    for only, methods in ONLY_WITH_METHOD.items():
        if part.keys[: len(only)] == only and not set(methods) & set(candidates(raw, METHOD, "full")):
            hint = f'add "model.method" = [..., "{methods[0]}"] to the space'
            message = f"belongs to method {' or '.join(methods)}, which no trial would use"
            yield Problem(part.here, written, message, hint)
    if part.keys == _SEED:
        hint = 'set seeds = 3 in [sweep], and seeds_for = "all" for the mean over seeds of every configuration'
        yield Problem(part.here, written, "is no choice to search over: a seed is no better than another", hint)
        return
    said: set[Keys] = set()
    if part.range is not None:
        for problem in _range_rules(part.here, part.keys, part.range, value_at(raw, ("sweep", "sampler"))):
            said.add(problem.keys)
            yield problem
    yield from (problem for problem in _value_rules(raw, part, part.keys) if problem.keys not in said)


def _range_rules(here: Keys, keys: Keys, written: Mapping[str, Any], sampler: Any) -> Iterator[Problem]:
    low, high, step = (written.get(key) for key in ("low", "high", "step"))
    log = written.get("log", False)
    if is_number(low) and is_number(high) and low >= high:
        yield Problem(here, dict(written), "low must be below high")
    if log is True and is_number(low) and low <= 0:
        yield Problem((*here, "low"), low, "must be a number > 0 on a logarithmic scale")
    if log is True and step is not None:
        yield Problem((*here, "step"), step, "has no meaning on a logarithmic scale", "leave step or log out")
    if sampler == "grid" and step is None:
        yield Problem(here, dict(written), "a grid needs a list of values, or a range with a step")
    is_whole = written.get("int") is True or not accepts(keys, "number")
    for key in ("low", "high", "step") if written.get("int") is True else ("step",):
        if is_whole and is_number(written.get(key)) and not isinstance(written[key], int):
            reason = "for whole numbers" if written.get("int") is True else f"as {'.'.join(map(str, keys))} is"
            yield Problem((*here, key), written[key], f"must be an integer, {reason}")


def _value_rules(raw: Mapping[str, Any], part: Part, keys: tuple[str, ...]) -> Iterator[Problem]:
    """Each value that the sweep would try has to be one that the field takes."""
    values = dict(part.values)
    if part.range is not None:
        values = {(*part.here, key): part.range[key] for key in ("low", "high") if is_number(part.range.get(key))}
    plain = without(raw, ("sweep",))
    for place, value in values.items():
        _, problems = check_fields(merge(plain, nested(keys, value), inside=keys))
        for problem in problems:
            if problem.keys[: len(keys)] == keys:
                inner = problem.keys[len(keys) :]
                yield Problem((*place, *inner), problem.value, problem.message, problem.hint)


def _condition_rules(parts: list[Part]) -> Iterator[Problem]:
    """A condition names other parts of the space, values that they have, and none that depends on itself."""
    swept: dict[tuple[str, ...], list[Part]] = {}
    for part in parts:
        if part.keys is not None:
            swept.setdefault(part.keys, []).append(part)
    depends: dict[tuple[str, ...], set[tuple[str, ...]]] = {}
    for part in parts:
        for name, wanted in part.when.items():
            place: Keys = (*part.here, "when", name)
            target = parse_keys(name)
            if target is None or target not in swept:
                near = difflib.get_close_matches(name, [other.name for other in parts if other is not part], 1, 0.75)
                hint = f"did you mean {near[0]}?" if near else "conditions are on paths of this [sweep.space]"
                yield Problem(place, wanted, "is not swept, so it cannot be a condition", hint)
                continue
            if part.keys is not None:
                depends.setdefault(part.keys, set()).add(target)
            known = [value for other in swept[target] for value in other.values.values()]
            if any(other.range is not None for other in swept[target]):
                yield Problem(place, wanted, "is a range, and conditions are on values", "give it a list of values")
                continue
            for value in wanted if isinstance(wanted, (list, tuple)) else [wanted]:
                if value not in known:
                    message = f"is no value that {name} would have"
                    yield Problem(place, value, message, f"it has {', '.join(shown(each) for each in known)}")
    values_of = {keys: [v for part in found for v in part.values.values()] for keys, found in swept.items()}
    for keys in swept:
        depends.setdefault(keys, set()).update(needed_for(keys, values_of))
    for keys in _circular(depends):
        part = swept[keys][0]
        yield Problem(part.here, dict(part.when), "depends on itself by its conditions", "take one of them away")


def _circular(depends: Mapping[tuple[str, ...], set[tuple[str, ...]]]) -> list[tuple[str, ...]]:
    """Every node that can be reached from itself."""

    def reached(start: tuple[str, ...]) -> set[tuple[str, ...]]:
        seen: set[tuple[str, ...]] = set()
        todo = list(depends.get(start, ()))
        while todo:
            node = todo.pop()
            if node not in seen:
                seen.add(node)
                todo += depends.get(node, ())
        return seen

    return [keys for keys in depends if keys in reached(keys)]


def _nearest(objective: str, objectives: Collection[str]) -> str:
    """The hint for an objective that there is not: one that is called alike, or those of its kind."""
    kind, _, name = objective.rpartition("/")
    of_kind = [known for known in objectives if known.startswith(f"{kind}/")] or list(objectives)
    names = {known.partition("/")[2]: known for known in of_kind}
    near = difflib.get_close_matches(name, names, 1, 0.5)
    return f"did you mean {names[near[0]]}?" if near else f"there are {', '.join(of_kind)}"


def _objective_rules(raw: Mapping[str, Any]) -> Iterator[Problem]:
    given = value_at(raw, ("sweep", "objectives"))
    names = [name for name in given if isinstance(name, str)] if isinstance(given, (list, tuple)) else []
    known = objectives_of(raw.get("task"))
    for place, name in enumerate(names):
        if name.startswith("test/"):
            message = "must be validation/METRIC: choosing a configuration on the test split would leak it"
            yield Problem(("sweep", "objectives", place), name, message)
        elif name not in known:
            yield Problem(("sweep", "objectives", place), name, "is nothing that a run records", _nearest(name, known))
    sampler, pruner = (value_at(raw, ("sweep", key)) for key in ("sampler", "pruner"))
    if isinstance(pruner, str) and pruner != "none":
        here: Keys = ("sweep", "pruner")
        if len(names) > 1:
            hint = 'set pruner = "none", or leave one objective'
            yield Problem(here, pruner, "compares trials by one objective, and there are several", hint)
        elif names and not names[0].startswith("validation/"):
            hint = 'set pruner = "none", or look for validation/METRIC'
            yield Problem(here, pruner, f"compares trials at their rungs, where {names[0]} says nothing", hint)
        if pruner == "wilcoxon" and value_at(raw, ("recording", "predictions")) is False:
            hint = "set recording.predictions = true"
            yield Problem(here, pruner, "compares predictions, and none are recorded", hint)
    if pruner in ("asha", "hyperband") and value_at(raw, ("checkpoints", "keep")) == "none":
        hint = 'set checkpoints.keep = "best"'
        yield Problem(("sweep", "pruner"), pruner, "takes trials up again from checkpoints, and none is kept", hint)
    if sampler == "cma-es" and len(names) > 1:
        message = "looks for one objective, and there are several"
        yield Problem(("sweep", "sampler"), sampler, message, "use tpe, gp, random or grid")
    if LATENCY in names and value_at(raw, ("checkpoints", "keep")) == "none":
        message = f"{LATENCY} is measured with the best checkpoint, and none is kept"
        yield Problem(("sweep", "objectives"), names, message, 'set checkpoints.keep = "best"')
