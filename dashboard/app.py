"""The dashboard's entry: `streamlit run dashboard/app.py -- --store FILE`, or `runner dashboard`."""

from pathlib import Path

import streamlit as st

from dashboard import address, source
from dashboard.parts.notices import guarded
from dashboard.ticks import drop_stale_ticks
from dashboard.writing import say_notes

VIEWS = Path(__file__).parent / "views"
ASSETS = Path(__file__).parent / "assets"

drop_stale_ticks()
st.set_page_config(page_title="Assay", page_icon=str(ASSETS / "icon.svg"), layout="wide")
st.logo(ASSETS / f"assay-{'dark' if st.context.theme.type == 'dark' else 'light'}.svg", size="medium")
page = st.navigation(
    [
        st.Page(VIEWS / "runs.py", title="Runs", url_path="runs", default=True),
        st.Page(VIEWS / "run.py", title="Run", url_path="run", visibility="hidden"),
        st.Page(VIEWS / "compare.py", title="Compare", url_path="compare"),
        st.Page(VIEWS / "triage.py", title="Triage", url_path="triage"),
        st.Page(VIEWS / "sweeps.py", title="Sweeps", url_path="sweeps"),
        st.Page(VIEWS / "sweep.py", title="Sweep", url_path="sweep", visibility="hidden"),
        st.Page(VIEWS / "new_run.py", title="New run", url_path="new_run"),
        st.Page(VIEWS / "jobs.py", title="Queue", url_path="jobs"),
    ],
    position="top",
)
st.html(ASSETS / "style.css")
say_notes()
address.begin(page.url_path)
with guarded(source.store_path()):
    page.run()
address.end()
