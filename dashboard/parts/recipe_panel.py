"""The recipe that the New run page writes: its text, what is wrong with it, what it will take, and the start."""

from pathlib import Path

import streamlit as st

from dashboard import work_queries
from dashboard.commands import RecipeCheck, check_recipe
from dashboard.differences import flatten
from dashboard.formats import count, duration, escape, size
from dashboard.parts.data_choice import DataChoice
from dashboard.parts.sweep_actions import MAX_ATTEMPTS
from dashboard.recipe_form import Form, recipe_text
from dashboard.source import Source
from dashboard.writing import write
from store import Job, job_device, queue_job

_PROCESS_BYTES = 0.7e9
"""About what Python and the training libraries take before a model is loaded, on a machine without a GPU."""


def recipe_panel(here: Source, form: Form | None, data: DataChoice | None) -> None:
    """The recipe, what is wrong with it or what it takes, and the start."""
    st.markdown("###### The recipe")
    if form is None:
        st.info("Choose data and a model; the recipe appears here as you do.", icon=":material/description:")
        return
    text = recipe_text(form)
    st.code(text, language="toml", wrap_lines=True)
    if kept := st.session_state.get("new-kept"):
        paths = ", ".join(path for path, _ in flatten(kept))
        st.caption(escape(f"Taken over beyond the form: {paths}"))
    check = check_recipe(text, data.longest if data else None)
    for problem in check.problems:
        where = f"{problem['path']} = {problem['value']}: " if problem["value"] else f"{problem['path']}: "
        hint = f"; {problem['hint']}" if problem["hint"] else ""
        st.warning(escape(f"{where if problem['path'] else ''}{problem['message']}{hint}"), icon=":material/error:")
    if check.no_answer:
        st.button("Ask again", icon=":material/refresh:", key="check-again", help="The recipe is checked once more.")
    if check.resolved is not None:
        for line in estimates(here, form, data, check):
            st.markdown(line)
    with st.container(horizontal=True, gap="small"):
        is_started = st.session_state.get("started") == text
        # No callback: it would start what the page showed when the button was drawn, and the form may have changed.
        if st.button(
            "Started" if is_started else "Start", type="primary", icon=":material/play_arrow:", key="start",
            disabled=check.resolved is None or is_started, shortcut="Mod+Enter",
            help="Puts the run into the queue; a worker trains it. This page may be closed.",
        ):  # fmt: skip
            _start(here.path, form.name, text, check)
        st.download_button("Save the recipe", text, f"{form.name}.toml", icon=":material/download:", on_click="ignore")


def estimates(here: Source, form: Form, data: DataChoice | None, check: RecipeCheck) -> list[str]:
    """Memory and time as lines of markdown; what is not known is said with its reason."""
    return [_memory(check), _time(here, form, data, check)]


def _memory(check: RecipeCheck) -> str:
    memory = check.memory or {}
    parts = memory.get("bytes")
    if parts is None:
        return f":material/memory: Memory: not known, {escape(str(memory.get('reason') or 'no answer'))}."
    is_on_gpu = memory.get("device") == "gpu"
    least, most = (parts[name] + (0 if is_on_gpu else _PROCESS_BYTES) for name in ("total", "most"))
    available = memory.get("available_bytes")
    where = "the GPU's" if is_on_gpu else "free here"
    text = f"about {size(least)}" if most < 1.05 * least else f"{size(least)} to {size(most)}"
    text = f"Memory: {text}" + (f", of {size(available)} {where}" if available else "")
    shares = ", ".join(f"{name} {size(parts[name])}" for name in ("weights", "gradients", "optimizer", "activations"))
    line = f":material/memory: {escape(text)} :gray[{escape(f'({shares})')}]"
    if available and most > 0.95 * available:
        fits = "may not fit" if least < 0.95 * available else "does not fit"
        line += f"  \n:orange[:material/warning: That {fits}. A smaller batch, shorter texts or method head take less.]"
    return line


def _time(here: Source, form: Form, data: DataChoice | None, check: RecipeCheck) -> str:
    training = (check.resolved or {}).get("training") or {}
    speed = work_queries.speed(here, form.base, form.method)
    if data is None or data.n_train is None:
        return ":material/schedule: Time: not known before the data are counted."
    if speed is None:
        said = f"Time: not known; no run of {form.method} on {form.base} has been measured in this store yet."
        return f":material/schedule: {escape(said)}"
    n = data.n_train * (training.get("epochs") or 1)
    if training.get("max_steps"):
        n = training["max_steps"] * training.get("batch_size", 1)
    runs = f"{speed.n_runs} earlier {'run' if speed.n_runs == 1 else 'runs'}"
    said = f"Time: about {duration(n / speed.examples_per_second)} of training"
    why = f"({count(n)} examples at {count(speed.examples_per_second)} a second, as in {runs})"
    return f":material/schedule: {escape(said)} :gray[{escape(why)}]"


def _start(path: str, name: str, text: str, check: RecipeCheck) -> None:
    device = ((check.resolved or {}).get("training") or {}).get("device", "auto")
    arguments = {"recipe_text": text, "resolved": check.resolved, "folder": str(Path(path).parent)}
    job: Job | None = write(
        path,
        lambda store: queue_job(store, "train", name, arguments, device=job_device(device), max_attempts=MAX_ATTEMPTS),
    )
    if job is not None:
        st.session_state["started"] = text
        st.query_params["job"] = job.id
    st.rerun()
