"""The best configurations of a sweep: which can be told from the best one, who gets further seeds, what is said."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evals.search import pareto_front
from evals.seeds import ADDITIVE, MOST_SEEDS, compare_with_best, example_scores, seeds_to_tell
from runner.sweep.configurations import Configuration
from runner.sweep.search import Search
from store import Status, Store, Trial, get_cost, get_dataset, get_evaluation, get_run, read_targets
from store.evaluations import read_answers

MOST_COMPARED = 30
"""Configurations that are compared example by example, the best by their means."""
MOST_WITHOUT_EXAMPLES = 8
"""Configurations that get further seeds where examples cannot be compared."""


@dataclass(frozen=True)
class Leaders:
    """Configurations with values, best first."""

    table: pd.DataFrame
    """A row a configuration: number, and what `evals.seeds.compare_with_best` says (nan without examples)."""
    contenders: tuple[int, ...]
    """Those that may be the best; of several objectives those on the Pareto front."""
    are_compared: bool
    """Whether examples were compared: with several objectives or an objective that has no examples they are not."""
    seconds: float | None
    """A run of a contender takes about so long; None: not measured."""

    @property
    def numbers(self) -> tuple[int, ...]:
        """The configurations, best first."""
        return tuple(self.table["number"].tolist())


def find_leaders(store: Store, search: Search, known: Sequence[Configuration]) -> Leaders | None:
    """Compare what has finished; None while nothing has."""
    valued = [each for each in known if each.values is not None]
    if not valued:
        return None
    first = search.objectives[0]
    sign = 1 if first.direction == "maximize" else -1
    valued.sort(key=lambda each: -sign * (each.values or (np.nan,))[0])
    numbers = tuple(each.number for each in valued)
    if len(search.objectives) > 1:
        are_maximised = [objective.direction == "maximize" for objective in search.objectives]
        is_front = pareto_front([each.values or () for each in valued], are_maximised)
        contenders = tuple(np.array(numbers)[is_front].tolist())
        return Leaders(_without_examples(valued), contenders, False, _seconds(store, valued, contenders))
    compared = valued[:MOST_COMPARED]
    scores = _scores(store, first.metric, compared)
    if scores is None:
        contenders = numbers[:MOST_WITHOUT_EXAMPLES]
        return Leaders(_without_examples(valued), contenders, False, _seconds(store, valued, contenders))
    table = compare_with_best(scores, is_maximised=sign == 1)
    table.insert(0, "number", numbers[: len(compared)])
    order = np.argsort(-sign * table["mean"].to_numpy(), kind="stable")  # by the examples that all have in common
    table = table.iloc[order]
    contenders = tuple(table.loc[~table["is_separated"], "number"].tolist())
    rest = _without_examples(valued[MOST_COMPARED:])
    table = pd.concat([table, rest], ignore_index=True) if len(rest) else table.reset_index(drop=True)
    return Leaders(table, contenders, True, _seconds(store, valued, contenders))


def _finished(configuration: Configuration) -> list[Trial]:
    return [t for t in configuration.trials if t.status == Status.FINISHED and t.run_key is not None]


def _scores(store: Store, metric: str, compared: Sequence[Configuration]) -> list[NDArray[np.float64]] | None:
    """Each configuration's (n_seeds, n_examples); None where they cannot be laid side by side."""
    kind, _, name = metric.partition("/")
    if kind != "validation" or name not in ADDITIVE:
        return None
    gold: dict[int, NDArray[np.int64]] = {}
    found: list[NDArray[np.float64]] = []
    for configuration in compared:
        rows = []
        for trial in _finished(configuration):
            run = get_run(store, int(trial.run_key or 0))
            evaluation = get_evaluation(store, run.key, "validation")
            if run.dataset_key is None or evaluation is None:
                return None
            answers = read_answers(store, evaluation)
            if run.dataset_key not in gold:
                gold[run.dataset_key] = read_targets(store, get_dataset(store, run.dataset_key), "validation")
            targets = gold[run.dataset_key]
            if len(answers.predicted) != len(targets) or len(targets) == 0:
                return None
            rows.append(example_scores(name, targets, answers.predicted, answers.loss))
        if not rows:  # its runs were removed
            return None
        found.append(np.vstack(rows))
    if len(gold) != 1:  # other data, other examples
        return None
    return found


