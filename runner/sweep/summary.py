"""What is left to say when a sweep has ended: the table, the sentence, the best recipe, all of it for programs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evals.intervals import mean_interval
from evals.leaders import Leaders
from evals.metrics import find_metric
from runner.commands.options import UNKNOWN, duration, records, size, table
from runner.recipe import toml_text
from runner.recipe.tables import without
from runner.sweep.configurations import Configuration, configurations
from runner.sweep.leaders import leaders_of, sentence
from runner.sweep.rungs import Epochs, count_epochs
from runner.sweep.search import Search
from runner.sweep.tidy import stopped_checkpoints, total_bytes
from store import Status, Store, Sweep, get_cost, list_trials, read_reports, read_trials
from store.trials import Spent, sum_costs

_MOST_ROWS = 12
_WORTH_SAYING_BYTES = 100_000_000


@dataclass(frozen=True)
class Summary:
    """A sweep as it ended, or stands."""

    sweep: Sweep
    search: Search
    known: tuple[Configuration, ...]
    leaders: Leaders | None
    epochs: Epochs
    spent: Spent


def summarise(store: Store, sweep: Sweep, search: Search) -> Summary:
    """Read it from the store."""
    trials, reports = read_trials(store, sweep.key), read_reports(store, sweep.key)
    known = tuple(configurations(trials, reports))
    return Summary(
        sweep,
        search,
        known,
        leaders_of(store, search, sweep.key),
        count_epochs(trials, reports, search.rungs),
        sum_costs(store, sweep.key),
    )


def text(store: Store, summary: Summary, command: str, n_parallel: int) -> str:
    """Several lines: how it ended, the best configurations, what they cost, what can be said of them."""
    sweep, known = summary.sweep, summary.known
    counts = [
        f"{n} {word}"
        for word, n in (
            ("finished", _count(known, Status.FINISHED)),
            ("stopped early", _count(known, Status.PRUNED)),
            ("failed", _count(known, Status.FAILED)),
            ("to be taken up again", _count(known, Status.KILLED, Status.QUEUED)),
        )
        if n
    ]
    lines = [f"sweep {sweep.name} ({sweep.id}) {sweep.status}" + (f": {sweep.cause}" if sweep.cause else "")]
    lines.append(f"{len(known)} configuration{'' if len(known) == 1 else 's'}: {', '.join(counts) or 'none'}")
    if summary.leaders is not None:
        lines += ["", _table(store, summary, summary.leaders), ""]
        lines.append(sentence(summary.leaders, summary.search, command, n_parallel))
    elif _count(known, Status.FINISHED):
        missing = [o.metric for i, o in enumerate(summary.search.objectives) if not _is_measured(known, i)]
        lines.append(f"not measured by any trial: {', '.join(missing) or 'all objectives together'}")
    if stopped := _stopped_table(summary):
        lines += ["", "stopped early, the best of the last rung first:", stopped, ""]
    kept = total_bytes(store, stopped_checkpoints(store, [configuration.first for configuration in known]))
    spent = f"its trials held devices for {duration(summary.spent.device_seconds)}"
    share = summary.epochs.saved_share
    if share:
        spent += (
            f"; pruning saved {share:.0%} of the epochs ({summary.epochs.trained:.0f} of {summary.epochs.planned:.0f})"
        )
    n_reused = sum(trial.is_reused for configuration in known for trial in configuration.trials)
    lines.append(spent + (f"; {n_reused} run{' was' if n_reused == 1 else 's were'} there before" if n_reused else ""))
    if kept > _WORTH_SAYING_BYTES:
        lines.append(f"stopped trials keep {size(kept)}, so that more trials can take them up; --tidy removes it")
    return "\n".join(lines)


def _is_measured(known: Sequence[Configuration], objective: int) -> bool:
    values = [trial.objective_values for each in known for trial in each.trials if trial.objective_values]
    return any(value[objective] is not None for value in values)


def _count(known: Sequence[Configuration], *statuses: Status) -> int:
    return sum(configuration.status in statuses for configuration in known)


def _table(store: Store, summary: Summary, leaders: Leaders) -> str:
    """The best configurations, best first."""
    objectives = summary.search.objectives
    by_number = {configuration.number: configuration for configuration in summary.known}
    shown = leaders.numbers[:_MOST_ROWS]
    paths = list(dict.fromkeys(path for number in shown for path in by_number[number].parameters))
    values = {row["number"]: row for row in leaders.table.to_dict("records")}
    rows = []
    for number in shown:
        configuration, row = by_number[number], values[number]
        value = _value(objectives[0].metric, row["mean"])
        over = f"±{_half_width(objectives[0].metric, row):.4f}" if row["high"] == row["high"] else ""
        others = [_over_seeds(configuration, i) for i in range(1, len(objectives))]
        cells = [_plain(configuration.parameters.get(path, UNKNOWN)) for path in paths]
        mark = "*" if number in leaders.contenders else ""
        cost = get_cost(store, int(configuration.first.run_key or 0))
        rows.append(
            [mark, str(number), value, str(int(row["n_seeds"])), over, *others, *cells, duration(cost.wall_seconds),
             size(cost.peak_device_bytes or cost.peak_host_bytes)]
        )  # fmt: skip
    names = [objective.metric for objective in objectives]
    short = [_short(path, paths) for path in paths]
    headers = ["", "trial", names[0], "seeds", "95 % of the mean", *names[1:], *short, "wall", "memory"]
    if not any(row[4] for row in rows):  # one seed each says nothing of that
        headers, rows = [*headers[:4], *headers[5:]], [[*row[:4], *row[5:]] for row in rows]
    found = table(headers, rows, right=(1, 2, 3))
    more = len(leaders.numbers) - len(shown)
    return found + (f"\n… and {more} more" if more else "")


def _stopped_table(summary: Summary) -> str:
    """The configurations that a pruner stopped, with what they said last; empty where there are none."""
    metric, sign = summary.search.objectives[0].metric, _sign(summary.search)
    stopped = [each for each in summary.known if each.status == Status.PRUNED and each.reports]
    stopped.sort(key=lambda each: (max(each.reports), _or_worst(sign * _last_value(each))), reverse=True)
    shown = stopped[:_MOST_ROWS]
    paths = list(dict.fromkeys(path for each in shown for path in each.parameters))
    rungs = summary.search.rungs
    rows = []
    for each in shown:
        rung, value = max(each.reports), _last_value(each)
        share = f"{rungs[rung]:.3g}" if rung < len(rungs) else "1"
        cells = [_plain(each.parameters.get(path, UNKNOWN)) for path in paths]
        rows.append([str(each.number), UNKNOWN if value != value else _value(metric, value), share, *cells])
    headers = ["trial", f"{metric} then", "share of steps", *(_short(path, paths) for path in paths)]
    more = len(stopped) - len(shown)
    return (table(headers, rows, right=(0, 1, 2)) if rows else "") + (f"\n… and {more} more" if more else "")


def _sign(search: Search) -> int:
    return 1 if search.objectives[0].direction == "maximize" else -1


def _last_value(configuration: Configuration) -> float:
    return configuration.reports[max(configuration.reports)]


def _or_worst(value: float) -> float:
    return value if value == value else -math.inf


def _value(metric: str, value: float) -> str:
    return f"{value:.4f}" if metric.startswith("validation/") else f"{value:.4g}"


def _over_seeds(configuration: Configuration, objective: int) -> str:
    """An objective's mean over the finished seeds with its 95 % interval, where there are several."""
    given = [t.objective_values for t in configuration.trials if t.status == Status.FINISHED and t.objective_values]
    known = [value for values in given if (value := values[objective]) is not None]
    found = mean_interval(known)
    return f"{found.mean:.4g}" + (f" ±{found.high - found.mean:.2g}" if found.high == found.high else "")


