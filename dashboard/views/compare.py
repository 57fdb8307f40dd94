"""Two to ten runs side by side: is one better, what differs, and which examples flipped."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from dashboard import queries, source
from dashboard.address import put
from dashboard.differences import PARTS, changes, differences, summary
from dashboard.formats import escape
from dashboard.pairing import Pairing, why_not
from dashboard.parts.changes_panel import changes_panel
from dashboard.parts.chips import labels, run_chips
from dashboard.parts.choices import tabs
from dashboard.parts.curve_panel import curve_panel
from dashboard.parts.example_card import example_card_if_asked
from dashboard.parts.flips_panel import flips_panel
from dashboard.parts.header import freshness_line
from dashboard.parts.notices import empty_state
from dashboard.parts.run_picker import MOST, asked_runs, run_picker
from dashboard.parts.values_panel import Meeting, values_panel, why_no_values
from dashboard.parts.verdict_panel import verdict_panel
from dashboard.responses import CLASS_TASKS
from store import Dataset, Run


def render() -> None:
    """`?runs=A,B,…` → a verdict → examples, curves or configuration."""
    here = source.current()
    runs, problems = asked_runs(here)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if runs:
            run_chips(runs, labels(runs))
        run_picker(here, runs)
        st.space("stretch")
        freshness_line(here)
    for problem in problems:
        st.warning(escape(problem), icon=":material/search_off:")
    if len(runs) < 2:
        _too_few(here, runs)
        return
    names = labels(runs)
    datasets = [_dataset(here, run) for run in runs]
    b = _other(runs, names)
    has_classes = runs[0].task in CLASS_TASKS and runs[b].task in CLASS_TASKS
    reason = why_not(runs[0], runs[b], datasets[0], datasets[b]) if has_classes else why_no_values(runs, datasets, b)
    found: Pairing | Meeting | None = None
    if reason is None and not has_classes:
        found = values_panel(here, runs, names, datasets, b)
    elif reason is None:
        found = verdict_panel(here, runs, names, datasets, b)
    else:
        st.info(escape(str(reason)), icon=":material/compare_arrows:")
    differing = differences(runs, [str(dataset) if dataset else None for dataset in datasets])
    said = changes(differing)
    st.markdown(
        f"**What differs**  {escape(said)}" + (" · " if said else "") + f":gray[{escape(summary(differing, runs))}]"
    )
    sections = ("Examples", "Curves", "Configuration") if found else ("Curves", "Configuration")
    chosen = tabs("Section", sections, key="section")
    if chosen == "Examples" and isinstance(found, Meeting):
        changes_panel(here, found, (names[0], names[b]))
    elif chosen == "Examples" and isinstance(found, Pairing) and datasets[0]:
        flips_panel(here, found, (names[0], names[b]), datasets[0].label_names or ())
    elif chosen == "Curves":
        curve_panel(here, runs)
    elif chosen == "Configuration":
        _configuration(differing, names)
    example_card_if_asked(here, [runs[0], runs[b], *(run for i, run in enumerate(runs) if i not in (0, b))])


def _dataset(here: source.Source, run: Run) -> Dataset | None:
    dataset: Dataset | None = queries.dataset(here.path, run.dataset_key) if run.dataset_key is not None else None
    return dataset


def _too_few(here: source.Source, runs: Sequence[Run]) -> None:
    if queries.counts(here).n_runs < 2:
        empty_state(
            "Nothing to compare yet",
            "A comparison needs two runs. The demo makes two of the same data.",
            "runner demo",
            "runner train recipes/NAME.toml",
        )
        return
    said = "Choose one more run to compare it with." if runs else f"Choose 2 to {MOST} runs; the first is the baseline."
    st.info(said, icon=":material/compare_arrows:")


def _other(runs: Sequence[Run], names: Sequence[str]) -> int:
    """Which run is held against the baseline: the only other, or the one chosen."""
    if len(runs) == 2:
        return 1
    ids = [run.id for run in runs[1:]]
    asked = st.query_params.get("b")
    if st.session_state.get("other") not in ids or asked in ids:
        st.session_state["other"] = asked if asked in ids else ids[0]

    def remember() -> None:
        put(b=st.session_state["other"])

    by_id = {run.id: name for run, name in zip(runs, names, strict=True)}
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"Compared with the baseline {escape(names[0])}:", width="content")
        chosen = st.selectbox(
            "Against", ids, key="other", format_func=lambda i: by_id.get(i, i), on_change=remember,
            label_visibility="collapsed", width=260,
        )  # fmt: skip
    return 1 + ids.index(chosen)


def _configuration(differing: pd.DataFrame, names: Sequence[str]) -> None:
    if differing.empty:
        st.info("Recipe, data, code, packages, seeds and machine are the same in all of these runs.")
        return
    # columns are called by number: a run may be named like another column
    titles: Any = {str(i): st.column_config.TextColumn(name) for i, name in enumerate(names)}
    for part in PARTS:
        rows = differing[differing["part"] == part].drop(columns="part")
        if len(rows):
            st.markdown(f"###### {part.capitalize()}")
            st.dataframe(
                rows.rename(columns=str), column_config=titles, hide_index=True,
                height="content" if len(rows) < 15 else 480, key=f"differs-{part}",
            )  # fmt: skip


if __name__ == "__main__":
    render()
