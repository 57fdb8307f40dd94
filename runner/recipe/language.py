"""The tables of the tasks that say tokens: gaps, instructions, text to text, and what a model writes by itself."""

from typing import Literal

from pydantic import Field

from runner.recipe.types import Count, Fraction, Table, Text


class MaskedLm(Table):
    """`[masked_lm]`: gaps in texts; of masked-lm."""

    share: Fraction = Field(default=0.15, description="Share of the tokens that training hides or changes.")


class Instruction(Table):
    """`[instruction]`: how prompts and answers become one text; of instruction."""

    template: Literal["auto", "chat", "chatml", "plain", "alpaca"] = Field(
        default="auto",
        description="`chat` is the tokenizer's own chat template, `chatml` one for tokenizers without, `plain` is the "
        "prompt, the separator and the answer, `alpaca` puts headings over prompt, input and answer; `auto` takes the "
        "chat template for messages and plain for the rest.",
    )
    separator: str = Field(default="\n", description="With template `plain`: what stands between prompt and answer.")
    loss_on: Literal["answers", "last-answer", "everything"] = Field(
        default="answers",
        description="What is learnt: every answer of a chat, only its last one, or the prompts too.",
    )
    long_prompts: Literal["error", "skip"] = Field(
        default="error",
        description="What to do with a prompt that leaves no room for an answer in `model.max_length` tokens: refuse "
        "the data, or learn nothing from it.",
    )


class Seq2Seq(Table):
    """`[seq2seq]`: text to text with an encoder and a decoder; of seq2seq."""

    prefix: str = Field(default="", description='What is put before each text, such as "summarize: " for T5.')
    max_target_length: Count = Field(default=128, description="Longest target in tokens; the rest is cut off.")


class Generation(Table):
    """`[generation]`: what the model writes by itself in evaluations; of instruction and seq2seq.

    It takes the likeliest token each time, so that the same model writes the same.
    """

    examples: int = Field(
        default=100, ge=0, le=1_000_000, description="First examples of each evaluated split that it answers; 0: none."
    )
    max_new_tokens: Count = Field(default=128, description="Longest answer in tokens.")
    beams: Count = Field(default=1, description="Beams of the search for the likeliest answer; 1 looks at no other.")
    batch_size: Count = Field(default=16, description="Answers that are written at once.")
    stop: Text | None = Field(
        default=None, description="Text before which an answer is cut off, beside the model's own end."
    )
