"""What the recipes reach on public data sets, beside a logistic regression on the frozen embeddings.

    BANKING77=data/banking77 TWEETEVAL=data/tweeteval python -m benchmarks.quality

Each variable names a folder; a data set whose variable is not set is skipped. A recipe is `recipes/NAME.toml`.
"""

import io
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.measure import Figure, Report, against, arguments, finish
from benchmarks.training import finished, test_score
from evals.classification import Score, score_classification
from runner.experiment import prepare
from runner.inference import embed_split
from runner.progress import Progress, make_progress
from runner.quiet import quiet_libraries
from runner.recipe import LoadedRecipe, load_recipe
from runner.train import train
from store import Store, get_cost, open_store

RECIPES = Path(__file__).parents[1] / "recipes"


class Target(NamedTuple):
    """A recipe and what it must reach on the test split. Of several recipes of one `group` one is enough."""

    data: str
    variable: str
    recipe: str
    metric: str
    at_least: float


TARGETS = (
    Target("banking77", "BANKING77", "banking77-head", "accuracy", 0.92),
    Target("banking77", "BANKING77", "banking77-full", "accuracy", 0.93),
    Target("tweeteval/sentiment", "TWEETEVAL", "tweeteval-head", "macro_f1", 0.64),
    Target("tweeteval/sentiment", "TWEETEVAL", "tweeteval-full", "macro_f1", 0.68),
)


def measure(targets: Sequence[Target], folder: Path, settings: Sequence[str] = (), *, is_small: bool = False) -> Report:
    """Run every target whose data are there, in one new store below `folder`; `settings` override the recipes."""
    store = open_store(folder / "quality.db")
    progress = make_progress("quiet", io.StringIO())
    baselines: dict[str, Figure] = {}
    figures: list[Figure] = []
    for target in targets:
        path = RECIPES / f"{target.recipe}.toml"
        name = f"{target.recipe}: test {target.metric}"
        reason = None if target.variable in os.environ else f"set {target.variable} to the data's folder"
        reason = reason or (None if path.is_file() else f"there is no recipe {path.name}")
        if reason:
            figures.append(Figure(name, [], "", at_least=target.at_least, note=reason))
            continue
        loaded = load_recipe(path, settings)
        if target.data not in baselines:
            baselines[target.data] = _as_figure(
                "logistic regression", logistic_regression(loaded, store, progress, target.metric)
            )
            figures.append(baselines[target.data])
        figures.append(_train(target, loaded, store, progress, name, baselines[target.data]))
    store.close()
    return Report("Quality on public data", "one seed each, 95 % intervals in the notes", figures, is_small=is_small)


def _train(
    target: Target, loaded: LoadedRecipe, store: Store, progress: Progress, name: str, baseline: Figure
) -> Figure:
    run = finished(train(loaded, store, progress))
    score = test_score(store, run, target.metric)
    seconds = get_cost(store, run.key).wall_seconds or 0.0
    note = f"{_interval(score.low, score.high, score.n)}, {seconds:,.0f} s"
    return Figure(
        name, [score.value] if score.value is not None else [], "", target.at_least, None, against(baseline), note
    )


def logistic_regression(loaded: LoadedRecipe, store: Store, progress: Progress, metric: str) -> Score:
    """The recipe's backbone as it comes, its text vectors scaled, one linear layer fitted to the end."""
    experiment = prepare(loaded, store, progress)
    pad, batch_size = experiment.backbone.tokenizer.pad_token_id, loaded.recipe.evaluation.batch_size
    vectors = {
        name: embed_split(experiment.model, experiment.splits[name], pad, batch_size).mean.numpy()
        for name in ("train", "test")
    }
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
    model.fit(vectors["train"], experiment.splits["train"].labels)
    known = model.predict_log_proba(vectors["test"])
    log_probs = np.full((len(known), len(experiment.label_names)), -np.inf)
    log_probs[:, model.classes_] = known
    scores = score_classification(experiment.splits["test"].labels, log_probs)
    return next(score for score in scores if score.metric == metric)


def _as_figure(name: str, score: Score) -> Figure:
    return Figure(name, [score.value], "", note=f"{score.metric}, {_interval(score.low, score.high, score.n)}")


def _interval(low: float | None, high: float | None, n: int) -> str:
    return f"{low:.3f} to {high:.3f}, n = {n:,}" if low is not None and high is not None else f"n = {n:,}"


def main() -> None:
    options = arguments(__doc__).parse_args()
    quiet_libraries()
    settings = ["training.epochs=1", "data.max_examples=400"] if options.small else []
    with tempfile.TemporaryDirectory() as folder:
        finish(measure(TARGETS, Path(folder), settings, is_small=options.small))


if __name__ == "__main__":
    main()
