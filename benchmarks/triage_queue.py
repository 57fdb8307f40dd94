"""How long the triage page waits for its store: pages and counts under every filter, decisions, versions.

python -m benchmarks.triage_queue [--n 100000] [--cpu] [--folder FOLDER]

Fills a store with a made-up data set of n training examples and its triage (`tests.store.triages`), and times each call
of the page, medians of several: wall time, or with `--cpu` this process's, which other work leaves alone.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from store import (
    Dataset,
    NewDecision,
    QueueFilter,
    Store,
    Triage,
    apply_patch,
    count_changes,
    count_findings,
    count_queue,
    current_decisions,
    decision_progress,
    export_patch,
    list_changes,
    list_facets,
    list_places,
    list_queue,
    make_version,
    open_store,
    read_column,
    read_column_at,
    record_decision,
    record_decisions,
    undo_last,
)
from store.patterns import forget_patterns
from tests.store.triages import fill_triage

T = TypeVar("T")

FILTERS = {
    "none": QueueFilter(),
    "a common kind": QueueFilter(kinds=("label_error",)),
    "a rare kind": QueueFilter(kinds=("empty",)),
    "two kinds": QueueFilter(kinds=("outlier", "near_duplicate")),
    "a label": QueueFilter(labels=("exchange_rate",)),
    "a suggested label": QueueFilter(suggested=("exchange_rate",)),
    "a pair": QueueFilter(pair=("card_arrival", "exchange_rate")),
    "a common word": QueueFilter(search="card"),
    "a rare word": QueueFilter(search="4711"),
    "no such word": QueueFilter(search="nowhere"),
    "word, label, undecided": QueueFilter(search="card", labels=("lost_or_stolen_card",), decided=False),
    "metadata, common": QueueFilter(metadata=(("source", "mail"),)),
    "metadata of many values": QueueFilter(metadata=(("number", 4711),)),
    "undecided": QueueFilter(decided=False),
    "decided": QueueFilter(decided=True),
    "of an author": QueueFilter(author="ann"),
    "disputed": QueueFilter(disputed=True),
    "a group": QueueFilter(group=1),
    "a lasso of a tenth": QueueFilter(positions=range(0)),  # set to fit n
    "a lasso of half": QueueFilter(positions=range(0)),
    "risk of 0.5 or more": QueueFilter(min_risk=0.5),
    "test split": QueueFilter(splits=("test",)),
    "regular expression": QueueFilter(regex=r"\bwallet\b.*7$"),
}


clock = time.perf_counter


def main() -> None:
    global clock
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=100_000, help="training examples")
    parser.add_argument("--folder", type=Path, help="where to write the store; a temporary folder by default")
    parser.add_argument("--cpu", action="store_true", help="CPU time of this process instead of wall time")
    options = parser.parse_args()
    if options.cpu:
        clock = time.process_time
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        store = open_store(Path(folder) / "assay.db")
        measure(store, options.n)
        store.close()


def measure(store: Store, n: int) -> None:
    filled, seconds = timed(lambda: fill_triage(store, n))
    print(f"{n:,} training examples; filled in {seconds:.1f} s, {store.path.stat().st_size / 1e6:.0f} MB")
    dataset, triage = filled.dataset, filled.triage
    decide(store, dataset, triage, n)
    pages(store, dataset, triage, n)
    rest(store, dataset, triage, n)
    versions(store, dataset)


def decide(store: Store, dataset: Dataset, triage: Triage, n: int) -> None:
    print(f"\n{'deciding':<44}{'ms':>10}")
    places = list_places(store, triage, dataset, limit=max(n // 20, 200))
    rows = list(zip(places["split"], places["position"].tolist(), places["suggested"], strict=True))
    say("a bulk of a twentieth of the examples", once(lambda: record_decisions(
        store, dataset,
        [NewDecision(s, p, "keep") if label != label else NewDecision(s, p, "relabel", label=int(label))
         for s, p, label in rows], author="ann",
    )))  # fmt: skip
    some = iter(range(1_000))
    say("one decision", median(lambda: record_decision(
        store, dataset, split="train", position=next(some), action="keep", author="bob"), 50))  # fmt: skip
    say("undo of one", median(lambda: undo_last(store, dataset, "bob"), 10))


def pages(store: Store, dataset: Dataset, triage: Triage, n: int) -> None:
    print(f"\n{'filter':<28}{'rows':>12}{'page, ms':>12}{'page 20, ms':>12}{'count, ms':>12}")
    chosen = {"a lasso of a tenth": range(0, n, 10), "a lasso of half": range(0, n, 2)}
    for name, filters in FILTERS.items():
        if name in chosen:
            filters = QueueFilter(positions=chosen[name])
        forget_patterns()
        first = median(lambda f=filters: list_queue(store, triage, dataset, filters=f), 1 if filters.regex else 5)
        later = median(lambda f=filters: list_queue(store, triage, dataset, filters=f, offset=950), 3)
        counted = median(lambda f=filters: count_queue(store, triage, dataset, f), 3)
        found = count_queue(store, triage, dataset, filters)
        print(f"{name:<28}{found:>12,}{first:>12.1f}{later:>12.1f}{counted:>12.1f}")
    for sort in ("position", "surest"):
        took = median(lambda s=sort: list_queue(store, triage, dataset, sort=s), 3)
        print(f"{'by ' + sort:<28}{'':>12}{took:>12.1f}")


def rest(store: Store, dataset: Dataset, triage: Triage, n: int) -> None:
    print(f"\n{'call':<44}{'ms':>10}")
    say("count_findings", median(lambda: count_findings(store, triage.key), 3))
    say("decision_progress", median(lambda: decision_progress(store, dataset), 3))
    say("current_decisions", median(lambda: current_decisions(store, dataset), 3))
    say("count_changes", median(lambda: count_changes(store, dataset), 3))
    say("list_changes, 1,000 rows", median(lambda: list_changes(store, dataset), 3))
    say("list_facets", median(lambda: list_facets(store, dataset), 3))
    say("read_column risk", median(lambda: read_column(store, triage.key, "train", "risk"), 3))
    say("read_column neighbours", median(lambda: read_column(store, triage.key, "train", "neighbours"), 3))
    say("read_column_at neighbours of one", median(
        lambda: read_column_at(store, triage.key, "train", "neighbours", [n // 2]), 5))  # fmt: skip


def versions(store: Store, dataset: Dataset) -> None:
    print()
    child, seconds = timed(lambda: make_version(store, dataset, author="ann", disputed="newest"))
    print(f"make_version: {seconds:.1f} s for {sum(child.n_rows.values()):,} rows")
    lines, seconds = timed(lambda: list(export_patch(store, dataset)))
    print(f"export_patch: {seconds:.1f} s for {len(lines):,} lines")
    report, seconds = timed(lambda: apply_patch(store, child, lines))
    print(f"apply_patch to the child: {seconds:.1f} s; {report.n_already:,} were done already")


def timed(call: Callable[[], T]) -> tuple[T, float]:
    start = clock()
    result = call()
    return result, clock() - start


def once(call: Callable[[], object]) -> float:
    return timed(call)[1] * 1e3


def median(call: Callable[[], object], n: int) -> float:
    """Milliseconds."""
    return statistics.median(once(call) for _ in range(n))


def say(what: str, milliseconds: float) -> None:
    print(f"{what:<44}{milliseconds:>10.1f}")


if __name__ == "__main__":
    main()
