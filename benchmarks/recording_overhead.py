"""What recording costs: the same training with a plain `transformers.Trainer`, and with everything recorded."""

import io
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from transformers import PrinterCallback, Trainer, TrainingArguments

from benchmarks.measure import Figure, Report, Stopwatch, Timing, against, arguments, finish, interleaved, seconds
from benchmarks.training import docstring_recipe, finished
from evals.classification import score_classification
from runner.batches import Batch, IndexDataset, TokenCollator
from runner.experiment import Experiment, prepare
from runner.inference import predict_logits
from runner.order import TrainingOrder
from runner.progress import Progress, make_progress
from runner.quiet import quiet_libraries
from runner.recipe import LoadedRecipe
from runner.train import train
from store import get_evaluation, iter_dynamics, list_latest, list_scores, open_store, read_log, read_predictions


class Size(NamedTuple):
    """Training examples, epochs, longest text in tokens, repetitions."""

    n_examples: int
    n_epochs: int
    max_length: int
    repetitions: int


FULL = Size(1000, 2, 32, 4)
SMALL = Size(32, 1, 8, 1)


class PlainTrainer(Trainer):  # type: ignore[misc]  # transformers ships no types that mypy accepts
    """The Trainer as its own documentation would have it: the same loss, batches and evaluations, nothing recorded."""

    def __init__(self, experiment: Experiment, args: TrainingArguments) -> None:
        self._experiment = experiment
        self._lengths = experiment.splits["train"].lengths
        super().__init__(
            model=experiment.model,
            args=args,
            train_dataset=IndexDataset(len(self._lengths)),
            eval_dataset=IndexDataset(1),
            data_collator=TokenCollator(experiment.splits["train"], experiment.backbone.tokenizer.pad_token_id),
        )
        self.model_accepts_loss_kwargs = False
        self.last_losses: dict[str, float] = {}

    def compute_loss(self, model: nn.Module, inputs: Batch, return_outputs: bool = False, **_: Any) -> Any:
        logits = model(inputs["input_ids"], inputs["attention_mask"])
        loss = functional.cross_entropy(logits.float(), inputs["labels"])
        return (loss, logits) if return_outputs else loss

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """As a recipe has it: the head at its own learning rate, weight decay without biases and norms."""
        spec = self._experiment.loaded.recipe.training
        decayed = set(self.get_decay_parameter_names(self.model))
        groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
        for name, parameter in self.model.named_parameters():
            groups.setdefault((name.startswith("head."), name in decayed), []).append(parameter)
        optimizer_class, settings = self.get_optimizer_cls_and_kwargs(self.args, self.model)
        optimizer: torch.optim.Optimizer = optimizer_class(
            [
                {
                    "params": parameters,
                    "weight_decay": spec.weight_decay if is_decayed else 0.0,
                    "lr": spec.head_learning_rate if is_head else spec.learning_rate,
                }
                for (is_head, is_decayed), parameters in groups.items()
            ],
            **settings,
        )
        self.optimizer = optimizer
        return optimizer

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Every evaluated split, scored with the same metrics and intervals."""
        found: dict[str, float] = {}
        for split, encoded in self._experiment.splits.items():
            if split == "train":
                continue
            pad = self._experiment.backbone.tokenizer.pad_token_id
            logits = predict_logits(self.model, encoded, pad, self.args.eval_batch_size)
            log_probs = functional.log_softmax(torch.from_numpy(logits), dim=1).numpy()
            scores = {score.metric: score.value for score in score_classification(encoded.labels, log_probs)}
            self.last_losses[split] = scores["loss"]
            found |= {f"eval_{split}/{name}": value for name, value in scores.items()}
        return found

    def _get_train_sampler(self, train_dataset: Any = None) -> TrainingOrder:
        args = self.args
        return TrainingOrder(len(self._lengths), args.seed, lengths=self._lengths, batch_size=args.train_batch_size)


class _Began(Progress):
    """Starts a stopwatch where training begins: data and model are ready, the untrained model is not yet scored."""

    def __init__(self, begin: Callable[[], object]) -> None:
        super().__init__(io.StringIO())
        self._begin = begin

    def start(self, total_steps: int | None, title: str, *, first_step: int = 0) -> None:
        super().start(total_steps, title, first_step=first_step)
        self._begin()


def measure(size: Size, folder: Path, settings: Sequence[str] = ()) -> Report:
    """Train as `size` says, with and without recording, in new files below `folder`; `settings`: further overrides."""
    bare = ('checkpoints.keep="none"', "recording.embeddings=false", "recording.log_every=1", *settings)
    loaded = docstring_recipe(
        "full",
        epochs=size.n_epochs,
        n_examples=size.n_examples,
        max_length=size.max_length,
        settings=bare,
    )
    for warm_up in (train_plain, train_recorded):  # the first training of a process imports and compiles much
        warm_up(docstring_recipe("full", epochs=1, max_length=8, settings=[*bare, "training.max_steps=1"]), folder, [])
    losses: dict[str, list[float]] = {"plain": [], "recorded": []}
    times = interleaved(
        {
            "plain": lambda: train_plain(loaded, folder, losses["plain"]),
            "recorded": lambda: train_recorded(loaded, folder, losses["recorded"]),
        },
        size.repetitions,
    )
    if len({round(loss, 6) for loss in losses["plain"] + losses["recorded"]}) != 1:
        raise AssertionError(f"recording must not change the training, but the final test losses are {losses}")
    pairs = list(zip(times["recorded"], times["plain"], strict=True))
    return Report(
        "Recording a training",
        f"{size.n_examples:,} docstrings, {size.n_epochs} epochs, MiniLM, all weights, metrics of every step",
        [
            Figure(
                "everything recorded ÷ nothing recorded",
                [recorded.wall / plain.wall for recorded, plain in pairs],
                "×",
                at_most=1.03,
                cpu_samples=[recorded.cpu / plain.cpu for recorded, plain in pairs],
            ),
            seconds("recorded", times["recorded"], baseline=against(seconds("plain Trainer", times["plain"]))),
        ],
        is_small=size == SMALL,
    )


def train_plain(loaded: LoadedRecipe, folder: Path, losses: list[float]) -> Timing:
    """Score the untrained model, train, score after each epoch: with the Trainer alone."""
    place = Path(tempfile.mkdtemp(dir=folder))
    store = open_store(place / "data-only.db")
    experiment = prepare(loaded, store, make_progress("quiet", io.StringIO()))
    spec = loaded.recipe.training
    trainer = PlainTrainer(
        experiment,
        TrainingArguments(
            output_dir=str(place),
            num_train_epochs=spec.epochs or 1,
            optim=spec.optimizer,
            learning_rate=spec.learning_rate or 0.0,
            per_device_train_batch_size=spec.batch_size,
            per_device_eval_batch_size=loaded.recipe.evaluation.batch_size,
            weight_decay=spec.weight_decay,
            warmup_steps=spec.warmup,
            max_grad_norm=spec.max_grad_norm,
            seed=spec.seed,
            data_seed=spec.seed,
            use_cpu=experiment.device.type == "cpu",
            bf16=experiment.device.dtype is torch.bfloat16,
            eval_strategy="epoch",
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            report_to=[],
            remove_unused_columns=False,
        ),
    )
    trainer.remove_callback(PrinterCallback)  # the recorded one prints nothing either
    with Stopwatch() as watch:
        trainer.evaluate()
        trainer.train()
    losses.append(trainer.last_losses["test"])
    store.close()
    return watch.timing


def train_recorded(loaded: LoadedRecipe, folder: Path, losses: list[float]) -> Timing:
    """The same through `runner.train`, until everything is in the store."""
    store = open_store(Path(tempfile.mkdtemp(dir=folder)) / "benchmark.db")
    watch = Stopwatch()
    run = finished(train(loaded, store, _Began(watch.__enter__)))
    watch.__exit__()
    scores = list_scores(store, [run.key])
    of_test = scores[(scores["split"] == "test") & (scores["metric"] == "loss")]
    losses.append(float(of_test.sort_values("step")["value"].iloc[-1]))
    _check(store, run.key, loaded)
    store.close()
    return watch.timing


def _check(store: Any, run_key: int, loaded: LoadedRecipe) -> None:
    """Everything must be there, or the measurement says nothing."""
    n_epochs = loaded.recipe.training.epochs
    evaluation = get_evaluation(store, run_key, "test")
    missing = [
        name
        for name, is_there in {
            "dynamics": sum(1 for _ in iter_dynamics(store, run_key)) == n_epochs,
            "predictions": evaluation is not None and not np.isnan(read_predictions(store, evaluation).loss).any(),
            "metrics": "train/loss" in set(list_latest(store, [run_key])["metric"]),
            "log": isinstance(read_log(store, run_key), str),
        }.items()
        if not is_there
    ]
    if missing:
        raise AssertionError(f"the recorded run has no {', '.join(missing)}")


def main() -> None:
    options = arguments(__doc__).parse_args()
    quiet_libraries()
    with tempfile.TemporaryDirectory() as folder:
        finish(measure(SMALL if options.small else FULL, Path(folder)))


if __name__ == "__main__":
    main()
