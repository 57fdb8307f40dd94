"""From decisions to a version, from a version to a run, from a run to a proof."""

import re
from collections.abc import Mapping, Sequence

import pandas as pd
import streamlit as st

from dashboard import queries
from dashboard.address import put
from dashboard.commands import check_recipe, task_named
from dashboard.formats import count, escape
from dashboard.parts.job_card import LIVE, job_card, job_status
from dashboard.recipe_form import default_text, free_name
from dashboard.rows import tuples
from dashboard.source import Source
from dashboard.triage import reads
from dashboard.triage.author import ask_author, author
from dashboard.triage.proof import proof
from dashboard.triage.reads import Desk
from dashboard.triage.retraining import queue_retraining, retrain_text
from dashboard.writing import note, write
from store import Dataset, Job, Run, make_version


def versions(source: Source, desk: Desk, decided: pd.DataFrame) -> None:
    """Make a version; train on the newest; what came of it."""
    children = reads.children(source, desk.dataset.key)
    _make(desk, decided, children)
    if not children:
        return
    child = children[0]
    st.markdown(f"###### 2 · {escape(str(child))}")
    st.markdown(escape(made_words(child, desk.dataset)))
    if len(children) > 1:
        st.caption(escape(f"Earlier: {', '.join(str(each) for each in children[1:6])}"))
    _retrain(source, desk, child)
    proof(source, desk, children)


def made_words(child: Dataset, parent: Dataset) -> str:
    """What a version was made of, in a sentence.

    >>> from types import SimpleNamespace as D
    >>> print(made_words(D(source={"counts": {"relabel": 60, "drop": 1, "edit": 0}, "author": "ada"},
    ...     n_rows={"train": 99}), D(n_rows={"train": 100})))
    60 relabelled, 1 dropped, by ada: 99 of 100 examples.
    """
    words = {"relabel": "relabelled", "edit": "edited", "edit and relabel": "edited and relabelled", "drop": "dropped"}
    counts = child.source.get("counts")
    known = counts if isinstance(counts, dict) else {}
    parts = [f"{count(known[name])} {word}" for name, word in words.items() if known.get(name)]
    by = f", by {child.source['author']}" if child.source.get("author") else ""
    sizes = f"{count(sum(child.n_rows.values()))} of {count(sum(parent.n_rows.values()))} examples"
    return f"{', '.join(parts) or 'A version of its own'}{by}: {sizes}."


def is_in(child: Dataset, changes: Mapping[str, int], decided: pd.DataFrame) -> bool:
    """Whether a version was made of all that is decided now: nothing was decided since, and as much of each kind."""
    counts = child.source.get("counts")
    made = {name: n for name, n in counts.items() if n} if isinstance(counts, dict) else {}
    return made == {name: n for name, n in changes.items() if n} and bool((decided["at"] <= child.created_at).all())


def _make(desk: Desk, decided: pd.DataFrame, children: Sequence[Dataset]) -> None:
    changes = reads.n_changes(desk)
    n = sum(changes.values())
    st.markdown("###### 1 · Make a version")
    if not n:
        st.caption("Nothing decided so far changes anything. Examples that were kept stay as they are.")
        return
    if children and is_in(children[0], changes, decided):
        st.markdown(f":green[:material/check:] {escape(f'{children[0]} has all that is decided so far.')}")
        return
    disputed = int(decided["is_disputed"].astype(bool).sum())
    words = f"{count(n)} {'example changes' if n == 1 else 'examples change'}; {desk.dataset} stays as it is."
    st.caption(escape(f"{words} The new version remembers which decisions made it."))
    if author() is None:
        ask_author()
        return
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        st.text_input("Name", placeholder=desk.dataset.name, key="version-name", width=230)
        st.text_input("Note", placeholder="why (may be left out)", key="version-note", width=330)
        how = "refuse"
        if disputed:
            how = st.selectbox(
                f"{count(disputed)} disputed", ["newest", "leave"], key="version-disputed", width=200,
                format_func=lambda way: {"newest": "the newest decides", "leave": "stay as they are"}[way],
            )  # fmt: skip
        st.button(
            "Make version", type="primary", icon=":material/deployed_code:", key="make-version", on_click=_do_make,
            args=(desk, how),
        )  # fmt: skip


def _do_make(desk: Desk, disputed: str) -> None:
    name = (st.session_state.get("version-name") or "").strip() or None
    why = (st.session_state.get("version-note") or "").strip() or None
    made = write(
        desk.path,
        lambda store: make_version(
            store, desk.dataset, author=author() or "", name=name, note=why, disputed=disputed,  # type: ignore[arg-type]  # of a menu
        ),
    )  # fmt: skip
    if made is not None:
        note(f"Made {made}.")


def _retrain(source: Source, desk: Desk, child: Dataset) -> None:
    """Queue the recipe of one of the runs on this version, or copy the command."""
    job = st.query_params.get("job")
    if job:
        status = job_status(source, job)
        if status != "finished":  # what it made is the proof
            job_card(job)
        if status in LIVE:
            return
    candidates = reads.runs_on(source, str(desk.dataset))
    if candidates.empty:
        st.page_link("views/new_run.py", label="Train something on it", icon=":material/add:", width="content")
        return
    preferred = [run_id for run_id, _ in reads.run_sources(desk.triage)]
    ids = candidates["id"].tolist()
    ids = [*(run_id for run_id in preferred if run_id in ids), *(run_id for run_id in ids if run_id not in preferred)]
    names = {row.id: f"{row.name} · {row.method} · {row.id[-4:]}" for row in tuples(candidates)}
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        chosen = st.selectbox(
            "Train it as in", ids, format_func=lambda run_id: names[run_id], key="retrain-run", width=330
        )  # fmt: skip
        run = queries.run(source, chosen)
        name, text = _recipe(source, run, child)
        st.button(
            "Retrain", type="primary", icon=":material/model_training:", key="retrain", on_click=_do_retrain,
            args=(source.path, run, name, text),
        )  # fmt: skip
        with st.popover("By hand", icon=":material/terminal:", type="tertiary"):
            st.caption("The same recipe on the new version; save it and run it.")
            st.download_button("Save the recipe", text, f"{name}.toml", icon=":material/download:", on_click="ignore")
            st.code(f"runner train '{name}.toml' --store '{source.path}'", language="bash")


def name_on(run_name: str, dataset_name: str, version: int) -> str:
    """What a run is called that goes by another's recipe on a version: each part once.

    >>> name_on("mood-head", "mood", 2), name_on("mood-head-v2", "mood", 3), name_on("lora", "mood", 2)
    ('mood-head-v2', 'mood-head-v3', 'lora-mood-v2')
    """
    base = re.sub(r"-v\d+$", "", run_name)
    return f"{base}-v{version}" if dataset_name in base else f"{base}-{dataset_name}-v{version}"


def _recipe(source: Source, run: Run, child: Dataset) -> tuple[str, str]:
    """A free name, and the recipe's text."""
    method = str(((run.recipe or {}).get("model") or {}).get("method") or "head")  # type: ignore[attr-defined]  # JSON
    task = task_named(run.task)
    defaults = check_recipe(default_text(task, method)).resolved or {}
    page = queries.runs_page(source, {}, sort="created_at", limit=200, offset=0)
    name = free_name(name_on(run.name, child.name, child.version), set(page["name"]))
    return name, retrain_text(run, child, defaults, name, task)


def _do_retrain(path: str, run: Run, name: str, text: str) -> None:
    job: Job | None = write(path, lambda store: queue_retraining(store, run, name, text), "Queued.")
    if job is not None:
        put(job=job.id)
