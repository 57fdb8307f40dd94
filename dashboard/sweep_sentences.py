"""What a sweep says of itself, in sentences."""

from collections.abc import Sequence

import pandas as pd

from dashboard.formats import count, duration, estimate, is_known
from dashboard.sentences import metric_title
from evals.intervals import mean_interval
from evals.leaders import Leaders, offer_seeds
from evals.seeds import MOST_SEEDS
from store import Objective, Status, Sweep

ENDED = ("finished", "pruned", "failed", "killed")


def objective_title(metric: str) -> str:
    """An objective in words, with its unit.

    >>> objective_title("validation/macro_f1"), objective_title("cost/wall_seconds"), objective_title("latency/ms")
    ('macro F1', 'wall time (s)', 'latency (ms)')
    """
    if metric == "latency/ms":
        return "latency (ms)"
    if metric.startswith("cost/"):
        words = metric.removeprefix("cost/").replace("_", " ")
        return words.replace("seconds", "time (s)").replace("bytes", "memory (bytes)")
    return metric_title(metric)


def sweep_sentence(sweep: Sweep, trials: pd.DataFrame, best: int | None = None) -> str:
    """How far it is and what it reached: `14 of 20 trials; best 0.702 macro F1 (trial 9); 3 pruned, 1 failed`.

    `best` is the number of the best configuration; None: none has all objectives yet.
    """
    if trials.empty:
        waiting = {Status.RUNNING: "the first trial is being prepared", Status.QUEUED: "nobody has begun it"}
        return f"No trial yet: {waiting.get(sweep.status, 'it ended before its first')}."
    done, wanted = n_done(trials), sweep.n_trials
    n_seeds = int(trials.groupby("number")["seed"].nunique().max())
    what = (
        f"{count(done)} of {count(wanted)} trial{'' if wanted == 1 else 's'}"
        if wanted
        else f"{count(done)} trial{'' if done == 1 else 's'}"
    )
    said = [what + (f", with up to {n_seeds} seeds" if n_seeds > 1 else "")]
    said.append(_best(sweep, trials, best))
    counts = trials["status"].value_counts()
    others = [f"{count(counts[status])} {status}" for status in ("pruned", "failed", "killed") if status in counts]
    said += [", ".join(others)] if others else []
    running = int(counts.get("running", 0))
    said += [f"{running} running now"] if running and sweep.status is Status.RUNNING else []
    return "; ".join(said) + "."


def n_done(trials: pd.DataFrame) -> int:
    """Configurations of which every seed has ended."""
    return int(trials["status"].isin(ENDED).groupby(trials["number"]).all().sum())


def _best(sweep: Sweep, trials: pd.DataFrame, best: int | None) -> str:
    objective = sweep.objectives[0]
    runs = trials[(trials["status"] == "finished") & trials[objective.metric].notna() & (trials["number"] == best)]
    if runs.empty:
        return f"no {objective_title(objective.metric)} yet"
    row, n = runs.iloc[0], len(runs)
    has_interval = n == 1 and objective.metric == row["select_metric"]
    value, *over_seeds = mean_interval(runs[objective.metric])
    low, high = (row["low"], row["high"]) if has_interval else over_seeds[:2]  # over examples, or over seeds
    shown = estimate(value, low, high)
    where = f"trial {best}" + (f", mean of {n} seeds" if n > 1 else "")
    return f"best {shown} {objective_title(objective.metric)} ({where})"


def leaders_sentence(found: Leaders | None, objectives: Sequence[Objective]) -> str | None:
    """Whether the best configurations can be told apart, and what it would take; None where there is nothing to say.

    "Trials 4, 9 and 2 cannot be told apart yet: about 2 more seeds each would, about 9 min 00 s."
    """
    if found is None or len(found.numbers) < 2:
        return None
    best, metric = found.numbers[0], objectives[0].metric
    if len(objectives) > 1:
        return f"No configuration beats {_listed(found.contenders, 'trial')} in every objective (the Pareto front)."
    if not found.are_compared:
        if not metric.startswith("validation/"):
            return None
        return f"Trial {best} has the best {objective_title(metric)}; the examples of these runs cannot be compared."
    if len(found.contenders) == 1:
        return f"Trial {best} is better than every other, by the paired test on validation examples."
    offer = offer_seeds(found)
    start = f"{_listed(found.contenders)} cannot be told apart yet"
    if offer.wanted is None:
        return (
            f"{start}: they lie within {offer.gap:.2g}, and {MOST_SEEDS} seeds each would not do it. Take the cheapest."
        )
    price = "" if offer.seconds is None else f", about {duration(offer.seconds)}"
    if offer.is_first_look:
        chance = "with one seed each nobody knows how much is chance"
        return f"{start}: {chance}; {offer.wanted} each would show it{price}."
    if offer.n_told == offer.n_others:
        return f"{start}: {offer.more_seeds} would{price}."
    return f"{start}: {offer.more_seeds} would for {offer.n_told} of them{price}; the rest hardly differ."


def _listed(numbers: Sequence[int], noun: str = "Trial") -> str:
    words = [str(number) for number in numbers]
    if len(words) == 1:
        return f"{noun} {words[0]}"
    if len(words) <= 4:
        return f"{noun}s {', '.join(words[:-1])} and {words[-1]}"
    return f"{'T' if noun[0].isupper() else 't'}he top {len(words)} (trials {', '.join(words[:3])}, …)"


def spent_text(trials: pd.DataFrame) -> str | None:
    """How long the sweep's trials held devices, in words; None where it was not written down."""
    seconds = trials["held_seconds"].astype("float64").sum(min_count=1)
    if not is_known(seconds):
        return None
    device = "GPU" if trials["peak_device_bytes"].notna().any() else "the device"
    return f"{duration(float(seconds))} of {device}"
