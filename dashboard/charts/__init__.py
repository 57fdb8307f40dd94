"""Pure functions `frame → alt.Chart` that check their columns (Altair draws an empty chart for a missing one)."""
