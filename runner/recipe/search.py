"""The table of a sweep: what is searched, how, and when it ends."""

from typing import Annotated, Final, Literal

from pydantic import Field

from runner.recipe.types import (
    ALTERNATIVES,
    BY_SEARCH_KIND,
    FIXED,
    LIST,
    RANGE,
    VALUES,
    Count,
    Fraction,
    Number,
    Positive,
    Seed,
    Step,
    Table,
    Texts,
    TomlTable,
    TomlValue,
    any_of,
)

Condition = Annotated[TomlTable, Field(min_length=1)]
_WHEN: Final = (
    "Only where other parts of the space have one of these values: path = value, or a list of values. "
    "What belongs to one method needs none."
)


class Range(Table):
    """A range of `[sweep.space]`. Whole numbers are drawn for a field that holds whole numbers."""

    low: Number = Field(description="Smallest value.")
    high: Number = Field(description="Largest value.")
    log: bool = Field(default=False, description="Draw evenly on a logarithmic scale.")
    step: Step | None = Field(default=None, description="Distance between two values.")
    when: Condition | None = Field(default=None, description=_WHEN)
    int: bool = Field(default=False, description="Draw whole numbers where the field itself takes any.")


class Choices(Table):
    """Values of `[sweep.space]` as a table, so that they can have a condition."""

    values: Annotated[tuple[TomlValue, ...], Field(strict=False, min_length=1)] = Field(description="Values to try.")
    when: Condition | None = Field(default=None, description=_WHEN)


Search = Annotated[
    Annotated[str | int | float | bool, FIXED]
    | Annotated[tuple[TomlValue, ...], Field(strict=False, min_length=1), LIST]
    | Annotated[Range, RANGE]
    | Annotated[Choices, VALUES]
    | Annotated[
        tuple[Annotated[Annotated[Range, RANGE] | Annotated[Choices, VALUES], BY_SEARCH_KIND], ...],
        Field(strict=False),
        ALTERNATIVES,
    ],
    BY_SEARCH_KIND,
    Field(json_schema_extra=any_of),
]
"""What a path of `[sweep.space]` holds."""


class Sweep(Table):
    """`[sweep]`: a search over recipe values; `runner train` leaves it alone and runs the recipe's own."""

    trials: Count | None = Field(
        default=None, description="How many configurations to try; a grid tries all by default."
    )
    seeds: Count = Field(
        default=1,
        description="Seeds of each configuration that `seeds_for` names: `training.seed` and the ones after it.",
    )
    seeds_for: Literal["contenders", "all"] = Field(
        default="contenders",
        description="Which configurations get all seeds: those that contend for the best, or all that were not stopped "
        "early.",
    )
    objectives: Annotated[Texts, Field(min_length=1)] | None = Field(
        default=None,
        description="What to look for: `validation/METRIC`, `cost/MEASURE`, `latency/ms`; by default "
        "`evaluation.select`. Of several, what no other configuration beats in everything is found.",
    )
    sampler: Literal["grid", "random", "tpe", "gp", "cma-es"] = Field(
        default="tpe", description="How trials are chosen."
    )
    pruner: Literal["none", "asha", "hyperband", "median", "patience", "wilcoxon"] = Field(
        default="none", description="How hopeless trials are stopped early."
    )
    eta: Annotated[int, Field(ge=2, le=64)] = Field(
        default=4,
        description="With asha and hyperband: one of so many goes on at each rung, and a rung lies so many times "
        "further than the one before.",
    )
    first_rung: Fraction | None = Field(
        default=None,
        description="Share of a trial's own optimizer steps before pruners first look at it: by default 1/16 with asha "
        "and hyperband; 1/8 with the others, which look again at each multiple of it.",
    )
    patience: Count = Field(default=3, description="With pruner patience: rungs without a better value.")
    seed: Seed = Field(default=0, description="Seed of the sampler.")
    retries: Annotated[int, Field(ge=0, le=100)] = Field(
        default=1, description="How often a failed trial is tried again, from its last checkpoint."
    )
    stop_after: Count = Field(
        default=5, description="Stop after so many trials in a row that failed for the same reason."
    )
    max_hours: Positive | None = Field(
        default=None, description="Hours of work on the sweep, all its drivers together."
    )
    max_gpu_hours: Positive | None = Field(
        default=None,
        description="Hours of all devices together that the trials may take (of the CPU where that trains).",
    )
    space: dict[str, Search] = Field(
        min_length=1,
        description="Quoted recipe paths, each with a range, values or one value; a list of tables, each with `when`, "
        "holds alternatives.",
    )
