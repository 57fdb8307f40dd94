"""The value types of recipe fields: bounds, shapes and the words of their complaints."""

import math
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, TypeGuard

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

BUILTIN_MODELS: Final = ("minilm",)
BUILTIN_DATA: Final = ("docstrings",)

CHOICE: Final = "choice"
"""Prefix of the tags of unions, as in `choice:string`; pydantic puts tags into error locations."""


class Table(BaseModel):
    """What all tables share: frozen, strict, finite, closed."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


def words(text: str) -> dict[str, Any]:
    """What to call the allowed values in messages and tables, where the schema alone reads badly."""
    return {"x-words": text}


def refuse(message: str) -> PydanticCustomError:
    """The error to raise in a validator; `message` follows the field and its value ("must be ...")."""
    return PydanticCustomError("recipe", "{message}", {"message": message})


def _kind(value: object) -> str:
    match value:
        case bool():
            return f"{CHOICE}:boolean"
        case str():
            return f"{CHOICE}:string"
        case int() | float():
            return f"{CHOICE}:number"
        case list() | tuple():
            return f"{CHOICE}:list"
        case _:
            return f"{CHOICE}:table"


# A union is chosen by the kind of the TOML value, so that a typo inside a table is reported as that typo
# and not as one failure for each member of the union.
STRING, NUMBER, LIST, TABLE = (Tag(f"{CHOICE}:{kind}") for kind in ("string", "number", "list", "table"))
BY_KIND = Discriminator(_kind)


def search_kind(value: object) -> str:
    """What a value of `[sweep.space]` is: `choice:` and fixed, list, range, values or alternatives.

    Takes what TOML gave, and the models that it became.
    """
    if isinstance(value, dict):
        return f"{CHOICE}:values" if "values" in value else f"{CHOICE}:range"
    if isinstance(value, (list, tuple)):
        are_conditional = bool(value) and all(_has_condition(item) for item in value)
        return f"{CHOICE}:alternatives" if are_conditional else f"{CHOICE}:list"
    if hasattr(value, "when"):
        return f"{CHOICE}:range" if hasattr(value, "low") else f"{CHOICE}:values"
    return f"{CHOICE}:fixed"


def _has_condition(value: object) -> bool:
    return "when" in value if isinstance(value, dict) else hasattr(value, "when")


FIXED, RANGE, VALUES, ALTERNATIVES = (Tag(f"{CHOICE}:{kind}") for kind in ("fixed", "range", "values", "alternatives"))
BY_SEARCH_KIND = Discriminator(search_kind)


def any_of(node: dict[str, Any]) -> None:
    """Editors may find a value in several members of a union: a list of tables is a list of values too."""
    if "oneOf" in node:
        node["anyOf"] = node.pop("oneOf")
    node |= words("a value, a non-empty list of values, or a table with low and high, or with values")


def _unique(values: tuple[str, ...]) -> tuple[str, ...]:
    twice = sorted({value for value in values if values.count(value) > 1})
    if twice:
        raise refuse(f"must be different from each other; given twice: {', '.join(twice)}")
    return values


def _prefixed(known: Mapping[str, Callable[[str], str | None]]) -> Callable[[str], str]:
    """A validator for strings such as `hub:NAME`: the part after a known prefix has to have its shape."""

    def check(value: str) -> str:
        prefix, colon, rest = value.partition(":")
        complaint = known[prefix](rest) if colon and prefix in known else None
        if complaint:
            raise refuse(complaint)
        return value

    return check


def _builtin(names: tuple[str, ...]) -> Callable[[str], str | None]:
    allowed = " or ".join(f"builtin:{name}" for name in names)
    return lambda rest: None if rest in names else f"must be {allowed}"


def _hub(rest: str) -> str | None:
    name, colon, config = rest.partition(":")
    return None if name.strip() and (config.strip() or not colon) else "must be hub:NAME or hub:NAME:config"


def _dataset(rest: str) -> str | None:
    name, _, version = rest.rpartition("@")
    return None if name.strip() and version.strip() else "must be dataset:NAME@VERSION"


def _scratch(rest: str) -> str | None:
    is_type = rest.replace("-", "").replace("_", "").isalnum()
    return None if is_type else "must be scratch:TYPE, a transformers model type such as bert or gpt2"


def _no_url(value: str) -> str:
    if "://" in value:
        raise refuse("is a URL, which is not read; download the file, or write hub:NAME")
    return value


def is_number(value: object) -> TypeGuard[int | float]:
    """True for a finite number; booleans are none."""
    return (isinstance(value, int) and not isinstance(value, bool)) or (
        isinstance(value, float) and math.isfinite(value)
    )


def _number(value: object) -> object:
    """Refuses once what would fail as an integer and again as a float."""
    if not is_number(value):
        raise refuse("must be a finite number")
    return value


def _step(value: object) -> object:
    if not is_number(value) or value <= 0:
        raise refuse("must be a finite number > 0")
    return value


def toml_value(value: Any) -> Any:
    """Dates, nan and nothing are refused: a recipe has to survive the way into JSON and back to TOML."""
    match value:
        case bool() | int() | str():
            pass
        case float() if math.isfinite(value):
            pass
        case list() | tuple():
            for item in value:
                toml_value(item)
        case dict():
            for key, item in value.items():
                toml_value(key)
                toml_value(item)
        case _:  # dates, nan, infinity, None
            raise refuse("must hold strings, finite numbers, true or false, lists and tables only")
    return value


Text = Annotated[str, Field(min_length=1)]
Texts = Annotated[
    tuple[Text, ...], Field(strict=False, json_schema_extra={"uniqueItems": True}), AfterValidator(_unique)
]
Labels = Annotated[
    tuple[Text, ...],
    Field(strict=False, min_length=2, json_schema_extra={"uniqueItems": True}),
    AfterValidator(_unique),
]
Languages = Annotated[
    tuple[
        Annotated[
            str,
            Field(
                pattern=r"^([a-z]{2,3}(-[A-Za-z0-9]{2,8})*|multilingual)$",
                json_schema_extra=words("a language code such as en or pt-BR, or multilingual"),
            ),
        ],
        ...,
    ],
    Field(strict=False, json_schema_extra={"uniqueItems": True}),
    AfterValidator(_unique),
]
Name = Annotated[
    str,
    Field(
        min_length=1,
        max_length=100,
        # No control characters, no blanks at either end.
        pattern=r"^[^\s\x00-\x1f\x7f-\x9f]([^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f])?$",
        json_schema_extra=words("1 to 100 characters, no control characters, no blanks at the ends"),
    ),
]
Device = Annotated[
    str,
    Field(pattern=r"^(auto|cpu|mps|cuda(:[0-9]+)?)$", json_schema_extra=words("auto, cpu, cuda, cuda:N or mps")),
]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Share = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Number = Annotated[int | float, BeforeValidator(_number), Field(json_schema_extra=words("a number"))]
Step = Annotated[int | float, BeforeValidator(_step), Field(gt=0, json_schema_extra=words("a number > 0"))]
TomlValue = Annotated[Any, AfterValidator(toml_value)]
TomlTable = Annotated[dict[str, Any], AfterValidator(toml_value)]
Source = Annotated[
    Text,
    AfterValidator(_prefixed({"hub": _hub, "dataset": _dataset, "builtin": _builtin(BUILTIN_DATA)})),
    AfterValidator(_no_url),
]
Base = Annotated[
    Text,
    AfterValidator(
        _prefixed(
            {
                "builtin": _builtin(BUILTIN_MODELS),
                "scratch": _scratch,
                "run": lambda rest: None if rest else "must be run:NAME or run:ID, of a run in the store",
                "hub": lambda rest: f"must be the name on the hub alone: {rest or 'NAME'}",
            }
        )
    ),
]
