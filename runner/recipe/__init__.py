"""The recipe: the TOML file that a person writes, checked as a whole and resolved into one experiment.

load     reading, resolving, hashing          models   the tables and their fields: the one place that says which exist
data     the table of the examples            search   the table of a sweep
file     TOML, `base =`, `--set`              paths    `${NAME}` and relative paths
check    pydantic's findings in our words     rules    rules between fields
fields   the schema and the list of fields    errors   what a person reads
tables   nested tables                        types    kinds of values
spaces   what [sweep.space] says              sweep_rules  rules of [sweep]      objectives  what a sweep can look for
methods  the tables of single methods         method_rules  and what goes together in them
language  the tables of tasks that say tokens     cleaning  the table of steps over texts
frozen   as JSON, for the queue               shapes   which columns each task reads
outline  these as plain values            named_metrics  the table of metrics of others
"""

from runner.recipe.data import Columns, Data, Files, Split
from runner.recipe.errors import Problem, RecipeError
from runner.recipe.fields import FieldRow, recipe_fields, recipe_schema
from runner.recipe.load import (
    LoadedRecipe,
    load_recipe,
    parse_recipe,
    recipe_from_resolved,
    recipe_hash,
    resolved_form,
    toml_text,
)
from runner.recipe.methods import METHOD_DEFAULTS, Lora, Peft, Quantization
from runner.recipe.models import (
    Card,
    Checkpoints,
    Evaluation,
    Model,
    Recipe,
    Recording,
    Training,
    Triage,
)
from runner.recipe.named_metrics import NamedMetric
from runner.recipe.search import Choices, Range, Sweep

__all__ = [
    "METHOD_DEFAULTS",
    "Card",
    "Checkpoints",
    "Choices",
    "Columns",
    "Data",
    "Evaluation",
    "FieldRow",
    "Files",
    "LoadedRecipe",
    "Lora",
    "Model",
    "NamedMetric",
    "Peft",
    "Problem",
    "Quantization",
    "Range",
    "Recipe",
    "RecipeError",
    "Recording",
    "Split",
    "Sweep",
    "Training",
    "Triage",
    "load_recipe",
    "parse_recipe",
    "recipe_fields",
    "recipe_from_resolved",
    "recipe_hash",
    "recipe_schema",
    "resolved_form",
    "toml_text",
]
