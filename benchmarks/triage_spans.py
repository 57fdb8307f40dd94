"""Wrong spans among training sentences: how well each score finds those that were planted.

    NCBI_DISEASE=data/ncbi_disease python -m benchmarks.triage_spans

The variable names a folder with train.tsv and devel.tsv. In a tenth of 600 short sentences one span is dropped
(missed), moved at one end by a word (shift) or made up (ghost), a third each; MiniLM is trained on them, once whole and
fold by fold. Scores of the folds have not seen the sentence that they judge; those of the epochs have.
"""

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from benchmarks.measure import Figure, Report, against, arguments, finish
from benchmarks.training import finished
from evals.tags import Span, spans_of, tags_of
from evals.triage.spans import SpanKind, compare_spans, span_errors
from evals.triage.tokens import mean_of_tokens, token_label_errors
from runner.crossval.carry_out import cross_validate
from runner.crossval.plan import plan_folds
from runner.progress import make_progress
from runner.quiet import quiet_libraries
from runner.recipe import LoadedRecipe, parse_recipe
from runner.train import train
from runner.triage.dynamics import run_risks
from runner.triage.rows import read_all
from runner.triage.spans import Sentences, read_sentences
from store import Dataset, Store, get_dataset, open_store, read_opinion

Floats = NDArray[np.floating]
KINDS = (SpanKind.MISSED, SpanKind.SHIFT, SpanKind.GHOST)
"""What becomes of the planted spans, as a model that is right sees them: a dropped span comes back as a ghost."""
AS_SEEN = {SpanKind.MISSED: SpanKind.GHOST, SpanKind.SHIFT: SpanKind.SHIFT, SpanKind.GHOST: SpanKind.MISSED}
SHARE = 0.1
N_FOLDS = 3


class Sentence(NamedTuple):
    """Words and their spans."""

    words: list[str]
    spans: list[Span]


