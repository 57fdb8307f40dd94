"""The tables of a recipe as frozen pydantic models: the one place that says which fields exist.

The JSON Schema, the reference page, the error messages and the `--set` paths are all derived from here.
Values are strict (`"3"` is not a number, `true` is not 1) and finite; a key that is not listed is refused.
Rules between fields live in `rules`; a `Recipe` built by hand instead of parsed has not met them.
"""

import math
from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field, model_validator

from runner.recipe.data import Data
from runner.recipe.language import Generation, Instruction, MaskedLm, Seq2Seq
from runner.recipe.methods import METHOD_DEFAULTS, Lora, Peft, Quantization
from runner.recipe.named_metrics import NamedMetrics
from runner.recipe.search import Sweep
from runner.recipe.types import (
    BY_KIND,
    NUMBER,
    STRING,
    TABLE,
    Base,
    Count,
    Device,
    Languages,
    Name,
    Positive,
    Seed,
    Share,
    Table,
    Text,
    Texts,
    TomlTable,
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
        default=256,
        ge=8,
        le=1_000_000,
        description="Longest input in tokens; the rest is cut off. Evaluations and predictions of words and of raw "
        "text read it to its end.",
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
        default="none",
        description="Weights of the labels in the loss; a label that a table leaves out has weight 1. Of spans a table "
        "names types, whose tags all weigh so, and `O`.",
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
