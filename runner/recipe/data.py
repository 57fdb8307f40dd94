"""The table of the examples: where they come from, which column is what, how they are split."""

from typing import Annotated, Literal

from pydantic import Field

from runner.recipe.cleaning import Clean
from runner.recipe.types import (
    BY_KIND,
    LIST,
    STRING,
    TABLE,
    Fraction,
    Labels,
    Seed,
    Source,
    Table,
    Text,
    Texts,
)

Parts = Annotated[
    Annotated[Source, STRING] | Annotated[tuple[Source, ...], Field(strict=False, min_length=1), LIST], BY_KIND
]


class Files(Table):
    """`data.source` as a table: a source, or a list of them that are read one after the other, for each split; what
    is missing is split off from `train`."""

    train: Parts = Field(description="Source or sources of the training split.")
    validation: Parts | None = Field(default=None, description="Source or sources of the validation split.")
    test: Parts | None = Field(default=None, description="Source or sources of the test split.")


class Columns(Table):
    """`data.columns`: which column is what."""

    text: Text = Field(default="text", description="Column of the input text.")
    text_pair: Text | None = Field(
        default=None, description="Column of the second text: for pair-classification, and for regression over pairs."
    )
    label: Text = Field(default="label", description="Column of the label: for text- and pair-classification.")
    labels: Text = Field(
        default="labels",
        description='Column of the labels of multi-label-classification: a list, or a text with "|" between them.',
    )
    score: Text = Field(default="score", description="Column of the number: for regression.")
    query: Text = Field(default="query", description="Column of what is asked: for rerank.")
    document: Text = Field(default="document", description="Column of what may answer it: for rerank.")
    relevance: Text = Field(
        default="relevance",
        description="Column of how well the document answers the query, 0 = not at all: for rerank.",
    )
    query_id: Text | None = Field(
        default=None,
        description="Column that says which rows are of one query, kept beside the examples; by default the query "
        "itself says it: for rerank.",
    )
    tokens: Text = Field(
        default="tokens",
        description="Column of the words of token-classification: a list, or a text with blanks between them. Columns "
        'of CoNLL files are called "1", "2", …; "tokens" is the first one there.',
    )
    tags: Text = Field(
        default="tags",
        description='Column of the tags of the words: as `tokens`; "tags" is the last column of a CoNLL file.',
    )
    prompt: Text = Field(default="prompt", description="Column of the prompt: for instruction.")
    input: Text | None = Field(
        default=None,
        description="Column of what a prompt is about, such as a text to summarise, put behind it; a row may have "
        "none: for instruction.",
    )
    completion: Text = Field(default="completion", description="Column of the answer to it: for instruction.")
    messages: Text | None = Field(
        default=None,
        description="Column of whole chats instead, lists of messages with `role` and `content`: for instruction.",
    )
    target: Text = Field(default="target", description="Column of the text to be made: for seq2seq.")
    id: Text | None = Field(default=None, description="Column of your own ids, kept beside the content id.")


class Split(Table):
    """`data.split`: seeded stratified fractions, used for the splits that the source lacks."""

    validation: Fraction = Field(default=0.1, description="Fraction of the examples that become the validation split.")
    test: Fraction = Field(default=0.1, description="Fraction of the examples that become the test split.")
    seed: Seed = Field(default=0, description="Seed of the split.")
    group: Text | None = Field(
        default=None,
        description="Column whose rows of one value stay in one split (of one patient, document or author); rerank "
        "keeps the rows of a query together without it.",
    )


class Data(Table):
    """`[data]`: the examples."""

    source: Annotated[Annotated[Source, STRING] | Annotated[Files, TABLE], BY_KIND] = Field(
        description="A .csv, .tsv, .jsonl or .parquet file, for token-classification also .conll, .bio, .iob, .iob2 or "
        ".txt with words in columns, a folder written by `save_to_disk`, "
        "`hub:NAME[:config]`, `dataset:NAME@VERSION`, `builtin:docstrings`, or a table of sources for each "
        "split. `${NAME}` and `${NAME:-fallback}` are taken from the environment."
    )
    columns: Columns = Field(default=Columns(), description="Which column is what.")
    labels: Labels | None = Field(
        default=None,
        description="Label names in index order: to name integer labels, or to fix the order. Of token-classification "
        "the types of spans, or, where tags are integers, all tags with O.",
    )
    metadata: Texts = Field(default=(), description="Further columns to keep, for slices.")
    split: Split = Field(default=Split(), description="Fractions for the splits that the source lacks.")
    tag_rules: Literal["strict", "lenient"] = Field(
        default="strict",
        description="`strict` refuses tags that break the rules of their scheme (BIO, BIOES or BILOU), `lenient` reads "
        "them as the CoNLL evaluation does, IOB1 and tags without a prefix too.",
    )
    clean: Clean = Field(default=Clean(), description="What is done to the texts before they are stored.")
    encoding: Text = Field(default="utf-8", description="Encoding of text files.")
    on_empty: Literal["error", "drop"] = Field(
        default="error", description="What to do with a row without text or label."
    )
    max_examples: int | None = Field(
        default=None, ge=2, description="Train on a seeded stratified subset of this many examples."
    )
    name: Text | None = Field(default=None, description="Name of the dataset in the store; by default from the source.")
