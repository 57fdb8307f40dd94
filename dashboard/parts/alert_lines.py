"""What a run warns of, under its headline."""

import pandas as pd
import streamlit as st

from dashboard.formats import age, count, escape
from dashboard.rows import tuples

SHOWN = 3


def newest_of_each_kind(alerts: pd.DataFrame) -> pd.DataFrame:
    """The last alert of every kind, the newest first; columns as `store.list_alerts`."""
    return alerts.drop_duplicates("alert", keep="last").iloc[::-1]


def alert_badge(n_alerts: int) -> None:
    """How many there are, as a badge; nothing where there are none."""
    if n_alerts:
        text = f"⚠ {count(n_alerts)} {'alert' if n_alerts == 1 else 'alerts'}"
        st.badge(text, color="orange", width="content")


def alert_lines(alerts: pd.DataFrame, now: float) -> None:
    """The newest of each kind in words; the rest is in the run's log."""
    newest = newest_of_each_kind(alerts)
    for row in tuples(newest.head(SHOWN)):
        st.markdown(f":orange[:material/warning: {escape(row.message)}] :gray[· {escape(age(row.at, now))}]")
    if len(alerts) > min(len(newest), SHOWN):
        st.caption(f"All {count(len(alerts))} alerts are among the events under Log.")
