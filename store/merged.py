"""A merged run beside the runs that it was made of: what each of them scores on the same data."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

from store.connection import Store
from store.errors import RunNotFound
from store.evaluations import list_scores
from store.records import Run
from store.runs import get_run, list_events

if TYPE_CHECKING:
    import pandas as pd

OTHER_PARENT = "other_parent"
"""Kind of the events that say what a parent scores that was trained for another task; data: id, name, split, scores."""

Who = Literal["merged", "parent", "untrained", "other"]
"""The merged run; a parent trained on its data; that parent before training; a parent that was trained on other data,
under the merged run's head."""

_COLUMNS = ("who", "name", "id", "split", "metric", "value", "low", "high", "n")


def list_merge_scores(store: Store, run: Run) -> pd.DataFrame:
    """Columns who (`Who`), name, id, split, metric, value, low, high, n; the best checkpoint's, of a merged run first.

    Empty for a run that was not merged. What was not measured, or is not in this store any more, is not there.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    merge: Any = (run.provenance or {}).get("merge")
    if merge:
        rows += _of(store, run, "merged")
        for parent in merge.get("parents") or ():
            try:
                found = get_run(store, str(parent["id"]))
            except RunNotFound:
                continue
            if found.dataset_key is not None and found.dataset_key == run.dataset_key:
                rows += _of(store, found, "parent") + _of(store, found, "untrained")
        rows += _others(store, run)
    return pd.DataFrame(rows, columns=list(_COLUMNS))


def _of(store: Store, run: Run, who: Who) -> list[dict[str, Any]]:
    scores = list_scores(store, [run.key])
    wanted = scores[scores["step"] == 0] if who == "untrained" else scores[scores["is_best"] == 1]
    of = {"who": who, "name": run.name, "id": run.id}
    return [{**{str(key): value for key, value in row.items()}, **of} for row in wanted.to_dict("records")]


def _others(store: Store, run: Run) -> list[dict[str, Any]]:
    events = list_events(store, run.key)
    found = []
    for raw in events[events["kind"] == OTHER_PARENT]["data"]:
        data = json.loads(raw) if isinstance(raw, str) else raw
        for metric, value, low, high, n in data["scores"]:
            found.append(
                {"who": "other", "name": data["name"], "id": data["id"], "split": data["split"], "metric": metric,
                 "value": value, "low": low, "high": high, "n": n}
            )  # fmt: skip
    return found
