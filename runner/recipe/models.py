"""The tables of a recipe as frozen pydantic models: the one place that says which fields exist.

The JSON Schema, the reference page, the error messages and the `--set` paths are all derived from here.
Values are strict (`"3"` is not a number, `true` is not 1) and finite; a key that is not listed is refused.
Rules between fields live in `rules`; a `Recipe` built by hand instead of parsed has not met them.
"""

import math
from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field, model_validator

from runner.recipe.cleaning import Clean
from runner.recipe.language import Generation, Instruction, MaskedLm, Seq2Seq
from runner.recipe.methods import METHOD_DEFAULTS, Lora, Peft, Quantization
from runner.recipe.named_metrics import NamedMetrics
from runner.recipe.types import (
    ALTERNATIVES,
    BY_KIND,
    BY_SEARCH_KIND,
    FIXED,
    LIST,
    NUMBER,
    RANGE,
    STRING,
    TABLE,
    VALUES,
    Base,
    Count,
    Device,
    Fraction,
    Labels,
    Languages,
    Name,
    Number,
    Positive,
    Seed,
    Share,
    Source,
    Step,
    Table,
    Text,
    Texts,
    TomlTable,
    TomlValue,
    any_of,
    refuse,
    words,
)

SELECT_DEFAULTS: Final[Mapping[str, str]] = {
    "multi-label-classification": "validation/micro_f1",
    "regression": "validation/spearman",
    "rerank": "validation/ndcg@10",
    "token-classification": "validation/entity_f1",
    "causal-lm": "validation/loss",
    "masked-lm": "validation/loss",
    "instruction": "validation/loss",
    "seq2seq": "validation/loss",
}
"""What selects the checkpoint of a task where the recipe does not say; of the others it is macro F1."""

HEAD_LEARNING_RATE: Final = 1e-3
"""Of the fresh classification layer above a backbone that trains too: random weights need larger steps."""


def _validation_only(value: object) -> object:
    """Best-checkpoint selection on another split is refused with the reason, before the list of choices."""
    if isinstance(value, str) and value.startswith("test/"):
        raise refuse("must be validation/METRIC: choosing the checkpoint on the test split would leak it")
    if isinstance(value, str) and value.startswith("train/"):
        raise refuse("must be validation/METRIC: on the training split the last checkpoint always looks best")
    if isinstance(value, str) and not value.startswith("validation/"):
        raise refuse("must be validation/METRIC, such as validation/loss")
    return value


class Model(Table):
    """`[model]`: what is fine-tuned, and how."""

    base: Base = Field(
        description="A hub name, a local folder, `builtin:minilm`, `scratch:TYPE` for random weights "
        "of a transformers model type such as `bert`, or `run:NAME` for the model of another run. `${NAME}` "
        "and `${NAME:-fallback}` are taken from "
        "the environment."
    )
    method: Literal["full", "head", "top-layers", "lora", "qlora", "peft"] = Field(
        default="full",
        description="`full` trains all weights, `head` the classification layer on a frozen backbone, "
        "`top-layers` the last layers and the head, `lora` low-rank adapters and the head, `qlora` the same over a "
        "base of 4 or 8 bits, `peft` any other adapter of peft.",
    )
    revision: Text | None = Field(default=None, description="Branch, tag or commit of a hub model.")
    trust_remote_code: bool = Field(default=False, description="Run the code that a hub model brings along.")
    tokenizer: Text | None = Field(
        default=None,
        description="Folder or hub name of the tokenizer; by default the base's own. Needed by `scratch:`.",
    )
    config: TomlTable = Field(
        default_factory=dict,
        description="With `scratch:` only: arguments of the transformers configuration class.",
    )
    pooling: Literal["auto", "mean", "cls", "last"] = Field(
        default="auto", description="How token vectors become one text vector; `auto` picks by the kind of backbone."
    )
    max_length: int = Field(
        default=256, ge=8, le=1_000_000, description="Longest input in tokens; the rest is cut off."
    )
    dropout: Share = Field(default=0.1, description="Dropout before the classification layer.")
    tag_scheme: Literal["BIO", "BIOES", "BILOU"] = Field(
        default="BIO", description="The tags that the model says of words, whatever those of the data are."
    )
    top_layers: Count = Field(
        default=2, description="With method `top-layers` only: how many of the last layers train."
    )
    attention: Literal["auto", "sdpa", "eager", "flash_attention_2"] = Field(
        default="auto", description="How attention is computed; `auto` leaves it to transformers."
    )
    lora: Lora = Field(default=Lora(), description="With methods `lora` and `qlora` only: the adapters.")
    quantization: Quantization = Field(
        default=Quantization(), description="With method `qlora` only: the base in few bits."
    )
    peft: Peft = Field(default=Peft(), description="With method `peft` only: which adapter, and its settings.")


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


