"""The defaults beside a tutorial's settings: padding, examples a second, accuracy, on tweets in three classes.

    TWEETEVAL=data/tweeteval python -m benchmarks.tutorial

TWEETEVAL names the folder of the data set. The tutorial's settings are those of well-known pages on GPT-2 and tweets:
1,000 training and 1,000 test examples, `padding="max_length"`, batches of 1, AdamW at 5e-5, a plain
`transformers.Trainer`. Both start at the same encoder and make the same passes over the same examples.
"""

import io
import os
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PrinterCallback, Trainer, TrainingArguments

from benchmarks.measure import Figure, Report, Stopwatch, Timing, against, arguments, finish, rate
from benchmarks.training import finished, test_score
from evals.intervals import wilson
from runner.builtin import minilm_folder
from runner.experiment import Experiment, prepare
from runner.order import TrainingOrder
from runner.progress import Progress, make_progress
from runner.quiet import quiet_libraries
from runner.recipe import LoadedRecipe, parse_recipe
from runner.train import train
from store import Store, get_cost, iter_texts, open_store

MAX_WASTE, MIN_SPEEDUP = 1.10, 8.0


class Size(NamedTuple):
    """Training and test tweets (None: all), passes over them, and what every text of the tutorial is padded to."""

    n_train: int | None
    n_test: int | None
    epochs: int
    longest: int


FULL = Size(1000, 1000, 3, 512)
SMALL = Size(24, 24, 1, 128)


def measure(size: Size, folder: Path, tweets: Path, base: Path) -> Report:
    """Both trainings, ours first, in a store below `folder`.

    tweets: a folder with val.csv to train on and test.csv (text, label). base: the folder of the encoder.
    """
    store, progress = open_store(folder / "tutorial.db"), make_progress("quiet", io.StringIO())
    every = prepare(_recipe(base, tweets, size.epochs), store, progress)
    waste = padding(every, size)
    _some(tweets / "val.csv", folder / "val.csv", size.n_train)
    _some(tweets / "test.csv", folder / "test.csv", size.n_test)
    experiment = prepare(_recipe(base, folder, size.epochs), store, progress)
    n_seen, n_test = size.epochs * len(experiment.splits["train"]), len(experiment.splits["test"])
    ours, ours_accuracy = _ours(experiment.loaded, store, progress)
    theirs, theirs_accuracy = _theirs(experiment, store, base, size, folder)
    store.close()
    slow = rate("tutorial: training examples a second", n_seen, "1/s", [theirs])
    plain = Figure("tutorial: test accuracy", [theirs_accuracy], "", note=_interval(theirs_accuracy, n_test))
    goal = MIN_SPEEDUP * (slow.value or 0.0)
    figures = [
        Figure("tokens computed ÷ tokens of the texts, defaults", [waste["default"]], "×", at_most=MAX_WASTE),
        Figure("the same, texts in any order", [waste["random"]], "×"),
        Figure(f"the same, all padded to {size.longest}", [waste["longest"]], "×"),
        slow,
        rate("defaults: training examples a second", n_seen, "1/s", [ours], at_least=goal, baseline=against(slow)),
        plain,
        Figure(
            "defaults: test accuracy", [ours_accuracy], "", at_least=theirs_accuracy, baseline=against(plain),
            note=_interval(ours_accuracy, n_test),
        ),
    ]  # fmt: skip
    n_all = len(every.splits["train"])
    words = f"{n_seen:,} examples seen in {size.epochs} passes, padding over {n_all:,} texts"
    return Report("The defaults beside a tutorial's settings", words, figures, is_small=size == SMALL)


def padding(experiment: Experiment, size: Size) -> dict[str, float]:
    """Tokens computed over tokens of the texts: with the recipe's batches, with random ones, all padded alike."""
    lengths, spec = experiment.splits["train"].lengths, experiment.loaded.recipe.training
    n_real = float(lengths.sum())
    ratios = {"longest": size.longest * len(lengths) / n_real}
    for name, grouped in (("default", lengths if spec.length_grouping else None), ("random", None)):
        order = TrainingOrder(len(lengths), spec.seed, lengths=grouped, batch_size=spec.batch_size)
        computed = 0
        for epoch in range(size.epochs):
            order.set_epoch(epoch)
            computed += _computed(lengths[list(order)], spec.batch_size)
        ratios[name] = computed / (size.epochs * n_real)
    return ratios


