"""The map: what lies together is alike; a lasso or a box makes a queue of what is in it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import streamlit as st

from dashboard import queries
from dashboard.charts.data_map import map_option
from dashboard.charts.palette import COLOURS, ink
from dashboard.formats import count, escape, short
from dashboard.parts.choices import tabs
from dashboard.triage import reads
from dashboard.triage.asked import ask, keep_lasso
from dashboard.triage.layout import BANDS, MOST_MARKS, commonest, drawn, inside, risk_bands
from dashboard.triage.reads import Desk
from evals.triage.phrases import title
from store import QueueFilter

BY = ("label", "risk", "finding", "split")
_RISK_COLOURS = ("#8C8C8C", "#7CC4EE", "#E69F00", "#D55E00")
PIXELS = 540


def data_map(desk: Desk, filters: QueueFilter) -> None:
    """Draw it, coloured by what is chosen."""
    named = reads.columns(desk.path, desk.triage.key)
    splits = named[named["name"] == "map"]["split"].tolist()
    if not splits:
        st.info(
            "There is no map: it is made from the embeddings that a run records. Triage a run of this data set.",
            icon=":material/scatter_plot:",
        )  # fmt: skip
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.caption("Coloured by", width="content")
        by = tabs("Colour", BY, key="colour")
        above = st.container(horizontal=True, vertical_alignment="center", gap="small", width="stretch")
    shown = _marks(desk, splits, filters, by)
    is_dark = st.context.theme.type == "dark"
    option = map_option(shown, colours_of(shown["group"].tolist(), by), ink=ink(is_dark))
    event: Any = st.echarts_chart(
        option, height=PIXELS, on_select="rerun", key=f"triage-map-{desk.triage.key}-{by}",
        alt="A map of the examples; what lies together is alike",
    )  # fmt: skip
    areas = event["selection"]["areas"] if event and event.get("selection") else []
    with above:
        if areas:
            _brushed(desk, splits, areas)
        else:
            total = sum(desk.dataset.n_rows[split] for split in splits)
            drawn_of = f"{count(len(shown))} of {count(total)}, the riskiest and a spread of the rest"
            which = "all" if len(shown) == total else drawn_of
            st.caption(escape(f"Drawn: {which}. The lasso and the box make a queue."), width="content")


def colours_of(groups: Sequence[str], by: str) -> dict[str, str]:
    """The groups that have a colour: all bands of risk, else the commonest, the most first.

    >>> list(colours_of(["b", "a", "b"], "label")), len(colours_of([], "risk"))
    (['b', 'a'], 4)
    """
    if by == "risk":
        return dict(zip(BANDS, _RISK_COLOURS, strict=True))
    return dict(zip(commonest(groups), COLOURS, strict=False))


def _brushed(desk: Desk, splits: Sequence[str], areas: Sequence[Any]) -> None:
    """What is in the lasso, of all examples and not of those drawn alone."""
    places = []
    for split in splits:
        xy = _xy(desk, split)
        places += [(split, int(position)) for position in np.flatnonzero(inside(xy, areas))]
    st.markdown(f"**{count(len(places))}** examples in it", width="content")
    st.button(
        "Look at them", type="primary", key="map-queue", disabled=not places, on_click=_to_queue,
        args=(places, "Queue"),
    )  # fmt: skip
    st.button("As a table", key="map-table", disabled=not places, on_click=_to_queue, args=(places, "Table"))


def _to_queue(places: list[tuple[str, int]], view: str) -> None:
    keep_lasso(places)
    ask(view=view, state="all")


def _xy(desk: Desk, split: str) -> npt.NDArray[np.float64]:
    found = reads.column(desk.path, desk.triage.key, split, "map")
    assert found is not None, "only splits with a map are asked for"
    return np.asarray(found, dtype=np.float64)


def _marks(desk: Desk, splits: Sequence[str], filters: QueueFilter, by: str) -> pd.DataFrame:
    """Columns x, y, group, text, label, split, position; what the queue's filters leave."""
    total = sum(desk.dataset.n_rows[split] for split in splits)
    # decided or not, an example stays on the map, and so do those of which nothing was found
    allowed = reads.allowed(desk, replace(filters, decided=None, skipped=None))
    parts = []
    for split in splits:
        xy = _xy(desk, split).copy()
        if allowed is not None:
            mask = np.zeros(len(xy), dtype=bool)
            mask[allowed.get(split, np.zeros(0, dtype=np.int64))] = True
            xy[~mask] = np.nan
        risk = reads.column(desk.path, desk.triage.key, split, "risk")
        sampled = reads.column(desk.path, desk.triage.key, split, "map_sampled")
        most = max(200, round(MOST_MARKS * len(xy) / total))
        at = drawn(xy, risk, sampled, most=most)
        targets = queries.targets(desk.path, desk.dataset.key, split)[at]
        names = desk.label_names
        labels = [names[i] if 0 <= i < len(names) else "no label" for i in targets]
        parts.append(
            pd.DataFrame(
                {
                    "x": xy[at, 0], "y": xy[at, 1], "label": labels, "split": split, "position": at,
                    "risk": np.full(len(at), np.nan) if risk is None else risk[at],
                }
            )
        )  # fmt: skip
    frame = pd.concat(parts, ignore_index=True)
    frame["text"] = _texts(desk, frame)
    if by == "risk":
        frame["group"] = risk_bands(frame["risk"].to_numpy(dtype=np.float64))
    elif by == "finding":
        frame["group"] = _finding_groups(desk, frame)
    else:
        frame["group"] = frame[by]
    return frame


def _texts(desk: Desk, frame: pd.DataFrame) -> list[str]:
    texts = reads.texts_at(desk.path, desk.dataset.key, tuple(zip(frame["split"], frame["position"], strict=True)))
    return [short(text, 140) for text in texts]


def _finding_groups(desk: Desk, frame: pd.DataFrame) -> list[str]:
    kinds = reads.leading_kinds(desk.path, desk.triage.key)
    found = [kinds.get((split, int(at))) for split, at in zip(frame["split"], frame["position"], strict=True)]
    return [title(kind) if kind else "nothing found" for kind in found]
