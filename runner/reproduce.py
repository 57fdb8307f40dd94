"""Running a recorded run again, from its recipe and its dataset version, and saying whether the same came out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from evals.outcomes import Outcome, are_ranked, outcome_of
from evals.paired import ALPHA, compare_pair
from evals.paired_outcomes import compare_outcomes
from runner.recipe import LoadedRecipe, resolved_form
from runner.recipe.shapes import shape_of
from runner.resume import NotResumable, read_recorded, require_processes
from store import (
    Evaluation,
    Run,
    Status,
    Store,
    get_dataset,
    get_evaluation,
    get_run,
    list_evaluations,
    list_latest,
    list_metrics,
    read_answers,
    read_pairs,
    read_predictions,
    read_queries,
    read_responses,
    read_values,
)

if TYPE_CHECKING:
    from runner.progress import Progress
    from runner.shared import Shared

TAG = "reproduction"

ROUNDING = 1e-4
"""Smaller differences, in a metric's own unit, are taken for rounding, whatever a paired test says of them."""

_MOST_CHARACTERS = 100  # of a run's name

Answer = Literal["equal", "within noise", "different", "unknown"]


class ScorePair(NamedTuple):
    """A metric of a split at either run's best step, tested on the same examples."""

    split: str
    metric: str
    original: float
    reproduction: float
    difference: float
    low: float
    high: float
    p: float
    """Two-sided, corrected for the metrics of the split."""
    n: int

    @property
    def is_noise(self) -> bool:
        """Whether the two cannot be told apart on these examples, or differ by rounding at most."""
        return abs(self.difference) < ROUNDING or not self.p < ALPHA


@dataclass(frozen=True)
class Comparison:
    """What two runs of one recipe on one dataset version have in common."""

    answer: Answer
    sentence: str
    n_values: int
    """Values of metrics, a value a metric and step."""
    n_unequal: int
    """How many are not the same bit for bit, those included that only one of them has."""
    scores: tuple[ScorePair, ...]
    """Empty where the runs are equal, or recorded no predictions."""


def reproduce(
    store: Store,
    run: Run,
    progress: "Progress",
    *,
    command: Sequence[str] | None = None,
    shared: "Shared | None" = None,
) -> Run:
    """Run it again as a new run with the tag `reproduction`. Returns the new run, whatever became of it.

    Raises NotResumable for a run that did not finish or has no recipe, and what `runner.train.train` raises.
    """
    if run.status != Status.FINISHED:
        what = "it is still at work" if run.status == Status.RUNNING else f"`runner resume {run.id}` may finish it"
        raise NotResumable(f"run {run.name} ({run.id}) is {run.status}: there is no result to reproduce; {what}.")
    recorded = read_recorded(store, run)
    require_processes(run, "reproduce")
    from runner.train import train

    return train(
        _again(recorded.loaded, run), store, progress, command=command, dataset=recorded.dataset, shared=shared
    )


def _again(loaded: LoadedRecipe, run: Run) -> LoadedRecipe:
    """The same experiment under a name of its own."""
    name = f"{run.name[: _MOST_CHARACTERS - len(TAG) - 1]}-{TAG}"
    tags = tuple(dict.fromkeys((*loaded.recipe.tags, TAG)))
    recipe = loaded.recipe.model_copy(update={"name": name, "tags": tags, "notes": f"reproduction of run {run.id}"})
    return replace(loaded, recipe=recipe, resolved=resolved_form(recipe))


# what came out -------------------------------------------------------------------------------------------------------