def _computed(lengths: NDArray[np.int64], batch_size: int) -> int:
    """Tokens with their padding, of texts in this order."""
    batches = [lengths[first : first + batch_size] for first in range(0, len(lengths), batch_size)]
    return sum(int(batch.max()) * len(batch) for batch in batches)


def _recipe(base: Path, tweets: Path, epochs: int) -> LoadedRecipe:
    text = f"""
name = "defaults"
task = "text-classification"

[model]
base = "{base}"

[data]
source = {{ train = "{tweets / "val.csv"}", test = "{tweets / "test.csv"}" }}

[training]
epochs = {epochs}
"""
    return parse_recipe(text, folder=Path.cwd(), overrides=['model.method="full"'], source="benchmark")


def _some(source: Path, target: Path, n: int | None) -> None:
    rows = pd.read_csv(source)
    (rows if n is None else rows.sample(n, random_state=0)).to_csv(target, index=False)


def _ours(loaded: LoadedRecipe, store: Store, progress: Progress) -> tuple[Timing, float]:
    """The training without its evaluations; processor time, which is not kept by phase, by the same share."""
    with Stopwatch() as watch:
        run = finished(train(loaded, store, progress))
    seconds = get_cost(store, run.key).train_seconds or float("nan")
    accuracy = test_score(store, run, "accuracy").value
    return Timing(seconds, watch.timing.cpu * seconds / watch.timing.wall), float(
        "nan"
    ) if accuracy is None else accuracy


class _Padded(Dataset[dict[str, Any]]):
    """Texts as the tutorial has them: every one as long as the longest may be."""

    def __init__(self, tokenizer: Any, texts: list[str], labels: NDArray[np.int64], longest: int) -> None:
        self._columns = tokenizer(texts, padding="max_length", truncation=True, max_length=longest)
        self.labels = labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {name: column[index] for name, column in self._columns.items()} | {"labels": int(self.labels[index])}


def _theirs(experiment: Experiment, store: Store, base: Path, size: Size, folder: Path) -> tuple[Timing, float]:
    """A plain Trainer with the tutorial's settings, on the same texts."""
    tokenizer = AutoTokenizer.from_pretrained(base)
    seed = experiment.loaded.recipe.training.seed
    torch.manual_seed(seed)
    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=len(experiment.label_names))

    def padded(split: str) -> _Padded:
        texts = [text for some in iter_texts(store, experiment.data.dataset, split) for text in some]
        return _Padded(tokenizer, texts, experiment.splits[split].labels, size.longest)

    args = TrainingArguments(
        output_dir=str(folder / "tutorial"), num_train_epochs=size.epochs, per_device_train_batch_size=1,
        per_device_eval_batch_size=1, learning_rate=5e-5, save_strategy="no", report_to=[], use_cpu=True,
        disable_tqdm=True, seed=seed,
    )  # fmt: skip
    trainer = Trainer(model=model, args=args, train_dataset=padded("train"))
    trainer.remove_callback(PrinterCallback)
    with Stopwatch() as watch:
        trainer.train()
    test = padded("test")
    said = np.asarray(trainer.predict(test).predictions).argmax(axis=1)
    return watch.timing, float((said == test.labels).mean())


def _interval(accuracy: float, n: int) -> str:
    low, high = wilson(round(accuracy * n), n)
    return f"{low:.3f} to {high:.3f} on {n:,}"


def main() -> None:
    options = arguments(__doc__).parse_args()
    quiet_libraries()
    if "TWEETEVAL" not in os.environ:
        sys.exit("set TWEETEVAL to the data's folder (sentiment/val.csv, sentiment/test.csv)")
    with tempfile.TemporaryDirectory() as folder:
        tweets = Path(os.environ["TWEETEVAL"]) / "sentiment"
        finish(measure(SMALL if options.small else FULL, Path(folder), tweets, minilm_folder()))


if __name__ == "__main__":
    main()