def _half_width(metric: str, row: Mapping[Any, Any]) -> float:
    """Of the interval over seeds, as far as the metric goes."""
    known = find_metric(metric)
    low, high = known.range if known is not None else (-math.inf, math.inf)
    return float(max(min(row["high"], high) - row["mean"], row["mean"] - max(row["low"], low)))


def _short(path: str, paths: Sequence[str]) -> str:
    """The last part of a path, where that tells it from the others."""
    last = path.rpartition(".")[2]
    return last if sum(other.rpartition(".")[2] == last for other in paths) == 1 else path


def _plain(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def best_recipe(summary: Summary) -> str | None:
    """The recipe of the best configuration as TOML, ready to be trained; None where there is none."""
    if summary.leaders is None:
        return None
    number = summary.leaders.numbers[0]
    configuration = next(each for each in summary.known if each.number == number)
    loaded = summary.search.trial_recipe(number, configuration.first.seed, configuration.parameters)
    row = summary.leaders.table.iloc[0]
    metric = summary.search.objectives[0].metric
    recipe = without({**loaded.resolved, "name": f"{summary.search.name[:95]}-best"}, ("sweep",))
    recipe["tags"] = list(summary.search.recipe.tags)
    seeds = f"{int(row['n_seeds'])} seed{'' if row['n_seeds'] == 1 else 's'}"
    head = (
        f"# Trial {number} of sweep {summary.sweep.name} ({summary.sweep.id}): {metric} {row['mean']:.4f}, {seeds}.\n"
    )
    return head + toml_text(recipe)


def as_dict(store: Store, summary: Summary, command: str, n_parallel: int) -> dict[str, Any]:
    """For programs; None where nothing was measured."""
    sweep, leaders = summary.sweep, summary.leaders
    return {
        "id": sweep.id,
        "name": sweep.name,
        "status": sweep.status,
        "cause": sweep.cause,
        "objectives": [objective._asdict() for objective in sweep.objectives],
        "rungs": list(summary.search.rungs),
        "epochs": {**summary.epochs._asdict(), "saved_share": summary.epochs.saved_share},
        "run_seconds": summary.spent.run_seconds,
        "device_seconds": summary.spent.device_seconds,
        "wall_seconds": sweep.wall_seconds,
        "leaders": [] if leaders is None else records(leaders.table),
        "contenders": [] if leaders is None else list(leaders.contenders),
        "sentence": None if leaders is None else sentence(leaders, summary.search, command, n_parallel),
        "trials": records(list_trials(store, sweep.key)),
    }
