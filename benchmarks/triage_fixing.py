"""Whether fixing pays: a head trained on true labels, on wrong ones, and on wrong ones corrected as suggested."""

import csv
import io
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.measure import Figure
from benchmarks.triage_scores import Judged
from benchmarks.triage_sets import Labelled
from evals.intervals import Ints
from evals.paired import count_flips, mcnemar
from store import Store, get_dataset, get_evaluation, open_store, read_answers

_SHARE = 0.10  # of the queue is relabelled, unseen, as suggested
_WON_BACK = 0.5

_RECIPE = """
name = "fixing"
task = "text-classification"

[model]
base = "builtin:minilm"
method = "head"
max_length = 64
dropout = 0.5

[data]
columns = { text = "text", label = "label" }
"""


def fixing_figures(name: str, judged: Sequence[Judged], seeds: Sequence[int]) -> list[Figure]:
    """The share of the lost accuracy that is won back, paired on the test examples; a sample a seed."""
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(Path(folder) / "fixing.db")
        try:
            tried = [_try(each, seed, store, Path(folder)) for each, seed in zip(judged, seeds, strict=True)]
        finally:
            store.close()
    title = f"{name}: accuracy won back by relabelling {_SHARE:.0%} as suggested"
    note = "; ".join(f"seed {seed}: {note}" for seed, (_, note) in zip(seeds, tried, strict=True))
    return [Figure(title, [won for won, _ in tried], "of what was lost", at_least=_WON_BACK, note=note)]


def _try(judged: Judged, seed: int, store: Store, folder: Path) -> tuple[float, str]:
    data, audit = judged.data, judged.audit
    top = np.argsort(-audit.risk, kind="stable")[: round(_SHARE * len(data.given))]
    fixed = data.given.copy()
    fixed[top] = audit.suggestions.label[top]
    clean, noisy, after = (_predicted(data, labels, seed, store, folder) for labels in (data.truth, data.given, fixed))
    truth = data.test_truth
    on_clean, on_noisy, on_fixed = (float((each == truth).mean()) for each in (clean, noisy, after))
    flips = count_flips(truth, noisy, after)
    note = (
        f"accuracy trained on true labels {on_clean:.4f}, on wrong ones {on_noisy:.4f}, corrected {on_fixed:.4f} "
        f"({flips.fixed} test examples fixed, {flips.broken} broken, p = {mcnemar(flips.fixed, flips.broken):.1g}); "
        f"labels right {(data.given == data.truth).mean():.3f} before, {(fixed == data.truth).mean():.3f} after"
    )
    lost = on_clean - on_noisy
    return ((on_fixed - on_noisy) / lost if lost else float("nan")), note


def _predicted(data: Labelled, labels: Ints, seed: int, store: Store, folder: Path) -> Ints:
    """What a head trained on these labels says of the test examples. Every tenth example selects the epoch."""
    from benchmarks.training import finished
    from runner.progress import make_progress
    from runner.recipe import parse_recipe
    from runner.train import train

    is_held_out = np.random.default_rng(0).permutation(len(labels)) % 10 == 0
    rows = {"train": np.flatnonzero(~is_held_out), "validation": np.flatnonzero(is_held_out)}
    splits = {name: ([data.texts[row] for row in kept.tolist()], labels[kept]) for name, kept in rows.items()}
    splits["test"] = list(data.test_texts), data.test_truth
    for split, (texts, numbers) in splits.items():
        with (folder / f"{split}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["text", "label"])
            writer.writerows(zip(texts, (data.classes[number] for number in numbers), strict=True))
    source = ", ".join(f'{split} = "{folder / split}.csv"' for split in splits)
    settings = [f"data.source={{ {source} }}", f"training.seed={seed}"]
    loaded = parse_recipe(_RECIPE, folder=folder, overrides=settings, source="fixing")
    run = finished(train(loaded, store, make_progress("quiet", io.StringIO())))
    evaluation = get_evaluation(store, run.key, "test")
    if evaluation is None or run.dataset_key is None:
        raise AssertionError(f"{run.name} has finished without an evaluation of its test split")
    names = get_dataset(store, run.dataset_key).label_names or ()
    number = {name: place for place, name in enumerate(data.classes)}
    return np.array([number[name] for name in names])[read_answers(store, evaluation).predicted]
