"""A new run: data, model and method in a form, and beside it the recipe that it writes, what it takes, and a start."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import streamlit as st

from dashboard import queries, source, work_queries
from dashboard.commands import check_recipe, task_named
from dashboard.formats import escape
from dashboard.parts import data_choice
from dashboard.parts.data_choice import DataChoice
from dashboard.parts.header import freshness_line
from dashboard.parts.job_card import job_card
from dashboard.parts.queue_panel import queue_panel
from dashboard.parts.recipe_panel import recipe_panel
from dashboard.recipe_form import (
    METHODS,
    SETTINGS,
    Form,
    beyond_defaults,
    default_text,
    free_name,
    kept_of,
    settings_of,
)
from dashboard.tasks import CLASSIFICATION, Task
from store import Run, RunAmbiguous, RunNotFound

BUILTIN, FOLDER, HUB = "Built-in MiniLM", "A folder", "A hub model"
METHOD_WORDS = {
    "head": "Only a linear layer on the frozen model: the fastest by far.",
    "lora": "Low-rank adapters in all layers: checkpoints of a few MB.",
    "top-layers": "The last layers and the classification layer.",
    "full": "All weights: the most to learn with, and to store.",
    "qlora": "Low-rank adapters on a base in four bits: for models that hardly fit.",
}
LABELS = {
    "training.epochs": "Epochs",
    "training.learning_rate": "Learning rate",
    "training.batch_size": "Batch size",
    "model.max_length": "Max. tokens",
    "training.seed": "Seed",
}


def render() -> None:
    """Form on the left; recipe, estimate and start on the right; the queue below."""
    here = source.current()
    cloned = _clone_if_asked(here)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        title = f"New run, from {cloned.name}" if cloned else "New run"
        st.subheader(escape(title), anchor=False, width="content")
        st.space("stretch")
        freshness_line(here)
    if st.query_params.get("job"):
        job_card(st.query_params["job"])
    left, right = st.columns([3, 2], gap="large")
    with left:
        form, data = _form(here)
    with right:
        recipe_panel(here, form, data)
    if len(work_queries.jobs(here, 1)):
        with st.expander("Queue", icon=":material/list:"):
            _queue()


@st.fragment(run_every=3.0)
def _queue() -> None:
    queue_panel(source.current())


def _form(here: source.Source) -> tuple[Form | None, DataChoice | None]:
    st.markdown("###### 1 · Data")
    length = st.session_state.get("new-model.max_length") or ""
    data = data_choice.data_choice(here, max_length=int(length) if length.isdigit() else None)
    task = data.task if data else task_named(st.session_state.get("new-task"))
    st.markdown("###### 2 · Model and method")
    left, right = st.columns(2)
    with left:
        base = _base(task)
    with right:
        offered = _offered(task)
        method = (
            st.segmented_control("Method", offered, key="new-method", persist_state="session", required=True)
            or offered[0]
        )
        st.caption(METHOD_WORDS.get(method, "As in the run that this one is made from."))
    st.markdown("###### 3 · Settings")
    typed = _settings(_defaults(method, task), data.settings if data else {})
    taken = _names(here)
    default_name = free_name(f"{data.name if data else 'run'}-{method}", taken)
    name = (
        st.text_input("Name", key="new-name", persist_state="session", placeholder=default_name, width=420).strip()
        or default_name
    )
    if data is None or base is None:
        return None, data
    kept = st.session_state.get("new-kept", {})
    form = Form(
        name, data.source, data.columns, data.task, data.dataset_name, data.drops_empty, data.metadata, base, method,
        typed, kept,
    )  # fmt: skip
    return form, data


def _offered(task: Task) -> list[str]:
    """The methods that can train a task, and that of a run that is cloned; one of them is chosen."""
    cloned = st.session_state.get("new-cloned-method")
    offered = [name for name in METHODS if name in task.methods] or [*METHODS]
    offered += [cloned] if cloned and cloned not in offered else []
    if st.session_state.get("new-method") not in offered:
        st.session_state["new-method"] = offered[0]
    return offered


def _base(task: Task) -> str | None:
    """The built-in model only for tasks that it can do; else one of the hub that can is what an empty field means."""
    is_builtin = task.base == CLASSIFICATION.base
    kinds = (BUILTIN, FOLDER, HUB) if is_builtin else (HUB, FOLDER)
    if st.session_state.get("new-base-kind") not in kinds:
        st.session_state["new-base-kind"] = kinds[0]
    kind = st.segmented_control("Model", kinds, key="new-base-kind", persist_state="session", required=True)
    if kind in (None, BUILTIN):
        return task.base
    usual = "distilbert/distilbert-base-uncased" if is_builtin else task.base
    place = "/path/to/model" if kind == FOLDER else usual
    typed = st.text_input(
        "Model name", key="new-base", persist_state="session", placeholder=place, label_visibility="collapsed"
    ).strip()
    if not typed and kind == HUB and not is_builtin:
        st.caption(f"{escape(task.base)} unless you name another; it is loaded from the hub when training starts.")
        return task.base
    if not typed:
        st.caption("A folder with config.json and .safetensors files." if kind == FOLDER else "As the hub names it.")
        return None
    return str(Path(typed).expanduser().absolute()) if kind == FOLDER else typed


def _defaults(method: str, task: Task = CLASSIFICATION) -> Mapping[str, Any]:
    """The resolved recipe of a method and a task with nothing else said."""
    return check_recipe(default_text(task, method)).resolved or {}


def _settings(defaults: Mapping[str, Any], fitting: Mapping[str, str]) -> dict[str, str]:
    """A field for each plain setting; empty means what fits the data, else the default: it shows which."""
    written = settings_of(defaults)
    typed = {}
    columns = st.columns(len(SETTINGS), vertical_alignment="bottom")
    for column, (path, label) in zip(columns, LABELS.items(), strict=True):
        with column:
            default = f"{written[path]} by default" if path in written else ""
            shown = f"{fitting[path]} for these data" if path in fitting else default
            given = st.text_input(label, key=f"new-{path}", persist_state="session", placeholder=shown)
            typed[path] = given if given.strip() else fitting.get(path, "")
    return typed


def _names(here: source.Source) -> set[str]:
    page = queries.runs_page(here, {}, sort="created_at", limit=200, offset=0)
    return set(page["name"])


# clone and change --------------------------------------------------------------------------------------------------


def _clone_if_asked(here: source.Source) -> Run | None:
    """Fill the form from the run that `?clone=ID` names, once; returns that run."""
    asked = st.query_params.get("clone")
    if not asked:
        if st.session_state.pop("new-cloned", None):  # an empty form again
            for key in [key for key in st.session_state if str(key).startswith("new-")]:
                del st.session_state[key]
        return None
    try:
        run = queries.run(here, asked)
    except (RunNotFound, RunAmbiguous) as error:
        st.warning(escape(str(error)), icon=":material/search_off:")
        return None
    if not run.recipe:
        st.info(f"{escape(run.name)} was made by a script without a recipe: there is nothing to take over.")
        return None
    provenance: Mapping[str, Any] = run.provenance or {}
    if merge := provenance.get("merge"):
        parents = ", ".join(escape(str(parent["name"])) for parent in merge["parents"])
        st.info(
            f"{escape(run.name)} was merged, not trained: `runner merge` makes such a run. "
            f"What can be taken over is what it was made of: {parents}."
        )
        return None
    if st.session_state.get("new-cloned") != run.id:
        _fill(here, run, run.recipe)
        st.session_state["new-cloned"] = run.id
    return run


def _fill(here: source.Source, run: Run, recipe: Mapping[str, Any]) -> None:
    state = st.session_state
    model, data = recipe.get("model") or {}, recipe.get("data") or {}
    base, method = str(model.get("base") or "builtin:minilm"), str(model.get("method") or "full")
    state["new-method"] = state["new-cloned-method"] = method
    state["new-base-kind"] = BUILTIN if base == "builtin:minilm" else FOLDER if base.startswith("/") else HUB
    state["new-base"] = "" if base == "builtin:minilm" else base
    state["new-name"] = free_name(run.name, {*_names(here), run.name})
    task = task_named(recipe.get("task"))
    own = beyond_defaults(recipe, _defaults(method, task))
    for path in SETTINGS:
        state[f"new-{path}"] = settings_of(own).get(path, "")
    state["new-kept"] = kept_of(own)
    if run.dataset_key is not None:  # the very same rows, even where the file is gone
        state["new-kind"], state["new-stored-task"] = data_choice.STORED, task.name
        state["new-dataset"] = str(queries.dataset(here.path, run.dataset_key))
        state["new-kept"].pop("data", None)
    elif isinstance(source_ := data.get("source"), str):
        columns = {name: column for name, column in (data.get("columns") or {}).items() if column}
        state["new-kind"], state["new-path"] = data_choice.FILE, source_
        state["new-asked"] = (str(recipe.get("task") or CLASSIFICATION.name), columns)
        state.pop("new-columns-of", None)  # also where the form had that file before
        state.pop("new-kept-of", None)
        state["new-metadata-asked"] = list(data.get("metadata") or ())


if __name__ == "__main__":
    render()
