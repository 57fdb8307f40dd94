"""One `runner sweep` with asha against the same configurations as separate `runner train` processes that share nothing.

    BANKING77=data/banking77 python -m benchmarks.sweep_speed [--examples 2000] [--configurations 16] [--folder DIR]

Heads and adapters of MiniLM, by `recipes/banking77-sweep.toml` with sampler random, so that the configurations do not
depend on what they reach. Each separate training has a store and a feature cache of its own and all of its epochs, and
looks at no labels when it has ended, for no trial of a sweep does. Besides time, the best models of both ways are
compared on the same validation examples. With --folder, what has been measured is kept there: interrupted, the same
command goes on with the training that it was at.
"""

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.measure import Figure, Report, Timing, against, arguments, finish, seconds
from evals.paired import compare_pair, count_flips, mcnemar
from evals.verdict import headline, verdict
from runner.recipe import load_recipe
from runner.sweep.search import read_search
from store import Run, Store, get_dataset, get_evaluation, get_run, list_scores, open_store, read_targets, read_trials
from store.evaluations import read_answers

RECIPE = Path(__file__).parents[1] / "recipes/banking77-sweep.toml"
METRIC = "validation/accuracy"


class Best(NamedTuple):
    """The best run of one way, and where it is."""

    store: Store
    run: Run


def measure(recipe: Path, folder: Path, settings: Sequence[str] = (), *, n: int = 16, is_small: bool = False) -> Report:
    """Both ways, one after the other, below `folder`; `settings` override the recipe. Raises where either way fails."""
    common = [f"evaluation.select={METRIC}", "sweep.sampler=random", f"sweep.trials={n}", *settings]
    overrides = [word for setting in common for word in ("--set", setting)]
    together, shown = _run(["sweep", str(recipe), *overrides, "--quiet", "--json"], folder / "together.db")
    sweep = json.loads(shown)
    if sweep["status"] != "finished" or any(trial["status"] == "failed" for trial in sweep["trials"]):
        raise RuntimeError(f"the sweep {sweep['status']}: {sweep['cause']}")
    loaded = load_recipe(recipe, common)
    search = read_search(loaded.recipe, loaded.written)
    store = open_store(folder / "together.db")
    apart: list[Timing] = []
    runs: list[Best] = []
    for trial in read_trials(store, 1):
        path = folder / f"trial-{trial.number}.toml"
        path.write_text(search.trial_recipe(trial.number, trial.seed, trial.parameters).text)
        alone = folder / f"trial-{trial.number}.db"
        timing, _ = _run(["train", str(path), "--quiet", "--set", "triage.after_training=false"], alone)
        apart.append(timing)
        own = open_store(alone)
        runs.append(Best(own, get_run(own, 1)))
    separate = Timing(sum(timing.wall for timing in apart), sum(timing.cpu for timing in apart))
    best = Best(store, get_run(store, _best_run_id(sweep)))
    figures = _figures(separate, together, sweep, max(runs, key=_accuracy), best, n)
    for each in runs:
        each.store.close()
    store.close()
    return Report("A sweep against separate trainings", f"{n} configurations", figures, is_small=is_small)


def _figures(
    separate: Timing, together: Timing, sweep: dict[str, Any], alone: Best, best: Best, n: int
) -> list[Figure]:
    baseline = seconds(f"{n} separate trainings", [separate])
    told, is_worse = _compared(alone, best)
    return [
        baseline,
        seconds("one sweep", [together], baseline=against(baseline)),
        Figure("times faster", [separate.wall / together.wall], "×", at_least=5.0),
        Figure("times less processor time", [separate.cpu / together.cpu], "×", note="what a busy machine moves least"),
        Figure("share of epochs saved", [sweep["epochs"]["saved_share"]], "", at_least=0.5),
        Figure("best validation accuracy of the separate ones", [_accuracy(alone)], ""),
        Figure("best validation accuracy of the sweep", [_accuracy(best)], "", note=told),
        Figure("the sweep's best is separably worse (1: yes)", [float(is_worse)], "", at_most=0.0),
    ]


def _compared(alone: Best, best: Best) -> tuple[str, bool]:
    """The paired comparison of the two on the validation split, in a sentence; whether the sweep's is worse."""
    gold, answers = [], []
    for each in (alone, best):
        dataset = get_dataset(each.store, int(each.run.dataset_key or 0))
        gold.append((dataset.fingerprint, read_targets(each.store, dataset, "validation")))
        evaluation = get_evaluation(each.store, each.run.key, "validation")
        if evaluation is None:
            raise RuntimeError(f"run {each.run.name} was never evaluated")
        answers.append(read_answers(each.store, evaluation).predicted)
    if gold[0][0] != gold[1][0]:
        raise RuntimeError("the two ways trained on different data")
    flips = count_flips(gold[0][1], *answers)
    row = compare_pair(gold[0][1], *answers).to_dict("records")[0]
    names = {"name_a": "the best separate one", "name_b": "the sweep's best"}
    told = headline(row, flips, p_flips=mcnemar(flips.fixed, flips.broken), **names)
    return told, verdict(row, **names).answer == "not better" and row["difference"] < 0


def _best_run_id(sweep: dict[str, Any]) -> str:
    number = sweep["leaders"][0]["number"]
    return str(next(trial["run_id"] for trial in sweep["trials"] if trial["number"] == number))


def _accuracy(best: Best) -> float:
    scores = list_scores(best.store, [best.run.key], best_only=True)
    row = scores[(scores["split"] == "validation") & (scores["metric"] == "accuracy")]
    return float(row["value"].iloc[0])


def _run(words: Sequence[str], store: Path) -> tuple[Timing, str]:
    """A `runner` process from its start to its end, with all its children; and what it printed. Kept beside the store:
    what was measured before is not measured again."""
    kept = store.with_suffix(".measured.json")
    if kept.exists() and (known := json.loads(kept.read_text()))["words"] == list(words):
        return Timing(known["wall"], known["cpu"]), known["printed"]
    for leftover in store.parent.glob(f"{store.name}*"):
        leftover.unlink()
    shutil.rmtree(store.with_name(f"{store.stem}-files"), ignore_errors=True)
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-P", "-m", "runner", *words, "--store", str(store)],
        capture_output=True,
        text=True,
        check=False,
    )
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        raise RuntimeError(f"runner {' '.join(words)} left with {done.returncode}: {done.stderr[-2000:]}")
    timing = Timing(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    kept.write_text(json.dumps({"words": list(words), **timing._asdict(), "printed": done.stdout}))
    return timing, done.stdout


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--examples", type=int, help="train on so many examples; default: all")
    parser.add_argument("--configurations", type=int, default=16, help="how many")
    parser.add_argument("--folder", type=Path, help="keep everything there; default: a folder for the time being")
    options = parser.parse_args()
    if "BANKING77" not in os.environ:
        reason = "set BANKING77 to the data's folder"
        missing = Figure("times faster", [], "×", at_least=5.0, note=reason)
        finish(Report("A sweep against separate trainings", "nothing", [missing]))
    settings = ["data.max_examples=300", "training.epochs=2"] if options.small else []
    settings += [] if options.examples is None else [f"data.max_examples={options.examples}"]
    n = min(options.configurations, 3) if options.small else options.configurations
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        finish(measure(RECIPE, folder, settings, n=n, is_small=options.small))


if __name__ == "__main__":
    main()