Optimizer = Literal["adamw_torch", "adamw_torch_fused", "adamw_8bit", "paged_adamw_8bit", "adafactor", "sgd"]


class Training(Table):
    """`[training]`: the optimisation."""

    epochs: Count | None = Field(
        default=None, description="Passes over the training split; by default 3, with method head 30."
    )
    learning_rate: Positive | None = Field(
        default=None,
        description="Peak learning rate; by default full 5e-5, top-layers 1e-4, lora "
        "and qlora 5e-4, peft and head 1e-3.",
    )
    head_learning_rate: Positive | None = Field(
        default=None,
        description="Peak learning rate of the fresh classification layer; by default 1e-3, with method head as "
        "`learning_rate`.",
    )
    max_steps: Count | None = Field(
        default=None, description="Stop after this many optimizer steps; wins over `epochs`."
    )
    batch_size: Count = Field(default=32, description="Examples in one forward pass.")
    gradient_accumulation: Count = Field(default=1, description="Forward passes in one optimizer step.")
    optimizer: Optimizer = Field(
        default="adamw_torch_fused",
        description="Optimizer, by its transformers name; fused is 2 to 6 times faster a step, 8bit takes a quarter "
        "of the memory, paged moves what a GPU has no room for to the host.",
    )
    weight_decay: float = Field(default=0.01, ge=0, description="Weight decay, without biases and norms.")
    warmup: Share = Field(default=0.06, description="Share of the steps in which the learning rate rises.")
    schedule: Literal["linear", "cosine", "constant"] = Field(
        default="linear", description="Course of the learning rate after the warm-up."
    )
    max_grad_norm: float = Field(default=1.0, ge=0, description="Gradients are clipped to this norm; 0 does not clip.")
    label_pieces: Literal["first", "all"] = Field(
        default="first",
        description="Where a word is several tokens, whether its `first` one or `all` of them learn its tag; what the "
        "model says of a word is always said of its first token.",
    )
    label_smoothing: Share = Field(default=0.0, description="Share of the target spread evenly over all labels.")
    class_weights: Annotated[
        Annotated[Literal["none", "balanced"], STRING]
        | Annotated[
            dict[Text, Positive],
            Field(min_length=1, json_schema_extra=words("a table of label = number > 0")),
            TABLE,
        ],
        BY_KIND,
    ] = Field(
        default="none", description="Weights of the labels in the loss; a label that a table leaves out has weight 1."
    )
    seed: Seed = Field(default=0, description="Seed of initialisation, order and dropout.")
    deterministic: bool = Field(default=False, description="Refuse operations that are not deterministic; slower.")
    early_stopping: Count | None = Field(
        default=None, description="Stop after this many evaluations without a better `evaluation.select`."
    )
    precision: Literal["auto", "fp32", "fp16", "bf16"] = Field(
        default="auto",
        description="Number format of the forward pass; `auto` takes the best that the device does fast.",
    )
    length_grouping: bool = Field(default=True, description="Put texts of similar length into one batch: less padding.")
    packing: bool | None = Field(
        default=None,
        description="Put several texts into one row of `model.max_length` tokens, kept apart from each other: hardly "
        "any padding; by default causal-lm does, instruction does not.",
    )
    gradient_checkpointing: bool = Field(default=False, description="Recompute activations: less memory, slower.")
    compile: bool = Field(
        default=False, description="Compile the model with torch.compile: a slow first step, then faster ones."
    )
    memory: Literal["warn", "refuse"] = Field(
        default="warn", description="What to do where the estimate of the memory is above what there is."
    )
    device: Device = Field(default="auto", description="Where to train.")


class Evaluation(Table):
    """`[evaluation]`: when to evaluate, and which checkpoint is best."""

    select: Annotated[
        Text,
        BeforeValidator(_validation_only),
        Field(json_schema_extra={"pattern": "^validation/.", **words("validation/METRIC, of a metric of the task")}),
    ] = Field(
        default="validation/macro_f1",
        description="The metric that picks the best checkpoint; by default of the classifications validation/macro_f1, "
        "of multi-label-classification validation/micro_f1, of regression validation/spearman, of rerank "
        "validation/ndcg@10, of token-classification validation/entity_f1.",
    )
    every: Annotated[
        Annotated[Literal["epoch"], STRING] | Annotated[Count, NUMBER],
        BY_KIND,
    ] = Field(default="epoch", description="When to evaluate: after each epoch, or every so many optimizer steps.")
    batch_size: Count = Field(default=64, description="Examples in one forward pass of an evaluation.")
    metrics: NamedMetrics = Field(
        default=(),
        strict=False,
        description="Metric modules of `evaluate` beside the task's own metrics: names, or tables as below.",
    )


class Checkpoints(Table):
    """`[checkpoints]`: what stays on disk."""

    keep: Literal["best+last", "best", "last", "all", "none"] = Field(
        default="best+last", description="Which checkpoints stay on disk when the run ends."
    )


