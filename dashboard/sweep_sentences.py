"""What a sweep says of itself, in sentences."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from dashboard.formats import count, duration, estimate, is_known
from dashboard.sentences import metric_title
from dashboard.work_queries import Contenders
from evals.intervals import mean_interval
from evals.seeds import MOST_SEEDS, seeds_to_tell
from store import Status, Sweep

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


def sweep_sentence(sweep: Sweep, trials: pd.DataFrame) -> str:
    """How far it is and what it reached: `14 of 20 trials; best 0.702 macro F1 (trial 9); 3 pruned, 1 failed`."""
    if trials.empty:
        waiting = {Status.RUNNING: "the first trial is being prepared", Status.QUEUED: "nobody has begun it"}
        return f"No trial yet: {waiting.get(sweep.status, 'it ended before its first')}."
    done, wanted = n_done(trials), sweep.n_trials
    n_seeds = int(trials.groupby("number")["seed"].nunique().max())
    what = f"{count(done)} of {count(wanted)} trials" if wanted else f"{count(done)} trials"
    said = [what + (f", with up to {n_seeds} seeds" if n_seeds > 1 else "")]
    said.append(_best(sweep, trials))
    counts = trials["status"].value_counts()
    others = [f"{count(counts[status])} {status}" for status in ("pruned", "failed", "killed") if status in counts]
    said += [", ".join(others)] if others else []
    running = int(counts.get("running", 0))
    said += [f"{running} running now"] if running and sweep.status is Status.RUNNING else []
    return "; ".join(said) + "."


def n_done(trials: pd.DataFrame) -> int:
    """Configurations of which every seed has ended."""
    return int(trials["status"].isin(ENDED).groupby(trials["number"]).all().sum())


def _best(sweep: Sweep, trials: pd.DataFrame) -> str:
    objective = sweep.objectives[0]
    finished = trials[(trials["status"] == "finished") & trials[objective.metric].notna()]
    if finished.empty:
        return f"no {objective_title(objective.metric)} yet"
    values = finished.groupby("number")[objective.metric].agg(["mean", "size"]).reset_index()
    place = values["mean"].argmax() if objective.direction == "maximize" else values["mean"].argmin()
    best, value, n = (values[column].iloc[int(place)] for column in ("number", "mean", "size"))
    row = finished[finished["number"] == best].iloc[0]
    has_interval = n == 1 and objective.metric == row["select_metric"]
    over_seeds = mean_interval(finished.loc[finished["number"] == best, objective.metric])
    low, high = (row["low"], row["high"]) if has_interval else over_seeds[1:3]  # over examples, or over seeds
    shown = estimate(float(value), low, high)
    where = f"trial {best}" + (f", mean of {n} seeds" if n > 1 else "")
    return f"best {shown} {objective_title(objective.metric)} ({where})"


def leaders_sentence(found: Contenders | None, *, n_parallel: int = 1) -> str | None:
    """Whether the best configurations can be told apart, and what it would take; None where nothing was compared.

    "Trials 4, 9 and 2 cannot be told apart yet: 2 more seeds each would, about 9 min."
    """
    if found is None:
        return None
    table = found.table
    is_open = ~table["is_separated"].to_numpy(dtype=bool)
    best = int(np.argmin(np.where(table["p"].isna(), 0, 1)))
    others = [i for i in range(len(table)) if is_open[i] and i != best]
    if not others:
        at_least = "the next best" if len(table) == 2 else "any of the next best"
        return f"Trial {found.numbers[best]} is better than {at_least}."
    needed = table["n_seeds_needed"].to_numpy(dtype=np.float64)[others]
    n_seeds = int(table["n_seeds"].to_numpy()[[best, *others]].min())
    start = f"{_listed([found.numbers[i] for i in (best, *others)])} cannot be told apart yet"
    wanted, n_told, is_first_look = seeds_to_tell(needed, n_seeds)
    if wanted is None:
        gap = float(np.nanmax(np.abs(table["difference"].to_numpy(dtype=np.float64)[others])))
        return f"{start}: they lie within {gap:.2g}, and {MOST_SEEDS} seeds each would not do it. Take the cheapest."
    n_more = wanted - n_seeds
    price = _price(n_more, 1 + (len(others) if is_first_look else n_told), found, n_parallel)
    if is_first_look:
        return f"{start}: with one seed each nobody knows how much is chance; {wanted} each would show it{price}."
    seeds = f"about {n_more} more {'seed' if n_more == 1 else 'seeds'} each would"
    if n_told == len(others):
        return f"{start}: {seeds}{price}."
    return f"{start}: {seeds} for {n_told} of them{price}; the rest hardly differ."


def _price(n_more: int, n_configurations: int, found: Contenders, n_parallel: int) -> str:
    """What the further runs would take; empty where no run was timed."""
    seconds = n_more * n_configurations * found.seconds / n_parallel
    return f", about {duration(seconds)}" if is_known(seconds) else ""


def _listed(numbers: Sequence[int]) -> str:
    words = [str(number) for number in numbers]
    if len(words) <= 4:
        return f"Trials {', '.join(words[:-1])} and {words[-1]}"
    return f"The top {len(words)} (trials {', '.join(words[:3])}, …)"


def spent_text(trials: pd.DataFrame) -> str | None:
    """What the sweep's own runs took on the device, in words; None where none was measured."""
    seconds = trials.loc[~trials["is_reused"], "device_seconds"].astype("float64").sum(min_count=1)
    if not is_known(seconds):
        return None
    device = "GPU" if trials["peak_device_bytes"].notna().any() else "CPU"
    return f"{duration(float(seconds))} of {device}"
