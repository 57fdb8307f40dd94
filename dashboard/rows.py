"""Rows of frames, for loops over small tables (pandas types every cell as anything it can hold)."""

from typing import Any

import pandas as pd


def tuples(frame: pd.DataFrame) -> list[Any]:
    """The rows as named tuples."""
    return list(frame.itertuples())


def mappings(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as dicts of column → value."""
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]
