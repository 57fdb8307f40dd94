"""Merged runs beside their parents, as a table of text. Loads no torch."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from evals.metrics import TASKS, find_metric
from store import Run, Store, list_merge_scores

if TYPE_CHECKING:
    import pandas as pd

_WRITTEN = ("exact_match", "rougeL")
HEADERS = ["task", "split", "metric", "n", "merged", "its own parent", "untrained", "the other parents"]


def score_rows(store: Store, runs: Sequence[Run]) -> list[list[str]]:
    """Cells by HEADERS: of each run its main metrics, on the last split that it was evaluated on."""
    rows = []
    for run in runs:
        scores = list_merge_scores(store, run)
        merged = scores[scores["who"] == "merged"]
        for split in ("test", "validation"):
            here = merged[merged["split"] == split]
            if len(here):
                rows += [_row(run, scores[scores["split"] == split], metric) for metric in _shown(run, here)]
                break
    return rows


def _shown(run: Run, scores: "pd.DataFrame") -> list[str]:
    selected = (run.select_metric or "").rpartition("/")[2]
    wanted = dict.fromkeys((selected, *TASKS.get(str(run.task), ())[:1], *_WRITTEN))
    measured = set(scores["metric"])
    return [metric for metric in wanted if metric in measured]


def _row(run: Run, scores: "pd.DataFrame", metric: str) -> list[str]:
    of = scores[scores["metric"] == metric]
    title = found.title if (found := find_metric(metric)) else metric
    cells = {who: of[of["who"] == who].to_dict("records") for who in ("merged", "parent", "untrained", "other")}
    (merged,) = cells["merged"]
    return [
        _task(run),
        str(merged["split"]),
        title,
        f"{int(merged['n']):,}",
        *("; ".join(_cell(row, named=len(rows) > 1) for row in rows) or "–" for rows in cells.values()),
    ]


def _task(run: Run) -> str:
    """Whose task it is: the parent that gave the head, else the run itself."""
    merge: Any = (run.provenance or {}).get("merge") or {}
    return str((merge.get("head_of") or {}).get("name") or run.name)


def _cell(row: Mapping[Any, Any], *, named: bool) -> str:
    """Value and interval, as it was measured.

    >>> _cell({"value": 0.5, "low": 0.41, "high": None, "name": "a"}, named=True)
    'a 0.500'
    """
    if row["value"] is None or row["value"] != row["value"]:
        return "–"
    name = f"{row['name']} " if named else ""
    is_known = all(row[end] is not None and row[end] == row[end] for end in ("low", "high"))
    return f"{name}{row['value']:.3f}" + (f" ({row['low']:.3f} to {row['high']:.3f})" if is_known else "")
