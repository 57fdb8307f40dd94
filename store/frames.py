"""Query results as data frames."""

import sqlite3
from collections.abc import Sequence
from typing import Any

import pandas as pd


def read_frame(db: sqlite3.Connection, sql: str, values: Sequence[Any] = ()) -> pd.DataFrame:
    """The rows of a query; the columns are there even when no row is."""
    cursor = db.execute(sql, values)
    return pd.DataFrame.from_records(cursor.fetchall(), columns=[column[0] for column in cursor.description])
