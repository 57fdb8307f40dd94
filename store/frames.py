"""Query results as data frames."""

import sqlite3
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def read_frame(db: sqlite3.Connection, sql: str, values: Sequence[Any] = ()) -> pd.DataFrame:
    """The rows of a query; the columns are there even when no row is."""
    cursor = db.execute(sql, values)
    return pd.DataFrame.from_records(cursor.fetchall(), columns=[column[0] for column in cursor.description])


def read_numbers(db: sqlite3.Connection, sql: str, values: Sequence[Any] = ()) -> NDArray[np.float64]:
    """The rows of a query of numbers as `(n_columns, n)` float64, NULL as nan: twice as fast as column by column."""
    cursor = db.execute(sql, values)
    return np.array(cursor.fetchall(), dtype=np.float64).reshape(-1, len(cursor.description)).T