class Recording(Table):
    """`[recording]`: what is written into the store."""

    dynamics: bool = Field(
        default=True, description="Record what the model says about each training example, by epoch."
    )
    predictions: bool = Field(default=True, description="Record a prediction for each evaluated example.")
    target_tokens: bool = Field(
        default=True,
        description="Record what the best weights say of each token of the training answers, with the prompt and "
        "without.",
    )
    embeddings: bool = Field(default=True, description="Record an embedding of each example when the run ends.")
    log_every: Count = Field(default=10, description="Optimizer steps between two training metrics.")
    system_seconds: Positive = Field(
        default=5.0, description="Seconds between two samples of processor, memory and device."
    )


class Triage(Table):
    """`[triage]`: looking for training examples that hurt; see docs/triage.md."""

    after_training: bool = Field(
        default=True, description="Look when `runner train` has finished; trials of a sweep never do."
    )


class Card(Table):
    """`[card]`: what the model card says that nobody can measure; see docs/publish.md."""

    intended_use: Text | None = Field(default=None, description="What the model is for, and for whom.")
    limitations: Text | None = Field(default=None, description="What it is not for, and where it fails.")
    licence: Text | None = Field(default=None, description="Licence of the model, by its SPDX name or in words.")
    data_licence: Text | None = Field(default=None, description="Licence of the data it was trained on.")
    language: Languages = Field(
        default=(), description="Languages of the texts, by their codes (`en`, `pt-BR`) or `multilingual`."
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


class Recipe(Table):
    """One experiment. Parsed recipes come resolved: every default is filled, the method's own included."""

    name: Name = Field(description="What to call the run.")
    task: Literal[
        "text-classification",
        "pair-classification",
        "multi-label-classification",
        "regression",
        "rerank",
        "token-classification",
        "causal-lm",
        "masked-lm",
        "instruction",
        "seq2seq",
    ] = Field(
        description="What the model learns to do: one label for each text, or for each pair of texts; any number of "
        "labels; a number for each text or pair; which documents answer a query; spans of words with a type; to go "
        "on with a text, or to fill its gaps; to answer; to make a text of a text."
    )
    notes: str = Field(default="", description="Anything worth remembering.")
    tags: Texts = Field(default=(), description="Words to find the run by.")
    model: Model = Field(description="What is fine-tuned, and how.")
    data: Data = Field(description="The examples.")
    training: Training = Field(default=Training(), description="The optimisation.")
    evaluation: Evaluation = Field(default=Evaluation(), description="When to evaluate, and which checkpoint is best.")
    checkpoints: Checkpoints = Field(default=Checkpoints(), description="What stays on disk.")
    masked_lm: MaskedLm = Field(default=MaskedLm(), description="Gaps in texts.")
    instruction: Instruction = Field(default=Instruction(), description="How prompts and answers become one text.")
    seq2seq: Seq2Seq = Field(default=Seq2Seq(), description="Text to text with an encoder and a decoder.")
    generation: Generation = Field(default=Generation(), description="What the model writes in evaluations.")
    recording: Recording = Field(default=Recording(), description="What is written into the store.")
    triage: Triage = Field(default=Triage(), description="Looking for training examples that hurt.")
    card: Card | None = Field(default=None, description="What the model card says that nobody can measure.")
    sweep: Sweep | None = Field(default=None, description="A search over recipe values.")

    @model_validator(mode="before")
    @classmethod
    def _fill_method_defaults(cls, raw: object) -> object:
        """Epochs and learning rate follow the method, what selects the checkpoint the task, unless they are written."""
        if not isinstance(raw, Mapping):
            return raw
        task, evaluation = raw.get("task"), raw.get("evaluation", {})
        if isinstance(task, str) and task in SELECT_DEFAULTS and isinstance(evaluation, Mapping):
            raw = {**raw, "evaluation": {"select": SELECT_DEFAULTS[task], **evaluation}}
        model, training = raw.get("model"), raw.get("training", {})
        method = model.get("method", "full") if isinstance(model, Mapping) else None
        if not isinstance(method, str) or method not in METHOD_DEFAULTS or not isinstance(training, Mapping):
            return raw
        epochs, learning_rate = METHOD_DEFAULTS[method]
        written = {key: value for key, value in training.items() if value is not None}
        own = written.get("learning_rate")  # where it is none that can be, it is the one that is wrong, not both
        is_rate = isinstance(own, int | float) and not isinstance(own, bool) and 0 < own < math.inf
        head = HEAD_LEARNING_RATE if method != "head" else own if is_rate else learning_rate
        defaults = {"epochs": epochs, "learning_rate": learning_rate, "head_learning_rate": head}
        return {**raw, "training": {**defaults, **written}}
