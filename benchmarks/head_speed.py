"""Method `head`: an epoch on cached features, beside an epoch that computes the frozen backbone again."""

import io
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.measure import Figure, Report, Stopwatch, Timing, against, arguments, finish, interleaved, seconds
from benchmarks.training import docstring_recipe, finished, test_score
from runner.experiment import prepare
from runner.inference import embed_split
from runner.progress import make_progress
from runner.quiet import quiet_libraries
from runner.train import train
from store import get_cost, open_store


class Size(NamedTuple):
    """Training examples (None: all of the docstrings), epochs on cached features, repetitions."""

    n_examples: int | None
    n_epochs: int
    repetitions: int


FULL = Size(None, 20, 3)
SMALL = Size(64, 2, 1)


def measure(size: Size, folder: Path, settings: Sequence[str] = ()) -> Report:
    """Train `head` in a new store below `folder`, first without the cache; `settings` are further overrides."""
    store = open_store(folder / "benchmark.db")
    loaded = docstring_recipe("head", epochs=size.n_epochs, n_examples=size.n_examples, settings=settings)
    progress = make_progress("quiet", io.StringIO())
    experiment = prepare(loaded, store, progress)
    split, tokenizer = experiment.splits["train"], experiment.backbone.tokenizer
    accuracies = set()

    def recompute() -> Timing:
        with Stopwatch() as watch:
            embed_split(experiment.model, split, tokenizer.pad_token_id, loaded.recipe.training.batch_size)
        return watch.timing

    def whole_run() -> Timing:
        with Stopwatch() as watch:
            run = finished(train(loaded, store, progress))
        accuracies.add(test_score(store, run, "accuracy").value)
        cost = get_cost(store, run.key)
        epochs.append((cost.train_seconds or 0.0) / size.n_epochs)
        return watch.timing

    epochs: list[float] = []
    cold = whole_run()
    cached_files = sorted((store.files / "cache" / "features").iterdir())
    times = interleaved({"backbone": recompute, "cached": whole_run}, size.repetitions)
    if sorted((store.files / "cache" / "features").iterdir()) != cached_files or len(accuracies) != 1:
        raise AssertionError(f"runs on cached features differ from the first: test accuracies {accuracies}")
    store.close()
    backbone = seconds("backbone over the training split", times["backbone"])
    on_cache = Figure("epoch of the head on cached features", epochs, "s")
    speedups = [(b.wall + e) / e for b, e in zip(times["backbone"], epochs[1:], strict=True)]
    return Report(
        "Method head",
        f"{len(split):,} docstrings, {split.n_tokens:,} tokens, {size.n_epochs} epochs, MiniLM",
        [
            Figure("epoch that recomputes the backbone ÷ epoch on cached features", speedups, "×", at_least=20),
            on_cache,
            backbone,
            seconds("whole run, features cached", times["cached"], baseline=against(seconds("first run", [cold]))),
        ],
        is_small=size == SMALL,
    )


def main() -> None:
    options = arguments(__doc__).parse_args()
    quiet_libraries()
    with tempfile.TemporaryDirectory() as folder:
        finish(measure(SMALL if options.small else FULL, Path(folder)))


if __name__ == "__main__":
    main()
