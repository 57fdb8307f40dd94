"""What a space allows: conditions, alternatives, grids without doubles, values that belong to it."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.sweep.space import Dimension, Numbers, Space, Values, canonical, read_space
from runner.sweep.study import distribution, encoded, quiet
from tests.runner.sweep.recipes import load


def space_of(text: str) -> Space:
    return read_space(load(f"[sweep.space]\n{text}").recipe)


METHODS = """
"model.lora.r" = [4, 8]
"model.top_layers" = { low = 1, high = 3 }
"model.method" = ["full", "lora", "top-layers"]
"training.batch_size" = { low = 8, high = 24, step = 8 }
"""


def test_what_belongs_to_a_method_comes_with_it_only() -> None:
    space = space_of(METHODS)
    assert space.dimensions[0].path == "model.method", "conditions come first"
    grid = list(space.grid())
    assert len(grid) == space.size() == 3 * (1 + 2 + 3)
    assert len({canonical(parameters) for parameters in grid}) == len(grid)
    assert all(("model.lora.r" in each) == (each["model.method"] == "lora") for each in grid)
    assert all(("model.top_layers" in each) == (each["model.method"] == "top-layers") for each in grid)
    assert grid[0] == {"model.method": "full", "training.batch_size": 8}


def test_written_conditions_and_alternatives() -> None:
    space = space_of(
        """
"model.method" = ["full", "head", "lora"]
"training.epochs" = { values = [5, 10], when = { "model.method" = "head" } }
"training.learning_rate" = [
  { values = [1e-3, 1e-2], when = { "model.method" = "head" } },
  { low = 1e-5, high = 1e-4, log = true, when = { "model.method" = ["full", "lora"] } },
]
"training.weight_decay" = 0.1
"""
    )
    assert [dimension.name for dimension in space.dimensions][-2:] == [
        "training.learning_rate #2", "training.weight_decay"
    ]  # fmt: skip
    assert space.size() is None, "a range cannot be counted"
    with pytest.raises(ValueError, match="is a range without a step"):
        next(space.grid())
    head = {"model.method": "head", "training.epochs": 5, "training.learning_rate": 1e-2, "training.weight_decay": 0.1}
    chosen = space.active(head)
    assert chosen is not None
    assert {path: dimension.name for path, dimension in chosen.items()} == {path: path for path in head}
    lora = {"model.method": "lora", "training.learning_rate": 5e-5, "training.weight_decay": 0.1}
    chosen = space.active(lora)
    assert chosen is not None
    assert chosen["training.learning_rate"].name == "training.learning_rate #2"
    assert space.active({**lora, "training.learning_rate": 1e-2}) is None, "of the other method"
    assert space.active({**lora, "training.epochs": 5}) is None, "has no place with lora"
    assert space.active({"model.method": "lora"}) is None, "something is missing"


def test_a_chain_of_conditions() -> None:
    space = space_of(
        """
