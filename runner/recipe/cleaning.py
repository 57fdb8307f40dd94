"""`[data.clean]`: what is done to texts before they are stored."""

from typing import Annotated, Literal

from pydantic import Field

from runner.recipe.types import Table

Language = Annotated[str, Field(pattern=r"^[a-z]{2,3}(-[a-z]+)?$")]


class Clean(Table):
    """`[data.clean]`: steps that change the texts of the inputs, in this order; by default none."""

    unicode: Literal["NFC", "NFKC"] | None = Field(
        default=None,
        description="Unicode normalisation: one way to write each character (`NFC`), or also one for all that look "
        "alike (`NFKC`).",
    )
    controls: bool = Field(
        default=False,
        description="Remove control characters, marks of byte order, soft hyphens and blanks without width; tabs and "
        "ends of lines stay.",
    )
    lemmatize: Language | None = Field(
        default=None,
        description="Put the dictionary form in place of each word of this language, such as `en`; needs the extra "
        "`clean` (simplemma).",
    )
    lowercase: bool = Field(default=False, description="Write all letters small.")
    whitespace: bool = Field(
        default=False, description="One blank in place of any run of white space, none at both ends."
    )
