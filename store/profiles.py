"""Profiles: what a dataset version looks like to a tokenizer, measured before any training.

There is one for each way to measure; the same measurement again replaces the earlier one.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from store.connection import Store
from store.plain import to_json, to_numbers


@dataclass(frozen=True)
class Profile:
    """What was measured of a dataset version."""

    key: int
    dataset_key: int
    fingerprint: str
    """Of all that decides it beside the data: tokenizer, lengths, task."""
    profile: Mapping[str, Any]
    """As JSON holds it; what was not measured is None."""
    created_at: float


def record_profile(store: Store, dataset_key: int, fingerprint: str, profile: Mapping[str, Any]) -> None:
    """Keep it, in place of an earlier one of that fingerprint. Raises sqlite3.IntegrityError for no such dataset."""
    with store.write() as db:
        db.execute(
            "INSERT INTO profiles (dataset_key, fingerprint, profile, created_at) VALUES (?, ?, ?, ?)"
            " ON CONFLICT (dataset_key, fingerprint) DO UPDATE SET profile = excluded.profile,"
            " created_at = excluded.created_at",
            (dataset_key, fingerprint, to_json(to_numbers(profile)), time.time()),
        )


def list_profiles(store: Store, dataset_key: int) -> list[Profile]:
    """Those of a dataset version, the newest first."""
    rows = store.db.execute(
        "SELECT key, dataset_key, fingerprint, profile, created_at FROM profiles WHERE dataset_key = ?"
        " ORDER BY created_at DESC, key DESC",
        (dataset_key,),
    )
    return [Profile(key, dataset, fingerprint, json.loads(text), at) for key, dataset, fingerprint, text, at in rows]