"training.warmup" = { values = [0.0, 0.1], when = { "training.schedule" = "cosine" } }
"training.schedule" = { values = ["linear", "cosine"], when = { "training.optimizer" = "sgd" } }
"training.optimizer" = ["adafactor", "sgd"]
"""
    )
    assert [dimension.path for dimension in space.dimensions] == [
        "training.optimizer", "training.schedule", "training.warmup"
    ]  # fmt: skip
    assert [len(parameters) for parameters in space.grid()] == [1, 2, 3, 3]


def test_values_come_once_and_tables_are_values_too() -> None:
    space = space_of('"training.batch_size" = [1, 1, 2]\n"training.class_weights" = ["none", { a = 2.0 }, { a = 2 }]')
    assert [dimension.domain for dimension in space.dimensions] == [Values((1, 2)), Values(("none", {"a": 2.0}))]
    assert space.size() == 4
    assert space.active({"training.batch_size": 1.0, "training.class_weights": {"a": 2}}) is not None


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("{ low = 0.0, high = 0.3, step = 0.1 }", [0.0, 0.1, 0.2, 0.3]),
        ("{ low = 0.0, high = 0.35, step = 0.1 }", [0.0, 0.1, 0.2, 0.3]),
        ("{ low = 0, high = 1 }", None),
    ],
)
def test_steps_of_a_range(text: str, values: list[float] | None) -> None:
    domain = space_of(f'"training.label_smoothing" = {text.replace("high = 1", "high = 0.9")}').dimensions[0].domain
    n = domain.count()
    assert (None if n is None else [domain.at(i) for i in range(n)]) == values


def test_whole_numbers() -> None:
    domain = space_of('"training.epochs" = { low = 1, high = 100, log = true }').dimensions[0].domain
    assert domain == Numbers(1, 100, True, None, True)
    assert domain.holds(17)
    assert not domain.holds(17.5)
    assert not domain.holds(True)
    assert not domain.holds("17")
    stepped = space_of('"training.batch_size" = { low = 8, high = 30, step = 8 }').dimensions[0].domain
    assert [stepped.at(i) for i in range(stepped.count() or 0)] == [8, 16, 24]
    assert not stepped.holds(12)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 5), st.integers(1, 4), st.integers(0, 30))
def test_every_configuration_of_a_grid_belongs_to_its_space(n_methods: int, n_ranks: int, extra: int) -> None:
    methods = ["full", "head", "top-layers", "lora"][:n_methods]
    ranks = f'"model.lora.r" = {list(range(1, n_ranks + 1))}' if "lora" in methods else ""
    space = space_of(
        f'"model.method" = {methods}\n{ranks}\n"training.epochs" = {{ low = 1, high = {1 + extra % 3 + 1} }}'
    )
    grid = list(space.grid())
    assert all(space.active(parameters) is not None for parameters in grid)
    assert len({canonical(parameters) for parameters in grid}) == len(grid) == space.size()
    assert [space.at(place) for place in range(len(grid))] == grid


def test_a_space_of_any_size_is_counted_without_being_made() -> None:
    rates = "\n".join(
        f'"training.{name}" = {{ low = 0.0, high = 0.9, step = 1e-6 }}' for name in ("warmup", "label_smoothing")
    )
    space = space_of(METHODS.replace("high = 3", "high = 400") + rates)
    assert space.size() == 3 * (1 + 2 + 400) * 900_001**2
    last = (space.size() or 0) - 1
    assert space.at(last) == {
        "model.method": "top-layers", "model.top_layers": 400, "training.batch_size": 24, "training.warmup": 0.9,
        "training.label_smoothing": 0.9,
    }  # fmt: skip
    assert space.at(0)["model.method"] == "full"


def test_many_conditions_are_counted_too() -> None:
    """Ten lists that a last one looks at: their combinations are not gone through."""
    names = [f"a{i}" for i in range(10)]
    lists = [Dimension(name, name, (name,), Values(tuple(range(10))), {}) for name in names]
    last = Dimension("b", "b", ("b",), Values((1, 2)), dict.fromkeys(names, (0, 1)))
    space = Space((*lists, last))
    assert space.size() == 10**10 + 2**10
    assert space.at(0) == {**dict.fromkeys(names, 0), "b": 1}
    assert space.at(10**10 + 2**10 - 1) == dict.fromkeys(names, 9)


def plausible_ranges() -> list[Numbers]:
    """As people write them: decimals, a number of steps that may not reach the top."""
    steps = [float(f"{digit}e-{places}") for places in range(1, 6) for digit in (1, 2, 3, 5, 7)]
    lows = (0.0, 0.01, 0.05, 0.1, 1e-5, 0.3)
    return [
        Numbers(low, float(Decimal(str(low)) + n * Decimal(str(step))), False, step, False)
        for step in steps for low in lows for n in map(Decimal, ("1", "2", "3", "6", "7", "9", "10", "13", "29", "3.5"))
    ]  # fmt: skip


def test_every_step_of_a_range_is_one_to_optuna() -> None:
    """0.01 to 0.07 in steps of 0.02 has 0.07 in it, and a study can be made of it."""
    ranges = plausible_ranges()
    assert len(ranges) == 1500
    for domain in ranges:
        dimension = Dimension("x", "x", ("x",), domain, {})
        with quiet():
            taken = distribution(dimension)
        values = [domain.at(i) for i in range(domain.count() or 0)]
        assert len(values) >= 2
        for value in values:
            assert domain.holds(value)
            assert taken._contains(encoded(dimension, value)), (domain, value)
    top = Numbers(0.01, 0.07, False, 0.02, False)
    assert [top.at(i) for i in range(top.count() or 0)] == [0.01, 0.03, 0.05, 0.07]
