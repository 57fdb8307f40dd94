"""The dashboard's entry: `streamlit run dashboard/app.py -- --store FILE`, or `runner dashboard`."""

from pathlib import Path

import streamlit as st

from dashboard import source
from dashboard.parts.notices import guarded

VIEWS = Path(__file__).parent / "views"
ASSETS = Path(__file__).parent / "assets"

st.set_page_config(page_title="Assay", page_icon=str(ASSETS / "icon.svg"), layout="wide")
st.logo(ASSETS / f"assay-{'dark' if st.context.theme.type == 'dark' else 'light'}.svg", size="medium")
page = st.navigation(
    [
        st.Page(VIEWS / "runs.py", title="Runs", url_path="runs", default=True),
        st.Page(VIEWS / "run.py", title="Run", url_path="run", visibility="hidden"),
        st.Page(VIEWS / "compare.py", title="Compare", url_path="compare"),
    ],
    position="top",
)
st.html(ASSETS / "style.css")
with guarded(source.store_path()):
    page.run()
