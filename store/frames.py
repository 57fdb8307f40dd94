"""Query results as data frames."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd


def read_frame(db: sqlite3.Connection, sql: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> pd.DataFrame:
    """The rows of a query; the columns are there even when no row is."""
    import pandas as pd  # here: the worker and the command line's start do without

    cursor = db.execute(sql, values)
    return pd.DataFrame.from_records(cursor.fetchall(), columns=[column[0] for column in cursor.description])


def read_numbers(db: sqlite3.Connection, sql: str, values: Sequence[Any] = ()) -> NDArray[np.float64]:
    """The rows of a query of numbers as `(n_columns, n)` float64, NULL as nan: twice as fast as column by column."""
    cursor = db.execute(sql, values)
    return np.array(cursor.fetchall(), dtype=np.float64).reshape(-1, len(cursor.description)).T
