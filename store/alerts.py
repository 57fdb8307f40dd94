"""Alerts: events of a run that say that something goes wrong."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from store.connection import Store
from store.frames import read_frame

if TYPE_CHECKING:
    import pandas as pd


def list_alerts(store: Store, run_key: int) -> pd.DataFrame:
    """Columns at, alert (its kind, as `evals.alerts.AlertKind` has it), step, message, evidence (a dict); in the order
    they were raised."""
    frame = read_frame(
        store.db,
        "SELECT at, json_extract(data, '$.alert') AS alert, json_extract(data, '$.step') AS step, message,"
        " coalesce(data, '{}') AS evidence FROM run_events WHERE run_key = ? AND kind = 'alert' ORDER BY key",
        (run_key,),
    )
    known = [json.loads(text) for text in frame["evidence"]]
    evidence: list[Any] = [{k: v for k, v in data.items() if k not in ("alert", "step")} for data in known]
    return frame.assign(evidence=evidence)
