"""The best configurations of a search: which of them may be the best one, and what it would take to know.

A command line and a page that show the same search decide here, so that they say the same of it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from evals.intervals import Floats, Ints, mean_interval
from evals.search import pareto_front
from evals.seeds import ADDITIVE, compare_with_best, example_scores, seeds_to_tell

MOST_COMPARED = 30
"""Configurations that are compared example by example, the best by their means."""
MOST_WITHOUT_EXAMPLES = 8
"""Configurations that may be the best where examples cannot be compared: the best by their first seed, so that further
seeds do not change which they are."""

INTERVALS = {"latency/ms": ("latency_low", "latency_high")}
"""Objectives that are measured with an interval → the columns of trials that hold its ends."""

Together = tuple[Ints, Sequence[tuple[Ints, Floats]]]
"""Runs on the same examples: gold (n,), and for each run predicted classes (n,) and losses (n,)."""
_MISSING = ("difference", "difference_low", "difference_high", "p", "p_holm", "n_seeds_needed", "n_examples_needed")


@dataclass(frozen=True)
class Leaders:
    """Configurations with values, best first."""

    table: pd.DataFrame
    """A row a configuration: number, and what `evals.seeds.compare_with_best` says (nan without examples)."""
    contenders: tuple[int, ...]
    """Those that may be the best; of several objectives those on the Pareto front, on which latencies whose intervals
    overlap count as equal."""
    are_compared: bool
    """Whether examples were compared: with several objectives or an objective that has no examples they are not."""
    seconds: float | None
    """A run of a contender takes about so long; None: not measured."""

    @property
    def numbers(self) -> tuple[int, ...]:
        """The configurations, best first."""
        return tuple(self.table["number"].tolist())


def find_leaders(
    trials: pd.DataFrame, objectives: Sequence[tuple[str, str]], read: Callable[[list[int]], Together | None]
) -> Leaders | None:
    """Compare the finished configurations of a search; None while nothing has finished.

    Args:
        trials: a row a trial, by number, then seed: number, status, run_key, wall_seconds, a column an objective, and
            the columns of `INTERVALS` where there are any.
        objectives: metric, and `maximize` or `minimize`.
        read: run keys → what they answered for the validation split, in their order; None where their examples cannot
            be laid side by side.

    >>> trials = pd.DataFrame({"number": [0, 1, 2], "status": "finished", "run_key": [7, 8, 9], "wall_seconds": 60.0,
    ...                        "validation/accuracy": [0.5, 0.9, 0.9], "cost/wall_seconds": [1.0, 5.0, 4.0]})
    >>> both = [("validation/accuracy", "maximize"), ("cost/wall_seconds", "minimize")]
    >>> found = find_leaders(trials, both, lambda keys: None)
    >>> found.numbers, found.contenders, found.are_compared, found.seconds
    ((2, 1, 0), (2, 0), False, 60.0)
    """
    finished = trials[trials["status"] == "finished"]
    metrics = [metric for metric, _ in objectives]
    are_maximised = np.array([direction == "maximize" for _, direction in objectives])
    means = finished.groupby("number")[metrics].mean().dropna()
    if means.empty:
        return None
    sign = 1 if are_maximised[0] else -1
    lows, highs = (each.groupby(finished["number"]).mean().loc[means.index] for each in _ends(finished, metrics))
    is_front = pareto_front(means.to_numpy(dtype=np.float64), are_maximised, lows, highs)
    order = np.lexsort((~is_front, -sign * means[metrics[0]].to_numpy(dtype=np.float64)))
    numbers = [int(number) for number in means.index[order]]
    if len(objectives) > 1:
        contenders = [number for number, stands in zip(numbers, is_front[order], strict=True) if stands]
        return _leaders(finished, _without_examples(finished, numbers, metrics[0]), contenders, are_compared=False)
    compared = numbers[:MOST_COMPARED]
    scores = _scores(finished, metrics[0], compared, read)
    if scores is None:
        firsts = sign * finished.groupby("number")[metrics[0]].first().loc[numbers]
        chosen = set(firsts.sort_values(ascending=False, kind="stable").index[:MOST_WITHOUT_EXAMPLES])
        contenders = [number for number in numbers if number in chosen]
        return _leaders(finished, _without_examples(finished, numbers, metrics[0]), contenders, are_compared=False)
    table = compare_with_best(scores, is_maximised=bool(are_maximised[0]))
    table.insert(0, "number", compared)
    table = table.iloc[np.argsort(-sign * table["mean"].to_numpy(), kind="stable")]  # by the examples that all share
    contenders = table.loc[~table["is_separated"], "number"].tolist()
    if rest := numbers[MOST_COMPARED:]:
        table = pd.concat([table, _without_examples(finished, rest, metrics[0])])
    return _leaders(finished, table.reset_index(drop=True), contenders, are_compared=True)


def front_of(trials: pd.DataFrame, objectives: Sequence[tuple[str, str]]) -> npt.NDArray[np.bool_]:
    """Which trials (n,) no other beats in every objective; what overlaps within `INTERVALS` is equally good.

    >>> trials = pd.DataFrame({"validation/accuracy": [0.9, 0.8], "latency/ms": [5.0, 4.8], "latency_low": [4.5, 4.6],
    ...                        "latency_high": [5.5, 5.2]})
    >>> front_of(trials, [("validation/accuracy", "maximize"), ("latency/ms", "minimize")]).tolist()
    [True, False]
    """
    metrics = [metric for metric, _ in objectives]
    lows, highs = _ends(trials, metrics)
    ups = [direction == "maximize" for _, direction in objectives]
    return pareto_front(trials[metrics].to_numpy(dtype=np.float64), ups, lows, highs)


def _ends(trials: pd.DataFrame, metrics: Sequence[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Lows and highs of the objectives, a column each; the values themselves where there is no interval."""

    def end(metric: str, place: int) -> "pd.Series[float]":
        column = INTERVALS.get(metric, ("", ""))[place]
        values = trials[metric].astype("float64")
        return trials[column].astype("float64").fillna(values) if column in trials else values

    lows, highs = (pd.DataFrame({metric: end(metric, i) for metric in metrics}, index=trials.index) for i in (0, 1))
    return lows, highs


