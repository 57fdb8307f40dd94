"""What the run printed, and what happened to it."""

import pandas as pd
import streamlit as st

from dashboard import queries
from dashboard.formats import size
from dashboard.source import Source
from store import Run

TAIL_CHARACTERS = 20_000
MOST_CHARACTERS = 2_000_000  # more than this makes a browser crawl; the rest is a download away


def render(source: Source, run: Run) -> None:
    """Events on top, the end of the console log below, all of it on demand."""
    events = queries.events(source.path, run.key, run.version)
    if len(events):
        st.markdown("###### Events")
        st.dataframe(
            pd.DataFrame(
                {
                    "at": pd.to_datetime(events["at"], unit="s", utc=True),
                    "kind": events["kind"],
                    "message": events["message"],
                }
            ),
            column_config={
                "at": st.column_config.DatetimeColumn("at", format="YYYY-MM-DD HH:mm:ss", width=150),
                "kind": st.column_config.TextColumn("kind", width=110),
                "message": st.column_config.TextColumn("message", width="large"),
            },
            hide_index=True,
            height="content" if len(events) <= 10 else 380,
        )
    text = queries.log(source.path, run.key, run.version, TAIL_CHARACTERS)
    is_cut = len(text) >= TAIL_CHARACTERS
    whole = is_cut and st.toggle("The whole log", key="whole", bind="query-params")
    if whole:
        text = queries.log(source.path, run.key, run.version, MOST_CHARACTERS)
    if not text:
        st.info("Nothing was printed.", icon=":material/terminal:")
        return
    limit = MOST_CHARACTERS if whole else TAIL_CHARACTERS
    if len(text) >= limit:
        st.caption(f"The last {size(limit)}.")
    st.code(text, language=None, height=520 if text.count("\n") > 25 else "content", wrap_lines=True)
