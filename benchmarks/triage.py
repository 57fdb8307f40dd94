"""Finding wrong labels: every score on sets whose errors are known, beside cleanlab and one run's training dynamics.

    BANKING77=data/banking77 TWEETEVAL=data/tweeteval HAUSA=data/hausa python -m benchmarks.triage --cache CACHE

Each variable names a folder (see `benchmarks.triage_sets`); a set whose variable is not set is left out. `--cache`
keeps embeddings, so that running it again takes minutes. `--only` names parts: quality, estimates, fixing, speed.
"""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.measure import Figure, Report, arguments, finish
from benchmarks.triage_cost import FULL, SMALL, cost_figures
from benchmarks.triage_estimates import estimate_figures
from benchmarks.triage_fixing import fixing_figures
from benchmarks.triage_scores import DEFAULT, RUNS, Judged, Quality, judge, quality
from benchmarks.triage_sets import MADE_UP, SETS, Source

PARTS = ("quality", "estimates", "fixing", "speed")
SEEDS = (0, 1, 2)
FIXED = ("banking77-confusable", "made-up")
"""Sets on which fixing is tried."""

Table = Mapping[str, Mapping[str, Sequence[Quality]]]
"""Set → score → one Quality a seed."""

_NEVER_BELOW, _AHEAD = -0.01, 0.05
_GOALS = {
    ("banking77-confusable", "average_precision"): 0.89,
    ("banking77-uniform", "average_precision"): 0.975,
    ("hausa", "average_precision"): 0.72,
    ("docstrings", "precision_at_errors"): 0.75,
}


def measure(
    sets: Mapping[str, Source], seeds: Sequence[int], parts: Sequence[str], cache: Path, *, is_small: bool = False
) -> Report:
    """Judge every set that is there with every seed, and report the parts asked for."""
    figures = [Figure(name, [], "", note=source.missing) for name, source in sets.items() if source.missing]
    there = {name: source for name, source in sets.items() if not source.missing}
    judged: dict[str, list[Judged]] = {}
    for name, source in there.items():
        if {"quality", "estimates"} & set(parts) or ("fixing" in parts and name in FIXED):
            judged[name] = [judge(source.load(seed, cache), seed, cache) for seed in seeds]
    if "quality" in parts:
        table = {name: _qualities(each) for name, each in judged.items()}
        print(competitors_text(table))
        figures += quality_figures(table)
    if "estimates" in parts:
        for name, each in judged.items():
            figures += estimate_figures(name, each)
        figures += _covered(judged)
    if "fixing" in parts:
        for name in set(judged) & set(FIXED):
            figures += fixing_figures(name, judged[name], seeds)
    if "speed" in parts:
        figures += cost_figures(SMALL if is_small else FULL)
    size = f"{len(there)} sets, seeds {', '.join(map(str, seeds))}; median and spread are over seeds"
    return Report("Triage: wrong labels", size, figures, is_small=is_small)


def best_run(of_set: Mapping[str, Sequence[Quality]]) -> str:
    """The run on which cleanlab's default does best, by mean average precision."""
    names = [f"cleanlab: self-confidence, {run}" for run in RUNS]
    return max(names, key=lambda name: np.mean([each.average_precision for each in of_set[name]]))


def quality_figures(table: Table) -> list[Figure]:
    """The default against its goals, and against cleanlab's default on its best run."""
    figures, leads = [], []
    for name, of_set in table.items():
        ours, theirs = of_set[DEFAULT], of_set[best_run(of_set)]
        for metric in ("average_precision", "precision_at_errors"):
            goal = _GOALS.get((name, metric))
            values = [getattr(each, metric) for each in ours]
            figures.append(Figure(f"{name}: {metric.replace('_', ' ')} of the default", values, "", at_least=goal))
        lead = [a.average_precision - b.average_precision for a, b in zip(ours, theirs, strict=True)]
        leads.append(lead)
        note = f"its best run: {best_run(of_set).rpartition(', ')[2]}"
        figures.append(Figure(f"{name}: lead over cleanlab's default", lead, "AP", at_least=_NEVER_BELOW, note=note))
    if leads:
        mean = [float(each) for each in np.mean(leads, axis=0)]
        figures.append(Figure("lead over cleanlab's default, mean of the sets", mean, "AP", at_least=_AHEAD))
    return figures


def competitors_text(table: Table) -> str:
    """One Markdown table a metric: a row a score, the best first, a column a set; means, each seed in brackets."""
    parts = []
    for metric in Quality._fields:
        sets = list(table)
        names = list(table[sets[0]]) if sets else []
        means = {name: [np.mean([getattr(q, metric) for q in table[each][name]]) for each in sets] for name in names}
        rows = [f"| {metric.replace('_', ' ')} | {' | '.join(sets)} | mean |", "|---|" + "---:|" * (len(sets) + 1)]
        for name in sorted(names, key=lambda name: -np.mean(means[name])):
            cells = []
            for each, mean in zip(sets, means[name], strict=True):
                seeds = " ".join(f"{getattr(q, metric):.3f}".lstrip("0") for q in table[each][name])
                cells.append(f"{mean:.3f} ({seeds})")
            rows.append(f"| {name} | {' | '.join(cells)} | {np.mean(means[name]):.3f} |")
        parts.append("\n".join(rows))
    return "\n\n".join(parts) + "\n"


def _qualities(judged: Sequence[Judged]) -> dict[str, list[Quality]]:
    return {name: [quality(each.scores[name], each.data.is_wrong) for each in judged] for name in judged[0].scores}


def _covered(judged: Mapping[str, Sequence[Judged]]) -> list[Figure]:
    """In how many sets the interval of the noise rate holds the truth, seed by seed."""
    if not judged:
        return []
    hits = {
        name: [each.audit.noise.low <= each.data.is_wrong.mean() <= each.audit.noise.high for each in of_set]
        for name, of_set in judged.items()
    }
    missed = [f"{name} {hit.count(False)} of {len(hit)}" for name, hit in hits.items() if not all(hit)]
    covered = [float(sum(each)) for each in zip(*hits.values(), strict=True)]
    note = f"of {len(hits)} sets; missed: {', '.join(missed) or 'none'}"
    goal = 5 if len(hits) == len(SETS) else None
    return [Figure("noise rate: sets whose interval holds the truth", covered, "", at_least=goal, note=note)]


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, metavar="PART")
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--cache", type=Path, help="folder that keeps embeddings")
    options = parser.parse_args()
    from runner.quiet import quiet_libraries

    quiet_libraries()
    sets: Mapping[str, Source] = {name: SETS[name] for name in options.sets}
    seeds = options.seeds
    if options.small:
        sets, seeds = MADE_UP, [0]
    with tempfile.TemporaryDirectory() as folder:
        cache = options.cache or Path(folder)
        finish(measure(sets, seeds, options.only, cache, is_small=options.small))


if __name__ == "__main__":
    main()
