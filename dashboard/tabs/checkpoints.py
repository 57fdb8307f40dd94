"""The saved models: where they are, how good, and whether they still exist."""

import pandas as pd
import streamlit as st

from dashboard import queries
from dashboard.formats import UNKNOWN, size
from dashboard.sentences import metric_title
from dashboard.source import Source
from store import Checkpoint, Run


def render(source: Source, run: Run) -> None:
    """One row a checkpoint."""
    saved = queries.checkpoints(source.path, run.key, run.version)
    if not saved:
        st.info("This run saved no checkpoint.", icon=":material/save:")
        return
    scores = queries.scores(source.path, run.key, run.version)
    kept = [c for c in saved if c.deleted_at is None]
    st.caption(f"{len(kept)} of {len(saved)} are on disk, {size(sum(c.size_bytes for c in kept))} together.")
    table = checkpoint_table(saved, scores)
    numbers = {name: st.column_config.NumberColumn(name, format="%.3f") for name in table.columns if name not in _TEXT}
    st.dataframe(
        table,
        column_config={
            "step": st.column_config.NumberColumn("step", format="%,d", width=70),
            "epoch": st.column_config.NumberColumn("epoch", format="%g", width=64),
            "size": st.column_config.NumberColumn("size", format="bytes", width=84),
            "saved": st.column_config.DatetimeColumn("saved", format="distance", width=120),
            "sha256": st.column_config.TextColumn("sha256", width=130),
            **numbers,
        },
        hide_index=True,
        height="content",
        placeholder=UNKNOWN,
    )
    if kept:
        store = f"--store '{source.path}'"
        st.caption("What the best of them says of texts, or of a split of the run's data:")
        st.code(
            f"runner predict {run.id} texts.csv --out answers.csv {store}\n"
            f"runner predict {run.id} --split test --out answers.csv {store}",
            language="bash",
        )


_TEXT = ("", "step", "epoch", "size", "files", "saved", "sha256", "path")


def checkpoint_table(saved: list[Checkpoint], scores: pd.DataFrame) -> pd.DataFrame:
    """A row a checkpoint: best or not, step, epoch, validation scores, size, whether the files exist, hash, path."""
    validation = scores[scores["split"] == "validation"]
    by_step = validation.pivot_table(index="step", columns="metric", values="value", aggfunc="last")
    table = pd.DataFrame(
        {
            "": ["★ best" if c.is_best else "" for c in saved],
            "step": [c.step for c in saved],
            "epoch": [c.epoch for c in saved],
        }
    )
    for metric in by_step.columns:
        table[metric_title(str(metric))] = by_step[metric].reindex([c.step for c in saved]).to_numpy()
    return table.assign(
        size=[c.size_bytes for c in saved],
        files=["✓ on disk" if c.deleted_at is None else "✕ removed" for c in saved],
        saved=pd.to_datetime([c.created_at for c in saved], unit="s", utc=True),
        sha256=[c.sha256[:16] for c in saved],
        path=[c.path for c in saved],
    )
