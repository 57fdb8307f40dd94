"""The best configurations of a sweep: which can be told from the best one, and what is said of them."""

from collections.abc import Sequence
from functools import partial

from evals.leaders import Leaders, find_leaders, offer_seeds
from evals.seeds import MOST_SEEDS
from runner.commands.options import duration
from runner.sweep.search import Search
from store import Store, list_trials
from store.trial_answers import read_together


def leaders_of(store: Store, search: Search, sweep_key: int) -> Leaders | None:
    """What has finished of a sweep, compared; None while nothing has."""
    return find_leaders(
        list_trials(store, sweep_key), search.objectives, partial(read_together, store, split="validation")
    )


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
    offer = offer_seeds(leaders)
    if offer.wanted is None:
        why = f"their means lie within {offer.gap:.2g}, and up to {MOST_SEEDS} seeds each would not do it"
        return f"{start}: {why}. Take the cheapest"
    price = "" if offer.seconds is None else f", about {duration(offer.seconds / max(1, n_parallel))}"
    price += f": {command} --seeds {offer.wanted}"
    if offer.is_first_look:
        chance = "with one seed each nobody knows how much is chance"
        return f"{start}: {chance}. {offer.wanted} seeds each would show it{price}"
    which = "" if offer.n_told == offer.n_others else f" tell {offer.n_told} of them from the best"
    return f"{start}: {offer.more_seeds} would{which}{price}"


def _trials(numbers: Sequence[int]) -> str:
    return "trial" if len(numbers) == 1 else "trials"


def _listed(numbers: Sequence[int]) -> str:
    """
    >>> _listed([3, 1, 2])
    '3, 1 and 2'
    """
    words = [str(number) for number in numbers]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
