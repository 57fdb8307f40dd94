"""Two adapters under one: what is left of each task after every way of merging.

    TWEETEVAL=data/tweeteval python -m benchmarks.merging

TWEETEVAL names the folder of the data set. The two runs of recipe 10 (the emotion of tweets, and whether they are
ironic) are trained on one base, then merged in every way; each merged run keeps the head and the data of one task.
"""

import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.measure import Figure, Report, against, arguments, finish
from benchmarks.training import finished
from runner.merge.parent import DENSITY, THINNING, Way
from runner.merge.plan import plan_merge
from runner.merge.run import merge_runs
from runner.progress import Progress, make_progress
from runner.quiet import quiet_libraries
from runner.recipe import load_recipe
from runner.train import train
from store import Run, Store, list_merge_scores, open_store

RECIPES = Path(__file__).parents[1] / "recipes"
TASKS = ("emotion", "irony")
METRIC = "macro_f1"
BESIDE = {"parent": "its own adapter", "untrained": "before training", "other": "the other task's adapter"}
WAYS: tuple[Way, ...] = ("linear", "cat", "ties", "dare-linear", "dare-ties", "magnitude-prune")


def measure(
    folder: Path, tweets: Path, settings: Sequence[str] = (), *, n_rows: int | None = None, is_small: bool = False
) -> Report:
    """Both trainings and every merge, in a store below `folder`.

    tweets: a folder with train.csv, val.csv and test.csv (text, label) for each of TASKS; the first `n_rows` of each
    file are taken (None: all). settings: changes of both recipes.
    """
    store, progress = open_store(folder / "merging.db"), make_progress("quiet")
    parents = []
    for task in TASKS:
        source = f"data.source={_source(tweets / task, folder / task, n_rows)}"
        loaded = load_recipe(RECIPES / f"tweets-{task}-lora.toml", [source, *settings])
        parents.append(finished(train(loaded, store, progress)))
    figures: list[Figure] = []
    for way in WAYS:
        merged = _merged(store, parents, way, progress)
        if not figures:
            figures = [
                _figure(store, run, task, who) for run, task in zip(merged, TASKS, strict=True) for who in BESIDE
            ]
        own = {task: figure for task in TASKS for figure in figures if figure.name == f"{task}: {BESIDE['parent']}"}
        for run, task in zip(merged, TASKS, strict=True):
            figures.append(_figure(store, run, task, "merged", name=way, beside=own[task]))
    store.close()
    title, size = "Two adapters under one", f"MiniLM, LoRA, test {METRIC}, one seed, share kept {DENSITY}"
    return Report(title, size, figures, is_small=is_small)


def _source(tweets: Path, folder: Path, n_rows: int | None) -> str:
    """The three files of a task as a recipe names them, cut into `folder` where not all rows are wanted."""
    files = {"train": tweets / "train.csv", "validation": tweets / "val.csv", "test": tweets / "test.csv"}
    if n_rows is not None:
        folder.mkdir()
        for split, path in files.items():
            files[split] = folder / path.name
            pd.read_csv(path).head(n_rows).to_csv(files[split], index=False)
    return "{" + ", ".join(f'{split} = "{path}"' for split, path in files.items()) + "}"


def _merged(store: Store, parents: Sequence[Run], way: Way, progress: Progress) -> list[Run]:
    merges = plan_merge(
        store, parents, way=way, weights=None, density=DENSITY if way in THINNING else None, seed=None, fold=False,
        each=True, name=way, dataset=None,
    )  # fmt: skip
    return [finished(run) for run in merge_runs(merges, store, progress)]


def _figure(store: Store, run: Run, task: str, who: str, *, name: str = "", beside: Figure | None = None) -> Figure:
    """Of a merged run, or of one that stands beside it, on the test split of the run's task."""
    scores = list_merge_scores(store, run)
    rows: list[dict[Any, Any]] = scores[
        (scores["who"] == who) & (scores["split"] == "test") & (scores["metric"] == METRIC)
    ].to_dict("records")
    (row,) = rows
    note = f"{row['low']:.3f} to {row['high']:.3f}, n = {int(row['n']):,}"
    baseline = None if beside is None else against(beside)
    return Figure(f"{task}: {name or BESIDE[who]}", [row["value"]], "", baseline=baseline, note=note)


def main() -> None:
    options = arguments(__doc__).parse_args()
    quiet_libraries()
    if "TWEETEVAL" not in os.environ:
        sys.exit("set TWEETEVAL to the data's folder (emotion/ and irony/, each with train.csv, val.csv and test.csv)")
    settings, n_rows = (["training.epochs=1"], 60) if options.small else ([], None)
    with tempfile.TemporaryDirectory() as folder:
        tweets = Path(os.environ["TWEETEVAL"])
        finish(measure(Path(folder), tweets, settings, n_rows=n_rows, is_small=options.small))


if __name__ == "__main__":
    main()
