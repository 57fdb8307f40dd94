"""Metrics of others in evaluations: `[[evaluation.metrics]]`."""

from typing import Annotated

from pydantic import Field

from runner.recipe.types import BY_KIND, STRING, TABLE, Table, Text, Texts, TomlTable


class NamedMetric(Table):
    """`[[evaluation.metrics]]`: a metric module of `evaluate` beside the task's own metrics."""

    use: Text = Field(
        description="One of ours (see docs/metrics.md), a file or folder of yours, or `hub:NAME`: code of others, from "
        "the model hub, which is run here."
    )
    name: Text | None = Field(default=None, description="What it is called in the store; by default its own name.")
    config: Text | None = Field(default=None, description="Configuration of the module, such as `multilabel` of f1.")
    values: Texts = Field(
        default=(), description="Which of its numbers are kept, inner ones as `PER.f1`; by default all on the top."
    )
    arguments: TomlTable = Field(default={}, description='What else it is called with, such as `{ lang = "en" }`.')
    resamples: int = Field(
        default=0,
        ge=0,
        le=10_000,
        description="Resamples of the examples for intervals of numbers that it gives for all examples together; 0: "
        "no interval.",
    )


NamedMetrics = tuple[Annotated[Annotated[Text, STRING] | Annotated[NamedMetric, TABLE], BY_KIND], ...]
