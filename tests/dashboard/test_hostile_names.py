"""Names, labels, splits, metrics and causes may be anything: no page takes them for markdown or HTML."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor
from streamlit.testing.v1 import AppTest

from dashboard.views.run import TABS
from dashboard.views.sweep import SECTIONS
from store import get_dataset, list_runs, list_sweeps, open_readonly, open_store, queue_job, read_rows
from tests.dashboard.conftest import Show, copied
from tests.dashboard.sweeps import MACRO_F1, SECONDS, make_sweep

MARKS = ("**M**", "<b>M</b>", ":red[M]")
NAME = " ".join(MARKS)
JSON_NAME = json.dumps(NAME)[1:-1]
SPLIT = f"test {NAME}"

# Fields of messages to the browser that it draws as markdown; Code and the options of menus are drawn as they are.
DRAWN = {"body", "label", "help", "caption", "content", "text"}
NOT_DRAWN = {"Code", "Text"}


@pytest.fixture(scope="module")
def hostile_store(built_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The believable store with two sweeps and three jobs, in which nothing has a name that is only a name."""
    path = copied(built_store, tmp_path_factory.mktemp("hostile") / "demo.db")
    store = open_store(path)
    make_sweep(store, n=12, objectives=(MACRO_F1, SECONDS), dataset=get_dataset(store, "tweets"))
    make_sweep(store, "stopped", n=3, wanted=5, ends="killed")
    for status in ("queued", "failed", "running"):
        queue_job(store, "train", "job", {"recipe": 'name = "job"', "recipe_device": "cpu"})
        with store.write() as db:
            db.execute("UPDATE jobs SET status = ?, cause = 'why' WHERE status = 'queued'", (status,))
    with store.write() as db:
        for table, columns in {
            "runs": ("name", "cause", "note", "base_model", "method", "task", "select_metric", "recipe_text"),
            "datasets": ("name",),
            "metric_keys": ("name",),
            "run_events": ("message",),
            "checkpoints": ("path",),
            "jobs": ("name", "cause"),
            "sweeps": ("name", "cause", "recipe_text"),
            "trials": ("cause",),
        }.items():
            for column in columns:
                db.execute(f"UPDATE {table} SET {column} = {column} || ' ' || ?", (NAME,))
        for table, column, word in (
            ("runs", "tags", "seed"),
            ("runs", "recipe", "linear"),
            ("runs", "provenance", "Linux"),
            ("datasets", "label_names", "neutral"),
            ("datasets", "n_rows", "test"),
            ("sweeps", "objectives", "macro_f1"),
            ("sweeps", "recipe", "tpe"),
            ("trials", "parameters", "lora"),
        ):
            db.execute(f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (word, f"{word} {JSON_NAME}"))
        for table in ("dataset_rows", "evaluations"):
            db.execute(f"UPDATE {table} SET split = ? WHERE split = 'test'", (SPLIT,))
    store.close()
    return path


def drawn(app: AppTest) -> Iterator[tuple[str, str]]:
    """(kind of element and field, text) of all that the browser would draw as markdown or HTML."""
    waiting: list[Any] = [app._tree]
    while waiting:
        node = waiting.pop()
        waiting += getattr(node, "children", {}).values()
        if (proto := getattr(node, "proto", None)) is not None:
            yield from _texts(proto)


def _texts(message: Any) -> Iterator[tuple[str, str]]:
    kind = message.DESCRIPTOR.name
    if kind in NOT_DRAWN:
        return
    for field, value in message.ListFields():
        values = value if field.is_repeated else [value]
        if field.type == FieldDescriptor.TYPE_MESSAGE and not field.message_type.GetOptions().map_entry:
            for each in values:
                yield from _texts(each)
        elif field.name == "columns" and isinstance(value, str):  # of a table: how its columns are explained
            for column, config in (json.loads(value) if value else {}).items():
                yield f"help of column {column}", str(config.get("help") or "")
        elif field.name in DRAWN or (kind == "Radio" and field.name == "options"):
            for each in values:
                yield f"{kind}.{field.name}", str(each)


def pages(path: Path) -> dict[str, dict[str, str]]:
    """What is opened: title → parameters of the URL, and the view."""
    store = open_readonly(path)
    runs = {row.name.removesuffix(f" {NAME}"): row.id for row in list_runs(store, limit=100).itertuples()}
    sweeps = {row.name.removesuffix(f" {NAME}"): row.id for row in list_sweeps(store).itertuples()}
    example = read_rows(store, get_dataset(store, f"tweets {NAME}"), SPLIT).iloc[9]["example_id"]
    store.close()
    two = f"{runs['tweet-head']},{runs['<b>bold</b> **run** $x$']}"
    return {
        **{f"{tab} of {name}": {"view": "run", "run": runs[name], "tab": tab}
           for name in ("tweet-head", "tweet-full-lr1e-2", "my-script") for tab in TABS if tab != "Flight"},
        **{f"{section} of {name}": {"view": "sweep", "sweep": sweeps[name], "section": section}
           for name in ("tweets-search", "stopped") for section in SECTIONS},
        **{f"two: {section}": {"view": "compare", "runs": two, "section": section, "split": SPLIT}
           for section in ("Examples", "Curves", "Configuration")},
        "differ": {"view": "compare", "runs": two, "section": "Examples", "kind": "differ"},
        "not to be compared": {"view": "compare", "runs": f"{runs['tweet-head']},{runs['topics-head']}"},
        "example": {"view": "run", "run": runs["tweet-head"], "example": example},
        **{view: {"view": view} for view in ("runs", "sweeps", "new_run", "jobs")},
    }  # fmt: skip


def test_no_name_is_drawn_as_markdown(show: Show, hostile_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_STORE", str(hostile_store))
    faults, n_texts, n_names = [], 0, 0
    for title, address in pages(hostile_store).items():
        view, parameters = address["view"], {name: text for name, text in address.items() if name != "view"}
        for where, text in drawn(show(view, **parameters)):
            n_texts += 1
            n_names += "M" in text and "\\*\\*M" in text
            if any(mark in text for mark in MARKS):
                faults.append(f"{title}: {where}: {text[:160]!r}")
    assert n_texts > 1000
    assert n_names > 50
    assert not faults, "\n".join(dict.fromkeys(faults))