def _without_examples(valued: Sequence[Configuration]) -> pd.DataFrame:
    """The same columns from the runs' values alone."""
    from evals.intervals import mean_interval

    rows = []
    for configuration in valued:
        finished = [trial for trial in configuration.trials if trial.status == Status.FINISHED]
        values = [trial.objective_values[0] for trial in finished if trial.objective_values]
        found = mean_interval([np.nan if value is None else value for value in values])
        rows.append(
            {
                "number": configuration.number,
                "mean": found.mean,
                "low": found.low,
                "high": found.high,
                "n_seeds": found.n,
            }
        )
    missing = ("difference", "difference_low", "difference_high", "p", "p_holm", "n_seeds_needed", "n_examples_needed")
    table = pd.DataFrame(rows, columns=["number", "mean", "low", "high", "n_seeds"])
    return table.assign(**dict.fromkeys(missing, np.nan), is_separated=False)


def _seconds(store: Store, valued: Sequence[Configuration], contenders: Sequence[int]) -> float | None:
    """Mean wall time of the contenders' runs."""
    keys = [t.run_key for each in valued if each.number in contenders for t in _finished(each)]
    known = [get_cost(store, int(key or 0)).wall_seconds for key in keys]
    seconds = [value for value in known if value is not None]
    return float(np.mean(seconds)) if seconds else None


def sentence(leaders: Leaders, search: Search, command: str, n_parallel: int) -> str:
    """Whether there is one best configuration, and if not, what it would take to know.

    `command` is the command line to which `--seeds N` is added, and which `n_parallel` trials at once work off.
    """
    metric = search.objectives[0].metric
    best = leaders.numbers[0]
    if len(search.objectives) > 1:
        front = _listed(leaders.contenders)
        return f"no configuration beats {_trials(leaders.contenders)} {front} in every objective (the Pareto front)"
    if len(leaders.numbers) == 1:
        return f"trial {best} is the only one with a {metric}"
    if not metric.startswith("validation/"):
        return f"trial {best} has the best {metric}"
    if not leaders.are_compared:
        return f"trial {best} has the best {metric}; its examples cannot be compared with those of the others"
    if len(leaders.contenders) == 1:
        return f"trial {best} is better than every other, by the paired test on validation examples"
    start = f"the top {len(leaders.contenders)} ({_listed(leaders.contenders)}) cannot be told apart"
    rows = leaders.table[leaders.table["number"].isin(leaders.contenders)]
    n_seeds = int(rows["n_seeds"].min())
    needed = rows["n_seeds_needed"].to_numpy(dtype=np.float64)[1:]  # the first is the best itself
    wanted, n_told, is_first_look = seeds_to_tell(needed, n_seeds)
    if wanted is None:
        gap = float(np.nanmax(np.abs(rows["difference"])))
        why = f"their means lie within {gap:.2g}, and up to {MOST_SEEDS} seeds each would not do it"
        return f"{start}: {why}. Take the cheapest"
    price = f"{_price(leaders, wanted - n_seeds, n_parallel)}: {command} --seeds {wanted}"
    if is_first_look:
        return f"{start}: with one seed each nobody knows how much is chance. {wanted} seeds each would show it{price}"
    which = "" if n_told == len(needed) else f" tell {n_told} of them from the best"
    more = f"about {wanted - n_seeds} more seed{'' if wanted - n_seeds == 1 else 's'} each would{which}"
    return f"{start}: {more}{price}"


def _price(leaders: Leaders, n_more: int, n_parallel: int) -> str:
    if leaders.seconds is None:
        return ""
    minutes = leaders.seconds * n_more * len(leaders.contenders) / max(1, n_parallel) / 60
    return f", some {minutes:.0f} minutes" if minutes >= 1.5 else ", about a minute"


def _trials(numbers: Sequence[int]) -> str:
    return "trial" if len(numbers) == 1 else "trials"


def _listed(numbers: Sequence[int]) -> str:
    """
    >>> _listed([3, 1, 2])
    '3, 1 and 2'
    """
    words = [str(number) for number in numbers]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
