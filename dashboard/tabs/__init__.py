"""The sections of the Run page; each has `render(source, run)` and only the open one is computed."""
