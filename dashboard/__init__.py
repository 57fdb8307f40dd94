"""Streamlit views over a store: controls → query → chart → action. No torch, no SQL, no runner."""
