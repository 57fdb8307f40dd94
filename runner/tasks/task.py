"""What a kind of work adds to a fine-tune: tokens of its rows, a model, a loss, and what an evaluation says."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from torch import Tensor, nn

from evals.metrics import Score
from runner.backbone import Backbone
from runner.batches import Batch, Collator
from runner.classifier import TextModel
from runner.encoding import EncodedSplit
from runner.inference import OutputsBroken, Passing
from store import Dataset, Predictions, Store

if TYPE_CHECKING:
    from runner.experiment import Experiment
    from runner.recipe import Model, Recipe

__all__ = ["Examination", "Examiner", "Objective", "OutputsBroken", "Reading", "Said", "StepLoss", "Task", "call"]

Reading = Callable[[str, int], None]
"""Progress: what is being done, rows so far."""


class StepLoss(NamedTuple):
    """What a training batch costs."""

    total: Tensor
    """Summed over what `Objective.weight` counts, in nats."""
    logits: Tensor | None
    """(batch, k): what is kept as dynamics; None where the task has none."""


class Objective(Protocol):
    """What training makes small."""

    def loss(self, model: nn.Module, batch: Batch) -> StepLoss:
        """Of one batch, on the model's device."""

    def weight(self, batches: Sequence[Batch]) -> Tensor | int:
        """What the losses of a step's batches are divided by together: examples, their weights, or tokens."""


class Said(NamedTuple):
    """What a model said of examples, and what is right, in the forms that metric modules compare."""

    predictions: Sequence[Any]
    references: Sequence[Any]


class Examination(NamedTuple):
    """What an evaluation of a split found."""

    scores: Sequence[Score]
    predictions: Predictions | None
    """None where they were not asked for."""
    responses: Sequence[str] = ()
    """JSON of each example, where predictions are no classes and were asked for."""
    said: Callable[[], Said] | None = None
    """For metrics of others; None where they have nothing to compare."""


class Examiner(Protocol):
    """Judges the model's outputs, evaluation after evaluation of one run."""

    def examine(self, name: str, outputs: Any, split: EncodedSplit) -> Examination:
        """Of a split by its name, validation first. Raises OutputsBroken where outputs are no numbers."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """What it has learnt that predictions need, as JSON: saved with the checkpoint."""


class Task(Protocol):
    """A kind of work. Holds no state: one object serves all runs."""

    @property
    def name(self) -> str:
        """As a recipe writes it."""

    @property
    def auto_class(self) -> str:
        """The class of transformers that loads its models: AutoModel, or one with the layer that says tokens."""

    def n_logits(self, dataset: Dataset) -> int | None:
        """Numbers of an example that its dynamics keep; None where it has none."""

    def encoding(self, recipe: "Recipe") -> Hashable:
        """What in a recipe makes other tokens or targets of the same rows, beside tokenizer and length."""

    def encode(
        self, store: Store, dataset: Dataset, split: str, backbone: Backbone, recipe: "Recipe", progress: Reading | None
    ) -> EncodedSplit:
        """The rows of a split as token ids and targets."""

    def build(self, backbone: Backbone, dataset: Dataset, spec: "Model") -> TextModel:
        """The model, with exactly those weights trainable that the method names. Raises ModelError."""

    def collator(self, experiment: "Experiment", split: EncodedSplit) -> Collator:
        """What makes training batches of a split."""

    def objective(self, experiment: "Experiment") -> Objective:
        """What a run of the experiment makes small. Raises DataError where the recipe asks for what the data lack."""

    def settings(self, experiment: "Experiment") -> Mapping[str, Any]:
        """What the training data say that outputs are to be read by, as JSON; an examiner may learn more."""

    def outputs(self, model: TextModel, split: EncodedSplit, passing: Passing) -> Any:
        """What the model says of a split, as the task's examiner reads it: mostly (n, k), examples in their order."""

    def examiner(
        self, label_names: tuple[str, ...], settings: Mapping[str, Any], *, with_predictions: bool
    ) -> Examiner:
        """Who judges a model whose outputs are read by these settings: of `settings`, or of a checkpoint."""


def call(model: nn.Module, batch: Batch) -> Any:
    """A model's outputs for a batch: of cached features, or of tokens."""
    if "features" in batch:
        return model(batch["features"])
    return model(batch["input_ids"], batch["attention_mask"], batch.get("token_type_ids"))
