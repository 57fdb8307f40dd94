"""Measurements of what Assay promises: `python -m benchmarks.NAME [--small]` prints one table. See README.md here."""
