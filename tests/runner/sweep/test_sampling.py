"""Samplers and pruners on rows: what they choose follows from the rows alone, and they find what is good."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from runner.sweep.configurations import Configuration
from runner.sweep.plan import next_step
from runner.sweep.pruning import decide, notes_before, promotable
from runner.sweep.samplers import ask, limits
from runner.sweep.search import Search
from runner.sweep.space import canonical
from store import Status
from tests.runner.sweep.recipes import configuration, search_of

NUMBERS = """
"training.learning_rate" = { low = 1e-5, high = 1e-1, log = true }
"training.weight_decay" = { low = 0.0, high = 1.0 }
"training.epochs" = { low = 1, high = 20 }
"""
MIXED = """
"model.method" = ["full", "head", "lora"]
"model.lora.r" = { low = 2, high = 64, log = true }
"training.learning_rate" = { low = 1e-5, high = 1e-1, log = true }
"training.label_smoothing" = { low = 0.0, high = 0.4, step = 0.1 }
"""
Objective = Callable[[Mapping[str, Any]], float]


def quality(parameters: Mapping[str, Any]) -> float:
    """Highest, 0, at a learning rate of 1e-3, little decay, lora of rank 16."""
    value = -((math.log10(parameters["training.learning_rate"]) + 3) ** 2)
    value -= parameters.get("training.weight_decay", 0.0) + (parameters.get("model.method", "lora") != "lora")
    return value - abs(math.log2(parameters.get("model.lora.r", 16)) - 4) / 4


def sampler(name: str, space: str = MIXED, trials: int = 30) -> Search:
    return search_of(f'[sweep]\nsampler = "{name}"\ntrials = {trials}\n[sweep.space]\n{space}')


def played(search: Search, n: int, objective: Objective = quality) -> list[Configuration]:
    """A sweep of `n` configurations, one after the other."""
    known: list[Configuration] = []
    for number in range(n):
        parameters = ask(search, known)
        assert parameters is not None
        known.append(configuration(number, parameters, values=(objective(parameters),)))
    return known


@pytest.mark.parametrize("name", ["random", "tpe", "cma-es"])
def test_the_same_rows_give_the_same_answer(name: str) -> None:
    search = sampler(name, NUMBERS if name == "cma-es" else MIXED)
    known = played(search, 14)
    assert [canonical(c.parameters) for c in played(search, 14)] == [canonical(c.parameters) for c in known]
    assert len({canonical(each.parameters) for each in known}) == 14
    assert all(search.space.active(each.parameters) is not None for each in known)
    assert ask(search, known) == ask(search, known)


def test_another_seed_draws_others() -> None:
    other = search_of(f'[sweep]\nsampler = "random"\ntrials = 3\nseed = 1\n[sweep.space]\n{MIXED}')
    assert ask(other, []) != ask(sampler("random"), [])


def typical_later(name: str, space: str, n: int) -> float:
    """The median value of the later half of a sweep."""
    known = played(sampler(name, space, n), n)
    return float(np.median([each.values[0] for each in known[n // 2 :] if each.values]))


@pytest.mark.parametrize(("name", "space"), [("tpe", MIXED), ("cma-es", NUMBERS)])
def test_a_sampler_that_learns_finds_better_than_chance(name: str, space: str) -> None:
    assert typical_later(name, space, 40) > typical_later("random", space, 40)


@pytest.mark.slow  # loads torch
def test_gaussian_processes_learn_too() -> None:
    assert typical_later("gp", NUMBERS, 20) > typical_later("random", NUMBERS, 20)


def test_failed_running_and_unmeasured_trials_are_taken_as_they_are() -> None:
    search = sampler("tpe")
    known = played(search, 12)
    statuses = [Status.FAILED, Status.RUNNING, Status.QUEUED, Status.KILLED, Status.FINISHED]
    for status in statuses:
        parameters = ask(search, known)
        assert parameters is not None
        known.append(configuration(len(known), parameters, status))
    foreign = configuration(len(known), {"training.epochs": 3}, values=(9.0,))  # of a space that is no more
    assert ask(search, [*known, foreign]) is not None


def test_two_objectives() -> None:
    search = search_of(
        '[sweep]\nobjectives = ["validation/accuracy", "cost/train_seconds"]\ntrials = 9\n[sweep.space]\n' + MIXED
    )
    known: list[Configuration] = []
    for number in range(15):
        parameters = ask(search, known)
        assert parameters is not None
        known.append(configuration(number, parameters, values=(quality(parameters), float(number))))
    assert len({canonical(each.parameters) for each in known}) == 15


GRID = '"training.batch_size" = [1, 2, 3]\n"training.epochs" = [1, 2]'


def test_a_grid_goes_in_order_and_a_part_of_it_by_chance() -> None:
    whole = played(search_of(f'[sweep]\nsampler = "grid"\n[sweep.space]\n{GRID}'), 6, lambda _: 0.0)
    pairs = [(each.parameters["training.batch_size"], each.parameters["training.epochs"]) for each in whole]
    assert pairs == [(1, 1), (1, 2), (2, 1), (2, 2), (3, 1), (3, 2)]
    part = search_of(f'[sweep]\nsampler = "grid"\ntrials = 3\n[sweep.space]\n{GRID}')
    some = played(part, 3, lambda _: 0.0)
    more = search_of(f'[sweep]\nsampler = "grid"\ntrials = 5\n[sweep.space]\n{GRID}')
    for number in range(3, 6):
        parameters = ask(more, some)
        assert parameters is not None
        some.append(configuration(number, parameters))
    assert len({canonical(each.parameters) for each in some}) == 6
    assert ask(more, some) is None, "nothing is left"


@pytest.mark.parametrize("name", ["random", "tpe", "cma-es"])
def test_a_small_space_is_gone_through_without_doubles(name: str) -> None:
    search = sampler(name, GRID)
    known = played(search, 6, lambda _: 0.5)
    assert len({canonical(each.parameters) for each in known}) == 6
    assert ask(search, known) is None


@pytest.mark.parametrize("name", ["random", "tpe", "grid"])
def test_the_top_of_a_range_with_steps_is_tried(name: str) -> None:
    search = sampler(name, '"training.warmup" = { low = 0.01, high = 0.07, step = 0.02 }', trials=4)
    known = played(search, 4, lambda _: 0.5)
    assert {each.parameters["training.warmup"] for each in known} == {0.01, 0.03, 0.05, 0.07}
    assert ask(search, known) is None


@pytest.mark.parametrize("name", ["random", "tpe", "grid"])
def test_steps_too_fine_to_be_told_apart_in_binary_are_steps(name: str) -> None:
    search = sampler(name, '"training.warmup" = { low = 0.0, high = 0.9, step = 1e-9 }', trials=9)
    known = played(search, 9, lambda _: 0.5)
    for each in known:
        assert round(each.parameters["training.warmup"], 9) == each.parameters["training.warmup"]


def test_a_part_of_a_grid_of_any_size_is_taken_at_once() -> None:
    paths = ("warmup", "label_smoothing", "weight_decay", "max_grad_norm")
    space = "\n".join(f'"training.{path}" = {{ low = 0.001, high = 0.9, step = 0.001 }}' for path in paths)
    search = sampler("grid", space, trials=5)
    known = played(search, 5, lambda _: 0.5)
    assert len({canonical(each.parameters) for each in known}) == 5
    assert all(search.space.active(each.parameters) is not None for each in known)
    assert [each.parameters for each in played(search, 5, lambda _: 0.5)] == [each.parameters for each in known]


def test_what_a_sampler_cannot_do_is_said() -> None:
    assert limits(sampler("tpe")) == []
    assert limits(sampler("gp")) == ["sampler gp draws at random what has conditions: model.lora.r"]
    assert limits(sampler("cma-es")) == [
        "sampler cma-es draws at random what has conditions: model.lora.r",
        "sampler cma-es takes ranges only and draws lists at random: model.method",
    ]


# pruners -----------------------------------------------------------------------------------------------------------


def pruner(name: str, lines: str = "", *, select: str = "validation/accuracy") -> Search:
    return search_of(
        f'[sweep]\nsampler = "random"\npruner = "{name}"\ntrials = 99\n{lines}\n[sweep.space]\n{MIXED}',
        f"evaluation.select={select}",
    )


def no_losses(number: int, rung: int) -> None:
    return None


def halved(search: Search, finals: list[float], curve: Callable[[float, int], float]) -> list[Configuration]:
    """Play a sweep of trials with these final values through, one worker."""
    known: list[Configuration] = []
    n_rungs = len(search.rungs)
    waiting = list(finals)

    def train(number: int, rung: int) -> None:
        """From this rung to wherever the pruner stops it, or to the end."""
        while True:
            value = curve(finals[number], rung)
            reports, old = {**known[number].reports, rung: value}, known[number]
            if rung == n_rungs:
                known[number] = configuration(number, old.parameters, Status.FINISHED, (value,), reports, old.notes)
                return
            running = configuration(number, old.parameters, Status.RUNNING, None, reports, old.notes)
            known[number] = running
            stops, notes = decide(search, known, number, no_losses)
            status = Status.PRUNED if stops else Status.RUNNING
            known[number] = configuration(number, old.parameters, status, None, reports, notes)
            if stops:
                return
            rung += 1

    while True:
        candidate = promotable(search, known, is_last_call=False)
        if candidate is None and not waiting:
            candidate = promotable(search, known, is_last_call=True)
        if candidate is not None:
            train(candidate.number, max(candidate.reports) + 1)
        elif waiting:
            waiting.pop(0)
            number = len(known)
            known.append(configuration(number, {"training.learning_rate": 1e-4 * (1 + number)}, Status.RUNNING))
            train(number, 0)
        else:
            return known


@pytest.mark.parametrize("name", ["asha", "hyperband"])
def test_halving_trains_the_best_to_the_end_and_few_others(name: str) -> None:
    rng = np.random.default_rng(0)
    finals = rng.permutation(np.linspace(0.1, 0.9, 16)).tolist()
    search = pruner(name)
    known = halved(search, finals, lambda final, rung: final * (0.4 + 0.2 * rung))
    finished = [each.number for each in known if each.status == Status.FINISHED]
    assert max(range(16), key=lambda i: finals[i]) in finished
    trained = sum([*search.rungs, 1.0][max(each.reports)] for each in known)
    assert trained < {"asha": 0.25, "hyperband": 0.5}[name] * 16
    assert all(each.status in (Status.FINISHED, Status.PRUNED) for each in known)


def test_a_trial_that_came_too_early_is_taken_up_again() -> None:
    search = pruner("asha")
    known = [
        configuration(i, {"training.learning_rate": 1e-3 / (1 + i)}, Status.PRUNED, None, {0: value}, {_NOTE: value})
        for i, value in enumerate([0.5, 0.3, 0.2])
    ]
    assert promotable(search, known, is_last_call=False) is None, "three are too few for one of four"
    known.append(configuration(3, {"training.learning_rate": 1e-2}, Status.PRUNED, None, {0: 0.1}, {_NOTE: 0.1}))
    found = promotable(search, known, is_last_call=False)
    assert found is not None
    assert found.number == 0


_NOTE = "completed_rung_0"


def test_on_the_last_call_the_best_of_a_few_goes_on() -> None:
    search = pruner("asha", select="validation/loss")
    known = [
        configuration(i, {"training.learning_rate": 1e-3 / (1 + i)}, Status.PRUNED, None, {0: value}, {_NOTE: value})
        for i, value in enumerate([0.5, 0.3])
    ]
    found = promotable(search, known, is_last_call=True)
    assert found is not None
    assert found.number == 1, "the lower loss"


def test_a_trial_that_is_alone_in_its_bracket_has_won_nothing() -> None:
    """Of hyperband: it goes on only where otherwise no trial would come to its end."""
    search = pruner("hyperband", "eta = 4")
    assert search.rungs == (1 / 16, 1 / 4)

    def trial(number: int, status: Status, reports: dict[int, float], n_notes: int = 1) -> Configuration:
        notes = {f"completed_rung_{i}": value for i, value in enumerate(list(reports.values())[:n_notes])}
        values = (reports[2],) if status == Status.FINISHED else None
        return configuration(number, {"training.learning_rate": 1e-4 * (1 + number)}, status, values, reports, notes)

    alone = trial(0, Status.PRUNED, {0: 0.1, 1: 0.2})
    assert alone.notes == {"completed_rung_0": 0.1}, "one note: its bracket begins at the second rung"
    others = [trial(i, Status.PRUNED, {0: 0.1 * i}) for i in range(1, 5)]
    done = trial(5, Status.FINISHED, {0: 0.5, 1: 0.7, 2: 0.8}, n_notes=0)
    brackets = [bracket_of(search, number) for number in range(40)]
    numbers = [[number for number, each in enumerate(brackets) if each == bracket] for bracket in range(3)]
    known = in_brackets(numbers, [(1, alone), *((0, each) for each in others), (2, done)])
    found = promotable(search, known, is_last_call=True)
    assert found is None or found.reports == {0: 0.4}, "the best of a bracket that eta trials came to may go on"
    failed = in_brackets(numbers, [(1, alone)])
    hope = promotable(search, failed, is_last_call=True)
    assert hope is not None
    assert hope.reports == alone.reports, "nothing else would come to its end"
    beside = in_brackets(numbers, [(1, alone), (2, trial(1, Status.RUNNING, {0: 0.1}, n_notes=0))])
    assert promotable(search, beside, is_last_call=True) is None, "another is still at work"


def bracket_of(search: Search, number: int) -> int:
    """The rung where the bracket begins that a trial of this number falls into."""
    for rung in range(len(search.rungs)):
        trial = configuration(number, {}, Status.RUNNING, None, dict.fromkeys(range(rung + 1), 0.5))
        before = [configuration(i, {}, Status.FAILED) for i in range(number)]
        if decide(search, [*before, trial], number, no_losses).notes:
            return rung
    return len(search.rungs)


def in_brackets(numbers: list[list[int]], placed: list[tuple[int, Configuration]]) -> list[Configuration]:
    """The configurations with numbers of these brackets; numbers in between have failed."""
    left = [iter(of_one) for of_one in numbers]
    chosen = {next(left[bracket]): each for bracket, each in placed}
    made = []
    for number in range(max(chosen) + 1):
        each = chosen.get(number)
        status = Status.FAILED if each is None else each.status
        reports, notes = ({}, {}) if each is None else (each.reports, each.notes)
        values = None if each is None else each.values
        made.append(
            configuration(number, {"training.learning_rate": 1e-6 * (1 + number)}, status, values, reports, notes)
        )
    return made


def test_the_last_to_go_on_fill_every_slot() -> None:
    """A trial at work that is beyond a rung does not come there any more: the best of that rung goes on beside it."""
    search = pruner("asha")
    stopped = configuration(0, {"training.learning_rate": 1e-3}, Status.PRUNED, None, {0: 0.95}, {_NOTE: 0.95})
    early, beyond = (
        configuration(1, {"training.learning_rate": 1e-2}, Status.RUNNING, None, reports, notes)
        for reports, notes in (({}, {}), ({0: 0.9}, {_NOTE: 0.9}))
    )
    assert promotable(search, [stopped, beyond], is_last_call=False) is None
    at_work = [early.first.key]
    assert next_step(search, [stopped, early], at_work=at_work, wanted=2).kind == "wait", "it may be better there"
    assert next_step(search, [stopped, early], at_work=(), held=at_work, wanted=2).kind == "wait"
    assert next_step(search, [stopped, beyond], at_work=at_work, wanted=2) == ("promote", stopped.first)
    assert next_step(search, [beyond], at_work=at_work, wanted=1).kind == "wait"
    assert next_step(search, [stopped, beyond], at_work=at_work, wanted=3).kind == "ask"


def test_a_value_that_is_no_number_stops() -> None:
    search = pruner("asha")
    nan = configuration(0, {"training.learning_rate": 1e-3}, Status.RUNNING, None, {0: math.nan})
    assert decide(search, [nan], 0, no_losses).stops
    stopped = configuration(0, {"training.learning_rate": 1e-3}, Status.PRUNED, None, {0: math.nan})
    assert promotable(search, [stopped], is_last_call=True) is None


def test_median_stops_the_lower_half_and_patience_what_stands_still() -> None:
    search = pruner("median")
    known = [
        configuration(i, {"training.learning_rate": 1e-3 / (1 + i)}, values=(0.5,), reports={0: 0.1 * i, 1: 0.1 * i})
        for i in range(6)
    ]
    for value, stops in ((0.05, True), (0.4, False)):
        ours = configuration(6, {"training.learning_rate": 1e-2}, Status.RUNNING, None, {0: value})
        assert decide(search, [*known, ours], 6, no_losses).stops is stops
    patient = pruner("patience", "patience = 2")
    for values, stops in (([0.3, 0.2, 0.2, 0.1], True), ([0.3, 0.2, 0.2, 0.4], False), ([0.3, 0.2], False)):
        ours = configuration(0, {"training.learning_rate": 1e-2}, Status.RUNNING, None, dict(enumerate(values)))
        assert decide(patient, [ours], 0, no_losses).stops is stops


def test_wilcoxon_compares_examples_with_the_best_at_the_same_rung() -> None:
    search = pruner("wilcoxon", select="validation/loss")
    rng = np.random.default_rng(1)
    easy = rng.exponential(size=200)
    losses = {0: easy, 1: easy + 0.2 + 0.1 * rng.normal(size=200), 2: easy + 0.1 * rng.normal(size=200)}
    known = [
        configuration(i, {"training.learning_rate": 1e-3 / (1 + i)}, Status.RUNNING, None, {0: float(losses[i].mean())})
        for i in range(3)
    ]
    assert decide(search, known, 1, lambda number, rung: losses[number]).stops, "worse on almost every example"
    assert not decide(search, known, 2, lambda number, rung: losses[number]).stops, "no worse"
    assert not decide(search, known, 0, lambda number, rung: losses[number]).stops, "the best itself"
    assert not decide(search, known, 1, no_losses).stops, "without predictions nothing can be said"
    assert not decide(search, known[1:2], 1, lambda number, rung: losses[number]).stops, "nobody to compare with"


def test_a_trial_that_comes_to_a_rung_again_is_judged_again() -> None:
    notes = {"completed_rung_0": 0.5, "completed_rung_1": 0.6}
    asha = configuration(0, {}, Status.RUNNING, None, {0: 0.5, 1: 0.6}, notes)
    assert notes_before(asha, 2) == notes
    assert notes_before(asha, 1) == {"completed_rung_0": 0.5}
    assert notes_before(asha, 0) == {}
    later = configuration(0, {}, Status.RUNNING, None, {0: 0.4, 1: 0.5, 2: 0.6}, notes)  # a bracket from rung 1 on
    assert notes_before(later, 2) == {"completed_rung_0": 0.5}
    assert notes_before(configuration(0, {}, Status.RUNNING), 0) == {}
