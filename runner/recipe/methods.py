"""The tables of `[model]` that belong to one method, and what each method does where the recipe says nothing."""

import difflib
from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, ConfigDict, Field

from runner.recipe.types import BY_KIND, LIST, STRING, Count, Positive, Share, Table, Text, refuse, words

METHOD_DEFAULTS: Final[Mapping[str, tuple[int, float]]] = {
    "full": (3, 5e-5),
    "top-layers": (3, 1e-4),
    "lora": (3, 5e-4),
    "qlora": (3, 5e-4),
    "peft": (3, 1e-3),
    "head": (30, 1e-3),
}
"""Epochs and learning rate of each method where the recipe gives none."""

ADAPTERS: Final = ("lora", "qlora", "peft")
"""Methods whose checkpoints hold an adapter, and not the base below it."""

LAYER_TYPES: Final = (
    "IA3", "LN_TUNING", "VERA", "LOHA", "LOKR", "OFT", "BOFT", "HRA", "C3A", "FOURIERFT", "RANDLORA", "VBLORA", "MISS",
    "SHIRA", "ROAD", "DELORA", "GRALORA", "WAVEFT", "TINYLORA", "HIRA", "UNILORA", "PVERA",
)  # fmt: skip
"""Types of peft that change what layers compute, one layer at a time."""

PROMPT_TYPES: Final = ("PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING")
"""Types of peft that learn tokens, or keys and values, in front of the text."""

NOT_SERVED: Final[Mapping[str, str]] = {
    "LORA": 'has a method of its own: set model.method = "lora"',
    "ADALORA": "moves ranks between layers by a schedule of its own that the training loop would have to keep",
    "XLORA": "is made of adapters that are trained already",
    "POLY": "is for several tasks at a time",
    "MULTITASK_PROMPT_TUNING": "is for several tasks at a time",
    "ADAPTION_PROMPT": "knows a few model types only",
    "CPT": "is for prompts of language models only",
    "OSF": "takes the base's weights apart, and its checkpoints do not say how",
}
"""Types of peft that are refused with a reason of their own."""

BASE_CHANGING: Final = ("pissa", "pissa_niter_16", "olora")
"""Starts of LoRA that take their part out of the base's weights."""


def _peft_type(value: object) -> object:
    """peft's names, however they are written: `ia3`, `prefix-tuning`."""
    if not isinstance(value, str):
        return value
    name = value.upper().replace("-", "_")
    if name in NOT_SERVED:
        raise refuse(f"is not served: {name} {NOT_SERVED[name]}")
    known = (*LAYER_TYPES, *PROMPT_TYPES)
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise refuse(f"must be one of {', '.join(known)}{hint}")
    return name


class Lora(Table):
    """`[model.lora]`: low-rank adapters (Hu et al. 2021, arXiv:2106.09685)."""

    r: Count = Field(default=16, description="Rank of the adapters.")
    alpha: Positive = Field(default=32.0, description="Scale of the adapters: their output is multiplied by alpha / r.")
    dropout: Share = Field(default=0.05, description="Dropout on the input of the adapters.")
    target_modules: Annotated[
        Annotated[Text, STRING] | Annotated[tuple[Text, ...], Field(strict=False, min_length=1), LIST],
        BY_KIND,
    ] = Field(
        default="all-linear", description="Modules that get adapters: `all-linear`, a regular expression, or names."
    )
    use_dora: bool = Field(
        default=False, description="Learn the length of each row of weights apart from its direction; slower."
    )
    use_rslora: bool = Field(
        default=False, description="Scale by alpha / √r: a higher rank then learns as fast as a lower one."
    )
    init: Literal["default", "gaussian", "orthogonal", "olora", "pissa", "pissa_niter_16", "loftq"] = Field(
        default="default",
        description="How adapters start. `default`, `gaussian` and `orthogonal` leave the model as it is; `pissa`, "
        "`pissa_niter_16` (a faster decomposition) and `olora` take the weights' main directions out of the base; "
        "`loftq` makes up for what 4-bit weights lose (with method qlora only).",
    )


class Quantization(Table):
    """`[model.quantization]`: the frozen base in few bits (Dettmers et al. 2023, arXiv:2305.14314)."""

    bits: Literal[4, 8] = Field(default=4, description="Bits of a weight of the linear layers.")
    type: Literal["nf4", "fp4"] = Field(default="nf4", description="With 4 bits: the number format.")
    double: bool = Field(default=True, description="With 4 bits: quantise the scales of the blocks as well.")
    compute: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        default="auto",
        description="With 4 bits: the format that layers compute in; `auto` takes that of `training.precision`.",
    )


class Peft(Table):
    """`[model.peft]`: any other adapter of peft. Beside `type`, the settings of its configuration class."""

    model_config = ConfigDict(extra="allow")

    type: Annotated[
        Text,
        BeforeValidator(_peft_type),
        Field(
            json_schema_extra={
                "enum": [*LAYER_TYPES, *PROMPT_TYPES],
                **words("the name of an adapter type of peft, such as IA3, VERA or PREFIX_TUNING"),
            }
        ),
    ] = Field(default="IA3", description="The adapter, by peft's name.")