def _leaders(finished: pd.DataFrame, table: pd.DataFrame, contenders: Sequence[int], *, are_compared: bool) -> Leaders:
    of = finished[finished["number"].isin(contenders) & finished["run_key"].notna()]
    seconds = pd.to_numeric(of["wall_seconds"]).mean()
    return Leaders(table, tuple(contenders), are_compared, None if np.isnan(seconds) else float(seconds))


def _scores(
    finished: pd.DataFrame, metric: str, numbers: Sequence[int], read: Callable[[list[int]], Together | None]
) -> list[Floats] | None:
    """Each configuration's (n_seeds, n_examples); None where they cannot be laid side by side."""
    split, _, name = metric.partition("/")
    runs = finished[finished["number"].isin(numbers) & finished["run_key"].notna()]
    if split != "validation" or name not in ADDITIVE or set(runs["number"]) != set(numbers):
        return None
    together = read([int(key) for key in runs["run_key"]])
    if together is None:
        return None
    gold, answers = together
    rows: dict[int, list[Floats]] = {}
    for number, (predicted, loss) in zip(runs["number"], answers, strict=True):
        rows.setdefault(int(number), []).append(example_scores(name, gold, predicted, loss))
    return [np.vstack(rows[number]) for number in numbers]


def _without_examples(finished: pd.DataFrame, numbers: Sequence[int], metric: str) -> pd.DataFrame:
    """The same columns from the runs' values alone."""
    values = dict(iter(finished.groupby("number")[metric]))
    found = [mean_interval(values[number].to_numpy(dtype=np.float64)) for number in numbers]
    rows = [(number, each.mean, each.low, each.high, each.n) for number, each in zip(numbers, found, strict=True)]
    table = pd.DataFrame(rows, columns=["number", "mean", "low", "high", "n_seeds"])
    return table.assign(**dict.fromkeys(_MISSING, np.nan), is_separated=False)


class SeedOffer(NamedTuple):
    """What it would take to tell the contenders from the best one of them."""

    wanted: int | None
    """Seeds each, in all; None: no number that anybody would spend would do it."""
    n_most: int
    """So many further seeds a contender would get, at most."""
    are_alike: bool
    """All of them would get as many."""
    seconds: float | None
    """What these runs would take, one after the other; None: not measured."""
    n_told: int
    """So many of the others would then be told from the best."""
    n_others: int
    is_first_look: bool
    """With the seeds so far nobody knows how much is chance: these would show it."""
    gap: float
    """The largest distance of a contender's mean to the best one's."""

    @property
    def more_seeds(self) -> str:
        """In words: `about 2 more seeds each`; `up to` where some have more seeds already."""
        plural = "" if self.n_most == 1 else "s"
        return f"{'about' if self.are_alike else 'up to'} {self.n_most} more seed{plural} each"


def offer_seeds(leaders: Leaders) -> SeedOffer:
    """For two contenders or more whose examples were compared.

    >>> table = pd.DataFrame({"number": [4, 2], "n_seeds": [1, 3], "difference": [0, -0.1], "n_seeds_needed": [0, 4.0]})
    >>> offer = offer_seeds(Leaders(table, (4, 2), True, 60.0))
    >>> offer.wanted, offer.more_seeds, offer.seconds, offer.n_told
    (4, 'up to 3 more seeds each', 240.0, 1)
    """
    rows = leaders.table[leaders.table["number"].isin(leaders.contenders)]
    n_seeds = rows["n_seeds"].to_numpy(dtype=np.int64)
    needed = rows["n_seeds_needed"].to_numpy(dtype=np.float64)[1:]  # the first is the best itself
    wanted, n_told, is_first_look = seeds_to_tell(needed, int(n_seeds.min()))
    missing = np.maximum((wanted or 0) - n_seeds, 0)
    seconds = None if leaders.seconds is None else leaders.seconds * int(missing.sum())
    gap = float(np.nanmax(np.abs(rows["difference"].to_numpy(dtype=np.float64))))
    are_alike = bool((missing == missing[0]).all())
    return SeedOffer(wanted, int(missing.max()), are_alike, seconds, n_told, len(needed), is_first_look, gap)
