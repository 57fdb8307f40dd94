"""What the recipes reach on public data sets, beside something simple on the same data.

    BANKING77=data/banking77 TWEETEVAL=data/tweeteval NCBI_DISEASE=data/ncbi_disease NLUPP=data/nlupp \\
        python -m benchmarks.quality

Each variable names a folder; a data set whose variable is not set is skipped. A recipe is `recipes/NAME.toml`. Beside
classes stands a logistic regression on the frozen embeddings, beside sets of labels one on tf-idf of words and pairs of
words with thresholds chosen on validation, beside spans the tag that each word has most often in training.
"""

import io
import json
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.measure import Figure, Report, against, arguments, finish
from benchmarks.training import finished, test_score
from evals.classification import Score, score_classification
from evals.entities import score_entities
from evals.multilabel import choose_thresholds, score_multilabel
from evals.tags import Span, tags_of
from runner.experiment import prepare
from runner.inference import embed_split
from runner.progress import Progress, make_progress
from runner.quiet import quiet_libraries
from runner.recipe import LoadedRecipe, load_recipe
from runner.train import train
from store import Store, get_cost, iter_inputs, iter_texts, open_store, read_values

RECIPES = Path(__file__).parents[1] / "recipes"


class Target(NamedTuple):
    """A recipe and what it must reach on the test split. Of several recipes of one `group` one is enough."""

    data: str
    variable: str
    recipe: str
    metric: str
    at_least: float | None = None


TARGETS = (
    Target("banking77", "BANKING77", "banking77-head", "accuracy", 0.92),
    Target("banking77", "BANKING77", "banking77-full", "accuracy", 0.93),
    Target("tweeteval/sentiment", "TWEETEVAL", "tweeteval-head", "macro_f1", 0.64),
    Target("tweeteval/sentiment", "TWEETEVAL", "tweeteval-full", "macro_f1", 0.68),
    Target("ncbi_disease", "NCBI_DISEASE", "ncbi-disease-minilm", "entity_f1", 0.80),
    Target("nlupp/banking", "NLUPP", "nlupp-intents", "micro_f1"),
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
            simple = SIMPLE.get(loaded.recipe.task, logistic_regression)
            baselines[target.data] = _as_figure(
                simple.__name__.replace("_", " "), simple(loaded, store, progress, target.metric)
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
    return _named(score_classification(experiment.splits["test"].labels, log_probs), metric)


def tf_idf_and_logistic_regression(loaded: LoadedRecipe, store: Store, progress: Progress, metric: str) -> Score:
    """Words and pairs of words, one logistic regression a label; strength and thresholds chosen on validation."""
    experiment = prepare(loaded, store, progress)
    dataset = experiment.data.dataset
    texts = {split: [text for some in iter_texts(store, dataset, split) for text in some] for split in dataset.n_rows}
    given = {split: experiment.splits[split].labels for split in texts}
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True).fit(texts["train"])
    vectors = {split: vectorizer.transform(some) for split, some in texts.items()}
    best: tuple[float, Score] | None = None
    for strength in (1.0, 10.0, 100.0):
        model = OneVsRestClassifier(LogisticRegression(C=strength, max_iter=1000)).fit(vectors["train"], given["train"])
        said = model.predict_proba(vectors["validation"])
        thresholds = choose_thresholds(given["validation"], said).values
        on_validation = _named(score_multilabel(given["validation"], said, thresholds), metric).value
        if best is None or on_validation > best[0]:
            on_test = score_multilabel(given["test"], model.predict_proba(vectors["test"]), thresholds)
            best = on_validation, _named(on_test, metric)
    assert best is not None, "three were tried"
    return best[1]


def commonest_tag_of_a_word(loaded: LoadedRecipe, store: Store, progress: Progress, metric: str) -> Score:
    """The tag that each word has most often in training, O for new words."""
    experiment = prepare(loaded, store, progress)
    dataset = experiment.data.dataset
    names = dataset.label_names or ()

    def sentences(split: str) -> list[tuple[list[str], list[str]]]:
        rows = [each["tokens"] for some in iter_inputs(store, dataset, split) for each in some]
        spans = [[Span(a, b, names[at]) for a, b, at in json.loads(v)] for v in read_values(store, dataset, split)]
        return [(tokens, tags_of(some, len(tokens))) for tokens, some in zip(rows, spans, strict=True)]

    counts: dict[str, Counter[str]] = {}
    for tokens, tags in sentences("train"):
        for token, tag in zip(tokens, tags, strict=True):
            counts.setdefault(token.lower(), Counter())[tag] += 1
    commonest = {token: each.most_common(1)[0][0] for token, each in counts.items()}
    test = sentences("test")
    said = [[commonest.get(token.lower(), "O") for token in tokens] for tokens, _ in test]
    return _named(score_entities([tags for _, tags in test], said), metric)


SIMPLE: Mapping[str, Callable[[LoadedRecipe, Store, Progress, str], Score]] = {
    "multi-label-classification": tf_idf_and_logistic_regression,
    "token-classification": commonest_tag_of_a_word,
}
"""Task → what stands beside it, where that is no logistic regression on embeddings."""


def _named(scores: Sequence[Score], metric: str) -> Score:
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
