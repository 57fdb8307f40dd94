"""The line under the navigation: which store, how many runs, how fresh."""

import time

import streamlit as st

from dashboard import queries
from dashboard.formats import age, count, escape, size
from dashboard.source import Source
from store import SpoolStatus
from store.leases import QUIET_SECONDS


def freshness_text(counts: queries.Counts, store_name: str, now: float, spooled: SpoolStatus | None = None) -> str:
    """Markdown: the store, its runs, and whether anything waits to be written, in memory or on disk, or was lost."""
    said = [f"**{escape(store_name)}**", f"{count(counts.n_runs)} {'run' if counts.n_runs == 1 else 'runs'}"]
    if counts.n_live:
        said.append(f":blue[●] {counts.n_live} live, heartbeat {age(counts.oldest_heartbeat_at, now)}")
        said.append(f"{count(counts.rows_pending)} rows pending")
        if counts.oldest_heartbeat_at is not None and now - counts.oldest_heartbeat_at > QUIET_SECONDS:
            said.append(":orange[a run has written nothing since: what it records waits in its memory or on disk]")
    if spooled is not None and spooled.files:
        said.append(f":orange[{count(spooled.rows_pending)} rows ({size(spooled.size_bytes)}) wait on disk]")
    if counts.rows_lost:
        said.append(f":orange[✕ {count(counts.rows_lost)} rows lost]")
    return " · ".join(said)


def freshness_line(source: Source) -> None:
    """Draw it, right-aligned."""
    said = freshness_text(queries.counts(source), source.name, time.time(), queries.spooled(source.path))
    st.caption(said, text_alignment="right")