def measure(folder: Path, *, base: str, n: int, epochs: int, is_small: bool = False) -> Report:
    """Everything, in a store below `folder`."""
    title, size = "Triage: wrong spans", f"{n:,} sentences, {N_FOLDS} folds, {epochs} epochs"
    if "NCBI_DISEASE" not in os.environ:
        lacks = Figure("planted errors: average precision", [], "AP", note="set NCBI_DISEASE to the data's folder")
        return Report(title, size, [lacks], is_small=is_small)
    data = Path(os.environ["NCBI_DISEASE"])
    truth, held_out = (draw(read_sentences_of(data / f"{name}.tsv"), n, seed=0) for name in ("train", "devel"))
    given, planted = plant(truth, seed=0)
    files = {"train": given, "validation": held_out[: max(20, n // 8)], "test": held_out[-20:]}
    for name, sentences in files.items():
        (folder / f"{name}.tsv").write_text("\n".join(map(_lines, sentences)))
    recipe = _recipe(folder, base, epochs)
    store = open_store(folder / "spans.db")
    run = finished(train(recipe, store, make_progress("quiet")))
    assert run.dataset_key is not None
    dataset = get_dataset(store, run.dataset_key)
    plan = plan_folds(store, dataset, recipe.hash, task="token-classification", n_folds=N_FOLDS, seed=0)
    opinion = cross_validate(recipe, store, dataset, plan, make_progress("quiet"))
    said = read_sentences(store, read_all(store, dataset), [run], opinion.key)
    assert said is not None
    of_epochs = run_risks(store, run.key, np.zeros(n, dtype=np.int64))
    scores = _scores(store, dataset, said, opinion.key, n)
    scores |= {f"epochs, in sample: {name.replace('_', ' ')}": risk for name, risk in of_epochs.items()}
    store.close()
    return Report(title, size, [*_figures(scores, planted), *_kinds(said, planted)], is_small=is_small)


def _scores(store: Store, dataset: Dataset, said: Sentences, opinion_key: int, n: int) -> dict[str, Floats]:
    """Every score of n training sentences, out of fold."""
    from cleanlab.token_classification.rank import get_label_quality_scores

    offsets = said.offsets[: n + 1]
    p_given = said.p_given[: offsets[-1]]
    log_probs = read_opinion(store, opinion_key, n_rows=len(p_given)).astype(np.float64)
    probs = np.nan_to_num(np.exp(log_probs), nan=1 / log_probs.shape[1])
    cut = [slice(*ends) for ends in pairwise(offsets)]
    index = {tag: at for at, tag in enumerate(("O", *(f"{sign}-{dataset.label_names[0]}" for sign in "BI")))}  # type: ignore[index]  # the data set has one type
    labels = [
        [index[tag] for tag in tags_of(spans, part.stop - part.start)]
        for spans, part in zip(said.given, cut, strict=False)
    ]
    theirs = {
        f"cleanlab: {method}": 1 - np.asarray(
            get_label_quality_scores(labels, [probs[part] for part in cut], sentence_score_method=method)[0]
        )
        for method in ("min", "softmin")
    }  # fmt: skip
    return {
        "ours: least likely word": token_label_errors(p_given, offsets).risk,
        "ours: share of spans that differ": span_errors(said.given, said.predicted).risk[:n],
        "mean over the words": mean_of_tokens(1 - p_given, offsets),
        **theirs,
        "sentence length": np.diff(offsets).astype(np.float64),
        "random": np.random.default_rng(0).random(n),
    }


def _figures(scores: Mapping[str, Floats], planted: Sequence[SpanKind | None]) -> list[Figure]:
    """Average precision of each, the best first; the note says it for each kind of error, and how many of the first."""
    is_wrong = np.array([kind is not None for kind in planted])
    chance = Figure("by chance", [float(is_wrong.mean())], "AP")
    found = []
    for name, risk in scores.items():
        known = np.nan_to_num(np.asarray(risk, dtype=np.float64), nan=0.0)
        precision = average_precision_score(is_wrong, known)
        first = np.argsort(-known, kind="stable")[: int(is_wrong.sum())]
        each = []
        for kind in KINDS:
            part = np.array([every in (None, kind) for every in planted])
            each.append(f"{kind.value} {average_precision_score(is_wrong[part], known[part]):.2f}")
        note = f"{', '.join(each)}; {is_wrong[first].mean():.2f} of the first {len(first)} are wrong"
        found.append(Figure(name, [float(precision)], "AP", baseline=against(chance), note=note))
    return [chance, *sorted(found, key=lambda figure: -(figure.value or 0))]


def _kinds(said: Sentences, planted: Sequence[SpanKind | None]) -> list[Figure]:
    """Of the planted errors of each kind, how often the folds differ from what is given in just that way."""
    found = []
    for kind in KINDS:
        rows = [row for row, every in enumerate(planted) if every is kind]
        named = [
            any(error.kind is AS_SEEN[kind] for error in compare_spans(said.given[row], said.predicted[row] or []))
            for row in rows
        ]
        found.append(Figure(f"planted {kind.value}: the folds say so", [float(np.mean(named))], f"of {len(rows)}"))
    return found


# data ----------------------------------------------------------------------------------------------------------------


def read_sentences_of(path: Path) -> list[Sentence]:
    """Sentences of a file with a word and its tag on each line."""
    found = []
    for block in path.read_text().strip().split("\n\n"):
        pairs = [line.split("\t") for line in block.splitlines()]
        found.append(Sentence([word for word, _ in pairs], spans_of([tag for _, tag in pairs])))
    return found


def draw(sentences: Sequence[Sentence], n: int, *, seed: int) -> list[Sentence]:
    """n different ones of five to thirty words, at random."""
    fitting = {tuple(each.words): each for each in sentences if 5 <= len(each.words) <= 30}
    order = np.random.default_rng(seed).permutation(len(fitting))[:n]
    every = list(fitting.values())
    return [every[at] for at in order.tolist()]


def plant(truth: Sequence[Sentence], *, seed: int) -> tuple[list[Sentence], list[SpanKind | None]]:
    """A copy with one wrong span in a tenth of the sentences, and what was done to each.

    >>> wrong, kinds = plant([Sentence(list("abcdefgh"), [Span(2, 5, "X")])] * 30, seed=0)
    >>> [sum(kind is each for kind in kinds) for each in KINDS], [len(wrong[kinds.index(each)].spans) for each in KINDS]
    ([1, 1, 1], [0, 1, 2])
    """
    rng = np.random.default_rng(seed)
    given, planted = list(truth), [None] * len(truth)  # type: list[Sentence], list[SpanKind | None]
    wanted = [kind for kind in KINDS for _ in range(round(len(truth) * SHARE / len(KINDS)))]
    order = iter(rng.permutation(len(truth)).tolist())
    for kind in wanted:
        for row in order:
            spans = _spoilt(truth[row], kind, rng)
            if spans is not None:
                given[row], planted[row] = Sentence(truth[row].words, spans), kind
                break
    return given, planted


def _spoilt(sentence: Sentence, kind: SpanKind, rng: np.random.Generator) -> list[Span] | None:
    """Its spans with one of them wrong; None where it has none that could be."""
    words, spans = sentence
    tag = spans[0].tag if spans else "Disease"
    if kind is SpanKind.GHOST:
        taken = {at for span in spans for at in range(span.start - 1, span.end + 1)}
        free = [at for at in range(len(words) - 1) if not {at, at + 1} & taken and words[at].isalpha()]
        if not free:
            return None
        start = int(rng.choice(free))
        return sorted([*spans, Span(start, start + int(rng.integers(1, 3)), tag)])
    if not spans:
        return None
    which = int(rng.integers(len(spans)))
    rest, old = [*spans[:which], *spans[which + 1 :]], spans[which]
    if kind is SpanKind.MISSED:
        return rest
    moved = [Span(old.start + by, old.end + other, tag) for by, other in ((-1, 0), (1, 0), (0, 1), (0, -1))]
    free_of = [
        new
        for new in moved
        if 0 <= new.start < new.end <= len(words)
        and all(new.end <= other.start or new.start >= other.end for other in rest)
    ]
    return sorted([*rest, free_of[int(rng.integers(len(free_of)))]]) if free_of else None


def _lines(sentence: Sentence) -> str:
    tags = tags_of(sentence.spans, len(sentence.words))
    return "".join(f"{word}\t{tag}\n" for word, tag in zip(sentence.words, tags, strict=True))


def _recipe(folder: Path, base: str, epochs: int) -> LoadedRecipe:
    files = ", ".join(f"{name} = {json.dumps(str(folder / f'{name}.tsv'))}" for name in ("train", "validation", "test"))
    text = f"""
name = "planted"
task = "token-classification"
[model]
base = "{base}"
max_length = 128
[data]
source = {{ {files} }}
[training]
epochs = {epochs}
batch_size = 16
learning_rate = 3e-4
device = "auto"
[triage]
after_training = false
"""
    return parse_recipe(text, folder=folder)


def main() -> None:
    options = arguments(__doc__).parse_args()
    quiet_libraries()
    n, epochs = (120, 1) if options.small else (600, 3)
    with tempfile.TemporaryDirectory() as folder:
        finish(measure(Path(folder), base="builtin:minilm", n=n, epochs=epochs, is_small=options.small))


if __name__ == "__main__":
    main()
