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
from dashboard.triage.worklist import by_split
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
        by = tabs("Colour", BY if desk.label_names else BY[1:], key="colour")
        above = st.container(horizontal=True, vertical_alignment="center", gap="small", width="stretch")
    # decided or not, an example stays on the map, and so do those of which nothing was found
    is_to_do = filters.decided is False
    fitting = reads.allowed(desk, replace(filters, decided=None, skipped=None) if is_to_do else filters)
    shown = _marks(desk, splits, fitting, by)
    is_dark = st.context.theme.type == "dark"
    option = map_option(shown, _colours(desk, splits, by), ink=ink(is_dark), extent=_extent(desk, splits))
    event: Any = st.echarts_chart(
        option, height=PIXELS, on_select="rerun", key=f"triage-map-{desk.triage.key}-{by}",
        alt="A map of the examples; what lies together is alike",
    )  # fmt: skip
    areas = event["selection"]["areas"] if event and event.get("selection") else []
    with above:
        if areas:
            _brushed(desk, splits, areas, fitting)
        else:
            total = sum(desk.dataset.n_rows[split] for split in splits)
            n = total if fitting is None else sum(len(fitting.get(split, ())) for split in splits)
            words = f"Drawn: {drawn_words(len(shown), n, total)}. The lasso and the box make a queue."
            st.caption(escape(words), width="content")


def drawn_words(n_drawn: int, n_fitting: int, total: int) -> str:
    """Which examples are drawn of those that fit the filters, of all that have a place on the map.

    >>> drawn_words(360, 360, 360), drawn_words(134, 134, 360)
    ('all', '134 that fit, of 360')
    >>> drawn_words(4000, 90_000, 120_000)
    '4,000 of 90,000 that fit, the riskiest and a spread of the rest'
    """
    if n_drawn < n_fitting:
        which = f"{count(n_drawn)} of {count(n_fitting)}{' that fit' if n_fitting < total else ''}"
        return f"{which}, the riskiest and a spread of the rest"
    return "all" if n_fitting == total else f"{count(n_fitting)} that fit, of {count(total)}"


def _colours(desk: Desk, splits: Sequence[str], by: str) -> dict[str, str]:
    """The groups that have a colour, whatever is drawn of them: all bands of risk, else the commonest, most first."""
    if by == "risk":
        return dict(zip(BANDS, _RISK_COLOURS, strict=True))
    if by == "finding":
        groups = [title(kind) for kind in reads.leading_kinds(desk.path, desk.triage.key).values()]
    elif by == "label":
        groups = [name for split in splits for name in _labels(desk, split)]
    else:
        groups = [split for split in splits for _ in range(desk.dataset.n_rows[split])]
    return dict(zip(commonest(groups), COLOURS, strict=False))


def _labels(desk: Desk, split: str) -> list[str]:
    names = desk.label_names
    return [
        names[i] if 0 <= i < len(names) else "no label" for i in queries.targets(desk.path, desk.dataset.key, split)
    ]


def _extent(desk: Desk, splits: Sequence[str]) -> tuple[float, float, float, float]:
    """The least and the most x, the least and the most y of the whole map: filters do not move what they leave."""
    xy = np.concatenate([_xy(desk, split) for split in splits])
    known = xy[~np.isnan(xy).any(axis=1)]
    (left, low), (right, high) = (known.min(axis=0), known.max(axis=0)) if len(known) else ((0, 0), (1, 1))
    return float(left), float(right), float(low), float(high)


def _brushed(desk: Desk, splits: Sequence[str], areas: Sequence[Any], fitting: reads.Fitting | None) -> None:
    """What is in the lasso, of all examples that fit the filters and not of those drawn alone."""
    places = []
    for split in splits:
        is_in = inside(_xy(desk, split), areas)
        if fitting is not None:
            mine = fitting.get(split, np.zeros(0, dtype=np.int64))
            is_in &= np.isin(np.arange(len(is_in)), mine)
        places += [(split, int(position)) for position in np.flatnonzero(is_in)]
    waiting = reads.n_waiting(desk, QueueFilter(positions=by_split(places))) if places else 0
    st.markdown(escape(brushed_words(len(places), waiting)), width="content")
    st.button(
        "Look at them", type="primary", key="map-queue", disabled=not places, on_click=_to_queue,
        args=(places, "Queue"),
    )  # fmt: skip
    st.button("As a table", key="map-table", disabled=not places, on_click=_to_queue, args=(places, "Table"))


def brushed_words(n: int, n_queue: int) -> str:
    """What is in the lasso: held-out examples of which nothing was found are on the map and in no queue.

    >>> brushed_words(156, 156), brushed_words(156, 134)
    ('156 examples in it', '156 examples in it; nothing was found of 22')
    """
    words = f"{count(n)} {'example' if n == 1 else 'examples'} in it"
    return words if n_queue == n else f"{words}; nothing was found of {count(n - n_queue)}"


def _to_queue(places: list[tuple[str, int]], view: str) -> None:
    keep_lasso(places)
    ask(view=view, state="all")


def _xy(desk: Desk, split: str) -> npt.NDArray[np.float64]:
    found = reads.column(desk.path, desk.triage.key, split, "map")
    assert found is not None, "only splits with a map are asked for"
    return np.asarray(found, dtype=np.float64)


def _marks(desk: Desk, splits: Sequence[str], allowed: reads.Fitting | None, by: str) -> pd.DataFrame:
    """Columns x, y, group, text, label, split, position; what the queue's filters leave."""
    total = sum(desk.dataset.n_rows[split] for split in splits)
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
        every = _labels(desk, split)
        labels = [every[i] for i in at]
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