def compare_runs(store: Store, original: Run, reproduction: Run) -> Comparison:
    """Whether two runs of one experiment are equal, alike within noise, or different.

    Equal: every value of every metric and every prediction is the same bit for bit. Within noise: on the examples of
    each split the best checkpoints cannot be told apart (paired tests, or a difference of rounding). Unknown: they are
    not equal, and without predictions nothing can be tested. Evaluations at the rungs of a search are only compared
    where both runs have them.
    """
    original, reproduction = get_run(store, original.key), get_run(store, reproduction.key)
    if reproduction.status != Status.FINISHED:
        text = f"the reproduction did not finish: it is {reproduction.status} ({reproduction.cause})"
        return Comparison("different", text, 0, 0, ())
    n_values, n_unequal = _compare_curves(store, original, reproduction)
    pairs = _evaluation_pairs(store, original, reproduction)
    if not n_unequal and all(_is_same(store, a, b) for a, b in pairs):
        text = f"all {n_values:,} values of metrics and the predictions of {len(pairs)} evaluations are the same"
        return Comparison("equal", text, n_values, 0, ())
    scores = tuple(row for split in _splits(pairs) for row in _compare_best(store, original, reproduction, split))
    if not scores:
        text = f"{n_unequal:,} of {n_values:,} values differ, and no predictions were recorded to test them with"
        return Comparison("unknown", text, n_values, n_unequal, ())
    apart = [f"{row.split}/{row.metric}" for row in scores if not row.is_noise]
    if apart:
        return Comparison("different", f"{', '.join(apart)} can be told apart", n_values, n_unequal, scores)
    text = f"{n_unequal:,} of {n_values:,} values are not the same, and no score can be told apart"
    return Comparison("within noise", text, n_values, n_unequal, scores)


def _compare_curves(store: Store, a: Run, b: Run) -> tuple[int, int]:
    """How many values there are, and how many of them differ; those that only one has at a rung are left out."""
    both = _curves(store, a).merge(_curves(store, b), on=["metric", "step"], how="outer", suffixes=("_a", "_b"))
    text_a, text_b = both["text_a"], both["text_b"]
    is_common = text_a.notna() & text_b.notna()
    is_compared = is_common | ~both["metric"].str.startswith("validation/")
    return int(is_compared.sum()), int((is_compared & (text_a != text_b)).sum())


def _curves(store: Store, run: Run) -> pd.DataFrame:
    """Columns metric, step, text: every value so that equal texts are equal values."""
    names = list(list_latest(store, [run.key])["metric"])
    frame = list_metrics(store, [run.key], names)
    texts = [
        str(other) if value != value else float(value).hex()
        for value, other in zip(frame["value"], frame["not_finite"], strict=True)
    ]
    return pd.DataFrame({"metric": frame["metric"], "step": frame["step"], "text": texts}, dtype=object)


def _evaluation_pairs(store: Store, a: Run, b: Run) -> list[tuple[Evaluation, Evaluation]]:
    theirs = {(e.split, e.step): e for e in list_evaluations(store, b.key)}
    ours = list_evaluations(store, a.key)
    return [(e, theirs[e.split, e.step]) for e in ours if (e.split, e.step) in theirs]


def _splits(pairs: Sequence[tuple[Evaluation, Evaluation]]) -> list[str]:
    return sorted({a.split for a, _ in pairs})


def _is_same(store: Store, a: Evaluation, b: Evaluation) -> bool:
    columns = zip(read_predictions(store, a), read_predictions(store, b), strict=True)
    return all(np.array_equal(one, other, equal_nan=True) for one, other in columns)


def _compare_best(store: Store, a: Run, b: Run, split: str) -> list[ScorePair]:
    """A row a metric; none where one of the runs recorded no predictions."""
    first, second = get_evaluation(store, a.key, split), get_evaluation(store, b.key, split)
    if first is None or second is None:
        return []
    shape = shape_of(a.task)
    if shape is None or shape.kind == "label":
        pairs = read_pairs(store, first, second)
        if not len(pairs.gold):
            return []
        table = compare_pair(pairs.gold, pairs.predicted_a, pairs.predicted_b, pairs.loss_a, pairs.loss_b)
    else:
        both = [_outcome(store, run, each) for run, each in ((a, first), (b, second))]
        if any(not len(each.loss) for each in both):
            return []
        table = compare_outcomes(*both)
    rows: list[Any] = table.to_dict("records")
    names = ("metric", "a", "b", "difference", "low", "high", "p_holm", "n")
    return [ScorePair(split, *(row[name] for name in names)) for row in rows]


def _outcome(store: Store, run: Run, evaluation: Evaluation) -> Outcome:
    """What an evaluation of a task without classes says; both runs are of one dataset version."""
    assert run.dataset_key is not None, "who evaluates has data"
    dataset = get_dataset(store, run.dataset_key)
    targets, loss = read_values(store, dataset, evaluation.split), read_answers(store, evaluation).loss
    said, names = read_responses(store, evaluation), dataset.label_names or ()
    asked = read_queries(store, dataset, evaluation.split) if are_ranked(said) else ()
    return outcome_of(targets, said, loss, names, queries=asked)
